//! `holm apply`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use holm_client::{Client, Condition, Manifest as Body};
use holm_model::duration::Span;
use holm_model::name::Name;
use holm_model::view::ApplyView;
use holm_model::view::explain::ForecastView;

use super::Project;
use super::manifest::{self, Manifest, Reading};
use super::wait::{self, Patience, Seen, Wanted};
use crate::connect::At;
use crate::failure::Failure;
use crate::output::{Format, Output};

#[derive(Args, Debug)]
pub(crate) struct Apply {
    /// Manifests; `-` for standard input
    #[arg(value_name = "FILE", required_unless_present = "file")]
    files: Vec<PathBuf>,
    /// The same, as other tools write it
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Only show what would change
    #[arg(long, conflicts_with = "wait")]
    plan: bool,
    /// Wait until it runs and stays so, for 5m or as long as is said; what is stopped or paused does not run
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "5m")]
    wait: Option<Span>,
    /// How long all of it must stay RUNNING, and ready as far as it has checks, before the wait is over
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    stable: Span,
    /// Place all of it in this cluster, as if each service named it in its `placement`
    #[arg(long, value_name = "NAME")]
    cluster: Option<Name>,
    /// Apply it at that cluster's own orchestrator, to whom the root sends us; it is the cluster's own application then
    #[arg(long, requires = "cluster")]
    redirect: bool,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(At { args, connect }: At<Apply>) -> Result<(), Failure> {
    // All of them are read before the first is sent.
    let manifests = args.files.iter().chain(&args.file).map(|file| manifest::read_all(file, &args.reading));
    let manifests: Vec<Manifest> = manifests.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    let (client, project) = (connect.client()?, args.project.of(&connect)?);
    for manifest in manifests {
        one(&client, &args, project.as_str(), manifest).await?;
    }
    Ok(())
}

async fn one(client: &Client, args: &Apply, project: &str, manifest: Manifest) -> Result<(), Failure> {
    let name = manifest.application.name.as_str();
    let body = Body::Yaml(manifest.text);
    let (client, cluster) = match &args.cluster {
        Some(cluster) if args.redirect => {
            (&client.straight_to(cluster.as_str(), project, name, &body).await?, None)
        }
        cluster => (client, cluster.as_ref().map(Name::as_str)),
    };
    if args.plan {
        let plan = client.plan_in(cluster, project, name, &body).await?;
        warn(&plan);
        return args.output.print(&plan, || format!("{}{}", people(&plan, "would be"), forecast(&plan)));
    }
    let applied = client.apply_in(cluster, project, name, &body, Condition::Any).await?;
    warn(&applied);
    args.output.print(&applied, || people(&applied, "is"))?;
    match args.wait {
        None => Ok(()),
        Some(Span(limit)) => {
            let wanted = Wanted { project, name: &applied.application, generation: applied.generation };
            wait_for(client, args, wanted, limit).await
        }
    }
}

async fn wait_for(client: &Client, args: &Apply, wanted: Wanted<'_>, limit: Duration) -> Result<(), Failure> {
    let patience = Patience { limit, stable: args.stable.0 };
    match args.output.format {
        Format::Table | Format::Wide => {
            wait::until_running(client, wanted, patience, &mut Seen::default()).await
        }
        Format::Json | Format::Yaml => wait::until_running_quietly(client, wanted, patience).await,
    }
}

pub(super) fn warn(view: &ApplyView) {
    for warning in &view.warnings {
        eprintln!("warning: {}", crate::output::clean(warning));
    }
}

/// Who would take the next instance of each service.
fn forecast(view: &ApplyView) -> String {
    let of = |forecast: &ForecastView| {
        let opinions = super::explain::opinions(&forecast.members, forecast.more, None);
        format!("members for {}, by {}:\n{opinions}", forecast.service, forecast.strategy)
    };
    view.forecast.iter().map(of).collect()
}

pub(super) fn people(view: &ApplyView, is: &str) -> String {
    let signs = |action: &str| match action {
        "create" => '+',
        "change" => '~',
        "remove" => '-',
        _ => ' ',
    };
    let changed = view.changes.iter().any(|change| change.action != "keep");
    let what = if changed {
        format!("{is} applied as generation {}", view.generation)
    } else {
        "has no changes".to_owned()
    };
    let mut text = format!("application {} {what}\n", view.application);
    for change in &view.changes {
        text.push_str(&format!("  {} {}\n", signs(&change.action), change.service));
        for detail in &change.details {
            text.push_str(&format!("      {}\n", crate::output::clean(detail)));
        }
    }
    text
}
