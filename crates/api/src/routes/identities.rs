//! Who instances are, for those that cannot verify a token themselves.

use axum::extract::State;
use holm_link::workload::token::Claims;
use holm_model::view::identity::{IdentityView, VerifyIdentity};
use utoipa_axum::routes;

use crate::extract::Json;
use crate::peer::seconds;
use crate::problem::{Common, Fault, Kind, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(verify)];

/// Verify the token of an instance.
///
/// It is good when an orchestrator of this sea signed it, it is for the audience, has not expired, and its instance
/// is still there, as far as this orchestrator can know that.
#[utoipa::path(post, path = "/identities/verify", operation_id = "verify_identity", tag = "identities",
    request_body = VerifyIdentity, responses((status = 200, body = IdentityView), Common, OfWrite))]
async fn verify(
    State(api): State<Api>,
    Json(request): Json<VerifyIdentity>,
) -> Result<axum::Json<IdentityView>, Fault> {
    let claims = api.verify_identity(&request.token, request.audience.as_deref()).await;
    // Who asks has proved who it is: it is the other one who has not.
    let claims = claims.map_err(|fault| match fault.kind() {
        Kind::Unauthenticated => Fault::new(Kind::Invalid, fault.detail()),
        _ => fault,
    })?;
    Ok(axum::Json(view(claims)))
}

fn view(claims: Claims) -> IdentityView {
    let Claims { iss, sub, aud, iat, exp, jti, instance, node, nbf: _ } = claims;
    IdentityView {
        project: sub.project().to_owned(),
        application: sub.application().to_owned(),
        service: sub.service().to_owned(),
        subject: sub.to_string(),
        instance,
        node: node.to_string(),
        issuer: iss.to_string(),
        audience: aud,
        issued: seconds(iat),
        expires: seconds(exp),
        id: jti,
    }
}
