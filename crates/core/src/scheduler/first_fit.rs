//! First-fit: the first member, in the order of their ids, that can take the instance.

use holm_model::id::MemberId;

use super::fit::{Ask, Candidate};
use super::reason::Reason;

/// The member, or every member's reason.
///
/// # Errors
/// When nobody fits: who, by name, and why. The reasons are only made in that case.
pub fn first_fit<'a, I>(ask: &Ask<'_>, members: impl Fn() -> I) -> Result<MemberId, Vec<(String, Reason)>>
where
    I: Iterator<Item = Candidate<'a>>,
{
    if let Some(found) = members().find(|member| member.refuses(ask).is_none()) {
        return Ok(found.id);
    }
    let refusal = |m: Candidate<'a>| Some((m.name.to_string(), m.explain(ask, m.refuses(ask)?)));
    Err(members().filter_map(refusal).collect())
}
