"""Requests at a fixed rate, and how long each took, counted from when it was due.

Requests are due at fixed moments, whether those before were answered or not. One that cannot be sent, because all connections
wait for answers, stays due and its time runs: a proxy that stands still is seen to do so by all requests of that time.
Connections are kept, and used in turn. h2load, which can hold a rate as well, counts from when it got round to sending.

    open_loop.py '{"port": 8080, "path": "/", "token": "…", "rate": 3000, "seconds": 3, "connections": 64}'

prints how many requests were answered in how many seconds, and percentiles in microseconds, which leave out the first
moments; `late` is how long after they were due requests were sent. Any answer but 200 is a failure.
"""

import collections
import gc
import json
import math
import pathlib
import select
import socket
import sys
import time

from plain_http import head

LATE_SECONDS_MAX = 10
WARM_SECONDS = 0.3


class Connection:
    """One request at a time."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due, self.received, self.wanted = 0.0, b"", None

    def fileno(self):
        return self.socket.fileno()

    def send(self, request, due):
        self.due, self.received = due, b""
        if self.socket.send(request) != len(request):
            raise SystemExit("a request did not fit into the socket")

    def read(self):
        """Whether the answer is complete."""
        received = self.socket.recv(262_144)
        if not received:
            raise SystemExit("a connection was closed")
        self.received += received
        end = self.received.find(b"\r\n\r\n")
        return end >= 0 and len(self.received) >= end + 4 + body_length(self.received[:end])


def body_length(head_bytes):
    if not head_bytes.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"an answer was not 200: {head_bytes[:200]!r}")
    at = head_bytes.lower().find(b"\r\ncontent-length:")
    if at < 0:
        raise SystemExit("an answer has no Content-Length")
    return int(head_bytes[at + 17:].split(b"\r\n", 1)[0])


class Loop:
    """Sends what is due, reads what has come, and sleeps until the next of both."""

    def __init__(self, options):
        self.request, self.rate = head(options["path"], options["token"]), options["rate"]
        self.late_microseconds = []
        self.resting = collections.deque(Connection(options["port"]) for _ in range(options["connections"]))
        self.epoll, self.by_number, self.microseconds = select.epoll(), {}, []
        for connection in self.resting:
            self.by_number[connection.fileno()] = connection
            self.epoll.register(connection, select.EPOLLIN)

    def run(self, seconds):
        total, sent, begin = int(seconds * self.rate), 0, time.perf_counter()
        self.microseconds, self.late_microseconds = [], []
        while len(self.microseconds) < total:
            now = time.perf_counter()
            while sent < total and self.resting and begin + sent / self.rate <= now:
                due = begin + sent / self.rate
                self.resting.popleft().send(self.request, due)
                self.late_microseconds.append((now - due) * 1e6)
                sent += 1
            self.wait(begin + sent / self.rate if sent < total and self.resting else None, begin + seconds)
            self.read()
        return self.microseconds

    def wait(self, until, end):
        now = time.perf_counter()
        if now > end + LATE_SECONDS_MAX:
            raise SystemExit("answers are missing")
        # epoll counts in milliseconds, select in microseconds.
        select.select([self.epoll], [], [], LATE_SECONDS_MAX if until is None else max(0.0, until - now))

    def read(self):
        for number, _ in self.epoll.poll(0):
            connection = self.by_number[number]
            if connection.read():
                self.microseconds.append((time.perf_counter() - connection.due) * 1e6)
                self.resting.append(connection)


def percentile(ordered, share):
    return round(ordered[math.ceil(len(ordered) * share) - 1], 1)


def main():
    options = json.loads(sys.argv[1])
    # A collection would be seen as a delay of the proxy's.
    gc.disable()
    # Otherwise the kernel may end a sleep 50 µs late.
    pathlib.Path("/proc/self/timerslack_ns").write_text("1")
    loop = Loop(options)
    warm = loop.run(WARM_SECONDS)
    ordered = sorted(loop.run(options["seconds"]))
    late = sorted(loop.late_microseconds)
    print(json.dumps({"requests": len(warm) + len(ordered), "seconds": options["seconds"] + WARM_SECONDS,
                      "p50_us": percentile(ordered, 0.5), "p99_us": percentile(ordered, 0.99),
                      "p999_us": percentile(ordered, 0.999), "max_us": round(ordered[-1], 1),
                      "late_p50_us": percentile(late, 0.5), "late_p99_us": percentile(late, 0.99)}))


if __name__ == "__main__":
    main()
