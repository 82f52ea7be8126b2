//! `--once`: the readings of all floors, a collector that is killed, its replacement, a summary.

use std::io::Write as _;
use std::time::Duration;

use futures::StreamExt as _;
use holm_client::Client;
use holm_model::view::InstanceView;
use holm_model::view::query::LogQuery;
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep, timeout_at};

use super::plan::FLOORS;
use super::process::Process;
use super::sea::Sea;
use super::{PROJECT, Stage};
use crate::commands::pulse::Pulse;
use crate::commands::wait::{self, Wanted};
use crate::failure::Failure;
use crate::output::{clean, say};
use crate::programs::http;
use crate::programs::web::Building;

/// Between two requests for the readings.
const LOOK: Duration = Duration::from_millis(50);
/// Who is killed.
const VICTIM: &str = "collector";
/// Lines of each log that explain a failure.
const TAIL: usize = 10;

pub(super) async fn run(sea: &Sea, stage: &Stage, limit: Duration) -> Result<(), Failure> {
    let building = readings(stage, limit).await?;
    let values: usize = building.collectors.iter().map(|collector| collector.readings.len()).sum();
    say(&format!("The page has {values} readings of {} floors.", building.collectors.len()))?;

    let victim = victim(sea, &stage.client).await?;
    let process = program_of(sea, &victim)?;
    say(&format!(
        "Killing {} (process {}) on {} …",
        victim.slot,
        process.pid,
        victim.node.as_deref().unwrap_or("-")
    ))?;
    let mut pulse = Pulse::open(&stage.client).await?;
    let killed = Instant::now();
    process.signal(Signal::SIGKILL);
    replaced(sea, stage, &victim, &mut pulse, killed + limit).await?;
    let took = killed.elapsed();
    readings(stage, limit).await?;
    say(&format!(
        "\nsummary\n  floors with readings      {}\n  apply to RUNNING          {} ms\n  \
         kill -9 to RUNNING again  {} ms\n  readings after that       complete\n",
        FLOORS.join(", "),
        stage.took.as_millis(),
        took.as_millis(),
    ))
}

/// What the page says, once it says something of every floor.
async fn readings(stage: &Stage, limit: Duration) -> Result<Building, Failure> {
    let (deadline, address) = (Instant::now() + limit, stage.forward.address().to_string());
    loop {
        let address = address.clone();
        let fetch = move || http::get(&address, "/readings", Duration::from_secs(5));
        let fetched = tokio::task::spawn_blocking(fetch).await;
        let fetched = fetched.map_err(|e| Failure::from_error("a bug: the request broke", &e))?;
        let missing = match fetched.map(|text| serde_json::from_str::<Building>(&text)) {
            Ok(Ok(building)) => match missing(&building) {
                None => return Ok(building),
                Some(missing) => missing,
            },
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(Failure::new(format!("the page has no readings of all floors: {missing}")));
        }
        sleep(LOOK).await;
    }
}

fn missing(building: &Building) -> Option<String> {
    let says = |floor: &&str| {
        let on = |c: &&crate::programs::web::Collector| {
            c.floor.as_deref() == Some(floor) && !c.readings.is_empty()
        };
        building.collectors.iter().any(|collector| on(&collector))
    };
    let silent: Vec<_> = FLOORS.iter().filter(|floor| !says(floor)).copied().collect();
    let errors: Vec<_> = building.collectors.iter().filter_map(|c| c.error.as_deref()).collect();
    (!silent.is_empty()).then(|| format!("floor {} is missing {errors:?}", silent.join(", ")))
}

async fn victim(sea: &Sea, client: &Client) -> Result<InstanceView, Failure> {
    let all = instances(sea, client).await?;
    let victim = all.into_iter().find(|i| i.service == VICTIM && i.state == "RUNNING" && i.id.is_some());
    victim.ok_or_else(|| Failure::new("no collector runs that could be killed"))
}

async fn instances(sea: &Sea, client: &Client) -> Result<Vec<InstanceView>, Failure> {
    let Some((_, name)) = sea.application() else { return Ok(Vec::new()) };
    wait::instances(client, Wanted { project: PROJECT, name, generation: 0 }).await
}

/// The node is on this machine: its directory tells which process it is.
fn program_of(sea: &Sea, instance: &InstanceView) -> Result<Process, Failure> {
    let (node, id) =
        (instance.node.as_deref().unwrap_or_default(), instance.id.as_deref().unwrap_or_default());
    let file = sea.instances_of(node).join(id).join("running.json");
    let text = std::fs::read(&file);
    let text = text.map_err(|e| Failure::from_error(format!("cannot read {}", file.display()), &e))?;
    let running: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let pid = running.get("program").and_then(serde_json::Value::as_i64);
    let process = pid.and_then(|pid| Process::now(i32::try_from(pid).ok()?));
    process.ok_or_else(|| Failure::new(format!("{} has no process, says {}", instance.slot, file.display())))
}

/// Returns when another incarnation, or another instance, runs in the victim's slot.
async fn replaced(
    sea: &Sea,
    stage: &Stage,
    victim: &InstanceView,
    pulse: &mut Pulse,
    deadline: Instant,
) -> Result<(), Failure> {
    let is_new = |i: &&InstanceView| {
        i.slot == victim.slot
            && i.state == "RUNNING"
            && (i.id != victim.id || i.incarnation > victim.incarnation)
    };
    loop {
        let all = instances(sea, &stage.client).await?;
        if all.iter().any(|instance| is_new(&instance)) {
            return Ok(());
        }
        match timeout_at(deadline, pulse.beat()).await {
            Ok(beat) => drop(beat?),
            Err(_) => {
                return Err(Failure::new(format!("{} was not replaced after it was killed", victim.slot)));
            }
        }
    }
}

// === explaining a failure ===

/// Prints the last lines of all logs: they are about to be removed.
pub(super) async fn explain(sea: &Sea, failure: &Failure) {
    complain(format_args!("\nThe demo has failed: {failure}"));
    for (name, file) in sea.logs() {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        tell(&name, &lines[lines.len().saturating_sub(TAIL)..]);
    }
    let Some((client, _)) = sea.application() else { return };
    for instance in instances(sea, client).await.unwrap_or_default() {
        let Some(id) = &instance.id else { continue };
        let query = LogQuery { tail: Some(TAIL as u64), ..LogQuery::default() };
        let Ok(lines) = client.logs(id, &query).await else { continue };
        let lines: Vec<_> = lines.filter_map(async |line| line.ok().map(|line| line.text)).collect().await;
        tell(&format!("{} ({})", instance.slot, instance.state), &lines);
    }
}

fn tell(name: &str, lines: &[impl AsRef<str>]) {
    if !lines.is_empty() {
        complain(format_args!("--- the end of the log of {name}"));
    }
    for line in lines {
        complain(clean(line.as_ref()));
    }
}

/// The terminal may have gone, which is no reason not to clean up.
fn complain(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
