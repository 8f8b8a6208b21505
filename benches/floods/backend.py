"""A backend that gives every request the same answer, however long, as fast as it is taken: `backend.py FILE`.

It runs in a process of its own, behind the good requests' back: what it does must not keep their clock waiting.
"""

import asyncio
import contextlib
import os
import pathlib
import subprocess
import sys

PIECE_BYTES = 64 * 1024


@contextlib.contextmanager
def serving(path):
    """Serves the file to the end of the context; the port."""
    command = [sys.executable, "-B", __file__, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield int(process.stdout.readline())
        process.stdin.close()


async def serve(reader, writer, content):
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    # What a gateway that is attacked leaves undone is its own business.
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(head)
            for first in range(0, len(content), PIECE_BYTES):
                writer.write(content[first:first + PIECE_BYTES])
                await writer.drain()
    writer.close()


async def main():
    os.nice(10)
    content = pathlib.Path(sys.argv[1]).read_bytes()
    server = await asyncio.start_server(lambda reader, writer: serve(reader, writer, content), "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Ends with whoever started it.
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
