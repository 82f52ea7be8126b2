//! Links: connections that members open, messages on them, and all that happens to both.
//!
//! On a connection messages arrive in order or not at all (TCP); `loss`, `double` and `overtake`
//! of the weather make it worse. Either end may notice the other's death late.

use std::collections::BTreeSet;
use std::time::Duration;

use holm_core::node::NodeEvent;
use holm_core::orchestrator::{Event, LinkId};
use holm_model::id::MemberId;
use holm_model::message::{Down, Up};

use crate::world::{Happening, LinkAt, Orch, Who, World, trace};

#[derive(Clone, Debug)]
pub(crate) enum Message {
    Up(Up),
    Down(Down),
}

/// A member's way to its orchestrator.
#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) member: Who,
    pub(crate) parent: Orch,
    pub(crate) id: MemberId,
    pub(crate) serial: String,
    /// Nothing gets through.
    pub(crate) cut: bool,
    /// The member was removed, or is gone for ever: no part of the sea any more.
    pub(crate) removed: bool,
    /// The connection that the member believes in.
    pub(crate) open: Option<u64>,
    /// The connections that the orchestrator believes in.
    pub(crate) accepted: BTreeSet<u64>,
    /// Nothing that is sent on this connection arrives any more.
    broken: Option<u64>,
    /// Arrival of the last message up and down.
    last: (Duration, Duration),
}

impl Dial {
    pub(crate) const fn new(member: Who, parent: Orch, id: MemberId, serial: String) -> Self {
        Self {
            member,
            parent,
            id,
            serial,
            cut: false,
            removed: false,
            open: None,
            accepted: BTreeSet::new(),
            broken: None,
            last: (Duration::ZERO, Duration::ZERO),
        }
    }

    /// Both ends believe in the same connection.
    pub(crate) fn is_connected(&self) -> bool {
        self.open.is_some_and(|connection| self.accepted.contains(&connection))
    }
}

impl World {
    pub(crate) fn dial_of(&self, who: Who) -> Option<LinkAt> {
        self.dials.iter().position(|dial| dial.member == who)
    }

    /// The way to the member `id` of an orchestrator.
    pub(crate) fn dial_to(&self, parent: Orch, id: MemberId) -> Option<LinkAt> {
        self.dials.iter().position(|dial| dial.parent == parent && dial.id == id)
    }

    pub(crate) fn connect(&mut self, link: LinkAt) {
        let dial = &self.dials[link];
        if dial.open.is_some() || dial.removed || !self.is_up(dial.member) {
            return;
        }
        let parent = &self.orchestrators[dial.parent];
        let refused = dial.cut || parent.machine.is_none() || parent.refuses(dial);
        if refused || parent.paused_until > self.now {
            let after = self.rng.millis(200, 2000);
            return self.plan(after, Happening::Connect { link });
        }
        self.connections += 1;
        let connection = self.connections;
        let dial = &mut self.dials[link];
        dial.open = Some(connection);
        dial.accepted.insert(connection);
        let (who, parent, id, serial) = (dial.member, dial.parent, dial.id, dial.serial.clone());
        trace!(
            self,
            "{} connects to {} ({connection})",
            self.name(who),
            self.orchestrators[parent].config.name
        );
        let link_id = LinkId(connection);
        let opened = Event::LinkOpened { link: link_id, member: id, from: None, serial, renew_only: false };
        self.orchestrator_event(parent, opened);
        match who {
            Who::Orchestrator(orch) => self.orchestrator_event(orch, Event::ParentOpened),
            Who::Node(node) => self.node_event(node, NodeEvent::LinkUp),
        }
    }

    /// Sends from the member.
    pub(crate) fn send_up(&mut self, link: LinkAt, up: Up) {
        if let Some(connection) = self.dials[link].open {
            self.send(link, connection, &Message::Up(up));
        }
    }

    pub(crate) fn send_down(&mut self, connection: u64, down: Down) {
        if let Some(link) = self.dials.iter().position(|dial| dial.accepted.contains(&connection)) {
            self.send(link, connection, &Message::Down(down));
        }
    }

    fn send(&mut self, link: LinkAt, connection: u64, message: &Message) {
        let weather = self.weather;
        if self.rng.chance(weather.breaks) {
            self.break_connection(link);
        }
        let dial = &self.dials[link];
        if dial.cut || dial.broken == Some(connection) || self.rng.chance(weather.loss) {
            return;
        }
        let copies = if self.rng.chance(weather.double) { 2 } else { 1 };
        for _ in 0..copies {
            let at = self.arrival(link, message);
            let message = message.clone();
            self.plan_at(at, Happening::Deliver { link, connection, message });
        }
    }

    fn arrival(&mut self, link: LinkAt, message: &Message) -> Duration {
        let at = self.now + self.rng.millis(1, 40);
        if self.rng.chance(self.weather.overtake) {
            return at + self.rng.millis(0, 300);
        }
        let last = &mut self.dials[link].last;
        let last = if matches!(message, Message::Up(_)) { &mut last.0 } else { &mut last.1 };
        *last = at.max(*last);
        *last
    }

    pub(crate) fn deliver(&mut self, link: LinkAt, connection: u64, message: Message) {
        let dial = &self.dials[link];
        let (member, parent) = (dial.member, dial.parent);
        match message {
            Message::Up(message) if dial.accepted.contains(&connection) => {
                let event = Event::LinkMessage { link: LinkId(connection), message };
                self.orchestrator_event(parent, event);
            }
            Message::Down(down) if dial.open == Some(connection) => match member {
                Who::Orchestrator(orch) => self.orchestrator_event(orch, Event::ParentMessage(down)),
                Who::Node(node) => self.node_event(node, NodeEvent::Received(down)),
            },
            Message::Up(_) | Message::Down(_) => {}
        }
    }

    /// The connection is no more; each end hears of it in its own time.
    pub(crate) fn break_connection(&mut self, link: LinkAt) {
        let accepted: Vec<u64> = self.dials[link].accepted.iter().copied().collect();
        for connection in accepted {
            let late = self.rng.millis(1, 9000);
            self.plan(late, Happening::ParentCloses { link, connection });
        }
        if let Some(connection) = self.dials[link].open {
            self.dials[link].broken = Some(connection);
            let late = self.rng.millis(1, 6000);
            self.plan(late, Happening::MemberCloses { link, connection });
        }
    }

    /// The orchestrator ends it.
    pub(crate) fn hang_up(&mut self, connection: u64, reason: &str) {
        let Some(link) = self.dials.iter().position(|dial| dial.accepted.contains(&connection)) else {
            return;
        };
        trace!(self, "connection {connection} is closed: {reason}");
        self.send_down(connection, Down::Refused { reason: reason.to_owned() });
        let at = self.dials[link].last.1.max(self.now);
        self.plan_at(at, Happening::MemberCloses { link, connection });
        self.plan(Duration::ZERO, Happening::ParentCloses { link, connection });
    }

    pub(crate) fn member_closes(&mut self, link: LinkAt, connection: u64) {
        let dial = &mut self.dials[link];
        if dial.open != Some(connection) {
            return;
        }
        dial.open = None;
        let late = self.rng.millis(1, 3000);
        self.plan(late, Happening::ParentCloses { link, connection });
        match self.dials[link].member {
            Who::Orchestrator(orch) => self.orchestrator_event(orch, Event::ParentClosed),
            Who::Node(node) => self.node_event(node, NodeEvent::LinkDown),
        }
        let after = self.rng.millis(50, 2000);
        self.plan(after, Happening::Connect { link });
    }

    pub(crate) fn parent_closes(&mut self, link: LinkAt, connection: u64) {
        let dial = &mut self.dials[link];
        if !dial.accepted.remove(&connection) {
            return;
        }
        let parent = dial.parent;
        if dial.open == Some(connection) {
            let late = self.rng.millis(1, 3000);
            self.plan(late, Happening::MemberCloses { link, connection });
        }
        self.orchestrator_event(parent, Event::LinkClosed { link: LinkId(connection) });
    }

    /// A process died: the kernel closes its connections, its peers hear of it soon.
    pub(crate) fn cut_links_of(&mut self, who: Who) {
        for link in 0..self.dials.len() {
            let dial = &mut self.dials[link];
            if dial.member == who
                && let Some(connection) = dial.open.take()
            {
                let late = self.rng.millis(1, 3000);
                self.plan(late, Happening::ParentCloses { link, connection });
            }
            if Who::Orchestrator(self.dials[link].parent) == who {
                for connection in std::mem::take(&mut self.dials[link].accepted) {
                    let late = self.rng.millis(1, 3000);
                    self.plan(late, Happening::MemberCloses { link, connection });
                }
            }
        }
    }

    pub(crate) fn set_cut(&mut self, link: LinkAt, cut: bool) {
        trace!(
            self,
            "the link of {} is {}",
            self.name(self.dials[link].member),
            if cut { "cut" } else { "healed" }
        );
        self.dials[link].cut = cut;
        if cut {
            self.break_connection(link);
        }
    }

    pub(crate) fn is_up(&self, who: Who) -> bool {
        match who {
            Who::Orchestrator(orch) => self.orchestrators[orch].machine.is_some(),
            Who::Node(node) => self.nodes[node].machine.is_some(),
        }
    }
}
