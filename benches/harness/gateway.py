"""The release binary as a process, on free ports of the loopback."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = ROOT / "target" / "release" / "sidegate"
READY_SECONDS_MAX = 30


class Gateway:
    """A running gateway. Its configuration and whatever it names lie in `directory`."""

    def __init__(self, config, files=None, directory=None, core=None):
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="bench-"))
        for name, content in (files or {}).items():
            self.put(name, content)
        self.put("config.yaml", config)
        self.log, self._bound = [], threading.Event()
        pin = [] if core is None else ["/usr/bin/taskset", "-c", str(core)]
        started = time.monotonic()
        self.process = subprocess.Popen(
            [*pin, str(BINARY), "run", "-c", "config.yaml"], cwd=self.directory, env={},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        # A pipe that nobody reads fills up, and then its writer waits.
        threading.Thread(target=self._read_log, daemon=True).start()
        if not self._bound.wait(READY_SECONDS_MAX):
            self.stop()
        if not self.ports("proxy"):
            raise SystemExit(f"the gateway does not start: {self.log}")
        self.bound_seconds = time.monotonic() - started

    def put(self, name, content):
        """Puts a file in its place in one step."""
        new = self.directory / f".{name}.new"
        new.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.replace(new, self.directory / name)

    def ports(self, surface):
        return [int(event["address"].rsplit(":", 1)[1]) for event in self.log
                if event.get("message") == "listening" and event.get("surface") == surface]

    @property
    def port(self):
        return self.ports("proxy")[0]

    @property
    def tls_port(self):
        return self.ports("proxy")[1]

    def admin(self, path, method="GET"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports('admin')[0]}{path}", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()

    def metric(self, name, **labels):
        """The sum of a metric over all series with these labels."""
        total = 0.0
        for line in self.admin("/metrics").splitlines():
            if line.startswith((name + "{", name + " ")) and all(f'{key}="{value}"' in line for key, value in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def resident_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024

    def is_alive(self):
        return self.process.poll() is None

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        """Two signals: the second one says not to wait for what is in flight."""
        if self.is_alive():
            self.process.terminate()
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _read_log(self):
        for line in self.process.stderr:
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.log.append({"message": line.rstrip()})
            if self.log[-1].get("message") == "ready":
                self._bound.set()
        self._bound.set()


def mint(*arguments):
    """A token of examples/mint-token."""
    command = [str(ROOT / "examples" / "mint-token"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class Resident:
    """Samples a gateway's memory in the background, from `with` on."""

    def __init__(self, gateway):
        self.gateway, self.peak_mib, self._ended = gateway, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def _sample(self):
        while not self._ended.wait(0.05):
            with contextlib.suppress(OSError, AttributeError):
                self.peak_mib = max(self.peak_mib, self.gateway.resident_mib())


def self_signed(directory, name="tls"):
    """A certificate for 127.0.0.1, its own authority: the bytes of its two files."""
    certificate, key = pathlib.Path(directory) / f"{name}.crt", pathlib.Path(directory) / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate.read_bytes(), key.read_bytes()
