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
use holm_model::build::EMULATION;
use holm_model::name::Name;
use holm_model::state::{RunState, ServiceState};
use holm_model::view::build::{BuildView, DeployView, PhaseView};
use holm_model::view::generation::GenerationOutcome;
use holm_model::view::{ApplicationView, NodeView};
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
    let runs = |node: &NodeView, program: &Platform| {
        let emulated = |capability: &String| {
            let arch = capability.strip_prefix(EMULATION).and_then(|rest| rest.strip_prefix('/'));
            arch.is_some_and(|arch| program.runs_on(arch))
        };
        program.runs_on(&node.arch) || node.capabilities.iter().any(emulated)
    };
    let unfit = devices.iter().find(|node| !programs.iter().any(|program| runs(node, program)));
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
        let (text, expected) = match api.application(self.project.as_str(), self.name.as_str()).await? {
            None => (first(&wanted), Expected::NoneOf(Vec::new())),
            Some(_) => (again(&self.newest(api, &key).await?, &wanted)?, Expected::Anything),
        };
        let application = manifest::read(&text)?;
        let mut watch = Watch::new(api.changes(), format!("{}/{}", key.project, key.application));
        let command = Command::Apply { project: self.project.clone(), application, expected };
        let Reply::Applied(applied) = api.command(actor.clone(), command).await? else {
            return Err(Fault::new(Kind::Internal, "an apply was answered with something else (a bug)"));
        };
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
            let why = match verdict(&present, self.view.generation) {
                Verdict::Runs => break,
                Verdict::Wait => None,
                Verdict::Fails(why) => Some(why),
                Verdict::Over(why) => return Err(Fault::new(Kind::Conflict, why)),
            };
            let since = why.as_ref().map(|_| *failing.get_or_insert_with(Instant::now));
            match (why, since) {
                (Some(why), Some(since)) if since.elapsed() > ELSEWHERE => {
                    return Err(Fault::new(Kind::Conflict, why));
                }
                (None, _) => failing = None,
                _ => {}
            }
            self.watch.hear().await;
        }
        self.watch.drain();
        self.view.phases.extend(self.watch.phases());
        self.view.running = true;
        let (generation, phases) = (self.view.generation, self.view.phases.clone());
        let note = Command::NotePhases { app: self.key.clone(), generation, phases };
        self.api.command(self.actor.clone(), note).await?;
        Ok(self.view)
    }
}

/// How it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Runs,
    Wait,
    /// It may be tried elsewhere.
    Fails(String),
    Over(String),
}

fn verdict(application: &ApplicationView, generation: u64) -> Verdict {
    use ServiceState as S;
    if application.generation < generation {
        return Verdict::Wait;
    }
    let rollout = application.rollout.as_ref();
    if let Some(rollout) = rollout.filter(|rollout| rollout.took_back.is_some_and(|back| back >= generation))
    {
        return Verdict::Over(format!("it was taken back: {}", rollout.reason));
    }
    let failed =
        rollout.filter(|rollout| rollout.outcome == GenerationOutcome::Failed && !rollout.rolls_back);
    match application.state {
        S::Running | S::Completed => Verdict::Runs,
        // One whose instances are not placed yet is as one without any.
        S::Paused | S::Stopped if application.services.iter().any(|service| service.run != RunState::Run) => {
            Verdict::Over(format!("{} is {}", application.name, application.state))
        }
        S::Error if rollout.is_none_or(|rollout| !rollout.rolls_back) => {
            let name = &application.name;
            Verdict::Fails(format!("it does not run; `holm describe application {name}` shows why"))
        }
        _ => failed
            .map_or(Verdict::Wait, |rollout| Verdict::Over(format!("it does not run: {}", rollout.reason))),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
