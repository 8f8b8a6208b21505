"""Makes a configuration of a template.

`@name@` stands for a value. A line that begins with `#word|` is there only if `word` is among the switches, and then without
that beginning, so that a template is still a readable configuration. A line with `#each|` is there once for each route.
"""

import re

SWITCHED = re.compile(r"#([a-z]+)\|(.*)", re.DOTALL)
VALUE = re.compile(r"@([a-z_]+)@")


def render(template, values, switches, routes=()):
    lines = []
    for line in template.splitlines(keepends=True):
        lines += rendered(line, values, switches, routes)
    return "".join(lines)


def rendered(line, values, switches, routes):
    if not (switched := SWITCHED.match(line)):
        return [filled(line, values)]
    switch, rest = switched.groups()
    if switch == "each":
        return [filled(rest, values | route) for route in routes]
    return [filled(rest, values)] if switch in switches else []


def filled(line, values):
    return VALUE.sub(lambda found: str(values[found.group(1)]), line)
