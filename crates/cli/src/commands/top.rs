//! `holm top`: who uses how much now, and how it went.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, ValueEnum};
use futures::{StreamExt as _, stream};
use holm_client::Client;
use holm_model::resources::Cpu;
use holm_model::state::MemberState;
use holm_model::usage::{Flow, UsageHistory, UsagePoint};
use holm_model::view::query::InstanceQuery;
use holm_model::view::{InstanceView, NodeView};
use serde::Serialize;

use crate::connect::At;
use crate::failure::Failure;
use crate::output::live::Live;
use crate::output::spark::{bytes, spark};
use crate::output::table::{self, Column as C, Listed};
use crate::output::time::now;
use crate::output::{Format, Output, stdout_ink};

#[derive(Args, Debug)]
pub(crate) struct Top {
    #[arg(value_enum, default_value_t, value_name = "WHAT")]
    what: What,
    /// Only these, by name or id
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Print it once, on a terminal, too
    #[arg(long)]
    once: bool,
    /// What decides who comes first
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// How many, of those that come first
    #[arg(short = 'n', long, default_value_t = 20, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum What {
    /// Nodes, with all that runs there
    #[default]
    #[value(aliases = ["nodes", "n"])]
    Node,
    /// Instances
    #[value(aliases = ["instances", "inst", "i"])]
    Instance,
    /// Services, with all their instances
    #[value(aliases = ["services", "svc", "s"])]
    Service,
    /// Clusters, with all their nodes that are online
    #[value(aliases = ["clusters", "c"])]
    Cluster,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// Who uses the most CPU
    #[default]
    Cpu,
    /// Who uses the most memory
    Memory,
    /// By name
    Name,
}

/// A row.
#[derive(Clone, Debug, Serialize)]
struct Load {
    id: String,
    name: String,
    /// The node of an instance, the cluster of a node; how many instances a service, or nodes a cluster, has.
    place: String,
    cpu_millis: u64,
    memory: u64,
    /// None: its node does not tell now.
    history: Option<UsageHistory>,
}

/// Between two looks.
const TICK: Duration = Duration::from_secs(2);
/// Nodes that are asked at the same time.
const AT_ONCE: usize = 8;

pub(crate) async fn run(At { args, connect }: At<Top>) -> Result<(), Failure> {
    let client = connect.client()?;
    let mut live = Live::new();
    let people = matches!(args.output.format, Format::Table | Format::Wide);
    if args.once || !people || !live.is_terminal() {
        let loads = args.look(&client).await?;
        return args.output.print(&loads, || args.table(&loads));
    }
    loop {
        let loads = args.look(&client).await?;
        live.draw(&args.table(&loads));
        tokio::time::sleep(TICK).await;
    }
}

// === impl Top ===

impl Top {
    async fn look(&self, client: &Client) -> Result<Vec<Load>, Failure> {
        let mut loads: Vec<Load> = match self.what {
            What::Node => client.nodes().await?.iter().filter_map(Load::of_node).collect(),
            What::Instance => {
                let instances = client.instances(&InstanceQuery::default()).await?;
                instances.iter().filter_map(Load::of_instance).collect()
            }
            What::Service => services(&client.instances(&InstanceQuery::default()).await?),
            What::Cluster => clusters(&client.nodes().await?),
        };
        if let Some(missing) = self.names.iter().find(|name| !loads.iter().any(|load| load.is(name))) {
            return Err(Failure::new(format!("nothing that can be measured now is called `{missing}`")));
        }
        loads.retain(|load| self.names.is_empty() || self.names.iter().any(|name| load.is(name)));
        loads.sort_by(|a, b| a.name.cmp(&b.name));
        match self.sort {
            Sort::Cpu => loads.sort_by_key(|load| Reverse((load.cpu_millis, load.memory))),
            Sort::Memory => loads.sort_by_key(|load| Reverse((load.memory, load.cpu_millis))),
            Sort::Name => {}
        }
        loads.truncate(self.limit.into());
        let with_history = stream::iter(loads).map(|load| self.with_history(client, load));
        Ok(with_history.buffered(AT_ONCE).collect().await)
    }

    async fn with_history(&self, client: &Client, load: Load) -> Load {
        let history = match self.what {
            What::Node => client.node_usage(&load.id).await,
            What::Instance => client.instance_usage(&load.id).await,
            // Nobody keeps what they used in all.
            What::Service | What::Cluster => return load,
        };
        // It may be gone just now; the others are shown all the same.
        Load { history: history.ok(), ..load }
    }

    fn table(&self, loads: &[Load]) -> String {
        table::render(loads, self.output.is_wide(), now(), stdout_ink())
    }
}

// === impl Load ===

impl Load {
    /// Of several things, none of which was added yet.
    fn group(name: String) -> Self {
        Self { id: name.clone(), name, place: String::new(), cpu_millis: 0, memory: 0, history: None }
    }

    fn of_node(node: &NodeView) -> Option<Self> {
        (node.state == MemberState::Online).then(|| Self {
            id: node.id.clone(),
            name: node.name.clone(),
            place: node.cluster.clone().unwrap_or_default(),
            cpu_millis: node.usage.cpu_millis,
            memory: node.usage.memory,
            history: None,
        })
    }

    fn of_instance(instance: &InstanceView) -> Option<Self> {
        let usage = instance.usage?;
        let place: Vec<&str> =
            [&instance.cluster, &instance.node].into_iter().flatten().map(String::as_str).collect();
        Some(Self {
            id: instance.id.clone()?,
            name: format!("{}/{}", instance.application, instance.slot),
            place: place.join("/"),
            cpu_millis: usage.cpu_millis,
            memory: usage.memory,
            history: None,
        })
    }

    fn add(&mut self, cpu_millis: u64, memory: u64) {
        self.cpu_millis += cpu_millis;
        self.memory += memory;
    }

    fn is(&self, name: &str) -> bool {
        self.id == name || self.name == name
    }

    fn last(&self, flow: impl Fn(&UsagePoint) -> Option<Flow>) -> String {
        let last = self.history.as_ref().and_then(|history| flow(history.points.last()?));
        last.map_or_else(String::new, |flow| format!("{}/{}", bytes(flow.incoming), bytes(flow.outgoing)))
    }
}

impl Listed for Load {
    const COLUMNS: &'static [C<Self>] = &[
        C::wide("ID", |l, _| l.id.clone()),
        C::new("NAME", |l, _| l.name.clone()),
        C::known("IN", |l, _| l.place.clone()),
        C::new("CPU", |l, _| Cpu(l.cpu_millis).to_string()),
        C::new("MEMORY", |l, _| bytes(l.memory)),
        C::new("DISK R/W", |l, _| l.last(|point| point.disk)),
        C::new("NETWORK IN/OUT", |l, _| l.last(|point| point.network)),
        C::new("CPU, LAST HOUR", |l, _| {
            l.history.as_ref().map(|history| spark(&cpu(history))).unwrap_or_default()
        }),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.id.clone(), self.name.clone()]
    }
}

/// Those of which an instance is measured.
fn services(instances: &[InstanceView]) -> Vec<Load> {
    let mut services: BTreeMap<String, (Load, u32)> = BTreeMap::new();
    for instance in instances {
        let Some(usage) = instance.usage else { continue };
        let name = format!("{}/{}/{}", instance.project, instance.application, instance.service);
        let (load, count) = services.entry(name.clone()).or_insert_with(|| (Load::group(name), 0));
        load.add(usage.cpu_millis, usage.memory);
        *count += 1;
    }
    counted(services, "instance")
}

/// Those that have a node online; the nodes of the orchestrator itself are in none.
fn clusters(nodes: &[NodeView]) -> Vec<Load> {
    let mut clusters: BTreeMap<String, (Load, u32)> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.state == MemberState::Online) {
        let name = node.cluster.clone().unwrap_or_else(|| "-".to_owned());
        let (load, count) = clusters.entry(name.clone()).or_insert_with(|| (Load::group(name), 0));
        load.add(node.usage.cpu_millis, node.usage.memory);
        *count += 1;
    }
    counted(clusters, "node")
}

fn counted(groups: BTreeMap<String, (Load, u32)>, what: &str) -> Vec<Load> {
    let told = |(load, count): (Load, u32)| {
        let plural = if count == 1 { "" } else { "s" };
        Load { place: format!("{count} {what}{plural}"), ..load }
    };
    groups.into_values().map(told).collect()
}

/// For a line of blocks.
pub(crate) fn cpu(history: &UsageHistory) -> Vec<u64> {
    history.points.iter().map(|point| point.cpu_millis).collect()
}

#[cfg(test)]
mod tests {
    use holm_model::member::Usage;

    use super::*;
    use crate::output::samples::instance;

    #[test]
    fn services_are_the_sum_of_their_instances() {
        let mut views =
            vec![instance("1-aa-1", "web/0"), instance("1-aa-2", "web/1"), instance("1-aa-3", "web/2")];
        for view in &mut views[..2] {
            view.usage = Some(Usage { cpu_millis: 500, memory: 1 << 20 });
        }
        let loads = services(&views);
        assert_eq!(loads.len(), 1);
        assert_eq!((loads[0].cpu_millis, loads[0].memory, &*loads[0].place), (1000, 2 << 20, "2 instances"));
        assert!(loads[0].is(&format!("{}/building/web", views[0].project)), "{loads:?}");
    }

    #[test]
    fn a_row_tells_what_is_used_now_and_how_it_went() {
        let mut view = instance("1-aa-1", "web/0");
        assert!(Load::of_instance(&view).is_none(), "nothing was measured");
        view.usage = Some(Usage { cpu_millis: 1500, memory: 64 << 20 });
        let mut load = Load::of_instance(&view).unwrap();
        let point = |cpu_millis| UsagePoint {
            cpu_millis,
            network: Some(Flow { incoming: 2048, outgoing: 20 << 20 }),
            ..UsagePoint::default()
        };
        load.history = Some(UsageHistory { step_seconds: 15, points: vec![point(0), point(1500)] });
        assert!(load.is("1-aa-1") && load.is("building/web/0") && !load.is("web"));
        let text = table::render(&[load], false, now(), false);
        for word in ["building/web/0", "vienna/fl-1", "1500m", "64Mi", "2048/20Mi", "▁█"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}
