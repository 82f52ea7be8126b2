//! `holm completions`.

use clap::Args;
use clap_complete::Shell;

use crate::completion;
use crate::failure::Failure;
use crate::output::say_bytes;

#[derive(Args, Debug)]
#[command(
    after_help = "Names of applications, instances, nodes and so on are asked of the orchestrator that the command \
    would talk to, for a second at most.\n\n  bash: source <(holm completions bash), in ~/.bashrc\n  zsh:  source \
    <(holm completions zsh), in ~/.zshrc behind compinit\n  fish: holm completions fish | source, in \
    ~/.config/fish/config.fish"
)]
pub(crate) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(completions: &Completions) -> Result<(), Failure> {
    let shell = completions.shell;
    let script = completion::script(&shell.to_string());
    say_bytes(&script.ok_or_else(|| Failure::new(format!("there are no completions for {shell}")))?)
}
