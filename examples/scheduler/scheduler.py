#!/usr/bin/env python3
"""A scheduler of one's own for Holm, with nothing but the standard library.

It takes the node whose label `watts` is the least, and asks for no more than docs/scheduler.openapi.json says:

    python3 scheduler.py 8080 &
    holm cluster --scheduler green=http://127.0.0.1:8080/ ...

and in a manifest: `placement: { strategy: { external: green } }`.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def watts(candidate):
    """What running there costs; those that do not tell come last."""
    try:
        return float(candidate["labels"]["watts"])
    except (KeyError, ValueError):
        return float("inf")


def rank(question):
    """Ids of the candidates, the best first."""
    best = sorted(question["candidates"], key=lambda candidate: (watts(candidate), candidate["own"]))
    return [candidate["id"] for candidate in best]


class Scheduler(BaseHTTPRequestHandler):
    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"ranking": rank(question)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    server = ThreadingHTTPServer(("127.0.0.1", port), Scheduler)
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()
