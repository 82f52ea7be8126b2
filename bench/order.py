#!/usr/bin/env python3
"""Which functions of the program each role uses at rest, by callgrind: names, one a line, into the file that is named."""

import os
import pathlib
import subprocess
import sys
import time

from sea import HOLM, Daemon, Sea

# Until what only the start needs is over, and long enough for what is done once in a minute.
START, REST = 20, 65
AGENT = os.environ["HOLM_DIST_AGENT"]


class Watched(Daemon):
    """Runs in valgrind, which is some fifty times slower."""

    def __init__(self, directory, name, words, binary):
        super().__init__(directory, name, words, binary)
        self.counts = directory / f"{name}.callgrind"
        self.words = ["valgrind", "--tool=callgrind", "--demangle=no", "--compress-strings=no", "--quiet",
                      f"--callgrind-out-file={self.counts}", *self.words]

    def control(self, word):
        subprocess.run(["callgrind_control", word, str(self.pid)], check=True, stdout=subprocess.DEVNULL)

    def used(self):
        """Names of the functions that ran between the two commands."""
        dump = pathlib.Path(f"{self.counts}.1")
        names = (line[3:] for line in dump.read_text().splitlines() if line.startswith("fn="))
        # A function that calls itself has a number behind its name.
        return {name.split("'")[0] for name in names}


class WatchedSea(Sea):
    """Where one role is watched; the others go on as usual."""

    def __init__(self, role, program):
        super().__init__()
        self.role, self.program = role, program

    def start(self, name, words, token=None):
        watched = name == self.role
        kind, binary = (Watched, self.program) if watched else (Daemon, self.binary)
        daemon = self.daemons[name] = kind(self.dir, name, words, binary)
        daemon.start(token)


def at_rest(role, program):
    with WatchedSea(role, program) as sea:
        sea.root().cluster().node()
        time.sleep(START)
        sea.daemons[role].control("--zero")
        time.sleep(REST)
        sea.daemons[role].control("--dump")
        return sea.daemons[role].used()


def main():
    names = {}
    # The same source is another program without the rest: other functions are inlined.
    for role, program in (("node", AGENT), ("node", HOLM), ("cluster", HOLM), ("root", HOLM)):
        used = at_rest(role, program)
        print(f"{role} of {program}: {len(used)} functions at rest", flush=True)
        # In the order of the programs: the smallest has its own together.
        names.update(dict.fromkeys(sorted(used)))
    pathlib.Path(sys.argv[1]).write_text("".join(f"{name}\n" for name in names))


if __name__ == "__main__":
    main()
