//! What a shell offers while somebody types: commands, flags, and names that the orchestrator knows.
//!
//! A shell calls `HOLM_COMPLETE=<shell> holm -- <words>`; names are asked of the orchestrator that these words would
//! talk to. Whoever types is not held up and not disturbed: it takes a second at most, and what goes wrong is silent.

use std::ffi::OsStr;
use std::time::Duration;

use clap::{Arg, Command};
use clap_complete::CompleteEnv;
use clap_complete::engine::{
    ArgValueCandidates, ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter as _,
};
use clap_complete::env::Shells;
use holm_client::Client;
use holm_model::view::InstanceView;
use holm_model::view::query::InstanceQuery;

use crate::connect::{Connect, flag};
use crate::contexts::Contexts;
use crate::failure::Failure;
use crate::{args, run};

/// Says that a shell asks, and which.
const ASKS: &str = "HOLM_COMPLETE";
/// Nobody waits longer for a word.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a word of the command line may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Applications,
    /// `app/web`
    Services,
    /// `app/web/2`
    Slots,
    /// Any of these three.
    Anything,
    /// A slot and a path there, or a path here.
    Places,
    Nodes,
    Clusters,
    Members,
    Projects,
    People,
    Contexts,
}

/// What an argument names, by the end of its command's words and its own; the first row counts.
const ARGUMENTS: &[(&str, &str, Names)] = &[
    ("", "application", Names::Applications),
    ("", "project", Names::Projects),
    ("", "context", Names::Contexts),
    ("apply", "cluster", Names::Clusters),
    ("get instances", "service", Names::Services),
    ("get instances", "node", Names::Nodes),
    ("get instances", "cluster", Names::Clusters),
    ("get instances", "names", Names::Slots),
    ("get nodes", "names", Names::Nodes),
    ("get clusters", "names", Names::Clusters),
    ("get applications", "names", Names::Applications),
    ("get services", "names", Names::Services),
    ("get members", "names", Names::Members),
    ("node ls", "names", Names::Nodes),
    ("cluster ls", "names", Names::Clusters),
    ("describe application", "name", Names::Applications),
    ("describe service", "name", Names::Services),
    ("describe instance", "name", Names::Slots),
    ("describe node", "name", Names::Nodes),
    ("describe cluster", "name", Names::Clusters),
    ("delete application", "name", Names::Applications),
    ("scale", "target", Names::Services),
    ("restart", "what", Names::Anything),
    ("migrate", "instance", Names::Slots),
    ("stop", "target", Names::Services),
    ("start", "target", Names::Services),
    ("pause", "target", Names::Services),
    ("resume", "target", Names::Services),
    ("logs", "targets", Names::Anything),
    ("exec", "instance", Names::Slots),
    ("port-forward", "target", Names::Slots),
    ("cp", "source", Names::Places),
    ("cp", "target", Names::Places),
    ("shell", "node", Names::Nodes),
    ("node remove", "name", Names::Nodes),
    ("node revoke", "name", Names::Nodes),
    ("node cordon", "name", Names::Nodes),
    ("node uncordon", "name", Names::Nodes),
    ("node drain", "name", Names::Nodes),
    ("node decommission", "name", Names::Nodes),
    ("node move", "name", Names::Nodes),
    ("node move", "to", Names::Clusters),
    ("capability add", "node", Names::Nodes),
    ("capability rm", "node", Names::Nodes),
    ("capability ls", "node", Names::Nodes),
    ("label add", "node", Names::Nodes),
    ("label rm", "node", Names::Nodes),
    ("label ls", "node", Names::Nodes),
    ("taint add", "node", Names::Nodes),
    ("taint rm", "node", Names::Nodes),
    ("taint ls", "node", Names::Nodes),
    ("deploy", "to", Names::Nodes),
    ("images", "node", Names::Nodes),
    ("images rm", "node", Names::Nodes),
    ("images prune", "node", Names::Nodes),
    ("cluster remove", "name", Names::Clusters),
    ("cluster revoke", "name", Names::Clusters),
    ("cluster cordon", "name", Names::Clusters),
    ("cluster uncordon", "name", Names::Clusters),
    ("cluster drain", "name", Names::Clusters),
    ("adopt", "member", Names::Members),
    ("discard", "member", Names::Members),
    ("project show", "name", Names::Projects),
    ("project quota", "name", Names::Projects),
    ("project delete", "name", Names::Projects),
    ("project roles", "name", Names::Projects),
    ("project grant", "project", Names::Projects),
    ("project withdraw", "project", Names::Projects),
    ("person delete", "name", Names::People),
    ("person role", "name", Names::People),
    ("person show", "name", Names::People),
    ("person logout", "name", Names::People),
    ("context use", "name", Names::Contexts),
    ("context rm", "name", Names::Contexts),
];

/// Answers a shell that asks, and ends the program then.
pub(crate) fn answer() {
    CompleteEnv::with_factory(|| offered(with_names(args::words(), ""), begins_option()))
        .var(ASKS)
        .bin("holm")
        .complete();
}

/// What a shell has to read once, so that it asks. `None`: not a shell that can.
pub(crate) fn script(shell: &str) -> Option<Vec<u8>> {
    let mut script = Vec::new();
    // Nothing is written anywhere but to memory.
    Shells::builtins()
        .completer(shell)?
        .write_registration(ASKS, "holm", "holm", "holm", &mut script)
        .ok()?;
    if shell == "zsh" {
        // Where the file is a function that zsh loads at the first question, that one is answered, too.
        script.extend_from_slice(b"[[ $funcstack[1] == _holm ]] && _clap_dynamic_completer_holm \"$@\"\n");
    }
    Some(script)
}

/// The command below `path`, with completers for what its arguments name.
fn with_names(command: Command, path: &str) -> Command {
    let path = match path {
        "" if command.get_name() == "holm" => String::new(),
        path => format!("{path} {}", command.get_name()),
    };
    let named = |arg: Arg| match names_of(&path, arg.get_id().as_str()) {
        Some(Names::Places) => arg.add(ArgValueCompleter::new(places)),
        Some(names) => arg.add(ArgValueCandidates::new(move || candidates(names))),
        None => arg,
    };
    command.mut_args(named).mut_subcommands(|command| with_names(command, &path))
}

/// Each command under its own name, and options where one is begun: more words would hide those that are meant.
fn offered(command: Command, options: bool) -> Command {
    // Hidden ones lead on all the same. Clap keeps names for ever, and this process ends at once.
    let aliases: Vec<&'static str> =
        command.get_all_aliases().map(|alias| &*alias.to_owned().leak()).collect();
    let mut command = command.alias(None::<&'static str>).aliases(aliases);
    if !options {
        let hidden = |arg: Arg| if arg.is_positional() { arg } else { arg.hide(true) };
        command = command.disable_help_flag(true).disable_version_flag(true).mut_args(hidden);
    }
    command.mut_subcommands(|command| offered(command, options))
}

/// Whether the word that is being typed is an option.
fn begins_option() -> bool {
    typed().last().is_some_and(|word| word.starts_with('-'))
}

/// The words that are being typed stand behind `--`.
fn typed() -> Vec<String> {
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    words.map(|word| word.to_string_lossy().into_owned()).collect()
}

fn names_of(path: &str, arg: &str) -> Option<Names> {
    let ends = |end: &str| path.strip_suffix(end).is_some_and(|rest| end.is_empty() || rest.ends_with(' '));
    ARGUMENTS.iter().find(|(end, id, _)| *id == arg && ends(end)).map(|(_, _, names)| *names)
}

fn places(current: &OsStr) -> Vec<CompletionCandidate> {
    let text = current.to_string_lossy();
    let mut found = PathCompleter::any().complete(current);
    if !text.starts_with(['.', '/']) && !text.contains(':') {
        let slots = known(Names::Slots).into_iter().map(|slot| format!("{slot}:"));
        found.extend(slots.filter(|slot| slot.starts_with(&*text)).map(CompletionCandidate::new));
    }
    found
}

fn candidates(names: Names) -> Vec<CompletionCandidate> {
    known(names).into_iter().map(CompletionCandidate::new).collect()
}

/// In order, each once. Nothing when nobody can be asked.
fn known(names: Names) -> Vec<String> {
    let words = typed();
    let answered = match names {
        Names::Contexts => Contexts::read().map(|contexts| contexts.all.into_keys().collect()),
        names => run::single(async {
            let asked = tokio::time::timeout(PATIENCE, ask(names, &words)).await;
            asked.unwrap_or_else(|_| Ok(Vec::new()))
        }),
    };
    let mut known: Vec<String> = answered.unwrap_or_default();
    known.retain(|word| is_plain(word));
    known.sort();
    known.dedup();
    known
}

/// Whether a shell takes it for a word and nothing else: what an orchestrator calls a name ends up on a command
/// line.
fn is_plain(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '@');
    !word.starts_with('-') && word.chars().all(plain)
}

async fn ask(names: Names, words: &[String]) -> Result<Vec<String>, Failure> {
    let connect = Connect::of_words(words);
    let said = flag(words, "--project").or_else(|| flag(words, "-p"));
    let said = said.or_else(|| std::env::var("HOLM_PROJECT").ok()).and_then(|name| name.parse().ok());
    let project = connect.project(said.as_ref())?.to_string();
    let client = connect.client()?;
    Ok(match names {
        Names::Applications => applications(&client, &project).await?,
        Names::Services => instances(&client, &project).await?.iter().map(service).collect(),
        Names::Slots | Names::Places => instances(&client, &project).await?.iter().map(slot).collect(),
        Names::Anything => {
            let rows = instances(&client, &project).await?;
            let applications = applications(&client, &project).await?;
            applications.into_iter().chain(rows.iter().flat_map(|row| [service(row), slot(row)])).collect()
        }
        Names::Nodes => client.nodes().await?.into_iter().map(|node| node.name).collect(),
        Names::Clusters => client.clusters().await?.into_iter().map(|cluster| cluster.name).collect(),
        Names::Members => client.members().await?.into_iter().map(|member| member.name).collect(),
        Names::Projects => client.projects().await?.into_iter().map(|project| project.name).collect(),
        Names::People => client.people().await?.into_iter().map(|person| person.name).collect(),
        Names::Contexts => Vec::new(),
    })
}

async fn applications(client: &Client, project: &str) -> Result<Vec<String>, Failure> {
    Ok(client.applications_of(project).await?.into_iter().map(|application| application.name).collect())
}

async fn instances(client: &Client, project: &str) -> Result<Vec<InstanceView>, Failure> {
    let query = InstanceQuery { project: Some(project.to_owned()), ..InstanceQuery::default() };
    Ok(client.instances(&query).await?)
}

fn service(row: &InstanceView) -> String {
    format!("{}/{}", row.application, row.service)
}

fn slot(row: &InstanceView) -> String {
    format!("{}/{}", row.application, row.slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each argument of all commands with its command's path.
    fn arguments(command: &Command, path: &str, found: &mut Vec<(String, String)>) {
        let arguments = command.get_arguments().map(|arg| (path.to_owned(), arg.get_id().to_string()));
        found.extend(arguments);
        for below in command.get_subcommands() {
            arguments_below(below, path, found);
        }
    }

    fn arguments_below(command: &Command, path: &str, found: &mut Vec<(String, String)>) {
        arguments(command, &format!("{path} {}", command.get_name()), found);
    }

    #[test]
    fn each_row_is_about_an_argument() {
        let mut all = Vec::new();
        arguments(&args::words(), "", &mut all);
        for row @ (end, id, names) in ARGUMENTS {
            let there = all
                .iter()
                .any(|(path, arg)| arg == id && path.ends_with(end) && names_of(path, arg) == Some(*names));
            assert!(there, "{row:?}");
        }
        assert_eq!(names_of(" node consent grant", "data_dir"), None);
        assert_eq!(names_of(" unrestart", "what"), None, "whole words");
    }

    /// What is offered for the last of `words` where nobody knows any names.
    fn shown(words: &[&str]) -> Vec<String> {
        let options = words.last().is_some_and(|word| word.starts_with('-'));
        let words: Vec<_> = ["holm"].iter().chain(words).map(Into::into).collect();
        let mut command = offered(args::words(), options);
        let index = words.len() - 1;
        let found = clap_complete::engine::complete(&mut command, words, index, None).unwrap();
        found.iter().map(|candidate| candidate.get_value().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_command_is_offered_by_the_name_that_is_documented() {
        let all = shown(&["get", ""]);
        for name in ["instances", "nodes", "clusters", "applications", "members", "exposures", "tokens"] {
            assert!(all.iter().any(|word| word == name), "{name} in {all:?}");
        }
        assert!(!all.iter().any(|word| ["i", "n", "inst", "node"].contains(&word.as_str())), "{all:?}");
        assert_eq!(shown(&["get", "in"]), ["instances"]);
        assert_eq!(shown(&["describe", "app"]), ["application"]);
        assert_eq!(shown(&["get", "i", "--wat"]), ["--watch"], "an alias leads on");
    }

    #[test]
    fn options_are_offered_where_one_is_begun() {
        assert!(!shown(&["get", ""]).iter().any(|word| word.starts_with('-')));
        let options = shown(&["get", "nodes", "-"]);
        assert!(options.iter().any(|word| word == "--watch" || word == "-w"), "{options:?}");
        assert_eq!(shown(&["get", "nodes", "--he"]), ["--help"]);
    }

    #[test]
    fn what_a_shell_would_run_is_no_candidate() {
        assert!(
            ["shop", "shop/web/2", "shop/web/vienna/fl-1", "ada@example.org", "my_context"].map(is_plain)
                == [true; 5]
        );
        for word in ["$(id)", "`id`", "a b", "a;b", "-f", "--server=x", "a\n", "a'", "~root", "a*", "ä"] {
            assert!(!is_plain(word), "{word}");
        }
    }

    #[test]
    fn every_shell_gets_a_script_that_asks() {
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let script = String::from_utf8(script(shell).unwrap()).unwrap();
            assert!(script.contains(ASKS) && script.contains("holm"), "{shell}: {script}");
        }
        assert_eq!(script("csh"), None);
    }
}
