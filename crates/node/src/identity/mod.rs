//! A socket for each instance whose service has an identity: there it asks who it is, and for proofs of it.
//!
//! ```text
//! instance ──HTTP──► its own socket ──► desk ──tunnel──► orchestrator, which signs (or does not)
//! ```
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`socket`] | where sockets lie, and who may open them |
//! | [`serve`] | HTTP over them, within limits |
//! | [`desk`] | what is asked there, and the answers |
//!
//! Whose socket it is says who asks: nothing of a request does.

mod desk;
mod serve;
mod socket;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holm_core::node::NodeMachine;
use holm_model::id::AssignmentId;
use holm_model::item::{Item, Part};
use holm_model::name::Name;
use holm_model::service::ServiceSpec;
use holm_model::wish::AppKey;
use holm_runtime::{Access, Launch, Mount, RunError, Runtime};
use tokio_util::task::AbortOnDropHandle;

use self::desk::Desk;
pub(crate) use self::desk::{Notary, Trust};
use self::socket::SocketError;
pub(crate) use self::socket::Sockets;
use crate::runtimes::Runtimes;

/// The sockets that are open; clones are the same ones.
#[derive(Clone)]
pub(crate) struct Identities(Arc<Inner>);

struct Inner {
    sockets: Sockets,
    runtimes: Runtimes,
    trust: Trust,
    notary: Arc<dyn Notary>,
    open: Mutex<BTreeMap<AssignmentId, Open>>,
}

/// A socket and whoever serves it.
struct Open {
    at: At,
    access: Access,
    _serving: AbortOnDropHandle<()>,
}

/// Where an instance finds its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At {
    /// As the instance sees it.
    path: PathBuf,
    mount: Option<Mount>,
}

/// As whom an instance speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) instance: AssignmentId,
    pub(crate) app: AppKey,
    pub(crate) service: Name,
}

/// An instance that has an identity, as the list says it.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) who: Who,
    pub(crate) spec: ServiceSpec,
}

/// An instance gets no socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("this node has no runtime `{0}`")]
    NoRuntime(Name),
    #[error(transparent)]
    Runtime(#[from] RunError),
    #[error("no socket for the instance's identity: {0}")]
    Socket(#[from] SocketError),
}

/// Tells an instance where its socket is.
const VARIABLE: &str = "HOLM_IDENTITY_SOCKET";

// === impl Identities ===

impl Identities {
    pub(crate) fn new(sockets: Sockets, runtimes: Runtimes, trust: Trust, notary: Arc<dyn Notary>) -> Self {
        Self(Arc::new(Inner { sockets, runtimes, trust, notary, open: Mutex::default() }))
    }

    /// What holds from now on: these instances have sockets, others have none. Those that an earlier agent made
    /// for instances that still run are made anew, in the same place.
    pub(crate) fn wish(&self, wanted: Vec<Wanted>) {
        let ids: BTreeSet<AssignmentId> = wanted.iter().map(|wanted| wanted.who.instance).collect();
        self.lock().retain(|id, _| ids.contains(id));
        self.0.sockets.keep_only(&ids);
        for Wanted { who, spec } in wanted {
            let instance = who.instance;
            if self.lock().contains_key(&instance) {
                continue;
            }
            if let Err(error) = self.revive(who, &spec) {
                // A launch is told the same, and fails with it.
                tracing::warn!(%instance, %error, "An instance cannot ask who it is.");
            }
        }
    }

    /// The socket of an instance that is about to start; opened if it is not yet, or was for another user.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) fn open(&self, who: Who, spec: &ServiceSpec) -> Result<At, OpenError> {
        let access = self.runtime(spec)?.access(&who.app.project, spec)?;
        self.open_for(who, access)
    }

    /// The socket of an instance that may run already, as whoever it was started as.
    fn revive(&self, who: Who, spec: &ServiceSpec) -> Result<At, OpenError> {
        let runtime = self.runtime(spec)?;
        match runtime.access_now(who.instance) {
            Some(access) => self.open_for(who, access),
            None => self.open(who, spec),
        }
    }

    fn runtime(&self, spec: &ServiceSpec) -> Result<&Arc<dyn Runtime>, OpenError> {
        self.0.runtimes.get(&spec.runtime).ok_or_else(|| OpenError::NoRuntime(spec.runtime.clone()))
    }

    fn open_for(&self, who: Who, access: Access) -> Result<At, OpenError> {
        let mut open = self.lock();
        if let Some(open) = open.get(&who.instance).filter(|open| open.access == access) {
            return Ok(open.at.clone());
        }
        let Inner { sockets, trust, notary, .. } = &*self.0;
        let id = who.instance;
        let (listener, at) = sockets.open(id, access)?;
        let desk = Desk::new(who, trust.clone(), Arc::clone(notary));
        let serving = AbortOnDropHandle::new(tokio::spawn(serve::serve(listener, Arc::new(desk))));
        open.insert(id, Open { at: at.clone(), access, _serving: serving });
        Ok(at)
    }

    /// Nothing that holds the lock can panic half-way.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<AssignmentId, Open>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}

// === impl Who ===

impl Who {
    pub(crate) fn new(instance: AssignmentId, part: &Part) -> Self {
        Self { instance, app: part.app.clone(), service: part.service.clone() }
    }
}

// === impl At ===

impl At {
    /// Tells a launch of it.
    pub(crate) fn tell(self, launch: &mut Launch) {
        launch.given.mounts.extend(self.mount);
        // What people wrote counts.
        launch.env.entry(VARIABLE.to_owned()).or_insert_with(|| self.path.display().to_string());
    }
}

/// The part of the list that is about identities.
pub(crate) fn wanted(machine: &NodeMachine) -> Vec<Wanted> {
    let wanted = machine.held().items().filter_map(|item| match item.unpack() {
        Ok(Item::Assignment(assignment)) => {
            let spec = machine.spec(assignment.id).filter(|spec| spec.identity)?.clone();
            Some(Wanted { who: Who::new(assignment.id, &assignment.part), spec })
        }
        _ => None,
    });
    wanted.collect()
}

#[cfg(test)]
pub(crate) mod tests;
