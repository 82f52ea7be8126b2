//! How the API reaches the orchestrator: the only module that does.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::http::Method;
use holm_core::orchestrator::Orchestrator;
use holm_core::orchestrator::command::{Actor, Command, Expected, Refusal, Reply};
use holm_link::join::{JoinAnswer, JoinRequest};
use holm_link::places::neighbourhood;
use holm_link::session::Tunnel;
use holm_link::workload::token;
use holm_metrics::Family;
use holm_model::id::{AssignmentId, Epoch, MemberId};
use holm_model::name::Name;
use holm_model::service::Application;
use holm_model::transfer::{Emptied, Invitation};
use holm_model::tunnel::Purpose;
use holm_model::view::expose::ExposureView;
use holm_model::view::{
    ApplicationView, ApplyView, AuditView, EventView, StatusView, TokenCreated, TokenRequest,
};
use holm_orchestrator::handle::{CreateTokenError, Handle};
use holm_orchestrator::identity::VerifyIdentityError;
use holm_orchestrator::joining::JoinError;
use holm_orchestrator::people::token::Claims;
use holm_orchestrator::transfers::TransferError;
use holm_orchestrator::tunnels::TunnelError;
use holm_registry::Registry;
use holm_store::{AuditFilter, ChangeFilter, Proof, ReadError};
use tokio::sync::broadcast;
use tokio_util::task::TaskTracker;

use crate::attempts::Attempts;
use crate::builds::Grants;
use crate::denials::{Denials, Denied, FOLD, Note, Of};
use crate::idempotency::Outcomes;
use crate::limits::{Accounts, Limits};
use crate::logins::Logins;
use crate::peer::{Peer, Principal, address, place};
use crate::problem::{Fault, Kind};
use crate::stay::Stay;
use crate::ways::Forwards;

/// The API of one orchestrator; clones are the same one.
#[derive(Clone)]
pub struct Api {
    shared: Arc<Shared>,
    router: Router,
}

struct Shared {
    handle: Handle,
    /// Host names under which plain HTTP is served, beside those of loopback; lower case.
    names: Vec<String>,
    attempts: Attempts,
    denials: Denials,
    forwards: Forwards,
    outcomes: Outcomes,
    accounts: Accounts,
    logins: Logins,
    registry: Option<Registry>,
    builds: Grants,
    connections: TaskTracker,
}

// === impl Api ===

impl Api {
    /// `names`: host names under which plain HTTP on loopback is served, beside the usual ones.
    #[must_use]
    pub fn new(handle: Handle, names: &[String], limits: Limits, registry: Option<Registry>) -> Self {
        let shared = Arc::new(Shared {
            handle,
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            attempts: Attempts::default(),
            denials: Denials::default(),
            forwards: Forwards::default(),
            outcomes: Outcomes::default(),
            accounts: Accounts::new(limits),
            logins: Logins::new(),
            registry,
            builds: Grants::default(),
            connections: TaskTracker::new(),
        });
        let router = crate::router(&Self { shared: Arc::clone(&shared), router: Router::new() });
        Self { shared, router }
    }

    /// Attempts to get in without proof since the start.
    #[must_use]
    pub fn refused_attempts(&self) -> u64 {
        self.shared.attempts.count()
    }

    /// Waits until the connections have ended; to be called when the orchestrator stops.
    pub async fn drained(&self) {
        self.shared.connections.close();
        self.shared.connections.wait().await;
    }

    pub(crate) fn connections(&self) -> &TaskTracker {
        &self.shared.connections
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.shared.names
    }

    pub(crate) fn attempts(&self) -> &Attempts {
        &self.shared.attempts
    }

    /// Somebody did not prove who they are. Every so often it is in the log, and in the audit log.
    pub(crate) async fn unknown(&self, peer: Peer, fault: &Fault) {
        if let Some(attempts) = self.shared.attempts.refused(peer, fault.detail()) {
            let actor = Actor { who: "?".to_owned(), from: place(peer) };
            let subject = if attempts > 1 { format!("{attempts} requests") } else { String::new() };
            let reason = fault.detail().to_owned();
            self.write_denied(Denied { actor, verb: "authenticate", subject, reason }).await;
        }
    }

    /// Somebody who is known tried what they may not. `matched`: the route, without names.
    pub(crate) async fn denied(
        &self,
        actor: &Actor,
        method: &Method,
        matched: &str,
        path: &str,
        detail: &str,
    ) {
        let path: String = path.chars().take(200).collect();
        let of = Of { who: actor.who.clone(), operation: format!("{method} {matched}") };
        let (subject, reason) = (format!("{method} {path}"), detail.to_owned());
        self.note(of, Denied { actor: actor.clone(), verb: "request", subject, reason }).await;
    }

    /// Somebody was not even heard, after too many wrong passwords.
    pub(crate) async fn throttled(&self, peer: Peer, name: &str, detail: &str) {
        let place_of = address(peer).map(neighbourhood);
        let place_of = place_of.map_or_else(|| "unix".to_owned(), |address| address.to_string());
        let of = Of { who: place_of, operation: "log-in".to_owned() };
        let actor = Actor { who: name.chars().take(64).collect(), from: place(peer) };
        self.note(of, Denied { actor, verb: "log-in", subject: String::new(), reason: detail.to_owned() })
            .await;
    }

    async fn note(&self, mut of: Of, denied: Denied) {
        match self.shared.denials.note(&mut of, denied, Instant::now()) {
            Note::Write(denied) => self.write_denied(denied).await,
            Note::Counted => {}
            Note::Begin => {
                let api = self.clone();
                self.connections().spawn(async move {
                    tokio::select! {
                        () = tokio::time::sleep(FOLD) => {}
                        () = api.stopped() => {}
                    }
                    if let Some(denied) = api.shared.denials.take(&of) {
                        api.write_denied(denied).await;
                    }
                });
            }
        }
    }

    async fn write_denied(&self, Denied { actor, verb, subject, reason }: Denied) {
        // It is refused, as always.
        let denied = Command::Denied { verb: verb.to_owned(), subject, reason };
        let _ = self.shared.handle.command(actor, denied).await;
    }

    /// Whether a connection to the port is to be written down.
    pub(crate) fn is_new_forward(&self, who: &str, instance: AssignmentId, port: u16) -> bool {
        self.shared.forwards.is_new(who, instance, port, Instant::now())
    }

    /// A connection to the port is open, and written down.
    pub(crate) fn forward_opened(&self, who: &str, instance: AssignmentId, port: u16) {
        self.shared.forwards.opened(who, instance, port, Instant::now());
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.shared.handle
    }

    /// Builds that are under way.
    pub(crate) fn builds(&self) -> &Grants {
        &self.shared.builds
    }

    pub(crate) fn outcomes(&self) -> &Outcomes {
        &self.shared.outcomes
    }

    /// Done when the orchestrator begins to stop.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        self.shared.handle.stopping().cancelled_owned()
    }

    pub(crate) fn logins(&self) -> &Logins {
        &self.shared.logins
    }

    /// The registry of images, if there is one here.
    pub(crate) fn registry(&self) -> Option<&Registry> {
        self.shared.registry.as_ref()
    }

    pub(crate) fn accounts(&self) -> &Accounts {
        &self.shared.accounts
    }

    /// A place for an answer that goes on, as long as the token is good with which it was asked for.
    pub(crate) fn stream(&self, principal: &Principal) -> Result<Stay, Fault> {
        let place = self.shared.accounts.stream(principal)?;
        Ok(Stay::new(self, principal, place))
    }
}

// === impl Api: reading ===

impl Api {
    pub(crate) fn status(&self) -> StatusView {
        self.shared.handle.status()
    }

    /// The reign in which numbers of changes have their meaning.
    pub(crate) fn reign(&self) -> Epoch {
        self.status().epoch.parse().unwrap_or(Epoch::NONE)
    }

    /// Asks the machine between two batches.
    pub(crate) async fn query<R: Send + 'static>(
        &self,
        ask: impl FnOnce(&Orchestrator) -> R + Send + 'static,
    ) -> Result<R, Fault> {
        self.shared
            .handle
            .query(ask)
            .await
            .ok_or_else(|| Fault::new(Kind::Stopping, "try again when it is back"))
    }

    pub(crate) async fn metrics(&self) -> Result<Vec<Family>, Fault> {
        let told = self.shared.handle.metrics().await;
        told.ok_or_else(|| Fault::new(Kind::Stopping, "try again when it is back"))
    }

    /// Ports of this orchestrator that lead to services.
    pub(crate) async fn exposures(&self) -> Result<Vec<ExposureView>, Fault> {
        let exposures = self.shared.handle.exposures().await;
        exposures.ok_or_else(|| Fault::new(Kind::Stopping, "try again when it is back"))
    }

    pub(crate) async fn application(
        &self,
        project: &str,
        name: &str,
    ) -> Result<Option<ApplicationView>, Fault> {
        let (project, name) = (project.to_owned(), name.to_owned());
        self.query(move |machine| {
            machine.applications().into_iter().find(|app| app.project == project && app.name == name)
        })
        .await
    }

    /// What an apply would do.
    pub(crate) async fn plan(
        &self,
        project: Name,
        wanted: Application,
        expected: Expected,
    ) -> Result<ApplyView, Fault> {
        Ok(self.query(move |machine| machine.plan(&project, &wanted, &expected)).await??)
    }

    pub(crate) fn changes(&self) -> broadcast::Receiver<Arc<EventView>> {
        self.shared.handle.changes()
    }

    /// One page of changes, those of this very moment included.
    pub(crate) async fn past(&self, filter: &ChangeFilter) -> Result<Vec<EventView>, Fault> {
        self.shared.handle.past(filter).await.map_err(unreadable)
    }

    /// The numbers of the changes that the history still has.
    pub(crate) async fn kept(&self) -> Result<Option<RangeInclusive<u64>>, Fault> {
        self.shared.handle.store().kept_changes().await.map_err(unreadable)
    }

    pub(crate) fn last_change(&self) -> u64 {
        self.shared.handle.store().last_change()
    }

    pub(crate) async fn verify_audit(&self, noted: Option<&str>) -> Result<Proof, Fault> {
        self.shared.handle.store().verify_audit(noted).await.map_err(unreadable)
    }

    pub(crate) async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditView>, Fault> {
        let records = self.shared.handle.store().audit(filter).await.map_err(unreadable)?;
        let view = |numbered: holm_store::Numbered<holm_model::record::AuditRecord>| {
            let holm_model::record::AuditRecord { at, who, from, verb, subject, outcome } = numbered.record;
            AuditView { sequence: numbered.seq, at, who, from, verb, subject, outcome }
        };
        Ok(records.into_iter().map(view).collect())
    }
}

// === impl Api: changing ===

impl Api {
    pub(crate) async fn command(&self, actor: Actor, command: Command) -> Result<Reply, Fault> {
        Ok(self.shared.handle.command(actor, command).await?)
    }

    pub(crate) async fn create_token(
        &self,
        principal: &Principal,
        request: &TokenRequest,
    ) -> Result<TokenCreated, Fault> {
        let made = self.shared.handle.create_token(principal.actor.clone(), &principal.grants, request);
        made.await.map_err(|error| match error {
            CreateTokenError::Refused(refusal) => refusal.into(),
            CreateTokenError::Random(_) | CreateTokenError::Sign(_) => Fault::new(Kind::Internal, error),
            CreateTokenError::Beyond => Fault::new(Kind::Forbidden, error),
            CreateTokenError::Ttl
            | CreateTokenError::Uses
            | CreateTokenError::Scope
            | CreateTokenError::Where => Fault::new(Kind::Invalid, error),
        })
    }

    /// What the token `text` says, if it is good.
    ///
    /// # Errors
    /// Why it is not, for people.
    pub(crate) async fn verify(&self, text: &str) -> Result<Claims, String> {
        self.shared.handle.verify_token(text).await.map_err(|error| error.to_string())
    }

    /// What the token of an instance says, if it is good for `audience` (without one: for this API).
    pub(crate) async fn verify_identity(
        &self,
        text: &str,
        audience: Option<&str>,
    ) -> Result<token::Claims, Fault> {
        self.shared.handle.verify_identity(text, audience).await.map_err(|error| match error {
            VerifyIdentityError::Stopping => Fault::new(Kind::Stopping, error),
            VerifyIdentityError::Token(_) | VerifyIdentityError::Gone(_) => {
                Fault::new(Kind::Unauthenticated, error)
            }
        })
    }

    pub(crate) async fn join(&self, from: SocketAddr, request: JoinRequest) -> Result<JoinAnswer, Fault> {
        self.shared.handle.join(from, request).await.map_err(|error| match error {
            JoinError::Refused(Refusal::Forbidden(reason)) => Fault::new(Kind::Forbidden, reason),
            JoinError::Refused(refusal) => refusal.into(),
            JoinError::Name(_) | JoinError::Proposal(_) | JoinError::Request(_) => {
                Fault::new(Kind::Invalid, error)
            }
            JoinError::Answer => Fault::new(Kind::Internal, error),
        })
    }
}

// === impl Api: tunnels ===

impl Api {
    /// A tunnel to the instance, granted by its node.
    pub(crate) async fn tunnel(&self, instance: AssignmentId, purpose: Purpose) -> Result<Tunnel, Fault> {
        self.shared.handle.open_tunnel(instance, purpose).await.map_err(no_tunnel)
    }

    /// A tunnel to the node itself, granted by it.
    pub(crate) async fn node_tunnel(&self, node: MemberId, purpose: Purpose) -> Result<Tunnel, Fault> {
        self.shared.handle.open_node_tunnel(node, purpose).await.map_err(no_tunnel)
    }

    /// Empties the node at the end of this path, for another cluster.
    pub(crate) async fn empty(
        &self,
        path: &[MemberId],
        lose_volumes: bool,
        actor: Actor,
    ) -> Result<Emptied, Fault> {
        self.shared.handle.empty(path, lose_volumes, actor).await.map_err(no_transfer)
    }

    /// Has the cluster invite a node of this name.
    pub(crate) async fn invite(
        &self,
        cluster: MemberId,
        node: Name,
        who: String,
    ) -> Result<Invitation, Fault> {
        self.shared.handle.invite(cluster, node, who).await.map_err(no_transfer)
    }
}

fn no_transfer(error: TransferError) -> Fault {
    match error {
        TransferError::Refused(refusal) => refusal.into(),
        // In the words of the cluster.
        TransferError::Tunnel(error @ TunnelError::Refused(_)) => Fault::new(Kind::Conflict, error),
        TransferError::Tunnel(error) => no_tunnel(error),
        TransferError::Answer(_) => Fault::new(Kind::Unreachable, error),
        TransferError::Random(_) => Fault::new(Kind::Internal, error),
    }
}

fn no_tunnel(error: TunnelError) -> Fault {
    match error {
        TunnelError::NoInstance(_) | TunnelError::NoNode(_) => Fault::new(Kind::NotFound, error),
        TunnelError::Refused(_) => Fault::new(Kind::Invalid, error),
        TunnelError::Forbidden(_) => Fault::new(Kind::Forbidden, error),
        _ => Fault::new(Kind::Unreachable, error),
    }
}

fn unreadable(error: ReadError) -> Fault {
    // A disk's fault, for the operator; the caller learns that it is not his own.
    tracing::error!(%error, "The history cannot be read.");
    Fault::new(Kind::Internal, error)
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("handle", &self.shared.handle).finish_non_exhaustive()
    }
}
