"""What Sidegate aims at beside the others, and how far it is."""

import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Aim:
    """A figure of ours over a figure of a peer's, or of ours on another workload, or by itself where there is none."""

    what: str
    field: str
    most: float
    ours: str
    peer: str = "sidegate"
    theirs: str = ""


def cpu(workload, peer, most, as_much=""):
    return Aim(f"CPU µs a request, {workload}: {as_much}{peer}'s", "cpu_us", most, workload, peer, workload)


AIMS = [
    cpu("one-token", "nginx", 1.0),
    cpu("one-token", "haproxy", 1.0),
    cpu("one-token", "haproxy-tcp", 1.0),
    cpu("one-token", "envoy-jwt-cache", 1 / 5, "a fifth of "),
    cpu("one-token", "envoy-jwt-cache", 1 / 7, "a seventh of "),
    cpu("10k-tokens", "nginx", 1.0),
    cpu("10k-tokens", "haproxy", 1.0),
    cpu("10k-tokens", "haproxy-tcp", 1.0),
    cpu("10k-tokens", "envoy-jwt-cache", 1 / 5, "a fifth of "),
    cpu("10k-tokens", "envoy-jwt-cache", 1 / 7, "a seventh of "),
    cpu("new-tokens", "haproxy-jwt", 0.5, "half of "),
    cpu("tls", "envoy-jwt-cache", 0.5, "half of "),
    cpu("tls", "haproxy", 1.0),
    cpu("h2", "envoy-jwt-cache", 0.5, "half of "),
    cpu("h2", "haproxy", 1.0),
    Aim("CPU µs a request, 5,000 routes: 3 % more than with 10", "cpu_us", 1.03, "routes-5000", theirs="routes-10"),
    Aim("p99 at the fixed rate, µs: haproxy's", "p99_us", 1.0, "fixed-rate", "haproxy", "fixed-rate"),
    Aim("first answer, ms after the start: 50", "start_ms", 50, "at-rest"),
    Aim("idle RSS, KiB: 8 MiB", "idle_kib", 8 * 1024, "at-rest"),
    Aim("memory of an idle connection, KiB: haproxy's", "connection_kib", 1.0, "at-rest", "haproxy", "at-rest"),
]


def table(figures):
    """The aims that these figures tell of."""
    lines = ["| at most | Sidegate | of | ratio | |", "| --- | --- | --- | --- | --- |"]
    for aim in AIMS:
        ours, theirs = median(figures, aim.ours, "sidegate", aim.field), median(figures, aim.theirs, aim.peer, aim.field)
        if ours is None or (aim.theirs and theirs is None):
            continue
        # Without a peer the limit itself is what is compared with.
        base, most = (theirs, aim.most) if aim.theirs else (aim.most, 1.0)
        verdict = "met" if ours / base <= most else missed((ours / base / most - 1) * 100)
        lines.append(f"| {aim.what} | {shown(ours)} | {shown(base)} | {ours / base:.2f} | {verdict} |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else ""


def missed(percent):
    return f"missed: {percent:.{0 if percent >= 1 else 1}f} % above"


def median(figures, workload, peer, field):
    rows = figures.get(workload, {}).get(peer)
    return statistics.median(row[field] for row in rows) if rows else None


def shown(value):
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.1f}"
