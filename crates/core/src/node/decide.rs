//! What is to be done about one instance: wish against fact, a pure function.

use std::time::Duration;

use holm_model::duration::Span;
use holm_model::member::NodeFacts;
use holm_model::state::{InstanceState, RunState};

use super::given::Given;
use super::lease::Lease;
use super::record::{Cause, InstanceRecord};
use super::wanted::Wanted;

/// What the runtime does about an instance, as far as it told; in memory only, since
/// [`Survivors`](super::NodeEvent::Survivors) tell it anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Doing {
    /// Nothing of it executes.
    #[default]
    Idle,
    /// It was asked to launch.
    Launching,
    /// It executes or is paused.
    Up,
    /// It executes, and was asked to pause or resume.
    Switching,
    /// It was asked to halt.
    Halting,
    /// It was asked to remove what is left.
    Removing,
    /// Its runtime cannot tell; nothing is done about it until it can.
    Unseen,
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Rest,
    Launch,
    Halt(Cause),
    /// It does not work: ended, as if it had ended by itself.
    Kill,
    Pause,
    Resume,
    /// Secrets or files were set anew, and it goes on.
    Refresh,
    Remove,
    /// Nothing executes, and this is how it stands.
    Settle(InstanceState, Cause, String),
    /// It cannot run here at all.
    GiveUp(String),
}

/// Facts about an instance beside its record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation<'a> {
    pub(super) wanted: Option<&'a Wanted>,
    pub(super) record: &'a InstanceRecord,
    pub(super) given: &'a Given,
    pub(super) doing: Doing,
    /// A back-off is not over.
    pub(super) waiting: bool,
    /// Its health check has failed.
    pub(super) unhealthy: bool,
    pub(super) node: Option<&'a NodeFacts>,
    /// Why the disk takes no writes.
    pub(super) trouble: Option<&'a str>,
    pub(super) lease: Lease,
    /// Another copy of the slot, which is not wished any more, has not ended yet.
    pub(super) beside: bool,
    /// Its named volumes were fetched or are being fetched, and it has not got the word to start.
    pub(super) coming: bool,
    /// Its deadline, if that has passed.
    pub(super) late: Option<Duration>,
}

/// Why something is stopped that would have started while it is paused.
const PAUSED: &str = "paused; it starts when it is resumed";

/// Why the copy that another orchestrator wishes does not start yet: it has the same volumes and ports.
const BESIDE: &str = "waits for the end of the copy before it";

/// Why what has its volumes does not start yet: until it does, the old copy can go on with its own.
pub(super) const FETCHED: &str = "its volumes are here; it waits for the word to start";

/// Why something exclusive does not start yet.
const NO_LEASE: &str = "exclusive: waits for its lease, since another copy may still run";

/// How long after a halt or pause that failed it is asked for again.
pub(super) const RETRY: Duration = Duration::from_secs(5);

/// # Returns
/// One move; after carrying it out, ask again until it is [`Move::Rest`].
pub(super) fn decide(at: Situation<'_>) -> Move {
    match at.doing {
        Doing::Removing | Doing::Halting | Doing::Unseen => Move::Rest,
        Doing::Launching | Doing::Switching => ending(at).map_or(Move::Rest, Move::Halt),
        Doing::Up if at.waiting => Move::Rest,
        Doing::Up => match ending(at) {
            Some(cause) => Move::Halt(cause),
            // One that rests gets no work, and its replacement is on the way.
            None if at.unhealthy && at.wanted.is_some_and(|it| it.run == RunState::Run && !it.rests()) => {
                Move::Kill
            }
            None => up(at),
        },
        Doing::Idle => match at.wanted {
            Some(wanted) if at.record.state != InstanceState::Terminated => idle(at, wanted),
            _ => unlisted(at.record),
        },
    }
}

/// Why what executes has to end, if it has to.
fn ending(at: Situation<'_>) -> Option<Cause> {
    let Some(wanted) = at.wanted else { return Some(Cause::Scheduler) };
    match wanted.run {
        // A halt that failed before, or was interrupted, is finished.
        _ if matches!(at.record.state, InstanceState::Stopping | InstanceState::Terminated) => {
            Some(Cause::Node)
        }
        RunState::Stop => Some(Cause::Person),
        // Goes on as it is: its replacement, or a newer version, decides.
        RunState::Unknown => None,
        _ if wanted.held || wanted.order.is_err() => None,
        _ if at.record.again || wanted.restarts > at.record.restarts_seen => Some(Cause::Person),
        _ if at.record.is_outdated(wanted) => Some(Cause::Scheduler),
        _ if at.given.outdates(wanted, at.record) => Some(Cause::Person),
        RunState::Run if at.late.is_some() => Some(Cause::Policy),
        RunState::Run | RunState::Pause => None,
    }
}

fn up(at: Situation<'_>) -> Move {
    let run = at.wanted.map_or(RunState::Unknown, |wanted| wanted.run);
    match (run, at.record.state) {
        (RunState::Pause, InstanceState::Running) => Move::Pause,
        (RunState::Run, InstanceState::Paused) => Move::Resume,
        (RunState::Run, InstanceState::Running) => {
            at.wanted.and_then(|wanted| at.given.refresh(wanted, at.record)).unwrap_or(Move::Rest)
        }
        _ => Move::Rest,
    }
}

fn unlisted(record: &InstanceRecord) -> Move {
    if record.state == InstanceState::Terminated {
        Move::Remove
    } else {
        let reason = "no longer assigned to this node".to_owned();
        Move::Settle(InstanceState::Terminated, Cause::Scheduler, reason)
    }
}

fn idle(at: Situation<'_>, wanted: &Wanted) -> Move {
    use InstanceState as I;
    let (record, state) = (at.record, at.record.state);
    match wanted.run {
        RunState::Stop if !matches!(state, I::Stopped | I::Completed) || record.reason == PAUSED => {
            Move::Settle(I::Stopped, Cause::Person, "stopped on request".to_owned())
        }
        // What failed and would be tried again waits for people now.
        RunState::Pause
            if matches!(state, I::ScheduledNode | I::Stopping)
                || (state == I::Failed && !record.exhausted && !wanted.rests()) =>
        {
            Move::Settle(I::Stopped, Cause::Person, PAUSED.to_owned())
        }
        RunState::Run if !wanted.rests() => match at.late {
            Some(deadline) => late(record, deadline),
            None => launch(at, wanted),
        },
        _ if state == I::Stopping => Move::Settle(I::Stopped, Cause::Node, String::new()),
        _ if wanted.rests() || record.exhausted || state == I::Completed => Move::Rest,
        RunState::Unknown => unreadable(wanted).map_or(Move::Rest, Move::GiveUp),
        RunState::Run | RunState::Stop | RunState::Pause => Move::Rest,
    }
}

fn launch(at: Situation<'_>, wanted: &Wanted) -> Move {
    let record = at.record;
    let outdated = record.is_outdated(wanted);
    let given_up = record.state == InstanceState::Failed && record.exhausted;
    let waiting = record.state == InstanceState::Failed && at.waiting;
    // What failed may do better with another password.
    let anew = outdated || (record.state == InstanceState::Failed && at.given.outdates(wanted, record));
    if (given_up || waiting || record.state == InstanceState::Completed) && !anew {
        return Move::Rest;
    }
    match unreadable(wanted).or_else(|| lacking(wanted, at.node)) {
        // Asked for anew, and still not possible: said once.
        Some(_) if given_up => Move::Rest,
        Some(reason) => Move::GiveUp(reason),
        None => {
            // A launch has to be on the disk before it happens.
            let trouble = at.trouble.map(|trouble| format!("not started: {}", no_writes(trouble)));
            let waits = || (at.lease == Lease::Missing).then(|| NO_LEASE.to_owned());
            let beside = || at.beside.then(|| BESIDE.to_owned());
            let fetched = || (at.coming && record.fetched).then(|| FETCHED.to_owned());
            trouble
                .or_else(|| at.given.lacking())
                .or_else(beside)
                .or_else(fetched)
                .or_else(waits)
                .map_or(Move::Launch, |reason| hold_back(record, reason))
        }
    }
}

/// What has ended before its deadline has done so.
fn late(record: &InstanceRecord, deadline: Duration) -> Move {
    use InstanceState as I;
    match record.state {
        I::Completed | I::Stopped => Move::Rest,
        I::Failed if record.exhausted => Move::Rest,
        _ => {
            let reason = format!("its deadline of {} has passed", Span(deadline));
            Move::Settle(I::Stopped, Cause::Policy, reason)
        }
    }
}

fn hold_back(record: &InstanceRecord, reason: String) -> Move {
    if record.reason == reason {
        return Move::Rest;
    }
    Move::Settle(record.state, Cause::Node, reason)
}

pub(super) fn no_writes(trouble: &str) -> String {
    format!("this node's disk takes no writes: {trouble}")
}

fn unreadable(wanted: &Wanted) -> Option<String> {
    wanted.order.as_ref().err().cloned()
}

/// A runtime that is known but not ready yet gets its attempts: after a boot it may start later than
/// the agent. One that the node does not have at all will not come.
fn lacking(wanted: &Wanted, node: Option<&NodeFacts>) -> Option<String> {
    let runtime = wanted.runtime()?;
    let missing = !node?.runtimes.iter().any(|facts| facts.name == *runtime);
    missing.then(|| format!("this node has no runtime `{runtime}`"))
}
