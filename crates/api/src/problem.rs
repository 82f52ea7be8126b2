//! Refusals as RFC 9457 problems with stable types.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use holm_core::orchestrator::command::Refusal;
use holm_model::view::{PROBLEMS, Problem, ProblemPlace};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{ContentBuilder, Ref, RefOr};
use utoipa::{IntoResponses, ToSchema};

/// Why a request is not done: one row of the table of problems and what is to be said about it.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    kind: Kind,
    detail: String,
    places: Vec<ProblemPlace>,
    /// When trying again is reasonable, if that is known.
    after: Option<Duration>,
}

/// Makes [`Kind`] and its table from one list, so that neither can lack a row.
macro_rules! kinds {
    ($($kind:ident $word:literal $status:literal $title:literal)*) => {
        /// The table of problems. The words are promises: a client may match them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind { $($kind),* }

        impl Kind {
            const ALL: &'static [Self] = &[$(Self::$kind),*];

            const fn row(self) -> (&'static str, u16, &'static str) {
                match self { $(Self::$kind => ($word, $status, $title)),* }
            }
        }
    };
}

kinds! {
    BadRequest      "bad-request"           400 "The request is malformed"
    Unauthenticated "unauthenticated"       401 "Who you are is not proved"
    Forbidden       "forbidden"             403 "Not allowed"
    Host            "host"                  403 "Not the name of this server"
    Origin          "origin"                403 "A page of another site may not change anything"
    NotFound        "not-found"             404 "There is no such thing"
    NoRoute         "no-route"              404 "There is no such route"
    Method          "method-not-allowed"    405 "The route does not take this method"
    Conflict        "conflict"              409 "It contradicts what there is"
    Frozen          "frozen"                409 "A frozen member must be decided about first"
    InProgress      "in-progress"           409 "The same request is being carried out"
    Precondition    "precondition-failed"   412 "It has changed meanwhile"
    TooLarge        "too-large"             413 "The request is too large"
    MediaType       "media-type"            415 "The kind of content is not understood"
    Invalid         "invalid"               422 "It cannot be carried out as it is"
    Manifest        "manifest"              422 "The manifest has faults"
    KeyReused       "idempotency-key-reused" 422 "The key was used for another request"
    Slow            "slow"                  408 "The request did not come in time"
    TooMany         "too-many"              429 "Too many at once"
    TooFast         "too-fast"              429 "Too many in too short a time"
    Internal        "internal"              500 "A bug of the orchestrator"
    Unreachable     "unreachable"           503 "The way to the instance is broken"
    ReadOnly        "read-only"             503 "Nothing can be changed now"
    Late            "late"                  503 "It took too long"
    Stopping        "stopping"              503 "The orchestrator is being stopped"
}

/// Trying again is reasonable after this, where nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How a client can prove who it is.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"holm\"");
const MEDIA_TYPE: &str = "application/problem+json";

// === impl Fault ===

impl Fault {
    #[expect(clippy::needless_pass_by_value, reason = "callers give errors and `format_args!` away")]
    pub(crate) fn new(kind: Kind, detail: impl ToString) -> Self {
        Self { kind, detail: detail.to_string(), places: Vec::new(), after: None }
    }

    pub(crate) fn with_places(self, places: Vec<ProblemPlace>) -> Self {
        Self { places, ..self }
    }

    /// The same, with the time after which it makes sense to try again.
    pub(crate) fn after(self, wait: Duration) -> Self {
        Self { after: Some(wait), ..self }
    }

    pub(crate) fn no_such(thing: &str, name: &str) -> Self {
        let name: String = name.chars().take(100).collect();
        let list = match thing {
            "person" | "project" => format!("holm {thing} ls"),
            thing => format!("holm get {thing}s"),
        };
        let detail = format!("there is no {thing} `{name}`; `{list}` lists what there is");
        Self::new(Kind::NotFound, detail)
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::NotFound { .. }
            | Refusal::NoService { .. }
            | Refusal::NoGeneration { .. }
            | Refusal::NotTold { .. }
            | Refusal::OtherOwner { .. } => Kind::NotFound,
            Refusal::Conflict(_) => Kind::Conflict,
            Refusal::Frozen { .. } => Kind::Frozen,
            Refusal::Changed { .. } => Kind::Precondition,
            Refusal::Invalid(_) => Kind::Invalid,
            Refusal::Forbidden(_) => Kind::Forbidden,
            Refusal::ReadOnly(_) => Kind::ReadOnly,
        };
        Self::new(kind, refusal)
    }
}

/// Why a response is a refusal, for whoever writes that down.
#[derive(Clone, Debug)]
pub(crate) struct Detail(pub(crate) String);

impl Fault {
    /// As answers say it.
    pub(crate) fn problem(self) -> Problem {
        let (word, status, title) = self.kind.row();
        let kind = format!("{PROBLEMS}{word}");
        Problem { kind, title: title.to_owned(), status, detail: self.detail, errors: self.places }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let after = self.after;
        let problem = self.problem();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let detail = Detail(problem.detail.clone());
        let mut response = (status, Json(problem)).into_response();
        response.extensions_mut().insert(detail);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let after = after.unwrap_or(RETRY_AFTER).as_secs().max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after));
        }
        response
    }
}

// === the problems of routes, for the document ===

/// Any route may answer these.
#[derive(Debug)]
pub(crate) struct Common;

/// Routes that name a thing.
#[derive(Debug)]
pub(crate) struct OfThing;

/// Routes that change something.
#[derive(Debug)]
pub(crate) struct OfWrite;

/// Reading what another version may have written.
#[derive(Debug)]
pub(crate) struct OfVersions;

/// Routes that take `If-Match`.
#[derive(Debug)]
pub(crate) struct Conditional;

/// Routes that reach through to a node.
#[derive(Debug)]
pub(crate) struct OfStream;

type Responses = BTreeMap<String, RefOr<utoipa::openapi::Response>>;

fn describe(statuses: &[u16]) -> Responses {
    let of = |status: &u16| {
        let rows = Kind::ALL.iter().map(|kind| kind.row()).filter(|(_, s, _)| s == status);
        let words: Vec<_> = rows.map(|(word, _, title)| format!("`{word}`: {title}")).collect();
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name())));
        let response =
            ResponseBuilder::new().description(words.join("; ")).content(MEDIA_TYPE, content.build());
        (status.to_string(), RefOr::T(response.build()))
    };
    statuses.iter().map(of).collect()
}

impl IntoResponses for Common {
    fn responses() -> Responses {
        describe(&[400, 401, 403, 429, 500, 503])
    }
}

impl IntoResponses for OfThing {
    fn responses() -> Responses {
        describe(&[404])
    }
}

impl IntoResponses for OfWrite {
    fn responses() -> Responses {
        describe(&[408, 409, 413, 415, 422])
    }
}

impl IntoResponses for OfVersions {
    fn responses() -> Responses {
        describe(&[409])
    }
}

impl IntoResponses for Conditional {
    fn responses() -> Responses {
        describe(&[412])
    }
}

impl IntoResponses for OfStream {
    fn responses() -> Responses {
        describe(&[404, 422])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_has_a_word_and_a_status_of_its_own_kind() {
        let mut words: Vec<_> = Kind::ALL.iter().map(|kind| kind.row().0).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Kind::ALL.len());
        assert!(Kind::ALL.iter().all(|kind| (400..=599).contains(&kind.row().1)));
    }

    #[test]
    fn refusals_say_how_to_go_on() {
        let response = Fault::new(Kind::Unauthenticated, "x").into_response();
        assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        let response = Fault::from(Refusal::ReadOnly("full".to_owned())).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        let slow = Fault::new(Kind::TooFast, "x").after(Duration::from_secs(7)).into_response();
        assert_eq!(slow.headers()[header::RETRY_AFTER], "7");
    }
}
