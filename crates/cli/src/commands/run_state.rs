//! `holm stop|start|pause|resume`, and what a restart of all instances has in common with them.

use clap::Args;
use holm_client::Client;
use holm_model::state::RunState;
use holm_model::view::ServicePatch;

use super::Project;
use crate::connect::{At, Connect};
use crate::failure::Failure;
use crate::output::Output;
use crate::resolve::Target;

#[derive(Args, Debug)]
pub(crate) struct Change {
    /// An application, or one of its services
    #[arg(value_name = "APPLICATION[/SERVICE]")]
    target: Target,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    output: Output,
}

/// What shall become of the instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Restart,
    Stop,
    Start,
    Pause,
    Resume,
}

// === impl Wish ===

impl Wish {
    fn patch(self) -> ServicePatch {
        let run = match self {
            Self::Restart => return ServicePatch { restart: true, ..ServicePatch::default() },
            Self::Stop => RunState::Stop,
            Self::Start | Self::Resume => RunState::Run,
            Self::Pause => RunState::Pause,
        };
        ServicePatch { run: Some(run), ..ServicePatch::default() }
    }

    /// For programs.
    pub(super) const fn done(self) -> &'static str {
        match self {
            Self::Restart => "restarted",
            Self::Stop => "stopped",
            Self::Start => "started",
            Self::Pause => "paused",
            Self::Resume => "resumed",
        }
    }

    const fn outcome(self) -> &'static str {
        match self {
            Self::Restart => "restarts",
            Self::Stop => "stops",
            Self::Start => "starts",
            Self::Pause => "pauses",
            Self::Resume => "goes on",
        }
    }
}

pub(crate) async fn run(At { args, connect }: At<Change>, wish: Wish) -> Result<(), Failure> {
    change(&connect, &args.project, &args.target, &args.output, wish).await
}

pub(super) async fn change(
    connect: &Connect,
    project: &Project,
    target: &Target,
    output: &Output,
    wish: Wish,
) -> Result<(), Failure> {
    let (client, project) = (connect.client()?, project.of(connect)?);
    let project = project.as_str();
    let Target { application, service } = target;
    let target = match service {
        _ if wish == Wish::Resume => resume(&client, project, target).await?,
        None => {
            client.patch_application(project, application, &wish.patch()).await?;
            application.clone()
        }
        Some(service) => {
            client.patch_service(project, application, service, &wish.patch()).await?;
            format!("{application}/{service}")
        }
    };
    output.print_done(wish.done(), &target, || format!("{target} {}", wish.outcome()))
}

/// Ends pauses, and nothing else: what is stopped stays stopped.
async fn resume(client: &Client, project: &str, target: &Target) -> Result<String, Failure> {
    let Target { application, service } = target;
    let known = client.application(project, application).await?;
    let chosen = |name: &String| service.as_ref().is_none_or(|service| service == name);
    let paused = known.services.iter().filter(|known| chosen(&known.name) && known.run == RunState::Pause);
    let paused: Vec<_> = paused.map(|known| &known.name).collect();
    let target = service.as_ref().map_or_else(|| application.clone(), |name| format!("{application}/{name}"));
    if let Some(name) =
        service.as_ref().filter(|name| known.services.iter().all(|known| known.name != **name))
    {
        // Refused, with the services that there are.
        client.patch_service(project, application, name, &Wish::Resume.patch()).await?;
    }
    if paused.is_empty() {
        return Err(Failure::new(format!("nothing of {target} is paused"))
            .hint(format!("`holm start {target}` starts what is stopped")));
    }
    for name in paused {
        client.patch_service(project, application, name, &Wish::Resume.patch()).await?;
    }
    Ok(target)
}
