"""When the stores' commits wait for the disk, seen by the kernel while something else is measured.

A commit of SQLite with `synchronous=FULL` is a write to the log and one `fdatasync`; the latter is all of
its cost that a disk decides. The kernel's trace tells each with its thread, at no noticeable cost. Needs
root and a kernel with FTRACE_SYSCALLS; without them there is nothing to tell.
"""

import os
import pathlib
import re
import subprocess

TRACING = pathlib.Path("/sys/kernel/tracing")
CALLS = ("fdatasync", "fsync")
LINE = re.compile(r"-(\d+)\s+\[\d+\]\s+\S+\s+(\d+\.\d+): sys_(?:fdatasync|fsync)(\(| ->)")


class Syncs:
    """Syncs of the named processes: {name: pid}."""

    def __init__(self, processes):
        self.processes = processes
        self.mounted = False
        self.dir = TRACING / "instances" / f"holm-bench-{os.getpid()}"
        self.spans = []

    def __enter__(self):
        if not (TRACING / "events").exists():
            mounted = subprocess.run(["mount", "-t", "tracefs", "none", str(TRACING)], capture_output=True)
            self.mounted = mounted.returncode == 0
        try:
            self.dir.mkdir()
            (self.dir / "trace_clock").write_text("mono")
            (self.dir / "buffer_size_kb").write_text("8192")
            self.events("1")
        except OSError:
            self.dir = None
        return self

    def __exit__(self, *_):
        if self.dir:
            self.events("0")
            self.spans = list(self.read())
            self.dir.rmdir()
        if self.mounted:
            subprocess.run(["umount", str(TRACING)], capture_output=True)

    def events(self, switch):
        for call in CALLS:
            for side in ("enter", "exit"):
                (self.dir / "events/syscalls" / f"sys_{side}_{call}" / "enable").write_text(switch)

    def read(self):
        """(name, begin, end) in seconds of `time.perf_counter()`."""
        threads = {int(tid): name for name, pid in self.processes.items() for tid in os.listdir(f"/proc/{pid}/task")}
        begun = {}
        for tid, at, side in LINE.findall((self.dir / "trace").read_text()):
            name, at = threads.get(int(tid)), float(at)
            if name and side == "(":
                begun[tid] = at
            elif name and tid in begun:
                yield name, begun.pop(tid), at

    def within(self, begin, end, name=None):
        """(milliseconds, number) of the syncs between two moments; overlapping time counts once."""
        spans = sorted((max(b, begin), min(e, end)) for n, b, e in self.spans
                       if b < end and e > begin and name in (None, n))
        total, until = 0.0, begin
        for b, e in spans:
            total += max(0.0, e - max(b, until))
            until = max(until, e)
        return total * 1000, len(spans)
