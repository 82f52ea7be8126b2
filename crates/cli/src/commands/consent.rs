//! `holm node consent`: the word of a machine's owner, said on the machine itself.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use holm_model::time::Time;
use holm_node::consent::{self, Consent as Given};
use serde::Serialize;

use super::when::When;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::time::now;
use crate::roles::directory;

#[derive(Args, Debug)]
pub(crate) struct Consent {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Agree that people of the sea open shells on this machine
    Grant(Grant),
    /// Take it back; open shells end
    Revoke(Here),
    /// Show whether it is given
    Show(Here),
}

#[derive(Args, Debug)]
struct Grant {
    /// Only until this time, as in `2026-11-22T18:00:00Z`, or for so long, as in `2h`; open shells end then
    #[arg(long, alias = "for", value_name = "TIME|DURATION")]
    until: Option<When>,
    #[command(flatten)]
    here: Here,
}

#[derive(Args, Debug)]
struct Here {
    /// The node's data directory
    #[arg(long, env = "HOLM_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// What `show` prints for programs.
#[derive(Debug, Serialize)]
struct Shown {
    shell: bool,
    until: Option<Time>,
}

// === impl Consent ===

impl Consent {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Grant(Grant { until, here }) => {
                let until = until.map(|when| when.after(now()));
                if let Some(past) = until.filter(|until| *until <= now()) {
                    return Err(Failure::wrong_use(format!("{past} has passed; nothing was changed")));
                }
                consent::grant(&here.dir(), Given { until }).map_err(|error| here.failed(&error))?;
                here.show()
            }
            Action::Revoke(here) => {
                consent::revoke(&here.dir()).map_err(|error| here.failed(&error))?;
                here.show()
            }
            Action::Show(here) => here.show(),
        }
    }
}

// === impl Here ===

impl Here {
    fn dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| directory("node"))
    }

    fn show(&self) -> Result<(), Failure> {
        let given = consent::read(&self.dir()).map_err(|error| self.failed(&error))?;
        let holds = given.filter(|given| given.holds(now()));
        let shown = Shown { shell: holds.is_some(), until: holds.and_then(|given| given.until) };
        self.output.print(&shown, || match holds {
            None => "nobody may open a shell on this machine".to_owned(),
            Some(Given { until: None }) => "people of the sea may open shells on this machine".to_owned(),
            Some(Given { until: Some(until) }) => {
                format!("people of the sea may open shells on this machine until {until}")
            }
        })
    }

    fn failed(&self, error: &std::io::Error) -> Failure {
        Failure::from_error(self.dir().display(), error)
            .hint("say it as the machine's owner, with the node's --data-dir")
    }
}
