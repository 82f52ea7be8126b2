//! Signals that end programs.

use std::io;

use futures::FutureExt as _;
use futures::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What to do about one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// The command gets it, and ends or not.
    Forward(i32),
    /// Whoever sends it twice, or whose terminal is gone, wants us to end.
    Leave(i32),
}

#[derive(Debug)]
pub(super) struct Interrupts {
    signals: Vec<(i32, Signal)>,
    /// With a terminal, keys do not come as signals: one that comes is for us.
    leave: bool,
}

// === impl Interrupts ===

impl Interrupts {
    /// # Errors
    /// When the system gives no signals.
    pub(super) fn listen(in_terminal: bool) -> io::Result<Self> {
        let kinds =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
        let listen = |kind: SignalKind| Ok((kind.as_raw_value(), signal(kind)?));
        let signals = kinds.into_iter().map(listen).collect::<io::Result<_>>()?;
        Ok(Self { signals, leave: in_terminal })
    }

    pub(super) async fn next(&mut self) -> Interrupt {
        let all = self.signals.iter_mut().map(|(number, signal)| signal.recv().map(|_| *number).boxed());
        let (number, ..) = select_all(all).await;
        if std::mem::replace(&mut self.leave, true) {
            Interrupt::Leave(number)
        } else {
            Interrupt::Forward(number)
        }
    }
}
