//! What must change in a store that comes out of a backup, before anybody obeys it.

use holm_model::id::MemberId;
use holm_model::name::Name;
use holm_model::record::{AuditRecord, Batch, Table};
use holm_model::time::Time;

use super::people::{ADMIN, Person};
use super::rows::{Member, Revocation, Token};
use crate::table::{Journal, LoadError, Rows, Snapshot};

/// All tokens that were made before a time.
pub(super) const ALL: &str = "all:";

/// What a restored store no longer relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distrusted {
    /// Tokens that were good.
    pub tokens: usize,
    /// Members that people have to adopt before they are told anything.
    pub members: usize,
    /// People who cannot log in before an administrator has set a new password.
    pub people: usize,
}

/// Which tokens and members were revoked since the backup, nobody knows here: every token is void, every member
/// waits for a person's word, and so does every person: whose password was changed, or who was deleted, has the old one.
///
/// # Errors
/// When a row cannot be read.
pub fn distrust(mut snapshot: Snapshot, now: Time) -> Result<(Batch, Distrusted), LoadError> {
    let mut journal = Journal::default();
    let mut members: Rows<MemberId, Member> = Rows::load(Table::Member, &mut snapshot)?;
    let all: Vec<_> = members.iter().map(|(id, _)| *id).collect();
    for id in &all {
        members.change(&mut journal, id, |member| member.unconfirmed = true);
    }
    let mut tokens: Rows<String, Token> = Rows::load(Table::Token, &mut snapshot)?;
    let mut revocations: Rows<String, Revocation> = Rows::load(Table::Revocation, &mut snapshot)?;
    let good: Vec<_> = tokens.iter().filter(|(_, token)| !token.revoked).map(|(id, _)| id.clone()).collect();
    for id in &good {
        tokens.change(&mut journal, id, |token| token.revoked = true);
    }
    revocations.put(&mut journal, format!("{ALL}{}", now.0), Revocation { at: now });
    let mut people: Rows<Name, Person> = Rows::load(Table::Person, &mut snapshot)?;
    let held: Vec<_> = people.iter().map(|(name, _)| name.clone()).collect();
    for name in &held {
        people.change(&mut journal, name, |person| person.held = true);
    }
    let distrusted = Distrusted { tokens: good.len(), members: all.len(), people: held.len() };
    journal.audit(AuditRecord {
        at: now,
        who: ADMIN.to_owned(),
        from: "restore".to_owned(),
        verb: "restore".to_owned(),
        subject: format!(
            "tokens that are void: {}; members that wait: {}; people that wait: {}",
            distrusted.tokens, distrusted.members, distrusted.people
        ),
        outcome: "done".to_owned(),
    });
    Ok((journal.take_batch(), distrusted))
}

#[cfg(test)]
mod tests {
    use holm_model::view::TokenRole;

    use super::*;

    #[test]
    fn every_token_is_void_and_it_is_written_down() {
        let token = |revoked| Token {
            role: TokenRole::Node,
            secret_hash: "x".into(),
            expires: Time(2_000_000_000_000),
            uses_left: Some(1),
            revoked,
            who: String::new(),
            grants: None,
            invites: None,
            guest_of: None,
        };
        let row = |id: &str, revoked| (id.to_owned(), serde_json::to_vec(&token(revoked)).unwrap());
        let snapshot = Snapshot::from([(Table::Token, vec![row("a", false), row("b", true)])]);
        let (batch, distrusted) = distrust(snapshot, Time(7)).unwrap();
        assert_eq!((distrusted, batch.audit.len()), (Distrusted { tokens: 1, members: 0, people: 0 }, 1));
        let keys: Vec<_> = batch.writes.iter().map(|write| (write.table, write.key.as_str())).collect();
        assert_eq!(keys, [(Table::Token, "a"), (Table::Revocation, "all:7")]);
        assert!(
            String::from_utf8_lossy(batch.writes[0].value.as_ref().unwrap()).contains("\"revoked\":true")
        );
    }
    #[test]
    fn nobody_of_a_backup_logs_in_before_somebody_has_set_a_new_password() {
        // As an older version wrote it.
        let row = serde_json::json!({ "password": "$argon2id$", "must_change": false, "roles": {}, "created": Time(0) });
        let rows = vec![("ada".to_owned(), serde_json::to_vec(&row).unwrap())];
        let (batch, distrusted) = distrust(Snapshot::from([(Table::Person, rows)]), Time(7)).unwrap();
        assert_eq!(distrusted, Distrusted { tokens: 0, members: 0, people: 1 });
        let write = batch.writes.iter().find(|write| write.table == Table::Person).unwrap();
        let person: Person = serde_json::from_slice(write.value.as_ref().unwrap()).unwrap();
        assert!(person.held && write.key == "ada");
    }
}
