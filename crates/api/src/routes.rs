//! The routes, one module per thing, and the document made of them.

mod amendments;
mod applications;
mod audit;
mod backup;
mod builds;
mod contents;
mod deploy;
mod events;
mod exposures;
mod generations;
mod history;
mod identities;
mod images;
pub(crate) mod instances;
mod join;
mod list;
mod logs;
pub(crate) mod members;
pub(crate) mod metrics;
mod moving;
mod people;
mod projects;
mod roles;
mod sessions;
pub(crate) mod sockets;
mod straight;
mod system;
mod tokens;
mod transferring;
mod usage;

pub(crate) use sessions::refused as refused_login;

use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Router, routing};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use holm_model::view::Problem;

use crate::MAX_BODY;
use crate::authentication::{authenticate, welcome};
use crate::guard::{guard, limit_time};
use crate::idempotency::{PROMISE, once};
use crate::problem::{Fault, Kind};
use crate::registry;
use crate::rights::authorize;
use crate::state::Api;

pub(crate) const PREFIX: &str = "/api/v1";
const SCHEME: &str = "token";

/// Things under one path, with their part of the document. A function, so that the document costs memory
/// only while somebody reads it.
type Route = fn() -> UtoipaMethodRouter<Api>;
type Routes = &'static [Route];

/// Routes whose answers come as a whole, and soon.
const ANSWERS: &[Routes] = &[
    system::ROUTES,
    applications::ROUTES,
    generations::ROUTES,
    instances::ROUTES,
    exposures::ROUTES,
    members::ROUTES,
    moving::ROUTES,
    amendments::ROUTES,
    images::ROUTES,
    usage::ROUTES,
    projects::ROUTES,
    roles::ROUTES,
    contents::ROUTES,
    people::ROUTES,
    sessions::ROUTES,
    identities::ROUTES,
    tokens::ROUTES,
    transferring::ROUTES,
    history::ROUTES,
    audit::ROUTES,
];
/// Routes whose answers go on.
const STREAMS: &[Routes] =
    &[backup::ROUTES, builds::ROUTES, deploy::ROUTES, logs::ROUTES, sockets::ROUTES, events::ROUTES];
/// Routes that are not below [`PREFIX`], since other programs know them by their names.
const PLAIN: &[Routes] = &[metrics::ROUTES];
/// Routes that are for everybody.
const OPEN: &[Routes] = &[join::ROUTES, sessions::OPEN];

/// All of the API, and a page that points to it.
pub fn router(api: &Api) -> Router {
    // From the inside to the outside.
    let closed = served(ANSWERS)
        .layer(from_fn(limit_time))
        .route_layer(from_fn_with_state(api.clone(), once))
        .merge(served(STREAMS))
        .route_layer(from_fn_with_state(api.clone(), authorize))
        .route_layer(from_fn_with_state(api.clone(), authenticate));
    let plain = served(PLAIN)
        .layer(from_fn(limit_time))
        .route_layer(from_fn_with_state(api.clone(), authorize))
        .route_layer(from_fn_with_state(api.clone(), authenticate));
    let open = served(OPEN).layer(from_fn(limit_time)).route_layer(from_fn_with_state(api.clone(), welcome));
    Router::new()
        .nest(PREFIX, closed.merge(open))
        .merge(plain)
        .merge(registry::router())
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
    let mut document = base();
    document.merge(described(&[ANSWERS, STREAMS].concat()));
    document.merge(routes_of(PLAIN).into_openapi());
    // What needs no proof says so itself: an empty list stands for "none".
    let mut open = described(OPEN);
    for item in open.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            operation.security = Some(Vec::new());
        }
    }
    document.merge(open);
    document
}

fn served(modules: &[Routes]) -> Router<Api> {
    modules.iter().copied().flatten().fold(Router::new(), |router, route| {
        let (_, paths, methods) = route();
        paths.paths.keys().fold(router, |router, path| router.route(path, methods.clone()))
    })
}

fn described(modules: &[Routes]) -> OpenApi {
    OpenApiRouter::<Api>::new().nest(PREFIX, routes_of(modules)).into_openapi()
}

fn routes_of(modules: &[Routes]) -> OpenApiRouter<Api> {
    let routes = modules.iter().copied().flatten();
    routes.fold(OpenApiRouter::new(), |all, route| all.routes(route()))
}

fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Holm")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(format!(
            "One orchestrator. Lists come in pages (`limit`, `cursor`), errors as \
             `application/problem+json`. {PROMISE}"
        )))
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
