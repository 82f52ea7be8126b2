//! What an orchestrator is told at its start.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use holm_model::expose::PortRange;
use holm_model::geo::Point;
use holm_model::name::Name;
use holm_model::placement::Strategy;

/// With or without a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    Root,
    Cluster,
}

#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the sea, the first part of every identity.
    pub sea: String,
    pub name: Name,
    pub tier: Tier,
    pub deadlines: Deadlines,
    /// For services that name none.
    pub strategy: Strategy,
    /// Where its nodes are that name no place of their own.
    pub location: Option<Point>,
    /// Where others may dial it to measure their way; `None`: nowhere.
    pub advertise: Option<SocketAddr>,
    /// Generations of an application whose specification is kept.
    pub generations: usize,
    /// Ports that services may be exposed at here.
    pub expose: Option<PortRange>,
    pub schedulers: Schedulers,
}

/// Schedulers of people's own, which the shell asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedulers {
    pub names: BTreeSet<Name>,
    /// Later than this no answer comes.
    pub patience: Duration,
    /// Without an answer nobody is taken, instead of whom the built-in strategy takes.
    pub required: bool,
}

/// The default of [`Config::generations`].
pub const GENERATIONS: usize = 10;

/// How long silence lasts before it means something; counted in boot time from the last message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// The member is shown as `unknown`.
    pub unknown: Duration,
    /// The member is shown as `offline`.
    pub offline: Duration,
    /// Its instances are DANGLING and replaced.
    pub replace: Duration,
    /// How long an exclusive instance may run after its member asked for it.
    pub lease: Duration,
    /// A lease is surely over so long after its end here: clocks differ in speed, and to end something takes a moment.
    pub lease_margin: Duration,
    /// A member that refused a slot is asked again; the wait doubles with each refusal in a row.
    pub ask_again: Duration,
    /// The longest of these waits.
    pub ask_at_most: Duration,
    /// An update passes over a slot whose instance does not end, or does not come to rest.
    pub settle: Duration,
    /// An instance that ran for so long proves its specification: an update goes on to the next slot.
    pub steady: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            unknown: Duration::from_secs(15),
            offline: Duration::from_secs(30),
            replace: Duration::from_secs(60),
            lease: Duration::from_secs(30),
            lease_margin: Duration::from_secs(5),
            ask_again: Duration::from_secs(10),
            ask_at_most: Duration::from_secs(300),
            settle: Duration::from_secs(60),
            steady: Duration::from_secs(10),
        }
    }
}
