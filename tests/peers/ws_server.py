"""A WebSocket server of the library websockets. Prints its port, and how each connection was closed.

    /echo         each message back as it came
    /close/CODE   closes with this code at the first message
    /who          one message: the header fields of the handshake, as JSON
"""

import asyncio
import contextlib
import json

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

import peer

MESSAGE_BYTES_MAX = 64 * 1024 * 1024


async def converse(connection):
    path = connection.request.path.removeprefix("/ws")
    if path == "/who":
        await connection.send(json.dumps({name.lower(): value for name, value in connection.request.headers.raw_items()}))
    while True:
        message = await connection.recv()
        if path.startswith("/close/"):
            await connection.close(int(path.removeprefix("/close/")), "as asked")
        else:
            await connection.send(message)


async def handle(connection):
    with contextlib.suppress(ConnectionClosed):
        await converse(connection)
    await connection.wait_closed()
    peer.say(event="closed", path=connection.request.path, code=connection.close_code)


async def main():
    peer.end_with_parent()
    async with serve(handle, "127.0.0.1", 0, max_size=MESSAGE_BYTES_MAX, ping_interval=None) as server:
        peer.say(port=server.sockets[0].getsockname()[1])
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
