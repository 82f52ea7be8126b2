#!/usr/bin/env python3
"""Ways in, two tiers deep, beside plain TLS over one connection of the same machine."""

import json
import os
import socket
import subprocess
import time

from api import wait
from report import QUICK, part, times
from sea import HOLM, free_port, whole_sea

LIMIT = 600
ROUNDS = 7
MIB = 64 if QUICK else 512
GOAL = 0.5
# Links between the API and the instance.
HOPS = 2
PLAIN = os.environ.get("HOLM_PLAIN", "target/release/examples/plain")
CHUNK = 1 << 20

# Sends MiB, or takes what comes until its end and tells how much it was.
SERVER = """import socket, sys, threading
chunk = bytearray(1 << 20)
def serve(peer):
    word = peer.recv(16).decode().split()
    if word[0] == "send":
        for _ in range(int(word[1])):
            peer.sendall(chunk)
    else:
        peer.sendall(b"ready")
        into, all = bytearray(1 << 20), 0
        while got := peer.recv_into(into):
            all += got
        peer.sendall(str(all).encode())
    peer.close()
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
SERVICE = f"""    runtime: process
    command: [python3, -c, {json.dumps(SERVER)}, '{{{{ port.bulk }}}}']
    ports: {{ bulk: auto }}
"""


class Forward:
    """`holm port-forward`, as long as it is used."""

    def __init__(self, sea, port):
        command = [HOLM, "port-forward", "bulk/web", f"{port}:bulk", "--socket", sea.api]
        self.port = port
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        self.child.stdout.readline()
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port))


def listens(forward):
    with forward.connect() as peer:
        peer.sendall(b"take")
        return peer.recv(5) == b"ready"


def down(forward):
    """Seconds for MIB from the instance."""
    with forward.connect() as peer:
        begin = time.perf_counter()
        peer.sendall(f"send {MIB}".encode())
        drain(peer.recv_into)
        return time.perf_counter() - begin


def up(forward):
    """Seconds for MIB to the instance, until it says that they have come."""
    with forward.connect() as peer:
        peer.sendall(b"take")
        peer.recv(5)
        chunk, begin = bytearray(CHUNK), time.perf_counter()
        for _ in range(MIB):
            peer.sendall(chunk)
        peer.shutdown(socket.SHUT_WR)
        assert int(peer.recv(64)) == MIB << 20
        return time.perf_counter() - begin


def printed(sea, words):
    """Seconds for MIB on the standard output of a command."""
    begin = time.perf_counter()
    child = subprocess.Popen([HOLM, words[0], "--socket", sea.api, *words[1:]], stdout=subprocess.PIPE)
    drain(child.stdout.readinto)
    assert child.wait() == 0
    return time.perf_counter() - begin


def execute(sea):
    return printed(sea, ["exec", "bulk/web/0", "--", "head", "-c", str(MIB << 20), "/dev/zero"])


def drain(read_into):
    into, got = bytearray(CHUNK), 0
    while n := read_into(into):
        got += n
    assert got >= MIB << 20, got


def plain(hops=1):
    """Seconds for MIB over so many connections of plain TLS, one behind the other."""
    words = [PLAIN, str(MIB), str(hops)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def cpu(sea):
    """Seconds of CPU of each daemon so far."""
    tick = os.sysconf("SC_CLK_TCK")
    fields = {name: open(f"/proc/{daemon.pid}/stat").read().rsplit(")", 1)[1].split()
              for name, daemon in sea.daemons.items()}
    return {name: (int(field[11]) + int(field[12])) / tick for name, field in fields.items()}


def measure(report, sea, what, way):
    """A way beside plain TLS, in turns; the ratio of each round."""
    way()
    rates, ratios, alike, before = [], [], [], cpu(sea)
    for _ in range(times(ROUNDS)):
        one, same, other = plain(), plain(HOPS), way()
        rates.append(MIB * 1.048576 / other)
        ratios.append(one / other)
        alike.append(same / other)
        report.plain.append(MIB * 1.048576 / one)
        report.relayed.append(MIB * 1.048576 / same)
    spent = {name: after - before[name] for name, after in cpu(sea).items()}
    gib = times(ROUNDS) * MIB / 1024
    report.row(f"{what}, two tiers deep", "MB/s", rates)
    report.rate("… in proportion to one connection of plain TLS, round by round", "×", ratios, GOAL)
    report.rate("… in proportion to plain TLS over as many hops, round by round", "×", alike, None)
    report.note(f"{what}: s of CPU per GiB: " + ", ".join(f"{name} {used / gib:.2f}" for name, used in spent.items()))


def main():
    with part("tunnel", LIMIT) as report, whole_sea() as sea:
        report.plain, report.relayed = [], []
        sea.apply("bulk", SERVICE)
        wait("the source runs", lambda: [i for i in sea.instances("bulk") if i["state"] == "RUNNING"])
        with Forward(sea, free_port()) as forward:
            wait("the source listens", lambda: listens(forward))
            measure(report, sea, "port-forward, from the instance", lambda: down(forward))
            measure(report, sea, "port-forward, to the instance", lambda: up(forward))
        measure(report, sea, "exec, its output", lambda: execute(sea))
        report.row("plain TLS 1.3, one connection over loopback", "MB/s", report.plain)
        report.row(f"plain TLS 1.3, {HOPS} connections one behind the other", "MB/s", report.relayed)
        report.note(f"{MIB} MiB each; the way in has four hops: Unix socket, two of TLS, TCP")


if __name__ == "__main__":
    main()
