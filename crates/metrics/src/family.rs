//! One metric with all its samples.

use std::collections::BTreeMap;

use crate::count::{Counter, Histogram, Measured};

/// Names and values, in the order in which they are written.
pub type Labels = Vec<(&'static str, String)>;

/// See the [module](self).
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) samples: Samples,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Samples {
    Gauge(BTreeMap<Labels, f64>),
    Counter(BTreeMap<Labels, f64>),
    Histogram(Measured),
}

/// A number that can be shown.
pub trait Amount {
    fn amount(self) -> f64;
}

// === impl Family ===

impl Family {
    /// Something that goes up and down.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, samples: Samples::Gauge(BTreeMap::new()) }
    }

    /// Something that only goes up; its name ends in `_total`.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, samples: Samples::Counter(BTreeMap::new()) }
    }

    /// How long something took; its name ends in `_seconds`.
    #[must_use]
    pub fn histogram(name: &'static str, help: &'static str, of: &Histogram) -> Self {
        Self { name, help, samples: Samples::Histogram(of.measured()) }
    }

    /// A counter without labels.
    #[must_use]
    pub fn counted(name: &'static str, help: &'static str, of: &Counter) -> Self {
        Self::counter(name, help).with(&[], of.get())
    }

    /// Adds to what these labels have already, so that several things can share them.
    pub fn add(&mut self, labels: &[(&'static str, &str)], amount: impl Amount) {
        if let Samples::Gauge(samples) | Samples::Counter(samples) = &mut self.samples {
            let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            *samples.entry(labels).or_default() += amount.amount();
        }
    }

    /// [`Self::add`], in one expression.
    #[must_use]
    pub fn with(mut self, labels: &[(&'static str, &str)], amount: impl Amount) -> Self {
        self.add(labels, amount);
        self
    }

    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

// === impl Amount ===

impl Amount for f64 {
    fn amount(self) -> f64 {
        self
    }
}

impl Amount for u64 {
    /// Exact up to 2^53; whoever has more bytes does not count single ones.
    fn amount(self) -> f64 {
        self as f64
    }
}

impl Amount for u32 {
    fn amount(self) -> f64 {
        f64::from(self)
    }
}

impl Amount for usize {
    fn amount(self) -> f64 {
        self as f64
    }
}

impl Amount for bool {
    fn amount(self) -> f64 {
        if self { 1.0 } else { 0.0 }
    }
}
