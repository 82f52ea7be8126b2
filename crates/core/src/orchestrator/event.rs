//! What happens to an orchestrator machine, and what it wants done.

use std::collections::BTreeSet;
use std::net::IpAddr;

use holm_model::coordinate::Coordinate;
use holm_model::id::{AssignmentId, MemberId};
use holm_model::message::{Down, Up};
use holm_model::name::Name;
use holm_model::view::scheduler::ConsultView;
use holm_model::wish::AppKey;

use super::command::{Actor, Command, Refusal, Reply};
use super::exposing::Exposure;
use crate::revocation::Void;

/// One connection of a member, numbered by the shell; never used twice in a reign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// A request that waits for its answer, numbered by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A question to a scheduler of people's own; never used twice in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsultId(pub u64);

/// Input of the machine.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time passed; deadlines are looked at.
    Tick,
    Command {
        ticket: Ticket,
        actor: Actor,
        command: Command,
    },
    /// A member opened a link; its certificate says who it is, and with which serial number.
    LinkOpened {
        link: LinkId,
        member: MemberId,
        /// Where it comes from; `None`: that is not known.
        from: Option<IpAddr>,
        serial: String,
        renew_only: bool,
    },
    LinkMessage {
        link: LinkId,
        message: Up,
    },
    LinkClosed {
        link: LinkId,
    },
    /// A node of a cluster of ours, which it does not hear, says itself what it runs; its certificate says who it is.
    Witnessed {
        cluster: MemberId,
        node: MemberId,
        runs: BTreeSet<AssignmentId>,
    },
    /// Our own link to our parent (a cluster orchestrator's).
    ParentOpened,
    ParentMessage(Down),
    ParentClosed,
    /// Where this orchestrator is in the network, as its shell has measured.
    Located(Coordinate),
    /// A port of [`Effect::Expose`] is open; or it is not, why.
    Exposed {
        port: u16,
        /// The service, and its port: another one may have it by now.
        leads_to: (AppKey, Name, Name),
        outcome: Result<(), String>,
    },
    /// What a scheduler answered, the best member first; or why there is no answer, for people.
    Consulted {
        id: ConsultId,
        answer: Result<Vec<MemberId>, String>,
    },
}

/// Output of the machine; carried out in order, after the journal was committed.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Reply {
        ticket: Ticket,
        result: Result<Reply, Refusal>,
    },
    Send {
        link: LinkId,
        message: Down,
    },
    /// Say why (`Down::Refused`) and close.
    Close {
        link: LinkId,
        reason: String,
    },
    SendParent(Up),
    /// Sign this request for the member's identity, report it with `Command::Issued`, then send it.
    Sign {
        link: LinkId,
        member: MemberId,
        csr: Vec<u8>,
    },
    /// All ports that lead to services from now on.
    Expose(Vec<Exposure>),
    /// All that is void; it has changed.
    Revoked(Void),
    /// Ask this scheduler, and say so by [`Event::Consulted`].
    Consult {
        id: ConsultId,
        scheduler: Name,
        question: Box<ConsultView>,
    },
    /// From the parent: a new certificate chain of our own.
    Certificate {
        chain: Vec<Vec<u8>>,
    },
}
