//! What the API may ask of an orchestrator.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holm_core::orchestrator::command::{Actor, Command, Refusal, Reply};
use holm_core::orchestrator::exposing::Exposed;
use holm_core::orchestrator::{Event, Orchestrator};
use holm_link::authority::SignError;
use holm_link::certificate::Fingerprint;
use holm_link::identity::Identity;
use holm_link::join::{JoinAnswer, JoinRequest};
use holm_link::session::Tunnel;
use holm_link::token::{JoinToken, Role as JoinRole};
use holm_metrics::{Family, Process};
use holm_model::access::{Grants, Role};
use holm_model::id::{AssignmentId, MemberId};
use holm_model::name::Name;
use holm_model::time::Time;
use holm_model::transfer::{Emptied, Invitation};
use holm_model::tunnel::Purpose;
use holm_model::view::expose::ExposureView;
use holm_model::view::{EventView, StatusView, TokenCreated, TokenRequest, TokenRole};
use holm_store::{ChangeFilter, ReadError, Store};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::expose::counters::Counted;
use crate::expose::{self, Balancer};
use crate::identity::Notary;
use crate::joining::{self, JoinError, hash_text};
use crate::keys::Signer;
use crate::links::Links;
use crate::meter::Meter;
use crate::metrics::{self, Disk, Surroundings};
use crate::owner::{Input, Queued, Waiter};
use crate::people::login::{Desk, random_id};
use crate::people::token::Kind;
use crate::transfers::TransferError;
use crate::tunnels::{Router, TunnelError};
use crate::uplink::Uplink;
use crate::watch::{Watch, event_view};

/// The orchestrator, for those who serve people. Clones are the same one.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// What a [`Handle`] is made of.
pub(crate) struct Shared {
    pub(crate) inputs: Inputs,
    pub(crate) store: Store,
    pub(crate) watch: Watch,
    pub(crate) signer: Arc<Signer>,
    pub(crate) desk: Desk,
    pub(crate) router: Router,
    pub(crate) balancer: Balancer,
    pub(crate) notary: Arc<Notary>,
    pub(crate) links: Arc<Links>,
    /// None at a root.
    pub(crate) uplink: Option<Arc<Uplink>>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) data_dir: std::path::PathBuf,
    pub(crate) stopping: CancellationToken,
    pub(crate) voided: watch::Receiver<()>,
}

/// The way to the task that owns the machine. Senders wait while it has much to do.
#[derive(Clone, Debug)]
pub(crate) struct Inputs(mpsc::Sender<Queued>);

/// A token was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateTokenError {
    #[error("a token is valid for {} s at least and {} days at most", MIN_TTL.as_secs(), MAX_TTL.as_secs() / 86_400)]
    Ttl,
    #[error("only join tokens can be used up; leave out `uses` for API tokens")]
    Uses,
    #[error("only API tokens have `projects`, `application` and `verbs`; leave them out for join tokens")]
    Scope,
    #[error("say with `projects` in which project the application is")]
    Where,
    /// Nobody gives more than he has.
    #[error("you may not give what you do not have yourself; `holm whoami` shows what you have")]
    Beyond,
    #[error("the token cannot be signed")]
    Sign(#[from] SignError),
    #[error("the system gives no random numbers")]
    Random(#[from] getrandom::Error),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

const MIN_TTL: Duration = Duration::from_secs(1);
const MAX_TTL: Duration = Duration::from_secs(3650 * 86_400);
const JOIN_TTL: Duration = Duration::from_secs(3600);
const API_TTL: Duration = Duration::from_secs(30 * 86_400);

// === impl Inputs ===

impl Inputs {
    pub(crate) const fn new(inputs: mpsc::Sender<Queued>) -> Self {
        Self(inputs)
    }

    /// Hands in an event; false when the orchestrator has stopped.
    pub(crate) async fn event(&self, event: Event) -> bool {
        self.send(Input::Event(event)).await.is_some()
    }

    /// Returns once the command's outcome is on the disk.
    pub(crate) async fn command(&self, actor: Actor, command: Command) -> Result<Reply, Refusal> {
        let stopping = || Refusal::ReadOnly("it is stopping".to_owned());
        let (reply, answer) = oneshot::channel();
        let input = Input::Command { actor, command: Box::new(command), waiter: Waiter::Person(reply) };
        self.send(input).await.ok_or_else(stopping)?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Runs `ask` between two batches; none when the orchestrator has stopped.
    pub(crate) async fn query<R: Send + 'static>(
        &self,
        ask: impl FnOnce(&Orchestrator) -> R + Send + 'static,
    ) -> Option<R> {
        let (reply, answer) = oneshot::channel();
        // Who no longer waits needs no answer.
        let ask = Box::new(move |machine: &Orchestrator| drop(reply.send(ask(machine))));
        self.send(Input::Query(ask)).await?;
        answer.await.ok()
    }

    /// Inputs that wait for the owner, of how many at most.
    fn fullness(&self) -> (usize, usize) {
        let most = self.0.max_capacity();
        (most - self.0.capacity(), most)
    }

    /// None when the orchestrator has stopped.
    async fn send(&self, input: Input) -> Option<()> {
        self.0.send(Queued { since: clock::boot(), input }).await.ok()
    }
}

// === impl Handle ===

impl Handle {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// Changes something. What it answers is committed.
    ///
    /// # Errors
    /// The machine's refusal, or that nothing can be written now.
    pub async fn command(&self, actor: Actor, command: Command) -> Result<Reply, Refusal> {
        self.shared.inputs.command(actor, command).await
    }

    /// Asks the machine; it sees what is committed only. None when the orchestrator has stopped.
    pub async fn query<R: Send + 'static>(
        &self,
        ask: impl FnOnce(&Orchestrator) -> R + Send + 'static,
    ) -> Option<R> {
        self.shared.inputs.query(ask).await
    }

    /// Changes from now on. Who lags is told so, and lists anew.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Arc<EventView>> {
        self.shared.watch.changes()
    }

    /// Changes of the past, including those of this very moment: subscribe to [`Self::changes`]
    /// first, then read here, then skip live ones up to the last cursor read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn past(&self, filter: &ChangeFilter) -> Result<Vec<EventView>, ReadError> {
        // A disk that takes nothing must not keep people from reading what is there.
        if let Err(error) = self.shared.store.flush().await {
            tracing::debug!(%error, "The newest changes are not in the history yet.");
        }
        let numbered = self.shared.store.changes(filter).await?;
        Ok(numbered.into_iter().map(|n| event_view(n.seq, n.record)).collect())
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    #[must_use]
    pub fn status(&self) -> StatusView {
        self.shared.watch.status()
    }

    /// What Prometheus is told. None when the orchestrator has stopped.
    pub async fn metrics(&self) -> Option<Vec<Family>> {
        let figures = self.query(Orchestrator::figures).await?;
        Some(metrics::families(&self.status(), &figures, &self.surroundings()))
    }

    fn surroundings(&self) -> Surroundings {
        let shared = &*self.shared;
        let mut certificates = vec![
            ("authority", shared.signer.expires_at().as_secs()),
            ("server", shared.meter.server_expires()),
        ];
        let of_member = shared.uplink.as_ref().map(|uplink| ("member", uplink.expires_at().as_secs()));
        certificates.extend(of_member);
        Surroundings {
            started: shared.meter.started,
            process: Process::look(),
            meter: Arc::clone(&shared.meter),
            queue: shared.inputs.fullness(),
            links: shared.links.open(),
            read_only: self.status().read_only.is_some(),
            disk: Disk::of(&shared.data_dir),
            certificates,
        }
    }

    /// Opens a tunnel to the instance's node; granted, only its content follows.
    ///
    /// # Errors
    /// See [`TunnelError`].
    pub async fn open_tunnel(&self, instance: AssignmentId, purpose: Purpose) -> Result<Tunnel, TunnelError> {
        self.shared.router.to_instance(instance, purpose).await
    }

    /// Opens a tunnel to the parent's registry; granted, it is HTTP.
    ///
    /// # Errors
    /// When there is no parent, or none is there now.
    pub async fn open_registry_above(&self) -> Result<Tunnel, TunnelError> {
        self.shared.router.registry_above().await
    }

    /// Opens a tunnel to the node itself; granted, only its content follows.
    ///
    /// # Errors
    /// See [`TunnelError`].
    pub async fn open_node_tunnel(&self, node: MemberId, purpose: Purpose) -> Result<Tunnel, TunnelError> {
        self.shared.router.to_node(node, purpose).await
    }

    /// Empties one of our clusters' nodes, or ours, so that it can go to another cluster.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn empty(
        &self,
        path: &[MemberId],
        lose_volumes: bool,
        actor: Actor,
    ) -> Result<Emptied, TransferError> {
        self.shared.router.empty(path, lose_volumes, actor).await
    }

    /// Has the cluster invite a node of this name.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn invite(
        &self,
        cluster: MemberId,
        node: Name,
        who: String,
    ) -> Result<Invitation, TransferError> {
        self.shared.router.invite(cluster, node, who).await
    }

    /// Ports of this orchestrator that lead to services, and what became of them.
    pub async fn exposures(&self) -> Option<Vec<ExposureView>> {
        let exposed = self.query(Orchestrator::exposures).await?;
        let balancer = &self.shared.balancer;
        let view = |exposed: Exposed| {
            let counts = balancer.count_of(exposed.exposure.port);
            expose::view(balancer.address(), exposed, counts.unwrap_or_default())
        };
        Some(exposed.into_iter().map(view).collect())
    }

    /// What was counted of each of these ports that is open.
    #[must_use]
    pub fn counted(&self) -> Vec<Counted> {
        self.shared.balancer.counted()
    }

    /// Nobody new is let in through ports that lead to services.
    pub(crate) fn shut_doors(&self) {
        self.shared.balancer.shut();
    }

    /// A machine shows a join token.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub async fn join(&self, from: SocketAddr, request: JoinRequest) -> Result<JoinAnswer, JoinError> {
        joining::join(&self.shared.inputs, &self.shared.signer, from, request).await
    }

    /// Makes a join or API token; its text is shown only now.
    ///
    /// # Errors
    /// See [`CreateTokenError`].
    pub async fn create_token(
        &self,
        actor: Actor,
        theirs: &Grants,
        request: &TokenRequest,
    ) -> Result<TokenCreated, CreateTokenError> {
        match request.role {
            TokenRole::Node => self.create_join_token(actor, request, JoinRole::Node).await,
            TokenRole::Cluster => self.create_join_token(actor, request, JoinRole::Cluster).await,
            TokenRole::Viewer => self.create_api_token(actor, theirs, request, Role::Viewer).await,
            TokenRole::Operator => self.create_api_token(actor, theirs, request, Role::Operator).await,
            TokenRole::Admin => self.create_api_token(actor, theirs, request, Role::Admin).await,
        }
    }

    async fn create_join_token(
        &self,
        actor: Actor,
        request: &TokenRequest,
        of: JoinRole,
    ) -> Result<TokenCreated, CreateTokenError> {
        if request.projects.is_some() || request.application.is_some() || request.verbs.is_some() {
            return Err(CreateTokenError::Scope);
        }
        let expires = expires(life(request, JOIN_TTL)?);
        let token = JoinToken::generate(of, self.fingerprint(), self.identity().clone())?;
        let (id, role) = (token.id.to_string(), request.role);
        let (secret_hash, uses) = (hash_text(&token.secret.hash()), Some(request.uses.unwrap_or(1)));
        let command = Command::CreateToken { id: id.clone(), role, secret_hash, expires, uses, grants: None };
        self.command(actor, command).await?;
        Ok(TokenCreated { id, token: token.to_text(), role, expires })
    }

    async fn create_api_token(
        &self,
        actor: Actor,
        theirs: &Grants,
        request: &TokenRequest,
        of: Role,
    ) -> Result<TokenCreated, CreateTokenError> {
        if request.uses.is_some() {
            return Err(CreateTokenError::Uses);
        }
        let grants = match (request.projects.clone(), &request.application) {
            (None, None) => Grants::sea(of),
            (None, Some(_)) => return Err(CreateTokenError::Where),
            (Some(projects), None) => Grants::projects(of, projects),
            (Some(projects), Some(application)) => Grants::application(of, projects, application),
        };
        let grants =
            request.verbs.as_ref().map_or_else(|| grants.clone(), |verbs| grants.clone().only(verbs));
        if grants.is_empty() || !grants.is_within(theirs) {
            return Err(CreateTokenError::Beyond);
        }
        let (id, role) = (random_id()?, request.role);
        let life = life(request, API_TTL)?;
        let (token, expires) = self.sign(&id, maker(&actor.who), Kind::Api, &grants, life)?;
        let (secret_hash, uses, grants) = (String::new(), None, Some(grants));
        let command = Command::CreateToken { id: id.clone(), role, secret_hash, expires, uses, grants };
        self.command(actor, command).await?;
        Ok(TokenCreated { id, token, role, expires })
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.shared.desk
    }

    pub(crate) fn notary(&self) -> &Notary {
        &self.shared.notary
    }

    /// Of the sea's root certificate: what clients pin.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.shared.signer.fingerprint()
    }

    /// Which orchestrator this is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.shared.signer.identity()
    }

    #[must_use]
    pub fn sea(&self) -> &str {
        self.identity().sea()
    }

    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.shared.data_dir
    }

    /// Tells when something was made void; what it was must be asked, see [`Self::still_good`].
    #[must_use]
    pub fn voided(&self) -> watch::Receiver<()> {
        self.shared.voided.clone()
    }

    /// Cancelled when the orchestrator begins to stop: long answers end then.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.shared.stopping.clone()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("identity", self.identity()).finish_non_exhaustive()
    }
}

fn life(request: &TokenRequest, default: Duration) -> Result<Duration, CreateTokenError> {
    let life = request.ttl_seconds.map_or(default, Duration::from_secs);
    if (MIN_TTL..=MAX_TTL).contains(&life) { Ok(life) } else { Err(CreateTokenError::Ttl) }
}

fn expires(life: Duration) -> Time {
    Time(clock::wall().0.saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX)))
}

/// The person behind an actor: a token's tokens are those of whoever made it.
fn maker(who: &str) -> &str {
    who.split_once('/').map_or(who, |(person, _)| person)
}
