//! A terminal that interprets nothing, until it is given back.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use holm_model::tunnel::WindowSize;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// How the terminal was; for whoever must give it back in a hurry.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// While it lives, every key of the terminal is only a byte of standard input.
#[derive(Debug)]
pub(crate) struct Raw(());

/// The window's, if standard input and output are a terminal.
pub(crate) fn size() -> Option<WindowSize> {
    tcgetattr(io::stdin()).ok()?;
    let size = tcgetwinsize(io::stdout()).ok()?;
    // A window that does not know its size is as large as they once all were.
    let or = |number: u16, usual| if number == 0 { usual } else { number };
    Some(WindowSize { columns: or(size.ws_col, 80), rows: or(size.ws_row, 24) })
}

// === impl Raw ===

impl Raw {
    /// # Errors
    /// When standard input is no terminal.
    pub(crate) fn enter() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        // Not every build unwinds: then nothing is dropped.
        HOOK.call_once(|| {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                report(panic);
            }));
        });
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let entered = Self(());
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw)?;
        Ok(entered)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}
