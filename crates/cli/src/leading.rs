//! Which orchestrator is meant may stand before the command, too: `holm --socket api.sock get nodes`.
//!
//! Every command that asks an orchestrator takes these flags behind its name; said before it, they are moved there.

use std::ffi::OsString;

use clap::Command;

/// Of [`Connect`](crate::connect::Connect): each with a value.
const FLAGS: [&str; 5] = ["--context", "--server", "--api-token", "--api-token-file", "--socket"];

/// The words of a command line, without the program's name.
pub(crate) fn moved(words: &[OsString], commands: &Command) -> Vec<OsString> {
    let leading = leading(words);
    let mut command = commands;
    let mut names = 0;
    for word in &words[leading..] {
        let Some(found) = word.to_str().and_then(|word| command.find_subcommand(word)) else { break };
        (command, names) = (found, names + 1);
    }
    let (flags, rest) = words.split_at(leading);
    let (names, rest) = rest.split_at(names);
    [names, flags, rest].concat()
}

/// How many words the flags at the beginning take.
fn leading(words: &[OsString]) -> usize {
    let mut at = 0;
    while let Some(word) = words.get(at).and_then(|word| word.to_str()) {
        let (flag, has_value) = word.split_once('=').map_or((word, false), |(flag, _)| (flag, true));
        if !FLAGS.contains(&flag) {
            break;
        }
        at += if has_value { 1 } else { 2 };
    }
    at.min(words.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &str) -> String {
        let words: Vec<_> = words.split_whitespace().map(OsString::from).collect();
        moved(&words, &crate::args::words()).join(" ".as_ref()).into_string().unwrap()
    }

    #[test]
    fn an_orchestrator_may_be_named_before_the_command() {
        assert_eq!(said("--socket a get nodes"), "get nodes --socket a");
        assert_eq!(
            said("--socket=a --context b get nodes -o json"),
            "get nodes --socket=a --context b -o json"
        );
        assert_eq!(said("--socket a node remove fl-1"), "node remove --socket a fl-1");
        assert_eq!(said("--socket a exec shop/web -- get nodes"), "exec --socket a shop/web -- get nodes");
        // What else there is stays where it is.
        for words in ["get nodes --socket a", "--help", "", "--socket", "--socket a", "-v get nodes"] {
            assert_eq!(said(words), words);
        }
    }
}
