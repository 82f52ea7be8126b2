//! `holm node consent`: the word of a machine's owner, said on the machine itself.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use holm_model::time::Time;
use holm_node::allowed::{self, Allowed, HostPath};
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
    /// Agree that manifests run processes as these users of this machine (`user:`), from their next start on
    Users(Users),
    /// Agree that manifests mount these paths of this machine into containers, with all that is below them
    Paths(Paths),
    /// Show what is agreed to
    Show(Here),
}

#[derive(Args, Debug)]
struct Users {
    /// Names or numbers, as manifests say them
    #[arg(required = true, value_delimiter = ',', value_name = "USER")]
    users: Vec<String>,
    /// Agree to them no longer; what runs goes on until its next start
    #[arg(long)]
    withdraw: bool,
    #[command(flatten)]
    here: Here,
}

#[derive(Args, Debug)]
struct Paths {
    /// Absolute; `/etc/ssl:ro` may be read only
    #[arg(required = true, value_delimiter = ',', value_name = "PATH[:ro]")]
    paths: Vec<HostPath>,
    /// Agree to them no longer; what runs goes on until its next start
    #[arg(long)]
    withdraw: bool,
    #[command(flatten)]
    here: Here,
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
    users: BTreeSet<String>,
    paths: BTreeSet<HostPath>,
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
            Action::Users(Users { users, withdraw, here }) => {
                here.change(|allowed| change(&mut allowed.users, users, withdraw))
            }
            Action::Paths(Paths { paths, withdraw, here }) => {
                here.change(|allowed| change(&mut allowed.paths, paths, withdraw))
            }
            Action::Show(here) => here.show(),
        }
    }
}

fn change<T: Ord>(allowed: &mut BTreeSet<T>, named: Vec<T>, withdraw: bool) {
    if withdraw {
        allowed.retain(|one| !named.contains(one));
    } else {
        allowed.extend(named);
    }
}

// === impl Here ===

impl Here {
    fn dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| directory("node"))
    }

    fn change(&self, change: impl FnOnce(&mut Allowed)) -> Result<(), Failure> {
        let mut allowed = allowed::read(&self.dir()).map_err(|error| self.failed(&error))?;
        change(&mut allowed);
        allowed::write(&self.dir(), &allowed).map_err(|error| self.failed(&error))?;
        self.show()
    }

    fn show(&self) -> Result<(), Failure> {
        let Allowed { users, paths } = allowed::read(&self.dir()).map_err(|error| self.failed(&error))?;
        let given = consent::read(&self.dir()).map_err(|error| self.failed(&error))?;
        let holds = given.filter(|given| given.holds(now()));
        let until = holds.and_then(|given| given.until);
        let shown = Shown { shell: holds.is_some(), until, users, paths };
        self.output.print(&shown, || {
            let shell = match holds {
                None => "nobody may open a shell on this machine".to_owned(),
                Some(Given { until: None }) => "people of the sea may open shells on this machine".to_owned(),
                Some(Given { until: Some(until) }) => {
                    format!("people of the sea may open shells on this machine until {until}")
                }
            };
            let users = listed("processes run as users of their projects", "or as", &shown.users);
            let paths = listed("containers mount no path of this machine", "but", &shown.paths);
            format!("{shell}\n{users}\n{paths}")
        })
    }

    fn failed(&self, error: &std::io::Error) -> Failure {
        Failure::from_error(self.dir().display(), error)
            .hint("say it as the machine's owner, with the node's --data-dir")
    }
}

/// `usual` alone, or with what is allowed besides.
fn listed<T: ToString>(usual: &str, besides: &str, allowed: &BTreeSet<T>) -> String {
    if allowed.is_empty() {
        return usual.to_owned();
    }
    let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    format!("{usual}, {besides} {}", allowed.join(", "))
}
