//! Asks instances whether they work, as their services say, and tells the agent what they answered.
//!
//! One task per check: a probe begins when the one before has ended, however long it took. What follows from the
//! answers is the machine's business.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`probe`] | what counts as a good answer, and how an answer is put into words |
//! | [`http`] | a request as small as can be |

mod http;
mod probe;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holm_core::node::{CheckKind, Checked, NodeEvent};
use holm_model::health::Check;
use holm_model::id::AssignmentId;
use holm_model::name::Name;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::agent::Input;
use crate::directory::Directory;
use crate::random;

/// All checks that are under way; owned by the agent.
#[derive(Debug)]
pub(crate) struct Checks {
    tools: Arc<Tools>,
    /// By instance: of which incarnation, and its tasks. They end when they are dropped.
    running: BTreeMap<AssignmentId, (u32, Vec<AbortOnDropHandle<()>>)>,
}

#[derive(Debug)]
struct Tools {
    directory: Directory,
    inputs: mpsc::Sender<Input>,
}

/// One check of one incarnation.
struct Task {
    tools: Arc<Tools>,
    id: AssignmentId,
    incarnation: u32,
    kind: CheckKind,
    check: Check,
    ports: BTreeMap<Name, u16>,
}

/// Until the first good answer it is asked at least so often: somebody waits for it.
const SOON: Duration = Duration::from_millis(500);

// === impl Checks ===

impl Checks {
    pub(crate) fn new(directory: Directory, inputs: mpsc::Sender<Input>) -> Self {
        Self { tools: Arc::new(Tools { directory, inputs }), running: BTreeMap::new() }
    }

    /// What has to be asked from now on.
    pub(crate) fn wish<'a>(&mut self, checked: impl Iterator<Item = Checked<'a>>) {
        let mut before = std::mem::take(&mut self.running);
        for wanted in checked {
            let kept =
                before.remove(&wanted.id).filter(|(incarnation, _)| *incarnation == wanted.incarnation);
            let kept = kept.unwrap_or_else(|| (wanted.incarnation, self.start(wanted)));
            self.running.insert(wanted.id, kept);
        }
    }

    fn start(&self, checked: Checked<'_>) -> Vec<AbortOnDropHandle<()>> {
        let Checked { id, incarnation, spec, ports } = checked;
        let task = |kind: CheckKind| {
            let check = kind.of(spec)?.clone();
            let (tools, ports) = (Arc::clone(&self.tools), ports.clone());
            let task = Task { tools, id, incarnation, kind, check, ports };
            Some(AbortOnDropHandle::new(tokio::spawn(task.run())))
        };
        [CheckKind::Health, CheckKind::Readiness].into_iter().filter_map(task).collect()
    }
}

// === impl Task ===

impl Task {
    /// Until it is dropped, or nobody listens any more.
    async fn run(self) {
        let mut worked = false;
        loop {
            let probed = probe::ask(&self.tools.directory, self.id, &self.check, &self.ports).await;
            worked |= probed.good;
            let (id, incarnation, kind) = (self.id, self.incarnation, self.kind);
            let event = NodeEvent::Probed { id, incarnation, kind, probed };
            if self.tools.inputs.send(Input::Machine(event)).await.is_err() {
                return;
            }
            let every = if worked { self.check.every } else { self.check.every.min(SOON) };
            sleep(jittered(every)).await;
        }
    }
}

/// Give or take a tenth: instances that started together are not asked together for ever.
fn jittered(every: Duration) -> Duration {
    const STEPS: u32 = 1 << 16;
    let share = u32::try_from(random() % u64::from(STEPS)).unwrap_or_default();
    every * 9 / 10 + every / 5 * share / STEPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_within_a_tenth() {
        let every = Duration::from_secs(10);
        for _ in 0..1000 {
            let wait = jittered(every).as_secs_f64();
            assert!((9.0..=11.0).contains(&wait), "{wait}");
        }
    }
}
