#!/usr/bin/env python3
"""Holm, the engine alone and Swarm side by side: one container, and fifty of them."""

import engine
from report import part, times
from sea import CONTAINER, ENGINE, whole_sea

LIMIT = 1200
PARALLEL = (1, 2, 4, 8, 16)
FIFTY = 50


def through_holm(sea, name, count):
    begin, _, end = sea.timed_apply(name, CONTAINER, count)
    sea.delete(name)
    return (end - begin) * 1000


def fifty(report, sea):
    tried = {}
    for parallel in PARALLEL:
        tried[parallel] = engine.timed_batch(FIFTY, parallel)
        report.row(f"50 containers, engine's API, {parallel} at a time", "ms", [tried[parallel]])
    best = min(tried, key=tried.get)
    direct, holm = [], []
    for number in range(times(5)):
        report.say(f"50 containers, round {number + 1}")
        direct.append(engine.timed_batch(FIFTY, best))
        holm.append(through_holm(sea, f"fifty{number}", FIFTY))
    report.row(f"50 containers, engine's API, {best} at a time (the best)", "ms", direct)
    report.row("50 containers: apply → the last RUNNING", "ms", holm)
    report.row("… in proportion to the engine alone", "×", [h / d for h, d in zip(holm, direct)], goal=1.1)


def beside_swarm(report, sea):
    alone, holm, swarm = [], [], []
    with engine.Swarm() as service:
        for number in range(times(10)):
            report.say(f"one container, round {number + 1}")
            alone.append(engine.timed_cli())
            holm.append(through_holm(sea, f"s{number}", 1))
            swarm.append(service.timed_service(1))
        report.row("one container: `docker run -d`", "ms", alone)
        report.row("one container: Holm, apply → RUNNING", "ms", holm)
        report.row("one container: Swarm, service create → running", "ms", swarm)
        whole = []
        for number in range(times(3)):
            report.say(f"50 containers by Swarm, round {number + 1}")
            whole.append(service.timed_service(FIFTY))
        report.row("50 containers: Swarm, service create → the last running", "ms", whole)


def main():
    with part("swarm", LIMIT) as report:
        if not ENGINE:
            report.note("not measured: there is no engine (HOLM_TEST_DOCKER)")
            return
        with whole_sea() as sea:
            fifty(report, sea)
            beside_swarm(report, sea)
        report.note("Ankaios is in no package registry and was not measured here; issue 2 names 308 ms (with Podman)")


if __name__ == "__main__":
    main()
