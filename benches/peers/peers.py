"""What is compared: how each is started, what it checks, and what it cannot do."""

import dataclasses
import os
import pathlib
import shutil
import subprocess

from envoy import envoy_binary

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = pathlib.Path(__file__).parent / "config"


@dataclasses.dataclass(frozen=True)
class Peer:
    """A proxy in one configuration. Templates are files in config/; the first one is what it is started with."""

    name: str
    checks: bool
    templates: tuple
    command: tuple
    switches: frozenset = frozenset()
    # Workload: why not.
    cannot: dict = dataclasses.field(default_factory=dict)


NGINX = ("nginx", "-c", "@config@")
HAPROXY = ("haproxy", "-db", "-f", "@config@")
ENVOY = ("@envoy@", "-c", "@config@", "--concurrency", "1", "--disable-hot-restart", "-l", "error")

PEERS = [
    Peer("sidegate", True, ("sidegate.yaml",), ("@sidegate@", "run", "-c", "@config@")),
    Peer("nginx", False, ("nginx.conf",), NGINX),
    Peer("haproxy-tcp", False, ("haproxy-tcp.cfg",), HAPROXY,
         cannot={"h2": "passes bytes on, and the backend speaks HTTP/1.1"}),
    Peer("haproxy", False, ("haproxy.cfg",), HAPROXY),
    Peer("haproxy-jwt", True, ("haproxy-jwt.cfg", "haproxy-jwt.map"), HAPROXY),
    Peer("envoy", False, ("envoy.yaml",), ENVOY),
    Peer("envoy-jwt", True, ("envoy-jwt.yaml",), ENVOY),
    Peer("envoy-jwt-cache", True, ("envoy-jwt.yaml",), ENVOY, switches=frozenset({"cache"})),
]


def sidegate_binary():
    return os.environ.get("SIDEGATE") or str(ROOT / "target" / "release" / "sidegate")


def versions(sidegate):
    """Version by program, as they say it."""
    said = {
        "Sidegate": output(sidegate, "--version"),
        "nginx": output("nginx", "-v"),
        "HAProxy": output("haproxy", "-v"),
        "Envoy": output(envoy_binary(), "--version"),
        "wrk": output("wrk", "-v"),
        "h2load": output("h2load", "--version"),
    }
    return {name: number(text) for name, text in said.items()}


def output(*command):
    if not shutil.which(command[0]):
        raise SystemExit(f"{command[0]} is not there")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def number(text):
    """The first word or part of a word that is like a version."""
    words = text.replace("/", " ").split()
    return next((word for word in words if word[0].isdigit() and "." in word), "unknown")
