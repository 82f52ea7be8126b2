//! Logs and exec, two tiers deep.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use crate::harness::command::{Running, run};
use crate::harness::{Sea, proc, sea, wait_for};

/// Says a line each tenth of a second.
const TALKER: &str = "holm: v1
application: talk
services:
  web:
    runtime: process
    command: [sh, -c, 'i=0; while :; do i=$((i+1)); echo line $i of $HOLM_SLOT; echo warning $i >&2; sleep 0.1; done']
    replicas: 2
    stop: { grace: 1s }
";

fn talking() -> Sea {
    let sea = sea().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(TALKER);
    // Some seconds of them.
    wait_for("some lines", || (sea.holm(&["logs", "talk/web/0"]).stdout.lines().count() > 60).then_some(()));
    sea
}

#[test]
fn logs_tail_since_prefix_follow() {
    let sea = talking();
    // One instance: its lines, in order, from both streams.
    let all = sea.holm(&["logs", "talk/web/0"]).done().stdout;
    let numbers: Vec<u32> =
        all.lines().filter_map(|line| line.strip_prefix("line ")?.split(' ').next()?.parse().ok()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>(), "each line once, in order");
    assert!(all.contains("warning 1\n") && all.contains("of web/0") && !all.contains("web/1"), "{all}");
    // The last ones.
    let tail = sea.holm(&["logs", "--tail", "3", "talk/web/0"]).done().stdout;
    assert_eq!(tail.lines().count(), 3, "{tail}");
    // Those that are not older.
    let recent = sea.holm(&["logs", "--since", "1s", "talk/web/0"]).done().stdout;
    assert!(!recent.contains("line 1 of") && recent.lines().count() > 2, "{recent}");
    // Several, told apart, in the order of time.
    let both = sea.holm(&["logs", "talk", "-o", "json"]).done().stdout;
    let times: Vec<String> = both
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["at"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(times.len() > 40 && times.is_sorted(), "{times:?}");
    let both = sea.holm(&["logs", "talk", "--tail", "4"]).done().stdout;
    assert!(both.lines().all(|line| line.starts_with("web/0 | ") || line.starts_with("web/1 | ")), "{both}");
    assert_eq!(both.lines().count(), 8, "{both}");
    // Following: what was said, and then what comes.
    let follow = Running::start(sea.call_at("root", &["logs", "-f", "--tail", "1", "talk"]));
    let first = follow.line(|line| line.starts_with("web/0 | line "));
    let next = follow.line(|line| line.starts_with("web/0 | line "));
    assert_ne!(first, next);
    follow.line(|line| line.starts_with("web/1 | line "));
    // What was said before is in the order of time, too.
    let follow = Running::start(sea.call_at("root", &["logs", "-f", "talk", "-o", "json"]));
    let said: Vec<serde_json::Value> =
        (0..100).map(|_| serde_json::from_str(&follow.line(|_| true)).unwrap()).collect();
    assert!(said.is_sorted_by_key(|line| line["at"].as_str().unwrap().to_owned()), "{said:?}");
    // The cluster tells the same by its own socket.
    let near = sea.holm_at("vienna", &["logs", "talk/web/1"]).done().stdout;
    assert!(near.contains("line 1 of web/1"), "{near}");
    sea.holm(&["logs", "nothing"]).refused(1, &["nothing"]);
}

/// All in one moment, and something else when it is told to.
const BURSTS: &str = "holm: v1
application: dup
services:
  a:
    runtime: process
    command: [sh, -c, 'seq 1 5; while [ ! -e go ]; do sleep 0.1; done; echo later; exec sleep 1000']
  b:
    runtime: process
    command: [sh, -c, 'seq 1 5; while [ ! -e go ]; do sleep 0.1; done; echo later; exec sleep 1000']
";

#[test]
fn following_the_last_lines_of_several_repeats_none_before_them() {
    let sea = sea().node("fl-1").start();
    sea.deploy(BURSTS);
    let slots = ["dup/a/0", "dup/b/0"];
    for slot in slots {
        wait_for("all is said", || sea.holm(&["logs", slot]).stdout.ends_with("5\n").then_some(()));
    }
    let follow = Running::start(sea.call_at("root", &["logs", "-f", "--tail", "1", "dup"]));
    let mut said: Vec<String> = (0..2).map(|_| follow.line(|_| true)).collect();
    for slot in slots {
        sea.holm(&["exec", slot, "--", "touch", "go"]).done();
        said.push(follow.line(|_| true));
    }
    said.sort();
    assert_eq!(said, ["a/0 | 5", "a/0 | later", "b/0 | 5", "b/0 | later"]);
}

#[test]
fn logs_outlive_a_restart_of_the_program_and_of_the_agent() {
    let mut sea = talking();
    let follow = Running::start(sea.call_at("root", &["logs", "-f", "talk/web/0"]));
    follow.line(|line| line.starts_with("line "));
    sea.program("talk", "web/0").kill();
    sea.until("talk", "another incarnation", |all| {
        all.iter().any(|i| i.slot == "web/0" && i.incarnation == 2 && i.runs())
    });
    follow.line(|line| line == "line 1 of web/0");
    let node = sea.instances("talk").into_iter().find(|i| i.slot == "web/0").unwrap().node().to_owned();
    sea.restart(&node);
    sea.all_connected();
    wait_for("both lives in one log", || {
        let all = sea.holm(&["logs", "talk/web/0"]).stdout;
        ["line 1 of", "line 2 of"].iter().all(|line| all.matches(line).count() == 2).then_some(())
    });
}

#[test]
fn following_goes_on_over_restarts_of_everybody_without_losing_or_doubling_a_line() {
    let mut sea = talking();
    let follow = Running::start(sea.call_at("root", &["logs", "-f", "--tail", "1", "talk/web/0"]));
    let seen = RefCell::new(Vec::<u32>::new());
    let number = |line: &str| line.strip_prefix("line ")?.split(' ').next()?.parse::<u32>().ok();
    let more = || {
        let until = seen.borrow().last().copied().unwrap_or_default() + 15;
        let new = |line: &str| {
            let number = number(line);
            seen.borrow_mut().extend(number);
            number.is_some_and(|number| number >= until)
        };
        follow.line(new);
    };
    more();
    let node = sea.instances("talk").into_iter().find(|i| i.slot == "web/0").unwrap().node().to_owned();
    for daemon in [node.as_str(), "vienna", "root"] {
        sea.restart(daemon);
        more();
    }
    let seen = seen.take();
    let expected: Vec<u32> = (seen[0]..seen[0] + seen.len() as u32).collect();
    assert_eq!(seen, expected, "each line once, in order");
}

#[test]
fn what_was_said_while_the_orchestrator_was_away_is_in_the_order_of_time() {
    let mut sea = talking();
    let follow = Running::start(sea.call_at("root", &["logs", "-f", "--tail", "1", "talk", "-o", "json"]));
    let said = |line: &str| -> serde_json::Value { serde_json::from_str(line).unwrap() };
    let at = |line: &serde_json::Value| line["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    follow.line(|line| said(line)["slot"] == "web/0");
    follow.line(|line| said(line)["slot"] == "web/1");
    sea.kill("root");
    let away = jiff::Timestamp::now();
    let near =
        || sea.holm_at("vienna", &["logs", "--since", "1s", "--tail", "1", "talk", "-o", "json"]).stdout;
    let long = away + jiff::SignedDuration::from_secs(2);
    wait_for("much is said meanwhile", || {
        let late = near().lines().filter(|line| at(&said(line)) > long).count();
        (late == 2).then_some(())
    });
    sea.start("root");
    let mut meanwhile = Vec::new();
    let mut after = std::collections::BTreeSet::new();
    while after.len() < 2 {
        let line = said(&follow.line(|_| true));
        if at(&line) > long {
            after.insert(line["slot"].to_string());
        } else if at(&line) > away {
            meanwhile.push((at(&line), line["slot"].to_string()));
        }
    }
    let of = |slot: &str| meanwhile.iter().filter(|(_, said)| said.contains(slot)).count();
    assert!(of("web/0") > 10 && of("web/1") > 10, "{meanwhile:?}");
    assert!(meanwhile.is_sorted_by_key(|(at, _)| *at), "{meanwhile:?}");
}

#[test]
fn following_picks_up_what_starts_later_and_ends_with_the_application() {
    let sea = sea().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(&TALKER.replace("replicas: 2", "replicas: 1"));
    let mut follow = Running::start(sea.call_at("root", &["logs", "-f", "talk"]));
    follow.line(|line| line.starts_with("line 1 of web/0"));
    sea.holm(&["scale", "talk/web", "2"]).done();
    follow.line(|line| line == "web/1 | line 1 of web/1");
    // A new specification is a new instance in the same slot.
    sea.apply(&TALKER.replace("echo line", "echo LINE").replace("replicas: 2", "replicas: 1"));
    follow.line(|line| line == "web/0 | LINE 1 of web/0");
    sea.holm(&["delete", "application", "talk"]).done();
    assert_eq!(follow.ended(), 0);
}

#[test]
fn a_log_that_cannot_be_read_is_told_beside_those_that_can() {
    let mut sea = sea().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(&TALKER.replace("replicas: 2", "replicas: per-node"));
    wait_for("a line", || {
        (sea.holm(&["logs", "talk/web/vienna/fl-2"]).stdout.lines().count() > 2).then_some(())
    });
    sea.kill("fl-1");
    let said = sea.holm(&["logs", "talk"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("no log of talk/web/vienna/fl-1 on vienna/fl-1"), "{said:?}");
    assert!(!said.stderr.contains("orchestrator"), "it is not to blame: {said:?}");
    assert!(said.stdout.contains("of web/vienna/fl-2"), "the other one is shown: {said:?}");
}

#[test]
fn exec_gives_output_input_and_exit_code() {
    let sea = talking();
    let exec = |words: &[&str]| sea.holm(&[&["exec", "talk/web/0", "--"], words].concat());
    let said = exec(&["sh", "-c", "echo out; echo err >&2; exit 42"]);
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (42, "out\n", "err\n"), "{said:?}");
    assert_eq!(exec(&["true"]).code, 0);
    assert_eq!(exec(&["sh", "-c", "kill -9 $$"]).code, 137);
    // The instance's own environment.
    assert_eq!(exec(&["sh", "-c", "echo $HOLM_SLOT"]).done().line(), "web/0");
    // Standard input, until its end; more than any buffer on the way.
    let input = "0123456789abcdef\n".repeat(60_000);
    let counted = run(sea.call_at("root", &["exec", "talk/web/1", "--", "wc", "-c"]), &input).done();
    assert_eq!(counted.line(), input.len().to_string());
    let echoed = run(sea.call_at("root", &["exec", "talk/web/1", "--", "cat"]), &input).done();
    assert!(echoed.stdout == input, "{} of {} bytes came back", echoed.stdout.len(), input.len());
    let said = exec(&["/nowhere/program"]);
    assert_ne!(said.code, 0);
    assert!(said.stderr.contains("/nowhere/program"), "{said:?}");
    sea.holm(&["exec", "talk/web/9", "--", "true"]).refused(1, &["talk/web/9"]);
    sea.holm(&["exec", "talk/web", "--", "true"]).refused(1, &["talk/web"]);
}

/// Bytes that the flood offers: far more than every buffer between the two ends.
const FLOOD: u64 = 1 << 30;
/// What an orchestrator may take for one reader that does not read, in KiB.
const ALLOWED: u64 = 16 * 1024;

#[test]
fn a_slow_reader_does_not_grow_the_orchestrators() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.deploy(
        "holm: v1\napplication: calm\nservices:\n  web:\n    runtime: process\n    command: [sleep, \"100000\"]\n",
    );
    let costs = || ["root", "vienna", "fl-1"].map(|name| proc::pss(sea.pid(name)));
    // Once before, so that what is allocated for ever is there.
    sea.holm(&["exec", "calm/web/0", "--", "head", "-c", "20000000", "/dev/zero"]).done();
    let before = costs();
    let count = FLOOD.to_string();
    let mut call = sea.call_at("root", &["exec", "calm/web/0", "--", "head", "-c", &count, "/dev/zero"]);
    let mut reader = call.stdout(Stdio::piped()).spawn().unwrap();
    // It takes the first bytes, then nothing: everything behind it must come to rest.
    let mut out = reader.stdout.take().unwrap();
    let mut first = [0; 1024];
    std::io::Read::read_exact(&mut out, &mut first).unwrap();
    wait_for("the flood comes to rest", || {
        let cpu = || ["root", "vienna", "fl-1"].map(|name| ticks(sea.pid(name)));
        let then = cpu();
        std::thread::sleep(Duration::from_millis(500));
        (then.iter().zip(cpu()).all(|(a, b)| b - a <= 3)).then_some(())
    });
    let now = costs();
    let grown: Vec<_> = now.iter().zip(before).map(|(now, before)| now.saturating_sub(before)).collect();
    assert!(grown.iter().all(|grown| *grown < ALLOWED), "KiB: {before:?} → {now:?}");
    // Control goes on beside it.
    sea.holm(&["scale", "calm/web", "2"]).done();
    sea.running("calm", 2);
    reader.kill().unwrap();
    reader.wait().unwrap();
    wait_for("the command ends with its reader", || {
        let heads = proc::touching(sea.data("fl-1")).into_iter().filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words.starts_with(b"head\0"))
        });
        (heads.count() == 0).then_some(())
    });
}

#[test]
fn a_slow_log_reader_does_not_grow_the_orchestrators() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.deploy(
        "holm: v1\napplication: loud\nservices:\n  web:\n    runtime: process\n    \
         command: [sh, -c, 'while :; do head -c 3000 /dev/zero | tr \"\\\\0\" x; echo; done']\n    stop: { grace: 1s }\n",
    );
    sea.holm(&["logs", "--tail", "500", "loud"]).done();
    let costs = || ["root", "vienna"].map(|name| proc::pss(sea.pid(name)));
    let before = costs();
    let mut call = sea.call_at("root", &["logs", "-f", "loud"]);
    let mut reader = call.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = reader.stdout.take().unwrap();
    let mut first = [0; 1024];
    std::io::Read::read_exact(&mut out, &mut first).unwrap();
    crate::harness::holds_for(Duration::from_secs(5), "memory stays", || {
        costs().iter().zip(before).all(|(now, before)| now.saturating_sub(before) < ALLOWED)
    });
    reader.kill().unwrap();
    reader.wait().unwrap();
    sea.holm(&["stop", "loud"]).done();
    sea.until("loud", "STOPPED", |all| all.iter().all(|i| i.state == "STOPPED"));
}

/// CPU time of a process so far, in ticks.
fn ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn lines_of_each_of_several_are_in_order_over_restarts_of_the_orchestrator() {
    let mut sea = sea().cluster("vienna", &["fl-1"]).start();
    let quick = TALKER.replace("sleep 0.1", "sleep 0.01").replace("replicas: 2", "replicas: 4");
    sea.deploy(&quick);
    let follow = Running::start(sea.call_at("root", &["logs", "-f", "--tail", "1", "talk", "-o", "json"]));
    let mut seen = BTreeMap::<String, Vec<u32>>::new();
    for round in 0..4 {
        let from: usize = seen.values().map(Vec::len).sum();
        let mut lines = from;
        while lines < from + 600 {
            let line: serde_json::Value = serde_json::from_str(&follow.line(|_| true)).unwrap();
            let text = line["text"].as_str().unwrap();
            if let Some(number) = text.strip_prefix("line ").and_then(|rest| rest.split(' ').next()) {
                let slot = line["slot"].as_str().unwrap().to_owned();
                seen.entry(slot).or_default().push(number.parse().unwrap());
                lines += 1;
            }
        }
        if round < 3 {
            sea.kill(["root", "vienna", "root"][round]);
            sea.start(["root", "vienna", "root"][round]);
        }
    }
    assert_eq!(seen.len(), 4);
    for (slot, numbers) in seen {
        let expected: Vec<u32> = (numbers[0]..numbers[0] + numbers.len() as u32).collect();
        assert_eq!(numbers, expected, "{slot}: each line once, in order");
    }
}
