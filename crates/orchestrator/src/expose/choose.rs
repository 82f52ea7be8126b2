//! Who takes a connection: whoever has the fewest open, by turns among equals. Pure.

use std::collections::{BTreeMap, BTreeSet};

use holm_core::orchestrator::exposing::Target;
use holm_model::id::AssignmentId;

/// `open`: connections of each; whoever was `tried` is passed over. A last resort is taken when there is nobody
/// else. `turn` rises with each connection.
pub(super) fn choose<'a>(
    targets: &'a [Target],
    open: &BTreeMap<AssignmentId, usize>,
    tried: &BTreeSet<AssignmentId>,
    turn: usize,
) -> Option<&'a Target> {
    let count = targets.len();
    // From the one whose turn it is on; the first of the least is taken.
    let by_turns = (0..count).filter_map(|i| targets.get((turn + i) % count));
    by_turns
        .filter(|target| !tried.contains(&target.instance))
        .min_by_key(|target| (target.last_resort, open.get(&target.instance).copied().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::id::{Epoch, Uid};

    fn id(counter: u64) -> AssignmentId {
        AssignmentId(Uid { epoch: Epoch::new(1, 1), counter })
    }

    fn target(counter: u64, last_resort: bool) -> Target {
        Target { instance: id(counter), path: Vec::new(), port: 80, last_resort }
    }

    fn chosen(targets: &[Target], open: &[(u64, usize)], tried: &[u64], turn: usize) -> Option<u64> {
        let open = open.iter().map(|(counter, number)| (id(*counter), *number)).collect();
        let tried = tried.iter().map(|counter| id(*counter)).collect();
        choose(targets, &open, &tried, turn).map(|target| target.instance.0.counter)
    }

    #[test]
    fn the_fewest_connections_win_and_equals_take_turns() {
        let all = [target(1, false), target(2, false), target(3, false)];
        let turns: Vec<_> = (0..4).map(|turn| chosen(&all, &[], &[], turn)).collect();
        assert_eq!(turns, [Some(1), Some(2), Some(3), Some(1)]);
        assert_eq!(chosen(&all, &[(1, 2), (2, 1), (3, 2)], &[], 0), Some(2));
    }

    #[test]
    fn who_was_tried_is_passed_over_and_a_last_resort_comes_last() {
        let all = [target(1, true), target(2, false), target(3, false)];
        assert_eq!(chosen(&all, &[(2, 9), (3, 9)], &[], 0), Some(2));
        assert_eq!(chosen(&all, &[], &[2], 0), Some(3));
        assert_eq!(chosen(&all, &[], &[2, 3], 0), Some(1));
        assert_eq!(chosen(&all, &[], &[1, 2, 3], 0), None);
        assert_eq!(chosen(&[], &[], &[], 7), None);
    }
}
