//! Members: links, greetings, silence.
//!
//! A lost link is no lost member: only silence past a deadline is, counted in this machine's own boot
//! time and anew after a pause of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use holm_model::capability::Capability;
use holm_model::coordinate::Landmark;
use holm_model::healing::SHORTEST_LOSS;
use holm_model::id::MemberId;
use holm_model::item::{Item, Obeyed, PackedItem, Part, ShareSlots};
use holm_model::member::{Aggregate, NodeFacts, NodeReport, Usage};
use holm_model::message::{Down, Hello, PROTOCOL, READS, Up, Welcome};
use holm_model::name::Name;
use holm_model::slot::{ServiceKey, SlotIndex, SlotKey};
use holm_model::state::MemberState;
use holm_model::time::Time;
use holm_model::wish::AppKey;

use super::event::{Effect, LinkId};
use super::rows::Member;
use super::{Orchestrator, Tier};
use crate::held::covers;

/// What is known of a member in this run.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) link: Option<LinkId>,
    /// Where its last link came from.
    pub(super) from: Option<IpAddr>,
    /// What it was told to dial in this session.
    pub(super) landmarks: Vec<Landmark>,
    pub(super) session: u64,
    /// Sequence of the session's last facts.
    pub(super) sequence: u64,
    /// Boot time of the last message (or of our start, or of the end of our own pause).
    pub(super) heard: Duration,
    pub(super) heard_at: Option<Time>,
    pub(super) state: MemberState,
    /// At the last look.
    pub(super) silence: Duration,
    /// Silent past the last deadline: what it ran is DANGLING.
    pub(super) dangling: bool,
    /// A snapshot of facts arrived in this run.
    pub(super) reported: bool,
    /// We are behind what it obeyed: it takes nothing until a person decides.
    pub(super) frozen: bool,
    /// It holds no list: it is new, or has lost its store.
    pub(super) forgot: bool,
    /// What it obeyed then.
    pub(super) ahead: Option<Obeyed>,
    /// What a frozen member holds, once it is complete.
    pub(super) holding: Holding,
    /// Revision that its facts reflect.
    pub(super) obeyed: u64,
    pub(super) facts: Option<NodeFacts>,
    pub(super) capabilities: BTreeSet<Capability>,
    pub(super) usage: Usage,
    pub(super) aggregate: Aggregate,
    /// A cluster's nodes by path below it.
    pub(super) nodes: BTreeMap<Vec<MemberId>, NodeReport>,
    pub(super) node_names: BTreeSet<Name>,
    /// What a cluster has of its own, once it has told in this run.
    pub(super) projects: Option<super::allowances::Reports>,
    /// Keys of the snapshot that is under way.
    pub(super) snapshot: super::facts::SnapshotKeys,
}

#[derive(Debug, Default)]
pub(super) struct Holding {
    pub(super) items: Vec<PackedItem>,
    /// The slots that they fill.
    pub(super) slots: BTreeSet<SlotKey>,
    /// The applications that they are parts of.
    pub(super) apps: BTreeSet<AppKey>,
    pub(super) complete: bool,
}

/// A frozen member may show at most this many items.
const MOST_HELD: usize = 1_000_000;

impl Holding {
    fn take_in(&mut self, items: Vec<PackedItem>, complete: bool) {
        self.complete = complete;
        for item in items.iter().filter_map(|packed| packed.unpack().ok()) {
            self.apps.extend(part_of(&item).map(|part| part.app.clone()));
            self.slots.extend(slot_of(item));
        }
        self.items.extend(items);
    }

    /// Whether the slot may be filled there.
    pub(super) fn may_have(&self, slot: &SlotKey) -> bool {
        !self.complete || self.slots.contains(slot)
    }
}

pub(super) fn part_of(item: &Item) -> Option<&Part> {
    match item {
        Item::Assignment(assignment) => Some(&assignment.part),
        Item::Share(share) => Some(&share.part),
        Item::Endpoints(_) | Item::Revocation | Item::Content(_) | Item::Project(_) | Item::Decommission => {
            None
        }
    }
}

/// The slot that an item fills; per-node slots are nobody else's.
pub(super) fn slot_of(item: Item) -> Option<SlotKey> {
    let (part, index) = match item {
        Item::Assignment(assignment) => (assignment.part, assignment.slot),
        Item::Share(share) => match share.slots {
            ShareSlots::Number(number) => (share.part, SlotIndex::Number(number)),
            ShareSlots::PerNode => return None,
        },
        Item::Endpoints(_) | Item::Revocation | Item::Content(_) | Item::Project(_) | Item::Decommission => {
            return None;
        }
    };
    Some(SlotKey::new(ServiceKey { wish: part.wish, service: part.service }, index))
}

impl Live {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            link: None,
            from: None,
            landmarks: Vec::new(),
            session: 0,
            sequence: 0,
            heard: now,
            heard_at: None,
            state: MemberState::Silent,
            silence: Duration::ZERO,
            dangling: false,
            reported: false,
            frozen: false,
            forgot: false,
            ahead: None,
            holding: Holding::default(),
            obeyed: 0,
            facts: None,
            capabilities: BTreeSet::new(),
            usage: Usage::default(),
            aggregate: Aggregate::default(),
            nodes: BTreeMap::new(),
            node_names: BTreeSet::new(),
            projects: None,
            snapshot: BTreeSet::new(),
        }
    }
}

impl Orchestrator {
    pub(super) fn link_opened(
        &mut self,
        link: LinkId,
        (id, from): (MemberId, Option<IpAddr>),
        serial: &str,
        renew_only: bool,
    ) {
        if self.is_revoked(serial) || self.is_void(id) {
            return self.close(link, "this certificate was revoked; join anew with a token");
        }
        if renew_only {
            self.links.renewing.insert(link, id);
            return;
        }
        if let Some(old) = self.live.get_mut(&id).and_then(|live| live.link.replace(link)) {
            self.links.open.remove(&old);
            self.close(old, "the same member opened another link");
        }
        self.links.open.insert(link, id);
        self.leases.forget_asked(id);
        if let Some(live) = self.live.get_mut(&id) {
            // Heard is who says something: one whose disk takes no writes opens links, and does not get to greet.
            live.from = from.map(|ip| ip.to_canonical());
        }
        let serial = serial.to_owned();
        self.members.change(&mut self.journal, &id, |member| {
            member.serials.insert(serial);
        });
    }

    pub(super) fn link_closed(&mut self, link: LinkId) {
        self.links.renewing.remove(&link);
        let Some(id) = self.links.open.remove(&link) else { return };
        self.leases.forget_asked(id);
        if let Some(live) = self.live.get_mut(&id).filter(|live| live.link == Some(link)) {
            live.link = None;
            self.unsync(id);
        }
    }

    pub(super) fn link_message(&mut self, link: LinkId, message: Up) {
        let renewing = self.links.renewing.get(&link).copied();
        let Some(id) = self.links.open.get(&link).copied().or(renewing) else { return };
        if let Up::Renew { csr } = message {
            if self.is_unconfirmed(id) {
                // It asks again; until then its certificate is what it was.
                return;
            }
            self.effects.push(Effect::Sign { link, member: id, csr: csr.into_vec() });
            return;
        }
        if renewing.is_some() {
            // A member greets before it knows that its certificate has expired.
            return;
        }
        if let Up::Hello(hello) = message {
            return self.hello(link, id, &hello);
        }
        let Some(live) = self.live.get_mut(&id).filter(|live| live.link == Some(link)) else { return };
        live.heard = self.now.boot;
        live.heard_at = Some(self.now.wall);
        if live.session == 0 {
            return self.close(link, "the first message was not a greeting");
        }
        match message {
            Up::Sync { obeyed, digest } => self.sync(link, id, obeyed, digest),
            Up::Want { keys } => self.send_wanted(link, id, &keys),
            // From a member that was told to go on meanwhile, it says nothing any more.
            Up::Holding { items, complete } if live.frozen => {
                if live.holding.complete {
                    live.holding = Holding::default();
                }
                live.holding.take_in(items, complete);
                self.capacity_changed |= complete;
                if live.holding.items.len() > MOST_HELD {
                    self.close(link, "it holds more items than can be taken");
                }
                self.doubt(id);
            }
            Up::Facts(facts) => self.facts(id, facts),
            Up::Alive { revision } => {
                self.obeys(id, revision);
                self.look_at(id);
            }
            Up::Lease(request) => self.lease_asked(id, request),
            Up::Wiped(report) => self.wiped(id, &report),
            Up::Leave => self.member_leaves(id),
            Up::Holding { .. } | Up::Hello(_) | Up::Renew { .. } | Up::Ping { .. } => {}
        }
        self.remember_from_time_to_time(id);
    }

    fn hello(&mut self, link: LinkId, id: MemberId, hello: &Hello) {
        let protocol = match common_protocol(hello.protocol) {
            Ok(protocol) => protocol,
            Err(reason) => return self.close(link, &reason),
        };
        if !self.members.contains(&id) {
            self.know_again(id, hello);
        }
        let Some(member) = self.members.get(&id).cloned() else { return };
        if member.role != hello.role {
            return self.close(link, "its certificate belongs to another role");
        }
        self.members.change(&mut self.journal, &id, |member| member.expected = None);
        let welcome = self.welcome(protocol, id, member.name);
        let behind = hello.obeyed.is_some_and(|obeyed| !covers(&welcome, &obeyed));
        let decided = behind && member.thawed == hello.obeyed;
        let behind = behind && !decided;
        self.leases.forget_asked(id);
        let Some(live) = self.live.get_mut(&id) else { return };
        live.link = Some(link);
        live.landmarks.clear();
        self.todo.said.landmarks = true;
        live.session = self.links.sessions;
        live.sequence = 0;
        let freezes = behind && !live.frozen;
        live.frozen = behind;
        live.forgot = hello.obeyed.is_none();
        live.ahead = hello.obeyed.filter(|_| behind);
        self.capacity_changed = true;
        self.rankings.touch(id);
        live.holding = Holding::default();
        live.heard = self.now.boot;
        live.heard_at = Some(self.now.wall);
        self.effects.push(Effect::Send { link, message: Down::Welcome(welcome) });
        self.unsync(id);
        self.reads(id, hello.reads);
        if freezes {
            self.note_freezing(id);
        }
        if behind {
            self.doubt(id);
        } else if decided {
            self.send_thaw(id);
        }
        self.look_at(id);
        self.report_node(id);
    }

    /// Its certificate is ours, this store has forgotten it: known again, but obeyed by nobody.
    fn know_again(&mut self, id: MemberId, hello: &Hello) {
        let mut member = Member::new(hello.role, hello.name.clone(), self.now.wall);
        member.unconfirmed = true;
        self.members.put(&mut self.journal, id, member);
        self.live.insert(id, Live::new(self.now.boot));
        self.touch_projects();
        self.dirty_per_node();
    }

    /// Begins a session.
    fn welcome(&mut self, protocol: u16, member: MemberId, name: Name) -> Welcome {
        self.links.sessions += 1;
        Welcome {
            protocol,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            session: self.links.sessions,
            member,
            name,
            path: match self.config.tier {
                Tier::Root => Vec::new(),
                Tier::Cluster => vec![self.config.name.clone()],
            },
            store: self.store,
            epoch: self.epoch,
            revision: self.revision,
            reigns: self.reigns.iter().map(|(epoch, reign)| (*epoch, reign.last_revision)).collect(),
            reads: READS,
        }
    }

    /// The member is no more: its placements are free to go elsewhere.
    pub(super) fn forget_member(&mut self, id: MemberId) {
        self.keep_what_is_done(id);
        for placement in self.placements_on(id) {
            self.drop_placement(placement);
        }
        self.flush_lists();
        if let Some(live) = self.live.remove(&id) {
            if let Some(link) = live.link {
                self.close(link, "this member was removed");
            }
            self.todo.said.landmarks |= live.aggregate.landmark.is_some();
            self.forget_nodes(id, &live);
        }
        self.forget_instances(id);
        self.lists.remove(&id);
        self.members.remove(&mut self.journal, &id);
        self.rankings.touch(id);
        self.seen.remove(&mut self.behind, &id);
        self.touch_projects();
        self.aggregate_stale = true;
        self.capacity_changed = true;
        self.todo.origins.extend(self.demands.keys().cloned());
    }

    pub(super) fn close(&mut self, link: LinkId, reason: &str) {
        self.links.renewing.remove(&link);
        if let Some(id) = self.links.open.remove(&link)
            && let Some(live) = self.live.get_mut(&id).filter(|live| live.link == Some(link))
        {
            live.link = None;
        }
        self.effects.push(Effect::Close { link, reason: reason.to_owned() });
    }

    /// The deadlines of every member.
    pub(super) fn look_at_members(&mut self) {
        let all: Vec<_> = self.live.keys().copied().collect();
        all.into_iter().for_each(|id| self.look_at(id));
    }

    pub(super) fn look_at(&mut self, id: MemberId) {
        let deadlines = self.config.deadlines;
        let void = self.is_void(id);
        let Some(live) = self.live.get_mut(&id) else { return };
        let silence = self.now.boot.saturating_sub(live.heard);
        let state = if void || silence >= deadlines.offline {
            MemberState::Offline
        } else if silence >= deadlines.unknown || (live.session == 0 && live.link.is_none()) {
            MemberState::Silent
        } else {
            MemberState::Online
        };
        let dangling = silence >= deadlines.replace;
        let (old, dangled) = (live.state, live.dangling);
        self.todo.said.landmarks |= old != state && live.aggregate.landmark.is_some();
        let given_up = state == MemberState::Offline && live.session == 0;
        (live.state, live.dangling) = (state, dangling);
        let before = std::mem::replace(&mut live.silence, silence);
        if before.max(silence) >= deadlines.unknown.min(SHORTEST_LOSS) {
            self.silence_changed(id, before, silence);
        }
        if old == state && dangled == dangling {
            return;
        }
        self.aggregate_stale = true;
        self.rankings.touch(id);
        // One that is given up may be the last that others waited for.
        self.capacity_changed |= state == MemberState::Online || given_up;
        let placed = self.placements_on(id);
        for placement in placed.iter().filter_map(|id| self.placements.get(id)) {
            self.todo.slots.insert(Self::slot_of(placement));
        }
        if dangled != dangling {
            self.report_instances_of(id);
        }
        if old != state {
            self.note_member(id, old, state);
            self.remember(id);
        }
    }

    fn note_member(&mut self, id: MemberId, old: MemberState, state: MemberState) {
        let Some(member) = self.members.get(&id) else { return };
        let kind = member.role.word();
        let reason = match state {
            MemberState::Online => "",
            _ if self.is_void(id) => "its certificates are void",
            _ => "nothing was heard from it",
        };
        let subject = member.name.to_string();
        self.note(kind, subject, String::new(), (old.word(), state.word()), ("policy", reason));
        self.report_node(id);
    }

    /// Whether `obeyed` says what this reign said last.
    pub(super) fn is_ours(&self, obeyed: Option<Obeyed>) -> bool {
        obeyed.is_some_and(|o| o.store == self.store && o.epoch == self.epoch)
    }
}

/// The highest version that both sides speak, or what to say to the other side.
fn common_protocol((least, most): (u16, u16)) -> Result<u16, String> {
    let (lowest, highest) = PROTOCOL;
    let version = most.min(highest);
    if version >= least.max(lowest) {
        return Ok(version);
    }
    Err(format!(
        "no common protocol version: {least}..{most} offered, {lowest}..{highest} spoken; upgrade the older side"
    ))
}

#[cfg(test)]
#[path = "members_tests.rs"]
mod tests;
