//! Anything in any order, with restarts: the store shows what a simple model says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use holm_registry::{Digest, Reference, Store, Tag};
use proptest::prelude::*;
use serde_json::json;

use crate::common::{LIMITS, OCI, image, name};

#[derive(Clone, Debug)]
enum Step {
    Blob(u8, u8),
    Mount(u8, u8, u8),
    Image(u8, u8, Option<u8>),
    DeleteBlob(u8, u8),
    DeleteTag(u8, u8),
    DeleteImage(u8, u8),
    Collect,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let (r, c) = (0..2_u8, 0..3_u8);
    prop_oneof![
        4 => (r.clone(), c.clone()).prop_map(|(a, b)| Step::Blob(a, b)),
        2 => (r.clone(), r.clone(), c.clone()).prop_map(|(a, b, c)| Step::Mount(a, b, c)),
        4 => (r.clone(), c.clone(), proptest::option::of(0..2_u8)).prop_map(|(a, b, c)| Step::Image(a, b, c)),
        1 => (r.clone(), c.clone()).prop_map(|(a, b)| Step::DeleteBlob(a, b)),
        1 => (r.clone(), 0..2_u8).prop_map(|(a, b)| Step::DeleteTag(a, b)),
        1 => (r, c).prop_map(|(a, b)| Step::DeleteImage(a, b)),
        1 => Just(Step::Collect),
        1 => Just(Step::Restart),
    ]
}

/// Blobs, images and tags of a repository, all by number.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    blobs: BTreeSet<u8>,
    images: BTreeSet<u8>,
    tags: BTreeMap<u8, u8>,
}

fn bytes(content: u8) -> Vec<u8> {
    vec![b'a' + content]
}

fn manifest(content: u8) -> String {
    // The configuration is the layer, too: each image needs one blob.
    let layer = bytes(content);
    let config = crate::common::descriptor(&layer, "application/vnd.oci.image.config.v1+json");
    image(&layer, &json!({ "config": config }))
}

fn repository(number: u8) -> holm_registry::Name {
    name(&format!("red/{number}"))
}

fn look(store: &Store, number: u8) -> Model {
    let name = repository(number);
    let digest = |content: u8| Digest::of(&bytes(content));
    let image = |content: u8| Digest::of(manifest(content).as_bytes());
    let shown = |content: &u8| store.blob(&name, &digest(*content)).is_some();
    let held = |content: &u8| store.manifest(&name, &Reference::Digest(image(*content))).is_ok();
    let tags = store.repositories().remove(&name).unwrap_or_default();
    let tag = |(tag, digest): (Tag, Digest)| {
        let number = tag.as_str().trim_start_matches('v').parse().unwrap();
        (number, (0..3).find(|content| image(*content) == digest).unwrap())
    };
    Model {
        blobs: (0..3).filter(shown).collect(),
        images: (0..3).filter(held).collect(),
        tags: tags.into_iter().map(tag).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_store_shows_what_was_done_also_after_restarts(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), LIMITS).unwrap();
        let mut model = [Model::default(), Model::default()];
        for step in steps {
            match step.clone() {
                Step::Blob(r, c) => {
                    let mut draft = store.draft().unwrap();
                    draft.append(&bytes(c)).unwrap();
                    let sealed = draft.seal(&Digest::of(&bytes(c))).unwrap();
                    store.add_blob(&repository(r), sealed, None).unwrap();
                    model[r as usize].blobs.insert(c);
                }
                Step::Mount(to, from, c) => {
                    let there = model[from as usize].blobs.contains(&c);
                    let done = store.mount(&repository(to), &repository(from), &Digest::of(&bytes(c)), None);
                    prop_assert_eq!(done.unwrap(), there);
                    if there {
                        model[to as usize].blobs.insert(c);
                    }
                }
                Step::Image(r, c, tag) => {
                    let text = manifest(c);
                    let reference = match tag {
                        Some(tag) => Reference::parse(&format!("v{tag}")).unwrap(),
                        None => Reference::Digest(Digest::of(text.as_bytes())),
                    };
                    let done = store.add_manifest(&repository(r), text.as_bytes(), Some(OCI), &reference, None);
                    let of = &mut model[r as usize];
                    prop_assert_eq!(done.is_ok(), of.blobs.contains(&c));
                    if done.is_ok() {
                        of.images.insert(c);
                        tag.map(|tag| of.tags.insert(tag, c));
                    }
                }
                Step::DeleteBlob(r, c) => {
                    let of = &mut model[r as usize];
                    let done = store.delete_blob(&repository(r), &Digest::of(&bytes(c)));
                    prop_assert_eq!(done.is_ok(), of.blobs.contains(&c) && !of.images.contains(&c));
                    if done.is_ok() {
                        of.blobs.remove(&c);
                    }
                }
                Step::DeleteTag(r, tag) => {
                    let reference = Reference::parse(&format!("v{tag}")).unwrap();
                    let done = store.delete_manifest(&repository(r), &reference);
                    prop_assert_eq!(done.is_ok(), model[r as usize].tags.remove(&tag).is_some());
                }
                Step::DeleteImage(r, c) => {
                    let reference = Reference::Digest(Digest::of(manifest(c).as_bytes()));
                    let done = store.delete_manifest(&repository(r), &reference);
                    let of = &mut model[r as usize];
                    prop_assert_eq!(done.is_ok(), of.images.remove(&c));
                    of.tags.retain(|_, image| *image != c);
                }
                Step::Collect => {
                    let late = Instant::now() + LIMITS.untagged + Duration::from_secs(1);
                    store.collect(late, &|_, _| false).unwrap();
                    for of in &mut model {
                        of.images = of.tags.values().copied().collect();
                        of.blobs = of.blobs.intersection(&of.images).copied().collect();
                    }
                }
                Step::Restart => store = Store::open(dir.path(), LIMITS).unwrap(),
            }
            for number in 0..2 {
                prop_assert_eq!(look(&store, number), model[number as usize].clone(), "after {:?}", &step);
            }
        }
    }
}
