"""A steady load of good requests, in a process of its own; every answer is checked.

Requests start at fixed times, whether those before were answered or not, and the time of an answer counts from when its
request should have started: a gateway that stands still for a second is seen to do so by all requests of that second. Every
`fresh`-th request makes a connection of its own, the others share connections that stay open.
"""

import asyncio
import collections
import json
import math
import pathlib
import ssl
import subprocess
import sys
import threading
import time

ANSWER_SECONDS_MAX = 10
IN_FLIGHT_MAX = 2_000


class Steady:
    """The load, seen from the process that started it."""

    def __init__(self, port, tokens, rate, fresh=5, tls=False, path="/steady"):
        options = {"port": port, "tokens": tokens, "rate": rate, "fresh": fresh, "tls": tls, "path": path}
        self._process = subprocess.Popen([sys.executable, "-B", str(pathlib.Path(__file__))], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)
        self._tell(options)

    def use(self, tokens):
        """Requests from now on carry these tokens, in turn."""
        self._tell(tokens)

    def _tell(self, value):
        print(json.dumps(value), file=self._process.stdin, flush=True)

    def finish(self):
        """Ends it; what became of all requests."""
        output, _ = self._process.communicate(timeout=ANSWER_SECONDS_MAX + 30)
        return Answers([Sample(*sample) for sample in json.loads(output)])


class Sample(collections.namedtuple("Sample", "start seconds outcome")):
    """One request: when it should have started (monotonic), how long until its answer, and its status or failure."""

    @property
    def good(self):
        return self.outcome == 200


class Answers(list):
    """Samples."""

    def between(self, start, end):
        return Answers(sample for sample in self if start <= sample.start < end)

    def failed(self):
        return [sample for sample in self if not sample.good]

    def outcomes(self):
        return dict(collections.Counter(str(sample.outcome) for sample in self.failed()))

    def p99_ms(self):
        times = sorted(sample.seconds for sample in self if sample.good)
        return times[math.ceil(len(times) * 0.99) - 1] * 1000 if times else math.nan

    def next_good_ms(self, moment):
        """How long after a moment the first good answer came to a request that started then or later."""
        ends = [sample.start + sample.seconds for sample in self if sample.good and sample.start >= moment]
        return (min(ends) - moment) * 1000 if ends else math.inf


class Load:
    """The load itself."""

    def __init__(self, options):
        self.options, self.tokens, self.samples, self.idle = options, options["tokens"], [], collections.deque()
        self.ended, self.in_flight = False, set()
        self.tls = None
        if options["tls"]:
            self.tls = ssl.create_default_context()
            self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE

    def listen(self):
        """Reads new tokens until standard input ends."""
        for line in sys.stdin:
            self.tokens = json.loads(line)
        self.ended = True

    async def run(self):
        threading.Thread(target=self.listen, daemon=True).start()
        begin, number = time.monotonic(), 0
        while not self.ended:
            due = begin + number / self.options["rate"]
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            if len(self.in_flight) < IN_FLIGHT_MAX:
                task = asyncio.create_task(self.measure(number, due))
                self.in_flight.add(task)
                task.add_done_callback(self.in_flight.discard)
            else:
                self.samples.append((due, 0, "too many unanswered requests"))
            number += 1
        if self.in_flight:
            await asyncio.wait(self.in_flight)
        json.dump(self.samples, sys.stdout)

    async def measure(self, number, due):
        try:
            outcome = await asyncio.wait_for(self.ask(number), ANSWER_SECONDS_MAX)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError, ssl.SSLError) as error:
            outcome = f"{type(error).__name__} {error}".strip()
        self.samples.append((due, time.monotonic() - due, outcome))

    async def ask(self, number):
        fresh = number % self.options["fresh"] == 0
        reader, writer = await self.connection(fresh)
        kept = False
        try:
            path = f"{self.options['path']}/{number}"
            token = self.tokens[number % len(self.tokens)]
            last = "Connection: close\r\n" if fresh else ""
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n{last}\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            status = int(head.split(" ", 2)[1])
            body = await reader.readexactly(int(head.split("content-length:", 1)[1].split("\r\n", 1)[0]))
            if status == 200 and f'"{path}"'.encode() not in body:
                return "the answer to another request"
            kept = not fresh and "connection: close" not in head
            return status
        finally:
            if kept:
                self.idle.append((reader, writer))
            else:
                writer.close()

    async def connection(self, fresh):
        # The one that has rested longest: none is left to be closed for its silence.
        while self.idle and not fresh:
            reader, writer = self.idle.popleft()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.options["port"], ssl=self.tls)


if __name__ == "__main__":
    asyncio.run(Load(json.loads(sys.stdin.readline())).run())
