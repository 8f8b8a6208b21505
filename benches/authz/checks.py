"""Floods of checks, each in a process of its own: `checks.py NAME OPTIONS` holds one for a while and says what it sent.

`clients:` come by way of Envoy. `asking:` is what a proxy does that has gone wrong, or somebody who got where only proxies
should be. `elsewhere:` are clients of Sidegate's own listener.
"""

import asyncio
import contextlib
import itertools
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "floods"))

import attacks  # noqa: E402
from attacks import ATTACKS, OPENING, attack, flood, get, headers, hold, http2, same, streams, with_token  # noqa: E402

CHECK = http2.request("/envoy.service.auth.v3.Authorization/Check", method="POST",
                      more=http2.literal("content-type", "application/grpc") + http2.literal("te", "trailers"))
FRAME_BYTES = 16 * 1024
# What is taken of a check where `limits.header_bytes` is what it is by itself.
MESSAGE_BYTES_MAX = 128 * 1024


# By way of Envoy.


@attack("clients: as many requests as go through, with forged tokens")
async def forged(target):
    return await ATTACKS["tokens with forged signatures"](target)


@attack("clients: heads of 50 KiB, which Envoy takes and Sidegate does not")
async def large_heads(target):
    token = f"Authorization: Bearer {target.token}"
    burst = get("/steady/large", token, *[f"X-Field-{number}: {'x' * 1000}" for number in range(50)])
    return await flood(target, 16, b"", same(burst), 1, "requests")


@attack("clients: that leave before the answer")
async def leaving(target):
    request = with_token(target.token)
    left = 0

    async def client():
        nonlocal left
        while target.left():
            with contextlib.suppress(OSError):
                _, writer = await target.connect()
                writer.write(request)
                await asyncio.sleep(0)
                writer.close()
                left += 1

    await asyncio.gather(*(client() for _ in range(32)))
    return f"{left / target.seconds:,.0f} requests/s"


# From where only proxies should be.


@attack("asking: 3,000 idle connections")
async def idle(target):
    return await hold(target, 3_000, b"")


@attack("asking: 1,000 checks at once on a connection that has room for 128")
async def too_many(target):
    def bursts():
        numbers = streams()
        while True:
            yield b"".join(headers(number, CHECK, http2.END_HEADERS) for number in itertools.islice(numbers, 1000))

    return await flood(target, 16, OPENING, bursts, 1000, "checks")


@attack("asking: checks that never end")
async def unfinished(target):
    message = struct.pack(">BI", 0, MESSAGE_BYTES_MAX) + b"x" * (MESSAGE_BYTES_MAX - 1)
    pieces = [message[first:first + FRAME_BYTES] for first in range(0, len(message), FRAME_BYTES)]

    async def connection():
        reader, writer = await target.connect()
        # The windows that it grants count once they are acknowledged.
        writer.write(OPENING)
        await received(reader, http2.SETTINGS)
        writer.write(http2.frame(http2.SETTINGS, http2.ACK))
        for number in itertools.islice(streams(), 128):
            writer.write(headers(number, CHECK, http2.END_HEADERS))
            writer.write(b"".join(http2.frame(http2.DATA, 0, number, piece) for piece in pieces))
            writer.write(http2.frame(http2.PING, payload=b"12345678"))
            # The windows are not looked at here: what was sent is waited for.
            await received(reader, http2.PING)
        await asyncio.sleep(target.left())
        return not reader.at_eof()

    kept = sum(await asyncio.gather(*(connection() for _ in range(4))))
    return f"128 checks, all but their last byte, on each of 4 connections, {kept} still open at its end"


async def received(reader, kind):
    """Reads to the end of a frame of this kind."""
    found = None
    while found != kind:
        head = await reader.readexactly(9)
        found = head[3]
        await reader.readexactly(int.from_bytes(head[:3], "big"))


@attack("asking: messages of 2 MiB")
async def large_messages(target):
    prefix = b"\0" + struct.pack(">I", 2 << 20)

    def bursts():
        for number in streams():
            yield headers(number, CHECK, http2.END_HEADERS) + http2.frame(http2.DATA, 0, number, prefix + b"x" * 8192)

    return await flood(target, 16, OPENING, bursts, 1, "checks")


@attack("asking: checks that are given up at once")
async def given_up(target):
    def bursts():
        numbers = streams()
        while True:
            yield b"".join(headers(number, CHECK, http2.END_HEADERS) + http2.frame(http2.RST_STREAM, 0, number, http2.CANCEL)
                           for number in itertools.islice(numbers, 100))

    return await flood(target, 16, OPENING, bursts, 100, "checks")


for title in ["HTTP/2 CONTINUATION without end", "HTTP/2 PING, answers never read", "heads of 1 MiB"]:
    attack(f"asking: {title}")(ATTACKS[title])


# From clients of Sidegate's own listener.


@attack("elsewhere: all the connections it takes, and more")
async def crowd(target):
    return await hold(target, 5_000, b"")


TITLES = [title for title in ATTACKS if title.startswith(("clients: ", "asking: ", "elsewhere: "))]

if __name__ == "__main__":
    attacks.main()
