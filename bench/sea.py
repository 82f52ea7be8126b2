"""A sea of real processes on loopback, each role from a copy of the binary of its own."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time

from api import Events, call, wait

HOLM = os.environ.get("HOLM_BIN", "target/release/holm")
ENGINE = os.environ.get("HOLM_TEST_DOCKER", "").removeprefix("unix://")

PROCESS = """    runtime: process
    command: [/bin/sleep, '{seconds}']
    stop: {{ grace: 1s }}
    replicas: {n}
    restart: {{ policy: always }}
"""
CONTAINER = """    runtime: container
    image: holm-test:1
    command: [sleep, '100000']
    stop: {{ grace: 100ms }}
    replicas: {n}
    restart: {{ policy: always }}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Daemon:
    """One role as a process that can be ended and started again."""

    def __init__(self, directory, name, words, binary):
        self.name, self.data = name, directory / name
        self.log = directory / f"{name}.log"
        # A copy for each role: one shared binary would divide its pages among them.
        self.binary = directory / f"holm-{name}"
        shutil.copy(binary, self.binary)
        self.words = [str(self.binary), *words, "--data-dir", str(self.data)]
        self.socket = str(self.data / "api.sock")
        self.child = None

    def start(self, token=None):
        # In a group of its own: Ctrl-C is for the script, which ends its daemons itself.
        env = {**os.environ, **({"HOLM_TOKEN": token} if token else {})}
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.words, stderr=log, stdout=log, env=env, start_new_session=True)

    @property
    def pid(self):
        return self.child.pid

    def answers(self):
        """Whether its API does; a daemon that has ended never will."""
        if self.child.poll() is not None:
            raise SystemExit(f"the {self.name} ended: {self.log.read_text().strip()[-300:]}")
        return call(self.socket, "GET", "/api/v1/status")

    def end(self, signal):
        self.child.send_signal(signal)
        self.child.wait(30)

    def stop(self):
        if self.child and self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

    def memory(self):
        """(PSS, RSS) in MiB."""
        found = rollup(self.pid)
        return found["Pss"] / 1024, found["Rss"] / 1024


class Sea:
    """A root and what joined it; ends with everything it started."""

    def __init__(self, binary=HOLM):
        self.binary = binary
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="holm-bench-"))
        # Instances run as users of their own.
        self.dir.chmod(0o711)
        self.daemons = {}
        self.ports = {}

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for daemon in reversed(self.daemons.values()):
            daemon.stop()
        # An agent that ends leaves its instances alone.
        end_processes(str(self.dir))
        if kind is None:
            shutil.rmtree(self.dir, ignore_errors=True)
        else:
            print(f"the logs are in {self.dir}")

    def root(self):
        self.ports["root"] = free_port()
        # Many members join from this one address at once.
        words = ["--listen", f"127.0.0.1:{self.ports['root']}", "--stranger-rate", "100000"]
        self.start("root", ["root", *words])
        wait("the root answers", self.daemons["root"].answers)
        return self

    def cluster(self):
        self.ports["cluster"] = free_port()
        token = self.token("root", "cluster")
        self.start("cluster", ["cluster", "--name", "vienna", "--parent", f"127.0.0.1:{self.ports['root']}",
                               "--listen", f"127.0.0.1:{self.ports['cluster']}"], token)
        wait("the cluster answers", self.daemons["cluster"].answers)
        return self

    def node(self):
        token = self.token("cluster", "node")
        engine = ["--engine", ENGINE] if ENGINE else []
        self.start("node", ["node", "--name", "fl-1", "--parent", f"127.0.0.1:{self.ports['cluster']}", *engine],
                   token)
        wait("the node is online", lambda: [n for n in self.get("/nodes") if n["state"] == "online"])
        return self

    def start(self, name, words, token=None):
        daemon = self.daemons[name] = Daemon(self.dir, name, words, self.binary)
        daemon.start(token)

    def token(self, role, kind, uses=1):
        return call(self.daemons[role].socket, "POST", "/api/v1/tokens", {"role": kind, "uses": uses})["token"]

    @property
    def api(self):
        return self.daemons["root"].socket

    def get(self, url):
        return call(self.api, "GET", "/api/v1" + url)["items"]

    def instances(self, application):
        return self.get(f"/instances?application={application}")

    def apply(self, name, service):
        manifest = f"holm: v1\napplication: {name}\nservices:\n  web:\n" + service
        call(self.api, "PUT", f"/api/v1/projects/default/applications/{name}", manifest, "application/yaml")

    def timed_apply(self, name, service, count=1):
        """When the request began, was answered, and the last instance was RUNNING at the root."""
        with Events(self.api) as events:
            begin = time.perf_counter()
            self.apply(name, service.format(n=count, seconds=100000))
            answered = time.perf_counter()
            events.running(count, timeout=180)
            return begin, answered, time.perf_counter()

    def delete(self, name):
        call(self.api, "DELETE", f"/api/v1/projects/default/applications/{name}")
        wait(f"{name} is gone", lambda: not self.instances(name), timeout=120)


def whole_sea(binary=HOLM):
    """Root, cluster and node; the node with the engine if there is one."""
    sea = Sea(binary)
    try:
        return sea.root().cluster().node()
    except BaseException as error:
        sea.__exit__(type(error))
        raise


def rollup(pid):
    """`smaps_rollup` in KiB."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {key: int(value) for key, value in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.M)}


def end_processes(directory):
    """Ends supervisors and instances that a failed measurement left in its directory."""
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            places = [os.readlink(f"/proc/{pid}/exe"), os.readlink(f"/proc/{pid}/cwd")]
        except OSError:
            continue
        if any(place.startswith(directory + "/") for place in places):
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
