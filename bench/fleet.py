#!/usr/bin/env python3
"""Decided + committed + sent per second: a real root with many members that only listen."""

import concurrent.futures
import time

from api import call, wait
from members import Fleet
from report import QUICK, part, times
from sea import Sea

LIMIT = 900
MEMBERS = 100
SLOTS = 1_000 if QUICK else 10_000
GOAL = 5_000
SLOT_CPU = 10  # m
SERVICE = f"""    runtime: process
    command: [sleep, '1000']
    resources: {{{{ cpu: {SLOT_CPU}m }}}}
    replicas: {{n}}
"""


def placed(sea, fleet, names, each):
    """Items per second from the first request to the last item at a member."""
    target = fleet.ask()["items"] + len(names) * each
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: sea.apply(name, SERVICE.format(n=each)), names))
    answered = time.monotonic() - begin
    wait("all items have come", lambda: fleet.ask()["items"] >= target, timeout=120, pause=0.05)
    took = fleet.ask()["last_ns"] / 1e9 - begin
    return len(names) * each / took, answered * 1000


def retire(sea, fleet, names, each):
    target = fleet.ask()["removed"] + len(names) * each
    for name in names:
        call(sea.api, "DELETE", f"/api/v1/projects/default/applications/{name}")
    wait("all items are taken back", lambda: fleet.ask()["removed"] >= target, timeout=120, pause=0.05)
    # The room is free again when the members have acknowledged.
    time.sleep(0.5)


def measure(report, kind):
    count = times(MEMBERS)
    # First-fit shall fill one member after the other; a fifth is left over.
    cpu = f"{SLOTS * SLOT_CPU * 6 // 5 // count}m"
    with Sea() as sea, Fleet(sea.root(), "root", kind, count, cpu) as fleet:
        report.say(f"{fleet.count} {kind}s are online")
        for what, applications in ((f"one application of {SLOTS:,} slots", 1),
                                   (f"100 applications of {SLOTS // 100} slots, 8 requests at a time", 100)):
            rates, answers = [], []
            for number in range(times(5)):
                names = [f"a{number}-{index}" for index in range(applications)]
                rate, answer = placed(sea, fleet, names, SLOTS // applications)
                rates.append(rate)
                answers.append(answer)
                retire(sea, fleet, names, SLOTS // applications)
            report.rate(f"root with {fleet.count} {kind}s, {what}", "slots/s", rates, GOAL)
            report.row("… until the API had answered", "ms", answers)


def main():
    with part("fleet", LIMIT) as report:
        measure(report, "node")
        measure(report, "cluster")
        report.note("a slot counts when its item was received by its member over TLS; members run nothing")


if __name__ == "__main__":
    main()
