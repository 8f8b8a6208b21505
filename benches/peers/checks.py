"""Each peer does what it is said to do, or nothing is measured."""

import tokens


def check(running, key):
    """Asks what must be let through and what must not. `key` signs good tokens."""
    for what, status, (got, body), wanted_body in expectations(running, key):
        if got not in status or wanted_body not in (None, body):
            raise SystemExit(f"{running.peer.name}, {running.workload.name}: {what}: {got} {body[:80]!r} instead of "
                             f"{' or '.join(map(str, status))} {wanted_body or ''}\n{running.process.last_words()}")


def expectations(running, key):
    good = tokens.mint(key, scope="users:read users:write")
    path = path_of(running.workload)
    yield "a good token", [200], running.ask(path, good), None
    if running.peer.checks:
        yield from of_tokens(running, path, key)
        yield from of_routes(running, key, good) if running.workload.routes else of_tenant(running, good)


def path_of(workload):
    return f"/v1/r{workload.route_numbers()[0]}/7" if workload.routes else "/v1/users/7"


def of_tokens(running, path, key):
    refused = [401, 403]
    yield "no token", [401], running.ask(path), None
    yield "a wrong scope", [403], running.ask(path, tokens.mint(key, scope="other")), None
    yield "a scope that only begins like it", [403], running.ask(path, tokens.mint(key, scope="users:readers")), None
    yield "two scopes", [200], running.ask(path, tokens.mint(key, scope="other users:read")), None
    yield "a token that has expired", refused, running.ask(path, tokens.mint(key, lifetime=-3600)), None
    yield "a token for somebody else", refused, running.ask(path, tokens.mint(key, aud="https://other.example")), None
    yield "a token of another issuer", refused, running.ask(path, tokens.mint(key, iss="https://other.example")), None
    yield "a forged token", refused, running.ask(path, forged(key)), None


def of_tenant(running, good):
    yield "the tenant", [200], running.ask("/seen", good), "t1"
    yield "a client's own tenant", [200], running.ask("/seen", good, X_Tenant_Id="t2"), "t1"


def of_routes(running, key, good):
    last = running.workload.route_numbers()[-1]
    reader = tokens.mint(key, scope="users:read")
    yield "the last route", [200], running.ask(f"/v1/r{last}/7", good), None
    yield "the last route without its scope", [403], running.ask(f"/v1/r{last}/7", reader), None
    yield "a route that is not there", [404], running.ask(f"/v1/r{last + 1}/7", good), None


def forged(key):
    """The claims of one token under the signature of another."""
    head, _, signature = tokens.mint(key).split(".")
    return ".".join([head, tokens.mint(key).split(".")[1], signature])
