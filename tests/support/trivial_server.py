"""A user server small enough to start in a tenth of a second; it tells who it is and what it sees."""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

VERSION = os.environ.get("TRIVIAL_HUB_VERSION", "6.1.1")
SHOWN = (
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "AIPLATFORM_ALLOCATION_ID",
    "HOME",
    "USER",
    "JUPYTERHUB_USER",
    "JUPYTERHUB_SERVER_NAME",
    "OMP_NUM_THREADS",
)
eaten = []


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.endswith("/eat-memory"):
            eaten.append(b"x" * (2 << 30))
        shown = {name: os.environ.get(name) for name in SHOWN}
        body = json.dumps({"pid": os.getpid(), "uid": os.getuid(), "names": sorted(os.environ), "environment": shown, "path": self.path}).encode()
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", VERSION)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


if __name__ == "__main__":
    if "--fail" in sys.argv:
        print("cannot start: the <b>flux</b> capacitor is missing", file=sys.stderr)
        sys.exit(1)
    if os.getpid() == 1:  # the first process of a container hears no signal that it does not handle
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if "--slow" in sys.argv:
        time.sleep(3)
    address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    ThreadingHTTPServer((address.hostname or "0.0.0.0", address.port), Answer).serve_forever()
