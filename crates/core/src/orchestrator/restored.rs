//! What must change in a store that comes out of a backup, before anybody obeys it.

use holm_model::record::{AuditRecord, Batch, Table};
use holm_model::time::Time;

use super::people::ADMIN;
use super::rows::{Revocation, Token};
use crate::table::{Journal, LoadError, Rows, Snapshot};

/// All tokens that were made before a time.
pub(super) const ALL: &str = "all:";

/// Voids every token: which of them were revoked since the backup, nobody knows here. Tells how many were
/// good.
///
/// # Errors
/// When a row cannot be read.
pub fn void_tokens(mut snapshot: Snapshot, now: Time) -> Result<(Batch, usize), LoadError> {
    let mut journal = Journal::default();
    let mut tokens: Rows<String, Token> = Rows::load(Table::Token, &mut snapshot)?;
    let mut revocations: Rows<String, Revocation> = Rows::load(Table::Revocation, &mut snapshot)?;
    let good: Vec<_> = tokens.iter().filter(|(_, token)| !token.revoked).map(|(id, _)| id.clone()).collect();
    for id in &good {
        tokens.change(&mut journal, id, |token| token.revoked = true);
    }
    revocations.put(&mut journal, format!("{ALL}{}", now.0), Revocation { at: now });
    journal.audit(AuditRecord {
        at: now,
        who: ADMIN.to_owned(),
        from: "restore".to_owned(),
        verb: "restore".to_owned(),
        subject: format!("{} tokens are void", good.len()),
        outcome: "done".to_owned(),
    });
    Ok((journal.take_batch(), good.len()))
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
        };
        let row = |id: &str, revoked| (id.to_owned(), serde_json::to_vec(&token(revoked)).unwrap());
        let snapshot = Snapshot::from([(Table::Token, vec![row("a", false), row("b", true)])]);
        let (batch, voided) = void_tokens(snapshot, Time(7)).unwrap();
        assert_eq!((voided, batch.audit.len()), (1, 1));
        let keys: Vec<_> = batch.writes.iter().map(|write| (write.table, write.key.as_str())).collect();
        assert_eq!(keys, [(Table::Token, "a"), (Table::Revocation, "all:7")]);
        assert!(
            String::from_utf8_lossy(batch.writes[0].value.as_ref().unwrap()).contains("\"revoked\":true")
        );
    }
}
