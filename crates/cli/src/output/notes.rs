//! What waits for people to decide, and what the words for it mean.

use crate::commands::slots::names;

/// A thing about which people have to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// A member; `vienna/fl-1`, a node of a cluster; `blue/shop`, an application of a project.
    pub(crate) name: String,
    pub(crate) why: Why,
}

/// Why nothing goes on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The member obeyed a newer store than the orchestrator's.
    Frozen,
    /// The store does not know whether the member was removed or revoked.
    Unconfirmed,
    /// A node that is frozen at its cluster.
    Below,
    /// The application came back with a restored store.
    Restored,
}

const ALL: [Why; 4] = [Why::Frozen, Why::Unconfirmed, Why::Below, Why::Restored];

// === impl Why ===

impl Why {
    const fn word(self) -> &'static str {
        match self {
            Self::Frozen | Self::Below => "frozen",
            Self::Unconfirmed | Self::Restored => "unconfirmed",
        }
    }

    /// What the word means.
    const fn meaning(self) -> &'static str {
        match self {
            Self::Frozen => {
                "It obeyed a newer store than the one here, so it runs on, takes nothing new, and nothing that it may \
                 run is started elsewhere."
            }
            Self::Unconfirmed => {
                "The store here came out of a backup, or knows the member by its certificate alone: whether it was \
                 removed or revoked since, nobody can say here. It runs on and is told nothing."
            }
            Self::Below => {
                "The store of its cluster is older than what it obeyed: it runs on, takes nothing new, and nothing \
                 that it may run is started elsewhere. Decide at that cluster: on its machine, with `--socket` and the \
                 `api.sock` of its data directory."
            }
            Self::Restored => {
                "It came back with a restored store, and may have been deleted since: nothing new of it is started."
            }
        }
    }

    /// As commands take the name.
    fn as_taken(self, name: &str) -> String {
        match (self, name.split_once('/')) {
            (Self::Restored, Some(("default", application))) => application.to_owned(),
            (Self::Restored, Some((project, application))) => format!("{application} -p {project}"),
            (Self::Below, Some((_, node))) => node.to_owned(),
            _ => name.to_owned(),
        }
    }

    /// The commands that decide, each with what it says.
    fn ways_out(self, name: &str) -> Vec<(String, &'static str)> {
        match self {
            Self::Frozen => vec![
                (format!("holm adopt {name}"), "what it runs is right: the store learns it"),
                (format!("holm discard {name}"), "the store is right: what it does not know is ended there"),
            ],
            Self::Unconfirmed => vec![
                (format!("holm adopt {name}"), "it still belongs here"),
                (format!("holm node remove {name}"), "it does not; for a cluster, `holm cluster remove`"),
            ],
            Self::Below => vec![
                (format!("holm adopt {name}"), "at its cluster: what it runs is right"),
                (format!("holm discard {name}"), "at its cluster: the cluster's store is right"),
            ],
            Self::Restored => vec![
                (format!("holm confirm {name}"), "it is still wanted"),
                (format!("holm delete application {name}"), "it is not"),
            ],
        }
    }
}

// === texts ===

/// Each kind once: who, what that means, and what to do. Empty when nobody waits.
pub(crate) fn explain(waiting: &[Waiting]) -> String {
    let (members, applications): (Vec<Why>, Vec<Why>) =
        ALL.into_iter().partition(|why| *why != Why::Restored);
    let about = |why: &Why| paragraph(*why, &who(waiting, *why));
    let members: String = members.iter().filter_map(about).collect();
    let applications: String = applications.iter().filter_map(about).collect();
    let order = match (members.as_str(), applications.as_str()) {
        ("", _) | (_, "") => "",
        _ => {
            "  Decide about the members above first: what they run may be of it, and until then this is refused.\n"
        }
    };
    members + &applications + order
}

fn paragraph(why: Why, who: &[&str]) -> Option<String> {
    let one = match who {
        [] => return None,
        [one] => why.as_taken(one),
        _ => "NAME".to_owned(),
    };
    let ways = why.ways_out(&one);
    let width = ways.iter().map(|(command, _)| command.len()).max().unwrap_or(0) + 2;
    let ways: String =
        ways.iter().map(|(way, what)| format!("  {:width$}  {what}\n", format!("`{way}`"))).collect();
    let dry = match why {
        Why::Frozen | Why::Below => {
            "  With `--dry-run` either of them shows what it would do, and does nothing.\n"
        }
        Why::Unconfirmed | Why::Restored => "",
    };
    Some(format!("\n{}: {}\n  {}\n{ways}{dry}", why.word(), who.join(", "), why.meaning()))
}

/// One line that leads to the explanation.
pub(crate) fn brief(waiting: &[Waiting]) -> Option<String> {
    let told: Vec<_> = ALL
        .iter()
        .map(|why| (why.word(), who(waiting, *why)))
        .filter(|(_, who)| !who.is_empty())
        .map(|(word, who)| format!("{} {} {word}", names(&who), if who.len() == 1 { "is" } else { "are" }))
        .collect();
    (!told.is_empty()).then(|| format!("{}: see `holm status`", told.join(", ")))
}

fn who(waiting: &[Waiting], why: Why) -> Vec<&str> {
    waiting.iter().filter(|one| one.why == why).map(|one| one.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(name: &str, why: Why) -> Waiting {
        Waiting { name: name.to_owned(), why }
    }

    #[test]
    fn each_word_is_explained_once_with_the_commands_that_decide() {
        assert_eq!(explain(&[]), "");
        let one = explain(&[waiting("vienna", Why::Frozen)]);
        for word in ["frozen: vienna", "`holm adopt vienna`", "`holm discard vienna`", "--dry-run"] {
            assert!(one.contains(word), "{word}: {one}");
        }
        let many: Vec<_> = ["a", "b", "c"].map(|name| waiting(name, Why::Unconfirmed)).into();
        let many = explain(&[&many[..], &[waiting("d", Why::Frozen)]].concat());
        assert_eq!(many.matches("unconfirmed: a, b, c").count(), 1, "{many}");
        assert_eq!(
            (many.matches("came out of a backup").count(), many.matches("holm adopt NAME").count()),
            (1, 1)
        );
        assert!(many.contains("`holm adopt d`"), "{many}");
        let below = explain(&[waiting("vienna/fl-1", Why::Below)]);
        assert!(below.contains("frozen: vienna/fl-1") && below.contains("`holm adopt fl-1`"), "{below}");
        let restored = explain(&[waiting("blue/shop", Why::Restored)]);
        assert!(restored.contains("`holm confirm shop -p blue`"), "{restored}");
        let alone = explain(&[waiting("default/shop", Why::Restored)]);
        assert!(alone.contains("`holm confirm shop`") && !alone.contains("members above"), "{alone}");
        let both = explain(&[waiting("default/shop", Why::Restored), waiting("vienna", Why::Frozen)]);
        assert!(both.ends_with("until then this is refused.\n"), "{both}");
    }

    #[test]
    fn elsewhere_a_line_is_enough() {
        assert_eq!(brief(&[]), None);
        let who = [waiting("a", Why::Frozen), waiting("b", Why::Unconfirmed), waiting("c", Why::Unconfirmed)];
        assert_eq!(brief(&who).unwrap(), "a is frozen, b and c are unconfirmed: see `holm status`");
    }
}
