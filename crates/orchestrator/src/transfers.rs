//! Nodes change their orchestrator: what a cluster does for that when its parent says so, and how we say so.

use std::sync::Arc;
use std::time::Duration;

use holm_core::orchestrator::Orchestrator;
use holm_core::orchestrator::command::{Actor, Command, Refusal};
use holm_link::frame::{ReadHeaderError, read_header, write_header};
use holm_link::session::Tunnel;
use holm_link::token::{JoinToken, Role};
use holm_model::id::MemberId;
use holm_model::message::Invited;
use holm_model::name::Name;
use holm_model::time::Time;
use holm_model::transfer::{Emptied, Invitation, Secret};
use holm_model::tunnel::{Answer, Purpose};
use tokio::io::AsyncWriteExt;

use crate::clock;
use crate::handle::Inputs;
use crate::joining::hash_text;
use crate::keys::Signer;
use crate::tunnels::{Router, TunnelError};

/// What a parent may have done here for nodes that change their orchestrator.
#[derive(Clone, Debug)]
pub(crate) struct Transfers {
    inputs: Inputs,
    signer: Arc<Signer>,
    /// Whether machines of silent clusters become nodes here.
    takes_in: bool,
}

/// A node cannot change its orchestrator.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    #[error("the cluster's answer cannot be read")]
    Answer(#[from] ReadHeaderError),
    #[error("the system gives no random numbers")]
    Random(#[from] getrandom::Error),
}

/// An invitation is used at once, or not at all.
const INVITED: Duration = Duration::from_secs(600);
/// Characters of whoever asks that are kept.
const WHO: usize = 200;

// === impl Transfers ===

impl Transfers {
    pub(crate) const fn new(inputs: Inputs, signer: Arc<Signer>, takes_in: bool) -> Self {
        Self { inputs, signer, takes_in }
    }

    /// Serves what our parent wants.
    pub(crate) async fn serve(&self, purpose: Purpose, mut tunnel: Tunnel) {
        let outcome = match purpose {
            Purpose::Invite { node, who } => {
                answer(&mut tunnel, self.invite(by_parent(&who), node).await).await
            }
            Purpose::Empty { node, lose_volumes, who } => {
                answer(&mut tunnel, self.empty(by_parent(&who), node, lose_volumes).await).await
            }
            _ => answer::<()>(&mut tunnel, Err(TunnelError::NoPath.into())).await,
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "A tunnel broke.");
        }
    }

    async fn invite(&self, actor: Actor, name: Name) -> Result<Invitation, TransferError> {
        let (token, [id, secret_hash], expires) = self.token()?;
        self.inputs.command(actor, Command::Invite { id, secret_hash, name, expires }).await?;
        Ok(Invitation { token })
    }

    /// A token for the machine of a node that speaks here while its cluster is silent, if one is of use.
    pub(crate) async fn take_in(&self, home: (MemberId, MemberId), called: Name) -> Option<Invited> {
        if !self.takes_in {
            return None;
        }
        let asks = called.clone();
        let name = self.inputs.query(move |machine| machine.would_take_in(home, &asks)).await.flatten()?;
        let (cluster, node) = home;
        let actor = Actor { who: format!("member {node}"), from: "the link of a witness".to_owned() };
        let invited = async {
            let (token, [id, secret_hash], expires) = self.token()?;
            let command = Command::TakeIn { id, secret_hash, expires, cluster, node, called };
            self.inputs.command(actor, command).await?;
            Ok::<_, TransferError>(Invited { name, token })
        };
        invited.await.inspect_err(|error| tracing::warn!(%node, %error, "The machine is not taken in.")).ok()
    }

    /// The token; its id and the hash of its secret; its end.
    fn token(&self) -> Result<(Secret, [String; 2], Time), getrandom::Error> {
        let token =
            JoinToken::generate(Role::Node, self.signer.fingerprint(), self.signer.identity().clone())?;
        let life = i64::try_from(INVITED.as_millis()).unwrap_or(i64::MAX);
        let expires = Time(clock::wall().0.saturating_add(life));
        let noted = [token.id.to_string(), hash_text(&token.secret.hash())];
        Ok((Secret(token.to_text()), noted, expires))
    }

    /// Asked again and again until nothing stays.
    async fn empty(
        &self,
        actor: Actor,
        member: MemberId,
        lose_volumes: bool,
    ) -> Result<Emptied, TransferError> {
        let look = move |machine: &Orchestrator| {
            (
                machine.may_let_go(member),
                machine.still_on(member),
                machine.drain_view(member).is_some_and(|drain| drain.lose_volumes),
            )
        };
        let (may, stays, loses) = self.inputs.query(look).await.ok_or(TunnelError::NoNode(member))?;
        may?;
        // Asked once more, now ready to lose them: the drain is told.
        if let Some(stays) = stays.filter(|_| !lose_volumes || loses) {
            return Ok(Emptied { stays });
        }
        self.inputs.command(actor, Command::Drain { member, lose_volumes }).await?;
        let stays = self.inputs.query(move |machine| machine.still_on(member)).await.flatten();
        Ok(Emptied { stays: stays.ok_or(TunnelError::NoNode(member))? })
    }
}

fn by_parent(who: &str) -> Actor {
    let who: String = who.chars().take(WHO).collect();
    Actor { who, from: "the parent's link".to_owned() }
}

async fn answer<T: serde::Serialize + Sync>(
    tunnel: &mut Tunnel,
    outcome: Result<T, TransferError>,
) -> std::io::Result<()> {
    match outcome {
        Ok(answer) => {
            write_header(tunnel, &Answer::Granted).await.map_err(std::io::Error::other)?;
            write_header(tunnel, &answer).await.map_err(std::io::Error::other)?;
        }
        Err(error) => {
            let reason = crate::describe::describe(&error);
            write_header(tunnel, &Answer::Refused(reason)).await.map_err(std::io::Error::other)?;
        }
    }
    tunnel.shutdown().await
}

// === impl Router ===

impl Router {
    /// The node at the end of this path, by whoever it belongs to.
    pub(crate) async fn empty(
        &self,
        path: &[MemberId],
        lose_volumes: bool,
        actor: Actor,
    ) -> Result<Emptied, TransferError> {
        let Some((node, above)) = path.split_last() else { return Err(TunnelError::NoPath.into()) };
        if above.is_empty() {
            return self.transfers().empty(actor, *node, lose_volumes).await;
        }
        let purpose = Purpose::Empty { node: *node, lose_volumes, who: actor.who };
        let mut tunnel = self.granted(above, purpose).await?;
        Ok(read_header(&mut tunnel).await?)
    }

    pub(crate) async fn invite(
        &self,
        cluster: MemberId,
        node: Name,
        who: String,
    ) -> Result<Invitation, TransferError> {
        let mut tunnel = self.granted(&[cluster], Purpose::Invite { node, who }).await?;
        Ok(read_header(&mut tunnel).await?)
    }
}
