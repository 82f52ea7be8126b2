//! What is done after a commit.

use std::sync::PoisonError;

use holm_core::orchestrator::command::{Actor, Command, Refusal, Reply};
use holm_core::orchestrator::{Effect, LinkId};
use holm_core::revocation::Void;
use holm_link::revocation::Revocations;
use holm_model::id::MemberId;
use holm_model::message::Down;
use serde_bytes::ByteBuf;

use crate::clock;
use crate::links::Links;
use crate::owner::{Waiter, Waiters, World};
use crate::renewals::Answer;

/// Of a member that asks for certificates again and again.
const TOO_OFTEN: &str = "it asks for new certificates again and again and gets none for a while; is its clock ahead? \
     `holm doctor` there tells";

// === impl World ===

impl World {
    /// Does one effect; a command may follow from it.
    pub(crate) fn carry_out(
        &self,
        effect: Effect,
        waiters: &mut Waiters,
    ) -> Option<(Actor, Command, Waiter)> {
        match effect {
            Effect::Reply { ticket, result } => {
                if let Some(waiter) = waiters.take(ticket) {
                    waiter.answer(result, &self.links);
                }
            }
            Effect::Send { link, message } => self.links.send(link, message),
            Effect::Close { link, reason } => self.links.close(link, reason),
            Effect::Sign { link, member, csr } => return self.sign(link, member, &csr),
            Effect::Expose(table) => self.balancer.wish(table),
            Effect::Revoked(void) => self.revoke(&void),
            Effect::SendParent(message) => {
                if let Some(uplink) = &self.uplink {
                    uplink.send(message);
                }
            }
            Effect::Consult { id, scheduler, question } => self.consultants.consult(id, &scheduler, question),
            Effect::Certificate { chain } => {
                if let Some(uplink) = &self.uplink {
                    uplink.install(chain);
                }
            }
        }
        None
    }

    /// The serial number is committed before the member gets the certificate.
    fn sign(&self, link: LinkId, member: MemberId, csr: &[u8]) -> Option<(Actor, Command, Waiter)> {
        let actor = Actor { who: format!("member:{member}"), from: "link".to_owned() };
        // Nothing that holds the lock can panic half-way.
        let answer =
            self.renewals.lock().unwrap_or_else(PoisonError::into_inner).ask(member, clock::now().boot);
        match answer {
            Answer::Sign => {}
            Answer::Refuse => {
                tracing::warn!(%member, TOO_OFTEN);
                let (verb, subject) = ("certificate".to_owned(), format!("member {member}"));
                let denied = Command::Denied { verb, subject, reason: TOO_OFTEN.to_owned() };
                return Some((actor, denied, Waiter::Nobody));
            }
            Answer::Ignore => return None,
        }
        match self.signer.renewal(member, csr) {
            Ok(signed) => {
                let serial = signed.serials.first()?.to_string();
                let waiter = Waiter::Renewal { link, chain: signed.chain };
                Some((actor, Command::Issued { member, serial }, waiter))
            }
            Err(error) => {
                tracing::warn!(%member, %error, "A certificate was not renewed.");
                self.links.close(link, format!("the certificate cannot be renewed: {error}"));
                None
            }
        }
    }

    fn revoke(&self, void: &Void) {
        add_to(&self.revocations, void);
        self.links.cut_revoked(|serial| self.revocations.contains(serial));
        self.voided.send_replace(());
    }
}

/// What the machine says is void is refused from now on.
pub(crate) fn add_to(revocations: &Revocations, void: &Void) {
    // What cannot be parsed was never a serial number of a certificate.
    revocations.revoke(void.serials.iter().filter_map(|text| text.parse().ok()));
    revocations.revoke_members(void.members.iter().map(ToString::to_string));
}

// === impl Waiter ===

impl Waiter {
    pub(crate) fn answer(self, result: Result<Reply, Refusal>, links: &Links) {
        match (self, result) {
            (Self::Nobody, _) => {}
            // Who no longer waits needs no answer.
            (Self::Person(reply), result) => drop(reply.send(result)),
            (Self::Renewal { link, chain }, Ok(_)) => {
                let chain = chain.into_iter().map(ByteBuf::from).collect();
                links.send(link, Down::Certificate { chain });
            }
            (Self::Renewal { link, .. }, Err(refusal)) => links.close(link, refusal.to_string()),
        }
    }
}
