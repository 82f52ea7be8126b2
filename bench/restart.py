#!/usr/bin/env python3
"""What workloads notice when root, cluster or agent end and come back: nothing, or this fails."""

import json
import pathlib
import signal
import time

from api import call, wait
from report import part
from sea import CONTAINER, ENGINE, PROCESS, whole_sea

LIMIT = 600
COUNT = 4
APPS = ("steady", "boxed")
ALL = COUNT + (COUNT if ENGINE else 0)


def rows(sea):
    """{instance: what the root says of its life}, once all of them are RUNNING there."""
    found = [row for app in APPS for row in sea.instances(app)]
    if len(found) == ALL and all(row["state"] == "RUNNING" for row in found):
        return {row["id"]: (row["node"], row["restarts"]) for row in found}
    return None


def processes(sea):
    """{instance: (pid, start time in ticks)}, of programs that live."""
    found = {}
    for running in sea.daemons["node"].data.rglob("running.json"):
        pid = json.loads(running.read_text())["program"]
        stat = pathlib.Path(f"/proc/{pid}/stat")
        found[running.parent.name] = (pid, stat.read_text().rsplit(")", 1)[1].split()[19] if stat.exists() else None)
    return found


def containers():
    """{container: (pid, when it was started)}"""
    if not ENGINE:
        return {}
    listed = call(ENGINE, "GET", "/containers/json?all=1")
    ids = [entry["Id"] for entry in listed if entry["Names"][0].startswith("/holm-")]
    states = {one: call(ENGINE, "GET", f"/containers/{one}/json")["State"] for one in ids}
    return {one: (state["Pid"], state["StartedAt"], state["Running"]) for one, state in states.items()}


def life(sea):
    return {**wait("all instances are RUNNING at the root", lambda: rows(sea)),
            **{f"process {key}": value for key, value in processes(sea).items()},
            **{f"container {key}": value for key, value in containers().items()}}


def restart(sea, name, how):
    """Ends a daemon, starts it again, waits until something new runs; (touched workloads, seconds)."""
    before = life(sea)
    sea.daemons[name].end(how)
    time.sleep(1)
    begin = time.perf_counter()
    sea.daemons[name].start()
    wait("the root answers", sea.daemons["root"].answers, pause=0.005)
    _, _, end = sea.timed_apply("probe", PROCESS)
    sea.delete("probe")
    # A mistake would show when lists and facts have been compared, not before.
    time.sleep(5)
    after = life(sea)
    return [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)], end - begin


def main():
    touched_in_all = []
    with part("restart", LIMIT) as report, whole_sea() as sea:
        sea.timed_apply("steady", PROCESS, COUNT)
        if ENGINE:
            sea.timed_apply("boxed", CONTAINER, COUNT)
        for name in sea.daemons:
            for how in (signal.SIGTERM, signal.SIGKILL):
                touched, back = restart(sea, name, how)
                touched_in_all += touched
                report.row(f"{name} ended by {how.name} and started: workloads touched of {ALL}", "number",
                           [len(touched)], goal=0)
                report.row("… from its start until something new runs through all tiers", "s", [back])
        for app in APPS if ENGINE else APPS[:1]:
            sea.delete(app)
    if touched_in_all:
        raise SystemExit(f"workloads were touched: {', '.join(touched_in_all)}")


if __name__ == "__main__":
    main()
