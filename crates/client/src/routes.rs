//! A method for each route. Lists are fetched page by page and returned as a whole.

use ::http::{HeaderName, HeaderValue, Method, header};
use bytes::Bytes;
use holm_model::view::explain::ExplainView;
use holm_model::view::expose::ExposureView;
use holm_model::view::generation::{GenerationView, RollbackRequest};
use holm_model::view::held::HeldView;
use holm_model::view::query::{AuditQuery, HistoryQuery, InstanceQuery, ProofQuery};
use holm_model::view::{
    ApplicationView, ApplyView, AuditProofView, AuditView, ClusterView, EventView, InstanceView, MemberView,
    NodeView, Page, RemovalView, ServicePatch, StatusView, TokenCreated, TokenRequest, TokenView,
};
use serde::de::DeserializeOwned;

use crate::Client;
use crate::error::Error;
use crate::http::{Call, encode};

/// An application as people wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    Yaml(String),
    Json(String),
}

/// Which generation of an application a change is meant for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    #[default]
    Any,
    /// Only if it is still this one; a problem `precondition-failed` otherwise.
    Generation(u64),
    /// Only if there is no such application yet.
    Absent,
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

// === impl Client: the orchestrator itself ===

impl Client {
    /// # Errors
    /// See [`Error`]; so everywhere below.
    pub async fn status(&self) -> Result<StatusView, Error> {
        self.http.json(Call::get("/status")).await
    }

    /// What Prometheus is told, in its text format.
    pub async fn metrics(&self) -> Result<String, Error> {
        let answer = self.http.answer(Call::plain("/metrics")).await?;
        String::from_utf8(answer.into()).map_err(|e| self.http.server().protocol(e))
    }

    /// The OpenAPI document.
    pub async fn openapi(&self) -> Result<serde_json::Value, Error> {
        self.http.json(Call::get("/openapi.json")).await
    }

    /// One page of the history, newest first.
    pub async fn history(&self, query: &HistoryQuery) -> Result<Page<EventView>, Error> {
        self.http.json(Call::get("/history").query(query)).await
    }

    /// One page of the audit log, newest first unless the query says otherwise.
    pub async fn audit(&self, query: &AuditQuery) -> Result<Page<AuditView>, Error> {
        self.http.json(Call::get("/audit").query(query)).await
    }

    /// One page of what was done in a project since it was made, as [`Client::audit`] gives it. A page may be empty
    /// and have a next one.
    pub async fn audit_of(&self, project: &str, query: &AuditQuery) -> Result<Page<AuditView>, Error> {
        self.http.json(Call::get(path(&["projects", project, "audit"])).query(query)).await
    }

    /// Whether the audit log is whole: each record holds the hash of the one before. `head`: one that was noted,
    /// which must be among them.
    pub async fn verify_audit(&self, head: Option<&str>) -> Result<AuditProofView, Error> {
        let query = ProofQuery { head: head.map(str::to_owned) };
        self.http.json(Call::get("/audit/verify").query(&query)).await
    }
}

// === impl Client: applications ===

impl Client {
    /// Applications of all projects.
    pub async fn applications(&self) -> Result<Vec<ApplicationView>, Error> {
        self.all(&Call::get("/applications")).await
    }

    pub async fn applications_of(&self, project: &str) -> Result<Vec<ApplicationView>, Error> {
        self.all(&Call::get(path(&["projects", project, "applications"]))).await
    }

    pub async fn application(&self, project: &str, name: &str) -> Result<ApplicationView, Error> {
        self.http.json(Call::get(application(project, name))).await
    }

    /// Makes `manifest` the wish for the application `name`.
    pub async fn apply(
        &self,
        project: &str,
        name: &str,
        manifest: &Manifest,
        condition: Condition,
    ) -> Result<ApplyView, Error> {
        self.apply_in(None, project, name, manifest, condition).await
    }

    /// The same, with all of it in one of the root's clusters.
    pub async fn apply_in(
        &self,
        cluster: Option<&str>,
        project: &str,
        name: &str,
        manifest: &Manifest,
        condition: Condition,
    ) -> Result<ApplyView, Error> {
        let call = within(cluster, manifest.call(application(project, name)));
        self.http.json(condition.add_to(call)).await
    }

    /// What [`Client::apply`] would do.
    pub async fn plan(&self, project: &str, name: &str, manifest: &Manifest) -> Result<ApplyView, Error> {
        self.plan_in(None, project, name, manifest).await
    }

    /// What [`Client::apply_in`] would do.
    pub async fn plan_in(
        &self,
        cluster: Option<&str>,
        project: &str,
        name: &str,
        manifest: &Manifest,
    ) -> Result<ApplyView, Error> {
        self.http.json(within(cluster, manifest.call(application(project, name)).field("plan", "true"))).await
    }

    /// Why a slot (`web/0`) is where it is, and what other members are worth to it.
    pub async fn explain(&self, project: &str, name: &str, slot: &str) -> Result<ExplainView, Error> {
        let path = path(&["projects", project, "applications", name, "explain"]);
        self.http.json(Call::get(path).field("slot", slot)).await
    }

    /// The kept generations of an application, the newest first.
    pub async fn generations(&self, project: &str, name: &str) -> Result<Vec<GenerationView>, Error> {
        self.all(&Call::get(path(&["projects", project, "applications", name, "history"]))).await
    }

    /// One of them, with its manifest.
    pub async fn generation(
        &self,
        project: &str,
        name: &str,
        generation: u64,
    ) -> Result<GenerationView, Error> {
        let number = generation.to_string();
        let path = path(&["projects", project, "applications", name, "generations", &number]);
        self.http.json(Call::get(path)).await
    }

    /// Wishes again what a kept generation said; with `plan`, only tells what that would change.
    pub async fn roll_back(
        &self,
        project: &str,
        name: &str,
        request: RollbackRequest,
        plan: bool,
    ) -> Result<ApplyView, Error> {
        let path = path(&["projects", project, "applications", name, "rollback"]);
        let call = Call::new(Method::POST, path).field("plan", if plan { "true" } else { "false" });
        self.http.json(json(call, &request)).await
    }

    /// Gives all slots what the canary has.
    pub async fn promote(&self, project: &str, name: &str) -> Result<(), Error> {
        let path = path(&["projects", project, "applications", name, "promote"]);
        self.done(Call::new(Method::POST, path)).await
    }

    pub async fn delete_application(
        &self,
        project: &str,
        name: &str,
        condition: Condition,
    ) -> Result<(), Error> {
        self.done(condition.add_to(Call::new(Method::DELETE, application(project, name)))).await
    }

    /// Changes all services of an application.
    pub async fn patch_application(
        &self,
        project: &str,
        name: &str,
        patch: &ServicePatch,
    ) -> Result<(), Error> {
        self.done(json(Call::new(Method::PATCH, application(project, name)), patch)).await
    }

    pub async fn patch_service(
        &self,
        project: &str,
        name: &str,
        service: &str,
        patch: &ServicePatch,
    ) -> Result<(), Error> {
        let path = path(&["projects", project, "applications", name, "services", service]);
        self.done(json(Call::new(Method::PATCH, path), patch)).await
    }

    /// Wants an application again that was found in a restored store.
    pub async fn confirm(&self, project: &str, name: &str) -> Result<(), Error> {
        let path = path(&["projects", project, "applications", name, "confirm"]);
        self.done(Call::new(Method::POST, path)).await
    }
}

// === impl Client: instances ===

impl Client {
    /// All instances that `query` describes, its own paging left aside.
    pub async fn instances(&self, query: &InstanceQuery) -> Result<Vec<InstanceView>, Error> {
        let query = InstanceQuery { limit: None, cursor: None, ..query.clone() };
        self.all(&Call::get("/instances").query(&query)).await
    }

    pub async fn instance(&self, id: &str) -> Result<InstanceView, Error> {
        self.http.json(Call::get(path(&["instances", id]))).await
    }

    /// Starts this one anew; its node must be reached.
    pub async fn restart_instance(&self, id: &str) -> Result<(), Error> {
        self.done(Call::new(Method::POST, path(&["instances", id, "restart"]))).await
    }
}

// === impl Client: members ===

impl Client {
    pub async fn nodes(&self) -> Result<Vec<NodeView>, Error> {
        self.all(&Call::get("/nodes")).await
    }

    /// By id, or by name where only one node has it.
    pub async fn node(&self, id: &str) -> Result<NodeView, Error> {
        self.http.json(Call::get(path(&["nodes", id]))).await
    }

    /// Forgets a node; what runs there is placed elsewhere.
    pub async fn remove_node(&self, id: &str) -> Result<RemovalView, Error> {
        self.http.json(Call::new(Method::DELETE, path(&["nodes", id]))).await
    }

    /// Makes a node's certificates void; it stays known.
    pub async fn revoke_node(&self, id: &str) -> Result<(), Error> {
        self.done(Call::new(Method::POST, path(&["nodes", id, "revoke"]))).await
    }

    /// Makes void the certificates of a cluster and of all below it; it stays known.
    pub async fn revoke_cluster(&self, id: &str) -> Result<(), Error> {
        self.done(Call::new(Method::POST, path(&["clusters", id, "revoke"]))).await
    }

    /// Keeps new work away from one of `kind` (`nodes` or `clusters`), or lets it come again.
    pub async fn cordon(&self, kind: &str, id: &str, cordoned: bool) -> Result<(), Error> {
        let verb = if cordoned { "cordon" } else { "uncordon" };
        self.done(Call::new(Method::POST, path(&[kind, id, verb]))).await
    }

    /// Ports of the orchestrator that lead to services.
    pub async fn exposures(&self) -> Result<Vec<ExposureView>, Error> {
        self.all(&Call::get("/exposures")).await
    }

    pub async fn clusters(&self) -> Result<Vec<ClusterView>, Error> {
        self.all(&Call::get("/clusters")).await
    }

    pub async fn cluster(&self, id: &str) -> Result<ClusterView, Error> {
        self.http.json(Call::get(path(&["clusters", id]))).await
    }

    /// Forgets a cluster; what it runs for us is placed elsewhere.
    pub async fn remove_cluster(&self, id: &str) -> Result<RemovalView, Error> {
        self.http.json(Call::new(Method::DELETE, path(&["clusters", id]))).await
    }

    pub async fn members(&self) -> Result<Vec<MemberView>, Error> {
        self.all(&Call::get("/members")).await
    }

    /// What the member holds, and what [`Client::adopt`] and [`Client::discard`] would lead to.
    pub async fn held(&self, member: &str) -> Result<HeldView, Error> {
        self.http.json(Call::get(path(&["members", member, "held"]))).await
    }

    /// What the member runs replaces what the orchestrator believes of it.
    pub async fn adopt(&self, member: &str) -> Result<(), Error> {
        self.done(Call::new(Method::POST, path(&["members", member, "adopt"]))).await
    }

    /// What the orchestrator believes replaces what the member runs.
    pub async fn discard(&self, member: &str) -> Result<(), Error> {
        self.done(Call::new(Method::POST, path(&["members", member, "discard"]))).await
    }
}

// === impl Client: tokens ===

impl Client {
    /// The answer is the only time that the secret is shown.
    pub async fn create_token(&self, request: &TokenRequest) -> Result<TokenCreated, Error> {
        let call = json(Call::new(Method::POST, "/tokens"), request);
        // So that a second try after a lost answer makes no second token.
        let mut random = [0; 16];
        let call = match getrandom::fill(&mut random) {
            Ok(()) => call.header(IDEMPOTENCY_KEY, number(u128::from_be_bytes(random))),
            Err(_) => call,
        };
        self.http.json(call).await
    }

    pub async fn tokens(&self) -> Result<Vec<TokenView>, Error> {
        self.all(&Call::get("/tokens")).await
    }

    pub async fn revoke_token(&self, id: &str) -> Result<(), Error> {
        self.done(Call::new(Method::DELETE, path(&["tokens", id]))).await
    }
}

// === impl Client: helpers ===

impl Client {
    pub(crate) async fn done(&self, call: Call) -> Result<(), Error> {
        self.http.answer(call).await.map(drop)
    }

    pub(crate) async fn all<T: DeserializeOwned>(&self, call: &Call) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let mut next = call.clone();
        loop {
            let page: Page<T> = self.http.json(next).await?;
            // A page without items cannot bring anybody on: a server's endless loop ends here.
            let progress = !page.items.is_empty();
            all.extend(page.items);
            match page.next {
                Some(cursor) if progress => next = call.clone().field("cursor", &cursor),
                _ => return Ok(all),
            }
        }
    }
}

// === impl Manifest ===

impl Manifest {
    pub(crate) fn call(&self, path: String) -> Call {
        let call = Call::new(Method::PUT, path);
        match self {
            Self::Yaml(text) => call.body("application/yaml", text.clone()),
            Self::Json(text) => call.body("application/json", text.clone()),
        }
    }
}

// === impl Condition ===

impl Condition {
    fn add_to(self, call: Call) -> Call {
        match self {
            Self::Any => call,
            Self::Generation(n) => call.header(header::IF_MATCH, etag(n)),
            Self::Absent => call.header(header::IF_NONE_MATCH, HeaderValue::from_static("*")),
        }
    }
}

pub(crate) fn path(segments: &[&str]) -> String {
    segments.iter().map(|segment| format!("/{}", encode(segment))).collect()
}

fn within(cluster: Option<&str>, call: Call) -> Call {
    match cluster {
        Some(cluster) => call.field("cluster", cluster),
        None => call,
    }
}

pub(crate) fn application(project: &str, name: &str) -> String {
    path(&["projects", project, "applications", name])
}

pub(crate) fn json<T: serde::Serialize>(call: Call, body: &T) -> Call {
    // The views are plain data with string keys: writing them as JSON cannot fail.
    call.body("application/json", serde_json::to_vec(body).map_or_else(|_| Bytes::new(), Bytes::from))
}

#[expect(clippy::expect_used, reason = "digits and quotes are visible ASCII")]
fn etag(generation: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{generation}\"")).expect("visible ASCII")
}

#[expect(clippy::expect_used, reason = "hexadecimal digits are visible ASCII")]
fn number(random: u128) -> HeaderValue {
    HeaderValue::try_from(format!("{random:032x}")).expect("visible ASCII")
}
