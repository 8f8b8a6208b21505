"""One request on a connection of its own, with nothing hidden: what waits for a proxy, and what checks it, ask with this."""

import http.client
import socket
import ssl
import time

ANSWER_SECONDS_MAX = 10


def trusting():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def ask(port, path, token=None, tls=False, **headers):
    """Status and body."""
    if tls:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=ANSWER_SECONDS_MAX, context=trusting())
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS_MAX)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read().decode("latin-1")
    finally:
        connection.close()


def first_good(port, request, is_alive, seconds_max):
    """Asks until the answer is 200; when that came (monotonic). The first byte of a request is on its way within 0.2 ms of
    the port's being open."""
    deadline = time.monotonic() + seconds_max
    while time.monotonic() < deadline and is_alive():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=seconds_max) as connection:
                connection.sendall(request)
                if connection.recv(64).startswith(b"HTTP/1.1 200"):
                    return time.monotonic()
        except OSError:
            pass
        time.sleep(0.0002)
    return None


def head(path, token):
    """A request as bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
