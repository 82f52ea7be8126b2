#!/usr/bin/env python3
"""Apply -> RUNNING through three tiers, beside the engine's own API in the same run."""

import json
import os
import signal
import sqlite3
import time

import engine
from api import Events, call
from disk import Syncs
from report import part, times
from sea import CONTAINER, ENGINE, PROCESS, whole_sea

LIMIT = 900


def commits(sea, count):
    """What a durable commit costs here: three rows into SQLite with synchronous=FULL; milliseconds."""
    database = sqlite3.connect(sea.dir / "probe.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE t(k PRIMARY KEY, v)")
    for number in range(count):
        begin = time.perf_counter()
        database.execute("BEGIN IMMEDIATE")
        for column in range(3):
            database.execute("INSERT OR REPLACE INTO t VALUES(?, ?)", (column, number))
        database.execute("COMMIT")
        yield (time.perf_counter() - begin) * 1000
    database.close()


def watch(sea):
    return Syncs({name: daemon.pid for name, daemon in sea.daemons.items()})


def processes(report, sea):
    """One process each time; the disk is watched meanwhile."""
    runs = []
    report.say("processes")
    with watch(sea) as syncs:
        for number in range(times(50)):
            runs.append(sea.timed_apply(f"p{number}", PROCESS))
            sea.delete(f"p{number}")
    report.row("API answer to an apply", "ms", [(answered - begin) * 1000 for begin, answered, _ in runs])
    report.row("process: apply → RUNNING", "ms", [(end - begin) * 1000 for begin, _, end in runs])
    if not syncs.spans:
        report.note("commits in place were not measured: that needs root and the kernel's tracefs")
        return
    for name in sea.daemons:
        report.row(f"… of it commits at the {name}", "ms", [syncs.within(b, e, name)[0] for b, _, e in runs])
    report.row("… commits in all (fdatasync)", "number", [syncs.within(b, e)[1] for b, _, e in runs])
    less = [(e - b) * 1000 - syncs.within(b, e)[0] for b, _, e in runs]
    report.row("process: apply → RUNNING, less its commits", "ms", less, goal=10)
    less = [(a - b) * 1000 - syncs.within(b, a, "root")[0] for b, a, _ in runs]
    report.row("API answer, less its commit", "ms", less, goal=10)


def kill_process(sea, instance):
    running = next(sea.daemons["node"].data.rglob(f"{instance}/running.json"))
    os.kill(json.loads(running.read_text())["program"], signal.SIGKILL)


def kill_container(_, instance):
    call(ENGINE, "POST", f"/containers/holm-{instance}/kill")


def kills(report, sea, what, service, kill, goal=None):
    """Each instance is killed once: the second failure in a row would wait by policy."""
    report.say(f"kills: {what}")
    count, took = times(10), []
    sea.timed_apply("killed", service, count)
    time.sleep(1)
    for instance in sea.instances("killed"):
        with Events(sea.api) as events:
            begin = time.perf_counter()
            kill(sea, instance["id"])
            events.running()
            took.append((time.perf_counter() - begin) * 1000)
    report.row(f"{what} killed → RUNNING again (`always`)", "ms", took, goal)
    sea.delete("killed")


def containers(report, sea):
    """Engine and Holm in turn; who is first alternates."""
    direct, runs, cli = [], [], []
    count = times(50)

    def holm(number):
        runs.append(sea.timed_apply(f"c{number}", CONTAINER))
        sea.delete(f"c{number}")

    def alone(number):
        direct.append(engine.timed_run(number))

    with watch(sea) as syncs:
        for number in range(count):
            for measure in (holm, alone) if number % 2 else (alone, holm):
                measure(number)
            if number % 5 == 0:
                cli.append(engine.timed_cli())
                report.say(f"pair {number + 1} of {count}")
    through = [(end - begin) * 1000 for begin, _, end in runs]
    report.row("container: create + start, engine's API", "ms", direct)
    report.row("container: apply → RUNNING", "ms", through)
    goal = 25
    if syncs.spans:
        goal += report.row("… of it commits", "ms", [syncs.within(b, e)[0] for b, _, e in runs])
    report.row("container: paired difference", "ms", [b - a for a, b in zip(direct, through)], goal)
    report.row("`docker run -d`", "ms", cli)


def main():
    with part("deploy", LIMIT) as report, whole_sea() as sea:
        report.row("one commit of three rows, the same disk", "ms", list(commits(sea, 200)))
        processes(report, sea)
        kills(report, sea, "process", PROCESS, kill_process)
        begin, _, end = sea.timed_apply("fifty", PROCESS, 50)
        report.row("50 processes: apply → the last RUNNING", "ms", [(end - begin) * 1000])
        sea.delete("fifty")
        if not ENGINE:
            report.note("containers were not measured: there is no engine (HOLM_TEST_DOCKER)")
            return
        containers(report, sea)
        kills(report, sea, "container", CONTAINER, kill_container, goal=500)


if __name__ == "__main__":
    main()
