//! The node is decommissioned: when nothing of its instances is left, all else is wiped, and that is told on every
//! link until the certificate is void.

use holm_model::item::ItemKey;
use holm_model::message::Up;
use holm_model::wipe::WipeReport;

use super::event::NodeEffect;
use super::machine::NodeMachine;

/// How far it is; in memory only: after a start it wipes anew what an interrupted attempt has left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Wiping {
    #[default]
    Not,
    /// [`NodeEffect::Wipe`] is under way.
    Asked,
    Done(WipeReport),
}

/// Whether the node is to stay, for its link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Farewell {
    #[default]
    Stays,
    /// Its certificate may become void at any moment; it does not join anew.
    Wipes,
    /// As soon as its certificate is void, it is over.
    Wiped,
}

impl NodeMachine {
    #[must_use]
    pub fn farewell(&self) -> Farewell {
        match self.wiping {
            Wiping::Done(_) => Farewell::Wiped,
            _ if self.is_decommissioned() => Farewell::Wipes,
            _ => Farewell::Stays,
        }
    }

    /// The orchestrator said that all of ours shall be wiped.
    fn is_decommissioned(&self) -> bool {
        self.held.get(&ItemKey::Decommission).is_some()
    }

    /// Asks for the wipe as soon as nothing is there that runs, or could.
    pub(super) fn wipe_when_empty(&mut self) {
        let empty = self.records.iter().next().is_none() && self.strays.is_empty() && self.wanted.is_empty();
        if self.wiping == Wiping::Not && self.ready && empty && self.is_decommissioned() {
            self.wiping = Wiping::Asked;
            self.effects.push(NodeEffect::Wipe);
        }
    }

    pub(super) fn wiped(&mut self, report: WipeReport) {
        self.wiping = Wiping::Done(report);
        self.tell_wiped();
    }

    /// Told again on each new link.
    pub(super) fn tell_wiped(&mut self) {
        if let (Wiping::Done(report), true) = (&self.wiping, self.linked) {
            self.effects.push(NodeEffect::Send(Up::Wiped(report.clone())));
        }
    }
}
