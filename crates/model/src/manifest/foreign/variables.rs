//! `${NAME}`, `${NAME:-default}`, `${NAME:?why not}`, `${NAME:+instead}` and `$$` in the texts of a Compose file.

use super::Turn;
use crate::manifest::tree::{Node, Value};
use crate::manifest::{ManifestError, Place};

/// So deep a default may hold another variable.
const DEEPEST: usize = 8;
/// What a text may grow to.
const LONGEST: usize = 64 * 1024;

/// All values with their variables resolved; keys stay as they are.
pub(super) fn resolve(node: Node, turn: Turn<'_>) -> Node {
    let Node { place, value } = node;
    let value = match value {
        Value::Scalar { text, quoted } if text.contains('$') => {
            let text = resolved(&text, 0, &mut |name| look(name, place, turn)).unwrap_or_else(|why| {
                turn.problems.add(ManifestError::new(place, "", &why));
                String::new()
            });
            Value::Scalar { text, quoted }
        }
        Value::List(items) => Value::List(items.into_iter().map(|item| resolve(item, turn)).collect()),
        Value::Map(entries) => {
            Value::Map(entries.into_iter().map(|(key, value)| (key, resolve(value, turn))).collect())
        }
        other => other,
    };
    Node { place, value }
}

/// What a variable is; `None`: it is not set, which `Asked::Plain` tells of.
fn look(asked: Asked<'_>, place: Place, turn: Turn<'_>) -> Option<String> {
    let found = (turn.around.variables)(asked.name);
    if found.is_none() && asked.plain {
        let message = format!("the variable `{}` is not set, and stands for nothing", asked.name);
        turn.warnings.add(ManifestError::new(place, "", &message));
    }
    found
}

#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    name: &'a str,
    /// Nothing is said for the case that it is not set.
    plain: bool,
}

fn resolved(
    text: &str,
    depth: usize,
    look: &mut dyn FnMut(Asked<'_>) -> Option<String>,
) -> Result<String, String> {
    if depth > DEEPEST {
        return Err("variables are nested too deep".to_owned());
    }
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        let (before, after) = (rest.get(..at).unwrap_or_default(), rest.get(at + 1..).unwrap_or_default());
        out.push_str(before);
        if let Some(behind) = after.strip_prefix('$') {
            out.push('$');
            rest = behind;
        } else if let Some(inside) = after.strip_prefix('{') {
            let end = closing(inside)
                .ok_or_else(|| format!("`${{` without its `}}` in `{}`", crate::name::shorten(text)))?;
            out.push_str(&braced(inside.get(..end).unwrap_or_default(), depth, look)?);
            rest = inside.get(end + 1..).unwrap_or_default();
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            let name = after.get(..end).unwrap_or_default();
            if !is_name(name) {
                return Err(format!(
                    "`$` names no variable in `{}`; write `$$` for a dollar",
                    crate::name::shorten(text)
                ));
            }
            out.push_str(&look(Asked { name, plain: true }).unwrap_or_default());
            rest = after.get(end..).unwrap_or_default();
        }
        if out.len() > LONGEST {
            return Err("the text grows too long by its variables".to_owned());
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the brace that was opened before `text` is closed.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => open += 1,
            '}' if open == 1 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

fn braced(
    inside: &str,
    depth: usize,
    look: &mut dyn FnMut(Asked<'_>) -> Option<String>,
) -> Result<String, String> {
    let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
    let (name, rule) = inside.split_at(end);
    if !is_name(name) {
        return Err(format!("`${{{}}}` names no variable", crate::name::shorten(inside)));
    }
    let (unless_empty, rule) = rule.strip_prefix(':').map_or((false, rule), |rule| (true, rule));
    let mut letters = rule.chars();
    let sign = letters.next();
    let word = letters.as_str();
    let found = look(Asked { name, plain: sign.is_none() });
    let found = found.filter(|text| !(unless_empty && text.is_empty()));
    match (sign, found) {
        (None, found) if !unless_empty => Ok(found.unwrap_or_default()),
        (Some('-' | '?'), Some(found)) => Ok(found),
        (Some('-'), None) | (Some('+'), Some(_)) => resolved(word, depth + 1, look),
        (Some('+'), None) => Ok(String::new()),
        (Some('?'), None) if word.is_empty() => Err(format!("the variable `{name}` must be set")),
        (Some('?'), None) => {
            Err(format!("the variable `{name}` must be set: {}", crate::name::shorten(word)))
        }
        _ => Err(format!(
            "`${{{}}}` cannot be read; known are `:-`, `:?` and `:+`",
            crate::name::shorten(inside)
        )),
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        let mut look = |asked: Asked<'_>| match asked.name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, expected) in [
            ("$A-${A}", "a-a"),
            ("$$A $${A}", "$A ${A}"),
            ("${NO:-x}${NO-y}${EMPTY:-z}${EMPTY-w}", "xyz"),
            ("${A:+set}${NO:+set}${EMPTY+set}", "setset"),
            ("${NO:-${A}b}", "ab"),
            ("${A:?must}", "a"),
            ("$NO.", "."),
        ] {
            assert_eq!(resolved(text, 0, &mut look).as_deref(), Ok(expected), "{text}");
        }
        for wrong in ["${", "${A", "$", "$1", "${}", "${1}", "${NO:?}", "${NO?because}", "${A!x}", "${A:}"] {
            assert!(resolved(wrong, 0, &mut look).is_err(), "{wrong}");
        }
        assert!(resolved(&"${NO:-".repeat(50), 0, &mut look).is_err());
    }
}
