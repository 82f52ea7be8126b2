//! The answer of a list: one page, and where the next one is.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use holm_model::view::Page;
use serde::Serialize;

/// A page with its `Link` header (RFC 8288): `self`, and `next` unless it is the last.
pub(super) struct Listing<T> {
    page: Page<T>,
    /// As it was asked for.
    uri: Uri,
}

impl<T> Listing<T> {
    pub(super) const fn new(uri: Uri, page: Page<T>) -> Self {
        Self { page, uri }
    }
}

impl<T: Serialize> IntoResponse for Listing<T> {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        let own = self.uri.path_and_query().map_or("/", |path| path.as_str());
        link(&mut headers, own, "self");
        if let Some(cursor) = &self.page.next {
            link(&mut headers, &next(&self.uri, cursor), "next");
        }
        (headers, Json(self.page)).into_response()
    }
}

/// Adds a link to something related.
pub(super) fn link(headers: &mut HeaderMap, target: &str, relation: &str) {
    // What would break out of the header is left out: the link is a convenience.
    if target.contains(['<', '>', '"']) {
        return;
    }
    if let Ok(value) = HeaderValue::try_from(format!("<{target}>; rel=\"{relation}\"")) {
        headers.append(header::LINK, value);
    }
}

/// The same list behind `cursor`, whose characters need no encoding.
fn next(uri: &Uri, cursor: &str) -> String {
    let fields = uri.query().unwrap_or_default().split('&');
    let mut query: String = fields
        .filter(|f| !f.is_empty() && !f.starts_with("cursor="))
        .map(|field| format!("{field}&"))
        .collect();
    query.push_str("cursor=");
    query.push_str(cursor);
    format!("{}?{query}", uri.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_keeps_the_filters() {
        let uri = Uri::from_static("/api/v1/instances?state=RUNNING&cursor=old&limit=2");
        let page = Page { items: vec![1], next: Some("new".to_owned()) };
        let response = Listing::new(uri, page).into_response();
        let links: Vec<_> = response.headers().get_all(header::LINK).iter().collect();
        assert_eq!(links[1], "</api/v1/instances?state=RUNNING&limit=2&cursor=new>; rel=\"next\"");
    }
}
