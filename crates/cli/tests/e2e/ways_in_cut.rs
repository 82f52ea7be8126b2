//! Ways in whose middle is cut, and a terminal that floods.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::command::Running;
use crate::harness::{Sea, holds_for, proc, sea, wait_for};
use crate::ways_in_terminal::Screen;

/// Waits, and sends back what comes to its port.
const ECHO: &str = "holm: v1
application: echo
services:
  web:
    runtime: process
    command: [busybox, nc, -ll, -p, \"{{ port.echo }}\", -e, cat]
    ports: { echo: auto }
";

/// Every way into one instance and its node, open at the same time.
struct Ways {
    exec: Running,
    terminal: Screen,
    shell: Screen,
    files_in: Call,
    files_out: Call,
    forward: Running,
    connection: TcpStream,
}

/// A call whose end and last words are of interest.
struct Call(Child);

// === impl Call ===

impl Call {
    fn start(mut call: Command) -> Self {
        let call = call.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self(call.spawn().unwrap())
    }

    #[track_caller]
    fn fails(&mut self, words: &[&str]) {
        let status = wait_for("the call ends", || self.0.try_wait().unwrap());
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let known = words.iter().any(|words| said.contains(words));
        assert!(status.code() == Some(1) && known, "{status}: {said}");
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Already ended, or ended now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// === impl Ways ===

impl Ways {
    /// What runs there has `mark` in its command line.
    fn open(sea: &Sea, mark: &str) -> Self {
        let call = |words: &[&str]| sea.call_at("root", words);
        let script = format!("echo ready; exec sleep {mark}");
        let command = ["echo/web/0", "--", "sh", "-c", &script];
        let exec = Running::start(call(&[&["exec"], &command[..]].concat()));
        exec.line(|line| line == "ready");
        let mut terminal = Screen::start(call(&[&["exec", "-it"], &command[..]].concat()), 80, 24);
        terminal.until("ready");
        let mut shell = Screen::start(call(&["shell", "fl-1"]), 80, 24);
        shell.until("this session is recorded");
        shell.keys(format!("echo rea''dy; exec sleep {mark}\r").as_bytes());
        shell.until("ready");
        let forward = Running::start(call(&["port-forward", "echo/web", "0:echo"]));
        let line = forward.line(|line| line.contains(" leads to "));
        let connection = wait_for("the port answers", || echoed(line.split(' ').next()?));
        sea.holm(&["exec", "echo/web/0", "--", "truncate", "-s", "1T", "endless"]).done();
        let mut files_in = Call::start(call(&["cp", "-", "echo/web/0:."]));
        // The beginning of an archive, and no end.
        files_in.0.stdin.as_mut().unwrap().write_all(&[b'x'; 100]).unwrap();
        let target = sea.path("copies");
        std::fs::create_dir(&target).unwrap();
        let files_out = Call::start(call(&["cp", "echo/web/0:endless", target.to_str().unwrap()]));
        wait_for("files come", || copies(sea).any(|file| file.metadata().unwrap().len() > 0).then_some(()));
        Self { exec, terminal, shell, files_in, files_out, forward, connection }
    }

    /// Each has ended as it should.
    #[track_caller]
    fn lost(&mut self) {
        assert_eq!(self.exec.ended(), 1);
        for screen in [&mut self.terminal, &mut self.shell] {
            screen.until("the command was lost");
            assert_eq!(screen.ended(), 1);
            assert!(screen.is_as_before());
        }
        // Nothing tells that the archive is on its way in: it may not have been, yet.
        self.files_in.fails(&["the way to the instance broke", "has no link now"]);
        self.files_out.fails(&["the way to the instance broke"]);
        self.connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // Its end, or a reset: but no silence.
        let read = self.connection.read(&mut [0; 8]).map_err(|error| error.kind());
        assert!(matches!(read, Ok(0) | Err(std::io::ErrorKind::ConnectionReset)), "{read:?}");
        assert!(self.forward.is_running(), "it waits for the next connection");
    }
}

/// What there is of the files that are copied out.
fn copies(sea: &Sea) -> impl Iterator<Item = std::fs::DirEntry> {
    std::fs::read_dir(sea.path("copies")).unwrap().map_while(Result::ok)
}

/// A connection over which something has come back.
fn echoed(address: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(b"ping").ok()?;
    stream.read_exact(&mut [0; 4]).ok()?;
    Some(stream)
}

/// Kills `who` in the middle of every way in.
fn cut(who: &str) {
    let mut sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.deploy(ECHO);
    sea.running("echo", 1);
    let dir = sea.data("fl-1").display().to_string();
    sea.holm(&["node", "consent", "grant", "--data-dir", &dir]).done();
    let before = proc::touching(sea.data("fl-1"));
    let mark = format!("4321.{}", std::process::id());
    let mut ways = Ways::open(&sea, &mark);
    sea.kill(who);
    ways.lost();
    wait_for("nothing of it is left at the node", || {
        let all = proc::touching(sea.data("fl-1"));
        let left = all.iter().filter(|pid| !before.contains(pid)).count();
        (left == 0 && proc::saying(&mark).is_empty()).then_some(())
    });
    assert_eq!(copies(&sea).count(), 0, "half a file is none");
    // What was only looked into goes on, and can be reached again.
    sea.start(who);
    wait_for("the instance can be reached", || {
        (sea.holm(&["exec", "echo/web/0", "--", "true"]).code == 0).then_some(())
    });
}

#[test]
fn a_cluster_that_is_killed_in_the_middle_ends_every_way_in() {
    cut("vienna");
}

#[test]
fn a_node_that_is_killed_in_the_middle_ends_every_way_in() {
    cut("fl-1");
}

#[test]
fn a_terminal_that_floods_fills_no_memory_and_hears_ctrl_c() {
    let sea = crate::ways_in::calm();
    let mark = format!("flood-{}", std::process::id());
    let call = sea.call_at("root", &["exec", "-it", "calm/web/0", "--", "yes", &mark]);
    let mut screen = Screen::start(call, 80, 24);
    screen.until(&mark);
    let daemons = ["root", "vienna", "fl-1"].map(|name| sea.pid(name));
    let there = || proc::touching(sea.data("fl-1")).iter().any(|pid| proc::saying(&mark).contains(pid));
    assert!(there());
    let before = daemons.map(proc::peak);
    screen.unread(|keys| {
        holds_for(Duration::from_secs(3), "nothing piles up", || {
            std::iter::zip(daemons, before).all(|(pid, before)| proc::peak(pid) < before + (24 << 10))
        });
        keys.write_all(b"\x03").unwrap();
        wait_for("it ends though nobody reads", || (!there()).then_some(()));
    });
    assert_eq!(screen.ended(), 130);
    assert!(screen.is_as_before());
}
