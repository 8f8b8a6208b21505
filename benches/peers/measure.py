"""The rounds: every peer in turn, so that whatever else happens on the machine meets all of them."""

import contextlib
import sys

import at_rest
import checks
import tokens
from loads import Loads
from peers import PEERS
from workloads import WORKLOADS, left_out

ROUND_SECONDS_MORE = 0.15
START_SECONDS = 0.6
AT_REST_SECONDS = 4.0


def plan(options):
    """The workloads that are wanted, each with its peers."""
    peers = [peer for peer in PEERS if not options.peer or peer.name in options.peer]
    wanted = [workload for workload in WORKLOADS if not options.workload or workload.name in options.workload]
    return {workload: [peer for peer in peers if left_out(workload, peer) is None] for workload in wanted}, peers


def seconds_of(workloads, peers, options):
    """How long it will take."""
    loads = sum(len(some) for some in workloads.values())
    starts = loads + sum(len(some) * options.rounds for workload, some in workloads.items() if workload.fresh)
    at_rests = len(peers) * options.rounds if wants_at_rest(options) else 0
    return loads * options.rounds * (options.seconds + ROUND_SECONDS_MORE) + starts * START_SECONDS + at_rests * AT_REST_SECONDS


def wants_at_rest(options):
    return not options.workload or "at-rest" in options.workload


def loaded(field, workload, peers, options, shape, kept):
    """All rounds of one workload: a list of figures by peer."""
    key = tokens.Es256() if workload.algorithm == "ES256" else tokens.Rs256()
    tokens.write_public(key, field.directory)
    loads = Loads(field.directory, kept, shape, key)
    loads.prepare(workload)
    figures = {peer.name: [] for peer in peers}
    with contextlib.ExitStack() as stack:
        running = {}
        for peer in [] if workload.fresh else peers:
            running[peer.name] = stack.enter_context(ready(field, peer, workload, key))
            loads.warm(running[peer.name])
        for peer in turns(peers, options.rounds, workload.name):
            with contextlib.ExitStack() as turn:
                asked = running.get(peer.name) or turn.enter_context(ready(field, peer, workload, key))
                figures[peer.name].append(measured(loads, asked))
    return figures


def turns(peers, rounds, what):
    """Each peer in each round, told of on a terminal."""
    for number in range(rounds):
        for peer in peers:
            if sys.stderr.isatty():
                print(f"\r\x1b[K{what} {number + 1}/{rounds} {peer.name}\r", end="", file=sys.stderr, flush=True)
            yield peer


@contextlib.contextmanager
def ready(field, peer, workload, key):
    """A peer that does what it should."""
    running = field.start(peer, workload)
    try:
        running.wait()
        checks.check(running, key)
        yield running
    finally:
        field.stop(running)


def measured(loads, running):
    before = running.process.cpu_seconds()
    made = loads.run(running)
    if not running.process.is_alive():
        raise SystemExit(f"{running.peer.name} has ended: {running.process.last_words()}")
    spent = running.process.cpu_seconds() - before
    return made | {"cpu_us": spent / made["requests"] * 1e6, "busy": spent / made["seconds"],
                   "per_second": made["requests"] / made["seconds"], "resident_kib": running.process.resident_kib()}


def rested(field, peers, options):
    """All rounds of start and memory."""
    workload, key = WORKLOADS[0], tokens.Rs256()
    tokens.write_public(key, field.directory)
    token = tokens.mint(key)
    figures = {peer.name: [] for peer in peers}
    for peer in turns(peers, options.rounds, "at rest"):
        figures[peer.name].append(at_rest.measure(field, peer, workload, token))
    return figures
