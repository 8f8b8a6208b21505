"""An issuer: signing keys, tokens, and a key set over HTTP that counts who fetches it. Needs the library cryptography."""

import base64
import http.server
import json
import secrets
import threading
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

NAME, AUDIENCE = "https://issuer.example", "https://api.example"


def base64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Key:
    """A P-256 key."""

    def __init__(self, kid):
        self.kid, self._private = kid, ec.generate_private_key(ec.SECP256R1())

    def jwk(self):
        numbers = self._private.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid,
                "x": base64url(numbers.x.to_bytes(32, "big")), "y": base64url(numbers.y.to_bytes(32, "big"))}

    def token(self, scope="users:read", seconds=3600):
        """An access token of RFC 9068, signed with this key."""
        now = int(time.time())
        claims = {"iss": NAME, "aud": AUDIENCE, "sub": "acme", "client_id": "acme", "tenant_id": "t1", "scope": scope,
                  "iat": now, "exp": now + seconds, "jti": secrets.token_hex(8)}
        head = {"alg": "ES256", "typ": "at+jwt", "kid": self.kid}
        signed = f"{base64url(json.dumps(head).encode())}.{base64url(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def key_set(keys):
    return json.dumps({"keys": [key.jwk() for key in keys]})


class KeySetServer:
    """Serves `keys` at `url` and remembers when they were fetched."""

    def __init__(self, keys):
        self.keys, self.fetched_at = list(keys), []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.fetched_at.append(time.monotonic())
                body = key_set(server.keys).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/jwk-set+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/jwks"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def fetches_between(self, start, end):
        return sum(start <= moment < end for moment in self.fetched_at)

    def stop(self):
        """From now on nothing listens there."""
        self._http.shutdown()
        self._http.server_close()
