//! `holm describe`: one thing in full.

use clap::{Args, Subcommand};
use holm_client::Client;
use holm_model::coordinate::Coordinate;
use holm_model::name::Name;
use holm_model::resources::Cpu;
use holm_model::taint;
use holm_model::usage::UsageHistory;
use holm_model::view::drain::DrainView;
use holm_model::view::generation::RolloutView;
use holm_model::view::query::{HistoryQuery, InstanceQuery};
use holm_model::view::{ApplicationView, ClusterView, EventView, InstanceView, NodeView};

use super::top;
use super::wait::{self, Wanted};
use super::{Project, events, slots};
use crate::connect::At;
use crate::failure::Failure;
use crate::output::services::Service;
use crate::output::spark::{bytes, spark_up_to};
use crate::output::time::{age, local, now};
use crate::output::{Output, notes, rows, stdout_ink, table};
use crate::resolve::{self, Target};

#[derive(Args, Debug)]
pub(crate) struct Describe {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// An application: its services, instances and what happened to them
    #[command(visible_aliases = ["app", "applications"])]
    Application {
        name: String,
        #[command(flatten)]
        project: Project,
        #[command(flatten)]
        output: Output,
    },
    /// A service: what is wished, and its instances
    #[command(visible_aliases = ["svc", "services"])]
    Service {
        #[arg(value_name = "APPLICATION/SERVICE")]
        name: Target,
        #[command(flatten)]
        project: Project,
        #[command(flatten)]
        output: Output,
    },
    /// An instance, by id or slot
    #[command(visible_aliases = ["inst", "instances"])]
    Instance {
        name: String,
        #[command(flatten)]
        project: Project,
        #[command(flatten)]
        output: Output,
    },
    /// A node: what it is, and what runs there
    #[command(visible_alias = "nodes")]
    Node {
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// A cluster and its nodes
    #[command(visible_alias = "clusters")]
    Cluster {
        name: String,
        #[command(flatten)]
        output: Output,
    },
}

/// Events that are shown.
const EVENTS: u32 = 15;

pub(crate) async fn run(At { args, connect }: At<Describe>) -> Result<(), Failure> {
    let client = connect.client()?;
    match &args.what {
        What::Application { name, project, output } => {
            application(&client, project.of(&connect)?.as_str(), name, *output).await
        }
        What::Service { name, project, output } => {
            service(&client, project.of(&connect)?.as_str(), name, *output).await
        }
        What::Instance { name, project, output } => {
            instance(&client, &project.of(&connect)?, name, *output).await
        }
        What::Node { name, output } => node(&client, name, *output).await,
        What::Cluster { name, output } => cluster(&client, name, *output).await,
    }
}

// === each thing ===

async fn application(client: &Client, project: &str, name: &str, output: Output) -> Result<(), Failure> {
    let view = client.application(project, name).await?;
    let instances = wait::instances(client, Wanted { project, name, generation: 0 }).await?;
    let application = Some(format!("{project}/{name}"));
    let events = history(client, HistoryQuery { application, ..HistoryQuery::default() }).await?;
    // An orchestrator of before there were any has none.
    let mut exposures = client.exposures().await.unwrap_or_default();
    exposures.retain(|exposure| exposure.project == view.project && exposure.application == view.name);
    output.print(&view, || {
        [
            about_application(&view),
            note(&view),
            services(&view),
            section("exposed", &exposures),
            section("instances", &instances),
            happened(&events),
        ]
        .concat()
    })
}

async fn service(client: &Client, project: &str, target: &Target, output: Output) -> Result<(), Failure> {
    let Target { application, service } = target;
    let all: Vec<_> = Service::of(client.application(project, application).await?).collect();
    let names: Vec<_> = all.iter().map(|one| one.view.name.clone()).collect();
    let wanted = |one: &Service| service.as_ref().is_none_or(|name| *name == one.view.name);
    let mut found: Vec<_> = all.into_iter().filter(wanted).collect();
    let (Some(one), true) = (found.pop(), found.is_empty()) else {
        let asked =
            service.as_deref().map_or("which service?".to_owned(), |name| format!("no service `{name}`"));
        let hint = format!("it has {}; write `{application}/SERVICE`", names.join(", "));
        return Err(Failure::new(format!("{application}: {asked}")).hint(hint));
    };
    let mut instances = wait::instances(client, Wanted { project, name: application, generation: 0 }).await?;
    instances.retain(|instance| instance.service == one.view.name);
    output.print(&one, || {
        let spec = serde_json::to_string_pretty(&one.view.spec).unwrap_or_default();
        let about = section("service", std::slice::from_ref(&one));
        format!("{}{}\nspecification\n{spec}\n", about.trim_start(), section("instances", &instances))
    })
}

async fn instance(client: &Client, project: &Name, name: &str, output: Output) -> Result<(), Failure> {
    let view = resolve::instance(client, project, name).await?;
    let events =
        history(client, HistoryQuery { subject: view.id.clone(), ..HistoryQuery::default() }).await?;
    let usage = match &view.id {
        Some(id) => client.instance_usage(id).await.ok(),
        None => None,
    };
    let identity = has_identity(client, &view).await;
    output.print(&view, || about_instance(&view, identity) + &lately(usage.as_ref()) + &happened(&events))
}

/// Whether it may ask its node who it is; unknown of an application that the orchestrator does not own.
async fn has_identity(client: &Client, view: &InstanceView) -> Option<bool> {
    let application = client.application(&view.project, &view.application).await.ok()?;
    let service = application.services.into_iter().find(|service| service.name == view.service)?;
    Some(service.spec.get("identity").is_some_and(|identity| *identity == true))
}

async fn node(client: &Client, name: &str, output: Output) -> Result<(), Failure> {
    let view = client.node(name).await?;
    let query = InstanceQuery { node: Some(view.id.clone()), ..InstanceQuery::default() };
    let instances = client.instances(&query).await?;
    // A node without a link tells nothing of it.
    let usage = client.node_usage(&view.id).await.ok();
    output.print(&view, || {
        let used = lately(usage.as_ref());
        [
            about_node(&view),
            drained(view.draining.as_ref()),
            used,
            note(&view),
            runtimes(&view),
            section("instances", &instances),
        ]
        .concat()
    })
}

async fn cluster(client: &Client, name: &str, output: Output) -> Result<(), Failure> {
    let view = client.cluster(name).await?;
    let mut nodes = client.nodes().await?;
    nodes.retain(|node| node.cluster.as_deref() == Some(&view.name));
    output.print(&view, || {
        [about_cluster(&view), drained(view.draining.as_ref()), note(&view), section("nodes", &nodes)]
            .concat()
    })
}

async fn history(client: &Client, query: HistoryQuery) -> Result<Vec<EventView>, Failure> {
    let mut events = client.history(&HistoryQuery { limit: Some(EVENTS), ..query }).await?.items;
    events.reverse();
    Ok(events)
}

// === texts ===

fn note(thing: &impl table::Listed) -> String {
    notes::explain(&thing.waits())
}

fn section<T: table::Listed>(title: &str, items: &[T]) -> String {
    if items.is_empty() {
        String::new()
    } else {
        format!("\n{title}\n{}", table::render(items, false, now(), stdout_ink()))
    }
}

fn happened(events: &[EventView]) -> String {
    let lines: String = events.iter().map(|event| format!("{}\n", events::line(event))).collect();
    if lines.is_empty() { lines } else { format!("\nevents\n{lines}") }
}

fn when(at: holm_model::time::Time) -> String {
    format!("{} ({} ago)", local(at), age(at, now()))
}

fn about_application(view: &ApplicationView) -> String {
    let pairs = [
        ("application", view.name.clone()),
        ("project", view.project.clone()),
        ("id", view.id.clone()),
        ("state", rows::with_note(view.state.word(), view.unconfirmed, "unconfirmed")),
        ("generation", view.generation.to_string()),
        ("rollout", view.rollout.as_ref().map(rollout).unwrap_or_default()),
        ("created", when(view.created)),
        ("changed", when(view.changed)),
    ];
    table::pairs(&pairs, stdout_ink())
}

/// How its newest generation goes, in a line.
fn rollout(view: &RolloutView) -> String {
    let canaries = view.canaries.join(", ");
    let state = match view.took_back {
        Some(failed) => format!("{}, in the place of generation {failed}", view.outcome.word()),
        None if canaries.is_empty() => view.outcome.word().to_owned(),
        None => format!("the canary of {canaries} waits for `holm promote`"),
    };
    let why = if view.reason.is_empty() { String::new() } else { format!(": {}", view.reason) };
    crate::output::clean(&format!("generation {}, {state}{why}", view.generation))
}

fn services(view: &ApplicationView) -> String {
    let row = |service: &holm_model::view::ServiceView| {
        vec![
            service.name.clone(),
            service.state.word().to_owned(),
            service.runtime.clone(),
            format!("{}/{}", service.running, service.slots),
            service.replicas.clone(),
            service.run.word().to_owned(),
            service.next.map(local).unwrap_or_default(),
        ]
    };
    let head = ["SERVICE", "STATE", "RUNTIME", "RUNNING", "REPLICAS", "WISH", "NEXT RUN"];
    format!("\nservices\n{}", table::plain(&head, view.services.iter().map(row).collect(), stdout_ink()))
}

fn about_instance(view: &InstanceView, identity: Option<bool>) -> String {
    let place: Vec<_> = [&view.cluster, &view.node].into_iter().flatten().map(String::as_str).collect();
    let ports: Vec<_> = view.ports.iter().map(|(name, port)| format!("{name} = {port}")).collect();
    let pairs = [
        ("slot", format!("{}/{}", view.application, view.slot)),
        ("project", view.project.clone()),
        ("id", view.id.clone().unwrap_or_default()),
        ("state", view.state.clone()),
        ("ready", ready(view)),
        ("reason", view.reason.clone()),
        ("since", when(view.since)),
        ("node", place.join("/")),
        ("runtime", view.runtime.clone()),
        ("generation", view.generation.to_string()),
        ("restarts", view.restarts.to_string()),
        ("incarnation", view.incarnation.to_string()),
        ("ports", ports.join(", ")),
        ("identity", identity.map_or("", |yes| if yes { "yes" } else { "no" }).to_owned()),
    ];
    table::pairs(&pairs, stdout_ink())
}

/// With what its check said last.
fn ready(view: &InstanceView) -> String {
    let word = if view.ready { "yes" } else { "no" };
    if view.answer.is_empty() { word.to_owned() } else { format!("{word} ({})", view.answer) }
}

fn about_node(view: &NodeView) -> String {
    let (facts, join) = (&view.facts, |texts: &[String]| texts.join(", "));
    let taints: Vec<_> = view.taints.iter().map(|(key, value)| taint::written(key, value)).collect();
    let capabilities: Vec<_> = view.capabilities.iter().map(|name| counted(name, view)).collect();
    let labels: Vec<_> = view.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let free =
        |free: &Option<String>| free.as_ref().map_or_else(String::new, |free| format!(" ({free} free)"));
    let disk = |bytes| holm_model::resources::Memory(bytes).to_string();
    let pairs = [
        ("node", view.name.clone()),
        ("id", view.id.clone()),
        ("cluster", view.cluster.clone().unwrap_or_default()),
        ("state", rows::standing(view.state, view.frozen, view.unconfirmed, view.leaving)),
        ("remark", rows::remark(view)),
        ("heard", view.last_heard.map(when).unwrap_or_default()),
        ("host", facts.hostname.clone()),
        ("addresses", join(&facts.addresses)),
        ("system", format!("{} {}, kernel {}", facts.os_version, view.arch, facts.kernel)),
        ("cpu", format!("{}{}, {}", view.cpu, free(&view.cpu_free), facts.cpu_model)),
        ("memory", format!("{}{}", view.memory, free(&view.memory_free))),
        ("disk", format!("{} ({} free)", disk(facts.disk_total), disk(facts.disk_free))),
        ("gpus", join(&facts.gpus)),
        ("devices", join(&facts.devices)),
        ("capabilities", join(&capabilities)),
        ("labels", join(&labels)),
        ("taints", join(&taints)),
        ("network", view.coordinate.map(|there| network(&there)).unwrap_or_default()),
        ("version", facts.version.clone()),
    ];
    table::pairs(&pairs, stdout_ink())
}

/// A root is in the middle of its sea.
fn network(there: &Coordinate) -> String {
    let (way, error) = (there.to(&Coordinate::default()), there.error / 10);
    format!("{way} from the root by estimate, estimates are {error} % off")
}

fn counted(name: &str, view: &NodeView) -> String {
    view.units.get(name).map_or_else(|| name.to_owned(), |units| format!("{name}={units}"))
}

/// What is still on a member that people empty, and why.
fn drained(draining: Option<&DrainView>) -> String {
    let Some(drain) = draining else { return String::new() };
    let stays = drain
        .stays
        .iter()
        .map(|stays| (format!("{}/{}", stays.application, stays.slot), stays.reason.clone()));
    let left = slots::below(stays);
    format!(
        "\ndraining since {}{}\n",
        when(drain.since),
        if left.is_empty() { "\n  nothing is left" } else { &left }
    )
}

/// The last hour as lines; empty when nothing is known of it.
fn lately(usage: Option<&UsageHistory>) -> String {
    let Some(usage) = usage.filter(|usage| !usage.points.is_empty()) else { return String::new() };
    let memory: Vec<u64> = usage.points.iter().map(|point| point.memory).collect();
    let pairs = [
        ("cpu", spark_up_to(&top::cpu(usage), |millis| Cpu(millis).to_string())),
        ("memory", spark_up_to(&memory, bytes)),
    ];
    format!("\nlast hour\n{}", table::pairs(&pairs, stdout_ink()))
}

fn runtimes(view: &NodeView) -> String {
    let row = |runtime: &holm_model::member::RuntimeFacts| {
        let limits =
            if runtime.enforces.is_empty() { "nothing".to_owned() } else { runtime.enforces.join(", ") };
        let ready =
            runtime.unavailable.as_ref().map_or_else(|| "ready".to_owned(), |why| format!("no: {why}"));
        let count = |count: Option<u64>| count.map(|count| count.to_string()).unwrap_or_default();
        vec![
            runtime.name.to_string(),
            runtime.version.clone(),
            limits,
            count(runtime.images),
            count(runtime.containers),
            ready,
        ]
    };
    let rows: Vec<_> = view.facts.runtimes.iter().map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let head = ["RUNTIME", "VERSION", "LIMITS", "IMAGES", "CONTAINERS", "READY"];
    format!("\nruntimes\n{}", table::plain(&head, rows, stdout_ink()))
}

fn about_cluster(view: &ClusterView) -> String {
    let pairs = [
        ("cluster", view.name.clone()),
        ("id", view.id.clone()),
        ("state", rows::standing(view.state, view.frozen, view.unconfirmed, view.leaving)),
        ("nodes", format!("{} online of {}", view.online, view.nodes)),
        ("cpu", format!("{} ({} free)", view.cpu, view.cpu_free)),
        ("memory", format!("{} ({} free)", view.memory, view.memory_free)),
        ("instances", view.instances.to_string()),
        ("heard", view.last_heard.map(when).unwrap_or_default()),
    ];
    table::pairs(&pairs, stdout_ink())
}
