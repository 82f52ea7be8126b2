//! Who did what: in the whole sea, or in one project.

use axum::Json;
use axum::extract::{OriginalUri, State};
use holm_model::record::project_of;
use holm_model::view::query::{AuditQuery, ProofQuery};
use holm_model::view::{AuditProofView, AuditView, Page};
use holm_store::{AuditFilter, MAX_PAGE, Order};
use utoipa_axum::routes;

use super::history::{before, full_or_last};
use super::list::Listing;
use crate::extract::{Path, Query};
use crate::page::length;
use crate::problem::{Common, Fault, OfThing};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(audit), || routes!(of_project), || routes!(verify)];

/// Pages of the store that one request for a project's records reads at most; the next one goes on there.
const READS: usize = 20;

/// What people did, newest first unless the query says otherwise.
#[utoipa::path(get, path = "/audit", tag = "events", params(AuditQuery),
    responses((status = 200, body = Page<AuditView>), Common))]
async fn audit(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<AuditQuery>,
) -> Result<Listing<AuditView>, Fault> {
    let limit = length(query.limit)?;
    let items = api.audit(&filter(query)?).await?;
    Ok(Listing::new(uri, full_or_last(items, limit, |record| record.sequence)))
}

/// What people did in one project since it was made, newest first unless the query says otherwise.
///
/// A page may have fewer items than were asked for, or none, and a next one all the same.
#[utoipa::path(get, path = "/projects/{project}/audit", operation_id = "audit_project", tag = "events",
    params(("project" = String, Path), AuditQuery),
    responses((status = 200, body = Page<AuditView>), Common, OfThing))]
async fn of_project(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Path(project): Path<String>,
    Query(query): Query<AuditQuery>,
) -> Result<Listing<AuditView>, Fault> {
    let limit = length(query.limit)?;
    let mut filter = filter(query)?;
    filter.limit = Some(MAX_PAGE);
    let first = founded(&api, &project).await?;
    let (mut items, mut next) = (Vec::new(), None);
    for _ in 0..READS {
        let read = api.audit(&filter).await?;
        filter.cursor = read.last().map(|record| record.sequence).filter(|_| read.len() >= MAX_PAGE as usize);
        next = filter.cursor;
        let mine = |record: &AuditView| {
            record.sequence >= first && project_of(&record.verb, &record.subject) == Some(&project)
        };
        items.extend(read.into_iter().filter(mine));
        if items.len() >= limit {
            items.truncate(limit);
            next = items.last().map(|record: &AuditView| record.sequence);
        }
        if items.len() >= limit || filter.cursor.is_none() {
            break;
        }
    }
    Ok(Listing::new(uri, Page { items, next: next.map(|cursor| cursor.to_string()) }))
}

/// Whether the audit log is as it was written: each record's hash follows from the one before, each is found by
/// what it says, and none is missing.
#[utoipa::path(get, path = "/audit/verify", operation_id = "verify_audit", tag = "events", params(ProofQuery),
    responses((status = 200, body = AuditProofView), Common))]
async fn verify(
    State(api): State<Api>,
    Query(ProofQuery { head }): Query<ProofQuery>,
) -> Result<Json<AuditProofView>, Fault> {
    let proof = api.verify_audit(head.as_deref()).await?;
    let fault = match proof.broken {
        Some(broken) => Some(broken.to_string()),
        None if !proof.has_noted => Some("the chain does not have the head that was noted".to_owned()),
        None => None,
    };
    Ok(Json(AuditProofView { checked: proof.checked, head: proof.head, fault }))
}

fn filter(query: AuditQuery) -> Result<AuditFilter, Fault> {
    Ok(AuditFilter {
        order: if query.oldest_first { Order::OldestFirst } else { Order::NewestFirst },
        cursor: before(query.cursor.as_deref())?,
        limit: query.limit,
        who: query.who,
        verb: query.verb,
        subject: query.subject,
        since: query.since,
        until: query.until,
    })
}

/// The number of the record since which the project is there: an earlier one of its name was others'. 0 if it has
/// always been.
async fn founded(api: &Api, project: &str) -> Result<u64, Fault> {
    let subject = format!("project {project}");
    let verb = Some("project.create".to_owned());
    let order = Order::NewestFirst;
    let filter = AuditFilter { order, verb, subject: Some(subject.clone()), ..AuditFilter::default() };
    let made = api.audit(&filter).await?;
    let made = made.iter().find(|record| record.subject == subject && record.outcome == "done");
    Ok(made.map_or(0, |record| record.sequence))
}
