//! The steps of a drill: said as they begin, and all of them with their times in the end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// What was done so far.
#[derive(Debug)]
pub(super) struct Steps {
    begun: Instant,
    done: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    what: String,
    took: Duration,
    good: bool,
}

/// A drill that goes step by step.
pub(super) trait Drill {
    fn steps(&mut self) -> &mut Steps;

    /// # Errors
    /// That of the step, with what it was.
    fn step(&mut self, what: &str, does: impl FnOnce(&mut Self) -> Result<()>) -> Result<()>
    where
        Self: Sized,
    {
        println!("· {what}");
        let begun = Instant::now();
        let outcome = does(self).with_context(|| what.to_owned());
        let step = Step { what: what.to_owned(), took: begun.elapsed(), good: outcome.is_ok() };
        self.steps().done.push(step);
        outcome
    }

    /// As [`Self::step`], for one without which the others can still be tried: an error is told at once, and the
    /// drill fails in the end.
    fn try_step(&mut self, what: &str, does: impl FnOnce(&mut Self) -> Result<()>)
    where
        Self: Sized,
    {
        if let Err(error) = self.step(what, does) {
            eprintln!("error: {error:#}");
        }
    }
}

// === impl Steps ===

impl Steps {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), done: Vec::new() }
    }

    /// The table of all steps.
    ///
    /// # Errors
    /// When one has failed.
    pub(super) fn show(&self) -> Result<()> {
        println!();
        for Step { what, took, good } in &self.done {
            let word = if *good { "ok" } else { "failed" };
            println!("{word:>6} {:>7.1} s  {what}", took.as_secs_f64());
        }
        let failed = self.done.iter().filter(|step| !step.good).count();
        let all = self.begun.elapsed().as_secs_f64();
        ensure!(failed == 0, "{failed} of {} steps failed, after {all:.1} s", self.done.len());
        println!("       {all:>7.1} s  in all; everything was as it must be");
        Ok(())
    }
}
