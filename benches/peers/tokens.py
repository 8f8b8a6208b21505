"""Tokens like those of examples/mint-token, very many of them, quickly. What is slow to make is kept for the next run."""

import base64
import hashlib
import json
import multiprocessing
import os
import pathlib
import secrets
import signal
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO_KEY = ROOT / "examples" / "keys" / "demo-private-key.pem"
LIFETIME_SECONDS = 30 * 24 * 3600
# Kept tokens have to be good for as long as a run may take.
LEFT_SECONDS_MIN = 24 * 3600


def base64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Rs256:
    """The demo key, which the examples trust."""

    name, kid = "RS256", "demo"

    def __init__(self):
        self.private = serialization.load_pem_private_key(DEMO_KEY.read_bytes(), password=None)

    def sign(self, message):
        return self.private.sign(message, padding.PKCS1v15(), hashes.SHA256())

    def jwk(self):
        numbers = self.private.public_key().public_numbers()
        return {"kty": "RSA", "n": base64url(numbers.n.to_bytes(256, "big")), "e": "AQAB"}


class Es256:
    """A key of P-256, made anew each time."""

    name, kid = "ES256", "demo-ec"

    def __init__(self):
        self.private = ec.generate_private_key(ec.SECP256R1())

    def sign(self, message):
        r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def jwk(self):
        numbers = self.private.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": base64url(numbers.x.to_bytes(32, "big")),
                "y": base64url(numbers.y.to_bytes(32, "big"))}


def write_public(key, directory):
    """The public key as the peers want it: a key set, and PEM."""
    jwk = key.jwk() | {"kid": key.kid, "alg": key.name, "use": "sig"}
    (directory / f"{key.name}.json").write_text(json.dumps({"keys": [jwk]}))
    pem = key.private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (directory / f"{key.name}.pem").write_bytes(pem)


def mint(key, lifetime=LIFETIME_SECONDS, **claims):
    now = int(time.time())
    all_claims = {"iss": "https://issuer.example", "aud": "https://api.example", "sub": "acme", "client_id": "acme",
                  "scope": "users:read", "jti": secrets.token_hex(16), "tenant_id": "t1", "iat": now, "exp": now + lifetime}
    head = {"alg": key.name, "kid": key.kid, "typ": "at+jwt"}
    signed = f"{part(head)}.{part(all_claims | claims)}"
    return f"{signed}.{base64url(key.sign(signed.encode()))}"


def part(value):
    return base64url(json.dumps(value, separators=(",", ":")).encode())


def many(count, directory):
    """A file with at least so many tokens of the demo key, one a line."""
    path, stamp = directory / "tokens", directory / "tokens.json"
    if kept_count(path, stamp) < count:
        print(f"minting {count:,} tokens, which are kept for later runs", flush=True)
        directory.mkdir(parents=True, exist_ok=True)
        stamp.unlink(missing_ok=True)
        with multiprocessing.Pool(os.cpu_count(), on_its_own) as pool:
            with path.open("w") as file:
                file.writelines(pool.imap(mint_one, range(count), chunksize=500))
        stamp.write_text(json.dumps({"count": count, "expires": int(time.time()) + LIFETIME_SECONDS, "key": key_digest()}))
    return path


def kept_count(path, stamp):
    if not (path.exists() and stamp.exists()):
        return 0
    kept = json.loads(stamp.read_text())
    good = kept["key"] == key_digest() and kept["expires"] - time.time() > LEFT_SECONDS_MIN
    return kept["count"] if good else 0


def key_digest():
    return hashlib.sha256(DEMO_KEY.read_bytes()).hexdigest()


def on_its_own():
    """A process of the pool has all cores, and ends as processes do."""
    os.sched_setaffinity(0, range(os.cpu_count()))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def mint_one(_, _keys=[]):
    if not _keys:
        _keys.append(Rs256())
    return mint(_keys[0]) + "\n"
