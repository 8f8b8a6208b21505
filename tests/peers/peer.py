"""What every peer has in common: it says where it listens, and it does not outlive who started it."""

import json
import os
import threading
import time

SECONDS_MAX = 600


def say(**fields):
    """Prints one line of JSON, for whoever started this process to wait for."""
    print(json.dumps(fields) + "\n", end="", flush=True)


def end_with_parent():
    """Ends this process when its parent has ended, or after SECONDS_MAX, whatever else it is doing."""
    parent = os.getppid()
    deadline = time.monotonic() + SECONDS_MAX

    def watch():
        while os.getppid() == parent and time.monotonic() < deadline:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
