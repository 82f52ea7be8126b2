//! A view that is drawn again and again on a terminal; elsewhere, a line for each change.

use std::io::IsTerminal as _;

use console::{Term, truncate_str};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::say;
use crate::failure::Failure;

/// Lines at the end of the terminal that are replaced as a whole, by one write, and only when they differ.
#[derive(Debug)]
pub(crate) struct Live {
    /// None: not a terminal.
    term: Option<Term>,
    drawn: Option<Drawn>,
}

#[derive(Debug)]
struct Drawn {
    bar: ProgressBar,
    text: String,
}

// === impl Live ===

impl Live {
    pub(crate) fn new() -> Self {
        let term = std::io::stdout().is_terminal().then(Term::stdout);
        Self { term, drawn: None }
    }

    pub(crate) const fn is_terminal(&self) -> bool {
        self.term.is_some()
    }

    /// Replaces what was drawn; of no effect where there is no terminal.
    pub(crate) fn draw(&mut self, text: &str) {
        let Some(term) = &self.term else { return };
        let width = usize::from(term.size().1);
        // Cut at the edge of the terminal: a line that goes on in the next would not be taken away as a whole.
        let cut: Vec<_> = text.lines().map(|line| truncate_str(line, width, "")).collect();
        let text = cut.join("\n");
        let drawn = self.drawn.get_or_insert_with(Drawn::new);
        if drawn.text != text {
            drawn.bar.set_message(text.clone());
            drawn.bar.tick();
            drawn.text = text;
        }
    }

    /// A line that stays.
    pub(crate) fn note(&self, text: &str) -> Result<(), Failure> {
        match &self.drawn {
            Some(drawn) => {
                drawn.bar.println(text);
                Ok(())
            }
            None => say(text),
        }
    }

    /// Takes away what was drawn.
    pub(crate) fn clear(&mut self) {
        if let Some(drawn) = self.drawn.take() {
            drawn.bar.finish_and_clear();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}

// === impl Drawn ===

impl Drawn {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
        let style =
            ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        Self { bar: bar.with_style(style), text: String::new() }
    }
}
