"""The backend and the peers as processes. Whatever is started here is ended here, by its id."""

import pathlib
import socket
import time

import peers
from envoy import envoy_binary
from gateway import self_signed
from plain_http import ask
from process import Pinned, free_port
from render import render

PROXY_CORE, LOAD_CORE = 0, 1
START_SECONDS_MAX = 30
BODY = "x" * 1024
CONNECTIONS_MAX = 12_000


class Field:
    """Use as a context: at its end every process is gone."""

    def __init__(self, directory, sidegate, files_max):
        self.directory, self.sidegate, self.files_max = pathlib.Path(directory), sidegate, files_max
        self.started = []
        certificate, key = self_signed(directory)
        (self.directory / "tls.pem").write_bytes(certificate + key)
        files = self.directory / "files"
        files.mkdir()
        (files / "64k").write_bytes(b"x" * 64 * 1024)
        (files / "1m").write_bytes(b"x" * 1024 * 1024)
        # Static files answer a POST for it with 405, which the backend's configuration makes 200.
        (files / "upload").write_bytes(b"x")
        self.backend_port = free_port()

    def __enter__(self):
        try:
            values = {"dir": self.directory, "port": self.backend_port, "body": BODY, "files_max": self.files_max}
            config = self.write("backend.conf", "backend.conf", values)
            self.backend = self.pinned(LOAD_CORE, ["nginx", "-c", config], "backend")
            wait_for(self.backend, self.backend_port)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.started:
            process.stop()

    def write(self, template, name, values, switches=(), routes=()):
        path = self.directory / name
        path.write_text(render((peers.CONFIG / template).read_text(), values, switches, routes))
        return str(path)

    def pinned(self, core, command, name):
        process = Pinned(core, command, self.directory / f"{name}.out", cwd=self.directory)
        self.started.append(process)
        return process

    def start(self, peer, workload):
        """A peer as a workload wants it. It may not listen yet."""
        port = free_port()
        values = {
            "dir": self.directory, "port": port, "admin_port": free_port(), "backend_port": self.backend_port,
            "alg": workload.algorithm, "files_max": self.files_max, "connections_max": CONNECTIONS_MAX,
        }
        routes = [{"n": number, "scope": workload.needed_scope(number)} for number in workload.route_numbers()]
        switches = workload.switches() | peer.switches
        # Named after the peer, because two may have a template in common.
        config, *_ = [self.write(template, peer.name + pathlib.Path(template).suffix, values, switches, routes)
                      for template in peer.templates]
        programs = {"@config@": config, "@envoy@": envoy_binary(), "@sidegate@": self.sidegate}
        command = [programs.get(word, word) for word in peer.command]
        return Running(peer, workload, port, self.pinned(PROXY_CORE, command, peer.name))

    def stop(self, running):
        running.process.stop()
        self.started.remove(running.process)


class Running:
    """A peer that was started."""

    def __init__(self, peer, workload, port, process):
        self.peer, self.workload, self.port, self.process = peer, workload, port, process

    def ask(self, path, token=None, **headers):
        return ask(self.port, path, token, tls=self.workload.tls, **headers)

    def wait(self):
        wait_for(self.process, self.port)


def wait_for(process, port):
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.is_alive():
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.005)
    raise SystemExit(f"{process.name} does not listen on port {port}: {process.last_words()}")
