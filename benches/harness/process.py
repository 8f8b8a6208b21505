"""A process pinned to a core, and what it costs: CPU time and memory of it and of its children."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import time

STOP_SECONDS_MAX = 10
# Below the range that outgoing connections take their ports from.
PORTS_LEFT = iter(range(20_000, 30_000))


class Pinned:
    """A process on one core, from its first instruction on."""

    def __init__(self, core, command, log, **options):
        self.name = pathlib.Path(command[0]).name
        self.log = pathlib.Path(log)
        mine = os.sched_getaffinity(0)
        # The child inherits it; taskset would be one more exec to wait for.
        os.sched_setaffinity(0, {core})
        try:
            with self.log.open("wb") as file:
                self.started = time.monotonic()
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, **options)
        finally:
            os.sched_setaffinity(0, mine)

    def tree(self):
        return descendants(self.process.pid)

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def resident_kib(self):
        return sum(resident_kib(pid) for pid in self.tree())

    def is_alive(self):
        return self.process.poll() is None

    def last_words(self):
        return self.log.read_text(errors="replace")[-2_000:]

    def stop(self):
        """Two signals: a gateway takes the second one as not to wait for what is in flight."""
        if self.is_alive():
            children = self.tree()[1:]
            self.process.terminate()
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                for pid in children:
                    kill(pid)
                self.process.kill()
        self.process.wait()


def kill(pid):
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        pass


def descendants(pid):
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [other for child in children for other in descendants(int(child))]


def cpu_clock(pid):
    """The clock that clock_getcpuclockid(3) finds: user and system time of all threads, which /proc shows in hundredths of
    a second."""
    return (~pid << 3) | 2


def cpu_seconds(pid):
    """What a process and its children have spent."""
    return sum(time.clock_gettime_ns(cpu_clock(each)) for each in descendants(pid)) / 1e9


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))


def free_port():
    """A port that nothing listens on and that nobody was given before."""
    for port in PORTS_LEFT:
        if is_free(port):
            return port
    raise SystemExit("no port is free")


def is_free(port):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
