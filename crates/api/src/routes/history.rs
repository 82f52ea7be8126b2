//! What happened.

use axum::extract::{OriginalUri, State};
use holm_model::view::query::{EVENT_KINDS, HistoryQuery};
use holm_model::view::{EventView, Page};
use holm_store::{ChangeFilter, Order};
use utoipa_axum::routes;

use super::list::Listing;
use crate::extract::{Query, one_of};
use crate::page::length;
use crate::peer::Principal;
use crate::problem::{Common, Fault, Kind};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(history)];

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

/// The number of the last record of the page before.
pub(super) fn before(cursor: Option<&str>) -> Result<Option<u64>, Fault> {
    let number = |text: &str| text.parse().ok();
    let wrong = || Fault::new(Kind::BadRequest, "`cursor` is none of ours: give `next` of the page before");
    cursor.map(|text| number(text).ok_or_else(wrong)).transpose()
}

/// A page that is full has a next one, which may be empty.
pub(super) fn full_or_last<T>(items: Vec<T>, limit: usize, number: impl Fn(&T) -> u64) -> Page<T> {
    let full = items.len() >= limit;
    let next = items.last().filter(|_| full).map(|item| number(item).to_string());
    Page { items, next }
}
