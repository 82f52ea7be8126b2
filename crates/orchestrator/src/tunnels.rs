//! Ways of byte streams through links.
//!
//! ```text
//! down:  us ──Request{path: [cluster, node]}──► cluster ──Request{path: [node]}──► node: Answer, bytes
//!        us ──Request{path: []}──► node of a cluster that is silent: see [`witnesses`](crate::witnesses)
//! up:    node ──Request{path: [], Connect}──► us: may it? where? ── down, or to our parent ──►
//!        node ──Request{path: [], Volumes}──► us: is it the successor's? ── down
//!        node ──Request{path: [], Identity}─► us: see [`identity`](crate::identity)
//!        node ──Request{path: [], Registry}─► us: HTTP, to whoever serves it here
//! ```
//!
//! Whoever is on the way only copies: the answer travels back as the bytes do. Buffers are bounded,
//! so that a slow reader stops its own writer and nobody else.

use std::fmt;
use std::sync::{Arc, OnceLock};

use holm_link::frame::{ReadHeaderError, WriteHeaderError, read_header, write_header};
use holm_link::session::{OpenError, Tunnel};
use holm_model::id::{AssignmentId, MemberId};
use holm_model::tunnel::{Answer, Purpose, Request};
use tokio::io::{AsyncWriteExt, copy_bidirectional_with_sizes};

use crate::describe::describe;
use crate::expose::rooms::{PASSING, Rooms};
use crate::handle::Inputs;
use crate::identity::Notary;
use crate::links::Links;
use crate::serve::{OnHttp, Peer};
use crate::transfers::Transfers;
use crate::uplink::Uplink;
use crate::witnesses::Witnesses;

/// Opens tunnels and passes on those of others.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    links: Arc<Links>,
    /// None at a root.
    uplink: Option<Arc<Uplink>>,
    inputs: Inputs,
    notary: Arc<Notary>,
    transfers: Transfers,
    rooms: Rooms,
    witnesses: Witnesses,
    http: Http,
}

/// Who serves HTTP, as soon as it is known.
#[derive(Clone, Default)]
struct Http(Arc<OnceLock<OnHttp>>);

/// There is no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    #[error("no instance `{0}` is known here; `holm get instances` lists what there is")]
    NoInstance(AssignmentId),
    #[error("no node `{0}` is known here; `holm get nodes` lists what there is")]
    NoNode(MemberId),
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("the request's path ends at an orchestrator, which runs no instances")]
    NoPath,
    #[error("the way leads over the member {0}, which has no link now; try again when it is online")]
    Offline(MemberId),
    #[error("the link of the member {0} has no room for another connection; try again later")]
    Crowded(MemberId),
    #[error("this cluster has no link to its parent now; try again later")]
    NoParent,
    #[error("no tunnel to the member can be opened")]
    Open(#[from] OpenError),
    #[error("the tunnel's request could not be sent")]
    Write(#[from] WriteHeaderError),
    #[error("the answer to the tunnel's request did not come")]
    Read(#[from] ReadHeaderError),
    /// In the words of whoever refused.
    #[error("{0}")]
    Refused(String),
}

/// In each direction of a tunnel that is passed on.
const BUFFER: usize = 64 * 1024;

// === impl Http ===

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("is_served", &self.0.get().is_some()).finish()
    }
}

// === impl Router ===

impl Router {
    pub(crate) fn new(
        links: Arc<Links>,
        uplink: Option<Arc<Uplink>>,
        inputs: Inputs,
        notary: Arc<Notary>,
        transfers: Transfers,
        rooms: Rooms,
        witnesses: Witnesses,
    ) -> Self {
        Self { links, uplink, inputs, notary, transfers, rooms, witnesses, http: Http::default() }
    }

    /// From now on, HTTP of members is served so.
    pub(crate) fn serve_http(&self, on_http: OnHttp) {
        // An orchestrator serves once.
        let _ = self.http.0.set(on_http);
    }

    /// A tunnel to our parent's registry, granted by it.
    pub(crate) async fn registry_above(&self) -> Result<Tunnel, TunnelError> {
        let mut tunnel = self.above(Purpose::Registry).await?;
        match read_header(&mut tunnel).await? {
            Answer::Granted => Ok(tunnel),
            Answer::Refused(reason) => Err(TunnelError::Refused(reason)),
        }
    }

    /// A tunnel to the instance, granted by its node.
    pub(crate) async fn to_instance(
        &self,
        instance: AssignmentId,
        purpose: Purpose,
    ) -> Result<Tunnel, TunnelError> {
        let path = self.path(instance).await.ok_or(TunnelError::NoInstance(instance))?;
        self.granted(&path, purpose).await
    }

    /// A tunnel to the node itself, granted by it.
    pub(crate) async fn to_node(&self, node: MemberId, purpose: Purpose) -> Result<Tunnel, TunnelError> {
        let path = self.inputs.query(move |machine| machine.way_to(node)).await.flatten();
        self.granted(&path.ok_or(TunnelError::NoNode(node))?, purpose).await
    }

    pub(crate) const fn transfers(&self) -> &Transfers {
        &self.transfers
    }

    pub(crate) const fn witnesses(&self) -> &Witnesses {
        &self.witnesses
    }

    /// A tunnel to an instance at the end of this path, granted by its node.
    pub(crate) async fn granted(&self, path: &[MemberId], purpose: Purpose) -> Result<Tunnel, TunnelError> {
        let mut tunnel = self.down(path, purpose).await?;
        match read_header(&mut tunnel).await? {
            Answer::Granted => Ok(tunnel),
            Answer::Refused(reason) => Err(TunnelError::Refused(reason)),
        }
    }

    /// Serves a tunnel that a member of ours has opened.
    pub(crate) async fn serve_member(&self, member: MemberId, mut tunnel: Tunnel) {
        let next = match read_header::<_, Request>(&mut tunnel).await {
            Ok(Request { path, purpose: Purpose::Identity { instance, want } }) if path.is_empty() => {
                return self.notary.serve(&self.inputs, member, (instance, want), tunnel).await;
            }
            Ok(Request { path, purpose: Purpose::Registry }) if path.is_empty() => {
                return self.to_registry(member, tunnel).await;
            }
            Ok(request) => self.up(member, request).await,
            Err(error) => Err(error.into()),
        };
        pass_on(tunnel, next).await;
    }

    async fn to_registry(&self, member: MemberId, mut tunnel: Tunnel) {
        let Some(on_http) = self.http.0.get() else {
            let early = TunnelError::Forbidden("this orchestrator is starting; try again soon");
            return pass_on(tunnel, Err(early)).await;
        };
        match write_header(&mut tunnel, &Answer::Granted).await {
            Ok(()) => on_http(Box::new(tunnel), Peer::Member(member)),
            Err(error) => tracing::debug!(%member, %error, "A member did not wait for the registry."),
        }
    }

    /// Serves a tunnel that our parent has opened.
    pub(crate) async fn serve_parent(&self, mut tunnel: Tunnel) {
        let mut room = None;
        let next = match read_header::<_, Request>(&mut tunnel).await {
            Ok(Request { path, purpose: purpose @ (Purpose::Invite { .. } | Purpose::Empty { .. }) })
                if path.is_empty() =>
            {
                return self.transfers.serve(purpose, tunnel).await;
            }
            Ok(Request { path, purpose }) => match (path.first(), &purpose) {
                (None, _) => Err(TunnelError::NoPath),
                // As those of our own ports: logs and shells need room, too.
                (Some(first), Purpose::Connect { .. }) => {
                    room = self.rooms.enter(&path, PASSING);
                    let first = *first;
                    if room.is_some() {
                        self.down(&path, purpose).await
                    } else {
                        Err(TunnelError::Crowded(first))
                    }
                }
                (Some(_), _) => self.down(&path, purpose).await,
            },
            Err(error) => Err(error.into()),
        };
        pass_on(tunnel, next).await;
        drop(room);
    }

    /// The first member of the path gets the rest of it.
    async fn down(&self, path: &[MemberId], purpose: Purpose) -> Result<Tunnel, TunnelError> {
        let (first, rest) = path.split_first().ok_or(TunnelError::NoPath)?;
        let (mut tunnel, rest) = match self.links.lane(*first) {
            Some(lane) => (lane.open().await?, rest),
            // Its cluster is silent, and the node speaks here itself.
            None => (self.witnesses.open(path).await.ok_or(TunnelError::Offline(*first))??, &[][..]),
        };
        write_header(&mut tunnel, &Request { path: rest.to_vec(), purpose }).await?;
        Ok(tunnel)
    }

    /// Beside proofs, all that a member may ask for is a port that one of its instances connects to, and the volumes of
    /// one that moves to it.
    async fn up(&self, member: MemberId, request: Request) -> Result<Tunnel, TunnelError> {
        let (instance, port) = match request.purpose {
            Purpose::Connect { instance, port } => (instance, port),
            Purpose::Volumes { instance, to } => return self.volumes(member, instance, to).await,
            _ => return Err(TunnelError::Forbidden("members may ask for ports of instances only")),
        };
        if !request.path.is_empty() {
            return Err(TunnelError::Forbidden("the way to an instance is found by its orchestrator"));
        }
        let may = self.inputs.query(move |machine| machine.may_connect(member, instance, port)).await;
        if may != Some(true) {
            return Err(TunnelError::Forbidden("no instance there connects to this port"));
        }
        match self.path(instance).await {
            Some(path) => self.down(&path, Purpose::Connect { instance, port }).await,
            None => self.to_parent(instance, port).await,
        }
    }

    /// From the node that has an instance to the one that is to have it: both are ours.
    async fn volumes(
        &self,
        member: MemberId,
        instance: AssignmentId,
        to: AssignmentId,
    ) -> Result<Tunnel, TunnelError> {
        let may = self.inputs.query(move |machine| machine.may_fetch(member, instance, to)).await;
        if may != Some(true) {
            return Err(TunnelError::Forbidden("no instance there is the successor of this one"));
        }
        let path = self.path(instance).await.ok_or(TunnelError::NoInstance(instance))?;
        self.down(&path, Purpose::Volumes { instance, to }).await
    }

    async fn to_parent(&self, instance: AssignmentId, port: u16) -> Result<Tunnel, TunnelError> {
        if self.uplink.is_none() {
            return Err(TunnelError::NoInstance(instance));
        }
        self.above(Purpose::Connect { instance, port }).await
    }

    async fn above(&self, purpose: Purpose) -> Result<Tunnel, TunnelError> {
        let uplink = self.uplink.as_ref().ok_or(TunnelError::NoParent)?;
        let mut tunnel = uplink.lane().ok_or(TunnelError::NoParent)?.open().await?;
        write_header(&mut tunnel, &Request { path: Vec::new(), purpose }).await?;
        Ok(tunnel)
    }

    async fn path(&self, instance: AssignmentId) -> Option<Vec<MemberId>> {
        self.inputs.query(move |machine| machine.whereabouts(instance)).await.flatten().map(|at| at.path)
    }
}

/// Copies both ways until both are done; half a tunnel may end before the other.
async fn pass_on(mut tunnel: Tunnel, next: Result<Tunnel, TunnelError>) {
    let outcome = match next {
        Ok(mut next) => copy_bidirectional_with_sizes(&mut tunnel, &mut next, BUFFER, BUFFER).await.map(drop),
        Err(error) => refuse(tunnel, &error).await,
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "A tunnel broke.");
    }
}

async fn refuse(mut tunnel: Tunnel, error: &TunnelError) -> std::io::Result<()> {
    let reason = describe(error);
    write_header(&mut tunnel, &Answer::Refused(reason)).await.map_err(std::io::Error::other)?;
    tunnel.shutdown().await
}
