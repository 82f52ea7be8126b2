//! How members come in and are shut out: tokens, names, certificates.

use holm_model::id::MemberId;
use holm_model::member::{NodeFacts, Role};
use holm_model::name::Name;
use holm_model::view::TokenRole;

use super::command::{Refusal, Reply};
use super::event::Effect;
use super::members::Live;
use super::rows::{Member, Token};
use super::{Orchestrator, Tier};
use crate::revocation::Entry;

impl Orchestrator {
    pub(super) fn join(
        &mut self,
        token: &str,
        secret_hash: &str,
        role: Role,
        name: Name,
        facts: Option<Box<NodeFacts>>,
    ) -> Result<Reply, Refusal> {
        let key = token.to_owned();
        if let Some(why) = self.token_refuses(&key, secret_hash, role, &name) {
            return Err(Refusal::Forbidden(why.to_owned()));
        }
        if let Some(known) = self.members.values().find(|member| member.name == name) {
            let kind = known.role.word();
            return Err(Refusal::Conflict(format!(
                "the name `{name}` belongs to a {kind} already; choose another, or first `holm {kind} remove {name}`"
            )));
        }
        self.tokens.change(&mut self.journal, &key, |token| {
            token.uses_left = token.uses_left.map(|uses| uses.saturating_sub(1));
        });
        let invited = self.tokens.get(&key).filter(|token| token.invites.is_some());
        let (expected, guest_of) =
            invited.map_or((None, None), |token| (Some(token.expires), token.guest_of));
        let member = self.add_member(role, name.clone(), facts);
        self.members.change(&mut self.journal, &member, |member| {
            (member.expected, member.guest_of) = (expected, guest_of);
        });
        Ok(Reply::Joined { member, name })
    }

    fn add_member(&mut self, role: Role, name: Name, facts: Option<Box<NodeFacts>>) -> MemberId {
        let id = MemberId(self.next_id());
        self.members.put(&mut self.journal, id, Member::new(role, name, self.now.wall));
        let mut live = Live::new(self.now.boot);
        live.capabilities = facts.as_ref().map(|f| f.all_capabilities()).unwrap_or_default();
        live.facts = facts.map(|facts| *facts);
        self.live.insert(id, live);
        self.lists.entry(id).or_default();
        self.aggregate_stale = true;
        self.capacity_changed = true;
        self.put_revocations(&[id]);
        self.touch_projects();
        self.dirty_per_node();
        id
    }

    /// Why the token does not let anybody join; nothing in it helps to guess a secret.
    fn token_refuses(
        &self,
        token: &String,
        secret_hash: &str,
        role: Role,
        name: &Name,
    ) -> Option<&'static str> {
        let Some(known) = self.tokens.get(token).filter(|t| same(&t.secret_hash, secret_hash)) else {
            return Some("this token is not known here; create one with `holm token create`");
        };
        let wanted = match role {
            Role::Node => TokenRole::Node,
            Role::Cluster => TokenRole::Cluster,
        };
        if known.role != wanted {
            Some("this token is for another role; `holm token create --role` says which")
        } else if known.revoked {
            Some("this token was revoked")
        } else if known.expires <= self.now.wall {
            Some("this token has expired; create a new one")
        } else if known.uses_left == Some(0) {
            Some("this token is used up; create a new one")
        } else if known.invites.as_ref().is_some_and(|invited| invited != name) {
            Some("this token is for another node")
        } else {
            None
        }
    }

    pub(super) fn create_token(&mut self, id: String, mut token: Token) -> Result<Reply, Refusal> {
        if token.role == TokenRole::Cluster && self.config.tier == Tier::Cluster {
            return Err(Refusal::Invalid("a cluster takes nodes only; create the token at the root".into()));
        }
        let projects = token.grants.iter().flat_map(|grants| grants.projects.keys());
        if let Some(unknown) = projects.into_iter().find(|project| !self.has_project(project)) {
            return Err(Refusal::no_project(unknown));
        }
        token.uses_left = match token.role {
            TokenRole::Node | TokenRole::Cluster => Some(token.uses_left.unwrap_or(1)),
            TokenRole::Viewer | TokenRole::Operator | TokenRole::Admin => None,
        };
        self.tokens.put(&mut self.journal, id, token);
        Ok(Reply::Done)
    }

    pub(super) fn revoke_token(&mut self, id: String) -> Result<Reply, Refusal> {
        if !self.tokens.contains(&id) {
            return Err(Refusal::NotFound { kind: "token", name: id });
        }
        self.tokens.change(&mut self.journal, &id, |token| token.revoked = true);
        if self.tokens.get(&id).is_some_and(|token| token.grants.is_some()) {
            self.void_token(&id);
        }
        Ok(Reply::Done)
    }

    pub(super) fn issued(&mut self, member: MemberId, serial: String) -> Result<Reply, Refusal> {
        if !self.members.contains(&member) {
            return Err(Refusal::no_member(member));
        }
        self.members.change(&mut self.journal, &member, |member| {
            member.serials.insert(serial);
        });
        Ok(Reply::Done)
    }

    pub(super) fn revoke(&mut self, id: MemberId) -> Result<Reply, Refusal> {
        let Some(member) = self.members.get(&id).cloned() else {
            return Err(Refusal::no_member(id));
        };
        for serial in &member.serials {
            self.void(Entry::Certificate(serial));
        }
        // Certificates that this store has forgotten are void, too.
        self.void(Entry::Member(id));
        if member.role == Role::Cluster || member.unconfirmed {
            // Of one that is not confirmed, the role is only what it says.
            self.void(Entry::Signer(id));
        }
        self.revocations_changed();
        if member.role == Role::Cluster {
            // What it said of projects counts no more.
            self.touch_projects();
        }
        if let Some(link) = self.live.get(&id).and_then(|live| live.link) {
            self.close(link, "this member's certificate was revoked");
            self.unsync(id);
        }
        Ok(Reply::Done)
    }

    /// Tells the verifier here and the members.
    pub(super) fn revocations_changed(&mut self) {
        self.effects.push(Effect::Revoked(self.revoked()));
        self.put_all_revocations();
        self.void_guests();
    }
}

/// Both are SHA-256 in hex; the comparison takes the same time wherever they differ.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && !a.is_empty() && a.bytes().zip(b.bytes()).fold(0, |sum, (x, y)| sum | (x ^ y)) == 0
}
