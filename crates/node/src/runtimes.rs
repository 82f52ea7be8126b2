//! The drivers of this node by name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, select_all};
use holm_core::node::{self as core, Outcome};
use holm_model::build::BuildWant;
use holm_model::image::ImageView;
use holm_model::member::RuntimeFacts;
use holm_model::name::Name;
use holm_model::wipe::WipeReport;
use holm_runtime::{End, Exec, RunError, Runtime, Survivor, SurvivorState};

/// Clones are the same drivers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runtimes(Arc<BTreeMap<Name, Arc<dyn Runtime>>>);

/// An engine may start after us when the machine boots; this often it is asked for survivors, ...
const TRIES: u32 = 5;
/// ... with this wait between.
const PAUSE: Duration = Duration::from_secs(1);

// === impl Runtimes ===

impl Runtimes {
    /// Drivers whose name is no [`Name`] cannot be asked for by a manifest and are left out.
    pub(crate) fn new(drivers: impl IntoIterator<Item = Arc<dyn Runtime>>) -> Self {
        let named = drivers.into_iter().filter_map(|driver| Some((Name::new(driver.name()).ok()?, driver)));
        Self(Arc::new(named.collect()))
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&Arc<dyn Runtime>> {
        self.0.get(name)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<dyn Runtime>> {
        self.0.values()
    }

    /// For people: `container, process`.
    pub(crate) fn names(&self) -> String {
        self.0.keys().map(Name::as_str).collect::<Vec<_>>().join(", ")
    }

    pub(crate) async fn facts(&self) -> Vec<RuntimeFacts> {
        join_all(self.0.values().map(|driver| driver.facts())).await
    }

    /// Where instances reach listeners of the node, of those runtimes that can tell now.
    pub(crate) async fn local_addresses(&self) -> BTreeMap<Name, IpAddr> {
        let ask = async |(name, driver): (&Name, &Arc<dyn Runtime>)| match driver.local_address().await {
            Ok(address) => Some((name.clone(), address)),
            Err(error) => {
                tracing::debug!(runtime = %name, %error, "A runtime has no address for its instances.");
                None
            }
        };
        join_all(self.0.iter().map(ask)).await.into_iter().flatten().collect()
    }

    /// All that is still there of this node's instances, and who cannot tell now; `of` all runtimes, or of
    /// some. A driver that should be able to is asked again for a while; then its instances count as gone, and
    /// starting them replaces what is left.
    pub(crate) async fn survivors(
        &self,
        of: Option<&BTreeSet<Name>>,
    ) -> (Vec<(Arc<dyn Runtime>, Survivor)>, BTreeSet<Name>) {
        let (mut there, mut silent) = (Vec::new(), BTreeSet::new());
        let asked: Vec<_> =
            self.0.iter().filter(|(name, _)| of.is_none_or(|of| of.contains(*name))).collect();
        let lists = join_all(asked.iter().map(|(_, driver)| list(driver))).await;
        for ((name, driver), found) in asked.into_iter().zip(lists) {
            match found {
                Some(found) => there.extend(found.into_iter().map(|one| (Arc::clone(driver), one))),
                None => drop(silent.insert(name.clone())),
            }
        }
        (there, silent)
    }

    /// Images of those that can tell.
    ///
    /// # Errors
    /// When none of them can: why not.
    pub(crate) async fn images(&self) -> Result<Vec<ImageView>, RunError> {
        let (mut all, mut failed) = (Vec::new(), None);
        for told in join_all(self.0.values().map(|driver| driver.images())).await {
            match told {
                Ok(images) => all.extend(images),
                Err(error) => failed = Some(error),
            }
        }
        failed.filter(|_| all.is_empty()).map_or(Ok(all), Err)
    }

    /// # Errors
    /// The last runtime's, when none had it.
    pub(crate) async fn remove_image(&self, name: &str) -> Result<(), RunError> {
        let mut failed = RunError::ImageMissing {
            image: name.to_owned(),
            answer: "this node has no runtime that has images".to_owned(),
        };
        for driver in self.0.values() {
            match driver.remove_image(name.to_owned()).await {
                Ok(()) => return Ok(()),
                // The engine's word counts more than that there are no images elsewhere.
                Err(error) if driver.name() != "process" => failed = error,
                Err(_) => {}
            }
        }
        Err(failed)
    }

    /// # Errors
    /// When no runtime builds any.
    pub(crate) fn build(&self, want: &BuildWant) -> Result<Exec, RunError> {
        let mut failed = RunError::Unsupported { runtime: "node", what: "build images".to_owned() };
        for driver in self.0.values() {
            match driver.build(want.clone()) {
                Ok(build) => return Ok(build),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Removes images that nothing uses but for the `keep` newest of each repository; returns their names.
    pub(crate) async fn clean(&self, keep: usize) -> Vec<String> {
        let ask = async |driver: &Arc<dyn Runtime>| {
            driver.clean(keep).await.unwrap_or_else(|error| {
                tracing::warn!(runtime = driver.name(), %error, "Images that nothing uses cannot be removed.");
                Vec::new()
            })
        };
        join_all(self.0.values().map(ask)).await.into_iter().flatten().collect()
    }

    /// What they have brought beside instances goes.
    pub(crate) async fn wipe(&self) -> WipeReport {
        let mut all = WipeReport::default();
        for found in join_all(self.0.values().map(|driver| driver.wipe())).await {
            all.left.extend(found.left.iter().cloned());
            all.add_earlier(found);
        }
        all
    }

    /// Returns when a driver may have become ready, or is not any more.
    pub(crate) async fn changed(&self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        select_all(self.0.values().map(|driver| driver.changed())).await;
    }
}

/// `None`: it cannot tell now.
async fn list(driver: &Arc<dyn Runtime>) -> Option<Vec<Survivor>> {
    if driver.facts().await.unavailable.is_some() {
        return None;
    }
    let mut last: Option<RunError> = None;
    for _ in 0..TRIES {
        match driver.survivors().await {
            Ok(survivors) => return Some(survivors),
            // What runs in an engine that hangs runs on.
            Err(RunError::MuteEngine { .. }) => return None,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
    let error = last.map(|error| error.to_string()).unwrap_or_default();
    tracing::error!(runtime = driver.name(), %error, "A runtime cannot tell what survived; its instances count as gone.");
    Some(Vec::new())
}

// === to the machine's words ===

pub(crate) fn survivor(survivor: &Survivor) -> core::Survivor {
    let state = match &survivor.state {
        SurvivorState::Created => core::SurvivorState::Created,
        SurvivorState::Running => core::SurvivorState::Running,
        SurvivorState::Paused => core::SurvivorState::Paused,
        SurvivorState::Exited(how) => core::SurvivorState::Exited(outcome(how)),
    };
    let ports = survivor.ports.iter().map(|(name, map)| (name.clone(), map.host)).collect();
    let lease = survivor.lease.filter(|_| state.is_alive());
    core::Survivor { id: survivor.id, incarnation: survivor.incarnation, state, ports, lease }
}

pub(crate) const fn outcome(how: &holm_runtime::Outcome) -> Outcome {
    let (code, signal) = match how.end {
        End::Code(code) => (Some(code), None),
        End::Signal(signal) => (None, Some(signal)),
        End::Lost(_) => (None, None),
    };
    Outcome { code, signal, oom: how.oom, lease: how.lease }
}
