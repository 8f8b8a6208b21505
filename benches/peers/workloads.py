"""What is asked of the peers."""

import dataclasses

ALL = ("sidegate", "nginx", "haproxy-tcp", "haproxy", "haproxy-jwt", "envoy", "envoy-jwt", "envoy-jwt-cache")
CHECKING = ("sidegate", "haproxy-jwt", "envoy-jwt", "envoy-jwt-cache")
# Where it is not the check that is asked about, Envoy's without the cache says nothing new.
WITHOUT_UNCACHED = tuple(name for name in ALL if name != "envoy-jwt")
# Numbers of four digits for routes and what is behind them: paths are of one length, whatever the size of the table.
NUMBERS_FROM, NUMBERS_TO = 1_000, 10_000


@dataclasses.dataclass(frozen=True)
class Workload:
    """One kind of load. `load` is a function of loads.py, by name."""

    name: str
    what: str
    load: str
    peers: tuple
    path: str = "/v1/users/7"
    algorithm: str = "RS256"
    tls: bool = False
    routes: int = 0
    # Whether the bodies are so large that a peer is tuned for them.
    large: bool = False
    # Whether each round needs processes that have seen nothing yet.
    fresh: bool = False

    def switches(self):
        return {"tls" if self.tls else "plain", "many" if self.routes else "one"} | ({"large"} if self.large else set())

    def route_numbers(self):
        assert NUMBERS_FROM + self.routes <= NUMBERS_TO
        return range(NUMBERS_FROM, NUMBERS_FROM + self.routes)

    def needed_scope(self, route):
        return "users:write" if route % 2 else "users:read"


WORKLOADS = [
    Workload("one-token", "one token, answers of 1 KiB", "same_request", ALL),
    Workload("10k-tokens", "10,000 tokens in rotation", "tokens_in_rotation", ALL),
    Workload("new-tokens", "a new token with each request", "new_tokens", CHECKING, fresh=True),
    Workload("es256", "one token of ES256", "same_request", CHECKING, algorithm="ES256"),
    Workload("tls", "TLS 1.3 in front, P-256", "same_request", WITHOUT_UNCACHED, tls=True),
    Workload("h2", "HTTP/2 with TLS 1.3 in front, 8 connections with 8 streams each", "http2", WITHOUT_UNCACHED, tls=True),
    Workload("routes-10", "10 routes with scopes, random paths", "random_paths", CHECKING, routes=10),
    Workload("routes-5000", "5,000 routes with scopes, random paths", "random_paths", CHECKING, routes=5_000),
    Workload("get-64k", "answers of 64 KiB", "same_request", WITHOUT_UNCACHED, path="/files/64k", large=True),
    Workload("get-1m", "answers of 1 MiB", "same_request", WITHOUT_UNCACHED, path="/files/1m", large=True),
    Workload("post-64k", "requests with 64 KiB", "upload", WITHOUT_UNCACHED, path="/upload", large=True),
    Workload("fixed-rate", "a steady rate, one token, answers of 1 KiB", "steady_rate", WITHOUT_UNCACHED),
]


def left_out(workload, peer):
    """Why a peer is not asked, or nothing."""
    if workload.name in peer.cannot:
        return peer.cannot[workload.name]
    if peer.name not in workload.peers:
        return "as with one token" if not peer.checks else "as envoy-jwt-cache, which remembers the token"
    return None
