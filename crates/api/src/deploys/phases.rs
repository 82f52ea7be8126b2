//! How long the parts of a start took, by what is heard of the instances.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holm_model::view::EventView;
use holm_model::view::build::PhaseView;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::timeout;

/// Listens to the instances of one application.
pub(super) struct Watch {
    changes: Receiver<Arc<EventView>>,
    /// `project/name`
    application: String,
    begun: Instant,
    /// When each was first in a state, by our own clock.
    seen: BTreeMap<(String, String), Instant>,
}

/// Looked at again without an event, too: one may be missed.
const LOOK: Duration = Duration::from_millis(500);

/// What ends with which state. Creating the container is part of the start.
const PARTS: [(&str, &str); 3] = [("place", "PREPARING"), ("pull", "STARTING"), ("start", "RUNNING")];

impl Watch {
    pub(super) fn new(changes: Receiver<Arc<EventView>>, application: String) -> Self {
        Self { changes, application, begun: Instant::now(), seen: BTreeMap::new() }
    }

    /// From now on it counts.
    pub(super) fn begin(&mut self) {
        self.begun = Instant::now();
    }

    /// Returns when something has happened, or may have.
    pub(super) async fn hear(&mut self) {
        match timeout(LOOK, self.changes.recv()).await {
            Ok(Ok(event)) => self.note(&event),
            Ok(Err(RecvError::Lagged(_))) | Err(_) => {}
            Ok(Err(RecvError::Closed)) => tokio::time::sleep(LOOK).await,
        }
    }

    /// What was said already.
    pub(super) fn drain(&mut self) {
        loop {
            match self.changes.try_recv() {
                Ok(event) => self.note(&event),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn note(&mut self, event: &EventView) {
        if event.application == self.application && !event.slot.is_empty() {
            self.seen.entry((event.subject.clone(), event.to.clone())).or_insert_with(Instant::now);
        }
    }

    /// Until the last instance was so far.
    pub(super) fn phases(&self) -> Vec<PhaseView> {
        let mut before = self.begun;
        let mut phases = Vec::new();
        for (name, state) in PARTS {
            let of = self.seen.iter().filter(|((_, to), _)| to == state).map(|(_, at)| *at).max();
            let Some(at) = of else { continue };
            let took = at.saturating_duration_since(before);
            phases.push(PhaseView { name: name.to_owned(), milliseconds: super::millis(took) });
            before = before.max(at);
        }
        phases
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::time::Time;
    use tokio::sync::broadcast;

    fn event(subject: &str, application: &str, to: &str) -> Arc<EventView> {
        Arc::new(EventView {
            cursor: 0,
            at: Time(0),
            kind: "instance".into(),
            subject: subject.into(),
            application: application.into(),
            slot: "x/0".into(),
            from: String::new(),
            to: to.into(),
            cause: String::new(),
            reason: String::new(),
        })
    }

    #[tokio::test]
    async fn parts_end_with_the_last_instance_and_others_do_not_count() {
        let (say, changes) = broadcast::channel(32);
        let mut watch = Watch::new(changes, "red/x".into());
        for (subject, application, to) in [
            ("a", "red/x", "PREPARING"),
            ("b", "blue/x", "RUNNING"),
            ("a", "red/x", "STARTING"),
            ("a", "red/x", "RUNNING"),
        ] {
            say.send(event(subject, application, to)).unwrap();
        }
        watch.hear().await;
        watch.drain();
        let names: Vec<_> = watch.phases().into_iter().map(|phase| phase.name).collect();
        assert_eq!(names, ["place", "pull", "start"]);
        assert_eq!(watch.seen.len(), 3);
    }
}
