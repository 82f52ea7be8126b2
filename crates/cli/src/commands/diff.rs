//! `holm diff`: what differs between two generations of an application, or between it and a file.

use std::path::PathBuf;

use clap::Args;
use holm_client::Client;
use holm_model::manifest::show;
use holm_model::view::generation::GenerationView;
use serde::Serialize;

use super::Project;
use super::manifest::{self, Reading};
use crate::connect::At;
use crate::failure::Failure;
use crate::output::difference::unified;
use crate::output::{Output, stdout_ink};

#[derive(Args, Debug)]
pub(crate) struct Diff {
    /// The application; with `-f` the manifest names it
    #[arg(value_name = "APPLICATION", required_unless_present = "file", conflicts_with = "file")]
    application: Option<String>,
    /// The older generation [default: the one before the present one]
    #[arg(value_name = "GENERATION")]
    from: Option<u64>,
    /// The newer one [default: the present one]
    #[arg(value_name = "OTHER")]
    to: Option<u64>,
    /// A manifest that the present generation is compared with; `-` for standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    output: Output,
}

/// One side of a difference.
#[derive(Debug)]
struct Side {
    /// `None`: a file, or nothing.
    generation: Option<u64>,
    name: String,
    manifest: String,
}

#[derive(Serialize)]
struct Difference {
    application: String,
    from: Option<u64>,
    to: Option<u64>,
    /// As `diff -u` shows it; empty when both say the same.
    difference: String,
}

pub(crate) async fn run(At { args, connect }: At<Diff>) -> Result<(), Failure> {
    let file = args.file.as_deref().map(|file| manifest::read(file, &Reading::default())).transpose()?;
    let (client, project) = (connect.client()?, args.project.of(&connect)?);
    let project = project.as_str();
    let (application, [from, to]) = match (&args.application, file) {
        (_, Some(manifest)) => {
            let name = manifest.application.name.to_string();
            let all = known(&client, project, &name).await?;
            let present = present(&client, project, &name, &all).await?;
            let other =
                Side { generation: None, name: "the file".to_owned(), manifest: show(&manifest.application) };
            (name, [present, other])
        }
        (Some(name), None) => (name.clone(), between(&client, project, name, &args).await?),
        (None, None) => return Err(Failure::wrong_use("which application?")),
    };
    let ink = stdout_ink();
    let found = Difference {
        difference: unified(&from.manifest, &to.manifest, false),
        from: from.generation,
        to: to.generation,
        application,
    };
    args.output.print(&found, || match found.difference.is_empty() {
        true => format!("{} and {} say the same\n", from.name, to.name),
        false => {
            let shown = unified(&from.manifest, &to.manifest, ink);
            format!("--- {}\n+++ {}\n{shown}", from.name, to.name)
        }
    })
}

async fn between(client: &Client, project: &str, name: &str, args: &Diff) -> Result<[Side; 2], Failure> {
    let all = client.generations(project, name).await?;
    let from = match args.from {
        Some(from) => from,
        None => all.get(1).map(|view| view.generation).ok_or_else(|| {
            Failure::new(format!("{name} has one generation only, so nothing differs from it"))
                .hint(format!("`holm diff -f FILE` compares it with a manifest; `holm history {name}` lists"))
        })?,
    };
    let to = match args.to {
        Some(to) => side(client, project, name, to).await?,
        None => present(client, project, name, &all).await?,
    };
    Ok([side(client, project, name, from).await?, to])
}

/// Without an application there is nothing: every line of a file is new.
async fn known(client: &Client, project: &str, name: &str) -> Result<Vec<GenerationView>, Failure> {
    match client.generations(project, name).await {
        Ok(all) => Ok(all),
        Err(holm_client::Error::Problem(problem)) if problem.status == 404 => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

async fn present(
    client: &Client,
    project: &str,
    name: &str,
    all: &[GenerationView],
) -> Result<Side, Failure> {
    match all.iter().find(|view| view.current) {
        Some(view) => side(client, project, name, view.generation).await,
        None => Ok(Side { generation: None, name: "nothing".to_owned(), manifest: String::new() }),
    }
}

async fn side(client: &Client, project: &str, name: &str, generation: u64) -> Result<Side, Failure> {
    let view = client.generation(project, name, generation).await?;
    let manifest = view.manifest.unwrap_or_default();
    Ok(Side { generation: Some(generation), name: format!("generation {generation}"), manifest })
}
