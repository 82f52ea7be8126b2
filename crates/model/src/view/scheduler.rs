//! What a scheduler of people's own is asked, and what it answers: `docs/scheduler.openapi.json` describes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Which of these shall take one instance? All of them can.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsultView {
    /// Who asks, by name.
    pub orchestrator: String,
    pub project: String,
    pub application: String,
    pub service: String,
    /// The slot's number.
    pub slot: String,
    pub runtime: String,
    /// What the instance reserves: thousandths of a core, and bytes.
    pub cpu_millis: u64,
    pub memory: u64,
    /// In the order of the built-in strategy; at most 500.
    pub candidates: Vec<CandidateView>,
}

/// A member that can take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateView {
    pub id: String,
    pub name: String,
    /// `node` or `cluster`.
    pub role: String,
    /// Of a node.
    pub labels: BTreeMap<String, String>,
    pub allocatable: RoomView,
    /// Of it, what nothing has reserved.
    pub free: RoomView,
    /// Instances of the same service that are there.
    pub own: u32,
}

/// Thousandths of a core, and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomView {
    pub cpu_millis: u64,
    pub memory: u64,
}

/// The ids of candidates, the best first. Those that are not named are not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounselView {
    pub ranking: Vec<String>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn keys(value: &Value) -> BTreeSet<String> {
        value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
    }

    #[test]
    fn the_document_describes_what_is_sent_and_read() {
        let document: Value =
            serde_json::from_str(include_str!("../../../../docs/scheduler.openapi.json")).unwrap();
        let room = RoomView { cpu_millis: 1, memory: 2 };
        let candidate = CandidateView {
            id: String::new(),
            name: String::new(),
            role: "node".to_owned(),
            labels: BTreeMap::new(),
            allocatable: room,
            free: room,
            own: 0,
        };
        let question = ConsultView {
            orchestrator: String::new(),
            project: String::new(),
            application: String::new(),
            service: String::new(),
            slot: String::new(),
            runtime: String::new(),
            cpu_millis: 0,
            memory: 0,
            candidates: vec![candidate.clone()],
        };
        let answer = CounselView { ranking: Vec::new() };
        let schema = |name: &str| keys(&document["components"]["schemas"][name]["properties"]);
        let of = |value: Result<Value, serde_json::Error>| keys(&value.unwrap());
        assert_eq!(schema("Question"), of(serde_json::to_value(question)));
        assert_eq!(schema("Candidate"), of(serde_json::to_value(candidate)));
        assert_eq!(schema("Room"), of(serde_json::to_value(room)));
        assert_eq!(schema("Answer"), of(serde_json::to_value(answer)));
    }
}
