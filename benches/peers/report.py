"""Figures as tables in Markdown, as JSON, and in docs/performance.md."""

import json
import statistics
import textwrap
import time

import aims
import plot
from at_rest import CONNECTIONS
from peers import PEERS, ROOT
from workloads import WORKLOADS, left_out

DOCUMENT = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "performance" / "peers.svg"
BEGIN, END = "<!-- benches/peers/run writes from here -->", "<!-- to here -->"
# Below this a core had time to rest, so its requests a second say nothing about the proxy.
BUSY_MIN = 0.95
LINE = 125

CPU = ("CPU µs/request", lambda row: row["cpu_us"], "{:.1f}")
RATE = ("requests/s", lambda row: row["per_second"], "{:,.0f}")
MEMORY = ("RSS, MiB", lambda row: row["resident_kib"] / 1024, "{:.1f}")
LATENCY = [(name, lambda row, field=field: row[field] / 1000, "{:.2f}")
           for name, field in (("p50, ms", "p50_us"), ("p99, ms", "p99_us"), ("p99.9, ms", "p999_us"))]
AT_REST = [
    ("first answer after, ms", lambda row: row["start_ms"], "{:.0f}"),
    ("RSS, MiB", lambda row: row["idle_kib"] / 1024, "{:.1f}"),
    ("KiB a connection", lambda row: row["connection_kib"], "{:.2f}"),
]


def columns(workload):
    if workload == "at-rest":
        return AT_REST
    if workload == "fixed-rate":
        return [CPU, *LATENCY]
    return [CPU, RATE, MEMORY]


def table(workload, figures):
    """One workload's table: a row a peer."""
    shown = columns(workload)
    lines = [f"| {workload} | " + " | ".join(name for name, _, _ in shown) + " |", "| --- " * (len(shown) + 1) + "|"]
    for peer, rows in figures[workload].items():
        cells = [cell([value(row) for row in rows], form) + mark(name, rows) for name, value, form in shown]
        lines.append(f"| {peer} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def overview(figures):
    """CPU time by workload and peer."""
    names = [peer.name for peer in PEERS if any(peer.name in by_peer for by_peer in figures.values())]
    lines = ["| CPU µs/request | " + " | ".join(names) + " |", "| --- " * (len(names) + 1) + "|"]
    for workload, by_peer in medians(figures).items():
        cells = [f"{by_peer[name]:.1f}" if name in by_peer else "" for name in names]
        lines.append(f"| {workload} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def cell(values, form):
    """Median (least–most)."""
    return f"{form.format(statistics.median(values))} ({form.format(min(values))}–{form.format(max(values))})"


def mark(name, rows):
    rested = statistics.median(row.get("busy", 1) for row in rows) < BUSY_MIN
    return "*" if name == RATE[0] and rested else ""


def save(directory, about, figures):
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(about | {"figures": figures}, indent=1)
    for name in (time.strftime("%Y%m%d-%H%M%S"), "latest"):
        (directory / f"{name}.json").write_text(text)


def document(about, figures):
    """Puts the tables between the two marks of docs/performance.md, and the plot beside it."""
    before, rest = DOCUMENT.read_text().split(BEGIN)
    _, after = rest.split(END)
    DOCUMENT.write_text(before + BEGIN + "\n" + block(about, figures) + END + after)
    PLOT.parent.mkdir(exist_ok=True)
    PLOT.write_text(plot.bars(medians(figures), [peer.name for peer in PEERS]))


def medians(figures):
    """CPU time by workload and peer."""
    return {workload: {peer: statistics.median(row["cpu_us"] for row in rows) for peer, rows in by_peer.items()}
            for workload, by_peer in figures.items() if workload != "at-rest"}


def block(about, figures):
    options = about["options"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    rounds = f"{options['rounds']} round{'s' if options['rounds'] > 1 else ''} of {options['seconds']} s"
    head = (f"{about['date']}, `{about['command']}`: {versions}. {options['connections']} connections; {rounds}, all peers in "
            "turn. A figure is their median, with the least and the most where three are shown. The machine's load average before "
            f"was {about['load']}.")
    parts = [
        textwrap.fill(head, LINE, break_long_words=False, break_on_hyphens=False) + "\n",
        overview(figures),
        "![CPU time per request by workload and peer](performance/peers.svg)\n",
        aims.table(figures),
    ]
    for workload in figures:
        parts += [f"{title(workload, options)}{absent(workload)}\n", table(workload, figures)]
    parts.append("`*`: the proxy's core had time to rest; the load generator and the backend had none.\n")
    return "\n".join(parts)


def title(name, options):
    if name == "at-rest":
        return (f"**At rest**: started anew, then {CONNECTIONS:,} connections that have made one request each (haproxy-tcp: "
                "as many as open files allow)")
    what = next(workload.what for workload in WORKLOADS if workload.name == name)
    rate = f", {options['rate']:,} requests/s" if name == "fixed-rate" else ""
    return f"**{what[0].upper()}{what[1:]}{rate}**"


def absent(name):
    """Who was not asked, and why."""
    workload = next((workload for workload in WORKLOADS if workload.name == name), None)
    names = {}
    for peer in PEERS:
        if workload and (why := left_out(workload, peer)):
            names.setdefault(why, []).append(peer.name)
    reasons = "; ".join(f"{', '.join(some)} ({why})" for why, some in names.items())
    return f". Left out: {reasons}." if reasons else ""
