//! What the repositories hold, in memory. Pure: the disk has the same, and is asked at the start only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::digest::Digest;
use crate::manifests::Manifest;
use crate::names::{Name, Project, Reference, Tag};

/// All repositories.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    repositories: BTreeMap<Name, Repository>,
}

/// One repository: what can be pulled from it.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    pub(crate) blobs: BTreeMap<Digest, Link>,
    pub(crate) manifests: BTreeMap<Digest, Held>,
    pub(crate) tags: BTreeMap<Tag, Digest>,
}

/// A blob that a repository shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) size: u64,
    /// When somebody put it there or counted on it, at the earliest the start of this process.
    pub(crate) since: Instant,
}

/// A manifest that a repository shows.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) size: u64,
    pub(crate) since: Instant,
}

/// What nobody needs any more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Garbage {
    Manifest(Name, Digest),
    Blob(Name, Digest),
}

/// What is missing for a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// These are not in the repository.
    Missing(Vec<Digest>),
    /// This one is there, and has other bytes than the manifest says.
    Size { digest: Digest, said: u64, found: u64 },
}

/// How long what nobody needs stays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// A blob that no manifest names: its manifest may be on its way.
    pub(crate) blob: Duration,
    /// A manifest without a tag.
    pub(crate) manifest: Duration,
}

// === impl Catalogue ===

impl Catalogue {
    pub(crate) fn get(&self, name: &Name) -> Option<&Repository> {
        self.repositories.get(name)
    }

    pub(crate) fn entry(&mut self, name: &Name) -> &mut Repository {
        self.repositories.entry(name.clone()).or_default()
    }

    pub(crate) fn get_mut(&mut self, name: &Name) -> Option<&mut Repository> {
        self.repositories.get_mut(name)
    }

    /// Forgets the repository if there is nothing in it; says whether.
    pub(crate) fn prune(&mut self, name: &Name) -> bool {
        let empty = self.get(name).is_some_and(Repository::is_empty);
        if empty {
            self.repositories.remove(name);
        }
        empty
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &Name> {
        self.repositories.keys()
    }

    /// Is it in any repository?
    pub(crate) fn is_linked(&self, digest: &Digest) -> bool {
        self.repositories.values().any(|repository| repository.size(digest).is_some())
    }

    /// Bytes that a project keeps: each content once, however many of its repositories show it.
    pub(crate) fn used(&self, project: &Project) -> u64 {
        self.sizes(project).values().sum()
    }

    /// The same, with what would be there after `more`.
    pub(crate) fn used_with(&self, project: &Project, more: (Digest, u64)) -> u64 {
        let mut sizes = self.sizes(project);
        sizes.insert(more.0, more.1);
        sizes.values().sum()
    }

    fn sizes(&self, project: &Project) -> BTreeMap<Digest, u64> {
        let of = self.repositories.iter().filter(|(name, _)| name.project() == *project);
        of.flat_map(|(_, repository)| repository.sizes()).collect()
    }

    /// What may go now. What `is_used` says yes to stays, and so does what it needs.
    pub(crate) fn garbage(
        &self,
        now: Instant,
        patience: Patience,
        is_used: &dyn Fn(&Name, &Digest) -> bool,
    ) -> Vec<Garbage> {
        let mut found = Vec::new();
        for (name, repository) in &self.repositories {
            let kept = repository.kept(now, patience.manifest, &|digest| is_used(name, digest));
            let needed: BTreeSet<_> =
                kept.iter().filter_map(|digest| repository.manifests.get(digest)).flat_map(needs).collect();
            let gone = repository.manifests.keys().filter(|digest| !kept.contains(digest));
            found.extend(gone.map(|digest| Garbage::Manifest(name.clone(), *digest)));
            let old = |link: &Link| now.saturating_duration_since(link.since) >= patience.blob;
            let idle = repository.blobs.iter().filter(|(digest, link)| old(link) && !needed.contains(digest));
            found.extend(idle.map(|(digest, _)| Garbage::Blob(name.clone(), *digest)));
        }
        found
    }
}

fn needs(held: &Held) -> BTreeSet<Digest> {
    held.manifest.needs()
}

// === impl Repository ===

impl Repository {
    fn is_empty(&self) -> bool {
        self.blobs.is_empty() && self.manifests.is_empty() && self.tags.is_empty()
    }

    /// Which manifest a reference names.
    pub(crate) fn find(&self, reference: &Reference) -> Option<(Digest, &Held)> {
        let digest = match reference {
            Reference::Tag(tag) => self.tags.get(tag)?,
            Reference::Digest(digest) => digest,
        };
        Some((*digest, self.manifests.get(digest)?))
    }

    /// Bytes of a blob or manifest, if it is here.
    pub(crate) fn size(&self, digest: &Digest) -> Option<u64> {
        let blob = self.blobs.get(digest).map(|link| link.size);
        blob.or_else(|| self.manifests.get(digest).map(|held| held.size))
    }

    fn sizes(&self) -> impl Iterator<Item = (Digest, u64)> {
        let blobs = self.blobs.iter().map(|(digest, link)| (*digest, link.size));
        blobs.chain(self.manifests.iter().map(|(digest, held)| (*digest, held.size)))
    }

    /// What a manifest needs and has not.
    pub(crate) fn lacks(&self, manifest: &Manifest) -> Option<Lack> {
        // Caches of builders are indexes whose parts are blobs.
        let has = |digest: &Digest, is_child: bool| {
            let blob = self.blobs.get(digest).map(|link| link.size);
            let child = || self.manifests.get(digest).map(|held| held.size);
            if is_child { child().or(blob) } else { blob }
        };
        let wanted = manifest.blobs.iter().map(|one| (one, false));
        let wanted: Vec<_> = wanted.chain(manifest.children.iter().map(|one| (one, true))).collect();
        let absent = wanted.iter().filter(|((digest, _), child)| has(digest, *child).is_none());
        let missing: Vec<_> = absent.map(|((digest, _), _)| **digest).collect();
        if !missing.is_empty() {
            return Some(Lack::Missing(missing));
        }
        wanted.iter().find_map(|((digest, said), child)| {
            let found = has(digest, *child).filter(|found| found != *said)?;
            Some(Lack::Size { digest: **digest, said: **said, found })
        })
    }

    /// A manifest that needs this.
    pub(crate) fn needing(&self, digest: &Digest) -> Option<Digest> {
        let needs = |held: &Held| {
            held.manifest.blobs.contains_key(digest) || held.manifest.children.contains_key(digest)
        };
        self.manifests.iter().find(|(_, held)| needs(held)).map(|(by, _)| *by)
    }

    /// Manifests that are attached to this one, in order of their digests.
    pub(crate) fn attached(&self, subject: &Digest) -> impl Iterator<Item = (Digest, u64, &Manifest)> {
        let attached = self.manifests.iter().filter(|(_, held)| held.manifest.subject == Some(*subject));
        attached.map(|(digest, held)| (*digest, held.size, &*held.manifest))
    }

    /// Manifests with a tag, young ones and used ones; what those consist of; and what is attached to any of these.
    fn kept(&self, now: Instant, patience: Duration, is_used: &dyn Fn(&Digest) -> bool) -> BTreeSet<Digest> {
        let tagged: BTreeSet<_> = self.tags.values().collect();
        let young = |held: &Held| now.saturating_duration_since(held.since) < patience;
        let roots = self
            .manifests
            .iter()
            .filter(|(digest, held)| tagged.contains(digest) || young(held) || is_used(digest));
        let mut open: Vec<Digest> = roots.map(|(digest, _)| *digest).collect();
        let mut kept = BTreeSet::new();
        while let Some(digest) = open.pop() {
            let Some(held) = self.manifests.get(&digest).filter(|_| kept.insert(digest)) else { continue };
            open.extend(held.manifest.children.keys());
            open.extend(self.attached(&digest).map(|(attached, ..)| attached));
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifests::MediaType;

    const PATIENCE: Patience = Patience { blob: Duration::from_secs(10), manifest: Duration::from_secs(100) };

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn manifest(blobs: &[&str], children: &[&str], subject: Option<&str>) -> Arc<Manifest> {
        let sized = |names: &[&str]| names.iter().map(|name| (digest(name), 5)).collect();
        Arc::new(Manifest {
            media_type: MediaType::OciManifest,
            blobs: sized(blobs),
            children: sized(children),
            subject: subject.map(digest),
            artifact_type: None,
            annotations: BTreeMap::new(),
        })
    }

    struct Shop {
        catalogue: Catalogue,
        name: Name,
        start: Instant,
    }

    impl Shop {
        fn new() -> Self {
            let name = Name::parse("red/web").unwrap();
            Self { catalogue: Catalogue::default(), name, start: Instant::now() }
        }

        fn blob(&mut self, name: &str) {
            let link = Link { size: 5, since: self.start };
            self.catalogue.entry(&self.name).blobs.insert(digest(name), link);
        }

        fn hold(&mut self, name: &str, manifest: Arc<Manifest>) {
            let held = Held { manifest, size: 5, since: self.start };
            self.catalogue.entry(&self.name).manifests.insert(digest(name), held);
        }

        fn tag(&mut self, tag: &str, name: &str) {
            self.catalogue.entry(&self.name).tags.insert(Tag::parse(tag).unwrap(), digest(name));
        }

        fn gone(&self, after: u64, used: &[&str]) -> BTreeSet<Digest> {
            let used: Vec<_> = used.iter().map(|name| digest(name)).collect();
            let now = self.start + Duration::from_secs(after);
            let garbage = self.catalogue.garbage(now, PATIENCE, &|_, digest| used.contains(digest));
            let digests = garbage.into_iter().map(|one| match one {
                Garbage::Manifest(_, digest) | Garbage::Blob(_, digest) => digest,
            });
            digests.collect()
        }
    }

    fn set(names: &[&str]) -> BTreeSet<Digest> {
        names.iter().map(|name| digest(name)).collect()
    }

    #[test]
    fn what_a_tag_reaches_stays_and_what_nothing_reaches_goes_after_its_time() {
        let mut shop = Shop::new();
        ["layer", "old", "signature", "loose"].into_iter().for_each(|name| shop.blob(name));
        shop.hold("image", manifest(&["layer"], &[], None));
        shop.hold("index", manifest(&[], &["image"], None));
        shop.hold("signed", manifest(&["signature"], &[], Some("image")));
        shop.hold("before", manifest(&["old"], &[], None));
        shop.tag("latest", "index");
        assert_eq!(shop.gone(9, &[]), set(&[]));
        assert_eq!(shop.gone(10, &[]), set(&["loose"]));
        assert_eq!(shop.gone(100, &[]), set(&["loose", "before", "old"]));
        assert_eq!(shop.gone(100, &["before"]), set(&["loose"]), "somebody runs it");
    }

    #[test]
    fn manifests_that_are_attached_in_a_circle_end() {
        let mut shop = Shop::new();
        shop.hold("a", manifest(&[], &["b"], Some("b")));
        shop.hold("b", manifest(&[], &["a"], Some("a")));
        assert_eq!(shop.gone(100, &[]), set(&["a", "b"]));
        shop.tag("x", "a");
        assert_eq!(shop.gone(100, &[]), set(&[]));
    }

    #[test]
    fn a_manifest_lacks_what_is_not_in_its_own_repository_or_has_another_size() {
        let mut shop = Shop::new();
        shop.blob("layer");
        let lacks = |shop: &Shop, wanted: &Manifest| shop.catalogue.get(&shop.name).unwrap().lacks(wanted);
        let wanted = manifest(&["layer", "other"], &["child"], None);
        assert_eq!(lacks(&shop, &wanted), Some(Lack::Missing(vec![digest("other"), digest("child")])));
        shop.blob("child");
        assert_eq!(lacks(&shop, &manifest(&["layer"], &["child"], None)), None);
        let mut wrong = (*manifest(&["layer"], &[], None)).clone();
        wrong.blobs.insert(digest("layer"), 6);
        let size = Lack::Size { digest: digest("layer"), said: 6, found: 5 };
        assert_eq!(lacks(&shop, &wrong), Some(size));
    }

    #[test]
    fn a_project_pays_for_each_content_once() {
        let mut shop = Shop::new();
        shop.blob("layer");
        let other = Name::parse("red/other").unwrap();
        let link = Link { size: 5, since: shop.start };
        shop.catalogue.entry(&other).blobs.insert(digest("layer"), link);
        shop.catalogue.entry(&Name::parse("blue").unwrap()).blobs.insert(digest("theirs"), link);
        let red = other.project();
        assert_eq!(shop.catalogue.used(&red), 5);
        assert_eq!(shop.catalogue.used_with(&red, (digest("layer"), 5)), 5);
        assert_eq!(shop.catalogue.used_with(&red, (digest("theirs"), 5)), 10);
    }
}
