//! `holm completions`.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::args;
use crate::failure::Failure;
use crate::output::say_bytes;

#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Without the commands that are for our own use; shells would offer them.
fn shown(words: &Command) -> Command {
    let commands = words.get_subcommands().filter(|command| !command.is_hide_set());
    let top = Command::new("holm").version(env!("CARGO_PKG_VERSION")).propagate_version(true);
    top.disable_help_subcommand(true).args(words.get_arguments()).subcommands(commands)
}

pub(crate) fn run(completions: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut shown(&args::words()), "holm", &mut script);
    say_bytes(&script)
}
