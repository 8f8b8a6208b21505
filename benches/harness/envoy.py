"""Where Envoy is."""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def envoy_binary():
    """The binary in Envoy's wheel. What the wheel puts on the PATH is a script that ends by executing it."""
    for path in ROOT.glob("target/tools/venv/lib/*/site-packages/envoy/_bin/envoy"):
        return str(path)
    raise SystemExit("no Envoy in target/tools: run tests/install-tools")
