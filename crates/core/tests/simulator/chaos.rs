//! A run with everything that can go wrong, and the promises that hold all the same.
//!
//! A script of random requests and faults, then calm: what was acknowledged must come true. Then
//! everything is deleted, and nothing may be left.

use std::time::Duration;

use holm_core::orchestrator::Tier;
use holm_core::orchestrator::command::{Command, Expected};
use holm_core::orchestrator::moving::Migration;
use holm_model::healing::Reconcile;
use holm_model::placement::{Scope, Strategy};
use holm_model::service::ServiceSpec;
use holm_model::state::RunState;
use holm_model::update::{Canary, CanarySize, Promote, UpdateStrategy};
use holm_model::wish::AppKey;

use crate::checks::{Watch, wishes};
use crate::disk::Disk;
use crate::fleet::{App, Spec, app, name, program, seeded, steady};
use crate::member::{NodeSite, facts};
use crate::rng::Rng;
use crate::world::{NodeAt, Orch, Weather, Who, World, trace};

/// How bad the links are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// Messages arrive in order until a connection breaks.
    Tcp,
    /// Single messages are lost, doubled and overtaken, too.
    Lossy,
}

/// One seed's run.
#[derive(Debug)]
pub(crate) struct Chaos {
    world: World,
    watch: Watch,
    /// Copies of the root's store, oldest first.
    backups: Vec<Disk>,
    nodes: usize,
}

const APPS: [&str; 4] = ["shop", "building", "survey", "garage"];
const SERVICES: [&str; 3] = ["web", "collector", "store"];
const CLUSTERS: [&str; 3] = ["vienna", "munich", "graz"];

/// Seconds that it stays so, to be believed; fewer than pass between two questions to the same member.
const STAYS: u32 = 3;
/// Within this time after the last fault everything is as it was wished.
const REST: u64 = 240;

/// Whatever its parent forgets.
fn goes_on(spec: &ServiceSpec) -> bool {
    spec.command == ["steady"] && !spec.healing.exclusive
}

fn some_healing(rng: &mut Rng, spec: Spec) -> Spec {
    let spec = match rng.below(8) {
        0 => return spec.exclusive(),
        1 => return spec.exclusive().replaced_after(rng.between(4, 9)),
        2 => return spec.waits_for_return(),
        3 => spec.replaced_after(rng.between(4, 20)),
        _ => spec,
    };
    spec.reconcile(Reconcile::ALL[rng.index(Reconcile::ALL.len())].1)
}

fn some_strategy(rng: &mut Rng, mut spec: Spec) -> Spec {
    let all = [
        Strategy::BestFit,
        Strategy::Spread(Scope::Node),
        Strategy::Spread(Scope::Label("zone".to_owned())),
        Strategy::Location,
        Strategy::Random,
        Strategy::Latency,
    ];
    spec.0.placement.strategy = rng.chance(400).then(|| all[rng.index(all.len())].clone());
    spec
}

/// Nobody says what follows in these updates: what waits for people would wait for ever.
fn some_update(rng: &mut Rng, mut spec: Spec) -> Spec {
    spec.0.update.strategy = match rng.below(8) {
        0 => UpdateStrategy::Recreate,
        1 => {
            let promote = Promote::After(Duration::from_secs(rng.between(1, 10)));
            UpdateStrategy::Canary(Canary { size: CanarySize::Count(1), promote })
        }
        _ => UpdateStrategy::Rolling,
    };
    spec.0.update.parallel = u32::try_from(rng.between(1, 3)).unwrap();
    spec
}

// === impl Chaos ===

impl Chaos {
    pub(crate) fn run(seed: u64, links: Links) {
        let mut chaos = Self::begin(seed);
        chaos.world.weather = chaos.weather(links);
        let actions = chaos.world.rng.between(15, 45);
        for _ in 0..actions {
            chaos.act();
            chaos.pass(0, 3000);
        }
        if links == Links::Tcp && chaos.world.rng.chance(250) {
            chaos.lose_store();
        }
        chaos.calm();
        chaos.rest("as wished", World::settled);
        chaos.delete_everything();
        chaos.rest("empty", World::empty);
    }

    fn begin(seed: u64) -> Self {
        let mut world = seeded(seed);
        world.run_secs(1);
        let clusters = world.rng.index(CLUSTERS.len() + 1);
        for cluster in &CLUSTERS[..clusters] {
            world.join_cluster(cluster).unwrap();
        }
        if world.rng.chance(300) {
            world.add_orchestrator("solo", Tier::Root);
        }
        let mut chaos = Self { world, watch: Watch::default(), backups: Vec::new(), nodes: 0 };
        for orch in 0..chaos.world.orchestrators.len() {
            let most = if orch == 0 && clusters > 0 { 2 } else { 3 };
            let number = chaos.world.rng.between(u64::from(orch != 0 || clusters == 0), most);
            (0..number).for_each(|_| chaos.join(orch));
        }
        chaos.world.run_secs(3);
        chaos
    }

    fn join(&mut self, orch: Orch) {
        if self.world.orchestrators[orch].machine.is_none() {
            return;
        }
        let mib = [128, 256, 512][self.world.rng.index(3)];
        let mut facts = facts(mib);
        let zone = if self.world.rng.chance(500) { "indoor" } else { "outdoor" };
        facts.labels.insert("zone".to_owned(), zone.to_owned());
        self.nodes += 1;
        let parent = self.world.orchestrators[orch].config.name.to_string();
        // Joining happens in calm weather; that a token is not lost is another test.
        let weather = std::mem::take(&mut self.world.weather);
        // Refused by a disk that is full, or the like.
        let _ = self.world.join_node(&parent, &format!("fl-{}", self.nodes), facts);
        self.world.weather = weather;
    }

    fn weather(&mut self, links: Links) -> Weather {
        let rng = &mut self.world.rng;
        let mut some = |most: u64| if rng.chance(600) { rng.below(most + 1) } else { 0 };
        let mut weather = Weather {
            crash: some(6),
            full_disk: some(15),
            group: some(400),
            breaks: some(10),
            launch_fails: some(100),
            halt_fails: some(100),
            ..Weather::default()
        };
        if links == Links::Lossy {
            (weather.loss, weather.double, weather.overtake) = (some(80), some(80), some(200));
        }
        weather
    }

    /// Lets time pass, and looks.
    fn pass(&mut self, least: u64, most: u64) {
        let end = self.world.now + self.world.rng.millis(least, most);
        while self.world.now < end {
            let step = Duration::from_secs(1).min(end - self.world.now);
            self.world.run_for(step);
            self.world.watch(&mut self.watch);
        }
    }

    fn act(&mut self) {
        match self.world.rng.below(100) {
            0..50 => self.request(),
            50..58 => self.crash(),
            58..68 => self.cut(),
            68..82 => self.heal(),
            82..86 => self.exit(),
            86..90 => self.pause(),
            90..93 => {
                let orch = self.world.rng.index(self.world.orchestrators.len());
                self.join(orch);
            }
            93..95 => self.vanish(),
            95..97 => self.remove_member(),
            97 => self.drain(),
            98 => self.migrate(),
            _ => self.backups.push(self.world.orchestrators[0].disk.clone()),
        }
    }

    // --- people ---

    fn request(&mut self) {
        let orchestrators = self.world.orchestrators.len();
        let orch = if self.world.rng.chance(800) { 0 } else { self.world.rng.index(orchestrators) };
        let known = self.world.oracle.known(orch);
        let command = match (self.world.rng.below(10), self.world.rng.pick(&known).cloned()) {
            (0..4, _) | (_, None) => self.some_apply(),
            (4, Some(app)) => Command::Delete { app, expected: Expected::Anything },
            (5..7, Some(app)) => self.some_scale(app),
            (_, Some(app)) => self.some_patch(app),
        };
        self.world.ask(orch, command);
    }

    fn some_apply(&mut self) -> Command {
        let rng = &mut self.world.rng;
        let mut application = app(APPS[rng.index(APPS.len())]);
        for service in &SERVICES[..1 + rng.index(SERVICES.len())] {
            application = self.some_service(application, service);
        }
        Command::Apply { project: name("default"), application: application.0, expected: Expected::Anything }
    }

    fn some_service(&mut self, application: App, service: &str) -> App {
        let rng = &mut self.world.rng;
        let mut spec: Spec = match rng.below(12) {
            0 => program(&["crash", "400"]),
            1 => program(&["job", "700"]),
            _ => steady(),
        };
        spec = spec.memory(["0", "16Mi", "48Mi", "96Mi"][rng.index(4)]);
        spec = spec.version(&rng.below(3).to_string());
        match rng.below(12) {
            0 => spec = spec.in_cluster(CLUSTERS[rng.index(CLUSTERS.len())]),
            1 => spec = spec.on_node(&format!("fl-{}", rng.between(1, 6))),
            2 | 3 => spec = spec.label("zone", "indoor"),
            4 => spec = spec.port("http", Some(80)),
            5 | 6 => spec = spec.port("http", None),
            7 | 8 => spec = spec.connects(SERVICES[0], "http"),
            _ => {}
        }
        if rng.chance(200) {
            application.per_node(service, spec)
        } else {
            spec = some_healing(rng, spec);
            spec = some_strategy(rng, spec);
            spec = some_update(rng, spec);
            let replicas = rng.below(5);
            application.service(service, spec, u32::try_from(replicas).unwrap())
        }
    }

    fn some_scale(&mut self, app: AppKey) -> Command {
        let rng = &mut self.world.rng;
        let service = Some(name(SERVICES[rng.index(SERVICES.len())]));
        let replicas = u32::try_from(rng.below(6)).unwrap();
        Command::Patch {
            app,
            service,
            replicas: Some(replicas),
            run: None,
            restart: false,
            expected: Expected::Anything,
        }
    }

    fn some_patch(&mut self, app: AppKey) -> Command {
        let rng = &mut self.world.rng;
        let service = rng.chance(500).then(|| name(SERVICES[rng.index(SERVICES.len())]));
        let run = [RunState::Run, RunState::Run, RunState::Stop, RunState::Pause][rng.index(4)];
        let restart = rng.chance(300);
        Command::Patch {
            app,
            service,
            replicas: None,
            run: (!restart).then_some(run),
            restart,
            expected: Expected::Anything,
        }
    }

    /// Or people have changed their minds.
    fn drain(&mut self) {
        let link = self.world.rng.index(self.world.dials.len().max(1));
        let Some((parent, member)) = self.world.dials.get(link).map(|dial| (dial.parent, dial.id)) else {
            return;
        };
        let command = match self.world.rng.chance(700) {
            true => Command::Drain { member, lose_volumes: true },
            false => Command::Cordon { member, cordoned: false },
        };
        self.world.ask(parent, command);
    }

    /// Whoever has it, or is meant to have it, may not be able to.
    fn migrate(&mut self) {
        let orch = self.world.rng.index(self.world.orchestrators.len());
        let known = self.world.oracle.known(orch);
        let Some(app) = self.world.rng.pick(&known).cloned() else { return };
        let slot = format!("{}/{}", SERVICES[self.world.rng.index(SERVICES.len())], self.world.rng.below(3));
        let migration = Migration { app, slot, to: None, lose_volume: true };
        self.world.ask(orch, Command::Migrate(migration));
    }

    fn remove_member(&mut self) {
        let link = self.world.rng.index(self.world.dials.len().max(1));
        let Some((parent, member)) = self.world.dials.get(link).map(|dial| (dial.parent, dial.id)) else {
            return;
        };
        if self.world.dials[link].removed {
            return;
        }
        let revoke = self.world.rng.chance(300);
        let command =
            if revoke { Command::RevokeMember { member } } else { Command::RemoveMember { member } };
        let ticket = self.world.ask(parent, command);
        self.world.run_for(Duration::from_millis(100));
        // Without an answer it may be removed or not: it is removed for good then.
        let done = self.world.orchestrators[parent].answers.get(&ticket).is_some_and(Result::is_ok);
        self.world.dials[link].removed |= done;
    }

    // --- faults ---

    fn somebody(&mut self) -> Who {
        let everybody = self.world.everybody();
        everybody[self.world.rng.index(everybody.len())]
    }

    fn crash(&mut self) {
        let (who, reboot) = (self.somebody(), self.world.rng.chance(300));
        if self.world.is_up(who) {
            self.world.crash(who, reboot);
        }
    }

    fn pause(&mut self) {
        let who = self.somebody();
        let time = self.world.rng.millis(1000, 30_000);
        self.world.pause(who, time);
    }

    fn cut(&mut self) {
        let link = self.world.rng.index(self.world.dials.len().max(1));
        if self.world.dials.get(link).is_some_and(|dial| !dial.cut) {
            self.world.set_cut(link, true);
        }
    }

    fn heal(&mut self) {
        let cut: Vec<_> = (0..self.world.dials.len()).filter(|link| self.world.dials[*link].cut).collect();
        if let Some(link) = self.world.rng.pick(&cut) {
            self.world.set_cut(*link, false);
        }
    }

    /// A program ends by itself.
    fn exit(&mut self) {
        let Some(node) = self.some_node() else { return };
        let live: Vec<_> =
            self.world.nodes[node].runtimes.processes.iter().filter(|(_, p)| p.is_live()).collect();
        let Some((id, incarnation)) = self.world.rng.pick(&live).map(|(id, p)| (**id, p.incarnation)) else {
            return;
        };
        let what = crate::runtime::What::Exits(holm_core::node::Outcome::exited(1));
        self.world.stir(node, crate::runtime::Stir { id, incarnation, what });
    }

    fn some_node(&mut self) -> Option<NodeAt> {
        (!self.world.nodes.is_empty()).then(|| self.world.rng.index(self.world.nodes.len()))
    }

    /// A node that never comes back; people remove it in the end.
    fn vanish(&mut self) {
        let Some(node) = self.some_node() else { return };
        trace!(self.world, "{} vanishes", self.world.nodes[node].path);
        self.world.nodes[node].gone = true;
        self.world.crash(Who::Node(node), true);
    }

    // --- a store that forgot ---

    /// The root's store is replaced by an older copy or an empty one; people decide for each member.
    fn lose_store(&mut self) {
        self.calm();
        self.world.run_secs(40);
        let disk = self.world.rng.pick(&self.backups).cloned().unwrap_or_default();
        let before = self.running();
        trace!(self.world, "the root's store is replaced by one with {} rows", disk.rows.len());
        self.world.crash(Who::Orchestrator(0), false);
        self.world.orchestrators[0].replace_disk(disk);
        self.world.oracle.forget(0);
        self.world.nodes.iter_mut().for_each(NodeSite::forget_order);
        self.pass(20_000, 40_000);
        let after = self.running();
        let stopped: Vec<_> = before.iter().filter(|id| !after.contains(id)).collect();
        assert!(stopped.is_empty(), "stopped because the parent forgot: {stopped:?}");
        let adopt = self.world.rng.chance(600);
        let root = self.world.orchestrators[0].up();
        for member in root.members().into_iter().filter(|member| member.frozen) {
            let member = member.id.parse().unwrap();
            let command = if adopt { Command::Adopt { member } } else { Command::Discard { member } };
            self.world.command(0, command).unwrap();
        }
    }

    /// Processes that were meant to go on.
    fn running(&self) -> Vec<(NodeAt, holm_model::id::AssignmentId)> {
        let nodes = self.world.nodes.iter().enumerate();
        nodes
            .flat_map(|(at, site)| {
                let steady =
                    site.runtimes.processes.iter().filter(|(_, p)| {
                        p.is_live() && p.part.spec.decode().is_ok_and(|spec| goes_on(&spec))
                    });
                steady.map(move |(id, _)| (at, *id)).collect::<Vec<_>>()
            })
            .collect()
    }

    // --- the end ---

    /// Faults end, links heal.
    fn calm(&mut self) {
        trace!(self.world, "calm");
        self.world.weather = Weather::default();
        for link in 0..self.world.dials.len() {
            self.world.set_cut(link, false);
            // What was lost on a lossy link is made good by the next session.
            self.world.break_connection(link);
        }
        self.pass(45_000, 45_000);
        self.dismiss_the_gone();
        self.uncordon();
    }

    fn uncordon(&mut self) {
        for link in 0..self.world.dials.len() {
            let (parent, member) = (self.world.dials[link].parent, self.world.dials[link].id);
            // One that was removed is not known any more.
            let _ = self.world.command(parent, Command::Cordon { member, cordoned: false });
        }
    }

    /// People remove nodes that never come back; whoever runs there belongs to nobody.
    fn dismiss_the_gone(&mut self) {
        for link in 0..self.world.dials.len() {
            let dial = &self.world.dials[link];
            let gone = matches!(dial.member, Who::Node(node) if self.world.nodes[node].gone);
            // Removed by a request that nobody heard the answer to.
            let revoked = self.world.orchestrators[dial.parent].refuses(dial);
            if gone || revoked || dial.removed {
                let (parent, member) = (dial.parent, dial.id);
                self.world.dials[link].removed = true;
                // A restored store may have to be told again; one that knows says so.
                let _ = self.world.command(parent, Command::RemoveMember { member });
            }
        }
    }

    fn rest(&mut self, what: &str, so: impl Fn(&World) -> Result<(), String>) {
        let (mut last, mut calm) = ("nothing was wrong".to_owned(), 0);
        for _ in 0..REST {
            calm = match so(&self.world) {
                Ok(()) => calm + 1,
                Err(wrong) => {
                    last = wrong;
                    0
                }
            };
            if calm == STAYS {
                return;
            }
            self.world.run_secs(1);
            self.world.watch(&mut self.watch);
        }
        for site in &self.world.orchestrators {
            trace!(self.world, "{}: {:#?}", site.config.name, site.up());
        }
        panic!("not {what} after {REST} s: {last}");
    }

    fn delete_everything(&mut self) {
        trace!(self.world, "everything is deleted");
        for orch in 0..self.world.orchestrators.len() {
            let keys: Vec<AppKey> =
                wishes(self.world.orchestrators[orch].up()).iter().map(|w| w.key.clone()).collect();
            for app in keys {
                self.world.command(orch, Command::Delete { app, expected: Expected::Anything }).unwrap();
            }
        }
    }
}
