//! One instance is started anew because somebody wants it: the only wish that comes beside the list, since it
//! is about what runs here, and not about what shall run.

use holm_model::id::AssignmentId;
use holm_model::state::RunState;

use super::machine::NodeMachine;

/// The instance cannot begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestartError {
    #[error("instance {0} is not on this node; `holm get instances -o wide` shows where it is")]
    NotHere(AssignmentId),
    #[error("instance {0} is stopped; `holm start` starts its service")]
    Stopped(AssignmentId),
    #[error("instance {0} is held until its replacement runs, and then ends; restart that one")]
    Held(AssignmentId),
    #[error("instance {0} was written by a newer version of holm; upgrade this node")]
    Unreadable(AssignmentId),
}

impl NodeMachine {
    /// Whether [`NodeEvent::Restart`](super::NodeEvent::Restart) would do something.
    ///
    /// # Errors
    /// Why not.
    pub fn can_restart(&self, id: AssignmentId) -> Result<(), RestartError> {
        let wanted = self.wanted.get(&id).filter(|_| self.records.contains(&id));
        let wanted = wanted.ok_or(RestartError::NotHere(id))?;
        if wanted.order.is_err() {
            Err(RestartError::Unreadable(id))
        } else if wanted.held {
            Err(RestartError::Held(id))
        } else if wanted.run == RunState::Stop {
            Err(RestartError::Stopped(id))
        } else {
            Ok(())
        }
    }

    pub(super) fn restart(&mut self, id: AssignmentId) {
        if self.can_restart(id).is_ok() {
            self.records.change(&mut self.journal, &id, |record| record.again = true);
            self.touched.insert(id);
        }
    }
}
