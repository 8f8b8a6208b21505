"""The proxies that are measured: the files of deploy/ with other addresses, and the same without Sidegate."""

import json
import pathlib
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "harness"))

from envoy import envoy_binary  # noqa: E402
from gateway import ROOT  # noqa: E402
from process import Pinned, free_port  # noqa: E402

CORE = 0
START_SECONDS_MAX = 20

ENVOY = (ROOT / "deploy" / "envoy" / "envoy.yaml").read_text()
NGINX = (ROOT / "deploy" / "nginx" / "sidegate.conf").read_text()
JWKS = (ROOT / "examples" / "keys" / "jwks.json").read_text()
FILTER = "                  - "
TYPES = "type.googleapis.com/envoy.extensions.filters.http"

NGINX_FRAME = """
worker_processes 1; pid {directory}/pid; error_log {directory}/errors; daemon off;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {directory}/a; proxy_temp_path {directory}/b; fastcgi_temp_path {directory}/c;
  uwsgi_temp_path {directory}/d; scgi_temp_path {directory}/e;
  upstream backend {{ server 127.0.0.1:{backend}; keepalive 256; keepalive_requests 1000000000; }}
  upstream sidegate {{ server 127.0.0.1:{sidegate}; keepalive 256; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096; {server} }} }}
"""

NGINX_BACKEND = """
    location / {{ default_type text/plain; return 200 "{body}"; }}
    location = /seen {{ return 200 "$http_x_tenant_id"; }}
"""

KEPT = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass'


class Proxy(Pinned):
    """A running proxy on a core."""

    def __init__(self, port, command, log, core=CORE):
        super().__init__(core, command, log)
        self.port = port
        deadline = time.monotonic() + START_SECONDS_MAX
        while not listens(port):
            if time.monotonic() > deadline or not self.is_alive():
                self.stop()
                raise SystemExit(f"does not start: {' '.join(command)}\n{self.last_words()}")
            time.sleep(0.02)


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


# Envoy.


def envoy(directory, text, backend, core=CORE):
    port, file = free_port(), directory / "envoy.yaml"
    file.write_text(text.replace("port_value: 10000", f"port_value: {port}").replace("port_value: 3000", f"port_value: {backend}"))
    command = [envoy_binary(), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c", str(file)]
    return Proxy(port, command, directory / "envoy.log", core)


def asking(address):
    """The file in deploy/, with Sidegate at this port or path."""
    if isinstance(address, int):
        return ENVOY.replace("port_value: 9191", f"port_value: {address}")
    there = "socket_address: { address: 127.0.0.1, port_value: 9191 }"
    return ENVOY.replace(there, f"pipe: {{ path: {address} }}")


def instead(*filters):
    """The file in deploy/, with other filters instead of the one that asks Sidegate."""
    before, rest = ENVOY.split(f"{FILTER}name: envoy.filters.http.ext_authz")
    router = rest[rest.index(f"{FILTER}name: envoy.filters.http.router"):]
    return before + "".join(f"{FILTER}{json.dumps(each)}\n" for each in filters) + router


def jwt_authn(cached):
    """Envoy's own check of a token: the claims and header fields that Sidegate is configured with."""
    provider = {
        "issuer": "https://issuer.example",
        "audiences": ["https://api.example"],
        "forward": True,
        "local_jwks": {"inline_string": JWKS},
        "payload_in_metadata": "payload",
        "normalize_payload_in_metadata": {"space_delimited_claims": ["scope"]},
        "claim_to_headers": [{"header_name": "x-tenant-id", "claim_name": "tenant_id"},
                             {"header_name": "x-client-id", "claim_name": "client_id"}],
    }
    if cached:
        provider["jwt_cache_config"] = {"jwt_cache_size": 1000}
    config = {"@type": f"{TYPES}.jwt_authn.v3.JwtAuthentication", "providers": {"demo": provider},
              "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "demo"}}]}
    return {"name": "envoy.filters.http.jwt_authn", "typed_config": config}


def rbac():
    """What route and scope are to Sidegate."""
    scope = {"filter": "envoy.filters.http.jwt_authn", "path": [{"key": "payload"}, {"key": "scope"}],
             "value": {"list_match": {"one_of": {"string_match": {"exact": "users:read"}}}}}
    get = {"header": {"name": ":method", "string_match": {"exact": "GET"}}}
    policies = {"read": {"permissions": [get], "principals": [{"metadata": scope}]}}
    config = {"@type": f"{TYPES}.rbac.v3.RBAC", "rules": {"action": "ALLOW", "policies": policies}}
    return {"name": "envoy.filters.http.rbac", "typed_config": config}


# nginx.


def nginx(directory, server, backend, sidegate=9, core=CORE):
    port, file = free_port(), directory / "nginx.conf"
    file.write_text(NGINX_FRAME.format(directory=directory, port=port, server=server, backend=backend, sidegate=sidegate))
    # Debian keeps it in a directory that is on root's PATH only.
    command = ["env", "PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", "nginx", "-e", "stderr"]
    return Proxy(port, [*command, "-c", str(file)], directory / "nginx.log", core)


def plain_nginx():
    return f"location / {{ {KEPT} http://backend; proxy_set_header Host $http_host; }}"


def asking_nginx(sidegate, kept):
    """The file in deploy/, with connections to the backend that are kept, and those to Sidegate if `kept`."""
    text = NGINX.replace("proxy_pass http://127.0.0.1:3000", f"{KEPT} http://backend")
    there = "proxy_pass http://127.0.0.1:9192"
    return text.replace(there, f"{KEPT} http://sidegate" if kept else f"proxy_pass http://127.0.0.1:{sidegate}")
