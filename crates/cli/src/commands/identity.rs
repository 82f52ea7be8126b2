//! `holm identity`: who an instance is that shows a token.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use holm_model::view::identity::{IdentityView, VerifyIdentity};

use crate::connect::At;
use crate::failure::Failure;
use crate::output::time::{left, now};
use crate::output::{Output, stdout_ink, table};

#[derive(Args, Debug)]
pub(crate) struct Identity {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Show whom a token speaks for, if it is good
    ///
    /// It is read, not written on the command line, where everybody on the machine could see it.
    Verify {
        /// A file with the token; `-` is the standard input
        #[arg(default_value = "-")]
        token: PathBuf,
        /// For whom it must have been made [default: the API, `holm://<sea>`]
        #[arg(long, value_name = "NAME")]
        audience: Option<String>,
        #[command(flatten)]
        output: Output,
    },
}

/// Bytes of a token at most; the orchestrator takes no more.
const MOST: u64 = 64 * 1024;

pub(crate) async fn run(At { args, connect }: At<Identity>) -> Result<(), Failure> {
    let Action::Verify { token, audience, output } = args.action;
    let request = VerifyIdentity { token: read(&token)?, audience };
    let view = connect.client()?.verify_identity(&request).await?;
    output.print(&view, || people(&view))
}

fn read(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(MOST).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(MOST).read_to_string(&mut text))
    };
    read.map_err(|e| Failure::from_error(format!("cannot read the token in {}", file.display()), &e))?;
    match text.trim() {
        "" => Err(Failure::wrong_use("there is no token to verify: it is read from a file, or piped in")),
        token => Ok(token.to_owned()),
    }
}

fn people(view: &IdentityView) -> String {
    let pairs = [
        ("subject", view.subject.clone()),
        ("project", view.project.clone()),
        ("application", view.application.clone()),
        ("service", view.service.clone()),
        ("instance", view.instance.clone()),
        ("node", view.node.clone()),
        ("issuer", view.issuer.clone()),
        ("audience", view.audience.clone()),
        ("expires in", left(view.expires, now())),
    ];
    table::pairs(&pairs, stdout_ink())
}
