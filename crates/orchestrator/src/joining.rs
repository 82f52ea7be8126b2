//! A machine joins us: its token is checked by the machine, its keys are signed here.

use std::net::SocketAddr;

use holm_core::orchestrator::command::{Actor, Command, Refusal, Reply};
use holm_link::join::{Der, JoinAnswer, JoinRequest};
use holm_link::token::{Role as TokenRole, SecretHash};
use holm_model::member::{NodeFacts, Role};
use holm_model::message::Proposal;
use holm_model::name::{Name, NameError};

use crate::handle::Inputs;
use crate::keys::{SignMemberError, Signed, Signer};

/// A machine has not joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("the proposed name is unusable: {0}")]
    Name(#[from] NameError),
    #[error("the proposal cannot be read: {0}; do both sides have the same version?")]
    Proposal(String),
    #[error("the signing request is unusable; make a new key and try again")]
    Request(#[source] SignMemberError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the orchestrator answered a join with something else (a bug)")]
    Answer,
}

/// A join request whose form is right.
struct Applicant {
    role: Role,
    name: Name,
    facts: Option<Box<NodeFacts>>,
    csr: Vec<u8>,
    authority_csr: Option<Vec<u8>>,
}

/// Takes the machine as a member. The serial numbers are committed before its certificates leave.
pub(crate) async fn join(
    inputs: &Inputs,
    signer: &Signer,
    from: SocketAddr,
    request: JoinRequest,
) -> Result<JoinAnswer, JoinError> {
    let actor = Actor { who: format!("join:{}", request.token_id), from: from.to_string() };
    let token = request.token_id.to_string();
    let secret_hash = hash_text(&request.secret.hash());
    let applicant = Applicant::read(request)?;
    // A request that cannot be signed must not use up the token.
    applicant.sign(signer, "check").map_err(JoinError::Request)?;
    let Applicant { role, ref name, ref facts, .. } = applicant;
    let command = Command::Join { token, secret_hash, role, name: name.clone(), facts: facts.clone() };
    let Reply::Joined { member, .. } = inputs.command(actor.clone(), command).await? else {
        return Err(JoinError::Answer);
    };
    let signed = applicant.sign(signer, &member.to_string()).map_err(JoinError::Request)?;
    for serial in &signed.serials {
        let command = Command::Issued { member, serial: serial.to_string() };
        inputs.command(actor.clone(), command).await?;
    }
    Ok(JoinAnswer {
        member: member.to_string(),
        identity: signed.identity,
        chain: ders(signed.chain),
        authority_chain: signed.authority.map(ders),
        root: Der::from(signer.root().der()),
        orchestrator: signer.identity().clone(),
    })
}

/// How the machine keeps a join token's secret.
pub(crate) fn hash_text(hash: &SecretHash) -> String {
    // Its serialization is its hexadecimal text and nothing else.
    serde_json::to_value(hash).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn ders(chain: Vec<Vec<u8>>) -> Vec<Der> {
    chain.into_iter().map(Der).collect()
}

// === impl Applicant ===

impl Applicant {
    fn read(request: JoinRequest) -> Result<Self, JoinError> {
        let role = match request.kind {
            TokenRole::Node => Role::Node,
            TokenRole::Cluster => Role::Cluster,
        };
        let proposal: Option<Proposal> =
            serde_json::from_value(request.proposal).map_err(|e| JoinError::Proposal(e.to_string()))?;
        if proposal.as_ref().is_some_and(|proposal| proposal.role != role) {
            return Err(JoinError::Proposal("it is for another role than the request".to_owned()));
        }
        let authority_csr = request.authority_csr.map(|csr| csr.0);
        if authority_csr.is_some() != (role == Role::Cluster) {
            return Err(JoinError::Proposal("clusters, and only they, ask for an authority".to_owned()));
        }
        let name = Name::new(&request.name)?;
        let facts = proposal.and_then(|proposal| proposal.facts).map(Box::new);
        Ok(Self { role, name, facts, csr: request.csr.0, authority_csr })
    }

    fn sign(&self, signer: &Signer, member: &str) -> Result<Signed, SignMemberError> {
        signer.member(member, &self.csr, self.authority_csr.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use holm_link::certificate::Fingerprint;
    use holm_link::identity::Identity;
    use holm_link::token::JoinToken;

    use super::*;

    fn request(kind: TokenRole) -> JoinRequest {
        let identity = Identity::sea_root("sea").unwrap();
        let token = JoinToken::generate(kind, Fingerprint::of(b""), identity).unwrap();
        JoinRequest {
            token_id: token.id,
            secret: token.secret,
            kind,
            csr: Der(vec![1]),
            authority_csr: None,
            name: "fl-1".to_owned(),
            host: String::new(),
            proposal: serde_json::Value::Null,
        }
    }

    #[test]
    fn a_secret_is_kept_as_64_hexadecimal_digits() {
        let text = hash_text(&request(TokenRole::Node).secret.hash());
        assert_eq!(text.len(), 64);
        assert!(text.bytes().all(|b| b.is_ascii_hexdigit()));
    }

    #[test]
    fn forms_that_contradict_themselves_are_refused() {
        assert!(Applicant::read(request(TokenRole::Node)).is_ok());
        assert!(Applicant::read(request(TokenRole::Cluster)).is_err());
        let named = JoinRequest { name: "../etc".to_owned(), ..request(TokenRole::Node) };
        assert!(matches!(Applicant::read(named), Err(JoinError::Name(_))));
        let greedy = JoinRequest { authority_csr: Some(Der(vec![1])), ..request(TokenRole::Node) };
        assert!(Applicant::read(greedy).is_err());
        let strange = JoinRequest { proposal: serde_json::json!({"role": 7}), ..request(TokenRole::Node) };
        assert!(matches!(Applicant::read(strange), Err(JoinError::Proposal(_))));
    }
}
