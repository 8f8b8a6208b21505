"""Connections that have made one request each and then rest.

    idle_connections.py '{"port": 8080, "path": "/", "token": "…", "count": 10000}'

says `open` when all are, and keeps them until its standard input ends.
"""

import json
import socket
import struct
import sys

from plain_http import head

ANSWER_SECONDS_MAX = 10
# A reset on closing leaves no port behind that has to wait.
RESET = struct.pack("ii", 1, 0)


def rested(port, request):
    connection = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS_MAX)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.sendall(request)
    answer = b""
    while (end := answer.find(b"\r\n\r\n")) < 0 or len(answer) < end + 4 + 1024:
        if not (received := connection.recv(65_536)):
            raise SystemExit(f"a connection was closed: {answer[:200]!r}")
        answer += received
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"an answer was not 200: {answer[:200]!r}")
    return connection


def main():
    options = json.loads(sys.argv[1])
    request = head(options["path"], options["token"])
    connections = [rested(options["port"], request) for _ in range(options["count"])]
    print("open", flush=True)
    sys.stdin.read()
    for connection in connections:
        connection.close()


if __name__ == "__main__":
    main()
