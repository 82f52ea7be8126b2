//! A machine becomes a member. The token in the body is the proof: no other is asked for.

use std::net::SocketAddr;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use holm_link::join::{JoinAnswer, JoinRequest};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::extract::Json;
use crate::peer::Peer;
use crate::problem::{Common, Fault, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(join)];

/// Become a member by a join token.
#[utoipa::path(post, path = "/join", tag = "members", request_body = Asked,
    responses((status = 201, body = Answered), Common, OfWrite))]
async fn join(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<JoinRequest>,
) -> Result<(StatusCode, axum::Json<JoinAnswer>), Fault> {
    let from = match peer {
        Peer::Tls(address) | Peer::Plain(address) => address,
        // The socket lies on this machine; members do not come here.
        Peer::Unix | Peer::Member(_) => SocketAddr::from(([127, 0, 0, 1], 0)),
    };
    let refused = |_: &Fault| {
        api.attempts().refused(peer, "a join was refused");
    };
    let answer = api.join(from, request).await.inspect_err(refused)?;
    Ok((StatusCode::CREATED, axum::Json(answer)))
}

// === the bodies, for the document: `link` knows nothing of it ===

/// Who wants to join, and with which token.
#[derive(ToSchema)]
#[schema(as = JoinRequest)]
#[expect(dead_code, reason = "describes `holm_link::join::JoinRequest`")]
struct Asked {
    /// Of the token, 16 hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    token_id: String,
    /// Of the token, 32 hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    secret: String,
    /// What the machine is to become, as the token says.
    kind: Kind,
    /// Its certificate signing request: PKCS #10, DER, standard base64.
    #[schema(content_encoding = "base64")]
    csr: String,
    /// For a cluster: the request for its own authority.
    #[schema(content_encoding = "base64", required = false, nullable = false)]
    authority_csr: Option<String>,
    /// The name that people are to see.
    name: String,
    /// Of the machine.
    host: String,
    /// Facts about the machine, as its version of Holm tells them.
    #[schema(value_type = Option<Object>, required = false)]
    proposal: serde_json::Value,
}

#[derive(ToSchema)]
#[schema(as = JoinRole, rename_all = "lowercase")]
#[expect(dead_code, reason = "describes `holm_link::token::Role`")]
enum Kind {
    Node,
    Cluster,
}

/// The machine is a member.
#[derive(ToSchema)]
#[schema(as = JoinAnswer)]
#[expect(dead_code, reason = "describes `holm_link::join::JoinAnswer`")]
struct Answered {
    /// The member's id.
    member: String,
    /// Whom the certificate speaks for: `holm://sea/cluster/node`.
    identity: String,
    /// Certificates, leaf first, without the root: DER, standard base64.
    chain: Vec<String>,
    /// For a cluster: the chain of its own authority.
    #[schema(required = false, nullable = false)]
    authority_chain: Option<Vec<String>>,
    /// The sea's root certificate.
    root: String,
    /// Whose member the machine is.
    orchestrator: String,
}

#[cfg(test)]
mod tests {
    use holm_link::certificate::Fingerprint;
    use holm_link::identity::Identity;
    use holm_link::join::Der;
    use holm_link::token::{JoinToken, Role};
    use serde::Serialize;
    use utoipa::PartialSchema;

    use super::*;

    fn keys(value: impl Serialize) -> Vec<String> {
        let value = serde_json::to_value(value).unwrap();
        value.as_object().unwrap().keys().cloned().collect()
    }

    fn described<T: PartialSchema>() -> Vec<String> {
        keys(serde_json::to_value(T::schema()).unwrap()["properties"].clone())
    }

    #[test]
    fn the_document_describes_what_is_sent() {
        let der = || Der(vec![1]);
        let sea = Identity::sea_root("sea").unwrap();
        let token = JoinToken::generate(Role::Cluster, Fingerprint::of(b"root"), sea.clone()).unwrap();
        let request = JoinRequest {
            token_id: token.id,
            secret: token.secret,
            kind: token.role,
            csr: der(),
            authority_csr: Some(der()),
            name: "vienna".to_owned(),
            host: "v1".to_owned(),
            proposal: serde_json::json!({}),
        };
        let answer = JoinAnswer {
            member: "1-aa-1".to_owned(),
            identity: sea.clone(),
            chain: vec![der()],
            authority_chain: Some(vec![der()]),
            root: der(),
            orchestrator: sea,
        };
        assert_eq!(described::<Asked>(), keys(request));
        assert_eq!(described::<Answered>(), keys(answer));
    }
}
