//! What of a directory is not sent: `.dockerignore`, as Docker reads it (its reference, "`.dockerignore` files"). Pure.

use regex::Regex;

/// The rules of one file.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    /// Of those that match, the last one counts.
    rules: Vec<(bool, Regex)>,
}

/// A line that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(".dockerignore:{line}: `{pattern}` is no pattern")]
pub struct IgnoreError {
    /// From 1.
    line: usize,
    pattern: String,
}

// === impl Ignore ===

impl Ignore {
    /// Reads it.
    ///
    /// # Errors
    /// When a line is no pattern.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        // What a version control keeps for itself changes without the files.
        let mut rules = vec![".git"].into_iter().map(|own| (0, own)).collect::<Vec<_>>();
        rules.extend(text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())));
        let mut read = Vec::new();
        for (line, rule) in rules {
            if rule.is_empty() || rule.starts_with('#') {
                continue;
            }
            let (out, pattern) = rule.strip_prefix('!').map_or((true, rule), |pattern| (false, pattern));
            let error = || IgnoreError { line, pattern: rule.chars().take(80).collect() };
            read.push((out, expression(pattern.trim()).ok_or_else(error)?));
        }
        Ok(Self { rules: read })
    }

    /// Whether a path, without a slash before it, is left out.
    #[must_use]
    pub fn leaves_out(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let with_parents: Vec<&str> = ends.map(|end| &path[..end]).collect();
        let matches = |rule: &Regex| with_parents.iter().any(|part| rule.is_match(part));
        self.rules.iter().rfind(|(_, rule)| matches(rule)).is_some_and(|(out, _)| *out)
    }

    /// Whether something below a directory that is left out may come back.
    #[must_use]
    pub fn takes_back(&self) -> bool {
        self.rules.iter().any(|(out, _)| !out)
    }
}

/// `*` and `?` within a part of the path, `**` over any number of parts, `[a-z]` and `\` as in Go's `filepath.Match`.
fn expression(pattern: &str) -> Option<Regex> {
    let parts = pattern.split('/').filter(|part| !part.is_empty() && *part != ".");
    let mut clean: Vec<&str> = Vec::new();
    for part in parts {
        if part == ".." {
            clean.pop();
        } else {
            clean.push(part);
        }
    }
    let mut text = String::from("^");
    for (index, part) in clean.iter().enumerate() {
        let is_last = index + 1 == clean.len();
        if *part == "**" {
            text.push_str(if is_last { ".*" } else { "(?:.*/)?" });
            continue;
        }
        let mut chars = part.chars();
        while let Some(c) = chars.next() {
            match c {
                '*' => text.push_str("[^/]*"),
                '?' => text.push_str("[^/]"),
                '[' | ']' | '^' if c != '^' || text.ends_with('[') => text.push(c),
                '\\' => text.push_str(&regex::escape(&chars.next()?.to_string())),
                '-' => text.push('-'),
                other => text.push_str(&regex::escape(&other.to_string())),
            }
        }
        if !is_last {
            text.push('/');
        }
    }
    text.push('$');
    if clean.is_empty() { None } else { Regex::new(&text).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_left_out_as_docker_does() {
        let rules =
            Ignore::parse("# comment\nnode_modules\n*.log\n/docs/**\n!docs/README.md\n**/temp?\n[ab].txt\n")
                .unwrap();
        for path in [
            "node_modules",
            "node_modules/x/y",
            "a.log",
            "docs/x/y",
            "x/y/temp1",
            "temp2",
            "a.txt",
            ".git/HEAD",
        ] {
            assert!(rules.leaves_out(path), "{path}");
        }
        for path in ["src/a.log.txt", "x/a.log", "docs/README.md", "temp", "c.txt", "gitignore"] {
            assert!(!rules.leaves_out(path), "{path}");
        }
        assert!(rules.takes_back() && !Ignore::parse("x").unwrap().takes_back());
        assert!(Ignore::parse("a\n[").unwrap_err().to_string().contains(".dockerignore:2"));
        assert!(!Ignore::parse("!.git").unwrap().leaves_out(".git/HEAD"));
    }
}
