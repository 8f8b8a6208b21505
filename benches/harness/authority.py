"""What benches of the authority need: PostgreSQL, gateways with an authority, clients by the thousand, and tokens."""

import base64
import contextlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import urllib.request

from gateway import BINARY, Gateway
from process import free_port

CONFIG = """
listeners: [{{ address: 127.0.0.1:0 }}]
admin: {{ address: 127.0.0.1:0 }}
workers: {workers}
telemetry: {{ access_log: none }}
authority:
  issuer: http://authority.bench
  audience: https://api.bench
  storage: "{storage}"
  key_encryption_file: ./kek
  algorithm: {algorithm}
  scopes: {{ "users:read": Read users }}
upstreams: {{ echo: {{ builtin: echo }} }}
routes: [{{ match: /, scopes: ["users:read"], upstream: echo }}]
"""

FOLLOWER = """
listeners: [{{ address: 127.0.0.1:0 }}]
admin: {{ address: 127.0.0.1:0 }}
workers: {workers}
telemetry: {{ access_log: none }}
issuers:
  - name: internal
    issuer: http://authority.bench
    audiences: [https://api.bench]
    keys: {{ jwks_uri: "{url}/.well-known/jwks.json", refresh: 10s }}
    registry: {{ url: "{url}", client_id: sidecars, client_secret_file: ./registry-secret }}
upstreams: {{ echo: {{ builtin: echo }} }}
routes: [{{ match: /, scopes: ["users:read"], upstream: echo }}]
"""


def program(name):
    """A program of PostgreSQL. Debian keeps them off the PATH; what is on it may be older."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


class Postgres:
    """A server of its own, on the loopback and for whoever asks."""

    def __init__(self):
        self.directory, self.port = pathlib.Path(tempfile.mkdtemp(prefix="bench-pg-")), free_port()
        # PostgreSQL does not run as root.
        self.user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        if self.user:
            os.chown(self.directory, self.user.pw_uid, self.user.pw_gid)
        self._run([program("initdb"), "-D", str(self.directory / "data"), "-U", "sidegate", "-A", "trust", "--no-sync"])
        self.start()

    @property
    def storage(self):
        return f"postgres://sidegate@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def start(self):
        options = ["-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.directory)]
        self.process = subprocess.Popen([program("postgres"), "-D", str(self.directory / "data"), *options],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._as_user())
        while subprocess.run([program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode:
            time.sleep(0.05)

    def kill(self):
        """As a loss of power would end it, but for what the operating system has not written to the disk."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        self.start()

    def sql(self, text):
        command = ["psql", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", "sidegate",
                   "postgres", "-c", text]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _as_user(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}

    def _run(self, command):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **self._as_user())


class Authority(Gateway):
    """A gateway with an authority."""

    def __init__(self, storage, directory=None, workers=1, algorithm="ES256"):
        config = CONFIG.format(storage=storage, workers=workers, algorithm=algorithm)
        super().__init__(config, files={"kek": b"k" * 32}, directory=directory)

    def cli(self, *arguments):
        """What a command says, as JSON if it can."""
        command = [str(BINARY), *arguments, "-c", "config.yaml"]
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{arguments}: {done.stderr}")
        return done.stdout

    def create(self, *options):
        return json.loads(self.cli("client", "create", "--output", "json", *options))

    def token(self, client_id, secret, scope=None):
        return token(self.port, client_id, secret, scope)


class Follower(Gateway):
    """A gateway that follows the registry of another one."""

    def __init__(self, url, secret, workers=1):
        super().__init__(FOLLOWER.format(url=url, workers=workers), files={"registry-secret": secret})


def token(port, client_id, secret, scope=None):
    body = "grant_type=client_credentials" + (f"&scope={scope}" if scope else "")
    credentials = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/oauth2/token", data=body.encode(), headers={
        "Authorization": f"Basic {credentials}", "Content-Type": "application/x-www-form-urlencoded"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["access_token"]


def multiply(template, count, series):
    """SQL that makes `count` copies of a client, `c-1` and so on, with the same secret, each a change of its own."""
    columns = "name, description, notes, scopes, roles, tenants, secrets, jwks, is_revoked, created_at, expires_at"
    return f"""
        INSERT INTO sidegate_clients (id, {columns}, last_used_at, generation, version)
        SELECT 'c-' || n, {columns}, NULL, (SELECT number FROM sidegate_state) + n, (SELECT number FROM sidegate_state) + n
        FROM sidegate_clients, {series} WHERE id = '{template}';
        UPDATE sidegate_state SET number = number + {count};"""


def multiply_sqlite(path, template, count):
    with contextlib.closing(sqlite3.connect(path)) as database:
        series = f"(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s)"
        database.executescript(f"BEGIN; {multiply(template, count, series)} COMMIT;")
