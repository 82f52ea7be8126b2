//! What the API may ask of an orchestrator.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holm_core::orchestrator::command::{Actor, Command, Refusal, Reply};
use holm_core::orchestrator::{Event, Orchestrator};
use holm_link::certificate::Fingerprint;
use holm_link::identity::Identity;
use holm_link::join::{JoinAnswer, JoinRequest};
use holm_link::session::Tunnel;
use holm_link::token::{JoinToken, Role as JoinRole};
use holm_model::id::AssignmentId;
use holm_model::time::Time;
use holm_model::tunnel::Purpose;
use holm_model::view::{EventView, StatusView, TokenCreated, TokenRequest, TokenRole};
use holm_store::{ChangeFilter, ReadError, Store};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::joining::{self, JoinError, hash_text};
use crate::keys::Signer;
use crate::owner::{Input, Waiter};
use crate::people::{Claims, TokenError, TokenSigner};
use crate::tunnels::{Router, TunnelError};
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
    pub(crate) people: TokenSigner,
    pub(crate) router: Router,
    pub(crate) data_dir: std::path::PathBuf,
    pub(crate) stopping: CancellationToken,
}

/// The way to the task that owns the machine. Senders wait while it has much to do.
#[derive(Clone, Debug)]
pub(crate) struct Inputs(mpsc::Sender<Input>);

/// A token was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateTokenError {
    #[error("a token is valid for {} s at least and {} days at most", MIN_TTL.as_secs(), MAX_TTL.as_secs() / 86_400)]
    Ttl,
    #[error("only join tokens can be used up; leave out `uses` for API tokens")]
    Uses,
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
    pub(crate) const fn new(inputs: mpsc::Sender<Input>) -> Self {
        Self(inputs)
    }

    /// Hands in an event; false when the orchestrator has stopped.
    pub(crate) async fn event(&self, event: Event) -> bool {
        self.0.send(Input::Event(event)).await.is_ok()
    }

    /// Returns once the command's outcome is on the disk.
    pub(crate) async fn command(&self, actor: Actor, command: Command) -> Result<Reply, Refusal> {
        let stopping = || Refusal::ReadOnly("it is stopping".to_owned());
        let (reply, answer) = oneshot::channel();
        let input = Input::Command { actor, command: Box::new(command), waiter: Waiter::Person(reply) };
        self.0.send(input).await.map_err(|_| stopping())?;
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
        self.0.send(Input::Query(ask)).await.ok()?;
        answer.await.ok()
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

    /// Opens a tunnel to the instance's node; granted, only its content follows.
    ///
    /// # Errors
    /// See [`TunnelError`].
    pub async fn open_tunnel(&self, instance: AssignmentId, purpose: Purpose) -> Result<Tunnel, TunnelError> {
        self.shared.router.to_instance(instance, purpose).await
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
        request: &TokenRequest,
    ) -> Result<TokenCreated, CreateTokenError> {
        let (role, uses) = (request.role, request.uses);
        let (default, join_role) = match role {
            TokenRole::Node => (JOIN_TTL, Some(JoinRole::Node)),
            TokenRole::Cluster => (JOIN_TTL, Some(JoinRole::Cluster)),
            TokenRole::Admin => (API_TTL, None),
        };
        let expires = expires(request.ttl_seconds.map_or(default, Duration::from_secs))?;
        let (id, token, secret_hash, uses) = match join_role {
            Some(join_role) => {
                let token = JoinToken::generate(join_role, self.fingerprint(), self.identity().clone())?;
                let uses = Some(uses.unwrap_or(1));
                (token.id.to_string(), token.to_text(), hash_text(&token.secret.hash()), uses)
            }
            None if uses.is_some() => return Err(CreateTokenError::Uses),
            None => {
                let id = format!("{:016x}", getrandom::u64()?);
                let token = self.shared.people.sign(&id, role, expires);
                (id, token, String::new(), None)
            }
        };
        let command = Command::CreateToken { id: id.clone(), role, secret_hash, expires, uses };
        self.command(actor, command).await?;
        Ok(TokenCreated { id, token, role, expires })
    }

    /// Whose API token this is, if it is good.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn verify_token(&self, text: &str) -> Result<Claims, TokenError> {
        let claims = self.shared.people.verify(text, clock::wall())?;
        let id = claims.id.clone();
        let role = self.query(move |machine| machine.api_token(&id)).await.flatten();
        if role == Some(claims.role) { Ok(claims) } else { Err(TokenError::Revoked) }
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

fn expires(ttl: Duration) -> Result<Time, CreateTokenError> {
    if !(MIN_TTL..=MAX_TTL).contains(&ttl) {
        return Err(CreateTokenError::Ttl);
    }
    let millis = i64::try_from(ttl.as_millis()).map_err(|_| CreateTokenError::Ttl)?;
    Ok(Time(clock::wall().0 + millis))
}
