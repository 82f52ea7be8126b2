//! Best-fit: where the least is left over, so that large gaps stay large.

use holm_model::resources::Resources;

use super::fit::{Ask, Candidate, Kind};

/// One whole, of CPU or of memory.
const WHOLE: u64 = 1_000_000;

/// What would be left of the member's CPU and memory, in millionths of all it has, added up: 0 to two wholes.
///
/// Of a cluster, all nodes that could take it count together.
#[must_use]
pub fn remainder(ask: &Ask<'_>, member: &Candidate<'_>) -> u64 {
    match member.kind {
        Kind::Node { total, free, .. } => left(&free, &total, &ask.spec.resources),
        Kind::Cluster { aggregate, debit, .. } => {
            let (mut total, mut free) = (Resources::default(), Resources::default());
            for class in member.suited(ask, aggregate) {
                total += &class.total;
                free += &class.free;
            }
            left(&free.less(&debit), &total, &ask.spec.resources)
        }
    }
}

fn left(free: &Resources, total: &Resources, asked: &Resources) -> u64 {
    let share = |free: u64, asked: u64, total: u64| {
        let part = u128::from(free.saturating_sub(asked)) * u128::from(WHOLE) / u128::from(total.max(1));
        u64::try_from(part).unwrap_or(WHOLE).min(WHOLE)
    };
    share(free.cpu.0, asked.cpu.0, total.cpu.0) + share(free.memory.0, asked.memory.0, total.memory.0)
}
