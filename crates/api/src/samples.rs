//! Views, for tests.

use holm_model::view::{NodeFactsView, NodeView};

pub(crate) fn node(name: &str, arch: &str, capabilities: &[&str]) -> NodeView {
    let json = serde_json::json!({
        "id": name, "name": name, "cluster": null, "state": "online", "arch": arch, "os": "linux", "cpu": "1",
        "memory": "1Gi", "cpu_free": null, "memory_free": null, "runtimes": ["container"],
        "capabilities": capabilities, "labels": {}, "instances": 0, "usage": { "cpu_millis": 0, "memory": 0 },
        "frozen": false, "last_heard": null, "facts": NodeFactsView::default(),
    });
    serde_json::from_value(json).unwrap()
}
