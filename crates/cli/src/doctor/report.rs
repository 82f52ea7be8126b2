//! What checks say.

use serde::Serialize;

use crate::output::clean;

/// All checks in their order.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// No check has failed.
    pub(super) healthy: bool,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    state: State,
    says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Not there yet, and nothing is wrong: what comes next.
    Next,
    /// Works, or could not be looked at.
    Warn,
    Fail,
}

// === impl Report ===

impl Report {
    pub(super) const fn new() -> Self {
        Self { healthy: true, checks: Vec::new() }
    }

    pub(super) fn ok(&mut self, check: &'static str, says: impl Into<String>) {
        self.add(check, State::Ok, says.into(), None);
    }

    pub(super) fn next(&mut self, check: &'static str, says: impl Into<String>, todo: impl Into<String>) {
        self.add(check, State::Next, says.into(), Some(todo.into()));
    }

    pub(super) fn warn(&mut self, check: &'static str, says: impl Into<String>, todo: impl Into<String>) {
        self.add(check, State::Warn, says.into(), Some(todo.into()));
    }

    pub(super) fn fail(&mut self, check: &'static str, says: impl Into<String>, todo: impl Into<String>) {
        self.add(check, State::Fail, says.into(), Some(todo.into()));
    }

    /// An error that says itself what to do.
    pub(super) fn broken(&mut self, check: &'static str, says: impl Into<String>) {
        self.add(check, State::Fail, says.into(), None);
    }

    fn add(&mut self, check: &'static str, state: State, says: String, todo: Option<String>) {
        self.healthy &= state != State::Fail;
        self.checks.push(Check { check, state, says, todo });
    }

    /// One line for each check.
    pub(super) fn text(&self) -> String {
        let widest = self.checks.iter().map(|check| check.check.len()).max().unwrap_or_default();
        let line = |check: &Check| {
            let (state, name) = (check.state.word(), check.check);
            let todo = check.todo.as_ref().map(|todo| format!("; {todo}")).unwrap_or_default();
            format!("{state:<4}  {name:<widest$}  {}\n", clean(&format!("{}{todo}", check.says)))
        };
        self.checks.iter().map(line).collect()
    }
}

// === impl State ===

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Next => "next",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_with_its_next_step_and_decides() {
        let mut report = Report::new();
        report.ok("disk", "plenty");
        report.warn("clock", "behind", "set it");
        assert!(report.healthy);
        report.fail("proxy", "no", "say yes");
        assert!(!report.healthy);
        let text = report.text();
        let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        assert_eq!(lines[1], ["warn", "clock", "behind;", "set", "it"]);
        assert_eq!(lines[2][0], "FAIL");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["checks"][2]["state"], "fail");
        assert_eq!(json["checks"][0].get("todo"), None);
    }
}
