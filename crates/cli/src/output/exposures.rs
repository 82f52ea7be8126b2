//! Who takes work, and through which ports of an orchestrator.

use holm_model::view::InstanceView;
use holm_model::view::expose::ExposureView;

use super::table::{Column, Listed};

type C<T> = Column<T>;

/// Empty while it does not run.
pub(crate) fn ready(instance: &InstanceView) -> &'static str {
    match (instance.state.as_str(), instance.ready) {
        ("RUNNING", true) => "yes",
        ("RUNNING", false) => "no",
        _ => "",
    }
}

impl Listed for ExposureView {
    const COLUMNS: &'static [Column<Self>] = &[
        C::new("PORT", |e, _| e.port.to_string()),
        C::wide("ADDRESS", |e, _| e.address.clone()),
        C::wide("PROJECT", |e, _| e.project.clone()),
        C::new("APPLICATION", |e, _| e.application.clone()),
        C::new("SERVICE", |e, _| format!("{}/{}", e.service, e.service_port)),
        C::new("STATE", |e, _| if e.open { "open" } else { "closed" }.to_owned()),
        C::new("READY", |e, _| e.ready.to_string()),
        C::new("CONNECTIONS", |e, _| e.connections.to_string()),
        C::wide("ACCEPTED", |e, _| e.accepted.to_string()),
        C::wide("RETRIED", |e, _| e.retried.to_string()),
        C::known("FAILED", |e, _| if e.failed == 0 { String::new() } else { e.failed.to_string() }),
        C::known("REASON", |e, _| e.reason.clone()),
    ];

    fn names(&self) -> Vec<String> {
        vec![
            self.port.to_string(),
            format!("{}/{}", self.application, self.service),
            self.application.clone(),
        ]
    }

    fn key(&self) -> String {
        format!("{} {}/{}/{}/{}", self.port, self.project, self.application, self.service, self.service_port)
    }
}
