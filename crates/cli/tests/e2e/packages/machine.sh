#!/bin/bash
# What happens in the virtual machine; see machine.rs. The first thing that is not so ends it.
set -eEuo pipefail
finish() {
    systemctl reboot --force --force
    sleep 60
}
failed() {
    echo "FAILED in line $1"
    systemctl --no-pager status 'holm-*' || true
    journalctl --no-pager -n 40 || true
    finish
}
trap 'failed $LINENO' ERR

# until SECONDS COMMAND…: it holds within that time.
until_so() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || { echo "not within time: $*"; return 1; }
        sleep 0.1
    done
}
main_pid() { systemctl show -p MainPID --value "$1"; }
# The program of the only instance, by its own words.
program() { grep -lsz '^HOLM_APPLICATION=hello$' /proc/[0-9]*/environ | head -n 1 | cut -d/ -f3 || true; }
lives() { [ -d "/proc/$1" ]; }
nothing() { [ -z "$1" ] || { echo "left: $1"; return 1; }; }

ip link set lo up 2>/dev/null || true
echo "== a root, as a user of its own"
systemctl start holm-root
nothing "$(journalctl --no-pager -u holm-root | grep "setup#" || true)"
[ "$(stat -c %U "/proc/$(main_pid holm-root)")" = holm ]
holm status
[ "$(stat -c '%U %a' /var/lib/holm/root)" = "holm 700" ]

echo "== a node joins with a token from a file that then goes"
(umask 077 && echo "HOLM_TOKEN=$(holm token create --role node)" >/etc/holm/node.env)
sed -i 's/^# parent = .*/parent = "127.0.0.1:7700"/; s/^# name = .*/name = "here"/' /etc/holm/node.toml
holm config check /etc/holm/node.toml
systemctl enable --now holm-node
rm /etc/holm/node.env
cat >/tmp/hello.yaml <<'Y'
holm: v1
application: hello
services:
  clock:
    runtime: process
    command: [/bin/sleep, "100000"]
    restart: { policy: always }
    resources: { cpu: 100m, memory: 32Mi }
Y
holm apply --wait /tmp/hello.yaml | cat
pid=$(program)
lives "$pid"
[ "$(stat -c %u "/proc/$pid")" -ge 2010000000 ]
grep -E '^0::/holm/[0-9a-f]+/' "/proc/$pid/cgroup"
group=/sys/fs/cgroup$(cut -d: -f3 "/proc/$pid/cgroup")
[ "$(cat "$group/memory.max")" = 33554432 ]
holm exec hello/clock/0 -- /bin/true

echo "== stopping and starting the agent touches nothing"
systemctl stop holm-node
lives "$pid"
systemctl start holm-node
holm apply --wait /tmp/hello.yaml | cat
[ "$(program)" = "$pid" ]
systemctl daemon-reexec
[ "$(cat "$group/memory.max")" = 33554432 ]

echo "== an upgrade restarts what runs, and no instance"
root=$(main_pid holm-root) node=$(main_pid holm-node)
dpkg --install --force-confold /next.deb
systemctl is-active holm-root holm-node
[ "$(systemctl is-active holm-cluster || true)" = inactive ]
[ "$(main_pid holm-root)" != "$root" ] && [ "$(main_pid holm-node)" != "$node" ]
grep -q '^parent' /etc/holm/node.toml
lives "$pid"
until_so 120 holm apply --wait /tmp/hello.yaml
[ "$(program)" = "$pid" ]
[ "$(cat "$group/memory.max")" = 33554432 ]

echo "== an agent that is killed comes again, and its instances never went"
kill -9 "$(main_pid holm-node)"
until_so 120 systemctl is-active holm-node
lives "$pid"

echo "== removing ends what runs and keeps data; purging leaves nothing"
dpkg --remove holm
nothing "$(program)"
[ -e /var/lib/holm/root/ca.key ] && [ -e /var/lib/holm/node/label ]
[ ! -e /sys/fs/cgroup/holm ]
dpkg --purge holm
nothing "$(find / -xdev -name '*holm*' -not -path '/var/lib/dpkg/*' -not -path '/var/log/*' -not -path '/proc/*' -not -path '/tmp/*' -not -name Stockholm)"
nothing "$(find /run -name '*holm*' -not -path '/run/systemd/*')"
nothing "$(getent passwd holm || true)"

echo "PASSED"
finish
