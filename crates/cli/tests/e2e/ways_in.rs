//! Terminals, ports and files of instances, two tiers deep.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use crate::harness::command::{Running, command, run};
use crate::harness::{Sea, proc, sea, wait_for};
use crate::ways_in_terminal::Screen;

/// An instance that only waits, and one that answers on a port.
const CALM: &str = "holm: v1
application: calm
services:
  web:
    runtime: process
    command: [sleep, \"100000\"]
";

const SERVING: &str = "holm: v1
application: site
services:
  web:
    runtime: process
    command: [busybox, httpd, -f, -p, \"127.0.0.1:{{ port.http }}\"]
    replicas: 2
    ports: { http: auto }
";

pub(crate) fn calm() -> Sea {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.deploy(CALM);
    sea
}

fn shell(sea: &Sea, script: &str) -> Screen {
    Screen::start(sea.call_at("root", &["exec", "-it", "calm/web/0", "--", "sh", "-c", script]), 100, 40)
}

/// Processes on the node whose command line contains `word`.
fn there(sea: &Sea, word: &str) -> usize {
    let has = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(word)
    };
    proc::touching(sea.data("fl-1")).iter().filter(|pid| has(pid)).count()
}

#[test]
fn whoever_goes_into_an_instance_is_in_the_audit_log() {
    let sea = calm();
    let run = sea.holm(&["exec", "calm/web/0", "--", "sh", "-c", "exit 7"]);
    assert_eq!(run.code, 7, "{run:?}");
    sea.holm(&["exec", "calm/web/0", "--", "no-such-program"]).refused(127, &["no-such-program"]);
    let file = sea.file("note", "hello");
    sea.holm(&["cp", file.to_str().expect("a plain path"), "calm/web/0:note"]).done();
    let records = wait_for("all is written down", || {
        let all: Vec<serde_json::Value> = sea.holm(&["audit", "-o", "json"]).done().json();
        let line = |r: &serde_json::Value| {
            ["who", "verb", "subject", "outcome"]
                .map(|key| r[key].as_str().unwrap_or("-").to_owned())
                .join(" ")
        };
        let all: Vec<_> = all.iter().map(line).collect();
        let has = |text: &str| all.iter().any(|line| line.contains(text));
        let ended = has("exec application default/calm/web/0: ended after 0 s, exit code 7");
        (ended && has("cp application default/calm/web/0: ended")).then_some(all)
    });
    let has = |text: &str| assert!(records.iter().any(|line| line.contains(text)), "{text}: {records:#?}");
    has("admin exec application default/calm/web/0: runs sh -c exit 7 done");
    has("admin cp application default/calm/web/0: writes ");
    has("no-such-program");
}

#[test]
fn a_terminal_reaches_through_two_tiers() {
    let sea = calm();
    let script = "trap 'stty size' WINCH; echo $HOLM_SLOT; stty size; while :; do sleep 0.02; done";
    let mut screen = shell(&sea, script);
    screen.until("web/0");
    screen.until("40 100");
    screen.resize(132, 50);
    screen.until("50 132");
    // Ctrl-C is for the program there, whose end is ours.
    screen.keys(b"\x03");
    assert_eq!(screen.ended(), 130);
    assert!(screen.is_as_before(), "the terminal was given back");
    // Exit codes of its own.
    let mut screen = shell(&sea, "read line; exit ${#line}");
    screen.keys(b"12345\r");
    assert_eq!(screen.ended(), 5);
    // Without a terminal there is none.
    let refused = sea.holm(&["exec", "-it", "calm/web/0", "--", "true"]);
    refused.refused(2, &["no terminal", "-t"]);
}

#[test]
fn a_terminal_that_is_cut_off_leaves_nothing_behind() {
    let mut sea = calm();
    // Whoever watches is killed: what it ran ends.
    let mut screen = shell(&sea, "trap '' HUP; echo ready; while :; do sleep 0.987; done");
    screen.until("ready");
    screen.kill();
    wait_for("nothing is left", || (there(&sea, "0.987") == 0).then_some(()));
    // A signal to our side gives the terminal back, and ends it, too.
    let mut screen = shell(&sea, "echo ready; while :; do sleep 0.876; done");
    screen.until("ready");
    screen.signal(nix::sys::signal::SIGTERM);
    assert_eq!(screen.ended(), 143);
    assert!(screen.is_as_before());
    wait_for("nothing is left", || (there(&sea, "0.876") == 0).then_some(()));
    // The way breaks in the middle.
    let mut screen = shell(&sea, "echo ready; while :; do sleep 0.765; done");
    screen.until("ready");
    sea.kill("vienna");
    screen.until("the command was lost");
    assert_eq!(screen.ended(), 1);
    assert!(screen.is_as_before());
    wait_for("nothing is left", || (there(&sea, "0.765") == 0).then_some(()));
}

#[test]
fn a_signal_goes_to_the_command_first() {
    let sea = calm();
    let script = "trap 'echo heard; exit 9' TERM; echo ready; while :; do sleep 0.02; done";
    let mut call = Running::start(sea.call_at("root", &["exec", "calm/web/0", "--", "sh", "-c", script]));
    call.line(|line| line == "ready");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(call.pid()), nix::sys::signal::SIGTERM).unwrap();
    call.line(|line| line == "heard");
    assert_eq!(call.ended(), 9);
}

#[test]
fn files_go_in_and_out() {
    let sea = calm();
    let tree = sea.path("tree");
    std::fs::create_dir_all(tree.join("deep/er")).unwrap();
    std::fs::write(tree.join("deep/er/big"), vec![b'x'; 3_000_000]).unwrap();
    std::fs::write(tree.join("run.sh"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(tree.join("run.sh"), std::fs::Permissions::from_mode(0o750)).unwrap();
    symlink("deep", tree.join("link")).unwrap();
    let tree = tree.to_str().unwrap();
    sea.holm(&["cp", tree, "calm/web:."]).done();
    let seen =
        sea.holm(&["exec", "calm/web/0", "--", "sh", "-c", "stat -c '%a %s' tree/run.sh tree/deep/er/big"]);
    assert_eq!(seen.done().stdout, "750 10\n644 3000000\n");
    let owner = "test $(stat -c %u tree/run.sh) = $(id -u) && readlink tree/link";
    assert_eq!(sea.holm(&["exec", "calm/web/0", "--", "sh", "-c", owner]).done().line(), "deep");
    // Back, under a new name.
    let back = sea.path("back");
    sea.holm(&["cp", "calm/web/0:tree", back.to_str().unwrap()]).done();
    assert_eq!(std::fs::read(back.join("deep/er/big")).unwrap(), vec![b'x'; 3_000_000]);
    assert_eq!(std::fs::metadata(back.join("run.sh")).unwrap().permissions().mode() & 0o777, 0o750);
    // A file becomes another.
    sea.holm(&["cp", &format!("{tree}/run.sh"), "calm/web/0:other.sh"]).done();
    sea.holm(&["exec", "calm/web/0", "--", "test", "-f", "other.sh"]).done();
    // What cannot be is said, by either side.
    sea.holm(&["cp", "/nowhere/file", "calm/web/0:x"]).refused(1, &["/nowhere/file"]);
    sea.holm(&["cp", "calm/web/0:nothing", "."]).refused(1, &["nothing"]);
    sea.holm(&["cp", tree, "calm/web/0:/no/such/place"]).refused(1, &["/no/such"]);
    sea.holm(&["cp", tree, "/tmp/x"]).refused(2, &["neither is inside an instance"]);
    sea.holm(&["cp", tree, "calm/web/0:/root/"]).refused(1, &["/root"]);
}

#[test]
fn an_evil_archive_writes_nothing_outside() {
    let sea = calm();
    let evil = evil();
    let mut call = sea.call_at("root", &["cp", "-", "calm/web/0:."]);
    let file = sea.path("evil.tar");
    std::fs::write(&file, &evil).unwrap();
    call.stdin(std::fs::File::open(&file).unwrap());
    let said = run(call, "");
    assert_eq!(said.code, 1, "{said:?}");
    for name in ["../escaped", "/tmp/holm-escaped", "device"] {
        assert!(said.stderr.contains(&format!("refused `{name}`")), "{said:?}");
    }
    sea.holm(&["exec", "calm/web/0", "--", "test", "-f", "good"]).done();
    sea.holm(&["exec", "calm/web/0", "--", "test", "!", "-e", "../escaped"]).done();
    assert!(!std::path::Path::new("/tmp/holm-escaped").exists());
}

/// An archive of names and kinds that nobody may unpack, and one good file.
fn evil() -> Vec<u8> {
    let mut all = Vec::new();
    for (name, kind) in
        [("../escaped", b'0'), ("/tmp/holm-escaped", b'0'), ("device", b'3'), ("pipe", b'6'), ("good", b'0')]
    {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(b"00000000000");
        header[136..147].copy_from_slice(b"14000000000");
        header[156] = kind;
        header[257..263].copy_from_slice(b"ustar\0");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        all.extend(header);
    }
    all.extend([0; 1024]);
    all
}

/// `call`, ended by the kernel if it holds more than `bytes` of memory of its own.
fn frugal(call: &Command, bytes: u64) -> Command {
    let mut frugal = command("prlimit");
    frugal.arg(format!("--data={bytes}")).arg("--").arg(call.get_program()).args(call.get_args());
    frugal.envs(call.get_envs().filter_map(|(key, value)| Some((key, value?))));
    frugal
}

#[test]
fn a_hundred_thousand_files_go_in_and_come_back() {
    const DIRS: usize = 100;
    const EACH: usize = 1000;
    // In memory: a disk may take a millisecond for each new file.
    let memory = tempfile::Builder::new().prefix("holm-e2e-").tempdir_in("/dev/shm").unwrap();
    std::fs::set_permissions(memory.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let data = memory.path().join("fl-1");
    let sea = sea().cluster("vienna", &["fl-1"]).data_dir("fl-1", &data).start();
    sea.deploy(CALM);
    let tree = memory.path().join("many");
    for dir in 0..DIRS {
        let dir = tree.join(dir.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        (0..EACH).for_each(|file| std::fs::write(dir.join(file.to_string()), "x").unwrap());
    }
    let daemons = ["root", "vienna", "fl-1"].map(|name| sea.pid(name));
    let before = daemons.map(proc::peak);
    let copy = |from: &str, to: &str| {
        let call = frugal(&sea.call_at("root", &["cp", from, to]), 128 << 20);
        run(call, "").done();
    };
    copy(tree.to_str().unwrap(), "calm/web/0:.");
    let count = sea.holm(&["exec", "calm/web/0", "--", "sh", "-c", "find many -type f | wc -l"]).done();
    assert_eq!(count.line(), (DIRS * EACH).to_string());
    let back = memory.path().join("back");
    copy("calm/web/0:many", back.to_str().unwrap());
    let come = (0..DIRS).map(|dir| std::fs::read_dir(back.join(dir.to_string())).unwrap().count());
    assert_eq!(come.sum::<usize>(), DIRS * EACH);
    for (pid, before) in std::iter::zip(daemons, before) {
        let more = proc::peak(pid).saturating_sub(before);
        assert!(more < 48 << 10, "{more} KiB more than before");
    }
}

#[test]
fn a_forwarded_port_goes_where_the_service_runs() {
    let sea = sea().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(SERVING);
    let forward = Running::start(sea.call_at("root", &["port-forward", "site/web", "0:http"]));
    let line = forward.line(|line| line.contains(" leads to "));
    let second = Running::start(sea.call_at("root", &["port-forward", "site/web/1", "0:http"]));
    let to_second = second.line(|line| line.contains("of site/web/1"));
    let address = |line: &str| line.split(' ').next().unwrap().to_owned();
    let (address, second_address) = (address(&line), address(&to_second));
    assert!(address.starts_with("127.0.0.1:"), "{line}");
    let ask_at = |address: &str| {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).ok()?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 ").then_some(answer)
    };
    let ask = || ask_at(&address);
    wait_for("an answer", ask);
    wait_for("an answer of the second", || ask_at(&second_address));
    let (a, b) = (ask(), ask());
    assert!(a.is_some() && b.is_some(), "each connection has a tunnel");
    // One of the two instances goes; connections find the other.
    sea.holm(&["scale", "site/web", "1"]).done();
    sea.running("site", 1);
    wait_for("an answer of the other", ask);
    assert!(ask_at(&second_address).is_none(), "whoever names a slot gets no other");
    let pid = nix::unistd::Pid::from_raw(forward.pid());
    let mut forward = forward;
    nix::sys::signal::kill(pid, nix::sys::signal::SIGINT).unwrap();
    assert_eq!(forward.ended(), 0);
    sea.holm(&["port-forward", "site/web", "nothing"]).refused(1, &["no port `nothing`", "http"]);
    sea.holm(&["port-forward", "site", "x:80"]).refused(2, &["x"]);
}

#[test]
fn logs_are_searched_where_they_are() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.deploy(
        "holm: v1\napplication: talk\nservices:\n  web:\n    runtime: process\n    \
         command: [sh, -c, 'i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo line $i; done; read x < /dev/zero; sleep 100000']\n    \
         restart: { policy: always }\n",
    );
    wait_for("all lines", || (sea.holm(&["logs", "talk"]).stdout.contains("line 50")).then_some(()));
    let said = sea.holm(&["logs", "talk", "--grep", "line [12]5$"]).done().stdout;
    assert_eq!(said, "line 15\nline 25\n");
    let said = sea.holm(&["logs", "talk", "--grep", "^line", "--tail", "2"]).done().stdout;
    assert_eq!(said, "line 49\nline 50\n");
    assert_eq!(sea.holm(&["logs", "talk", "--until", "1h"]).done().stdout, "");
    for wrong in ["(", "(a{999}){999}"] {
        let said =
            sea.holm(&["logs", "talk", "--grep", wrong]).refused(2, &["--grep", "cannot be searched for"]);
        assert_eq!(said.stderr.matches("cannot be searched for").count(), 1, "told once: {said:?}");
    }
}
