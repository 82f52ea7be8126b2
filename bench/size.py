#!/usr/bin/env python3
"""Sizes of the binaries."""

import lzma
import os
import pathlib

from report import part
from sea import HOLM


def main():
    with part("size", 120) as report:
        for profile, binary in (("release", HOLM), ("dist", os.environ.get("HOLM_DIST", ""))):
            path = pathlib.Path(binary)
            if not path.is_file():
                report.note(f"there is no `{profile}` binary")
                continue
            report.row(f"`holm`, profile {profile}", "MB", [path.stat().st_size / 1e6])
            if profile == "dist":
                report.row("… compressed (xz -6)", "MB", [len(lzma.compress(path.read_bytes())) / 1e6])


if __name__ == "__main__":
    main()
