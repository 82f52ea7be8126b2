"""Many members in one process (crates/orchestrator/examples/fleet)."""

import json
import os
import re
import subprocess

from api import wait

FLEET = os.environ.get("HOLM_FLEET", "target/release/examples/fleet")
# IPv4 and TCP with time stamps: what each segment costs on the wire beside its payload (no Ethernet).
HEADERS = 20 + 32


class Fleet:
    """`count` members of a daemon of the sea, online until the end; each offers `cpu`."""

    def __init__(self, sea, orchestrator, kind, count, cpu="1000"):
        self.sea, self.count, self.cpu = sea, count, cpu
        self.address = f"127.0.0.1:{sea.ports[orchestrator]}"
        self.token = sea.token(orchestrator, kind, uses=count)

    def __enter__(self):
        words = [FLEET, self.address, self.token, str(self.count), self.cpu]
        log = open(self.sea.dir / "fleet.log", "ab")
        self.child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            wait("all members are online", lambda: self.ask()["online"] == self.count, timeout=180, pause=0.2)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def ask(self):
        if self.child.poll() is not None:
            raise SystemExit(f"the fleet has ended; see {self.sea.dir}/fleet.log")
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())


def wire(port):
    """Bytes that all connections to a local port have carried so far: (up, down), headers included."""
    words = ["ss", "-tinH", "state", "established", f"sport = :{port}"]
    text = subprocess.run(words, check=True, capture_output=True, text=True).stdout

    def total(word):
        return sum(map(int, re.findall(rf"\b{word}:(\d+)", text)))

    return (total("bytes_received") + HEADERS * total("segs_in"), total("bytes_sent") + HEADERS * total("segs_out"))
