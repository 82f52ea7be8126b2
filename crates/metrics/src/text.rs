//! The text format that Prometheus reads, version 0.0.4.
//!
//! Written by ourselves: it has three kinds of lines. `prometheus-client` wants to own the counted things, which are
//! those of a machine here, and brings its locks and macros; what a real Prometheus makes of it is tested.

use std::fmt::{self, Display, Formatter, Write as _};

use crate::count::Measured;
use crate::family::{Family, Samples};

/// Of an answer that carries [`text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All families that have samples, in the order in which they are given.
#[must_use]
pub fn text(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families {
        // Writing to a text cannot fail.
        let _ = write!(text, "{family}");
    }
    text
}

/// A label's value: whatever people call their things.
struct Escaped<'a>(&'a str);

impl Display for Family {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { name, help, samples } = self;
        let (kind, samples) = match samples {
            Samples::Gauge(samples) => ("gauge", samples),
            Samples::Counter(samples) => ("counter", samples),
            Samples::Histogram(measured) => {
                writeln!(f, "# HELP {name} {help}\n# TYPE {name} histogram")?;
                return histogram(f, name, measured);
            }
        };
        if samples.is_empty() {
            return Ok(());
        }
        writeln!(f, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
        for (labels, amount) in samples {
            f.write_str(name)?;
            for (at, (label, value)) in labels.iter().enumerate() {
                let before = if at == 0 { '{' } else { ',' };
                write!(f, "{before}{label}=\"{}\"", Escaped(value))?;
            }
            let after = if labels.is_empty() { "" } else { "}" };
            writeln!(f, "{after} {amount}")?;
        }
        Ok(())
    }
}

fn histogram(f: &mut Formatter<'_>, name: &str, Measured { buckets, count, sum }: &Measured) -> fmt::Result {
    for (bound, count) in buckets {
        writeln!(f, "{name}_bucket{{le=\"{bound}\"}} {count}")?;
    }
    writeln!(f, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}")
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::count::Histogram;

    #[test]
    fn families_are_lines_that_prometheus_reads() {
        let mut nodes = Family::gauge("holm_node_memory_free_bytes", "Not reserved.");
        nodes.add(&[("cluster", "vienna"), ("node", "b")], 1_u64 << 33);
        nodes.add(&[("cluster", "vienna"), ("node", "a")], 0.5);
        nodes.add(&[("cluster", "vienna"), ("node", "a")], 1.0);
        let odd = Family::counter("holm_odd_total", "Odd.").with(&[("name", "a\"b\\c\nd")], 1_u32);
        let plain = Family::gauge("holm_plain", "Plain.").with(&[], true);
        let none = Family::gauge("holm_none", "Nobody has it.");
        assert_eq!(
            text(&[nodes, odd, plain, none]),
            "# HELP holm_node_memory_free_bytes Not reserved.\n\
             # TYPE holm_node_memory_free_bytes gauge\n\
             holm_node_memory_free_bytes{cluster=\"vienna\",node=\"a\"} 1.5\n\
             holm_node_memory_free_bytes{cluster=\"vienna\",node=\"b\"} 8589934592\n\
             # HELP holm_odd_total Odd.\n\
             # TYPE holm_odd_total counter\n\
             holm_odd_total{name=\"a\\\"b\\\\c\\nd\"} 1\n\
             # HELP holm_plain Plain.\n\
             # TYPE holm_plain gauge\n\
             holm_plain 1\n"
        );
    }

    #[test]
    fn a_histogram_has_its_sum_and_its_count() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(3));
        let text = text(&[Family::histogram("holm_wait_seconds", "Waits.", &histogram)]);
        for line in [
            "# TYPE holm_wait_seconds histogram",
            "holm_wait_seconds_bucket{le=\"0.0025\"} 0",
            "holm_wait_seconds_bucket{le=\"0.005\"} 1",
            "holm_wait_seconds_bucket{le=\"+Inf\"} 1",
            "holm_wait_seconds_sum 0.003",
            "holm_wait_seconds_count 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
