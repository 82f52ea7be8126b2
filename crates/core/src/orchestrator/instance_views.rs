//! Rows of instances, and of slots that nothing fills, as the API shows them.

use std::collections::BTreeMap;

use holm_model::duration::Span;
use holm_model::fact::{InstanceReport, UnfilledSlot};
use holm_model::id::{AssignmentId, MemberId, WishId};
use holm_model::member::Role;
use holm_model::name::Name;
use holm_model::slot::SlotIndex;
use holm_model::state::{InstanceState, SlotState};
use holm_model::time::Time;
use holm_model::update::Promote;
use holm_model::view::InstanceView;
use holm_model::wish::AppKey;

use super::demand::{Demand, Origin};
use super::rows::Placement;
use super::slots::Slot;
use super::{Orchestrator, Tier};

/// Which instances; all that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceFilter {
    pub project: Option<String>,
    /// Name, which may be that of several owners' applications, or id.
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

/// What is said of a slot that no reported instance speaks for.
#[derive(Debug, Default)]
struct Said {
    state: &'static str,
    reason: String,
    since: Time,
    id: Option<AssignmentId>,
    cluster: Option<String>,
    node: Option<String>,
    node_id: Option<MemberId>,
}

impl InstanceFilter {
    /// Whether rows of a service can match: a sea may have many that cannot, and a row costs more than this.
    fn may_take(&self, app: &AppKey, wish: WishId, service: &Name) -> bool {
        let is = |wanted: &Option<String>, found: &Name| {
            wanted.as_ref().is_none_or(|wanted| wanted == found.as_str())
        };
        is(&self.project, &app.project)
            && (is(&self.application, &app.application)
                || self.application.as_ref().is_some_and(|wanted| *wanted == wish.to_string()))
            && is(&self.service, service)
    }

    fn takes(&self, view: &InstanceView) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        is(&self.project, &view.project)
            && (is(&self.application, &view.application) || is(&self.application, &view.application_id))
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
        let reported = |report: &&InstanceReport| filter.may_take(&report.app, report.wish, &report.service);
        let of = |origin: &Origin| {
            let part = self.demands.get(origin).map(|demand| &demand.part);
            part.is_some_and(|part| filter.may_take(&part.app, part.wish, &part.service))
        };
        let slots = self.slots.origins().filter(|origin| of(origin));
        let slots = slots.flat_map(|origin| self.slots.of(origin).map(move |(i, slot)| (origin, i, slot)));
        let mut rows: Vec<InstanceView> = self
            .instances
            .values()
            .filter(reported)
            .map(|report| self.instance_view(report))
            .chain(slots.filter_map(|(origin, index, slot)| self.slot_view(origin, index, slot)))
            .chain(
                self.index
                    .unfilled_below
                    .iter()
                    .flat_map(|(share, slots)| self.unfilled_views(*share, slots)),
            )
            .filter(|view| filter.takes(view))
            .collect();
        rows.sort_by_cached_key(|v| {
            (v.project.clone(), v.application.clone(), v.service.clone(), natural(&v.slot), v.id.clone())
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

    pub(super) fn instance_view(&self, report: &InstanceReport) -> InstanceView {
        let (cluster, node) = self.node_names(&report.node);
        let state = self.state_of(report);
        let reason = match state {
            InstanceState::Dangling if is_ours(report) => self.why_dangling(&report.node).to_owned(),
            _ if report.status.reason.is_empty() => self
                .why_not_updated(report)
                .or_else(|| self.why_not_moved(report.share.unwrap_or(report.id)))
                .unwrap_or_default(),
            _ => report.status.reason.clone(),
        };
        InstanceView {
            id: Some(report.id.to_string()),
            project: report.app.project.to_string(),
            application: report.app.application.to_string(),
            application_id: report.wish.to_string(),
            owner: cluster.clone().filter(|_| self.is_a_clusters_own(report)),
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
            held: report.held || (state != InstanceState::Dangling && self.is_held(report)),
            ports: report.status.ports.iter().map(|(name, port)| (name.to_string(), *port)).collect(),
            usage: report.status.usage,
            ready: state == report.status.state && report.status.is_ready(),
            answer: report.status.readiness.as_ref().map(|told| told.answer.clone()).unwrap_or_default(),
        }
    }

    /// Why the slot's new specification waits.
    fn why_not_updated(&self, report: &InstanceReport) -> Option<String> {
        let id = self.placements.get(&report.id).map(|_| report.id).or(report.share)?;
        let placement = self.placements.get(&id)?;
        let slot = self.slots.get(&Self::slot_of(placement)).filter(|slot| slot.halted);
        let below = || {
            let older = report.generation < placement.part.generation;
            let told = self.index.unfilled_below.get(&id).filter(|_| older)?;
            let ours = |told: &&UnfilledSlot| {
                told.slot == report.slot && told.generation == placement.part.generation
            };
            told.iter().find(ours).map(|told| told.reason.clone())
        };
        let failed = || self.why_halted(&Self::slot_of(placement).0, report);
        let canary = || self.why_behind_canary(placement, report);
        slot.map(|slot| slot.reason.clone()).or_else(below).or_else(failed).or_else(canary)
    }

    /// The slot's new specification waits until its canary was found good.
    fn why_behind_canary(&self, placement: &Placement, report: &InstanceReport) -> Option<String> {
        let (origin, index) = Self::slot_of(placement);
        let demand = self.demands.get(&origin)?;
        let (canary, size) = demand.canary()?;
        let wanted = demand.part.generation;
        if report.generation >= wanted || !Self::waits_for_canary(&index, demand) {
            return None;
        }
        let (app, service) = (&report.app.application, &report.service);
        let then = match canary.promote {
            Promote::Manual => format!("`holm promote {app}` goes on, `holm rollback {app}` takes it back"),
            Promote::After(after) => format!("it follows once they have run well for {}", Span(after)),
        };
        Some(format!("generation {wanted} is tried in {size} of {service} first; {then}"))
    }

    /// The slot's new specification has failed in another one.
    fn why_halted(&self, origin: &Origin, report: &InstanceReport) -> Option<String> {
        let (wanted, stays) = (self.demands.get(origin)?.part.generation, report.generation);
        let (index, why) = if stays < wanted { self.failed_in(origin, wanted)? } else { return None };
        let slot = format!("{}/{index}", report.service);
        Some(format!("generation {wanted} failed at {slot}: {why}; the others stay at generation {stays}"))
    }

    /// Nobody above the cluster that has the node asked for it.
    fn is_a_clusters_own(&self, report: &InstanceReport) -> bool {
        report.share.is_none() && (self.config.tier == Tier::Cluster || report.node.len() > 1)
    }

    /// A slot without an instance that was reported; `None` when an instance speaks for it.
    fn slot_view(&self, origin: &Origin, index: &SlotIndex, slot: &Slot) -> Option<InstanceView> {
        let demand = self.demands.get(origin).filter(|_| slot.wanted)?;
        let placement = slot.active.and_then(|id| Some((id, self.placements.get(&id)?)));
        let said = match placement {
            None => Said {
                state: empty_slot(index, slot, demand),
                reason: slot.reason.clone(),
                since: slot.since,
                ..Said::default()
            },
            Some((id, placed)) if placed.role == Role::Node => self.assigned(id, placed, slot)?,
            Some((share, placed)) => self.shared(share, placed, slot, demand)?,
        };
        let own = self.config.tier == Tier::Cluster && matches!(origin, Origin::Own(_));
        let owner = own.then(|| self.config.name.to_string());
        Some(unreported(demand, index, owner, said))
    }

    /// A node was told; `None`: it has reported the instance.
    fn assigned(&self, id: AssignmentId, placed: &Placement, slot: &Slot) -> Option<Said> {
        if self.instances.contains(&id) {
            return None;
        }
        let (cluster, node) = self.node_names(&[placed.member]);
        let state = InstanceState::ScheduledNode.word();
        let (id, node_id, since) = (Some(id), Some(placed.member), slot.since);
        Some(Said { state, reason: String::new(), since, id, cluster, node, node_id })
    }

    /// A cluster was told; `None`: it has reported an instance, or reports slots of its own.
    fn shared(&self, share: AssignmentId, placed: &Placement, slot: &Slot, demand: &Demand) -> Option<Said> {
        let filled = self.index.by_share.get(&share).is_some_and(|all| !all.is_empty());
        if filled || placed.per_node {
            return None;
        }
        let (state, reason) = if demand.rests() {
            (InstanceState::Stopped.word(), String::new())
        } else {
            let told = self.index.unfilled_below.get(&share).and_then(|told| told.first());
            (SlotState::ScheduledCluster.word(), told.map_or(&slot.reason, |told| &told.reason).clone())
        };
        let cluster = Some(self.member_name(placed.member));
        Some(Said { state, reason, since: slot.since, cluster, ..Said::default() })
    }

    /// Slots that a cluster made for its nodes and cannot fill.
    fn unfilled_views(
        &self,
        share: AssignmentId,
        slots: &[UnfilledSlot],
    ) -> impl Iterator<Item = InstanceView> {
        let placement = self.placements.get(&share);
        let demand = placement.and_then(|placement| self.demands.get(&Self::slot_of(placement).0));
        let cluster = placement.map(|placement| self.member_name(placement.member));
        slots.iter().filter_map(move |unfilled| {
            let demand = demand?;
            let resting =
                if demand.rests() { InstanceState::Stopped.word() } else { SlotState::Requested.word() };
            let SlotIndex::Node(path) = &unfilled.slot else { return None };
            if self.is_reported(share, &unfilled.slot) {
                return None;
            }
            let said = Said {
                state: resting,
                reason: unfilled.reason.clone(),
                since: unfilled.since,
                cluster: cluster.clone(),
                node: path.last().map(ToString::to_string),
                ..Said::default()
            };
            Some(unreported(demand, &unfilled.slot, None, said))
        })
    }

    /// An instance speaks for the slot of the share.
    pub(super) fn is_reported(&self, share: AssignmentId, slot: &SlotIndex) -> bool {
        let mut of_share =
            self.index.by_share.get(&share).into_iter().flatten().filter_map(|id| self.instances.get(id));
        of_share.any(|report| report.slot == *slot)
    }

    /// Names of the cluster and the node at the end of a path of ids.
    fn node_names(&self, path: &[MemberId]) -> (Option<String>, Option<String>) {
        let Some(first) = path.first() else { return (None, None) };
        let name = self.members.get(first).map(|member| member.name.to_string());
        if path.len() == 1 {
            let cluster = (self.config.tier == Tier::Cluster).then(|| self.config.name.to_string());
            return (cluster, name);
        }
        let node = self.live.get(first).and_then(|live| live.nodes.get(path)).map(|n| n.name.to_string());
        (name, node)
    }
}

/// Whether we say that it is DANGLING, rather than whoever told of it.
fn is_ours(report: &InstanceReport) -> bool {
    report.status.state != InstanceState::Dangling || report.status.reason.is_empty()
}

fn empty_slot(index: &SlotIndex, slot: &Slot, demand: &Demand) -> &'static str {
    if demand.is_done(index) {
        return InstanceState::Completed.word();
    }
    if slot.failed.is_some() {
        SlotState::Failed.word()
    } else if demand.rests() {
        InstanceState::Stopped.word()
    } else {
        SlotState::Requested.word()
    }
}

fn unreported(demand: &Demand, index: &SlotIndex, owner: Option<String>, said: Said) -> InstanceView {
    let part = &demand.part;
    InstanceView {
        id: said.id.map(|id| id.to_string()),
        project: part.app.project.to_string(),
        application: part.app.application.to_string(),
        application_id: part.wish.to_string(),
        owner,
        service: part.service.to_string(),
        slot: format!("{}/{index}", part.service),
        state: said.state.to_owned(),
        reason: said.reason,
        cluster: said.cluster,
        node: said.node,
        node_id: said.node_id.map(|id| id.to_string()),
        runtime: demand.spec.as_ref().map(|spec| spec.runtime.to_string()).unwrap_or_default(),
        generation: part.generation,
        since: said.since,
        restarts: 0,
        incarnation: 0,
        held: false,
        ports: BTreeMap::new(),
        usage: None,
        ready: false,
        answer: String::new(),
    }
}

/// `web/10` after `web/9`.
pub(super) fn natural(slot: &str) -> (String, u32, String) {
    let (service, index) = slot.split_once('/').unwrap_or((slot, ""));
    (service.to_owned(), index.parse().unwrap_or(u32::MAX), index.to_owned())
}
