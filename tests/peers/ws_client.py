"""Opens one WebSocket with the library websockets and prints what became of it.

    ws_client.py URL [--token TOKEN] [--bytes N] [--count N] [--close CODE] [--hold] [--ca FILE]

Prints `{"event":"open"}` once the handshake is done, then sends `--count` messages of `--bytes` random bytes, each after the
echo of the one before, and closes. `--hold` waits for the other side to close instead. The last line has `event` "closed",
the close `code` and `reason`, and the number of `echoes`; or `event` "refused" with the `status` and `body` of the answer.
"""

import argparse
import asyncio
import os
import ssl

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import peer

MESSAGE_BYTES_MAX = 64 * 1024 * 1024


async def converse(connection, arguments):
    echoes, text = 0, None
    try:
        for _ in range(arguments.count):
            message = os.urandom(arguments.bytes)
            await connection.send(message)
            answer = await connection.recv()
            echoes += answer == message
            text = answer if isinstance(answer, str) else text
        if not arguments.hold:
            await connection.close(arguments.close)
        await connection.recv()
    except ConnectionClosed:
        pass
    peer.say(event="closed", code=connection.close_code, reason=connection.close_reason, echoes=echoes, text=text)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--token")
    parser.add_argument("--bytes", type=int, default=100)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--close", type=int, default=1000)
    parser.add_argument("--hold", action="store_true")
    parser.add_argument("--ca")
    arguments = parser.parse_args()
    peer.end_with_parent()

    fields = {"Authorization": f"Bearer {arguments.token}"} if arguments.token else {}
    context = ssl.create_default_context(cafile=arguments.ca) if arguments.ca else None
    options = {"ssl": context, "additional_headers": fields, "max_size": MESSAGE_BYTES_MAX, "ping_interval": None,
               "proxy": None, "open_timeout": 10, "close_timeout": 10, "compression": "deflate" if arguments.bytes < 1_000_000 else None}
    try:
        async with connect(arguments.url, **options) as connection:
            peer.say(event="open")
            await converse(connection, arguments)
    except InvalidStatus as refusal:
        peer.say(event="refused", status=refusal.response.status_code, body=refusal.response.body.decode())


if __name__ == "__main__":
    asyncio.run(main())
