"""What a peer takes when it does nothing: time to its first answer, memory, memory for connections that rest."""

import json
import subprocess
import sys
import time

import peers
from plain_http import first_good, head

IDLE_CONNECTIONS = peers.ROOT / "benches" / "harness" / "idle_connections.py"
CONNECTIONS = 10_000
START_SECONDS_MAX = 30
# Some give buffers back only after a while.
REST_SECONDS = 1
# What is left of the limit of open files for everything that is no connection.
OTHER_FILES = 500


def measure(field, peer, workload, token):
    """A fresh process from its start to its end."""
    running = field.start(peer, workload)
    try:
        answered = first_good(running.port, head(workload.path, token), running.process.is_alive, START_SECONDS_MAX)
        if answered is None:
            raise SystemExit(f"{peer.name} does not answer: {running.process.last_words()}")
        idle = running.process.resident_kib()
        count = connections_of(peer, field.files_max)
        return {"start_ms": (answered - running.process.started) * 1e3, "idle_kib": idle, "connections": count,
                "connection_kib": (with_connections(running, token, count) - idle) / count}
    finally:
        field.stop(running)


def connections_of(peer, files_max):
    """Who passes bytes on has a socket to the backend open for each connection."""
    sockets = 2 if peer.name == "haproxy-tcp" else 1
    return min(CONNECTIONS, (files_max - OTHER_FILES) // sockets)


def with_connections(running, token, count):
    """Resident memory while so many connections rest."""
    options = {"port": running.port, "path": running.workload.path, "token": token, "count": count}
    command = [sys.executable, "-B", str(IDLE_CONNECTIONS), json.dumps(options)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as holder:
        try:
            if holder.stdout.readline() != "open\n":
                raise SystemExit(f"{running.peer.name}, idle connections: {holder.stderr.read()}")
            time.sleep(REST_SECONDS)
            return running.process.resident_kib()
        finally:
            holder.stdin.close()
