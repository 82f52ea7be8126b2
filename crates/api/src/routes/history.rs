//! What happened, and who did it.

use axum::Json;
use axum::extract::{OriginalUri, State};
use holm_model::view::query::{AuditQuery, EVENT_KINDS, HistoryQuery, ProofQuery};
use holm_model::view::{AuditProofView, AuditView, EventView, Page};
use holm_store::{AuditFilter, ChangeFilter, Order};
use utoipa_axum::routes;

use super::list::Listing;
use crate::extract::{Query, one_of};
use crate::page::length;
use crate::peer::Principal;
use crate::problem::{Common, Fault, Kind};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(history), || routes!(audit), || routes!(verify)];

/// Changes of states, newest first.
#[utoipa::path(get, path = "/history", tag = "events", params(HistoryQuery),
    responses((status = 200, body = Page<EventView>), Common))]
async fn history(
    State(api): State<Api>,
    principal: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<HistoryQuery>,
) -> Result<Listing<EventView>, Fault> {
    let limit = length(query.limit)?;
    one_of("kind", query.kind.as_deref(), &EVENT_KINDS)?;
    let items = api
        .past(&ChangeFilter {
            order: Order::NewestFirst,
            cursor: before(query.cursor.as_deref())?,
            limit: query.limit,
            kind: query.kind,
            subject: query.subject,
            application: query.application,
        })
        .await?;
    let mut page = full_or_last(items, limit, |event| event.cursor);
    // After the page was cut: who sees less gets shorter pages, not fewer.
    page.items.retain(|event| principal.sees(event));
    Ok(Listing::new(uri, page))
}

/// What people did, newest first unless the query says otherwise.
#[utoipa::path(get, path = "/audit", tag = "events", params(AuditQuery),
    responses((status = 200, body = Page<AuditView>), Common))]
async fn audit(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<AuditQuery>,
) -> Result<Listing<AuditView>, Fault> {
    let limit = length(query.limit)?;
    let items = api
        .audit(&AuditFilter {
            order: if query.oldest_first { Order::OldestFirst } else { Order::NewestFirst },
            cursor: before(query.cursor.as_deref())?,
            limit: query.limit,
            who: query.who,
            verb: query.verb,
            subject: query.subject,
            since: query.since,
            until: query.until,
        })
        .await?;
    Ok(Listing::new(uri, full_or_last(items, limit, |record| record.sequence)))
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

/// The number of the last record of the page before.
fn before(cursor: Option<&str>) -> Result<Option<u64>, Fault> {
    let number = |text: &str| text.parse().ok();
    let wrong = || Fault::new(Kind::BadRequest, "`cursor` is none of ours: give `next` of the page before");
    cursor.map(|text| number(text).ok_or_else(wrong)).transpose()
}

/// A page that is full has a next one, which may be empty.
fn full_or_last<T>(items: Vec<T>, limit: usize, number: impl Fn(&T) -> u64) -> Page<T> {
    let full = items.len() >= limit;
    let next = items.last().filter(|_| full).map(|item| number(item).to_string());
    Page { items, next }
}
