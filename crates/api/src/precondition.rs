//! `ETag`, `If-Match`, `If-None-Match` (RFC 9110 §13) on generations. Pure.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use holm_core::orchestrator::command::Expected;

use crate::problem::{Fault, Kind};

/// The `ETag` of a generation.
pub(crate) fn etag(generation: u64) -> HeaderValue {
    // Digits and quotes are visible ASCII.
    HeaderValue::try_from(format!("\"{generation}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Under which condition the request is carried out.
pub(crate) fn expected(headers: &HeaderMap) -> Result<Expected, Fault> {
    if let Some(list) = generations(headers, &header::IF_MATCH)? {
        return Ok(Expected::OneOf(list));
    }
    Ok(generations(headers, &header::IF_NONE_MATCH)?.map_or(Expected::Anything, Expected::NoneOf))
}

/// The generations a header lists; empty for `*`, None without the header. Weak tags are as good as
/// strong ones: a generation says it all.
fn generations(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Vec<u64>>, Fault> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let wrong = || Fault::new(Kind::BadRequest, format_args!("`{name}` holds `\"<generation>\"` or `*`"));
    let text = value.to_str().map_err(|_| wrong())?.trim();
    if text == "*" {
        return Ok(Some(Vec::new()));
    }
    let tag = |tag: &str| {
        let tag = tag.trim();
        tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?.parse().ok()
    };
    text.split(',').map(tag).collect::<Option<Vec<_>>>().map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: HeaderName, value: &'static str) -> Result<Expected, Fault> {
        expected(&HeaderMap::from_iter([(name, HeaderValue::from_static(value))]))
    }

    #[test]
    fn headers_are_read_as_the_rfc_says() {
        use Expected::{NoneOf, OneOf};
        assert_eq!(expected(&HeaderMap::new()).unwrap(), Expected::Anything);
        assert_eq!(of(header::IF_MATCH, "\"3\"").unwrap(), OneOf(vec![3]));
        assert_eq!(of(header::IF_MATCH, "\"3\", W/\"4\"").unwrap(), OneOf(vec![3, 4]));
        assert_eq!(of(header::IF_NONE_MATCH, "*").unwrap(), NoneOf(vec![]));
        assert!(of(header::IF_MATCH, "3").is_err());
    }
}
