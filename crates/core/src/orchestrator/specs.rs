//! Specifications decoded once: many slots and shares carry the same bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use holm_model::service::ServiceSpec;
use holm_model::wish::SpecBytes;

/// The last few specifications that were looked at.
#[derive(Debug, Default)]
pub(super) struct Specs {
    recent: VecDeque<(SpecBytes, Option<Arc<ServiceSpec>>)>,
}

/// More than the services of one application; comparing bytes is much faster than decoding them.
const MOST: usize = 16;

impl Specs {
    /// The same bytes, kept once.
    pub(super) fn shared(&mut self, bytes: &SpecBytes) -> SpecBytes {
        self.decode(bytes);
        let known = self.recent.iter().find(|(known, _)| known == bytes);
        known.map_or_else(|| bytes.clone(), |(known, _)| known.clone())
    }

    /// `None`: this version cannot read it.
    pub(super) fn decode(&mut self, bytes: &SpecBytes) -> Option<Arc<ServiceSpec>> {
        if let Some((_, spec)) = self.recent.iter().find(|(known, _)| known == bytes) {
            return spec.clone();
        }
        let spec = bytes.decode().ok().map(Arc::new);
        self.recent.truncate(MOST - 1);
        self.recent.push_front((bytes.clone(), spec.clone()));
        spec
    }
}
