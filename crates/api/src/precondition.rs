//! `ETag`, `If-Match`, `If-None-Match` (RFC 9110 §13) on generations. Pure.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::problem::{Fault, Kind};

/// Under which condition a request is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    None,
    /// It is there, in one of these generations (any, if empty).
    Match(Vec<u64>),
    /// It is not there in one of these generations (not at all, if empty).
    NoneMatch(Vec<u64>),
}

/// The `ETag` of a generation.
pub(crate) fn etag(generation: u64) -> HeaderValue {
    // Digits and quotes are visible ASCII.
    HeaderValue::try_from(format!("\"{generation}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

impl Precondition {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Fault> {
        if let Some(list) = generations(headers, &header::IF_MATCH)? {
            return Ok(Self::Match(list));
        }
        Ok(generations(headers, &header::IF_NONE_MATCH)?.map_or(Self::None, Self::NoneMatch))
    }

    /// Whether it holds for what is there now.
    pub(crate) fn holds(&self, current: Option<u64>) -> bool {
        match (self, current) {
            (Self::None, _) | (Self::NoneMatch(_), None) => true,
            (Self::Match(_), None) => false,
            (Self::Match(list), Some(now)) => list.is_empty() || list.contains(&now),
            (Self::NoneMatch(list), Some(now)) => !list.is_empty() && !list.contains(&now),
        }
    }

    /// # Errors
    /// When it does not hold.
    pub(crate) fn check(&self, current: Option<u64>) -> Result<(), Fault> {
        if self.holds(current) {
            return Ok(());
        }
        let now = current.map_or_else(|| "not there".to_owned(), |now| format!("generation {now} now"));
        let detail = format!("the application is {now}; read it again and decide anew");
        Err(Fault::new(Kind::Precondition, detail))
    }
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

    fn of(name: HeaderName, value: &'static str) -> Result<Precondition, Fault> {
        Precondition::of(&HeaderMap::from_iter([(name, HeaderValue::from_static(value))]))
    }

    #[test]
    fn conditions_hold_as_the_rfc_says() {
        use Precondition::{Match, NoneMatch};
        assert_eq!(of(header::IF_MATCH, "\"3\"").unwrap(), Match(vec![3]));
        assert_eq!(of(header::IF_MATCH, "\"3\", W/\"4\"").unwrap(), Match(vec![3, 4]));
        assert_eq!(of(header::IF_NONE_MATCH, "*").unwrap(), NoneMatch(vec![]));
        assert!(of(header::IF_MATCH, "3").is_err());
        assert!(
            Match(vec![3]).holds(Some(3)) && !Match(vec![3]).holds(Some(4)) && !Match(vec![3]).holds(None)
        );
        assert!(Match(vec![]).holds(Some(3)) && !Match(vec![]).holds(None));
        assert!(NoneMatch(vec![]).holds(None) && !NoneMatch(vec![]).holds(Some(1)));
        assert!(NoneMatch(vec![3]).holds(Some(4)) && !NoneMatch(vec![3]).holds(Some(3)));
    }
}
