//! From one version to the next in the order of docs/install.md, from the top: root, cluster, node after node. After
//! each, both versions stand side by side and everything has to work. Then the way back, from the bottom.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::island::{CLUSTER, Island, NODES, ROOT};
use super::steps::Drill as _;
use super::wait_for;

/// What became of an older program on a store that the newer one has written.
#[derive(Debug)]
enum Back {
    /// With what it said.
    Refused(String),
    GoesOn,
}

/// Where SQLite keeps what we use as the version of the schema.
const USER_VERSION: u64 = 60;

pub(super) fn run(older: &Path, newer: &Path) -> Result<()> {
    let mut island = Island::new(older, newer)?;
    let outcome = all(&mut island);
    let shown = island.steps().show();
    if outcome.is_err() || shown.is_err() {
        island.ground.show_logs(&[ROOT, CLUSTER, NODES[0], NODES[1]]);
    }
    outcome.and(shown)
}

fn all(island: &mut Island) -> Result<()> {
    island.step("a sea of the previous version", Island::set_up)?;
    side_by_side(island, "before");
    island.step("a rolling deployment begins", Island::roll)?;
    for orchestrator in [ROOT, CLUSTER] {
        island.step(&format!("{orchestrator} is upgraded"), |island| upgrade(island, orchestrator))?;
    }
    island.try_step("the rolling deployment goes on to its end", Island::rolled);
    side_by_side(island, "root and cluster are new, the nodes are not");
    for node in NODES {
        island.step(&format!("{node} is upgraded"), |island| upgrade(island, node))?;
        side_by_side(island, &format!("{node} is new"));
    }
    for member in [NODES[1], CLUSTER, ROOT] {
        island.try_step(&format!("{member} as the previous version again"), |island| back(island, member));
    }
    side_by_side(island, "all is new again");
    island.step("what was deployed is deleted, and ends", Island::clear)
}

fn side_by_side(island: &mut Island, when: &str) {
    island.try_step(&format!("{when}: status, events, logs, exec"), Island::looks);
    island.try_step(&format!("{when}: scale, apply, delete, kill"), Island::works);
    island.try_step(&format!("{when}: nothing else was touched"), Island::untouched);
}

fn upgrade(island: &mut Island, name: &str) -> Result<()> {
    island.ground.stop(name)?;
    let schema = schema(island, name)?;
    island.schemas.insert(name.to_owned(), schema);
    let newer = island.programs.newer.clone();
    restart(island, name, &newer)?;
    island.untouched()
}

/// The older program refuses a store of another schema and changes nothing; one of the same it may open.
fn back(island: &mut Island, name: &str) -> Result<()> {
    island.ground.stop(name)?;
    let store = island.ground.path(name).join("holm.db");
    let (was, found) = (fs::read(&store)?, schema(island, name)?);
    let known = *island.schemas.get(name).context("it was not upgraded")?;
    let older = island.programs.older.clone();
    let answer = try_to_start(island, name, &older)?;
    match &answer {
        Back::Refused(reason) => {
            println!("  refused: {reason}");
            let place = island.ground.text(name);
            ensure!(reason.contains(&place), "the refusal does not say where: {reason}");
            ensure!(fs::read(&store)? == was, "it refused {}, and changed it", store.display());
        }
        Back::GoesOn => {
            ensure!(found == known, "it opened a store of schema version {found}, and knows {known}");
            println!("  the schema is the same (version {found}): it goes on");
            island.untouched()?;
            island.looks()?;
            island.ground.stop(name)?;
        }
    }
    let newer = island.programs.newer.clone();
    restart(island, name, &newer)?;
    island.looks()?;
    island.untouched()
}

fn restart(island: &mut Island, name: &str, program: &Path) -> Result<()> {
    match try_to_start(island, name, program)? {
        Back::GoesOn => Ok(()),
        Back::Refused(reason) => bail!("{name} does not start: {reason}"),
    }
}

/// Until it works, or has ended by itself.
fn try_to_start(island: &mut Island, name: &str, program: &Path) -> Result<Back> {
    let said = island.ground.log(name).len();
    island.ground.switch(program);
    island.ground.start(name)?;
    wait_for(&format!("{name} works, or says why not"), || {
        if island.ground.ended(name)?.is_some() {
            let log = island.ground.log(name);
            return Ok(Some(Back::Refused(log[said..].trim().to_owned())));
        }
        let up = if NODES.contains(&name) {
            island.ground.log(name)[said..].contains("Linked to the orchestrator.")
        } else {
            island.newer(name).holm(&["status"])?.done().is_ok()
        };
        Ok(up.then_some(Back::GoesOn))
    })
}

/// The version of the schema of a store that is closed.
fn schema(island: &Island, name: &str) -> Result<u32> {
    let path = island.ground.path(name).join("holm.db");
    let mut bytes = [0; 4];
    let mut file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    file.seek(SeekFrom::Start(USER_VERSION))?;
    file.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}
