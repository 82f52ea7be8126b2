//! How long this crate itself takes: `cargo run --release -p holm-runtime --example measure -- <program
//! of the supervisor> [arguments before its verb]`. Prints medians over 50 starts of `sleep`, the
//! supervisor's memory, and the time from SIGKILL to the event.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use holm_model::id::{AssignmentId, Epoch, Uid};
use holm_model::name::Name;
use holm_model::service::ServiceSpec;
use holm_runtime::process::cgroup::Cgroups;
use holm_runtime::process::{ProcessConfig, ProcessRuntime};
use holm_runtime::{Launch, Runtime as _};
use tokio::sync::mpsc;

const TIMES: u64 = 50;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let supervisor = PathBuf::from(arguments.next().ok_or("name the supervisor's program")?);
    let root = std::env::temp_dir().join(format!("holm-measure-{}", std::process::id()));
    let mut config = ProcessConfig::new(root.clone(), supervisor.clone());
    config.supervisor = (supervisor, arguments.collect());
    let cgroups = Cgroups::detect("measure");
    println!("enforces {:?}", cgroups.enforces());
    let (send, mut events) = mpsc::channel(8);
    let runtime = ProcessRuntime::new(config, cgroups.clone(), send);
    let (mut starts, mut ends, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for counter in 0..TIMES {
        let launch = launch(counter)?;
        let begun = Instant::now();
        runtime.start(&launch).await?;
        starts.push(begun.elapsed());
        memory.push(pss(&root.join(launch.id.to_string()))?);
        let begun = Instant::now();
        runtime.halt(launch.id, Duration::from_secs(5)).await?;
        events.recv().await.ok_or("the driver ended")?;
        ends.push(begun.elapsed());
        runtime.remove(launch.id).await?;
    }
    cgroups.retire();
    std::fs::remove_dir_all(root)?;
    println!("start  {:?}", median(&mut starts));
    println!("halt   {:?}", median(&mut ends));
    println!("supervisor {} KiB PSS", median(&mut memory));
    Ok(())
}

fn launch(counter: u64) -> Result<Launch, Failure> {
    let spec = ServiceSpec::new(Name::new("process")?, vec!["sleep".into(), "1000".into()]);
    let id = AssignmentId(Uid { epoch: Epoch::new(1, u64::from(std::process::id())), counter });
    let (env, ports) = (BTreeMap::new(), BTreeMap::new());
    Ok(Launch {
        id,
        incarnation: 1,
        project: Name::new("measure")?,
        name: "measure/sleep/1".into(),
        wish: holm_model::id::WishId(id.0),
        spec,
        env,
        ports,
        files: None,
        lease: None,
        given: holm_runtime::Given::default(),
        step: None,
        after_steps: false,
    })
}

fn pss(dir: &std::path::Path) -> Result<u64, Failure> {
    let running: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.join("running.json"))?)?;
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", running["supervisor"]))?;
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).ok_or("no Pss")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
}

fn median<T: Ord + Copy>(values: &mut [T]) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}
