//! `holm restart|stop|start|pause|resume`.

use clap::Args;
use holm_model::state::RunState;
use holm_model::view::ServicePatch;

use super::Project;
use crate::connect::At;
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
    const fn done(self) -> &'static str {
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
    let (client, project) = (connect.client()?, args.project.project.as_str());
    let Target { application, service } = &args.target;
    let target = match service {
        None => {
            client.patch_application(project, application, &wish.patch()).await?;
            application.clone()
        }
        Some(service) => {
            client.patch_service(project, application, service, &wish.patch()).await?;
            format!("{application}/{service}")
        }
    };
    args.output.print_done(wish.done(), &target, || format!("{target} {}", wish.outcome()))
}
