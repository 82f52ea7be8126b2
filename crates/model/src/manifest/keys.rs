//! Which keys a mapping may have, and which come with a later version.

/// The keys of one kind of mapping.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) known: &'static [&'static str],
    /// Planned, so refused with another message than a typing error.
    pub(super) later: &'static [&'static str],
}

pub(super) const TOP: Keys = Keys { known: &["holm", "application", "services"], later: &["project"] };
pub(super) const SERVICE: Keys = Keys {
    known: &[
        "runtime",
        "command",
        "before",
        "image",
        "env",
        "secrets",
        "files",
        "on-change",
        "registry",
        "identity",
        "workdir",
        "user",
        "volumes",
        "kind",
        "replicas",
        "ports",
        "resources",
        "placement",
        "priority",
        "restart",
        "health",
        "ready",
        "stop",
        "expose",
        "connects",
        "update",
        "on-node-loss",
        "reconcile",
        "exclusive",
        "scale",
    ],
    later: &[],
};
pub(super) const STEP: Keys = Keys { known: &["command", "timeout"], later: &[] };
pub(super) const SECRET: Keys = Keys { known: &["env", "file"], later: &[] };
pub(super) const FILE: Keys = Keys { known: &["path", "mode"], later: &[] };
pub(super) const ON_CHANGE: Keys = Keys { known: &["signal"], later: &[] };
pub(super) const VOLUME: Keys = Keys { known: &["source", "target", "read-only"], later: &[] };
pub(super) const PORT: Keys = Keys { known: &["host", "container"], later: &[] };
pub(super) const RESOURCES: Keys = Keys { known: &["cpu", "memory"], later: &[] };
pub(super) const PLACEMENT: Keys = Keys {
    known: &[
        "cluster",
        "node",
        "require",
        "labels",
        "strategy",
        "location",
        "where",
        "with",
        "apart",
        "prefer",
        "sensitive",
        "near",
        "violated",
        "tolerates",
    ],
    later: &[],
};
pub(super) const STRATEGY: Keys = Keys { known: &["spread", "external"], later: &[] };
pub(super) const NEAR: Keys = Keys { known: &["users", "latency", "preferred"], later: &[] };
pub(super) const VIOLATED: Keys = Keys { known: &["for", "then"], later: &[] };
pub(super) const POINT: Keys = Keys { known: &["lat", "lon"], later: &[] };
pub(super) const LOCATION: Keys = Keys { known: &["lat", "lon", "within"], later: &[] };
pub(super) const COMPANY: Keys = Keys { known: &["service", "on", "preferred"], later: &[] };
pub(super) const PREFER: Keys = Keys { known: &["where", "weight"], later: &[] };
pub(super) const RESTART: Keys = Keys { known: &["policy", "attempts", "backoff"], later: &[] };
pub(super) const KIND: Keys =
    Keys { known: &["job", "cron", "zone", "overlap", "missed", "keep", "deadline", "retries"], later: &[] };
pub(super) const JOB: Keys = Keys { known: &["deadline", "retries"], later: &[] };
pub(super) const UPDATE: Keys =
    Keys { known: &["strategy", "parallel", "healthy-for", "deadline", "on-failure", "canary"], later: &[] };
pub(super) const CANARY: Keys = Keys { known: &["count", "share", "promote"], later: &[] };
pub(super) const PROMOTE: Keys = Keys { known: &["after"], later: &[] };
pub(super) const HEALTH: Keys =
    Keys { known: &["http", "tcp", "exec", "port", "every", "timeout", "failures", "start"], later: &[] };
pub(super) const REPLICAS: Keys = Keys { known: &["total", "per-cluster"], later: &[] };
pub(super) const PER_CLUSTER: Keys = Keys { known: &["min", "max"], later: &[] };
pub(super) const SCALE: Keys =
    Keys { known: &["min", "max", "cpu", "memory", "metric", "stabilization", "cooldown"], later: &[] };
pub(super) const METRIC: Keys = Keys { known: &["port", "path", "name", "target"], later: &[] };
pub(super) const STOP: Keys = Keys { known: &["grace", "drain"], later: &[] };
pub(super) const EXPOSE: Keys = Keys { known: &["port", "at"], later: &[] };
pub(super) const ON_NODE_LOSS: Keys = Keys { known: &["replace-after"], later: &[] };
pub(super) const CONNECT: Keys = Keys { known: &["service", "port", "latency", "preferred"], later: &[] };

// === impl Keys ===

impl Keys {
    /// Why `key` is refused; `None` when it is known.
    pub(super) fn refusal(&self, key: &str) -> Option<String> {
        if self.known.contains(&key) {
            return None;
        }
        if self.later.contains(&key) {
            return Some("not yet supported by this version".to_owned());
        }
        let hint = nearest(key, self.known.iter().chain(self.later).copied());
        Some(match hint {
            Some(name) => format!("unknown key; did you mean `{name}`?"),
            None => format!("unknown key (known: {})", self.known.join(", ")),
        })
    }
}

/// The candidate that `text` was probably meant to be.
pub(super) fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if text.len() > 64 {
        return None;
    }
    let allowed = (text.chars().count() / 3).clamp(1, 3);
    let text = text.to_lowercase();
    // As in `environment` for `env`.
    let begins = |candidate: &str| {
        text.len().min(candidate.len()) >= 3 && (text.starts_with(candidate) || candidate.starts_with(&*text))
    };
    candidates
        .map(|candidate| (distance(&text, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed || begins(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap of neighbours) from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut next = vec![i; to.len() + 1];
        for j in 1..=to.len() {
            let replaced = row[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            next[j] = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                next[j] = next[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut row, next);
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_have_a_nearest_key() {
        for (typed, meant) in [
            ("replcas", "replicas"),
            ("comand", "command"),
            ("Image", "image"),
            ("prots", "ports"),
            ("environment", "env"),
        ] {
            assert_eq!(nearest(typed, SERVICE.known.iter().copied()), Some(meant));
        }
        assert_eq!(nearest("banana", SERVICE.known.iter().copied()), None);
    }
}
