//! Command lines, amounts and spans as other systems write them.

use std::time::Duration;

use crate::duration::Span;

/// The words of a command line as a shell would take them: quotes and backslashes, nothing else. `None`: a quote is open.
pub(super) fn split(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(end), letter) if letter == end => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().push(letters.next()?),
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// Bytes of `512m`, `1gb`, `64k`, `100`: powers of 1024, as Docker takes them.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor = match text.get(digits.len()..)?.trim_end_matches('b') {
        "" => 1_u64,
        "k" | "ki" => 1 << 10,
        "m" | "mi" => 1 << 20,
        "g" | "gi" => 1 << 30,
        "t" | "ti" => 1 << 40,
        _ => return None,
    };
    match digits.split_once('.') {
        None => digits.parse::<u64>().ok()?.checked_mul(factor),
        Some((whole, part)) => {
            let part = part.get(..part.len().min(3))?;
            let thousandths = format!("{part:0<3}").parse::<u64>().ok()?;
            let all = whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(thousandths)?;
            Some(all.checked_mul(factor)? / 1000)
        }
    }
}

/// `1m30s`, `1.5s`, `500ms`; a bare number is seconds.
pub(super) fn span(text: &str) -> Option<Span> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Span(Duration::from_secs(seconds)));
    }
    let (mut rest, mut sum) = (text, 0.0_f64);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|letter: char| !letter.is_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let millis = match unit {
            "ns" => 1e-6,
            "us" | "µs" => 1e-3,
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 60e3,
            "h" => 3600e3,
            "d" => 86_400e3,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * millis;
        rest = tail;
    }
    let sum = (!text.is_empty() && sum.is_finite()).then_some(sum)?;
    Duration::try_from_secs_f64((sum / 1e3).min(1e9)).ok().map(Span)
}

/// A name of Holm's: lower case, other characters as a dash. `None`: nothing is left.
pub(super) fn name(text: &str) -> Option<String> {
    let lower = text.chars().map(|letter| match letter.to_ascii_lowercase() {
        fine if fine.is_ascii_alphanumeric() => fine,
        _ => '-',
    });
    let name: String = lower.collect();
    let name: String = name.trim_matches('-').chars().take(63).collect();
    let name = name.trim_end_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        let words = |line: &str| split(line).map(|words| words.join("|"));
        assert_eq!(words("nginx -g 'daemon off;'").as_deref(), Some("nginx|-g|daemon off;"));
        assert_eq!(words(r#"sh -c "echo \"a b\"" c\ d ''"#).as_deref(), Some("sh|-c|echo \"a b\"|c d|"));
        assert_eq!(words("  ").as_deref(), Some(""));
        for open in ["echo 'a", "echo \"", "a\\"] {
            assert_eq!(words(open), None, "{open}");
        }
    }

    #[test]
    fn amounts_and_spans() {
        for (text, expected) in
            [("512m", 512 << 20), ("1gb", 1 << 30), ("1.5G", 1536 << 20), ("64k", 64 << 10), ("100", 100)]
        {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for (text, millis) in [("1m30s", 90_000), ("1.5s", 1500), ("500ms", 500), ("10", 10_000), ("0s", 0)] {
            assert_eq!(span(text), Some(Span(Duration::from_millis(millis))), "{text}");
        }
        for wrong in ["", "x", "-1m", "1x", "m", "99999999999999999999g"] {
            assert_eq!((bytes(wrong), span(wrong)), (None, None), "{wrong}");
        }
    }

    #[test]
    fn names() {
        for (text, expected) in [
            ("Image_Detection", Some("image-detection")),
            ("a.b", Some("a-b")),
            ("__", None),
            ("-x-", Some("x")),
        ] {
            assert_eq!(name(text).as_deref(), expected);
        }
    }
}
