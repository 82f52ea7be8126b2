//! Which right each operation needs: one table, read by a middleware before any handler. An operation without a
//! row answers nobody, so that a new route is closed until somebody has thought about it.
//!
//! What somebody may not see does not exist for them: the answers are the same.

use axum::extract::{MatchedPath, OriginalUri, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use holm_model::access::{Grants, Scope, Verb};

use crate::peer::Principal;
use crate::problem::{Detail, Fault, Kind};
use crate::routes::instances::parse_id;
use crate::routes::{PREFIX, metrics};
use crate::state::Api;

/// Where the verb is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// For the whole sea.
    Sea(Verb),
    /// For the project that the path names.
    Project(Verb),
    /// For the application that the path names.
    Application(Verb),
    /// For the application of the instance that the path names.
    Instance(Verb),
    /// The handler shows what the caller may see of it, or looks at what is asked for.
    Handler,
    /// Whoever has logged in, even if the password must be changed first.
    Anybody,
    /// As [`Need::Anybody`], and instances, too, whatever their service may do.
    Known,
}

use Need::{Anybody, Application, Handler, Instance, Known, Project, Sea};
use Verb::{Admin, Apply, Copy, Exec, Forward, Logs, Members, People, Read, Secrets};

const RIGHTS: &[(Method, &str, Need)] = &[
    // The orchestrator itself, and oneself.
    (Method::GET, "/status", Handler),
    (Method::GET, "/openapi.json", Handler),
    (Method::GET, "/whoami", Known),
    (Method::POST, "/identities/verify", Known),
    (Method::DELETE, "/sessions/current", Anybody),
    (Method::POST, "/backup", Sea(Admin)),
    (Method::GET, metrics::PATH, Sea(Read)),
    // Projects and what is in them.
    (Method::GET, "/projects", Handler),
    (Method::POST, "/projects", Sea(Admin)),
    (Method::GET, "/projects/{project}", Project(Read)),
    (Method::DELETE, "/projects/{project}", Sea(Admin)),
    (Method::PUT, "/projects/{project}/quota", Sea(Admin)),
    (Method::GET, "/projects/{project}/roles", Project(People)),
    (Method::PUT, "/projects/{project}/roles/people/{name}", Project(People)),
    (Method::DELETE, "/projects/{project}/roles/people/{name}", Project(People)),
    (Method::PUT, "/projects/{project}/roles/services/{application}/{service}", Project(People)),
    (Method::DELETE, "/projects/{project}/roles/services/{application}/{service}", Project(People)),
    (Method::GET, "/projects/{project}/audit", Project(Verb::Audit)),
    (Method::GET, "/applications", Handler),
    (Method::GET, "/projects/{project}/applications", Project(Read)),
    (Method::GET, "/projects/{project}/applications/{application}", Application(Read)),
    (Method::GET, "/projects/{project}/applications/{application}/explain", Application(Read)),
    (Method::PUT, "/projects/{project}/applications/{application}", Application(Apply)),
    (Method::PATCH, "/projects/{project}/applications/{application}", Application(Apply)),
    (Method::DELETE, "/projects/{project}/applications/{application}", Application(Apply)),
    (Method::PATCH, "/projects/{project}/applications/{application}/services/{service}", Application(Apply)),
    (Method::POST, "/projects/{project}/applications/{application}/confirm", Application(Apply)),
    (Method::GET, "/projects/{project}/applications/{application}/history", Application(Read)),
    (
        Method::GET,
        "/projects/{project}/applications/{application}/generations/{generation}",
        Application(Read),
    ),
    (Method::POST, "/projects/{project}/applications/{application}/rollback", Application(Apply)),
    (Method::POST, "/projects/{project}/applications/{application}/promote", Application(Apply)),
    (Method::POST, "/projects/{project}/applications/{application}/migrate", Application(Apply)),
    (Method::GET, "/projects/{project}/secrets", Project(Read)),
    (Method::PUT, "/projects/{project}/secrets/{name}", Project(Secrets)),
    (Method::DELETE, "/projects/{project}/secrets/{name}", Project(Secrets)),
    (Method::GET, "/projects/{project}/files", Project(Read)),
    (Method::GET, "/projects/{project}/files/{name}", Project(Read)),
    (Method::PUT, "/projects/{project}/files/{name}", Project(Secrets)),
    (Method::DELETE, "/projects/{project}/files/{name}", Project(Secrets)),
    (Method::POST, "/projects/{project}/builds", Handler),
    (Method::POST, "/deploy", Handler),
    // Instances.
    (Method::GET, "/instances", Handler),
    (Method::GET, "/instances/{id}", Instance(Read)),
    (Method::POST, "/instances/{id}/restart", Instance(Apply)),
    (Method::GET, "/instances/{id}/usage", Instance(Read)),
    (Method::GET, "/instances/{id}/logs", Instance(Logs)),
    (Method::GET, "/instances/{id}/exec", Instance(Exec)),
    (Method::GET, "/instances/{id}/files", Instance(Copy)),
    (Method::GET, "/instances/{id}/ports/{port}", Instance(Forward)),
    (Method::GET, "/exposures", Handler),
    // Machines.
    (Method::GET, "/nodes", Sea(Read)),
    (Method::GET, "/nodes/{id}", Sea(Read)),
    (Method::DELETE, "/nodes/{id}", Sea(Members)),
    (Method::GET, "/nodes/{id}/usage", Sea(Read)),
    (Method::GET, "/nodes/{id}/images", Sea(Read)),
    (Method::DELETE, "/nodes/{id}/images", Sea(Members)),
    (Method::POST, "/nodes/{id}/images/prune", Sea(Members)),
    (Method::GET, "/nodes/{id}/capabilities", Sea(Read)),
    (Method::PUT, "/nodes/{id}/capabilities/{kind}/{name}", Sea(Members)),
    (Method::DELETE, "/nodes/{id}/capabilities/{kind}/{name}", Sea(Members)),
    (Method::GET, "/nodes/{id}/labels", Sea(Read)),
    (Method::PUT, "/nodes/{id}/labels/{name}", Sea(Members)),
    (Method::DELETE, "/nodes/{id}/labels/{name}", Sea(Members)),
    (Method::GET, "/nodes/{id}/taints", Sea(Read)),
    (Method::PUT, "/nodes/{id}/taints/{name}", Sea(Members)),
    (Method::DELETE, "/nodes/{id}/taints/{name}", Sea(Members)),
    (Method::GET, "/nodes/{id}/shell", Sea(Verb::Shell)),
    (Method::POST, "/nodes/{id}/revoke", Sea(Members)),
    (Method::POST, "/nodes/{id}/cordon", Sea(Members)),
    (Method::POST, "/nodes/{id}/uncordon", Sea(Members)),
    (Method::POST, "/nodes/{id}/drain", Sea(Members)),
    (Method::POST, "/nodes/{id}/decommission", Sea(Members)),
    (Method::POST, "/nodes/{id}/move", Sea(Members)),
    (Method::GET, "/clusters", Sea(Read)),
    (Method::GET, "/clusters/{id}", Sea(Read)),
    (Method::DELETE, "/clusters/{id}", Sea(Members)),
    (Method::POST, "/clusters/{id}/revoke", Sea(Members)),
    (Method::POST, "/clusters/{id}/cordon", Sea(Members)),
    (Method::POST, "/clusters/{id}/uncordon", Sea(Members)),
    (Method::POST, "/clusters/{id}/drain", Sea(Members)),
    (Method::GET, "/members", Sea(Read)),
    (Method::GET, "/members/{id}/held", Sea(Read)),
    (Method::POST, "/members/{id}/adopt", Sea(Members)),
    (Method::POST, "/members/{id}/discard", Sea(Members)),
    // People and tokens.
    (Method::GET, "/people", Sea(People)),
    (Method::POST, "/people", Sea(People)),
    (Method::GET, "/people/{name}", Sea(People)),
    (Method::DELETE, "/people/{name}", Sea(People)),
    (Method::PUT, "/people/{name}/roles", Sea(People)),
    (Method::PUT, "/people/{name}/password", Anybody),
    (Method::DELETE, "/people/{name}/sessions", Handler),
    (Method::GET, "/tokens", Handler),
    (Method::POST, "/tokens", Handler),
    (Method::DELETE, "/tokens/{id}", Handler),
    // What happens and happened.
    (Method::GET, "/events", Handler),
    (Method::GET, "/history", Handler),
    (Method::GET, "/audit", Sea(Verb::Audit)),
    (Method::GET, "/audit/verify", Sea(Verb::Audit)),
];

/// Lets requests pass whose caller has the right; others are told apart only as far as they may know.
pub(crate) async fn authorize(
    State(api): State<Api>,
    principal: Principal,
    OriginalUri(uri): OriginalUri,
    request: Request,
    next: Next,
) -> Result<Response, Fault> {
    let (method, uri) = (request.method().clone(), uri.path().to_owned());
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let matched = matched.as_deref().unwrap_or_default();
    if let Err(refused) = check(&api, &principal, &method, matched, &uri).await {
        api.denied(&principal.actor, &method, matched, &uri, refused.detail()).await;
        return Err(refused);
    }
    let response = next.run(request).await;
    if let Some(detail) = refusal(&method, matched, &response) {
        api.denied(&principal.actor, &method, matched, &uri, detail).await;
    }
    Ok(response)
}

/// What a handler that decides itself has refused: also to touch what its caller may not know.
fn refusal<'a>(method: &Method, matched: &str, response: &'a Response) -> Option<&'a str> {
    if !matches!(need(method, matched), Some(Handler | Anybody)) {
        return None;
    }
    let hidden = *method != Method::GET && response.status() == StatusCode::NOT_FOUND;
    let refused = hidden || response.status() == StatusCode::FORBIDDEN;
    response.extensions().get::<Detail>().filter(|_| refused).map(|detail| detail.0.as_str())
}

async fn check(
    api: &Api,
    principal: &Principal,
    method: &Method,
    matched: &str,
    uri: &str,
) -> Result<(), Fault> {
    let need = need(method, matched).ok_or_else(|| {
        Fault::new(Kind::Forbidden, "this operation is in nobody's rights (a bug); please report it")
    })?;
    if principal.is_workload() && !is_open_to_instances(need, &principal.grants) {
        return Err(Fault::new(Kind::Forbidden, INSTANCE));
    }
    if principal.must_change() && !matches!(need, Anybody | Known) {
        let detail = "the password must be changed first: `holm login` asks for a new one";
        return Err(Fault::new(Kind::Forbidden, detail));
    }
    match need {
        Handler | Anybody | Known => Ok(()),
        Sea(verb) => principal.require(verb, Scope::Sea),
        Project(verb) => {
            let project = segment(matched, uri, "{project}").unwrap_or_default();
            if !principal.grants.sees(project) {
                return Err(Fault::no_such("project", project));
            }
            principal.require(verb, Scope::Project(project))
        }
        Application(verb) => {
            let project = segment(matched, uri, "{project}").unwrap_or_default();
            let name = segment(matched, uri, "{application}").unwrap_or_default();
            if !principal.grants.sees_application(project, name) {
                return Err(match principal.grants.allows_within(Verb::Read, project) {
                    true => Fault::no_such("application", name),
                    false => Fault::no_such("project", project),
                });
            }
            principal.require(verb, Scope::Application(project, name))
        }
        Instance(verb) => {
            let text = segment(matched, uri, "{id}").unwrap_or_default();
            let id = parse_id(text)?;
            let found = api.query(move |machine| machine.instance(id)).await?;
            let sees = |project: &str, name: &str| principal.grants.sees_application(project, name);
            let visible = found.filter(|instance| sees(&instance.project, &instance.application));
            let instance = visible.ok_or_else(|| Fault::no_such("instance", text))?;
            principal.require(verb, Scope::Application(&instance.project, &instance.application))
        }
    }
}

const INSTANCE: &str = "an instance may only ask who it is, verify others' tokens, and do in its project what the role of its \
                        service allows here; `holm project grant` gives one";

/// Sessions and passwords are people's; what is the whole sea's is in no service's rights.
fn is_open_to_instances(need: Need, grants: &Grants) -> bool {
    match need {
        Known => true,
        Handler | Project(_) | Application(_) | Instance(_) => !grants.is_empty(),
        Anybody | Sea(_) => false,
    }
}

fn need(method: &Method, matched: &str) -> Option<Need> {
    let path = if matched == metrics::PATH { matched } else { matched.strip_prefix(PREFIX)? };
    // A request for the head of something is one for the thing.
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    RIGHTS.iter().find(|(of, row, _)| of == method && *row == path).map(|(_, _, need)| *need)
}

/// The part of the path at which the route has `name`. Not decoded: no name of ours needs to be encoded, and
/// one that is encoded all the same is nothing that anybody may see.
fn segment<'a>(matched: &str, uri: &'a str, name: &str) -> Option<&'a str> {
    let (_, segment) = matched.split('/').zip(uri.split('/')).find(|(part, _)| *part == name)?;
    Some(segment)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_of_the_document_has_one_row_and_every_row_an_operation() {
        let document = serde_json::to_value(crate::routes::document()).unwrap();
        let mut described = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let open = operation["security"].as_array().is_some_and(Vec::is_empty);
                let path = path.strip_prefix(PREFIX).unwrap_or(metrics::PATH);
                if !open {
                    described.insert((method.to_uppercase(), path.to_owned()));
                }
            }
        }
        let rows: Vec<_> = RIGHTS.iter().map(|(m, path, _)| (m.to_string(), (*path).to_owned())).collect();
        let table: BTreeSet<_> = rows.iter().cloned().collect();
        assert_eq!(table.len(), rows.len(), "a row is doubled");
        assert_eq!(described, table);
    }

    #[test]
    fn an_operation_without_a_row_is_in_nobodys_rights() {
        assert_eq!(need(&Method::GET, "/api/v1/new"), None);
        assert_eq!(need(&Method::PUT, "/api/v1/nodes"), None);
        assert_eq!(need(&Method::GET, "/nodes"), None);
        assert_eq!(need(&Method::HEAD, "/api/v1/nodes"), Some(Sea(Read)));
        assert_eq!(need(&Method::GET, "/metrics"), Some(Sea(Read)));
    }

    #[test]
    fn an_instance_does_nothing_for_the_sea_and_without_a_role_nothing_at_all() {
        let none = Grants::default();
        let viewer = Grants::projects(holm_model::access::Role::Viewer, ["blue".parse().unwrap()]);
        for (method, path, need) in RIGHTS {
            assert_eq!(is_open_to_instances(*need, &none), *need == Known, "{method} {path}");
            let peoples = matches!(need, Anybody | Sea(_));
            assert_eq!(is_open_to_instances(*need, &viewer), !peoples, "{method} {path}");
        }
    }

    #[test]
    fn segments_are_found_by_their_place() {
        let (matched, uri) = ("/api/v1/projects/{project}/quota", "/api/v1/projects/blue/quota");
        assert_eq!(segment(matched, uri, "{project}"), Some("blue"));
        assert_eq!(segment(matched, uri, "{id}"), None);
    }
}
