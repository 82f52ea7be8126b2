//! What is admitted, and will probably not run: told at once, since a slot that waits for ever tells it late.

use std::collections::BTreeSet;

use holm_model::service::Application;

use super::Orchestrator;
use super::members::Live;

impl Orchestrator {
    /// For people, each with its place in the manifest.
    pub(super) fn advice(&self, application: &Application) -> Vec<String> {
        let known: BTreeSet<&str> = self.live.values().flat_map(runtimes).collect();
        // Nobody has reported yet: any runtime may come.
        if known.is_empty() {
            return Vec::new();
        }
        let names = || known.iter().copied().collect::<Vec<_>>().join("`, `");
        let services = application.services.iter();
        let missing = services.filter(|(_, service)| !known.contains(service.spec.runtime.as_str()));
        let told = missing.map(|(name, service)| {
            let runtime = &service.spec.runtime;
            format!("services.{name}.runtime: no node has the runtime `{runtime}`; there is `{}`", names())
        });
        told.collect()
    }
}

/// Runtimes that are ready on a node, or somewhere in a cluster.
fn runtimes(live: &Live) -> impl Iterator<Item = &str> {
    let own = live.facts.iter().flat_map(|facts| &facts.runtimes);
    let own = own.filter(|runtime| runtime.unavailable.is_none()).map(|runtime| runtime.name.as_str());
    let below = live.aggregate.classes.iter().flat_map(|class| &class.capabilities);
    own.chain(below.filter(|c| c.kind.as_str() == "runtime").map(|c| c.name.as_str()))
}
