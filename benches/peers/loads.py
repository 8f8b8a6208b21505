"""The loads: each is put on one peer for some seconds and says what came of it."""

import dataclasses
import itertools
import json
import random
import re
import subprocess
import sys

import checks
import peers
import tokens
from workloads import NUMBERS_FROM, NUMBERS_TO

WRK = peers.CONFIG.parent / "wrk"
OPEN_LOOP = peers.ROOT / "benches" / "harness" / "open_loop.py"
ROTATING = 10_000
PATHS = 10_000
# More than any peer verifies in a second.
NEW_TOKENS_PER_SECOND = 50_000
H2_CONNECTIONS, H2_STREAMS = 8, 8


@dataclasses.dataclass(frozen=True)
class Shape:
    """How heavy the load is."""

    seconds: int
    connections: int
    rate: int


class Loads:
    """What the loads need is made once for a workload."""

    def __init__(self, directory, kept, shape, key):
        self.directory, self.kept, self.shape, self.key = directory, kept, shape, key
        self.token = tokens.mint(key, scope="users:read users:write")

    def prepare(self, workload):
        getattr(self, f"prepare_{workload.load}", lambda _: None)(workload)

    def warm(self, running):
        """What was not seen before is a workload of its own."""
        if running.workload.load == "tokens_in_rotation":
            seconds = self.shape.seconds
            while self.tokens_in_rotation(running, seconds)["requests"] < ROTATING:
                seconds *= 2

    def run(self, running):
        """Requests that were answered, and whatever else the generator measured."""
        return getattr(self, running.workload.load)(running)

    # --- with wrk ---

    def same_request(self, running):
        return self.wrk(running, options=self.authorization())

    def prepare_tokens_in_rotation(self, _):
        with tokens.many(ROTATING, self.kept).open() as lines:
            (self.directory / "rotating").write_text("".join(itertools.islice(lines, ROTATING)))

    def tokens_in_rotation(self, running, seconds=None):
        arguments = ["tokens", self.directory / "rotating", running.workload.path]
        return self.wrk(running, "lines.lua", script_arguments=arguments, seconds=seconds)

    def prepare_new_tokens(self, _):
        self.new = tokens.many(NEW_TOKENS_PER_SECOND * self.shape.seconds, self.kept)

    def new_tokens(self, running):
        made = self.wrk(running, "lines.lua", script_arguments=["tokens", self.new, running.workload.path])
        if made["requests"] + self.shape.connections > NEW_TOKENS_PER_SECOND * self.shape.seconds:
            raise SystemExit("the new tokens were used up: raise NEW_TOKENS_PER_SECOND")
        return made

    def prepare_random_paths(self, workload):
        dice = random.Random(workload.name)
        others = range(NUMBERS_FROM, NUMBERS_TO)
        paths = [f"/v1/r{dice.choice(workload.route_numbers())}/{dice.choice(others)}" for _ in range(PATHS)]
        (self.directory / workload.name).write_text("\n".join(paths))

    def random_paths(self, running):
        return self.wrk(running, "lines.lua", script_arguments=["paths", self.directory / running.workload.name, self.token])

    def upload(self, running):
        return self.wrk(running, "upload.lua", options=self.authorization())

    def wrk(self, running, script=None, options=(), script_arguments=(), seconds=None):
        with_script = ["-s", WRK / script] if script else []
        with_arguments = ["--", *script_arguments] if script_arguments else []
        output = generate("wrk", "-t1", f"-c{self.shape.connections}", f"-d{seconds or self.shape.seconds}s",
                          *with_script, *options, url(running), *with_arguments)
        if "Non-2xx" in output or "Socket errors" in output:
            raise SystemExit(f"{running.peer.name}, {running.workload.name}: requests failed:\n{output}")
        # wrk's own count of seconds: it ends up to a tenth of a second late.
        requests, seconds = re.search(r"(\d+) requests in ([\d.]+)s", output).groups()
        return {"requests": int(requests), "seconds": float(seconds)}

    # --- with others ---

    def http2(self, running):
        output = generate("h2load", "-t1", f"-c{H2_CONNECTIONS}", f"-m{H2_STREAMS}", f"-D{self.shape.seconds}",
                          *self.authorization(), url(running))
        if not re.search(r" 0 failed, 0 errored, 0 timeout", output) or "Application protocol: h2" not in output:
            raise SystemExit(f"{running.peer.name}, {running.workload.name}: requests failed:\n{output}")
        good = int(re.search(r"status codes: (\d+) 2xx", output).group(1))
        seconds = re.search(r"finished in ([\d.]+)s", output).group(1)
        return {"requests": good, "seconds": float(seconds)}

    def steady_rate(self, running):
        options = {"port": running.port, "path": running.workload.path, "token": self.token, "rate": self.shape.rate,
                   "seconds": self.shape.seconds, "connections": self.shape.connections}
        return json.loads(generate(sys.executable, "-B", OPEN_LOOP, json.dumps(options)))

    def authorization(self):
        return ["-H", f"Authorization: Bearer {self.token}"]


def url(running):
    workload = running.workload
    path = checks.path_of(workload) if workload.routes else workload.path
    return f"{'https' if workload.tls else 'http'}://127.0.0.1:{running.port}{path}"


def generate(*command):
    """Runs a load generator, on the core that this process is on."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stdout}{done.stderr}")
    return done.stdout
