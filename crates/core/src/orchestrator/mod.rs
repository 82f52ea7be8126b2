//! The orchestrator machine, for root and cluster alike.
//!
//! ```text
//!  people ── Command ──▶┌───────────────────────────┐
//!  members ─ Up ───────▶│ wishes ─▶ demands ─▶ slots │── Effect::Reply ──▶ people
//!  parent ── Down ─────▶│        ─▶ placements ─▶ lists│── Effect::Send ───▶ members
//!  clock ─── Tick ─────▶│ facts ◀─ members           │── SendParent ─────▶ parent
//!                       └───────────────────────────┘
//! ```
//!
//! Every event ends in `settle`: slots that something happened to are made true again,
//! lists that changed get one new revision, and what is observed is told upward. All of it is
//! level-triggered: doing it once more changes nothing.
//!
//! | module | what |
//! | --- | --- |
//! | [`command`], [`event`], [`config`] | the machine's inputs and outputs |
//! | [`rows`] | what must survive |
//! | [`demand`], [`slots`] | what is wanted here, slot by slot |
//! | [`admission`], [`applications`], [`plan`], [`patch`] | what people ask: allowed, known, or refused |
//! | [`reconcile`], [`place`], [`standing`], [`patience`], [`specs`] | slots made true |
//! | [`joining`], [`removal`] | members come and go |
//! | [`members`], [`facts`], [`shares`] | links, silence, what members report |
//! | [`lists`], [`endpoints`] | what each member is told |
//! | [`upward`], [`adopt`], [`reunion`] | our own parent; a store that forgot |
//! | [`rhythm`] | what every step ends in |
//! | [`views`], [`instance_views`], [`member_views`] | what the API shows |

mod admission;
mod adopt;
mod advice;
mod applications;
pub mod command;
pub mod config;
mod demand;
mod endpoints;
pub mod event;
mod facts;
mod instance_views;
mod joining;
mod lists;
mod member_views;
mod members;
mod patch;
mod patience;
mod place;
mod plan;
mod reconcile;
mod removal;
mod reunion;
mod rhythm;
pub mod rows;
mod shares;
mod slots;
mod specs;
mod standing;
mod upward;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_model::fact::{InstanceReport, UnfilledSlot, Verdict};
use holm_model::id::{AssignmentId, Epoch, MemberId, StoreId, Uid, WishId};
use holm_model::item::EndpointsKey;
use holm_model::record::{Batch, Table};
use holm_model::slot::ServiceKey;
use holm_model::time::Now;
use holm_model::wish::AppKey;

use crate::held::Held;
use crate::report::Reporter;
use crate::table::{Journal, LoadError, Rows, Snapshot};

pub use config::{Config, Deadlines, Tier};
pub use event::{Effect, Event, LinkId, Ticket};
pub use instance_views::{InstanceFilter, Whereabouts};

use demand::{Demand, Origin, SlotId};
use endpoints::Consumers;
use lists::List;
use members::Live;
use place::{Full, Load};
use rows::{Member, Placement, Reign, Revocation, Token, WishRow};
use slots::Slots;
use specs::Specs;

/// See the [module](self).
#[derive(Debug)]
pub struct Orchestrator {
    config: Config,
    epoch: Epoch,
    store: StoreId,

    // Durable: changed through the journal only.
    reigns: Rows<Epoch, Reign>,
    members: Rows<MemberId, Member>,
    wishes: Rows<WishId, WishRow>,
    placements: Rows<AssignmentId, Placement>,
    tokens: Rows<String, Token>,
    revocations: Rows<String, Revocation>,
    verdicts: Rows<AssignmentId, Verdict>,
    held: Held,
    journal: Journal,

    // Facts: written behind, known again from the members' snapshots.
    instances: Rows<AssignmentId, InstanceReport>,
    behind: Journal,

    /// Slots of shares that their clusters cannot fill, or cannot replace while a node is silent.
    unfilled_below: BTreeMap<AssignmentId, Vec<UnfilledSlot>>,

    // Follows from the rows above; `derive` makes it anew.
    revision: u64,
    counter: u64,
    apps: BTreeMap<AppKey, WishId>,
    demands: BTreeMap<Origin, Demand>,
    slots: Slots,
    load: BTreeMap<MemberId, Load>,
    lists: BTreeMap<MemberId, List>,
    /// Members that are removed as soon as they have ended what they owe.
    leaving: BTreeSet<MemberId>,
    by_share: BTreeMap<AssignmentId, BTreeSet<AssignmentId>>,
    by_service: BTreeMap<ServiceKey, BTreeSet<AssignmentId>>,
    consumers: Consumers,

    // Of this run only.
    live: BTreeMap<MemberId, Live>,
    links: BTreeMap<LinkId, MemberId>,
    sessions: u64,
    reporter: Reporter,
    parent_open: bool,
    /// As it told in its last welcome.
    parent_reigns: BTreeSet<Epoch>,
    dirty: BTreeSet<SlotId>,
    dirty_origins: BTreeSet<Origin>,
    updating: BTreeSet<Origin>,
    unfilled: BTreeSet<SlotId>,
    endpoints_dirty: BTreeSet<EndpointsKey>,
    /// Shares of which the parent may have to hear something new.
    shares_dirty: BTreeSet<AssignmentId>,
    capacity_changed: bool,
    touched: BTreeSet<MemberId>,
    /// What the parent was told of our capacity does not hold any more.
    aggregate_stale: bool,
    /// Of this step only.
    full: Option<Full>,
    /// Of this step only: whether any member is frozen, once a slot wanted to know.
    frozen: Option<bool>,
    specs: Specs,
    /// This step takes a revision even if it changes no list: a tombstone waits for it.
    deleted: bool,
    now: Now,
    ticked: Duration,
    effects: Vec<Effect>,
}

/// How often a quiet machine wants to look at its deadlines.
const TICK: Duration = Duration::from_secs(1);

// === impl Orchestrator: life ===

impl Orchestrator {
    /// Loads the rows and starts a new reign, held by `random`. The journal must be committed before
    /// anything is sent.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn load(mut snapshot: Snapshot, config: Config, random: u64) -> Result<Self, LoadError> {
        let held = Held::load(&mut snapshot)?;
        let reigns = Rows::<Epoch, Reign>::load(Table::Reign, &mut snapshot)?;
        let last = reigns.iter().next_back().map_or(0, |(epoch, _)| epoch.number);
        let epoch = Epoch::new(last + 1, random);
        let first = reigns.iter().next().map_or(epoch, |(epoch, _)| *epoch);
        let mut machine = Self {
            config,
            epoch,
            store: StoreId(Uid { epoch: first, counter: 0 }),
            members: Rows::load(Table::Member, &mut snapshot)?,
            wishes: Rows::load(Table::Wish, &mut snapshot)?,
            placements: Rows::load(Table::Placement, &mut snapshot)?,
            tokens: Rows::load(Table::Token, &mut snapshot)?,
            revocations: Rows::load(Table::Revocation, &mut snapshot)?,
            verdicts: Rows::load(Table::Verdict, &mut snapshot)?,
            instances: Rows::load(Table::Fact, &mut snapshot)?,
            reigns,
            held,
            journal: Journal::default(),
            behind: Journal::default(),
            unfilled_below: BTreeMap::new(),
            revision: 0,
            counter: 0,
            apps: BTreeMap::new(),
            demands: BTreeMap::new(),
            slots: Slots::default(),
            load: BTreeMap::new(),
            lists: BTreeMap::new(),
            leaving: BTreeSet::new(),
            by_share: BTreeMap::new(),
            by_service: BTreeMap::new(),
            consumers: Consumers::new(),
            live: BTreeMap::new(),
            links: BTreeMap::new(),
            sessions: 0,
            reporter: Reporter::default(),
            parent_open: false,
            parent_reigns: BTreeSet::new(),
            dirty: BTreeSet::new(),
            dirty_origins: BTreeSet::new(),
            updating: BTreeSet::new(),
            unfilled: BTreeSet::new(),
            endpoints_dirty: BTreeSet::new(),
            shares_dirty: BTreeSet::new(),
            capacity_changed: false,
            touched: BTreeSet::new(),
            aggregate_stale: true,
            full: None,
            frozen: None,
            specs: Specs::default(),
            deleted: false,
            now: Now::default(),
            ticked: Duration::ZERO,
            effects: Vec::new(),
        };
        machine.begin_reign();
        machine.forget_strays();
        machine.derive();
        Ok(machine)
    }

    /// Revisions go on over reigns, so that one number orders the lists of one store.
    fn begin_reign(&mut self) {
        let last_revision = self.reigns.values().map(|reign| reign.last_revision).max().unwrap_or(0);
        self.reigns.put(&mut self.journal, self.epoch, Reign { last_revision, last_id: 0 });
    }

    /// Facts are written behind: those of a member that was removed may have stayed on disk.
    fn forget_strays(&mut self) {
        let known = |report: &InstanceReport| report.node.first().is_some_and(|id| self.members.contains(id));
        let strays: Vec<_> =
            self.instances.iter().filter(|(_, report)| !known(report)).map(|(id, _)| *id).collect();
        for id in strays {
            self.instances.remove(&mut self.behind, &id);
        }
    }

    /// Takes one event. Effects wait in [`Self::take_effects`], writes in [`Self::journal_mut`].
    pub fn step(&mut self, now: Now, event: Event) {
        self.wake(now);
        (self.full, self.frozen) = (None, None);
        match event {
            Event::Tick => self.tick(),
            Event::Command { ticket, actor, command } => self.admit(ticket, &actor, command),
            Event::LinkOpened { link, member, serial, renew_only } => {
                self.link_opened(link, member, &serial, renew_only);
            }
            Event::LinkMessage { link, message } => self.link_message(link, message),
            Event::LinkClosed { link } => self.link_closed(link),
            Event::ParentOpened => self.parent_opened(),
            Event::ParentMessage(message) => self.parent_message(&message),
            Event::ParentClosed => self.parent_closed(),
        }
        self.settle();
    }

    /// What to do, in order, once the journal is committed.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// What gates the effects: commit it first.
    pub const fn journal_mut(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// Facts and history since the last call, to be written behind: nothing waits for them.
    pub fn take_behind(&mut self) -> Batch {
        self.behind.committed();
        self.behind.take_batch()
    }

    /// The commit failed: everything durable is as it was before the steps since the last commit.
    ///
    /// Links are closed, since what was promised on them may not have happened.
    pub fn undo(&mut self) {
        for (table, key, old) in self.journal.take_undo() {
            let old = old.as_deref();
            // What is restored was encoded by this very process.
            let restored = match table {
                Table::Reign => self.reigns.restore(&key, old),
                Table::Member => self.members.restore(&key, old),
                Table::Wish => self.wishes.restore(&key, old),
                Table::Placement => self.placements.restore(&key, old),
                Table::Token => self.tokens.restore(&key, old),
                Table::Revocation => self.revocations.restore(&key, old),
                Table::Verdict => self.verdicts.restore(&key, old),
                Table::Meta | Table::Item => self.held.restore(table, &key, old),
                Table::Instance | Table::Fact => Ok(()),
            };
            debug_assert!(restored.is_ok(), "{restored:?}");
        }
        self.effects.clear();
        self.deleted = false;
        self.parent_closed();
        self.reporter = Reporter::default();
        self.derive();
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            let reason = "the orchestrator could not write to its disk; call again".to_owned();
            self.effects.push(Effect::Close { link, reason });
        }
    }

    /// When to call [`Event::Tick`] at the latest, in boot time.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let idle = self.members.is_empty()
            && self.unfilled.is_empty()
            && self.updating.is_empty()
            && self.wishes.values().all(|row| row.wish.deleted.is_none());
        (!idle).then(|| self.ticked + TICK)
    }

    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    #[must_use]
    pub const fn store_id(&self) -> StoreId {
        self.store
    }

    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }
}
