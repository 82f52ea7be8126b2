//! What images the engine has, and what becomes of those that nothing uses.

use std::collections::{BTreeMap, BTreeSet};

use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{ListContainersOptionsBuilder, ListImagesOptionsBuilder};
use holm_model::image::ImageView;
use holm_model::time::Time;

use super::Shared;
use super::image::{forget_gone, split};
use super::ledger::Thing;
use super::spec::{NODE, read_labels};
use crate::error::{RunError, Step};

/// More are not told, nor looked at.
const MOST: usize = 10_000;

impl Shared {
    /// The largest first.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub(super) async fn images(&self) -> Result<Vec<ImageView>, RunError> {
        let client = self.engine.client(Step::Look).await?;
        let pulled = self.pulled()?;
        let found = client.list_images(Some(ListImagesOptionsBuilder::new().build())).await;
        let found = found.map_err(|error| self.engine.failed(Step::Look, error))?;
        let mut of: BTreeMap<String, (Vec<String>, u32)> = BTreeMap::new();
        for container in self.all_containers(client).await? {
            let Some(image) = container.image_id.clone() else { continue };
            let (ours, others) = of.entry(bare(&image).to_owned()).or_default();
            match self.instance(&container) {
                Some(instance) => ours.push(instance),
                None => *others += 1,
            }
        }
        let view = |image: bollard::models::ImageSummary| {
            let (mut instances, others) = of.get(bare(&image.id)).cloned().unwrap_or_default();
            instances.sort();
            instances.dedup();
            let names: Vec<String> = names(image.repo_tags, image.repo_digests);
            ImageView {
                size: u64::try_from(image.size).unwrap_or_default(),
                created: (image.created > 0).then(|| Time(image.created.saturating_mul(1000))),
                pulled: names.iter().any(|name| pulled.contains(name)),
                id: image.id,
                names,
                instances,
                others,
            }
        };
        let mut images: Vec<ImageView> = found.into_iter().take(MOST).map(view).collect();
        images.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.names.cmp(&b.names)));
        Ok(images)
    }

    /// A name of an image; with its last one, the image. Never by force.
    ///
    /// # Errors
    /// When there is none, or something uses it.
    pub(super) async fn remove_image(&self, name: &str) -> Result<(), RunError> {
        let client = self.engine.client(Step::Wipe).await?;
        if super::image::id(client, name).await?.is_none() {
            let answer = "no such image is here".to_owned();
            return Err(RunError::ImageMissing { image: name.to_owned(), answer });
        }
        // An engine takes a name away that a container was made of, as long as the image has another.
        if self.used(client).await?.contains(&named(name)) {
            return Err(RunError::ImageUsed { image: name.to_owned() });
        }
        let quiet = self.ledger.quiet();
        self.take_away(client, Thing::Image, name).await?;
        if let Some(quiet) = quiet {
            self.ledger.forget_absent(quiet, Thing::Image, name);
        }
        forget_gone(client, &self.ledger).await;
        Ok(())
    }

    /// Images that were pulled and no container uses, running or not, but for the `keep` newest of each repository.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub(super) async fn clean(&self, keep: usize) -> Result<Vec<String>, RunError> {
        let names = self.pulled()?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let client = self.engine.client(Step::Wipe).await?;
        let spared = if keep == 0 { BTreeSet::new() } else { Self::newest(&self.images().await?, keep) };
        let used = self.used(client).await?;
        let quiet = self.ledger.quiet();
        let mut gone = Vec::new();
        let unused = |name: &String| !spared.contains(name) && !used.contains(&named(name));
        for name in names.into_iter().filter(unused) {
            // One that is in use stays: that is no failure.
            if self.take_away(client, Thing::Image, &name).await.is_ok() {
                if let Some(quiet) = quiet {
                    self.ledger.forget_absent(quiet, Thing::Image, &name);
                }
                gone.push(name);
            }
        }
        forget_gone(client, &self.ledger).await;
        Ok(gone)
    }

    /// Names of what nothing uses, so many of each repository.
    fn newest(images: &[ImageView], keep: usize) -> BTreeSet<String> {
        let mut of: BTreeMap<&str, Vec<(Option<Time>, &String)>> = BTreeMap::new();
        let unused = images.iter().filter(|image| image.instances.is_empty() && image.others == 0);
        for (image, name) in unused.flat_map(|image| image.names.iter().map(move |name| (image, name))) {
            of.entry(split(name).0).or_default().push((image.created, name));
        }
        let newest = of.into_values().flat_map(|mut names| {
            names.sort();
            names.into_iter().rev().take(keep)
        });
        newest.map(|(_, name)| name.clone()).collect()
    }

    /// Repository and tag of what containers were made of, running or not.
    async fn used(&self, client: &Docker) -> Result<BTreeSet<(String, String)>, RunError> {
        let all = self.all_containers(client).await?;
        Ok(all.into_iter().filter_map(|container| container.image).map(|image| named(&image)).collect())
    }

    fn pulled(&self) -> Result<BTreeSet<String>, RunError> {
        let names = self.ledger.all(Thing::Image);
        Ok(names.map_err(|source| RunError::System { step: Step::Look, source })?.into_iter().collect())
    }

    async fn all_containers(&self, client: &Docker) -> Result<Vec<ContainerSummary>, RunError> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let listed = client.list_containers(Some(options)).await;
        listed.map_err(|error| self.engine.failed(Step::Look, error))
    }

    /// The id of the instance of this node that it is of.
    fn instance(&self, container: &ContainerSummary) -> Option<String> {
        let labels = container.labels.as_ref()?;
        (labels.get(NODE)? == &self.config.node).then_some(())?;
        Some(read_labels(labels)?.id.to_string())
    }
}

/// Repository and tag.
fn named(image: &str) -> (String, String) {
    let (repository, tag) = split(image);
    (repository.to_owned(), tag.to_owned())
}

/// Docker says of which kind a digest is, Podman does not.
fn bare(id: &str) -> &str {
    id.strip_prefix("sha256:").unwrap_or(id)
}

/// Tags; digests where there is no tag.
fn names(tags: Vec<String>, digests: Vec<String>) -> Vec<String> {
    let named = |names: Vec<String>| -> Vec<String> {
        names.into_iter().filter(|name| !name.contains("<none>")).collect()
    };
    let tags = named(tags);
    if tags.is_empty() { named(digests) } else { tags }
}
