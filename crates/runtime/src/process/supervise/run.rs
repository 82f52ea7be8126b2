//! The supervisor's loop.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ChildStderr, ChildStdout};
use std::time::{Duration, Instant, SystemTime};

use holm_model::time::Time;
use holm_model::tunnel::LogStream;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, dup2_stdin};

use super::lease::{Due, Lease};
use super::prepare;
use crate::event::{End, Outcome};
use crate::process::dir::{Ended, InstanceDir, Running, read_json, write_json};
use crate::process::given;
use crate::process::live::open_pidfd;
use crate::process::order::{self, Failed, Hope, Taken};
use crate::process::plan::Plan;
use crate::process::proc;
use crate::process::record::Lines;
use crate::process::segments::{Writer, to_time};

/// Asks the program to end.
pub(crate) const TERMINATE: Signal = Signal::SIGTERM;
/// Ends it.
pub(crate) const KILL: Signal = Signal::SIGUSR1;
/// Stops its process group.
pub(crate) const STOP: Signal = Signal::SIGUSR2;
/// Undoes [`STOP`].
pub(crate) const CONTINUE: Signal = Signal::SIGCONT;

/// How long the rest of an ended program may resist SIGKILL before the end is reported all the same.
const RESISTANCE: Duration = Duration::from_secs(10);

/// Bytes taken from an output at once: no output can keep the others waiting, and each supervisor keeps
/// this much.
const CHUNK: usize = 16 * 1024;

/// A running program and what is kept of it.
#[derive(Debug)]
struct Supervisor {
    plan: Plan,
    program: Pid,
    stdout: Output<ChildStdout>,
    stderr: Output<ChildStderr>,
    log: Writer,
    signals: SignalFd,
    /// Of an exclusive instance.
    lease: Option<Lease>,
    /// Set when the program itself has ended, with the time until the rest is given up.
    ended: Option<(End, Instant)>,
}

#[derive(Debug)]
struct Output<R> {
    pipe: Option<R>,
    lines: Lines,
    stream: LogStream,
}

/// Runs the plan in the directory of `order` to its end; the exit code of the supervisor itself.
pub(super) fn supervise(order: Taken) -> i32 {
    let Taken { dir, lock: _held, given, agent } = order;
    let dir = InstanceDir(dir);
    let (begun, answer) = match begin(&dir, given) {
        Ok((supervisor, running, pidfd)) => (Some(supervisor), Ok((running, pidfd))),
        Err(failed) => (None, Err(failed)),
    };
    order::answer(agent, &answer);
    drop(answer);
    let Some(mut supervisor) = begun else { return 1 };
    let outcome = supervisor.run();
    let ended = Ended { incarnation: supervisor.plan.incarnation, outcome };
    i32::from(dir.write_exit(&ended).is_err())
}

/// Also returns what the agent is told: the pids, and a pidfd of this process.
fn begin(dir: &InstanceDir, given: OwnedFd) -> Result<(Supervisor, Running, OwnedFd), Failed> {
    let step = |step: &'static str| {
        move |error: io::Error| Failed { step: step.into(), reason: error.to_string(), hope: Hope::Later }
    };
    let own = std::process::id().cast_signed();
    prepare::leave_nursery().map_err(step("leaving the nursery"))?;
    let pidfd = open_pidfd(own).map_err(step("opening its own pidfd"))?;
    let plan: Plan = read_json(&dir.plan())
        .and_then(|plan| plan.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(step("reading the plan"))?;
    let given = keep(given).map_err(step("reading what the instance is given"))?;
    dir.reserve_exit().map_err(step("reserving room for the exit code"))?;
    let signals = prepare::signals(&[Signal::SIGCHLD, TERMINATE, KILL, STOP, CONTINUE])
        .map_err(step("preparing signals"))?;
    let lease = Lease::begin(dir).map_err(step("reading its lease"))?;
    if lease.as_ref().is_some_and(Lease::is_over) {
        let (step, reason) = ("starting in time".into(), "its lease ends before".into());
        return Err(Failed { step, reason, hope: Hope::Lease });
    }
    let mut log = Writer::new(dir.0.clone(), plan.logs);
    let child = prepare::spawn(&plan, &given)?;
    let running = Running {
        incarnation: plan.incarnation,
        supervisor: own,
        program: child.id().cast_signed(),
        program_start: proc::start(child.id().cast_signed()).unwrap_or(0),
    };
    if let Err(error) = write_json(&dir.running(), &running) {
        plan.group.kill();
        let _ = killpg(Pid::from_raw(running.program), Signal::SIGKILL);
        return Err(step("writing the pids")(error));
    }
    for note in plan.notes.iter().map(String::as_str) {
        log.push(now(), LogStream::Node, note.as_bytes());
    }
    log.push(now(), LogStream::Node, format!("started, process {}", running.program).as_bytes());
    log.flush(now());
    let supervisor = Supervisor { lease, ..Supervisor::new(plan, child, log, signals) };
    Ok((supervisor, running, pidfd))
}

/// What the instance is given; it stays this process's standard input, where [`given::of`] looks for it.
fn keep(given: OwnedFd) -> io::Result<BTreeMap<String, String>> {
    dup2_stdin(&given)?;
    given::read(given)
}

fn now() -> Time {
    to_time(SystemTime::now())
}

// === impl Supervisor ===

impl Supervisor {
    fn new(plan: Plan, child: Child, log: Writer, signals: SignalFd) -> Self {
        Self {
            plan,
            program: Pid::from_raw(child.id().cast_signed()),
            stdout: Output { pipe: child.stdout, lines: Lines::default(), stream: LogStream::Stdout },
            stderr: Output { pipe: child.stderr, lines: Lines::default(), stream: LogStream::Stderr },
            log,
            signals,
            lease: None,
            ended: None,
        }
    }

    fn run(&mut self) -> Outcome {
        let mut tidy_at = Instant::now() + self.log.tidy(now());
        let mut buffer = vec![0; CHUNK];
        loop {
            self.wait(tidy_at);
            let seen = now();
            self.stdout.read(&mut buffer, &mut self.log, seen);
            self.stderr.read(&mut buffer, &mut self.log, seen);
            self.log.flush(seen);
            if Instant::now() >= tidy_at {
                tidy_at = Instant::now() + self.log.tidy(seen);
            }
            self.look_at_lease();
            if let Some(outcome) = self.take_signals() {
                self.drain(&mut buffer, &outcome);
                return outcome;
            }
        }
    }

    fn wait(&self, tidy_at: Instant) {
        let until = self.ended.as_ref().map_or(tidy_at, |(_, give_up)| tidy_at.min(*give_up));
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        // Nobody looks at it after the end: a timer that has run out would keep this loop awake.
        let lease = self.lease.as_ref().filter(|_| self.ended.is_none()).map(Lease::fd);
        let fds = [Some(self.signals.as_fd()), lease, self.stdout.fd(), self.stderr.fd()];
        let mut fds: Vec<_> =
            fds.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        // Interrupted or not: everything is looked at without waiting.
        let _ = poll(&mut fds, timeout);
    }

    /// Whatever became of the agent: nobody else may run it longer.
    fn look_at_lease(&mut self) {
        let due = match &mut self.lease {
            Some(lease) if self.ended.is_none() => lease.look(),
            _ => return,
        };
        match due {
            Due::Nothing => {}
            Due::Terminate => {
                self.log.push(now(), LogStream::Node, b"its lease ends: nobody renewed it");
                self.signal(&[Signal::SIGTERM, Signal::SIGCONT]);
            }
            Due::Kill => {
                // What is frozen may not die.
                let _ = self.plan.group.freeze(false);
                self.kill_rest();
            }
        }
    }

    /// The outcome as soon as nothing of the program is left.
    fn take_signals(&mut self) -> Option<Outcome> {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let number = info.ssi_signo.cast_signed();
            match Signal::try_from(number) {
                Ok(TERMINATE) => self.signal(&[Signal::SIGTERM, Signal::SIGCONT]),
                Ok(KILL) => self.kill_rest(),
                Ok(STOP) => self.signal(&[Signal::SIGSTOP]),
                Ok(CONTINUE) => self.signal(&[Signal::SIGCONT]),
                _ => {}
            }
        }
        if self.ended.is_none() {
            let end = self.program_ended()?;
            self.ended = Some((end, Instant::now() + RESISTANCE));
        }
        self.kill_rest();
        let alone = self.reap();
        let (end, give_up) = self.ended.as_ref()?;
        (alone || Instant::now() >= *give_up).then(|| {
            let oom = self.plan.group.oom_kills() > 0;
            let lease = self.lease.as_ref().is_some_and(Lease::is_over);
            Outcome { end: end.clone(), oom, lease }
        })
    }

    /// To the program's own process group; not after its end, when the number may be another's.
    fn signal(&self, signals: &[Signal]) {
        if self.ended.is_none() {
            for signal in signals {
                // It may have ended just now.
                let _ = killpg(self.program, *signal);
            }
        }
    }

    /// Looks without reaping: the pid stays the program's until its group was ended, too.
    fn program_ended(&self) -> Option<End> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let end = match waitid(Id::Pid(self.program), flags) {
            Ok(WaitStatus::Exited(_, code)) => End::Code(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => End::Signal(signal as i32),
            Err(Errno::ECHILD) => End::Lost("it is no child of its supervisor".into()),
            _ => return None,
        };
        self.signal(&[Signal::SIGKILL]);
        Some(end)
    }

    fn kill_rest(&self) {
        self.signal(&[Signal::SIGKILL]);
        self.plan.group.kill();
        // Whoever left group and parent behind became a child of this process.
        let own = std::process::id();
        let children =
            std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
    }

    /// True when no child is left.
    fn reap(&self) -> bool {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
                Ok(WaitStatus::StillAlive) => return false,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return true,
            }
        }
    }

    /// What is still in the pipes, and the last word.
    fn drain(&mut self, buffer: &mut [u8], outcome: &Outcome) {
        let seen = now();
        while self.stdout.read(buffer, &mut self.log, seen) | self.stderr.read(buffer, &mut self.log, seen) {}
        let (out, err) = (self.stdout.stream, self.stderr.stream);
        self.stdout.lines.finish(|line| self.log.push(seen, out, line));
        self.stderr.lines.finish(|line| self.log.push(seen, err, line));
        let mut last = String::new();
        // Writing to a string cannot fail.
        let _ = write!(last, "{outcome}");
        self.log.push(seen, LogStream::Node, last.as_bytes());
        self.log.flush(seen);
    }
}

// === impl Output ===

impl<R: Read + AsFd> Output<R> {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// One read; true when there may be more.
    fn read(&mut self, buffer: &mut [u8], log: &mut Writer, now: Time) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        match pipe.read(buffer) {
            Ok(0) => self.pipe = None,
            Ok(count) => {
                let stream = self.stream;
                self.lines.push(&buffer[..count], |line| log.push(now, stream, line));
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(_) => self.pipe = None,
        }
        false
    }
}
