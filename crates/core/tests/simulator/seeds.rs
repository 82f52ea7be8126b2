//! Many seeds; those that break a promise are named.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::chaos::{Chaos, Links};

/// Seeds of each half of each kind of links, unless `HOLM_SIM_RUNS` says otherwise: a thousand in all.
const RUNS: u64 = 250;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs every second seed, from `first` on: halves run side by side.
fn runs(first: u64, links: Links) {
    if let Some(seed) = number("HOLM_SIM_SEED") {
        return Chaos::run(seed, links);
    }
    let runs = number("HOLM_SIM_RUNS").unwrap_or(RUNS);
    let seeds = (0..runs).map(|run| first + 2 * run);
    let broken: Vec<u64> =
        seeds.filter(|seed| catch_unwind(AssertUnwindSafe(|| Chaos::run(*seed, links))).is_err()).collect();
    assert!(broken.is_empty(), "{links:?} links: seeds {broken:?} break a promise; HOLM_SIM_SEED=n runs one");
}

#[test]
fn promises_hold_on_even_seeds() {
    runs(0, Links::Tcp);
}

#[test]
fn promises_hold_on_odd_seeds() {
    runs(1, Links::Tcp);
}

#[test]
fn promises_hold_on_lossy_links_on_even_seeds() {
    runs(0, Links::Lossy);
}

#[test]
fn promises_hold_on_lossy_links_on_odd_seeds() {
    runs(1, Links::Lossy);
}
