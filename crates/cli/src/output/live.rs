//! A view that is drawn again and again on a terminal; elsewhere, a line for each change.

use std::io::IsTerminal as _;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::say;
use crate::failure::Failure;

/// Lines at the end of the terminal that are replaced as a whole.
#[derive(Debug)]
pub(crate) struct Live {
    /// None: not a terminal.
    screen: Option<MultiProgress>,
    lines: Vec<ProgressBar>,
}

// === impl Live ===

impl Live {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let screen = terminal.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stdout()));
        Self { screen, lines: Vec::new() }
    }

    pub(crate) const fn is_terminal(&self) -> bool {
        self.screen.is_some()
    }

    /// Replaces what was drawn; of no effect where there is no terminal.
    pub(crate) fn draw(&mut self, text: &str) {
        let Some(screen) = &self.screen else { return };
        let wanted: Vec<_> = text.lines().collect();
        for line in self.lines.drain(wanted.len().min(self.lines.len())..) {
            screen.remove(&line);
        }
        for (i, text) in wanted.into_iter().enumerate() {
            if i == self.lines.len() {
                self.lines.push(screen.add(ProgressBar::new_spinner().with_style(style())));
            }
            self.lines[i].set_message(text.to_owned());
            self.lines[i].tick();
        }
    }

    /// A line that stays.
    pub(crate) fn note(&self, text: &str) -> Result<(), Failure> {
        match &self.screen {
            Some(screen) => {
                screen.println(text).map_err(|e| Failure::from_error("cannot write the output", &e))
            }
            None => say(text),
        }
    }

    /// Takes away what was drawn.
    pub(crate) fn clear(&mut self) {
        self.draw("");
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}

/// One line of text, cut at the edge of the terminal.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}
