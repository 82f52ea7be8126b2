//! Starting, joining and ending everything: real processes, real tokens, TLS between all of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use holm_client::{Client, Condition};
use holm_model::state::MemberState;
use holm_model::view::{TokenRequest, TokenRole};
use tokio::time::{Instant, sleep};

use super::child::{Child, Ready};
use super::engine::{self, Lent, NoEngine};
use super::ground::Ground;
use super::network::{self, Network};
use super::plan::{CLUSTERS, NODES, Node};
use super::{PROJECT, sweep};
use crate::commands::delete;
use crate::failure::Failure;
use crate::roles::SOCKET;

#[derive(Debug)]
pub(super) struct Sea {
    ground: Ground,
    network: Option<Network>,
    /// In the order of starting.
    children: Vec<Child>,
    root: Root,
    /// What must be deleted before the nodes stop.
    applied: Option<(Client, String)>,
}

/// Where the root can be reached.
#[derive(Clone, Debug, Default)]
pub(super) struct Root {
    pub(super) address: String,
    pub(super) fingerprint: String,
    pub(super) socket: PathBuf,
}

/// An orchestrator that runs.
#[derive(Debug)]
struct Orchestrator {
    client: Client,
    address: String,
}

/// Members join and report within this, or never.
const LOOK: Duration = Duration::from_millis(50);
/// Instances end within their grace period.
const DELETION: Duration = Duration::from_secs(20);

// === impl Sea: start ===

impl Sea {
    pub(super) fn new(mut ground: Ground, isolated: bool) -> Result<Self, Failure> {
        let network = isolated.then(|| Network::create(&mut ground)).transpose();
        let network = network.inspect_err(|_| {
            network::remove(ground.record());
            // The failure that is told is the first one.
            let _ = ground.remove();
        })?;
        Ok(Self { ground, network, children: Vec::new(), root: Root::default(), applied: None })
    }

    /// Starts everything and waits until all nodes are online; gives the root's client.
    pub(super) async fn start(&mut self, limit: Duration) -> Result<Client, Failure> {
        let deadline = Instant::now() + limit;
        let (root, ready) = self.orchestrator("root", &["root".to_owned()], None, limit).await?;
        let socket = self.ground.path("root").join(SOCKET);
        self.root = Root { address: ready.address, fingerprint: ready.fingerprint, socket };
        let mut clusters = BTreeMap::new();
        for name in CLUSTERS {
            let token = token(&root.client, TokenRole::Cluster, 1).await?;
            let words = ["cluster", "--parent", &root.address, "--name", name].map(str::to_owned);
            let (cluster, _) = self.orchestrator(name, &words, Some(&token), limit).await?;
            let nodes = NODES.iter().filter(|node| node.cluster == name).count();
            let token = token_for(&cluster.client, nodes).await?;
            clusters.insert(name, (cluster.address, token));
        }
        for (index, node) in NODES.iter().enumerate() {
            if let Some((parent, token)) = clusters.get(node.cluster) {
                self.node(index, node, parent, token)?;
            }
        }
        self.all_online(&root.client, deadline).await?;
        Ok(root.client)
    }

    async fn orchestrator(
        &mut self,
        name: &str,
        words: &[String],
        token: Option<&str>,
        limit: Duration,
    ) -> Result<(Orchestrator, Ready), Failure> {
        let listen = self.network.as_ref().map_or(Ipv4Addr::LOCALHOST, Network::address);
        let data = self.ground.path(name);
        let more = [format!("--listen={}:0", IpAddr::from(listen)), format!("--data-dir={}", data.display())];
        let child = Child::start(&mut self.ground, name, &[words, &more].concat(), token, None)?;
        // Before anything is waited for: an interruption must find it.
        let child = self.children.push_mut(child);
        let ready = child.ready(limit).await?;
        let client = Client::unix(data.join(SOCKET));
        Ok((Orchestrator { client, address: ready.address.clone() }, ready))
    }

    fn node(&mut self, index: usize, node: &Node, parent: &str, token: &str) -> Result<(), Failure> {
        let index = u8::try_from(index).unwrap_or(u8::MAX);
        let namespace = match &self.network {
            None => None,
            Some(network) => Some(network.namespace(&mut self.ground, node.name, index)?),
        };
        let data = self.ground.path(node.name);
        let words = ["node", "--parent", parent, "--name", node.name, "--interval", "2s"].map(str::to_owned);
        let labels = format!("--label={}", node.labels.join(","));
        let engine =
            self.ground.record().engine.iter().map(|socket| format!("--engine={}", socket.display()));
        let more: Vec<_> =
            [labels, format!("--data-dir={}", data.display())].into_iter().chain(engine).collect();
        let arguments = [&words[..], &more].concat();
        let child = Child::start(&mut self.ground, node.name, &arguments, Some(token), namespace.as_deref())?;
        self.children.push(child);
        Ok(())
    }

    async fn all_online(&mut self, root: &Client, deadline: Instant) -> Result<(), Failure> {
        loop {
            let nodes = root.nodes().await?;
            let online = nodes.iter().filter(|node| node.state == MemberState::Online).count();
            if online >= NODES.len() {
                return Ok(());
            }
            if let Some(ended) = self.ended() {
                return Err(Failure::new(ended));
            }
            if Instant::now() >= deadline {
                return Err(Failure::new(format!("only {online} of {} nodes are online", NODES.len())));
            }
            sleep(LOOK).await;
        }
    }

    /// A daemon that has ended by itself, for people.
    fn ended(&mut self) -> Option<String> {
        let ended = |child: &mut Child| child.ended().map(|how| format!("{} has ended: {how}", child.name()));
        self.children.iter_mut().find_map(ended)
    }

    /// Gives the machine's container engine an image of our program; or says why not.
    pub(super) async fn lend(&mut self) -> Result<Result<Lent, NoEngine>, Failure> {
        let image = engine::name(self.ground.record().demo.pid);
        let (noted, program) = (image.clone(), self.ground.program());
        let engine = self.ground.record().engine.clone();
        // Before it is there: a demo that is killed meanwhile leaves word of it.
        self.ground.note(|record| record.image = Some(noted))?;
        let lending = tokio::task::spawn_blocking(move || engine::lend(&image, &program, engine));
        lending.await.map_err(|e| Failure::from_error("a bug: no image was made", &e))
    }

    pub(super) fn applied(&mut self, client: Client, name: &str) {
        self.applied = Some((client, name.to_owned()));
    }
}

async fn token(client: &Client, role: TokenRole, uses: u32) -> Result<String, Failure> {
    let request = TokenRequest { ttl_seconds: Some(600), uses: Some(uses), ..TokenRequest::new(role) };
    Ok(client.create_token(&request).await?.token)
}

async fn token_for(cluster: &Client, nodes: usize) -> Result<String, Failure> {
    token(cluster, TokenRole::Node, u32::try_from(nodes).unwrap_or(u32::MAX)).await
}

// === impl Sea: what others ask ===

impl Sea {
    pub(super) const fn root(&self) -> &Root {
        &self.root
    }

    /// Where a node keeps its instances.
    pub(super) fn instances_of(&self, node: &str) -> PathBuf {
        sweep::instances(&self.ground.path(node))
    }

    pub(super) fn application(&self) -> Option<(&Client, &str)> {
        self.applied.as_ref().map(|(client, name)| (client, name.as_str()))
    }

    /// Name and log file of each daemon.
    pub(super) fn logs(&self) -> Vec<(String, PathBuf)> {
        self.children.iter().map(|child| (child.name().to_owned(), self.ground.log(child.name()))).collect()
    }
}

// === impl Sea: end ===

impl Sea {
    /// Ends everything in order, and removes every trace.
    pub(super) async fn end(&mut self) -> Result<(), Failure> {
        let deleted = self.delete().await;
        // Nodes first: nobody then asks for what is about to go.
        for child in self.children.iter_mut().rev() {
            child.end().await;
        }
        // None of them lives any more, unless it could not be waited for.
        for process in &self.ground.record().children {
            process.end(Duration::ZERO).await;
        }
        let engine = self.ground.record().engine.clone();
        for node in NODES {
            sweep::node(&self.ground.path(node.name), &self.ground.program(), engine.clone()).await;
        }
        sweep::image(self.ground.record()).await;
        network::remove(self.ground.record());
        deleted.and(self.ground.remove())
    }

    async fn delete(&mut self) -> Result<(), Failure> {
        let Some((client, name)) = self.applied.take() else { return Ok(()) };
        match client.delete_application(PROJECT, &name, Condition::Any).await {
            // It was not applied in the end.
            Err(error) if error.is_not_found() => return Ok(()),
            outcome => outcome?,
        }
        delete::until_gone(&client, PROJECT, &name, DELETION).await
    }
}
