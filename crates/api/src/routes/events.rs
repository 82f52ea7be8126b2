//! What happens, as server-sent events.
//!
//! ```text
//! hello ──▶ past (pages of the history) ──▶ live ──▶ the client leaves, or it is cut (see `stay`)
//!   └──▶ resync: the place is not known any more ──▶ live ⇄ resync: the client lagged behind
//! ```
//!
//! The subscription begins before the past is read, so that nothing falls between.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream};
use holm_model::id::Epoch;
use holm_model::view::EventView;
use holm_model::view::query::{EVENT_KINDS, EventQuery};
use holm_store::{ChangeFilter, Order};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use utoipa_axum::routes;

use crate::cursor::Cursor;
use crate::extract::{Query, one_of};
use crate::peer::Principal;
use crate::problem::{Common, Fault, Kind, OfStream};
use crate::state::Api;

/// Also tells a client that the connection is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events of the past that are fetched at once.
const PAGE: u32 = 256;

pub(super) const ROUTES: super::Routes = &[|| routes!(events)];

/// Follow what happens.
///
/// `change` carries an event; `resync` says that some may have been missed: list anew; `hello` tells
/// the place where the stream begins. Who comes back with the id of the last event that he saw is told
/// what he missed, over restarts of the orchestrator, too, as far as the history is kept.
#[utoipa::path(get, path = "/events", tag = "events",
    params(EventQuery, ("Last-Event-ID" = Option<String>, Header, description = "As `after`, from a browser")),
    responses((status = 200, body = EventView, content_type = "text/event-stream"), Common, OfStream))]
async fn events(
    State(api): State<Api>,
    principal: Principal,
    Query(query): Query<EventQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = io::Result<Event>>>, Fault> {
    one_of("kind", query.kind.as_deref(), &EVENT_KINDS)?;
    // A browser that connects again sends the newer of both in the header.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    let after = last.or(query.after.as_deref()).map(str::parse::<Cursor>).transpose();
    let after = after.map_err(|error| Fault::new(Kind::BadRequest, error))?;
    let stay = api.stream(&principal)?;
    let filter = Filter { principal, application: query.application, kind: query.kind };
    let feed = Feed::new(api, filter, after).await?;
    let events = stream::unfold(feed, |mut feed| async move {
        let event = feed.next().await?;
        Some((Ok(event), feed))
    });
    Ok(Sse::new(stay.over(events)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// Which events are wanted; what is None does not matter.
#[derive(Clone, Debug)]
struct Filter {
    principal: Principal,
    application: Option<String>,
    kind: Option<String>,
}

/// One subscription.
struct Feed {
    api: Api,
    filter: Filter,
    reign: Epoch,
    live: Receiver<Arc<EventView>>,
    /// Said before anything else.
    first: VecDeque<Event>,
    /// Is None once the past was read.
    past: Option<VecDeque<EventView>>,
    /// The last event that is known to the client, or was before it came.
    last: u64,
}

// === impl Filter ===

impl Filter {
    fn takes(&self, event: &EventView) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        is(&self.application, &event.application) && is(&self.kind, &event.kind) && self.principal.sees(event)
    }

    fn past(&self, after: u64) -> ChangeFilter {
        ChangeFilter {
            order: Order::OldestFirst,
            cursor: Some(after),
            limit: Some(PAGE),
            kind: self.kind.clone(),
            subject: None,
            application: self.application.clone(),
        }
    }
}

// === impl Feed ===

impl Feed {
    async fn new(api: Api, filter: Filter, after: Option<Cursor>) -> Result<Self, Fault> {
        let live = api.changes();
        let reign = api.reign();
        let newest = api.last_change();
        let known = match after {
            Some(cursor) => place(&api, cursor).await?,
            None => None,
        };
        // Live events are not skipped unless the past was read up to them.
        let last = known.unwrap_or(0);
        let mut first = VecDeque::from([hello(Cursor::new(reign, known.unwrap_or(newest)))]);
        if after.is_some() && known.is_none() {
            first.push_back(resync());
        }
        let past = known.map(|_| VecDeque::new());
        Ok(Self { api, filter, reign, live, first, past, last })
    }

    async fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.first.pop_front() {
            return Some(event);
        }
        match self.next_of_past().await {
            Ok(Some(event)) => Some(change(self.reign, &event)),
            Ok(None) => self.next_live().await,
            // The client comes again, from where it is.
            Err(_) => None,
        }
    }

    async fn next_of_past(&mut self) -> Result<Option<EventView>, Fault> {
        while let Some(page) = &mut self.past {
            if page.is_empty() {
                *page = self.api.past(&self.filter.past(self.last)).await?.into();
            }
            match page.pop_front() {
                Some(event) => {
                    self.last = event.cursor;
                    if self.filter.principal.sees(&event) {
                        return Ok(Some(event));
                    }
                }
                None => self.past = None,
            }
        }
        Ok(None)
    }

    async fn next_live(&mut self) -> Option<Event> {
        loop {
            match self.live.recv().await {
                Ok(event) if event.cursor > self.last && self.filter.takes(&event) => {
                    return Some(change(self.reign, &event));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Some(resync()),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// Behind which change the history has all that the client was not told; a restart in between does not matter.
async fn place(api: &Api, Cursor { reign, change }: Cursor) -> Result<Option<u64>, Fault> {
    let change = match reign {
        None => Some(change),
        Some(reign) => api.query(move |machine| machine.reads_on_after(reign, change)).await?,
    };
    match change {
        Some(change) if is_kept(api, change).await? => Ok(Some(change)),
        _ => Ok(None),
    }
}

/// Whether everything behind the change can still be told.
async fn is_kept(api: &Api, change: u64) -> Result<bool, Fault> {
    // Those that are written behind are in the history after a look at it.
    api.past(&ChangeFilter { limit: Some(1), ..ChangeFilter::default() }).await?;
    let kept = api.kept().await?;
    Ok(kept.map_or(change == 0, |kept| (kept.start().saturating_sub(1)..=*kept.end()).contains(&change)))
}

fn hello(cursor: Cursor) -> Event {
    Event::default().event("hello").id(cursor.to_string()).data("{}")
}

fn resync() -> Event {
    Event::default().event("resync").data("{}")
}

fn change(reign: Epoch, view: &EventView) -> Event {
    let event = Event::default().event("change").id(Cursor::new(reign, view.cursor).to_string());
    // An event is plain data with string keys: writing it as JSON cannot fail.
    event.json_data(view).unwrap_or_else(|_| resync())
}
