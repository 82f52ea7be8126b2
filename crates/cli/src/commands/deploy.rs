//! `holm deploy`: from a file to running instances. The first time makes an application of one service; afterwards, the new
//! file is enough: all else stays as it is.

use std::time::Duration;

use clap::Args;
use holm_client::Client;
use holm_image::recognize::Thing;
use holm_model::duration::Span;
use holm_model::name::Name;
use holm_model::view::NodeView;
use holm_model::view::build::{BuildEvent, DeployView};

use super::Project;
use super::build::{self, Follow, Sent, What};
use super::wait::{self, Patience, Seen, Wanted};
use crate::connect::At;
use crate::failure::Failure;
use crate::output::{Format, Output, clean, say};

#[derive(Args, Debug)]
pub(crate) struct Deploy {
    #[command(flatten)]
    what: What,
    /// Run it on each of these nodes, as in `--to floor-1,floor-2` [default: once, wherever there is room]
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    to: Vec<Name>,
    /// Wait until it runs and stays so, for 5m or as long as is said; the exit code tells the outcome
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "5m")]
    wait: Option<Span>,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    output: Output,
}

/// What runs is told of to the orchestrator by its nodes, and then how long it took is noted.
const NOTED: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(50);

pub(crate) async fn run(At { args, connect }: At<Deploy>) -> Result<(), Failure> {
    let files = build::recognized(&args.what.files)?;
    build::say_what(&files);
    let (client, project) = (connect.client()?, args.project.of(&connect)?);
    let project = project.as_str();
    let name = name(&args)?;
    fits(&client, &args.to, &files).await?;
    let mut what = args.what.clone();
    what.name = Some(name.to_string());
    let mut fields = what.fields();
    fields.extend(args.to.iter().map(|node| ("device".to_owned(), node.to_string())));
    let paths: Vec<_> = files.iter().map(Sent::file).collect();
    let sending = build::progress(&files);
    let events = client.deploy(project, &fields, &paths, sending.counter()).await;
    let follow = Follow::new(sending);
    let mut events = follow.begun(events)?;
    let is_table = matches!(args.output.format, Format::Table | Format::Wide);
    let mut done = loop {
        match follow.next(&mut events).await? {
            BuildEvent::Built(built) if is_table => say(&build::people(&built))?,
            BuildEvent::Deployed(done) => break done,
            _ => {}
        }
    };
    if let Some(Span(limit)) = args.wait {
        let wanted = Wanted { project, name: &done.application, generation: done.generation };
        let patience = Patience { limit, stable: Duration::from_secs(2) };
        if is_table {
            wait::until_running(&client, wanted, patience, &mut Seen::default()).await?;
        } else {
            wait::until_running_quietly(&client, wanted, patience).await?;
        }
        noted(&client, project, &mut done).await?;
    }
    args.output.print(&done, || people(&done))
}

/// How long the start took, as the orchestrator has noted it.
async fn noted(client: &Client, project: &str, done: &mut DeployView) -> Result<(), Failure> {
    done.running = true;
    let until = tokio::time::Instant::now() + NOTED;
    while tokio::time::Instant::now() < until {
        let generation = client.generation(project, &done.application, done.generation).await?;
        if !generation.phases.is_empty() {
            done.phases = generation.phases;
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn people(done: &DeployView) -> String {
    let phases: Vec<_> =
        done.phases.iter().map(|phase| format!("{} {} ms", clean(&phase.name), phase.milliseconds)).collect();
    let (application, generation) = (clean(&done.application), done.generation);
    format!("{application} is deployed as generation {generation} ({})\n", phases.join(", "))
}

fn name(args: &Deploy) -> Result<Name, Failure> {
    // Images may be called more than applications.
    let text = args.what.image_name().replace(['.', '_'], "-");
    text.parse().map_err(|error: holm_model::name::NameError| {
        Failure::wrong_use(error).hint("name the application with --name")
    })
}

/// A program for other machines is refused before anything is sent.
async fn fits(client: &Client, to: &[Name], files: &[Sent]) -> Result<(), Failure> {
    if to.is_empty() {
        return Ok(());
    }
    // Whoever may not see machines is told by the orchestrator.
    let Ok(nodes) = client.nodes().await else { return Ok(()) };
    for name in to {
        let node = nodes.iter().find(|node| node.name == name.as_str()).ok_or_else(|| {
            Failure::new(format!("there is no node `{name}`")).hint("`holm get nodes` lists what there is")
        })?;
        let runs = |sent: &Sent| match &sent.thing {
            Thing::Program { platform, .. } => platform.runs_at(node),
            _ => true,
        };
        if !files.iter().any(runs) {
            return Err(unfit(node, files));
        }
    }
    Ok(())
}

fn unfit(node: &NodeView, files: &[Sent]) -> Failure {
    let files: Vec<_> =
        files.iter().map(|sent| format!("{} is {}", sent.path.display(), sent.thing)).collect();
    Failure::new(format!("the node {} is {}, and {}", clean(&node.name), clean(&node.arch), files.join(", ")))
        .hint("nothing was sent; build the program for this architecture, and give one file for each")
}
