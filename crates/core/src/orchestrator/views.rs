//! What the API shows, made from rows and facts. Read-only.

use std::collections::BTreeMap;

use holm_model::fact::InstanceReport;
use holm_model::id::{AssignmentId, MemberId, WishId};
use holm_model::member::Role;
use holm_model::name::Name;
use holm_model::service::Replicas;
use holm_model::slot::ServiceKey;
use holm_model::state::{InstanceState, RunState, ServiceState, SlotState};
use holm_model::view::{ApplicationView, InstanceView, ServiceView};
use holm_model::wish::{ServiceWish, Wish};

use super::Orchestrator;
use super::demand::{Demand, Origin, SlotId};
use super::slots::Slot;

/// Which instances; all that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceFilter {
    pub project: Option<String>,
    pub application: Option<String>,
    pub service: Option<String>,
    pub cluster: Option<String>,
    /// Name or id.
    pub node: Option<String>,
    pub state: Option<String>,
}

/// Where an instance is, for tunnels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// Ids from our member down to the node.
    pub path: Vec<MemberId>,
    pub state: InstanceState,
    pub ports: BTreeMap<Name, u16>,
}

impl InstanceFilter {
    fn takes(&self, view: &InstanceView) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        is(&self.project, &view.project)
            && is(&self.application, &view.application)
            && is(&self.service, &view.service)
            && is(&self.state, &view.state)
            && (self.cluster.is_none() || self.cluster == view.cluster)
            && (self.node.is_none() || self.node == view.node || self.node == view.node_id)
    }
}

impl Orchestrator {
    /// A row for each live copy, and one with `id: null` for each slot that nothing fills.
    #[must_use]
    pub fn instances(&self, filter: &InstanceFilter) -> Vec<InstanceView> {
        let mut rows: Vec<InstanceView> = self
            .instances
            .values()
            .map(|report| self.instance_view(report))
            .chain(self.slots.iter().filter_map(|(id, slot)| self.slot_view(id, slot)))
            .filter(|view| filter.takes(view))
            .collect();
        rows.sort_by(|a, b| {
            let key = |v: &InstanceView| {
                (v.project.clone(), v.application.clone(), v.service.clone(), natural(&v.slot), v.id.clone())
            };
            key(a).cmp(&key(b))
        });
        rows
    }

    #[must_use]
    pub fn instance(&self, id: AssignmentId) -> Option<InstanceView> {
        self.instances.get(&id).map(|report| self.instance_view(report))
    }

    #[must_use]
    pub fn whereabouts(&self, id: AssignmentId) -> Option<Whereabouts> {
        let report = self.instances.get(&id)?;
        let (path, ports) = (report.node.clone(), report.status.ports.clone());
        Some(Whereabouts { path, state: self.state_of(report), ports })
    }

    fn instance_view(&self, report: &InstanceReport) -> InstanceView {
        let (cluster, node) = self.node_names(&report.node);
        let state = self.state_of(report);
        let reason = match state {
            InstanceState::Dangling => "its node is silent past the deadline".to_owned(),
            _ => report.status.reason.clone(),
        };
        InstanceView {
            id: Some(report.id.to_string()),
            project: report.app.project.to_string(),
            application: report.app.application.to_string(),
            service: report.service.to_string(),
            slot: format!("{}/{}", report.service, report.slot),
            state: state.word().to_owned(),
            reason,
            cluster,
            node,
            node_id: report.node.last().map(ToString::to_string),
            runtime: report.runtime.to_string(),
            generation: report.generation,
            since: report.status.since,
            restarts: report.status.restarts,
            incarnation: report.status.incarnation,
            held: report.held,
            ports: report.status.ports.iter().map(|(name, port)| (name.to_string(), *port)).collect(),
            usage: report.status.usage,
        }
    }

    /// A slot without an instance that was reported; `None` when an instance speaks for it.
    fn slot_view(&self, (origin, index): &SlotId, slot: &Slot) -> Option<InstanceView> {
        let demand = self.demands.get(origin).filter(|_| slot.wanted)?;
        let placement = slot.active.and_then(|id| Some((id, self.placements.get(&id)?)));
        let (mut id, mut cluster, mut node, mut node_id) = (None, None, None, None);
        let (state, reason) = match placement {
            None => (self.empty_slot(slot, demand), slot.reason.clone()),
            Some((assignment, placed)) if placed.role == Role::Node => {
                if self.instances.contains(&assignment) {
                    return None;
                }
                (cluster, node) = self.node_names(&[placed.member]);
                (id, node_id) = (Some(assignment.to_string()), Some(placed.member.to_string()));
                (InstanceState::ScheduledNode.word(), String::new())
            }
            Some((share, placed)) => {
                let filled = self.by_share.get(&share).is_some_and(|all| !all.is_empty());
                if filled || placed.per_node {
                    return None;
                }
                cluster = self.members.get(&placed.member).map(|member| member.name.to_string());
                if demand.rests() {
                    (InstanceState::Stopped.word(), String::new())
                } else {
                    (SlotState::ScheduledCluster.word(), slot.reason.clone())
                }
            }
        };
        let part = &demand.part;
        Some(InstanceView {
            id,
            project: part.app.project.to_string(),
            application: part.app.application.to_string(),
            service: part.service.to_string(),
            slot: format!("{}/{index}", part.service),
            state: state.to_owned(),
            reason,
            cluster,
            node,
            node_id,
            runtime: demand.spec.as_ref().map(|spec| spec.runtime.to_string()).unwrap_or_default(),
            generation: part.generation,
            since: slot.since,
            restarts: 0,
            incarnation: 0,
            held: false,
            ports: BTreeMap::new(),
            usage: None,
        })
    }

    fn empty_slot(&self, slot: &Slot, demand: &Demand) -> &'static str {
        if slot.failed.is_some() {
            SlotState::Failed.word()
        } else if demand.rests() {
            InstanceState::Stopped.word()
        } else {
            SlotState::Requested.word()
        }
    }

    /// Names of the cluster and the node at the end of a path of ids.
    fn node_names(&self, path: &[MemberId]) -> (Option<String>, Option<String>) {
        let Some(first) = path.first() else { return (None, None) };
        let name = self.members.get(first).map(|member| member.name.to_string());
        if path.len() == 1 {
            let cluster = (self.config.tier == super::Tier::Cluster).then(|| self.config.name.to_string());
            return (cluster, name);
        }
        let node = self.live.get(first).and_then(|live| live.nodes.get(path)).map(|n| n.name.to_string());
        (name, node)
    }

    // --- applications ---

    #[must_use]
    pub fn applications(&self) -> Vec<ApplicationView> {
        let alive = self.wishes.values().filter(|row| row.wish.deleted.is_none());
        alive.map(|row| self.application_view(&row.wish)).collect()
    }

    #[must_use]
    pub fn application(&self, project: &str, name: &str) -> Option<ApplicationView> {
        let of = |wish: &Wish| wish.key.project == *project && wish.key.application == *name;
        let row = self.wishes.values().find(|row| row.wish.deleted.is_none() && of(&row.wish))?;
        Some(self.application_view(&row.wish))
    }

    /// The wish itself, for showing a manifest again.
    #[must_use]
    pub fn wish(&self, id: WishId) -> Option<&Wish> {
        self.wishes.get(&id).map(|row| &row.wish)
    }

    fn application_view(&self, wish: &Wish) -> ApplicationView {
        let services: Vec<_> =
            wish.services.iter().map(|(name, service)| self.service_view(wish, name, service)).collect();
        ApplicationView {
            id: wish.id.to_string(),
            project: wish.key.project.to_string(),
            name: wish.key.application.to_string(),
            state: application_state(services.iter().map(|service| service.state)),
            generation: wish.version.generation,
            unconfirmed: wish.unconfirmed,
            created: wish.created,
            changed: wish.changed,
            services,
        }
    }

    fn service_view(&self, wish: &Wish, name: &Name, service: &ServiceWish) -> ServiceView {
        let spec = service.spec.decode().ok();
        let key = ServiceKey { wish: wish.id, service: name.clone() };
        let states: Vec<(InstanceState, u64)> = self
            .instances_of(&key)
            .filter(|report| !report.held)
            .map(|report| (self.outlook(report), report.generation))
            .collect();
        let running = states.iter().filter(|(state, _)| *state == InstanceState::Running).count();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let slots = match service.replicas {
            Replicas::Number(number) => number,
            Replicas::PerNode => count(states.len()),
        };
        let origin = Origin::Own(key);
        let failed = self
            .slots_of(&origin)
            .into_iter()
            .any(|index| self.slots.get(&(origin.clone(), index)).is_some_and(|slot| slot.failed.is_some()));
        ServiceView {
            name: name.to_string(),
            state: service_state(&states, slots, service, failed),
            runtime: spec.as_ref().map(|spec| spec.runtime.to_string()).unwrap_or_default(),
            replicas: match service.replicas {
                Replicas::Number(number) => number.to_string(),
                Replicas::PerNode => "per-node".to_owned(),
            },
            running: count(running),
            slots,
            run: service.run,
            generation: service.generation,
            spec: spec.and_then(|spec| serde_json::to_value(spec).ok()).unwrap_or_default(),
        }
    }

    /// The state as it counts for the service: one that will be tried again is on its way.
    fn outlook(&self, report: &InstanceReport) -> InstanceState {
        match self.state_of(report) {
            InstanceState::Failed if !report.status.exhausted => InstanceState::Preparing,
            state => state,
        }
    }
}

/// The state of a service from its slots' instances.
fn service_state(
    states: &[(InstanceState, u64)],
    slots: u32,
    service: &ServiceWish,
    failed: bool,
) -> ServiceState {
    use InstanceState as I;
    let all = |wanted: &[I]| !states.is_empty() && states.iter().all(|(state, _)| wanted.contains(state));
    let any = |wanted: I| states.iter().any(|(state, _)| *state == wanted);
    let live = u32::try_from(states.len()).unwrap_or(u32::MAX);
    match service.run {
        RunState::Stop if states.is_empty() || all(&[I::Stopped, I::Completed, I::Failed]) => {
            return ServiceState::Stopped;
        }
        RunState::Stop => return ServiceState::Stopping,
        RunState::Pause if all(&[I::Paused, I::Completed]) => return ServiceState::Paused,
        _ => {}
    }
    if states.iter().any(|(_, generation)| *generation != service.generation) {
        return ServiceState::Updating;
    }
    if failed || (any(I::Failed) && !any(I::Running)) {
        return ServiceState::Error;
    }
    if live == slots && all(&[I::Running, I::Completed]) {
        return if any(I::Running) { ServiceState::Running } else { ServiceState::Completed };
    }
    if any(I::Failed) || any(I::Dangling) {
        return ServiceState::Degraded;
    }
    if states.is_empty() {
        return if slots == 0 { ServiceState::Running } else { ServiceState::Initial };
    }
    if any(I::Running) { ServiceState::Scaling } else { ServiceState::Instantiating }
}

/// The worst, or the least far, of its services.
fn application_state(services: impl Iterator<Item = ServiceState>) -> ServiceState {
    const ORDER: [ServiceState; 12] = [
        ServiceState::Error,
        ServiceState::Degraded,
        ServiceState::Updating,
        ServiceState::Scaling,
        ServiceState::Instantiating,
        ServiceState::Initial,
        ServiceState::Stopping,
        ServiceState::Running,
        ServiceState::Paused,
        ServiceState::Stopped,
        ServiceState::Completed,
        ServiceState::Terminated,
    ];
    let rank = |state: &ServiceState| ORDER.iter().position(|known| known == state).unwrap_or(ORDER.len());
    services.min_by_key(rank).unwrap_or(ServiceState::Initial)
}

/// `web/10` after `web/9`.
fn natural(slot: &str) -> (String, u32, String) {
    let (service, index) = slot.split_once('/').unwrap_or((slot, ""));
    (service.to_owned(), index.parse().unwrap_or(u32::MAX), index.to_owned())
}
