"""Clients of an orchestrator's API and of a container engine, both on Unix sockets."""

import http.client
import json
import socket
import time


class UnixHttp(http.client.HTTPConnection):
    """HTTP over a Unix socket; one connection per request, as the engine's own client does."""

    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(self.path)


def call(path, method, url, body=None, kind="application/json"):
    """The answer, decoded when it is JSON; RuntimeError for a status of 400 and above."""
    connection = UnixHttp(path)
    data = body if isinstance(body, (str, type(None))) else json.dumps(body)
    connection.request(method, url, data, {"Content-Type": kind} if data else {})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status >= 400:
        raise RuntimeError(f"{method} {url}: {answer.status} {text[:300]!r}")
    return json.loads(text) if text.strip().startswith((b"{", b"[")) else text


def wait(what, condition, timeout=60, pause=0.02):
    """What `condition` finds; asked again while it finds nothing or nobody answers."""
    end = time.monotonic() + timeout
    last = None
    while time.monotonic() < end:
        try:
            if found := condition():
                return found
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            last = error
        time.sleep(pause)
    raise RuntimeError(f"waited {timeout} s in vain: {what}" + (f" ({last})" if last else ""))


class Events:
    """The event stream of an orchestrator, open while something is measured."""

    def __init__(self, path):
        self.connection = UnixHttp(path)
        self.connection.request("GET", "/api/v1/events", headers={"Accept": "text/event-stream"})
        self.answer = self.connection.getresponse()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def running(self, count=1, timeout=60):
        """Waits until `count` instances have become RUNNING."""
        end = time.perf_counter() + timeout
        seen = set()
        while time.perf_counter() < end:
            line = self.answer.fp.readline()
            if not line.startswith(b"data:"):
                continue
            event = json.loads(line[5:])
            if event.get("kind") == "instance" and event["to"] == "RUNNING":
                seen.add(event["subject"])
                if len(seen) >= count:
                    return
        raise RuntimeError(f"{len(seen)} of {count} instances became RUNNING within {timeout} s")
