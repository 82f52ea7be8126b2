//! What is written down of the ways into nodes and instances that people open. What cannot be written down is not
//! opened; that one could not be opened, and how it ended, is written down, too.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use holm_core::orchestrator::command::{Actor, Command, Way};
use holm_model::id::AssignmentId;

use crate::limits::bucket::Buckets;
use crate::problem::Fault;
use crate::state::Api;

/// A way that is in the audit log. Dropped before its end was told (whoever asked hung up), it is told as cut off.
pub(crate) struct Entry(Option<Opened>);

struct Opened {
    api: Api,
    actor: Actor,
    way: Way,
    /// What it leads into.
    into: String,
    begun: Instant,
}

/// Connections to ports, of which each page of a browser opens many: one record for those of ten minutes.
#[derive(Debug)]
pub(crate) struct Forwards(Mutex<Buckets<String>>);

const FORWARDS: Duration = Duration::from_secs(600);
/// Characters of a command or path that are kept.
const WORDS: usize = 200;

// === impl Entry ===

impl Entry {
    /// `what` goes on there: a command, a path.
    pub(crate) async fn begin(
        api: &Api,
        actor: Actor,
        way: Way,
        into: String,
        what: &str,
    ) -> Result<Self, Fault> {
        let opened = Opened { api: api.clone(), actor, way, into, begun: Instant::now() };
        let what: String = what.chars().take(WORDS).collect();
        api.command(opened.actor.clone(), opened.says(&what)).await?;
        Ok(Self(Some(opened)))
    }

    /// It could not be opened.
    pub(crate) async fn failed(mut self, fault: Fault) -> Fault {
        if let Some(opened) = self.0.take() {
            opened.failed(&fault).await;
        }
        fault
    }

    /// `exit`: with which code, if its end was heard.
    pub(crate) async fn ended(mut self, exit: Option<i32>) {
        if let Some(opened) = self.0.take() {
            opened.ended(exit).await;
        }
    }

    /// It stands for others, too: nobody tells its end.
    pub(crate) fn stands(mut self) {
        self.0 = None;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(opened) = self.0.take() {
            opened.api.clone().connections().spawn(opened.ended(None));
        }
    }
}

// === impl Opened ===

impl Opened {
    async fn failed(self, fault: &Fault) {
        let (verb, subject) = (self.way.verb().to_owned(), self.into);
        let denied = Command::Denied { verb, subject, reason: fault.detail().to_owned() };
        // It is refused, as always.
        let _ = self.api.command(self.actor, denied).await;
    }

    async fn ended(self, exit: Option<i32>) {
        let code = exit.map_or_else(|| "cut off".to_owned(), |code| format!("exit code {code}"));
        let what = format!("ended after {} s, {code}", self.begun.elapsed().as_secs());
        let says = self.says(&what);
        if let Err(fault) = self.api.command(self.actor, says).await {
            let (way, detail) = (self.way.verb(), fault.detail());
            tracing::error!(way, detail, "The end of a way into a machine is not in the audit log.");
        }
    }

    fn says(&self, what: &str) -> Command {
        Command::Way { way: self.way, subject: format!("{}: {what}", self.into) }
    }
}

// === impl Forwards ===

impl Default for Forwards {
    fn default() -> Self {
        Self(Mutex::new(Buckets::every(FORWARDS, 1)))
    }
}

impl Forwards {
    /// Whether this connection is one to be written down.
    pub(crate) fn is_new(&self, who: &str, instance: AssignmentId, port: u16, now: Instant) -> bool {
        self.buckets().look(&connection(who, instance, port), now).is_ok()
    }

    /// It was written down, and is open. Not said before: the next one would be open without a record.
    pub(crate) fn opened(&self, who: &str, instance: AssignmentId, port: u16, now: Instant) {
        // Two at once have a record each.
        let _ = self.buckets().take(&connection(who, instance, port), now);
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets<String>> {
        // Nothing that holds the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connection(who: &str, instance: AssignmentId, port: u16) -> String {
    format!("{who} {instance} {port}")
}

/// The instance as the audit log names it: by its slot, which says more than an id.
pub(crate) async fn instance(api: &Api, id: AssignmentId) -> Result<String, Fault> {
    let found = api.query(move |machine| machine.instance(id)).await?;
    let slot = |of: holm_model::view::InstanceView| {
        format!("application {}/{}/{}", of.project, of.application, of.slot)
    };
    Ok(found.map_or_else(|| format!("instance {id}"), slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_to_a_port_are_one_record_in_ten_minutes() {
        let (forwards, now) = (Forwards::default(), Instant::now());
        let id = |counter: u8| format!("1-0123456789ab-{counter}").parse::<AssignmentId>().unwrap();
        assert!((0..100).all(|_| forwards.is_new("ada", id(1), 80, now)), "none of them was opened");
        forwards.opened("ada", id(1), 80, now);
        assert!(!(0..100).any(|_| forwards.is_new("ada", id(1), 80, now)));
        assert!(forwards.is_new("bob", id(1), 80, now) && forwards.is_new("ada", id(2), 80, now));
        assert!(forwards.is_new("ada", id(1), 81, now) && forwards.is_new("ada", id(1), 80, now + FORWARDS));
    }
}
