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
//! | [`rows`], [`reigns`] | what must survive; the starts of this orchestrator |
//! | [`kept`] | what a run keeps beside it |
//! | [`demand`], [`slots`] | what is wanted here, slot by slot |
//! | [`admission`], [`applications`], [`plan`], [`patch`], [`generations`] | what people ask: allowed, known, or refused |
//! | [`reconcile`], [`updating`], [`proving`], [`rollouts`], [`progress`], [`runs`], [`deadlines`], [`timing`], [`ended`], [`scaling`], [`place`], [`choosing`], [`grouping`], [`reserving`], [`surroundings`], [`consulting`], [`standing`], [`patience`], [`specs`] | slots made true |
//! | [`joining`], [`removal`], [`cordon`], [`draining`] | members come and go |
//! | [`carrying`], [`homes`] | named volumes follow what moves; where they are while nothing runs |
//! | [`moving`], [`leasing`] | copies go elsewhere; what may never run twice |
//! | [`people`], [`projects`], [`quotas`] | who may ask, and for how much |
//! | [`members`], [`facts`], [`nodes`], [`seen`], [`shares`] | links, silence, what members report |
//! | [`lists`], [`endpoints`], [`contents`], [`allowances`] | what each member is told |
//! | [`ways`], [`landmarks`], [`violating`] | how far services and members are from each other, and must not be |
//! | [`exposing`], [`claiming`] | ports at this orchestrator that lead to services; who may have them |
//! | [`reading`] | members of other versions, and what they cannot read |
//! | [`identity`] | for whom nodes may ask who they are |
//! | [`awaited`] | what those not heard yet may run |
//! | [`losing`], [`returning`] | members that fall silent, and come back |
//! | [`upward`], [`last_words`], [`adopt`], [`reunion`], [`restored`] | our own parent; a store that forgot |
//! | [`rhythm`] | what every step ends in |
//! | [`views`], [`instance_views`], [`member_views`], [`held_views`], [`explaining`] | what the API shows
//! | [`figures`], [`tally`] | the same in numbers: now, and since the start
//! | [`partings`] | why an instance has ended, or is not heard of, in words |

mod admission;
mod adopt;
mod advice;
mod allowances;
mod applications;
mod awaited;
mod carrying;
mod choosing;
mod claiming;
pub mod command;
pub mod config;
mod consulting;
pub mod contents;
mod cordon;
mod crowding;
mod deadlines;
mod decommission;
mod demand;
mod draining;
mod ended;
mod endpoints;
pub mod event;
mod explaining;
pub mod exposing;
mod facts;
pub mod figures;
mod generations;
mod grouping;
mod guests;
mod held_views;
mod holders;
mod homes;
mod identity;
mod instance_views;
mod joining;
mod kept;
mod landmarks;
mod last_words;
mod leasing;
mod lists;
mod losing;
mod member_views;
mod members;
pub mod moving;
mod nodes;
mod partings;
mod patch;
mod patience;
pub mod people;
mod place;
mod plan;
mod progress;
pub mod projects;
mod proving;
mod quotas;
mod reading;
mod reconcile;
mod reigns;
mod removal;
mod reserving;
pub mod restored;
mod returning;
mod reunion;
mod rhythm;
mod rollouts;
pub mod rows;
mod runs;
mod scaling;
mod seen;
mod shares;
mod slots;
mod specs;
mod standing;
mod surroundings;
pub mod tally;
#[cfg(test)]
mod testing;
mod timing;
pub mod transferring;
mod updating;
mod upward;
mod views;
mod violating;
mod ways;
mod witnesses;

use std::collections::BTreeMap;
use std::time::Duration;

use holm_model::content::ContentKey;
use holm_model::fact::{InstanceReport, Verdict};
use holm_model::id::{AssignmentId, Epoch, MemberId, StoreId, Uid, WishId};
use holm_model::name::Name;
use holm_model::record::{Batch, Table};
use holm_model::state::InstanceState;
use holm_model::time::Now;
use holm_model::wish::AppKey;

use crate::held::Held;
use crate::report::Reporter;
use crate::table::{Journal, LoadError, Rows, Snapshot};

pub use config::{Config, Deadlines, Tier};
pub use consulting::AT_ONCE as QUESTIONS_AT_ONCE;
pub use event::{ConsultId, Effect, Event, LinkId, Ticket};
pub use figures::Figures;
pub use identity::{NoIdentity, ServiceName};
pub use instance_views::{InstanceFilter, Whereabouts};

use awaited::Gathering;
use choosing::Rankings;
use consulting::Consulting;
use contents::ContentRow;
use crowding::Crowded;
use demand::{Demand, Origin};
use exposing::Exposing;
use generations::{GenerationKey, GenerationRow};
use homes::HomeKey;
use kept::{Index, Links, Parent, ThisStep, Todo};
use last_words::LastWords;
use leasing::Leases;
use lists::List;
use members::Live;
use people::Person;
use place::Load;
use projects::Project;
use reserving::Reserving;
use rollouts::Rollout;
use rows::{Member, Placement, Reign, Revocation, Seen, Token, WishRow};
use scaling::Scaling;
use slots::Slots;
use specs::Specs;
use surroundings::Placed;
use tally::Tally;
use timing::Timing;
use violating::Violations;
use witnesses::Witnesses;

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
    homes: Rows<HomeKey, MemberId>,
    tokens: Rows<String, Token>,
    revocations: Rows<String, Revocation>,
    verdicts: Rows<AssignmentId, Verdict>,
    held: Held,
    journal: Journal,
    projects: Rows<Name, Project>,
    people: Rows<Name, Person>,
    contents: Rows<ContentKey, ContentRow>,
    generations: Rows<GenerationKey, GenerationRow>,

    // Facts: written behind, known again from the members' snapshots.
    instances: Rows<AssignmentId, InstanceReport>,
    seen: Rows<MemberId, Seen>,
    last_words: LastWords,
    behind: Journal,

    // Follows from the rows above; `derive` makes it anew.
    revision: u64,
    counter: u64,
    apps: BTreeMap<AppKey, WishId>,
    demands: BTreeMap<Origin, Demand>,
    slots: Slots,
    load: BTreeMap<MemberId, Load>,
    placed: Placed,
    lists: BTreeMap<MemberId, List>,
    index: Index,

    // Of this run only.
    live: BTreeMap<MemberId, Live>,
    gathering: Gathering,
    links: Links,
    parent: Parent,
    todo: Todo,
    capacity_changed: bool,
    /// What the parent was told of our capacity does not hold any more.
    aggregate_stale: bool,
    exposing: Exposing,
    this_step: ThisStep,
    specs: Specs,
    rankings: Rankings,
    tally: Tally,
    rollouts: BTreeMap<WishId, Rollout>,
    timing: Timing,
    scaling: Scaling,
    consulting: Consulting,
    leases: Leases,
    witnesses: Witnesses,
    violations: Violations,
    reserving: Reserving,
    crowded: Crowded,
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
        let reigns = Rows::<Epoch, Reign>::load(Table::Reign, &mut snapshot)?;
        let last = reigns.iter().next_back().map_or(0, |(epoch, _)| epoch.number);
        let mut machine = Self::read(snapshot, config, reigns, Epoch::new(last + 1, random))?;
        machine.begin_reign();
        machine.forget_strays();
        machine.derive();
        machine.recall();
        machine.keep_what_is_there();
        Ok(machine)
    }

    /// The rows alone: nothing that follows from them.
    fn read(
        mut snapshot: Snapshot,
        config: Config,
        reigns: Rows<Epoch, Reign>,
        epoch: Epoch,
    ) -> Result<Self, LoadError> {
        let first = reigns.iter().next().map_or(epoch, |(epoch, _)| *epoch);
        let rows = &mut snapshot;
        Ok(Self {
            config,
            epoch,
            store: StoreId(Uid { epoch: first, counter: 0 }),
            held: Held::load(rows)?,
            homes: homes::load(rows)?,
            members: Rows::load(Table::Member, rows)?,
            wishes: Rows::load(Table::Wish, rows)?,
            placements: Rows::load(Table::Placement, rows)?,
            tokens: Rows::load(Table::Token, rows)?,
            revocations: Rows::load(Table::Revocation, rows)?,
            verdicts: Rows::load(Table::Verdict, rows)?,
            projects: Rows::load(Table::Project, rows)?,
            people: Rows::load(Table::Person, rows)?,
            contents: Rows::load(Table::Content, rows)?,
            generations: Rows::load(Table::Generation, rows)?,
            instances: Rows::load(Table::Fact, rows)?,
            seen: Rows::load(Table::Seen, rows)?,
            last_words: LastWords::default(),
            reigns,
            journal: Journal::default(),
            behind: Journal::default(),
            revision: 0,
            counter: 0,
            apps: BTreeMap::new(),
            demands: BTreeMap::new(),
            slots: Slots::default(),
            load: BTreeMap::new(),
            placed: Placed::default(),
            lists: BTreeMap::new(),
            index: Index::default(),
            live: BTreeMap::new(),
            gathering: Gathering::default(),
            links: Links::default(),
            parent: Parent::default(),
            todo: Todo::default(),
            capacity_changed: false,
            aggregate_stale: true,
            exposing: Exposing::default(),
            this_step: ThisStep::default(),
            specs: Specs::default(),
            rankings: Rankings::default(),
            tally: Tally::default(),
            rollouts: BTreeMap::new(),
            timing: Timing::default(),
            scaling: Scaling::default(),
            consulting: Consulting::default(),
            leases: Leases::default(),
            witnesses: Witnesses::default(),
            violations: Violations::default(),
            reserving: Reserving::default(),
            crowded: Crowded::default(),
            now: Now::default(),
            ticked: Duration::ZERO,
            effects: Vec::new(),
        })
    }

    /// Facts are written behind: those of a member that was removed may have stayed on disk.
    fn forget_strays(&mut self) {
        let known = |report: &InstanceReport| report.node.first().is_some_and(|id| self.members.contains(id));
        let strays: Vec<_> =
            self.instances.iter().filter(|(_, report)| !known(report)).map(|(id, _)| *id).collect();
        for id in strays {
            let report = self.instances.remove(&mut self.behind, &id);
            let unseen = |report: &InstanceReport| report.status.state == InstanceState::Dangling;
            if let Some(report) = report.filter(unseen).filter(|_| self.config.tier == Tier::Cluster) {
                self.recall_last_word(report);
            }
        }
        let strays: Vec<_> =
            self.seen.iter().map(|(id, _)| *id).filter(|id| !self.members.contains(id)).collect();
        for id in strays {
            self.seen.remove(&mut self.behind, &id);
        }
    }

    /// Takes one event. Effects wait in [`Self::take_effects`], writes in [`Self::journal_mut`].
    pub fn step(&mut self, now: Now, event: Event) {
        self.wake(now);
        self.this_step = ThisStep::default();
        match event {
            Event::Tick => self.tick(),
            Event::Command { ticket, actor, command } => self.admit(ticket, &actor, command),
            Event::LinkOpened { link, member, from, serial, renew_only } => {
                self.link_opened(link, (member, from), &serial, renew_only);
            }
            Event::LinkMessage { link, message } => self.link_message(link, message),
            Event::LinkClosed { link } => self.link_closed(link),
            Event::Witnessed { cluster, node, runs } => self.witnessed(cluster, node, &runs),
            Event::ParentOpened => self.parent_opened(),
            Event::ParentMessage(message) => self.parent_message(&message),
            Event::ParentClosed => self.parent_closed(),
            Event::Located(coordinate) => self.located(coordinate),
            Event::Exposed { port, leads_to, outcome } => self.exposed(port, &leads_to, outcome),
            Event::Consulted { id, answer } => self.consulted(id, answer),
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
                Table::Project => self.projects.restore(&key, old),
                Table::Person => self.people.restore(&key, old),
                Table::Content => self.contents.restore(&key, old),
                Table::Generation => self.generations.restore(&key, old),
                Table::Meta if homes::is_home(&key) => self.homes.restore(&key, old),
                Table::Meta | Table::Item => self.held.restore(table, &key, old),
                Table::Instance | Table::Fact | Table::Seen => Ok(()),
            };
            debug_assert!(restored.is_ok(), "{restored:?}");
        }
        self.effects.clear();
        self.exposing.forget();
        self.this_step = ThisStep::default();
        self.consulting.clear();
        self.parent_closed();
        self.parent.reporter = Reporter::default();
        self.derive();
        for link in self.links.open.keys().chain(self.links.renewing.keys()).copied().collect::<Vec<_>>() {
            let reason = "the orchestrator could not write to its disk; call again".to_owned();
            self.effects.push(Effect::Close { link, reason });
        }
    }

    /// When to call [`Event::Tick`] at the latest, in boot time.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let idle = self.members.is_empty()
            && self.todo.unfilled.is_empty()
            && self.todo.updating.is_empty()
            && self.todo.relieving.is_empty()
            && self.last_words.is_empty()
            && !self.is_consulting()
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
