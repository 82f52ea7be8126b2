//! Things to show, for unit tests.

use std::collections::BTreeMap;

use holm_model::time::Time;
use holm_model::view::InstanceView;

pub(crate) fn instance(id: &str, slot: &str) -> InstanceView {
    InstanceView {
        id: Some(id.to_owned()),
        project: "default".to_owned(),
        application: "building".to_owned(),
        application_id: "1-aa-1".to_owned(),
        owner: None,
        service: slot.split('/').next().unwrap_or_default().to_owned(),
        slot: slot.to_owned(),
        state: "RUNNING".to_owned(),
        reason: String::new(),
        cluster: Some("vienna".to_owned()),
        node: Some("fl-1".to_owned()),
        node_id: Some("1-aa-7".to_owned()),
        runtime: "process".to_owned(),
        generation: 1,
        since: Time(0),
        restarts: 0,
        incarnation: 1,
        held: false,
        ports: BTreeMap::from([("http".to_owned(), 4711)]),
        usage: None,
        ready: true,
        answer: String::new(),
    }
}
