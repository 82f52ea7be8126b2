//! `/api/v1`: what people and programs ask of an orchestrator.
//!
//! ```text
//! stream ─▶ serve ─▶ guard ─▶ authentication ─▶ rights ─▶ idempotency ─▶ routes ─▶ state ─▶ Handle
//!         (h1, h2)  (host,     (socket, token    (one table) (one outcome
//!                    origin)    or cookie)                    per key)
//! ```
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`serve`] | one connection |
//! | [`guard`] | what holds for every request: names, origins, headers, panics |
//! | [`authentication`] | how somebody proves who he is |
//! | [`attempts`] | counting those who cannot (pure but for the log) |
//! | [`rights`] | which right each operation needs: one table |
//! | [`limits`] | how much one caller may take (pure but for the clock) |
//! | [`drain`] | what is left of a body when its answer is there |
//! | [`answer`] | what is kept until an answer is complete |
//! | [`stay`] | what ends an answer that goes on |
//! | [`denials`] | how many refused attempts are in the audit log (pure) |
//! | [`builds`] | images made of uploaded files |
//! | [`deploys`] | an application that says an image, and how long its start took |
//! | [`registry`] | who may do what in the registry of images |
//! | [`logins`] | passwords that were good a short while ago |
//! | [`ways`] | what is in the audit log of exec, cp, port-forward and shells |
//! | [`idempotency`] | requests sent twice, done once |
//! | [`peer`] | who sends a request, and what they may do |
//! | [`state`] | how the API reaches the orchestrator: the only module that does |
//! | [`problem`] | the table of refusals |
//! | [`extract`] | what handlers take from a request |
//! | [`page`], [`precondition`], [`cursor`] | paging, ETags, the place in the stream of events (pure) |
//! | [`routes`] | the routes, one module per thing; and the document made of them |
//!
//! # A new route
//!
//! A handler with `#[utoipa::path]` in the module of its thing, its line in that module's `ROUTES`, its row in
//! the table of [`rights`]: the document has it then, and the tests ask it without credentials, as every role,
//! and for its responses.

mod answer;
mod attempts;
mod authentication;
mod builds;
mod cursor;
mod denials;
mod deploys;
mod drain;
mod extract;
mod guard;
mod idempotency;
mod limits;
mod logins;
mod page;
mod peer;
mod precondition;
mod problem;
mod registry;
mod rights;
mod routes;
#[cfg(test)]
mod samples;
mod serve;
mod state;
mod stay;
mod ways;

pub use limits::Limits;
pub use peer::Peer;
pub use registry::Doorman;
pub use routes::{document, router};
pub use serve::on_http;
pub use state::Api;

/// Bytes of a request's body at most: a manifest is smaller.
pub const MAX_BODY: usize = 1 << 20;
