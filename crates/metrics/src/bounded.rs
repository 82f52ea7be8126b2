//! Labels that cannot become too many: each set of values is a series that Prometheus keeps in memory.

use std::collections::BTreeSet;

/// Stands for all that came after the last one that had room.
pub const OTHER: &str = "other";

/// The sets of `N` values that have a series of their own: the first that are asked for.
#[derive(Debug)]
pub struct Bounded<const N: usize> {
    most: usize,
    known: BTreeSet<[String; N]>,
}

// === impl Bounded ===

impl<const N: usize> Bounded<N> {
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self { most, known: BTreeSet::new() }
    }

    /// The values themselves, or [`OTHER`] for each where there is no room for them.
    #[must_use]
    pub fn admit(&mut self, values: [&str; N]) -> [String; N] {
        let own = values.map(str::to_owned);
        if self.known.contains(&own) {
            return own;
        }
        if self.known.len() < self.most {
            self.known.insert(own.clone());
            return own;
        }
        [(); N].map(|()| OTHER.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_other() {
        let mut bounded = Bounded::new(2);
        assert_eq!(bounded.admit(["a", "web"]), ["a", "web"]);
        assert_eq!(bounded.admit(["a", "db"]), ["a", "db"]);
        assert_eq!(bounded.admit(["b", "web"]), [OTHER, OTHER]);
        assert_eq!(bounded.admit(["a", "web"]), ["a", "web"]);
    }
}
