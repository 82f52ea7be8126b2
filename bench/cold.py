#!/usr/bin/env python3
"""The README's first command in a clean clone with nothing built; crates are downloaded already or not, as it is."""

import os
import signal
import subprocess
import tempfile
import time

from report import HERE, part

LIMIT = 1800


def main():
    with part("cold", LIMIT) as report, tempfile.TemporaryDirectory(prefix="holm-cold-") as place:
        clone = f"{place}/holm"
        subprocess.run(["git", "clone", "--quiet", str(HERE.parent), clone], check=True)
        env = {**os.environ, "CARGO_TARGET_DIR": f"{place}/target"}
        report.note("crates were fetched before or are fetched now, as Cargo's cache has it")
        for what, goal in (("cold", 600), ("again", None)):
            begin = time.perf_counter()
            words = ["cargo", "run", "--release", "--", "demo", "--once"]
            child = subprocess.Popen(words, cwd=clone, env=env, stdout=subprocess.DEVNULL, start_new_session=True)
            try:
                code = child.wait()
            finally:
                if child.poll() is None:
                    # Cargo, compilers and the demo alike.
                    os.killpg(child.pid, signal.SIGTERM)
                    child.wait()
            report.row(f"`cargo run --release -- demo --once`, {what}", "s", [time.perf_counter() - begin], goal)
            if code:
                raise SystemExit(f"the demo ended with {code}")


if __name__ == "__main__":
    main()
