//! `holm deploy`: from a file to running instances. The first time makes an application of one service; afterwards, the new
//! file is enough: all else stays as it is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use holm_client::{Client, Condition, Manifest};
use holm_image::recognize::Thing;
use holm_model::duration::Span;
use holm_model::manifest::{parse, show};
use holm_model::name::Name;
use holm_model::service::Application;
use holm_model::view::NodeView;
use serde::Serialize;

use super::build::{self, What};
use super::wait::{self, Patience, Seen, Wanted};
use super::{Project, apply};
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

/// What was done, and how long each step took.
#[derive(Debug, Serialize)]
struct Deployed {
    application: String,
    generation: u64,
    image: String,
    /// Milliseconds.
    phases: BTreeMap<&'static str, u128>,
}

pub(crate) async fn run(At { args, connect }: At<Deploy>) -> Result<(), Failure> {
    let things = build::recognized(&args.what.files)?;
    build::say_what(&things);
    let (client, project) = (connect.client()?, args.project.of(&connect)?);
    let name = name(&args)?;
    fits(&client, &args.to, &things).await?;
    let before = present(&client, project.as_str(), &name).await?;
    let begun = Instant::now();
    let mut what = args.what.clone();
    what.name = Some(name.to_string());
    let built = build::build(&client, project.as_str(), &what).await?;
    let build_time = begun.elapsed();
    let begun = Instant::now();
    let text = match before {
        Some(before) => again(before, &name, &built.image, &args)?,
        None => first(&name, &built.image, &args),
    };
    let applied =
        client.apply(project.as_str(), name.as_str(), &Manifest::Yaml(text), Condition::Any).await?;
    apply::warn(&applied);
    let apply_time = begun.elapsed();
    let is_table = matches!(args.output.format, Format::Table | Format::Wide);
    if is_table {
        say(&build::people(&built))?;
    }
    let begun = Instant::now();
    if let Some(Span(limit)) = args.wait {
        let wanted =
            Wanted { project: project.as_str(), name: &applied.application, generation: applied.generation };
        let patience = Patience { limit, stable: Duration::from_secs(2) };
        if is_table {
            wait::until_running(&client, wanted, patience, &mut Seen::default()).await?;
        } else {
            wait::until_running_quietly(&client, wanted, patience).await?;
        }
    }
    let mut phases = BTreeMap::from([("build", build_time.as_millis()), ("apply", apply_time.as_millis())]);
    if args.wait.is_some() {
        phases.insert("run", begun.elapsed().as_millis());
    }
    let done = Deployed {
        application: applied.application,
        generation: applied.generation,
        image: built.image,
        phases,
    };
    args.output.print(&done, || {
        let phases: Vec<_> = done.phases.iter().map(|(phase, time)| format!("{phase} {time} ms")).collect();
        let (application, generation) = (clean(&done.application), done.generation);
        format!("{application} is deployed as generation {generation} ({})\n", phases.join(", "))
    })
}

fn name(args: &Deploy) -> Result<Name, Failure> {
    let text = match (&args.what.name, args.what.files.first()) {
        (Some(name), _) => name.clone(),
        (None, Some(file)) => build::usual_name(file),
        (None, None) => String::new(),
    };
    text.parse().map_err(|error: holm_model::name::NameError| {
        Failure::wrong_use(error).hint("name the application with --name")
    })
}

/// A program for other machines is refused before anything is sent.
async fn fits(client: &Client, to: &[Name], things: &[(PathBuf, Thing)]) -> Result<(), Failure> {
    if to.is_empty() {
        return Ok(());
    }
    let nodes = client.nodes().await?;
    for name in to {
        let node = nodes.iter().find(|node| node.name == name.as_str()).ok_or_else(|| {
            Failure::new(format!("there is no node `{name}`")).hint("`holm get nodes` lists what there is")
        })?;
        let runs = |(_, thing): &(PathBuf, Thing)| match thing {
            Thing::Program { platform, .. } => platform.runs_on(&node.arch),
            _ => true,
        };
        if !things.iter().any(runs) {
            return Err(unfit(node, things));
        }
    }
    Ok(())
}

fn unfit(node: &NodeView, things: &[(PathBuf, Thing)]) -> Failure {
    let files: Vec<_> = things.iter().map(|(path, thing)| format!("{} is {thing}", path.display())).collect();
    Failure::new(format!("the node {} is {}, and {}", clean(&node.name), clean(&node.arch), files.join(", ")))
        .hint("nothing was sent; build the program for this architecture, and give one file for each")
}

/// What the application says now, if there is one.
async fn present(client: &Client, project: &str, name: &Name) -> Result<Option<Application>, Failure> {
    let all = client.applications_of(project).await?;
    let Some(view) = all.into_iter().find(|application| application.name == name.as_str()) else {
        return Ok(None);
    };
    let text = client.generation(project, name.as_str(), view.generation).await?.manifest.unwrap_or_default();
    let parsed = parse(&text, "its manifest");
    parsed.map(Some).map_err(|error| Failure::new(format!("what {name} says now cannot be read: {error}")))
}

/// The same application with the new image.
fn again(mut application: Application, name: &Name, image: &str, args: &Deploy) -> Result<String, Failure> {
    let service = application.services.get_mut(name).ok_or_else(|| {
        Failure::new(format!(
            "the application {name} has no service {name}, which `holm deploy` would change"
        ))
        .hint("build the image with `holm build`, and name it in your manifest")
    })?;
    if !args.to.is_empty() {
        let placed: Application = parse(&first(name, image, args), "its manifest")
            .map_err(|error| Failure::new(format!("the nodes cannot be named: {error}")))?;
        if let Some(wanted) = placed.services.get(name) {
            service.spec.placement = wanted.spec.placement.clone();
            service.replicas = wanted.replicas;
        }
    }
    service.spec.image = Some(image.to_owned());
    Ok(show(&application))
}

fn first(name: &Name, image: &str, args: &Deploy) -> String {
    let mut text = format!(
        "holm: v1\napplication: {name}\nservices:\n  {name}:\n    runtime: container\n    image: {image}\n"
    );
    if !args.what.port.is_empty() {
        text.push_str("    ports:\n");
        for port in &args.what.port {
            text.push_str(&format!("      p{port}: {{ container: {port} }}\n"));
        }
    }
    if !args.to.is_empty() {
        let nodes: Vec<_> = args.to.iter().map(|node| format!("\"{node}\"")).collect();
        text.push_str("    replicas: per-node\n    placement:\n");
        text.push_str(&format!("      where: 'name in [{}]'\n", nodes.join(", ")));
    }
    text
}
