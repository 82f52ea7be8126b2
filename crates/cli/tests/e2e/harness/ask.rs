//! What tests ask of a sea again and again, by the API: a process for each look would be slow.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::command::run;
use super::http::{self, Response};
use super::sea::{ROOT, Sea};
use super::things::{Application, Cluster, Event, Page};
use super::{Instance, LIMIT, Node, Ran, wait_within};

impl Sea {
    /// One request by an orchestrator's socket; `None` while it cannot be reached.
    pub(crate) fn request(&self, name: &str, method: &str, path: &str, body: &str) -> Option<Response> {
        let headers = if body.is_empty() { vec![] } else { vec!["content-type: application/json"] };
        http::unix(&self.socket(name), method, &format!("/api/v1/{path}"), &headers, body)
    }

    /// The items of a list; `None` while nobody answers.
    pub(crate) fn list<T: DeserializeOwned>(&self, name: &str, path: &str) -> Option<Vec<T>> {
        let answer = self.request(name, "GET", path, "")?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let page: Page<T> =
            serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{path}: {e}: {}", answer.body));
        Some(page.items)
    }

    /// All rows of an application, as the root sees it.
    pub(crate) fn instances(&self, application: &str) -> Vec<Instance> {
        self.instances_at(ROOT, application).unwrap_or_default()
    }

    pub(crate) fn instances_at(&self, name: &str, application: &str) -> Option<Vec<Instance>> {
        self.list(name, &format!("instances?application={application}"))
    }

    pub(crate) fn node(&self, name: &str) -> Node {
        let nodes: Vec<Node> = self.list(ROOT, "nodes").expect("the root answers");
        nodes.into_iter().find(|node| node.name == name).unwrap_or_else(|| panic!("no node {name}"))
    }

    pub(crate) fn application(&self, name: &str) -> Option<Application> {
        let all: Vec<Application> = self.list(ROOT, "applications")?;
        all.into_iter().find(|application| application.name == name)
    }

    pub(crate) fn history(&self, query: &str) -> Vec<Event> {
        self.list(ROOT, &format!("history?{query}")).expect("the root answers")
    }

    /// Waits until every node is online at the root, by its own words.
    #[track_caller]
    pub(crate) fn all_connected(&self) {
        wait_within(LIMIT, "all nodes and clusters are online", || {
            let nodes: Vec<Node> = self.list(ROOT, "nodes")?;
            let clusters: Vec<Cluster> = self.list(ROOT, "clusters")?;
            let mut states = nodes.iter().map(|n| &n.state).chain(clusters.iter().map(|c| &c.state));
            states.all(|state| state == "online").then_some(())
        });
    }

    /// Sends a manifest and goes on.
    pub(crate) fn apply(&self, manifest: &str) -> Ran {
        run(self.call_at(ROOT, &["apply", "-"]), manifest).done()
    }

    /// Sends a manifest and waits until it runs.
    pub(crate) fn deploy(&self, manifest: &str) {
        run(self.call_at(ROOT, &["apply", "--wait=60s", "--stable=0s", "-"]), manifest).done();
    }

    /// Waits until exactly `count` instances of an application run, and nothing else of it is there.
    #[track_caller]
    pub(crate) fn running(&self, application: &str, count: usize) -> Vec<Instance> {
        self.until(application, &format!("{count} instances run and nothing else"), |all| {
            all.len() == count && all.iter().all(Instance::runs)
        })
    }

    /// Waits until the rows of an application are as they should be.
    #[track_caller]
    pub(crate) fn until(
        &self,
        application: &str,
        what: &str,
        holds: impl Fn(&[Instance]) -> bool,
    ) -> Vec<Instance> {
        self.until_at(ROOT, LIMIT, application, what, holds)
    }

    #[track_caller]
    pub(crate) fn until_at(
        &self,
        name: &str,
        limit: Duration,
        application: &str,
        what: &str,
        holds: impl Fn(&[Instance]) -> bool,
    ) -> Vec<Instance> {
        let mut last = None;
        let look = || {
            last = self.instances_at(name, application);
            last.clone().filter(|all| holds(all))
        };
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait_within(limit, what, look)));
        found.unwrap_or_else(|_| panic!("{application} at {name}: {what}; there is {last:#?}"))
    }
}
