//! Variables of the environment that stand for flags.

use clap::Command;
use clap::builder::Resettable;

/// A variable that is set to nothing says nothing, like one that is not set: files of units and containers often
/// name all of them.
pub(crate) fn empty_says_nothing(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
        if empty { arg.env(Resettable::Reset) } else { arg }
    });
    command.mut_subcommands(empty_says_nothing)
}
