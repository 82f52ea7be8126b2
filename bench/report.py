"""What a part of the benchmark prints and keeps: Markdown and JSON under target/bench."""

import contextlib
import json
import os
import pathlib
import platform
import signal
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
OUT = pathlib.Path(os.environ.get("HOLM_BENCH_OUT", HERE.parent / "target" / "bench"))
QUICK = "HOLM_BENCH_QUICK" in os.environ
HEAD = "| what | unit | min | median | p95 | max | n | goal | |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"


def times(count):
    """So many repetitions; few when only the script itself is tried out."""
    return min(count, 2) if QUICK else count


class Report:
    """Rows of one part, kept even when the part is cut off."""

    def __init__(self, part):
        self.part, self.rows, self.notes, self.missed = part, [], [], []
        self.begin = time.monotonic()

    def say(self, text):
        """Progress, for who waits."""
        print(f"[{self.part} {time.monotonic() - self.begin:5.0f} s] {text}", file=sys.stderr, flush=True)

    def note(self, text):
        self.notes.append(text)
        self.say(text)

    def row(self, what, unit, values, goal=None):
        """A measured thing; `goal` is what its median may be at most. Returns the median."""
        median = statistics.median(values)
        row = {"what": what, "unit": unit, "values": values, "median": median, "goal": goal}
        return self.keep(row, None if goal is None else median <= goal)

    def rate(self, what, unit, values, goal):
        """As `row`, of something that should be at least `goal`, if there is one."""
        median = statistics.median(values)
        row = {"what": what, "unit": unit, "values": values, "median": median, "goal": goal, "at_least": True}
        return self.keep(row, None if goal is None else median >= goal)

    def keep(self, row, held):
        row["held"] = held
        if held is False:
            self.missed.append(row["what"])
        self.rows.append(row)
        self.say(f"{row['what']}: {number(row['median'])} {row['unit']}")
        return row["median"]

    def markdown(self):
        lines = [f"### {self.part}", "", machine(), "", HEAD, *map(line, self.rows)]
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines) + "\n"

    def write(self):
        OUT.mkdir(parents=True, exist_ok=True)
        whole = {"part": self.part, "machine": machine(), "quick": QUICK, "rows": self.rows, "notes": self.notes}
        (OUT / f"{self.part}.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False))
        (OUT / f"{self.part}.md").write_text(self.markdown())
        print(self.markdown(), flush=True)


@contextlib.contextmanager
def part(name, limit):
    """A part that takes at most `limit` seconds; what was measured by then is kept."""

    def late(*_):
        raise TimeoutError(f"the part `{name}` was cut off after {limit} s")

    def told(*_):
        raise SystemExit(f"the part `{name}` was stopped")

    signal.signal(signal.SIGALRM, late)
    signal.signal(signal.SIGTERM, told)
    signal.alarm(limit)
    report = Report(name)
    try:
        yield report
    except BaseException as error:
        report.note(f"not complete: {error}")
        raise
    finally:
        signal.alarm(0)
        report.write()


def machine():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return f"{platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, {when}"


def line(row):
    values = sorted(row["values"])
    p95 = values[min(len(values) - 1, -(-len(values) * 95 // 100) - 1)]
    cells = [row["what"], row["unit"], *map(number, (values[0], row["median"], p95, values[-1])), str(len(values))]
    sign = "≥" if row.get("at_least") else "≤"
    cells.append("" if row["goal"] is None else f"{sign} {number(row['goal'])}")
    cells.append({None: "", True: "held", False: "missed"}[row["held"]])
    return "| " + " | ".join(cells) + " |"


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.2f}"
