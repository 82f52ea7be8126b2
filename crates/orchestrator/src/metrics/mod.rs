//! An orchestrator in the words of Prometheus. Each module is a pure function from what is known to families.
//!
//! | module | its subject |
//! | --- | --- |
//! | [`about`] | which program this is |
//! | [`members`] | who is there, and who lags |
//! | [`capacity`] | what nodes and clusters have, and what of it is free |
//! | [`services`] | instances, slots and restarts of each service |
//! | [`placing`] | placements, refusals, what waits, updates |
//! | [`shell`] | queue, commits, links, disk, certificates |
//!
//! No label is ever the id of an instance; names that people choose are bounded: see [`MOST_SERVICES`] and
//! [`MOST_MEMBERS`].

mod about;
mod capacity;
mod members;
mod placing;
mod services;
mod shell;

use holm_core::orchestrator::Figures;
use holm_metrics::Family;
use holm_model::view::StatusView;

pub(crate) use shell::{Disk, Surroundings};

/// Services with series of their own, in fair shares for the projects; all others are added up as `other`.
const MOST_SERVICES: usize = 500;
/// Members with series of their own; those after them are added up as `other`.
const MOST_MEMBERS: usize = 1000;

/// All families, in the order in which people read them.
pub(crate) fn families(status: &StatusView, figures: &Figures, around: &Surroundings) -> Vec<Family> {
    let mut all = about::families(status, around.started);
    all.extend(members::families(status, figures));
    all.extend(capacity::families(&status.name, figures));
    all.extend(services::families(figures));
    all.extend(placing::families(figures));
    all.extend(shell::families(around));
    all.extend(around.process.families());
    all
}

/// By the word of each, as `reason` or another label.
fn by_word<'a>(
    family: &mut Family,
    label: &'static str,
    counts: impl IntoIterator<Item = (&'a &'static str, &'a u64)>,
) {
    for (word, number) in counts {
        family.add(&[(label, word)], *number);
    }
}

#[cfg(test)]
mod tests;
