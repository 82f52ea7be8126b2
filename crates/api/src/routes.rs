//! The routes, one module per thing, and the document made of them.

mod applications;
mod events;
mod history;
mod instances;
mod join;
mod list;
mod logs;
mod members;
mod sockets;
mod system;
mod tokens;

use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Json, Router, routing};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_axum::router::OpenApiRouter;

use holm_model::view::Problem;

use crate::MAX_BODY;
use crate::authentication::authenticate;
use crate::guard::{guard, limit_time};
use crate::idempotency::once;
use crate::problem::{Fault, Kind};
use crate::state::Api;

const PREFIX: &str = "/api/v1";
const SCHEME: &str = "token";

type Routes = OpenApiRouter<Api>;

/// All of the API, and a page that points to it.
pub fn router(api: &Api) -> Router {
    let (answers, _) = answers().split_for_parts();
    let (streams, _) = streams().split_for_parts();
    let (open, _) = open().split_for_parts();
    let document = document();
    // From the inside to the outside.
    let closed = answers
        .layer(from_fn(limit_time))
        .route_layer(from_fn_with_state(api.clone(), once))
        .merge(streams)
        .route_layer(from_fn_with_state(api.clone(), authenticate));
    let open = open
        .route("/openapi.json", routing::get(move || std::future::ready(Json(document.clone()))))
        .layer(from_fn(limit_time));
    Router::new()
        .nest(PREFIX, closed.merge(open))
        .route("/", routing::get(system::index))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(api.clone(), guard))
        .with_state(api.clone())
}

/// The OpenAPI 3.1 document of what [`router`] serves.
#[must_use]
pub fn document() -> OpenApi {
    let closed = answers().merge(streams()).into_openapi();
    let mut document = base();
    document
        .merge(OpenApiRouter::<Api>::new().nest(PREFIX, OpenApiRouter::with_openapi(closed)).into_openapi());
    // What needs no proof says so itself: an empty list stands for "none".
    let mut open = open().into_openapi();
    for item in open.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            operation.security = Some(Vec::new());
        }
    }
    document
        .merge(OpenApiRouter::<Api>::new().nest(PREFIX, OpenApiRouter::with_openapi(open)).into_openapi());
    document
}

/// Routes whose answers come as a whole, and soon.
fn answers() -> Routes {
    OpenApiRouter::new()
        .merge(system::routes())
        .merge(applications::routes())
        .merge(instances::routes())
        .merge(members::routes())
        .merge(tokens::routes())
        .merge(history::routes())
}

/// Routes whose answers go on.
fn streams() -> Routes {
    OpenApiRouter::new().merge(logs::routes()).merge(sockets::routes()).merge(events::routes())
}

/// Routes that are for everybody.
fn open() -> Routes {
    OpenApiRouter::new().merge(join::routes())
}

fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Holm")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "One orchestrator. Lists come in pages (`limit`, `cursor`), errors as `application/problem+json`.",
        ))
        .build();
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("holm-api").build();
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme(SCHEME, SecurityScheme::Http(scheme))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, [])]))
        .build()
}

async fn no_route(uri: Uri) -> Fault {
    let path: String = uri.path().chars().take(200).collect();
    Fault::new(Kind::NoRoute, format_args!("`{path}` is none; {PREFIX}/openapi.json lists the routes"))
}

async fn no_method(method: Method) -> Fault {
    Fault::new(Kind::Method, format_args!("not {method} here; {PREFIX}/openapi.json lists the routes"))
}
