#!/usr/bin/env python3
"""Apply -> RUNNING through three tiers, beside the engine's own API in the same run.

Starts a private root, cluster and node (and, with an engine, uses it), all with real TLS on loopback.
Prints Markdown. Needs only Python and the release binary; HOLM_TEST_DOCKER=unix://... names an engine
that has the image holm-test:1 (`cargo xtask bench` sees to both).
"""

import http.client
import json
import os
import pathlib
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HOLM = os.environ.get("HOLM_BIN", "target/release/holm")
ENGINE = os.environ.get("HOLM_TEST_DOCKER", "").removeprefix("unix://")
PAIRS = int(os.environ.get("HOLM_BENCH_PAIRS", "50"))
IMAGE = "holm-test:1"


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
    connection = UnixHttp(path)
    data = body if isinstance(body, (str, type(None))) else json.dumps(body)
    connection.request(method, url, data, {"Content-Type": kind} if data else {})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status >= 400:
        raise RuntimeError(f"{method} {url}: {answer.status} {text[:300]!r}")
    return json.loads(text) if text.strip().startswith((b"{", b"[")) else text


class Events:
    """The event stream of an orchestrator, open while something is measured."""

    def __init__(self, path):
        self.connection = UnixHttp(path)
        self.connection.request("GET", "/api/v1/events", headers={"Accept": "text/event-stream"})
        self.answer = self.connection.getresponse()

    def until(self, wanted, count=1, timeout=60):
        end = time.perf_counter() + timeout
        seen = set()
        while time.perf_counter() < end:
            line = self.answer.fp.readline()
            if not line.startswith(b"data:"):
                continue
            event = json.loads(line[5:])
            if event.get("kind") == "instance" and wanted(event):
                seen.add(event["subject"])
                if len(seen) >= count:
                    return seen
        raise RuntimeError("the event did not come")

    def close(self):
        self.connection.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Sea:
    """A root, a cluster and a node as real processes."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.children = {}
        root, cluster = free_port(), free_port()
        self.root = str(self.dir / "root" / "api.sock")
        self.start("root", ["root", "--listen", f"127.0.0.1:{root}"])
        self.wait_socket(self.root)
        token = self.token(self.root, "cluster")
        self.start("cluster", ["cluster", "--name", "vienna", "--parent", f"127.0.0.1:{root}",
                               "--listen", f"127.0.0.1:{cluster}"], token)
        self.cluster = str(self.dir / "cluster" / "api.sock")
        self.wait_socket(self.cluster)
        token = self.token(self.cluster, "node")
        engine = ["--engine", ENGINE] if ENGINE else []
        self.start("node", ["node", "--name", "fl-1", "--parent", f"127.0.0.1:{cluster}", *engine], token)
        self.wait(lambda: [n for n in self.nodes() if n["state"] == "online"])

    def nodes(self):
        return call(self.root, "GET", "/api/v1/nodes")["items"]

    def instances(self, application):
        return call(self.root, "GET", f"/api/v1/instances?application={application}")["items"]

    def start(self, name, words, token=None):
        env = dict(os.environ)
        if token:
            env["HOLM_TOKEN"] = token
        log = open(self.dir / f"{name}.log", "ab")
        # A copy for each role: one shared binary would divide its pages among the three.
        binary = self.dir / f"holm-{name}"
        shutil.copy(HOLM, binary)
        words = [str(binary), *words, "--data-dir", str(self.dir / name)]
        self.children[name] = subprocess.Popen(words, stderr=log, stdout=log, env=env)

    def token(self, path, role):
        return call(path, "POST", "/api/v1/tokens", {"role": role})["token"]

    def wait(self, condition, timeout=60):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                if found := condition():
                    return found
            except (OSError, RuntimeError):
                pass
            time.sleep(0.02)
        raise RuntimeError("waited in vain; see the logs in " + str(self.dir))

    def wait_socket(self, path):
        self.wait(lambda: call(path, "GET", "/api/v1/status"))

    def memory(self, name):
        """(PSS, RSS) in MiB."""
        rollup = pathlib.Path(f"/proc/{self.children[name].pid}/smaps_rollup").read_text()
        fields = dict(line.split(":", 1) for line in rollup.splitlines()[1:] if ":" in line)
        return tuple(int(fields[key].split()[0]) / 1024 for key in ("Pss", "Rss"))

    def apply(self, name, service):
        manifest = f"holm: v1\napplication: {name}\nservices:\n  web:\n" + service
        url = f"/api/v1/projects/default/applications/{name}"
        call(self.root, "PUT", url, manifest, "application/yaml")

    def delete(self, name):
        call(self.root, "DELETE", f"/api/v1/projects/default/applications/{name}")
        self.wait(lambda: not self.instances(name))

    def stop(self):
        for child in reversed(list(self.children.values())):
            child.terminate()
        for child in self.children.values():
            child.wait()


PROCESS = "    runtime: process\n    command: [/bin/sleep, '100000']\n    stop: {{ grace: 1s }}\n    replicas: {n}\n"
CONTAINER = ("    runtime: container\n    image: holm-test:1\n    command: [sleep, '100000']\n"
             "    stop: {{ grace: 1s }}\n    replicas: {n}\n    restart: {{ policy: always }}\n")


def running(event):
    return event["to"] == "RUNNING"


def timed_apply(sea, name, service, count=1):
    """Milliseconds from the request to (the answer, the last RUNNING at the root)."""
    events = Events(sea.root)
    start = time.perf_counter()
    sea.apply(name, service.format(n=count))
    answered = time.perf_counter()
    events.until(running, count)
    end = time.perf_counter()
    events.close()
    return (answered - start) * 1000, (end - start) * 1000


def engine_run(number):
    """Milliseconds for create + start through the engine's API."""
    start = time.perf_counter()
    made = call(ENGINE, "POST", f"/containers/create?name=bench-{os.getpid()}-{number}",
                {"Image": IMAGE, "Cmd": ["sleep", "100000"]})
    call(ENGINE, "POST", f"/containers/{made['Id']}/start")
    took = (time.perf_counter() - start) * 1000
    call(ENGINE, "DELETE", f"/containers/{made['Id']}?force=1")
    return took


def row(what, values):
    low, mid, high = min(values), statistics.median(values), max(values)
    print(f"| {what} | {low:.1f} | {mid:.1f} | {high:.1f} | {len(values)} |")
    return mid


def commits(sea):
    """What a durable commit costs here: three rows into SQLite with synchronous=FULL."""
    import sqlite3
    database = sqlite3.connect(sea.dir / "probe.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE t(k PRIMARY KEY, v)")
    times = []
    for number in range(200):
        start = time.perf_counter()
        database.execute("BEGIN IMMEDIATE")
        for column in range(3):
            database.execute("INSERT OR REPLACE INTO t VALUES(?, ?)", (column, number))
        database.execute("COMMIT")
        times.append((time.perf_counter() - start) * 1000)
    return times


def main():
    print(f"Machine: {platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}.")
    size = pathlib.Path(HOLM).stat().st_size / 1e6
    print(f"Binary `{HOLM}`: {size:.1f} MB.\n")
    with tempfile.TemporaryDirectory(prefix="holm-bench-") as directory:
        sea = Sea(directory)
        try:
            measure(sea)
        finally:
            sea.stop()


def measure(sea):
    time.sleep(2)
    print("| role, idle | PSS MiB | RSS MiB |\n| --- | ---: | ---: |")
    for name in ("root", "cluster", "node"):
        pss, rss = sea.memory(name)
        print(f"| {name} | {pss:.1f} | {rss:.1f} |")
    print("\n| what, ms | min | median | max | n |\n| --- | ---: | ---: | ---: | ---: |")
    row("one commit of three rows (the same disk)", commits(sea))
    answers, processes = [], []
    for number in range(PAIRS):
        answer, run = timed_apply(sea, f"p{number}", PROCESS)
        answers.append(answer)
        processes.append(run)
        sea.delete(f"p{number}")
    row("API answer to an apply", answers)
    row("process: apply → RUNNING", processes)
    _, fifty = timed_apply(sea, "fifty", PROCESS, 50)
    row("50 processes: apply → the last RUNNING", [fifty])
    sea.delete("fifty")
    if not ENGINE:
        print("\nNo engine (HOLM_TEST_DOCKER): containers were not measured.")
        return
    direct, through, differences = [], [], []
    for number in range(PAIRS):
        direct.append(engine_run(number))
        through.append(timed_apply(sea, f"c{number}", CONTAINER)[1])
        differences.append(through[-1] - direct[-1])
        sea.delete(f"c{number}")
    row("container: create + start, engine's API", direct)
    row("container: apply → RUNNING", through)
    row("container: paired difference", differences)
    cli = []
    for number in range(10):
        start = time.perf_counter()
        made = subprocess.run(["docker", "-H", f"unix://{ENGINE}", "run", "-d", IMAGE, "sleep", "100000"],
                              check=True, capture_output=True, text=True).stdout.strip()
        cli.append((time.perf_counter() - start) * 1000)
        call(ENGINE, "DELETE", f"/containers/{made}?force=1")
    row("`docker run -d`", cli)
    kills = []
    timed_apply(sea, "killed", CONTAINER)
    for _ in range(10):
        instance = next(i for i in sea.instances("killed") if i["state"] == "RUNNING")
        events = Events(sea.root)
        start = time.perf_counter()
        call(ENGINE, "POST", f"/containers/holm-{instance['id']}/kill")
        events.until(running)
        kills.append((time.perf_counter() - start) * 1000)
        events.close()
    row("container killed → RUNNING again (policy always)", kills)
    sea.delete("killed")


if __name__ == "__main__":
    sys.exit(main())
