//! Running the agent of a node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;
use holm_model::amendment::{Amendment, AmendmentError};
use holm_model::duration::Span;
use holm_model::resources::Resources;
use holm_node::{Ended, Limit, NodeConfig, NodeError, ProcessUsers};

use super::options::{Label, NodeOptions};
use super::{Setup, data_dir, notify, stopped_by_signal};
use crate::failure::Failure;
use crate::{run, secret};

/// `holm node`.
#[derive(Args, Debug)]
pub(crate) struct NodeDaemon {
    #[command(flatten)]
    options: NodeOptions,
    #[command(flatten)]
    setup: Setup,
}

/// See [`at_least`].
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

// === impl NodeDaemon ===

impl NodeDaemon {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let file = self.setup.begin()?;
        run::single(serve(config(self.options.or(file.node.unwrap_or_default()))?))
    }
}

fn config(options: NodeOptions) -> Result<NodeConfig, Failure> {
    let parent = options.parent.ok_or_else(|| {
        Failure::wrong_use("a node needs an orchestrator").hint("give it with --parent HOST:PORT")
    })?;
    let executable =
        std::env::current_exe().map_err(|e| Failure::from_error("our own program cannot be found", &e))?;
    let data_dir = data_dir(options.data_dir, "node")?;
    let mut config = NodeConfig::new(data_dir, parent.0, executable);
    config.ready = notify::ready;
    config.token = secret::given_or_in(options.token, options.token_file.as_deref())?;
    config.rejoin = options.rejoin.unwrap_or_default();
    config.name = options.name;
    let labels = options.label.unwrap_or_default();
    for Label { key, value } in &labels {
        let amendment = Amendment::Label { key: key.clone(), value: Some(value.clone()) };
        if let Err(error @ AmendmentError::Location(_)) = amendment.check() {
            return Err(Failure::wrong_use(error.to_string()));
        }
    }
    config.labels = labels.into_iter().map(|label| (label.key, label.value)).collect::<BTreeMap<_, _>>();
    config.capabilities = options.capability.unwrap_or_default().into_iter().collect::<BTreeSet<_>>();
    config.location = options.location;
    let (cpu, memory) = (options.reserve_cpu.unwrap_or_default(), options.reserve_memory.unwrap_or_default());
    config.reserve = Resources::new(cpu, memory);
    if let Some(Span(interval)) = options.interval {
        config.interval = at_least(SHORTEST_INTERVAL, interval)?;
    }
    if let Some(Span(after)) = options.fall_back_after {
        config.fall_back_after = after;
    }
    config.runtimes.process_users = match (options.process_user, options.process_users) {
        (None, range) => ProcessUsers::Each(range.unwrap_or_default()),
        (Some(user), None) => ProcessUsers::One(user),
        (Some(_), Some(_)) => {
            return Err(Failure::wrong_use("processes have one user for all projects, or one for each")
                .hint("give either --process-users or --process-user"));
        }
    };
    let limit = |percent: u8| Limit { percent: percent.into(), most: u64::MAX };
    let (tight, full) = (options.disk_tight.map(limit), options.disk_full.map(limit));
    config.disk.tight = tight.unwrap_or(config.disk.tight);
    config.disk.full = full.unwrap_or(config.disk.full);
    if config.disk.full.percent > config.disk.tight.percent {
        return Err(Failure::wrong_use(
            "--disk-full is more than --disk-tight: nothing would be cleaned before",
        )
        .hint("give both, the second the larger"));
    }
    if let Some(Span(patience)) = options.disk_patience {
        config.disk.patience = patience;
    }
    if options.engine.is_some() {
        config.runtimes.engine = options.engine;
    }
    Ok(config)
}

/// Usage that is measured all the time is mostly that of measuring.
fn at_least(shortest: Duration, interval: Duration) -> Result<Duration, Failure> {
    if interval >= shortest {
        return Ok(interval);
    }
    Err(Failure::wrong_use(format!("usage cannot be reported every {}", Span(interval)))
        .hint(format!("give --interval {} or more", Span(shortest))))
}

/// Until a signal says stop. Ends nothing that runs here.
async fn serve(config: NodeConfig) -> Result<(), Failure> {
    let stop = stopped_by_signal()?;
    crate::memory::keep_small();
    let data_dir = config.data_dir.clone();
    match holm_node::run(config, stop).await {
        Ok(Ended::Stopped) => Ok(()),
        Ok(Ended::Decommissioned) => {
            eprintln!(
                "This node was decommissioned: its instances, volumes, images, files and keys are gone from {}, and \
                 it has left its orchestrator. It does not join again.",
                data_dir.display()
            );
            Ok(())
        }
        // Nobody was asked anything, and starting it again and again is of no use.
        Err(error @ NodeError::Decommissioned { .. }) => Err(Failure::wrong_use(error)
            .hint("to use the machine again, start it once with --rejoin and a new token")),
        Err(error) => Err(Failure::from_error("the node cannot run", &error)),
    }
}
