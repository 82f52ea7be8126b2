//! Taking away what Holm has brought to the engine. Never by force: the engine keeps what a container uses.

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{RemoveImageOptions, RemoveVolumeOptions};
use holm_model::wipe::WipeReport;

use super::Shared;
use super::engine::status;
use super::ledger::Thing;
use crate::error::{RunError, Step};

impl Shared {
    /// Images and volumes; what is not gone afterwards is told.
    pub(super) async fn wipe(&self) -> WipeReport {
        let mut report = WipeReport::default();
        for thing in [Thing::Volume, Thing::Image] {
            let names = match self.ledger.all(thing) {
                Ok(names) if names.is_empty() => continue,
                Ok(names) => names,
                Err(error) => {
                    let what = thing.word();
                    report.left.insert(format!(
                        "every {what} that was brought: which they are cannot be read: {error}"
                    ));
                    continue;
                }
            };
            match self.engine.client(Step::Wipe).await {
                Ok(client) => self.wipe_all(client, thing, names, &mut report).await,
                Err(error) => {
                    report.left.extend(names.iter().map(|name| format!("{} {name}: {error}", thing.word())));
                }
            }
        }
        report
    }

    async fn wipe_all(&self, client: &Docker, thing: Thing, names: Vec<String>, report: &mut WipeReport) {
        for name in names {
            match self.take_away(client, thing, &name).await {
                Ok(()) => {
                    self.ledger.forget(thing, &name);
                    let gone = match thing {
                        Thing::Image => &mut report.images,
                        Thing::Volume => &mut report.volumes,
                    };
                    gone.insert(name);
                }
                Err(error) => {
                    report.left.insert(format!("{} {name}: {error}", thing.word()));
                }
            }
        }
    }

    pub(super) async fn take_away(&self, client: &Docker, thing: Thing, name: &str) -> Result<(), RunError> {
        let removed: Result<(), Error> = match thing {
            Thing::Image => client.remove_image(name, None::<RemoveImageOptions>, None).await.map(drop),
            Thing::Volume => client.remove_volume(name, None::<RemoveVolumeOptions>).await,
        };
        match status(removed.as_ref().err()) {
            // Somebody else was here before.
            Some(404) => Ok(()),
            _ => removed.map_err(|error| self.engine.failed(Step::Wipe, error)),
        }
    }
}
