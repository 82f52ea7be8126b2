//! Which program this is.

use holm_metrics::Family;
use holm_model::time::Time;
use holm_model::view::StatusView;

pub(super) fn families(status: &StatusView, started: Time) -> Vec<Family> {
    let StatusView { version, role, name, sea, .. } = status;
    let labels = [("version", &**version), ("role", role), ("name", name), ("sea", sea)];
    vec![
        Family::gauge("holm_build_info", "Always 1; the labels say which program answers, and where.")
            .with(&labels, true),
        Family::gauge("holm_start_time_seconds", "When it was started, in seconds since 1970.")
            .with(&[], started.0 as f64 / 1000.0),
    ]
}
