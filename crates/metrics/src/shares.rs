//! Fair shares of what is bounded: nobody who chooses many names leaves others without one.

use std::collections::{BTreeMap, BTreeSet};

/// Who of all gets one of `most` places: equal shares for each owner; what one does not need goes to the others.
///
/// Within an owner the first in `wanted` come first. The same answer for the same question, whatever was asked before;
/// one more of somebody takes one place of whoever has most at the worst.
#[must_use]
pub fn fair<O: Ord, T: Ord>(wanted: impl IntoIterator<Item = (O, T)>, most: usize) -> BTreeSet<T> {
    let mut by_owner: BTreeMap<O, Vec<T>> = BTreeMap::new();
    for (owner, one) in wanted {
        by_owner.entry(owner).or_default().push(one);
    }
    let mut all: Vec<Vec<T>> = by_owner.into_values().collect();
    // Whoever needs least first, so that what is left over is known for the others.
    all.sort_by_key(Vec::len);
    let (mut left, mut owners) = (most, all.len());
    let mut taken = BTreeSet::new();
    for own in all {
        let share = left / owners;
        let before = taken.len();
        taken.extend(own.into_iter().take(share));
        left -= taken.len() - before;
        owners -= 1;
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(owner: &'static str, number: usize) -> impl Iterator<Item = (&'static str, String)> {
        (0..number).map(move |at| (owner, format!("{owner}/{at:04}")))
    }

    fn of(taken: &BTreeSet<String>, owner: &str) -> usize {
        taken.iter().filter(|name| name.starts_with(owner)).count()
    }

    #[test]
    fn many_names_of_one_leave_room_for_those_of_others() {
        let all = || wanted("a", 5000).chain(wanted("b", 10)).chain(wanted("c", 300));
        let taken = fair(all(), 500);
        assert_eq!([of(&taken, "a"), of(&taken, "b"), of(&taken, "c")], [245, 10, 245]);
        assert_eq!(taken, fair(all(), 500));
        let more = fair(all().chain(wanted("d", 1)), 500);
        assert_eq!((of(&more, "d"), taken.difference(&more).count()), (1, 1), "one gives way to one");
    }

    #[test]
    fn who_is_alone_has_all_and_nothing_is_given_that_is_not_there() {
        assert_eq!(fair(wanted("a", 5000), 500).len(), 500);
        assert_eq!(fair(wanted("a", 3), 500).len(), 3);
        assert_eq!(fair(wanted("a", 3).chain(wanted("b", 3)), 1).len(), 1);
        assert!(fair(wanted("a", 3), 0).is_empty());
    }
}
