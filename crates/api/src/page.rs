//! Pages of lists. Pure.
//!
//! A cursor holds the sort key of the last item shown, so that a page is right whatever was added or
//! removed meanwhile: nothing is shown twice, and nothing is passed over that was there all the time.

use data_encoding::BASE64URL_NOPAD;
use holm_model::view::Page;
use holm_model::view::query::MAX_PAGE;

use crate::problem::{Fault, Kind};

/// The page of `items` behind `cursor`, sorted by `key`, which must differ between all items.
pub(crate) fn page<T>(
    items: Vec<T>,
    key: impl Fn(&T) -> String,
    limit: Option<u32>,
    cursor: Option<&str>,
) -> Result<Page<T>, Fault> {
    let limit = length(limit)?;
    let after = cursor.map(decode).transpose()?;
    let mut keyed: Vec<(String, T)> = items.into_iter().map(|item| (key(&item), item)).collect();
    if let Some(after) = &after {
        keyed.retain(|(key, _)| key > after);
    }
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    let more = keyed.len() > limit;
    keyed.truncate(limit);
    let next = if more { keyed.last().map(|(key, _)| encode(key)) } else { None };
    Ok(Page { items: keyed.into_iter().map(|(_, item)| item).collect(), next })
}

/// Items of a page.
pub(crate) fn length(limit: Option<u32>) -> Result<usize, Fault> {
    match limit {
        Some(0) => Err(Fault::new(Kind::BadRequest, "`limit` is 1 at least")),
        limit => Ok(limit.unwrap_or(MAX_PAGE).min(MAX_PAGE) as usize),
    }
}

pub(crate) fn encode(key: &str) -> String {
    BASE64URL_NOPAD.encode(key.as_bytes())
}

pub(crate) fn decode(cursor: &str) -> Result<String, Fault> {
    let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
        Fault::new(Kind::BadRequest, "`cursor` is none of ours: give `next` of the page before, unchanged")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(items: &[&str], limit: u32) -> Vec<String> {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let items = items.iter().map(ToString::to_string).collect();
            let page = page(items, Clone::clone, Some(limit), cursor.as_deref()).unwrap();
            assert!(page.items.len() <= limit as usize);
            seen.extend(page.items);
            match page.next {
                Some(next) => cursor = Some(next),
                None => return seen,
            }
        }
    }

    #[test]
    fn pages_of_any_length_show_everything_once() {
        for limit in 1..6 {
            assert_eq!(walk(&["d", "a", "c", "e", "b"], limit), ["a", "b", "c", "d", "e"]);
        }
        assert!(walk(&[], 1).is_empty());
    }

    #[test]
    fn a_removed_item_shifts_nothing() {
        let first = page(vec!["a", "b", "c"], |s| (*s).to_owned(), Some(2), None).unwrap();
        let rest = page(vec!["a", "c"], |s| (*s).to_owned(), Some(2), first.next.as_deref()).unwrap();
        assert_eq!((rest.items, rest.next), (vec!["c"], None));
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(page(vec![1], ToString::to_string, None, Some("!")).unwrap_err().kind(), Kind::BadRequest);
        assert_eq!(page(vec![1], ToString::to_string, Some(0), None).unwrap_err().kind(), Kind::BadRequest);
    }
}
