//! Keeps the peers of each local instance that `connects` up to date.
//!
//! ```text
//! list ──► Wish ──► plan (pure) ──► proxies to run, files to write
//!                     ▲                     │
//!                     └──── ports of the proxies that listen
//! ```
//!
//! A peer on this node is reached at its own port. Any other is reached through a listener of ours on
//! an address that only this machine's instances can reach; see [`proxy`].

mod file;
pub(crate) mod plan;
mod proxy;
pub(crate) mod reach;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holm_model::id::AssignmentId;
use holm_model::item::Endpoint;
use holm_model::name::Name;
use holm_model::tunnel::PeersFile;
use tokio::sync::{mpsc, oneshot};

use self::plan::{Plan, ProxyKey, Wish};
use self::proxy::Proxy;
use self::reach::{Remote, Upward};

/// To the task; clones reach the same one.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    orders: mpsc::UnboundedSender<Order>,
    dir: PathBuf,
}

#[derive(Debug)]
enum Order {
    Wish(Box<Wish>),
    Local { local: BTreeMap<Name, IpAddr>, own: BTreeSet<IpAddr> },
    Describe { id: AssignmentId, reply: oneshot::Sender<PeersFile> },
}

/// Owns the proxies and the files.
struct Keeper {
    dir: PathBuf,
    /// By runtime: where its instances reach listeners of the node.
    local: Arc<BTreeMap<Name, IpAddr>>,
    /// Of this machine: a peer elsewhere that names one of them means another machine.
    own: BTreeSet<IpAddr>,
    /// What an earlier agent left was looked through.
    swept: bool,
    upward: Arc<dyn Upward>,
    wish: Arc<Wish>,
    proxies: BTreeMap<ProxyKey, Proxy>,
    written: BTreeMap<AssignmentId, PeersFile>,
}

// === impl Peers ===

impl Peers {
    /// Starts the task; it ends, with its proxies, when all clones are gone. Until [`Peers::local`] is
    /// called, nobody is told of peers.
    pub(crate) fn start(dir: PathBuf, upward: Arc<dyn Upward>) -> Self {
        let (orders, mut inbox) = mpsc::unbounded_channel();
        let mut keeper = Keeper {
            dir: dir.clone(),
            local: Arc::default(),
            own: BTreeSet::new(),
            swept: false,
            upward,
            wish: Arc::default(),
            proxies: BTreeMap::new(),
            written: BTreeMap::new(),
        };
        tokio::spawn(async move {
            while let Some(order) = inbox.recv().await {
                keeper.obey(order).await;
            }
        });
        Self { orders, dir }
    }

    /// Addresses of this machine: by runtime, where its instances reach listeners of the node; and all
    /// `own` ones.
    pub(crate) fn local(&self, local: BTreeMap<Name, IpAddr>, own: impl IntoIterator<Item = IpAddr>) {
        let _ = self.orders.send(Order::Local { local, own: own.into_iter().collect() });
    }

    /// What holds from now on.
    pub(crate) fn wish(&self, wish: Wish) {
        // The task ends after its last sender only.
        let _ = self.orders.send(Order::Wish(Box::new(wish)));
    }

    /// The peers of `id` after everything that was wished before, with proxies listening and the file
    /// written. Empty for an instance that does not connect to anything.
    pub(crate) async fn describe(&self, id: AssignmentId) -> PeersFile {
        let (reply, answer) = oneshot::channel();
        let _ = self.orders.send(Order::Describe { id, reply });
        answer.await.unwrap_or_default()
    }

    /// The directory with the file of `id`; it belongs to the instance alone.
    pub(crate) fn dir(&self, id: AssignmentId) -> PathBuf {
        dir_of(&self.dir, id)
    }
}

/// The file's name in an instance's directory.
pub(crate) const FILE: &str = "peers.json";

fn dir_of(dir: &Path, id: AssignmentId) -> PathBuf {
    dir.join(id.to_string())
}

// === impl Keeper ===

impl Keeper {
    async fn obey(&mut self, order: Order) {
        match order {
            Order::Wish(wish) => {
                if *wish != *self.wish {
                    self.wish = Arc::from(wish);
                    self.reconcile().await;
                }
                self.sweep();
            }
            Order::Local { local, own } => {
                if local != *self.local || own != self.own {
                    self.local = Arc::new(local);
                    self.own = own;
                    self.reconcile().await;
                }
            }
            Order::Describe { id, reply } => {
                let _ = reply.send(self.written.get(&id).cloned().unwrap_or_default());
            }
        }
    }

    async fn reconcile(&mut self) {
        let (wish, local) = (Arc::clone(&self.wish), Arc::clone(&self.local));
        let plan = Plan::new(&wish, &local);
        self.proxies.retain(|key, _| plan.proxies.contains_key(key));
        for (key, endpoint) in &plan.proxies {
            self.proxy(*key, endpoint).await;
        }
        let listening = |key: &ProxyKey| self.proxies.get(key).map(Proxy::address);
        let files = plan.files(listening);
        for gone in self.written.keys().filter(|id| !files.contains_key(id)) {
            remove(&dir_of(&self.dir, *gone));
        }
        for (id, peers) in &files {
            if self.written.get(id) == Some(peers) {
                continue;
            }
            let path = dir_of(&self.dir, *id).join(FILE);
            if let Err(error) = file::replace(&path, peers) {
                tracing::error!(%error, path = %path.display(), "Cannot write the peers of an instance; free some space.");
            }
        }
        self.written = files;
    }

    /// Removes, once, the directories of instances that went while no agent was here.
    fn sweep(&mut self) {
        if std::mem::replace(&mut self.swept, true) {
            return;
        }
        for dir in file::directories(&self.dir) {
            if !self.written.keys().any(|id| dir_of(&self.dir, *id) == dir) {
                remove(&dir);
            }
        }
    }

    async fn proxy(&mut self, key: ProxyKey, endpoint: &Endpoint) {
        let direct = endpoint.direct.iter().copied().filter(|address| !self.own.contains(&address.ip()));
        let remote = Remote { instance: endpoint.instance, port: endpoint.port, direct: direct.collect() };
        if let Some(proxy) = self.proxies.get(&key) {
            proxy.aim(remote);
            return;
        }
        match Proxy::start(key, remote, Arc::clone(&self.upward)).await {
            Ok(proxy) => drop(self.proxies.insert(key, proxy)),
            Err(error) => tracing::error!(%error, peer = %endpoint.instance, "No proxy to a peer."),
        }
    }
}

fn remove(dir: &Path) {
    if let Err(error) = file::remove(dir) {
        tracing::warn!(%error, dir = %dir.display(), "Cannot remove the directory of an instance's peers.");
    }
}

#[cfg(test)]
mod tests;
