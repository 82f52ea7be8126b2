//! What a real bash offers while somebody types.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::command::{PROGRAM, command, run};
use crate::harness::{Sea, sea};

const APP: &str = "holm: v1
application: shop
services:
  web: { runtime: process, command: [/bin/sleep, '1000'], replicas: 2 }
";

/// What is offered for the last of `words`, which is what stands there so far.
fn offered(sea: &Sea, words: &[&str]) -> Vec<String> {
    // As bash itself calls what is registered: the command, the word so far, the word before.
    let script = "source <(holm completions bash)\n\
        COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)) COMP_TYPE=9\n\
        _clap_complete_holm holm \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"\n\
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut call = command("bash");
    call.args(["--norc", "-c", script, "bash", "holm"]).args(words);
    let path = format!("{}:/usr/bin:/bin", std::path::Path::new(PROGRAM).parent().unwrap().display());
    call.env("PATH", path).env("HOLM_SOCKET", sea.socket("root")).env("HOME", "/nonexistent");
    let said = run(call, "").done();
    assert_eq!(said.stderr, "", "whoever types is not disturbed");
    said.stdout.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_names_that_the_orchestrator_knows() {
    let mut sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.deploy(APP);
    for (words, wanted) in [
        (&["delete", "application", ""][..], &["shop"][..]),
        (&["scale", "sh"], &["shop/web"]),
        (&["logs", "shop/"], &["shop/web", "shop/web/0", "shop/web/1"]),
        (&["exec", "shop/web/"], &["shop/web/0", "shop/web/1"]),
        (&["cp", "shop/web/1"], &["shop/web/1:"]),
        (&["describe", "node", "f"], &["fl-1"]),
        (&["get", "instances", "--cluster", ""], &["vienna"]),
        (&["get", "instances", "-p", "d"], &["default"]),
        (&["adopt", ""], &["vienna"]),
        (&["descr"], &["describe"]),
        (&["get", "in"], &["instances"]),
        (&["logs", "-p", "other", "shop"], &[]),
    ] {
        assert_eq!(offered(&sea, words), wanted, "{words:?}");
    }
    assert!(!offered(&sea, &[""]).iter().any(|word| word.starts_with("__")), "hidden commands stay hidden");
    // Nobody answers: nothing is said, and nobody waits.
    sea.kill("root");
    assert_eq!(offered(&sea, &["scale", "sh"]), Vec::<String>::new());
    sea.start("root");
    kill(Pid::from_raw(sea.pid("root")), Signal::SIGSTOP).unwrap();
    let begun = Instant::now();
    assert_eq!(offered(&sea, &["scale", "sh"]), Vec::<String>::new());
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
}
