//! Somebody in front of a command that runs elsewhere: input and window size one way, output the other.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`raw`] | the terminal hands every key on, and is as before afterwards |
//! | [`shown`] | what the command says, however slowly it is taken |
//! | [`interrupts`] | signals of this program: the first goes to the command, the second is for us |
//!
//! ```text
//! stdin (a thread) ─┐
//! window size ──────┼──▶ one task ──▶ command ──▶ stdout, stderr, exit code
//! signals ──────────┘                     (a thread)
//! ```

mod interrupts;
pub(crate) mod raw;
mod shown;

use std::fs::File;
use std::io::Read as _;
use std::pin::pin;
use std::process::ExitCode;

use holm_client::{Exec, ExecReceiver, ExecSender};
use holm_model::tunnel::{ExecIn, ExecOut, Terminal};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::failure::Failure;
use interrupts::{Interrupt, Interrupts};
use raw::Raw;
use shown::Shown;

/// Bytes of standard input in one message.
const CHUNK: usize = 16 * 1024;

/// The terminal that standard input and output are.
///
/// # Errors
/// When they are none: keys could not reach the command.
pub(crate) fn terminal(instead: &str) -> Result<Terminal, Failure> {
    let size = raw::size()
        .ok_or_else(|| Failure::wrong_use("standard input and output are no terminal").hint(instead))?;
    let kind = std::env::var("TERM").unwrap_or_default();
    // What has no name that could travel is as simple as can be.
    let named = Terminal::new(&kind, size).or_else(|_| Terminal::new("dumb", size));
    named.map_err(|error| Failure::from_error("a bug", &error))
}

/// Until the command ends; its exit code is ours. With `in_terminal`, every key is for the command.
pub(crate) async fn run(command: Exec, in_terminal: bool) -> Result<ExitCode, Failure> {
    carry(command, in_terminal, None).await
}

/// As [`run`] in a terminal; what is shown is kept in `file`, too.
pub(crate) async fn record(command: Exec, file: Option<File>) -> Result<ExitCode, Failure> {
    carry(command, true, file).await
}

async fn carry(command: Exec, in_terminal: bool, record: Option<File>) -> Result<ExitCode, Failure> {
    let mut interrupts = Interrupts::listen(in_terminal)
        .map_err(|error| Failure::from_error("cannot listen for signals", &error))?;
    let raw = in_terminal.then(Raw::enter).transpose();
    let raw = raw.map_err(|error| Failure::from_error("cannot use the terminal", &error))?;
    let (sender, receiver) = command.split();
    let (forward, forwarded) = watch::channel(0);
    let resized = in_terminal.then(|| signal(SignalKind::window_change())).transpose();
    let resized = resized.map_err(|error| Failure::from_error("cannot listen for signals", &error))?;
    let sending = tokio::spawn(Sending { sender, forwarded, resized }.run(stdin()));
    let mut showing = pin!(show(receiver, Shown::start(record)));
    let code = loop {
        tokio::select! {
            code = &mut showing => break code,
            interrupt = interrupts.next() => match interrupt {
                Interrupt::Forward(number) => drop(forward.send(number)),
                Interrupt::Leave(number) => break Ok(128 + number),
            },
        }
    };
    sending.abort();
    // Before anything is said.
    drop(raw);
    code.map(exit_code)
}

/// Shows what the command says; its exit code.
async fn show(mut receiver: ExecReceiver, mut shown: Shown) -> Result<i32, Failure> {
    let ended = loop {
        match receiver.next().await.transpose() {
            Ok(Some(ExecOut::Exit(code))) => break Ok(code),
            Ok(Some(said)) => shown.show(said).await?,
            Ok(None) => break Err(None),
            Err(error) => break Err(Some(error)),
        }
    };
    // What came before an end is seen before it.
    shown.end().await?;
    ended.map_err(lost)
}

/// As shells do: what does not fit is a failure.
fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(255))
}

fn lost(error: Option<holm_client::Error>) -> Failure {
    let failure = Failure::new("the connection ended before the command did");
    let failure = error.map_or(failure, |error| Failure::from(error).about("the command was lost"));
    failure.hint("what ran there was ended; look with `holm get instances` whether the instance still runs")
}

/// Standard input by a thread of its own: a blocking read cannot be cancelled, and nobody waits for it.
fn stdin() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let (mut stdin, mut buffer) = (std::io::stdin(), vec![0; CHUNK]);
        while let Ok(read @ 1..) = stdin.read(&mut buffer) {
            if sender.blocking_send(buffer[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// What goes to the command.
struct Sending {
    sender: ExecSender,
    /// The signal to hand on.
    forwarded: watch::Receiver<i32>,
    /// `None` without a terminal.
    resized: Option<Signal>,
}

impl Sending {
    /// Ends when nothing can be sent any more: the command has ended.
    async fn run(mut self, mut input: mpsc::Receiver<Vec<u8>>) {
        let mut open = true;
        loop {
            let next = tokio::select! {
                bytes = input.recv(), if open => {
                    open = bytes.is_some();
                    Some(bytes.map_or(ExecIn::StdinEnd, ExecIn::Stdin))
                }
                Ok(()) = self.forwarded.changed() => Some(ExecIn::Signal(*self.forwarded.borrow())),
                Some(()) = next(&mut self.resized) => raw::size().map(ExecIn::Resize),
                // Dropping the sender would close the connection: what the command says is still to come.
                else => std::future::pending().await,
            };
            if let Some(next) = next
                && self.sender.send(&next).await.is_err()
            {
                return;
            }
        }
    }
}

async fn next(signal: &mut Option<Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => None,
    }
}
