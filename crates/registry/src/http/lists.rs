//! Lists in pages.

use axum::extract::Query;
use axum::response::Response;
use http::header::{CONTENT_TYPE, LINK};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::answer::{Problem, Result, json as json_answer};
use super::{Registry, place};
use crate::digest::Digest;
use crate::manifests::MediaType;
use crate::names::Name;

#[derive(Deserialize)]
struct Page {
    n: Option<usize>,
    last: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    artifact_type: Option<String>,
    last: Option<String>,
}

pub(super) fn tags(registry: &Registry, parts: &Parts, name: &Name) -> Result<Response> {
    let page: Page = query(parts)?;
    let most = page.n.unwrap_or(MOST).min(MOST);
    let (tags, more) = registry.store.tags(name, page.last.as_deref(), most)?;
    let names: Vec<_> = tags.iter().map(crate::names::Tag::as_str).collect();
    let mut answer = json_answer(StatusCode::OK, &json!({ "name": name.as_str(), "tags": names }));
    if let Some(last) = names.last().filter(|_| more) {
        next(&mut answer, &place(name, &format!("tags/list?n={most}&last={last}")));
    }
    Ok(answer)
}

pub(super) fn referrers(
    registry: &Registry,
    parts: &Parts,
    name: &Name,
    subject: Digest,
) -> Result<Response> {
    let filter: Filter = query(parts)?;
    let last = filter.last.as_deref().map(Digest::parse).transpose();
    let last = last.map_err(|error| Problem::digest(error.to_string()))?;
    let kind = filter.artifact_type.as_deref();
    let page = registry.store.referrers(name, &subject, kind, last, MOST);
    let mut answer = json_answer(StatusCode::OK, &page.index);
    let index = HeaderValue::from_static(MediaType::OciIndex.as_str());
    answer.headers_mut().insert(CONTENT_TYPE, index);
    if kind.is_some() {
        answer.headers_mut().insert(FILTERS, HeaderValue::from_static("artifactType"));
    }
    if let Some(last) = page.next {
        let kind = kind.map(|kind| format!("artifactType={}&", encode(kind))).unwrap_or_default();
        next(&mut answer, &place(name, &format!("referrers/{subject}?{kind}last={last}")));
    }
    Ok(answer)
}

pub(super) fn query<T: serde::de::DeserializeOwned>(parts: &Parts) -> Result<T> {
    let read = Query::try_from_uri(&parts.uri);
    let invalid = |error: axum::extract::rejection::QueryRejection| {
        Problem::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", error.body_text())
    };
    read.map(|Query(query)| query).map_err(invalid)
}

fn next(answer: &mut Response, path: &str) {
    if let Ok(link) = HeaderValue::try_from(format!("<{path}>; rel=\"next\"")) {
        answer.headers_mut().insert(LINK, link);
    }
}

/// As a query has it.
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");
/// Entries of a page.
const MOST: usize = 1000;
