//! Vouches for instances: signs their certificates and tokens, and tells whether a token is good.
//!
//! ```text
//! instance ─(socket)─► node ─(tunnel: Identity)─► its orchestrator: on this node's list? ─► Proof
//! anybody ─(API: Bearer …)─► any orchestrator: signed below the sea's root? still there? ─► Claims
//! ```
//!
//! A node is believed only that it is itself: for whom it may ask is on its list. Neither needs a disk or the
//! parent, so that instances of a cluster that is cut off prove who they are as before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holm_core::orchestrator::{NoIdentity, ServiceName};
use holm_link::UnixTime;
use holm_link::authority::SignError;
use holm_link::frame::{WriteHeaderError, write_header};
use holm_link::identity::{Identity, IdentityError};
use holm_link::revocation::Revocations;
use holm_link::session::Tunnel;
use holm_link::workload::signer::{SignTokenError, Subject, TokenSigner};
use holm_link::workload::token::{self, Claims, TokenError};
use holm_link::workload::{Workload, WorkloadError};
use holm_model::access::Grants;
use holm_model::id::{AssignmentId, MemberId};
use holm_model::identity::{Proof, Want, WantError};
use holm_model::name::Name;
use holm_model::time::Time;
use holm_model::tunnel::Answer;
use holm_model::wish::AppKey;
use serde_bytes::ByteBuf;
use tokio::io::AsyncWriteExt as _;

use crate::describe::describe;
use crate::handle::{Handle, Inputs};
use crate::keys::Signer;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Notary {
    signer: Arc<Signer>,
    revocations: Revocations,
    /// Made when it is first needed, and anew before its certificate expires.
    tokens: Mutex<Option<Arc<TokenSigner>>>,
}

/// A proof was not given.
#[derive(Debug, thiserror::Error)]
enum VouchError {
    #[error(transparent)]
    Want(#[from] WantError),
    #[error(transparent)]
    NoIdentity(#[from] NoIdentity),
    #[error("the orchestrator is being stopped; try again when it is back")]
    Stopping,
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    #[error(transparent)]
    Node(#[from] IdentityError),
    #[error(transparent)]
    Token(#[from] SignTokenError),
    #[error(transparent)]
    Certificate(#[from] SignError),
}

/// Who shows a token is not believed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyIdentityError {
    #[error("the token of an instance is not accepted: {0}")]
    Token(#[from] TokenError),
    #[error("instance `{0}` is not known here as what its token says: it has ended, or is not reported yet")]
    Gone(String),
    #[error("the orchestrator is being stopped; try again when it is back")]
    Stopping,
}

/// What an instance has opened ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StillGoodError {
    #[error("the instance's token has expired; it must ask for a new one")]
    Expired,
    #[error("the instance has ended, its node was revoked, or its service has lost its role")]
    Void,
}

// === impl Notary ===

impl Notary {
    pub(crate) const fn new(signer: Arc<Signer>, revocations: Revocations) -> Self {
        Self { signer, revocations, tokens: Mutex::new(None) }
    }

    /// Answers a tunnel that the member has opened for one of its instances.
    pub(crate) async fn serve(
        &self,
        inputs: &Inputs,
        member: MemberId,
        (instance, want): (AssignmentId, Want),
        mut tunnel: Tunnel,
    ) {
        let proof = self.prove(inputs, member, instance, &want).await;
        if let Err(error) = answer(&mut tunnel, proof).await {
            tracing::debug!(%member, %instance, %error, "An instance did not hear who it is.");
        }
    }

    async fn prove(
        &self,
        inputs: &Inputs,
        member: MemberId,
        instance: AssignmentId,
        want: &Want,
    ) -> Result<Proof, VouchError> {
        want.check()?;
        let asked = inputs.query(move |machine| machine.identity_for(member, instance)).await;
        let ServiceName { app, service } = asked.ok_or(VouchError::Stopping)??;
        let us = self.signer.identity();
        let (project, application) = (app.project.as_str(), app.application.as_str());
        let workload = Workload::new(us.sea(), project, application, service.as_str())?;
        tracing::debug!(%member, %instance, %workload, "Vouching for an instance.");
        match want {
            Want::Token { audience, life } => {
                let node = us.child(&member.to_string())?;
                self.token(Subject { workload, instance: instance.to_string(), node }, audience, *life)
            }
            Want::Certificate { csr, life } => {
                let issued = self.signer.workload(&workload, csr, *life)?;
                let chain = issued.chain.iter().map(|der| ByteBuf::from(der.to_vec())).collect();
                Ok(Proof::Certificate { chain, expires: time(issued.not_after) })
            }
        }
    }

    fn token(&self, subject: Subject, audience: &str, life: Duration) -> Result<Proof, VouchError> {
        let now = self.signer.now();
        let signed = self.token_signer(now)?.sign(subject, audience, life, now)?;
        Ok(Proof::Token { token: signed.text, expires: time(signed.expires) })
    }

    fn token_signer(&self, now: UnixTime) -> Result<Arc<TokenSigner>, SignTokenError> {
        // Nothing that holds the lock can panic half-way.
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fresh) = tokens.as_ref().filter(|signer| signer.is_fresh(now)) {
            return Ok(Arc::clone(fresh));
        }
        let new = Arc::new(self.signer.token_signer()?);
        *tokens = Some(Arc::clone(&new));
        Ok(new)
    }

    /// Whether who signed and the node on which the instance is are believed still, and it has not expired.
    fn still_good(&self, claims: &Claims) -> Result<(), StillGoodError> {
        if self.signer.now().as_secs() >= claims.exp {
            return Err(StillGoodError::Expired);
        }
        let void = self.revocations.voids(&claims.iss) || self.revocations.voids(&claims.node);
        if void { Err(StillGoodError::Void) } else { Ok(()) }
    }

    fn verify(&self, text: &str, audience: &str) -> Result<Claims, TokenError> {
        token::verify(text, audience, self.signer.root(), &self.revocations, self.signer.now())
    }
}

async fn answer(tunnel: &mut Tunnel, proof: Result<Proof, VouchError>) -> Result<(), WriteHeaderError> {
    match proof {
        Ok(proof) => {
            write_header(tunnel, &Answer::Granted).await?;
            write_header(tunnel, &proof).await?;
        }
        Err(error) => write_header(tunnel, &Answer::Refused(describe(&error))).await?,
    }
    Ok(tunnel.shutdown().await?)
}

// === impl Handle ===

impl Handle {
    /// What an instance's token says, if it is good for `audience` (without one: for this API).
    ///
    /// Of an instance that runs below us it must be known that it does: a token ends with its instance. For one
    /// elsewhere in the sea the signature has to do.
    ///
    /// # Errors
    /// See [`VerifyIdentityError`].
    pub async fn verify_identity(
        &self,
        text: &str,
        audience: Option<&str>,
    ) -> Result<Claims, VerifyIdentityError> {
        let us = self.identity().clone();
        let own = format!("holm://{}", us.sea());
        let claims = self.notary().verify(text, audience.unwrap_or(&own))?;
        if claims.iss != us && !claims.iss.is_below(&us) {
            return Ok(claims);
        }
        let gone = || VerifyIdentityError::Gone(claims.instance.clone());
        let (instance, of, path) = whereabouts(&claims, &us).ok_or_else(gone)?;
        let there = self.query(move |machine| machine.is_there(instance, &of, &path)).await;
        if there.ok_or(VerifyIdentityError::Stopping)? { Ok(claims) } else { Err(gone()) }
    }

    /// What the instance of a token that is good may do here: the role that its service was given, if this
    /// orchestrator has placed the instance itself. None elsewhere, and none when everything is being stopped.
    pub async fn rights_of_instance(&self, claims: &Claims) -> Grants {
        let us = self.identity();
        if claims.iss != *us && !claims.iss.is_below(us) {
            return Grants::default();
        }
        let Some((instance, of, path)) = whereabouts(claims, us) else { return Grants::default() };
        self.query(move |machine| machine.rights_of(instance, &of, &path)).await.unwrap_or_default()
    }

    /// Whether the instance, whose token was verified, may do meanwhile what it could then.
    ///
    /// # Errors
    /// See [`StillGoodError`].
    pub async fn instance_still_good(&self, claims: &Claims, then: &Grants) -> Result<(), StillGoodError> {
        self.notary().still_good(claims)?;
        let now = self.rights_of_instance(claims).await;
        if then.is_within(&now) { Ok(()) } else { Err(StillGoodError::Void) }
    }
}

/// Where the machine has to know of the instance: as what, and on which node. None when the claims name a node
/// that is not the signer's, or nothing of ours.
fn whereabouts(claims: &Claims, us: &Identity) -> Option<(AssignmentId, ServiceName, Vec<MemberId>)> {
    if claims.node.parent().as_ref() != Some(&claims.iss) {
        return None;
    }
    let below = claims.node.path().get(us.path().len()..)?;
    let path = below.iter().map(|id| id.parse().ok()).collect::<Option<_>>()?;
    let name = |text| Name::new(text).ok();
    let app = AppKey { project: name(claims.sub.project())?, application: name(claims.sub.application())? };
    Some((claims.instance.parse().ok()?, ServiceName { app, service: name(claims.sub.service())? }, path))
}

fn time(at: UnixTime) -> Time {
    Time(i64::try_from(at.as_secs()).unwrap_or(i64::MAX / 1000).saturating_mul(1000))
}
