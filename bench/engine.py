"""The engine used directly, as what Holm is compared with."""

import concurrent.futures
import os
import subprocess
import time

from api import call, wait
from sea import ENGINE

IMAGE = "holm-test:1"
COMMAND = ["sleep", "100000"]


def run(name):
    """Create + start through the engine's API; the container's id."""
    made = call(ENGINE, "POST", f"/containers/create?name=bench-{os.getpid()}-{name}", {"Image": IMAGE, "Cmd": COMMAND})
    call(ENGINE, "POST", f"/containers/{made['Id']}/start")
    return made["Id"]


def remove(container):
    call(ENGINE, "DELETE", f"/containers/{container}?force=1")


def timed_run(name):
    """Milliseconds of create + start."""
    begin = time.perf_counter()
    container = run(name)
    took = (time.perf_counter() - begin) * 1000
    remove(container)
    return took


def timed_cli():
    """Milliseconds of `docker run -d`."""
    begin = time.perf_counter()
    words = ["docker", "-H", f"unix://{ENGINE}", "run", "-d", IMAGE, *COMMAND]
    made = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    took = (time.perf_counter() - begin) * 1000
    remove(made)
    return took


def timed_batch(count, parallel):
    """Milliseconds of `count` times create + start with `parallel` requests at one time."""
    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        begin = time.perf_counter()
        made = list(pool.map(run, range(count)))
        took = (time.perf_counter() - begin) * 1000
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(remove, made))
    return took


class Swarm:
    """Swarm mode of the private engine, left at the end."""

    def __enter__(self):
        port = 23000 + os.getpid() % 1000
        call(ENGINE, "POST", "/swarm/init", {"ListenAddr": f"127.0.0.1:{port}", "AdvertiseAddr": "127.0.0.1"})
        # By its id: a name makes Swarm ask a registry first.
        self.image = call(ENGINE, "GET", f"/images/{IMAGE}/json")["Id"]
        return self

    def __exit__(self, *_):
        call(ENGINE, "POST", "/swarm/leave?force=1")
        try:
            call(ENGINE, "DELETE", "/networks/docker_gwbridge")
        except RuntimeError:
            pass  # Only there once a task has needed it.

    def timed_service(self, replicas):
        """Milliseconds from `service create` until all its tasks are running."""
        task = {"ContainerSpec": {"Image": self.image, "Command": COMMAND, "StopGracePeriod": 100_000_000}}
        spec = {"Name": f"bench-{time.monotonic_ns()}", "TaskTemplate": task,
                "Mode": {"Replicated": {"Replicas": replicas}}}
        begin = time.perf_counter()
        made = call(ENGINE, "POST", "/services/create", spec)["ID"]

        def states():
            url = "/tasks?filters=%7B%22service%22%3A%5B%22" + made + "%22%5D%7D"
            tasks = call(ENGINE, "GET", url)
            return sum(task["Status"]["State"] == "running" for task in tasks) >= replicas

        wait("the tasks run", states, timeout=120, pause=0.005)
        took = (time.perf_counter() - begin) * 1000
        call(ENGINE, "DELETE", f"/services/{made}")
        wait("the tasks are gone", lambda: not call(ENGINE, "GET", "/containers/json?all=1&filters="
             "%7B%22label%22%3A%5B%22com.docker.swarm.service.id%3D" + made + "%22%5D%7D"), timeout=120, pause=0.1)
        return took
