//! From a file to running instances: the image, an application that says it, and how long each part took.
//!
//! ```text
//! form ──► [`builds`](crate::builds) ──► [`manifest`]: the first one, or the present one with the new image ──► apply ──► [`phases`]
//! ```

mod manifest;
mod phases;

use std::time::{Duration, Instant};

use holm_core::orchestrator::command::{Actor, Command, Expected, Reply};
use holm_image::platform::Platform;
use holm_model::name::Name;
use holm_model::state::ServiceState;
use holm_model::view::build::{BuildView, DeployView, PhaseView};
use holm_model::view::verdict::Verdict;
use holm_model::view::{ApplyView, NodeView};
use holm_model::wish::AppKey;
use tokio::time::timeout;

use self::manifest::{Wanted, again, first};
use self::phases::Watch;
use crate::problem::{Fault, Kind};
use crate::state::Api;

/// What is deployed, beside its image.
#[derive(Clone, Debug)]
pub(crate) struct Deploy {
    pub(crate) project: Name,
    /// Of the application, its only service, and its image.
    pub(crate) name: Name,
    /// On each of these; empty: once, wherever there is room (or as before).
    pub(crate) devices: Vec<Name>,
    pub(crate) ports: Vec<u16>,
}

/// How long what has failed for good on its node may take to be tried on another one.
const ELSEWHERE: Duration = Duration::from_secs(1);
/// How often an application that others change at the same time is changed.
const TRIES: u32 = 5;
/// How long the parts of a deployment are listened for.
const LISTEN: Duration = Duration::from_secs(600);

/// The nodes of these names.
///
/// # Errors
/// When there is none of a name.
pub(crate) fn devices<'a>(nodes: &'a [NodeView], names: &[Name]) -> Result<Vec<&'a NodeView>, Fault> {
    let find = |name: &Name| nodes.iter().find(|node| node.name == name.as_str());
    names.iter().map(|name| find(name).ok_or_else(|| Fault::no_such("node", name.as_str()))).collect()
}

/// For what machines an image must be to run on all of them; each once.
pub(crate) fn platforms(devices: &[&NodeView]) -> Vec<Platform> {
    let mut platforms: Vec<_> = devices.iter().map(|node| Platform::of_machine(&node.arch)).collect();
    platforms.sort_unstable();
    platforms.dedup();
    platforms
}

/// Errs when one of the devices runs none of the programs.
pub(crate) fn fit(devices: &[&NodeView], programs: &[Platform]) -> Result<(), Fault> {
    let unfit = devices.iter().find(|node| !programs.iter().any(|program| program.runs_at(node)));
    let Some(node) = unfit.filter(|_| !programs.is_empty()) else { return Ok(()) };
    let programs: Vec<_> = programs.iter().map(ToString::to_string).collect();
    let detail = format!(
        "the node {} is {}, and the file is for {}; build the program for this architecture, and send one file for each",
        node.name,
        node.arch,
        programs.join(", ")
    );
    Err(Fault::new(Kind::Invalid, detail))
}

impl Deploy {
    /// Makes the image what the application says, and listens to what becomes of it: for `wait`, or beside this.
    ///
    /// # Errors
    /// When the application cannot say it, or does not run in time.
    pub(crate) async fn run(
        &self,
        api: &Api,
        actor: Actor,
        built: &BuildView,
        wait: Option<Duration>,
    ) -> Result<DeployView, Fault> {
        let begun = Instant::now();
        let key = AppKey { project: self.project.clone(), application: self.name.clone() };
        let wanted =
            Wanted { name: &self.name, image: &built.image, devices: &self.devices, ports: &self.ports };
        let mut watch = Watch::new(api.changes(), format!("{}/{}", key.project, key.application));
        let applied = self.apply(api, &actor, &key, &wanted).await?;
        watch.begin();
        let phases = vec![
            PhaseView { name: "build".to_owned(), milliseconds: built.milliseconds },
            PhaseView { name: "apply".to_owned(), milliseconds: millis(begun.elapsed()) },
        ];
        let view = DeployView {
            project: self.project.to_string(),
            application: self.name.to_string(),
            generation: applied.generation,
            image: built.image.clone(),
            running: false,
            phases,
        };
        let ended = Ended { api: api.clone(), actor, key, watch, view: view.clone() };
        let Some(wait) = wait else {
            api.connections().spawn(async move {
                let stopped = ended.api.stopped();
                tokio::select! {
                    _ = timeout(LISTEN, ended.end()) => {}
                    () = stopped => {}
                }
            });
            return Ok(view);
        };
        match timeout(wait, ended.end()).await {
            Ok(ended) => ended,
            Err(_) => Err(Fault::new(
                Kind::Conflict,
                format!(
                    "it does not run after {} s; `holm describe application {}` shows why",
                    wait.as_secs(),
                    self.name
                ),
            )),
        }
    }

    /// What others change meanwhile is kept: it is read again, and changed once more.
    async fn apply(
        &self,
        api: &Api,
        actor: &Actor,
        key: &AppKey,
        wanted: &Wanted<'_>,
    ) -> Result<ApplyView, Fault> {
        let mut tries = TRIES;
        loop {
            let (text, expected) = match api.application(self.project.as_str(), self.name.as_str()).await? {
                None => (first(wanted), Expected::NoneOf(Vec::new())),
                Some(present) => {
                    let text = again(&self.newest(api, key).await?, wanted)?;
                    (text, Expected::OneOf(vec![present.generation]))
                }
            };
            let application = manifest::read(&text)?;
            let command = Command::Apply { project: self.project.clone(), application, expected };
            tries -= 1;
            match api.command(actor.clone(), command).await {
                Ok(Reply::Applied(applied)) => return Ok(applied),
                Ok(_) => {
                    return Err(Fault::new(
                        Kind::Internal,
                        "an apply was answered with something else (a bug)",
                    ));
                }
                Err(fault) if fault.kind() == Kind::Precondition && tries > 0 => {}
                Err(fault) => return Err(fault),
            }
        }
    }

    /// What the application said last: after it was scaled by hand, its number is another one.
    async fn newest(&self, api: &Api, key: &AppKey) -> Result<String, Fault> {
        let app = key.clone();
        let said = api.query(move |machine| {
            let generations = machine.generations(&app)?;
            let newest = generations.into_iter().find(|generation| generation.current)?;
            machine.generation(&app, newest.generation).ok()?.manifest
        });
        let missing = || Fault::no_such("application", self.name.as_str());
        said.await?.ok_or_else(missing)
    }
}

/// Listens until all of it has run, or cannot.
struct Ended {
    api: Api,
    actor: Actor,
    key: AppKey,
    watch: Watch,
    view: DeployView,
}

impl Ended {
    async fn end(mut self) -> Result<DeployView, Fault> {
        let mut failing = None;
        loop {
            let (project, name) = (self.view.project.clone(), self.view.application.clone());
            let present = self.api.application(&project, &name).await?;
            let present = present.ok_or_else(|| Fault::no_such("application", &name))?;
            let over = |why: String| Err(Fault::new(Kind::Conflict, why));
            match Verdict::of(&present, self.view.generation) {
                // One whose instances are not placed yet is as one without any.
                Verdict::Reached if present.state == ServiceState::Stopped => failing = None,
                Verdict::Reached | Verdict::Canary => break,
                Verdict::Wait => failing = None,
                Verdict::Failed if failing.get_or_insert_with(Instant::now).elapsed() <= ELSEWHERE => {}
                Verdict::Failed => {
                    return over(format!("it does not run; `holm describe application {name}` shows why"));
                }
                Verdict::Halted(why) => return over(format!("it does not run: {why}")),
                Verdict::TakenBack(why) => return over(format!("it was taken back: {why}")),
                Verdict::Rests => {
                    return over(format!("{name} is {}, as somebody told it to be", present.state));
                }
            }
            self.watch.hear().await;
        }
        self.watch.drain();
        self.view.phases.extend(self.watch.phases());
        self.view.running = true;
        let (generation, phases) = (self.view.generation, self.view.phases.clone());
        let note = Command::NotePhases { app: self.key.clone(), generation, phases };
        // It runs, whatever becomes of the note.
        if let Err(fault) = self.api.command(self.actor.clone(), note).await {
            tracing::warn!(reason = fault.detail(), "How long a deployment took is not kept.");
        }
        Ok(self.view)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::node;

    #[test]
    fn a_device_that_runs_none_of_the_programs_is_named() {
        let (own, other) = (node("fl-1", "x86_64", &[]), node("fl-2", "aarch64", &[]));
        let emulates = node("fl-3", "aarch64", &["emulation/amd64"]);
        let amd = Platform::parse("linux/amd64").unwrap();
        assert!(fit(&[&own, &emulates], std::slice::from_ref(&amd)).is_ok());
        assert!(fit(&[&own, &other], &[]).is_ok(), "what is no program runs wherever its base does");
        let fault = fit(&[&own, &other], std::slice::from_ref(&amd)).unwrap_err();
        assert!(fault.detail().contains("fl-2 is aarch64, and the file is for linux/amd64"), "{fault:?}");
        assert!(fit(&[&own, &other], &[amd, Platform::parse("linux/arm64").unwrap()]).is_ok());
        assert_eq!(platforms(&[&own, &other, &emulates]).len(), 2);
    }
}
