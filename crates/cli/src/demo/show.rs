//! The live table of nodes and instances, until somebody interrupts.

use holm_model::view::query::InstanceQuery;
use std::collections::BTreeMap;

use super::Stage;
use crate::commands::pulse::Pulse;
use crate::failure::Failure;
use crate::output::live::Live;
use crate::output::time::now;
use crate::output::{say, stdout_ink, table};

/// Never returns but by a failure.
pub(super) async fn run(mut stage: Stage) -> Result<(), Failure> {
    say("Ctrl-C ends it and leaves nothing behind.\n\n")?;
    let mut pulse = Pulse::open(&stage.client).await?;
    let (mut live, mut states) = (Live::new(), BTreeMap::new());
    loop {
        let nodes = stage.client.nodes().await?;
        let instances = stage.client.instances(&InstanceQuery::default()).await?;
        if live.is_terminal() {
            let (now, ink) = (now(), stdout_ink());
            let tables = [table::render(&nodes, false, now, ink), table::render(&instances, false, now, ink)];
            live.draw(&tables.join(" \n"));
        } else {
            for node in &nodes {
                if states.insert(node.id.clone(), node.state) != Some(node.state) {
                    live.note(&format!("node {}  {}", node.name, node.state))?;
                }
            }
            stage.seen.changes(&instances).iter().try_for_each(|line| live.note(line))?;
        }
        pulse.beat().await?;
    }
}
