//! `holm context`: which orchestrators one uses.

use clap::{Args, Subcommand};
use holm_model::name::Name;
use holm_model::time::Time;
use serde::Serialize;

use crate::contexts::{Context, Contexts};
use crate::failure::Failure;
use crate::output::table::{self, Column, Listed};
use crate::output::time::{left, now};
use crate::output::{Output, stdout_ink};

#[derive(Args, Debug)]
pub(crate) struct Contextual {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// List contexts; `*` marks the current one
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        output: Output,
    },
    /// Make a context the current one
    Use {
        /// Its name
        name: String,
        /// From now on, the project of commands that name none
        #[arg(short, long, value_name = "NAME")]
        project: Option<Name>,
        #[command(flatten)]
        output: Output,
    },
    /// Forget a context, its fingerprint and its token; the token stays valid: `holm logout` first
    Rm {
        /// Its name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Show a context, but not its token
    Show {
        /// Its name [default: the current one]
        name: Option<String>,
        #[command(flatten)]
        output: Output,
    },
}

/// A context without its secret.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    current: bool,
    server: String,
    fingerprint: String,
    person: String,
    project: Option<Name>,
    /// None: logged out.
    expires: Option<Time>,
}

pub(crate) fn run(Contextual { action }: Contextual) -> Result<(), Failure> {
    match action {
        Action::Ls { output } => {
            let contexts = Contexts::read()?;
            let current = contexts.current().map(|(name, _)| name.to_owned());
            let all = contexts.all.into_iter();
            let all: Vec<_> =
                all.map(|(name, context)| Shown::new(name, context, current.as_deref())).collect();
            output.print(&all, || match all.is_empty() {
                true => "There are no contexts; `holm login HOST:PORT` makes one.".to_owned(),
                false => table::render(&all, output.is_wide(), now(), stdout_ink()),
            })
        }
        Action::Use { name, project, output } => {
            Contexts::change(|contexts| {
                let context = contexts.get_mut(&name)?;
                context.project = project.or(context.project.take());
                contexts.current = Some(name.clone());
                Ok(())
            })?;
            output.print_done("current", &name, || format!("context {name} is the current one"))
        }
        Action::Rm { name, output } => {
            Contexts::change(|contexts| contexts.remove(&name))?;
            output.print_done("forgotten", &name, || format!("context {name} is forgotten"))
        }
        Action::Show { name, output } => {
            let shown = Shown::find(name)?;
            output.print(&shown, || table::pairs(&shown.pairs(), stdout_ink()))
        }
    }
}

// === impl Shown ===

impl Shown {
    fn new(name: String, context: Context, current: Option<&str>) -> Self {
        let Context { server, fingerprint, person, session, project } = context;
        let current = current == Some(name.as_str());
        Self { name, current, server, fingerprint, person, project, expires: session.map(|s| s.expires) }
    }

    fn find(name: Option<String>) -> Result<Self, Failure> {
        let contexts = Contexts::read()?;
        let current = contexts.current().map(|(name, _)| name);
        let name = name.or(current.map(str::to_owned)).ok_or_else(|| {
            Failure::new("there is no current context")
                .hint("`holm context use NAME` chooses one; `holm login HOST:PORT` makes one")
        })?;
        let context = contexts.get(&name)?.clone();
        Ok(Self::new(name, context, current))
    }

    fn standing(&self, now: Time) -> String {
        match self.expires {
            None => "logged out".to_owned(),
            Some(at) if at <= now => "expired".to_owned(),
            Some(at) => left(at, now),
        }
    }

    fn pairs(&self) -> Vec<(&'static str, String)> {
        vec![
            ("name", self.name.clone()),
            ("current", if self.current { "yes" } else { "no" }.to_owned()),
            ("server", self.server.clone()),
            ("fingerprint", self.fingerprint.clone()),
            ("person", self.person.clone()),
            ("project", self.project.as_ref().map(Name::to_string).unwrap_or_default()),
            ("log-in", self.standing(now())),
        ]
    }
}

impl Listed for Shown {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("CURRENT", |c, _| if c.current { "*".to_owned() } else { " ".to_owned() }),
        Column::new("NAME", |c, _| c.name.clone()),
        Column::new("SERVER", |c, _| c.server.clone()),
        Column::new("PERSON", |c, _| c.person.clone()),
        Column::known("PROJECT", |c, _| c.project.as_ref().map(Name::to_string).unwrap_or_default()),
        Column::new("LOG-IN", Self::standing),
        Column::wide("FINGERPRINT", |c, _| c.fingerprint.clone()),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
}
