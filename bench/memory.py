#!/usr/bin/env python3
"""Idle memory of each role, of a supervisor, and per idle member; bytes on the wire of an idle member."""

import os
import pathlib
import time

from members import Fleet, wire
from report import QUICK, part
from sea import HOLM, PROCESS, Sea, rollup, whole_sea

LIMIT = 1500
GOALS = {"root": 20, "cluster": 12, "node": 5}
DIST = os.environ.get("HOLM_DIST")
AGENT = os.environ.get("HOLM_DIST_AGENT")
MEMBERS = 20 if QUICK else 500
REST = 5 if QUICK else 30
MINUTE = 10 if QUICK else 60


def supervisors(node):
    """Pids of the processes that the node's binary runs beside each instance."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            same = os.readlink(f"/proc/{pid}/exe") == str(node.binary)
            name = pathlib.Path(f"/proc/{pid}/comm").read_text()
        except OSError:
            continue
        if same and name == "holm-supervise\n":
            yield int(pid)


def idle(report, profile, binary):
    with whole_sea(binary) as sea:
        report.say(f"{profile}: at rest for {REST} s")
        time.sleep(REST)
        for name, daemon in sea.daemons.items():
            pss, rss = daemon.memory()
            report.row(f"{profile}: {name}, idle, PSS", "MiB", [pss], GOALS[name])
            report.row(f"{profile}: {name}, idle, RSS", "MiB", [rss])
        if profile == "release":
            traffic(report, sea)
        sea.timed_apply("one", PROCESS)
        time.sleep(2)
        for pid in supervisors(sea.daemons["node"]):
            found = rollup(pid)
            private = found["Private_Clean"] + found["Private_Dirty"]
            report.row(f"{profile}: supervisor of one process, PSS", "KiB", [found["Pss"]])
            report.row(f"{profile}: supervisor of one process, private", "KiB", [private])
        sea.delete("one")


def agent_alone(report):
    """The node of a program that holds nothing else."""
    with Sea(DIST) as sea:
        sea.root().cluster()
        sea.binary = AGENT
        sea.node()
        report.say(f"the agent alone: at rest for {REST} s")
        time.sleep(REST)
        pss, rss = sea.daemons["node"].memory()
        report.row("dist, the agent alone: node, idle, PSS", "MiB", [pss], GOALS["node"])
        report.row("dist, the agent alone: node, idle, RSS", "MiB", [rss])


def traffic(report, sea):
    """Real, idle members for a minute."""
    links = {"node": "cluster", "cluster": "root"}
    report.say(f"bytes on the wire: {MINUTE} s")
    before = {name: wire(sea.ports[above]) for name, above in links.items()}
    time.sleep(MINUTE)
    for name, above in links.items():
        after = wire(sea.ports[above])
        up, down = ((b - a) * 60 / MINUTE for a, b in zip(before[name], after))
        report.row(f"idle {name}: sent up per minute, with IP and TCP", "bytes", [up])
        report.row(f"idle {name}: sent down per minute, with IP and TCP", "bytes", [down])


def growth(report, orchestrator, kind):
    """KiB per idle member, and its traffic as the orchestrator sees it."""
    with Sea() as sea:
        sea.root()
        if orchestrator == "cluster":
            sea.cluster()
        time.sleep(REST)
        before = {name: daemon.memory()[0] for name, daemon in sea.daemons.items()}
        with Fleet(sea, orchestrator, kind, MEMBERS):
            report.say(f"{orchestrator}: {MEMBERS} {kind}s are online")
            time.sleep(REST)
            for name, daemon in sea.daemons.items():
                grown = (daemon.memory()[0] - before[name]) * 1024 / MEMBERS
                at = "" if name == orchestrator else f" of the {orchestrator} below"
                report.row(f"{name}: PSS per idle {kind}{at} ({MEMBERS} of them)", "KiB", [grown])
            begin = wire(sea.ports[orchestrator])
            time.sleep(MINUTE)
            total = sum(wire(sea.ports[orchestrator])) - sum(begin)
            report.row(f"{orchestrator}: bytes per idle {kind} and minute, both ways", "bytes",
                       [total * 60 / MINUTE / MEMBERS])


def main():
    with part("memory", LIMIT) as report:
        idle(report, "release", HOLM)
        if DIST and pathlib.Path(DIST).exists():
            idle(report, "dist", DIST)
            if AGENT and pathlib.Path(AGENT).exists():
                agent_alone(report)
        else:
            report.note("the `dist` binary was not measured: HOLM_DIST names none")
        for orchestrator, kind in (("root", "node"), ("root", "cluster"), ("cluster", "node")):
            growth(report, orchestrator, kind)


if __name__ == "__main__":
    main()
