//! The member's side of a list: what one parent wishes, as it was received and kept on disk.
//!
//! ```text
//!            connected            Welcome                    Change, Alive: digests equal
//!   Down ──────────────→ Greeting ───────→ Syncing ──────────────────────────────→ Current
//!                            │                ↑ ↑   digests differ, or a change missed │
//!                            │ the parent     │ └──────────────────────────────────────┘
//!                            │ is behind      │ Thaw
//!                            └──→ Behind ─────┘
//! ```
//!
//! A list is compared by its digest, never by trust in what was sent: a message that is lost, doubled,
//! late or out of order costs at most another exchange. While the parent is behind, nothing is taken.

mod behind;
mod kept;
mod overheard;
mod row;

use std::collections::BTreeSet;

use holm_model::id::{Epoch, StoreId};
use holm_model::item::{Digest, ItemError, ItemKey, Obeyed, PackedItem};
use holm_model::member::Role;
use holm_model::message::{Down, Hello, ListChange, PROTOCOL, READS, Up, Welcome};
use holm_model::name::Name;
use holm_model::record::Table;

pub(crate) use behind::covers;
use behind::holding;
use kept::Kept;

use crate::table::{Journal, LoadError, Rows, Snapshot};

/// The list of one parent.
#[derive(Debug)]
pub struct Held {
    kept: Kept,
    /// One row, [`OBEYED`].
    obeyed: Rows<String, Obeyed>,
    /// At least the stored revision: keep-alives raise it, and only every [`STRIDE`]th is worth a write.
    revision: u64,
    phase: Phase,
    /// The newest revision of this session that was heard and not taken.
    overheard: u64,
}

/// What one message of the parent led to.
#[derive(Debug, Default)]
pub struct Received {
    /// To be sent after the journal was committed.
    pub replies: Vec<Up>,
    /// Items that are new or changed.
    pub put: Vec<ItemKey>,
    pub removed: Vec<ItemKey>,
    /// Items that this version cannot read, or whose very kind it does not know (then they are not among `put`); they
    /// are kept, since the digest covers them.
    pub unreadable: Vec<ItemError>,
    /// A session began.
    pub welcome: Option<Welcome>,
}

#[derive(Debug)]
enum Phase {
    /// No link.
    Down,
    /// Hello was sent.
    Greeting,
    /// The parent does not know what we obeyed last: frozen.
    Behind(Parent),
    /// Sync was sent; the catalog, once it is here, says what comes next.
    Syncing(Parent, Option<Catalog>),
    /// Digests were equal when they were compared last.
    Current(Parent),
}

/// The reign at the other end of the link.
#[derive(Clone, Copy, Debug)]
struct Parent {
    session: u64,
    store: StoreId,
    epoch: Epoch,
}

/// What is left of the parent's catalog after comparing.
#[derive(Debug)]
struct Catalog {
    revision: u64,
    /// Held here, not in the parent's list.
    absent: BTreeSet<ItemKey>,
}

/// Key of the row in [`Table::Meta`] that says what was obeyed last.
const OBEYED: &str = "obeyed";

/// How far the revision may run ahead of the disk while nothing changes; losing it is harmless, since
/// the digest tells the same.
const STRIDE: u64 = 1000;

// === impl Held ===

impl Held {
    /// Takes the rows of the list, and only those, out of `snapshot`.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn load(snapshot: &mut Snapshot) -> Result<Self, LoadError> {
        let mut obeyed = Rows::new(Table::Meta);
        if let Some(meta) = snapshot.get_mut(&Table::Meta)
            && let Some(at) = meta.iter().position(|(key, _)| key == OBEYED)
        {
            let (key, value) = meta.swap_remove(at);
            obeyed.restore(&key, Some(&value))?;
        }
        let kept = Kept::load(snapshot)?;
        let mut held = Self { kept, obeyed, revision: 0, phase: Phase::Down, overheard: 0 };
        held.derive();
        Ok(held)
    }

    /// Undoes a write; rows of other owners are left alone. Reconnect afterwards ([`Held::disconnected`]),
    /// since answers to the undone messages were never sent.
    ///
    /// # Errors
    /// When the row cannot be read.
    pub fn restore(&mut self, table: Table, key: &str, value: Option<&[u8]>) -> Result<(), LoadError> {
        match table {
            Table::Item => self.kept.restore(key, value)?,
            Table::Meta if key == OBEYED => self.obeyed.restore(key, value)?,
            _ => return Ok(()),
        }
        self.derive();
        Ok(())
    }

    /// What follows from the rows.
    fn derive(&mut self) {
        self.revision = self.stored().map_or(0, |o| o.revision);
    }

    /// The link is up: the first message on it.
    pub fn connected(&mut self, role: Role, name: Name, version: String) -> Up {
        self.phase = Phase::Greeting;
        self.overheard = 0;
        Up::Hello(Hello {
            protocol: PROTOCOL,
            version,
            role,
            name,
            obeyed: self.obeyed(),
            digest: self.digest(),
            reads: READS,
        })
    }

    pub fn disconnected(&mut self) {
        self.phase = Phase::Down;
    }

    /// From now on somebody else is the parent, who need not know what was obeyed here: the items stay until his whole
    /// list has come.
    pub fn resettle(&mut self, journal: &mut Journal) {
        self.phase = Phase::Down;
        self.obeyed.remove(journal, &OBEYED.to_owned());
        self.derive();
    }

    /// Takes a message of the parent; those that are not about the list change nothing.
    pub fn receive(&mut self, down: &Down, journal: &mut Journal) -> Received {
        let mut received = Received::default();
        match down {
            Down::Welcome(welcome) => self.welcome(welcome, &mut received),
            Down::Catalog { revision, entries } => {
                let entries = entries.iter().map(|(key, hash)| (key, &hash[..]));
                self.catalog(*revision, entries, &mut received);
            }
            Down::Change(change) => self.change(change, journal, &mut received),
            Down::Alive { revision, digest } => self.alive(*revision, *digest, journal, &mut received),
            Down::Thaw { obeyed } => self.thaw(*obeyed, journal, &mut received),
            Down::Lease(_)
            | Down::Certificate { .. }
            | Down::Bulk
            | Down::Time { .. }
            | Down::Pong { .. }
            | Down::Landmarks { .. }
            | Down::Above { .. }
            | Down::Refused { .. } => {}
        }
        received
    }

    /// All that this version can read, or could if it were not damaged.
    pub fn items(&self) -> impl Iterator<Item = &PackedItem> {
        self.kept.items()
    }

    #[must_use]
    pub fn get(&self, key: &ItemKey) -> Option<&PackedItem> {
        self.kept.get(key)
    }

    /// The parent is behind: nothing is taken from it, and nothing stopped because of it.
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        matches!(self.phase, Phase::Behind(_))
    }

    /// A whole list was obeyed at some time, so what is not in it is not wished.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.stored().is_some()
    }

    /// Digests were equal when they were compared last on this link.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        matches!(self.phase, Phase::Current(_))
    }

    /// The revision that the list is known to have; 0 before the first one.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.kept.digest()
    }

    /// What was obeyed last.
    #[must_use]
    pub fn obeyed(&self) -> Option<Obeyed> {
        self.stored().map(|stored| Obeyed { revision: self.revision, ..stored })
    }

    fn stored(&self) -> Option<Obeyed> {
        self.obeyed.get(&OBEYED.to_owned()).copied()
    }

    fn welcome(&mut self, welcome: &Welcome, received: &mut Received) {
        let known = match &self.phase {
            Phase::Down => return,
            Phase::Greeting => None,
            Phase::Behind(p) | Phase::Syncing(p, _) | Phase::Current(p) => Some(p.session),
        };
        // Doubled or late: the session that counts is the newest.
        if known.is_some_and(|session| session >= welcome.session) {
            return;
        }
        let parent = Parent { session: welcome.session, store: welcome.store, epoch: welcome.epoch };
        if self.obeyed().is_none_or(|obeyed| covers(welcome, &obeyed)) {
            self.sync(parent, received);
        } else {
            self.phase = Phase::Behind(parent);
            received.replies.extend(holding(self.items()));
        }
        received.welcome = Some(welcome.clone());
    }

    fn sync(&mut self, parent: Parent, received: &mut Received) {
        self.phase = Phase::Syncing(parent, None);
        received.replies.push(Up::Sync { obeyed: self.obeyed(), digest: self.digest() });
    }

    fn catalog<'a>(
        &mut self,
        revision: u64,
        entries: impl Iterator<Item = (&'a ItemKey, &'a [u8])>,
        received: &mut Received,
    ) {
        let Phase::Syncing(parent, _) = self.phase else { return };
        if revision < self.revision {
            return;
        }
        let mut absent: BTreeSet<ItemKey> = self.kept.keys().cloned().collect();
        let mut keys = Vec::new();
        for (key, hash) in entries {
            absent.remove(key);
            if self.get(key).is_none_or(|item| item.hash() != hash) {
                keys.push(key.clone());
            }
        }
        self.phase = Phase::Syncing(parent, Some(Catalog { revision, absent }));
        // Sent even when nothing is missing: the answer ends the sync.
        received.replies.push(Up::Want { keys });
    }

    fn change(&mut self, change: &ListChange, journal: &mut Journal, received: &mut Received) {
        let (parent, current) = match self.phase {
            Phase::Syncing(parent, _) => (parent, false),
            Phase::Current(parent) => (parent, true),
            Phase::Down | Phase::Greeting | Phase::Behind(_) => return,
        };
        let other = change.store != parent.store || change.epoch != parent.epoch;
        if other || change.to < self.revision {
            return;
        }
        let absent = self.absent_for(change);
        let completes = absent.is_some();
        let removed: BTreeSet<ItemKey> =
            change.removed.iter().cloned().chain(absent.unwrap_or_default()).collect();
        let outcome = self.kept.outcome(&change.put, &removed);
        let equal = outcome == change.digest;
        let follows = current && change.from == Some(self.revision);
        if equal || completes || follows {
            self.kept.apply(&change.put, &removed, outcome, journal, received);
        }
        if equal {
            self.phase = Phase::Current(parent);
            self.obey(parent, change.to, true, journal);
        } else if current || completes {
            self.sync(parent, received);
        }
        // Otherwise a sync is under way that brings this, too.
    }

    /// For a change that completes the sync under way: what the catalog did not have.
    fn absent_for(&mut self, change: &ListChange) -> Option<BTreeSet<ItemKey>> {
        let Phase::Syncing(_, catalog) = &mut self.phase else { return None };
        let fits = change.from.is_none() && catalog.as_ref().is_some_and(|c| change.to >= c.revision);
        let mut absent = if fits { catalog.take()?.absent } else { return None };
        for item in &change.put {
            absent.remove(&item.key);
        }
        Some(absent)
    }

    /// The list is the parent's at `revision`. A mere keep-alive is not worth a write each time.
    fn obey(&mut self, parent: Parent, revision: u64, write: bool, journal: &mut Journal) {
        let obeyed = Obeyed { store: parent.store, epoch: parent.epoch, revision };
        let worth_it = self.stored().is_none_or(|stored| {
            (stored.store, stored.epoch) != (parent.store, parent.epoch)
                || revision.saturating_sub(stored.revision) >= STRIDE
        });
        if write || worth_it {
            self.obeyed.put(journal, OBEYED.to_owned(), obeyed);
        }
        self.revision = revision;
    }

    fn alive(&mut self, revision: u64, digest: Digest, journal: &mut Journal, received: &mut Received) {
        let (Phase::Syncing(parent, _) | Phase::Current(parent)) = self.phase else { return };
        // Revision 0 says that the parent lives, and nothing about our list: it waits for our sync.
        if revision == 0 || revision < self.revision {
            return;
        }
        if digest == self.digest() {
            self.phase = Phase::Current(parent);
            self.obey(parent, revision, false, journal);
        } else {
            // While syncing, too: an answer may have been lost.
            self.sync(parent, received);
        }
    }

    fn thaw(&mut self, obeyed: Obeyed, journal: &mut Journal, received: &mut Received) {
        let Phase::Behind(parent) = self.phase else { return };
        if (obeyed.store, obeyed.epoch) != (parent.store, parent.epoch) {
            return;
        }
        self.obey(parent, obeyed.revision, true, journal);
        self.sync(parent, received);
    }
}
