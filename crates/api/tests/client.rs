//! Our client against a real root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use holm_api::Limits;
use holm_client::{Client, Condition, Error, Events, Manifest, Notice, RedirectError, SetupError};
use holm_model::state::RunState;
use holm_model::view::query::{AuditQuery, EventQuery, HistoryQuery, InstanceQuery, LogQuery};
use holm_model::view::{EventView, ServicePatch, TokenRequest, TokenRole};
use support::{DEADLINE, Root, manifest};

fn problem<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String) {
    let error = result.unwrap_err();
    let problem = error.problem().unwrap_or_else(|| panic!("no problem: {error}"));
    (problem.status, problem.word().to_owned())
}

async fn notice(events: &mut Events) -> Notice {
    tokio::time::timeout(DEADLINE, events.next()).await.expect("an event").expect("no end").unwrap()
}

async fn event(events: &mut Events) -> EventView {
    match notice(events).await {
        Notice::Event(event) => *event,
        Notice::Resync => panic!("resync"),
    }
}

fn admin() -> TokenRequest {
    TokenRequest { ttl_seconds: Some(600), ..TokenRequest::new(TokenRole::Admin) }
}

#[tokio::test]
async fn an_application_from_its_creation_to_its_end() {
    let root = Root::start().await;
    let client = root.client();
    let status = client.status().await.unwrap();
    assert_eq!((status.role.as_str(), status.read_only), ("root", None));

    let plan = client.plan("default", "shop", &manifest("shop", 12)).await.unwrap();
    assert_eq!(plan.changes[0].action, "create");
    assert!(client.applications().await.unwrap().is_empty());

    let made = client.apply("default", "shop", &manifest("shop", 12), Condition::Absent).await.unwrap();
    let instances = client.instances(&InstanceQuery::default()).await.unwrap();
    let slots: Vec<_> = instances.iter().map(|instance| instance.slot.as_str()).collect();
    let mut expected: Vec<_> = slots.clone();
    expected.sort_by_key(|slot| slot.rsplit('/').next().unwrap().parse::<u32>().unwrap());
    assert_eq!((slots.len(), &slots), (12, &expected));
    assert!(instances.iter().all(|instance| instance.id.is_none()));

    let again = client.apply("default", "shop", &manifest("shop", 12), Condition::Absent).await;
    assert_eq!(problem(again), (412, "precondition-failed".to_owned()));
    let patch = ServicePatch { replicas: Some(1), ..ServicePatch::default() };
    client.patch_service("default", "shop", "web", &patch).await.unwrap();
    let stale = Condition::Generation(made.generation);
    assert_eq!(problem(client.delete_application("default", "shop", stale).await).0, 412);
    let app = client.application("default", "shop").await.unwrap();
    assert!(app.generation > made.generation);
    let patch = ServicePatch { run: Some(RunState::Stop), ..ServicePatch::default() };
    client.patch_application("default", "shop", &patch).await.unwrap();

    client.delete_application("default", "shop", Condition::Any).await.unwrap();
    assert!(client.application("default", "shop").await.unwrap_err().is_not_found());
    assert!(client.delete_application("default", "shop", Condition::Any).await.unwrap_err().is_not_found());
    assert!(client.applications_of("default").await.unwrap().is_empty());

    let audit = client.audit(&AuditQuery::default()).await.unwrap();
    assert!(audit.items.iter().any(|record| record.who == "admin" && record.from == "unix"));
    root.stop().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_its_reason() {
    let root = Root::start().await;
    let client = root.client();
    let apply = |text: &str| {
        let (client, manifest) = (client.clone(), Manifest::Yaml(text.to_owned()));
        async move { client.apply("default", "shop", &manifest, Condition::Any).await }
    };
    let error =
        apply("holm: v1\napplication: shop\nservices:\n  web: { runtime: process, replica: 2 }\n").await;
    let error = error.unwrap_err();
    let places = &error.problem().unwrap().errors;
    assert!(places.iter().any(|place| place.line == 4 && place.message.contains("replicas")), "{error}");
    assert_eq!(problem(apply(&" ".repeat(holm_api::MAX_BODY + 1)).await), (413, "too-large".to_owned()));
    let other = client.apply("default", "mall", &manifest("shop", 1), Condition::Any).await;
    assert_eq!(problem(other), (422, "invalid".to_owned()));
    let name = client.apply("../etc", "shop", &manifest("shop", 1), Condition::Any).await;
    assert_eq!(problem(name), (422, "invalid".to_owned()));
    let nothing = client.patch_application("default", "shop", &ServicePatch::default()).await;
    assert_eq!(problem(nothing), (422, "invalid".to_owned()));
    assert!(client.instance("1-0123456789ab-7").await.unwrap_err().is_not_found());
    assert!(client.instance("no id").await.unwrap_err().is_not_found());
    assert!(client.node("fl-1").await.unwrap_err().is_not_found());
    assert!(client.cluster("vienna").await.unwrap_err().is_not_found());
    assert!(client.adopt("vienna").await.unwrap_err().is_not_found());
    let logs = client.logs("1-0123456789ab-7", &LogQuery::default()).await;
    assert_eq!(problem(logs), (404, "not-found".to_owned()));
    let exec = client.exec("1-0123456789ab-7", &["ls".to_owned()]).await;
    assert_eq!(problem(exec), (404, "not-found".to_owned()));
    assert_eq!(problem(client.connect_port("1-0123456789ab-7", 80).await).0, 404);
    root.stop().await;
}

#[tokio::test]
async fn a_token_opens_the_port_until_it_is_revoked() {
    let root = Root::start().await;
    let (local, address) = (root.client(), root.address.to_string());
    let made = local.create_token(&admin()).await.unwrap();
    let remote = Client::https(&address, &made.token).unwrap();
    assert_eq!(remote.status().await.unwrap().sea, local.status().await.unwrap().sea);
    remote.apply("default", "shop", &manifest("shop", 1), Condition::Any).await.unwrap();
    let audit = remote.audit(&AuditQuery::default()).await.unwrap();
    assert!(audit.items.iter().any(|record| record.who == format!("admin/token:{}", made.id)));

    let join = TokenRequest { uses: Some(2), ..TokenRequest::new(TokenRole::Node) };
    let join = remote.create_token(&join).await.unwrap();
    assert_eq!(Client::https(&address, &join.token).unwrap_err(), SetupError::Token);
    let listed = remote.tokens().await.unwrap();
    assert!(listed.iter().any(|token| token.id == join.id && token.uses_left == Some(2)));
    assert!(!format!("{listed:?}").contains(&join.token));

    local.revoke_token(&made.id).await.unwrap();
    assert_eq!(problem(remote.status().await), (401, "unauthenticated".to_owned()));
    assert_eq!(root.api.refused_attempts(), 1);
    let bad = TokenRequest { ttl_seconds: Some(0), ..admin() };
    assert_eq!(problem(local.create_token(&bad).await), (422, "invalid".to_owned()));
    root.stop().await;
}

#[tokio::test]
async fn a_server_of_another_sea_gets_no_token() {
    let (mine, other) = (Root::start().await, Root::start().await);
    let made = mine.client().create_token(&admin()).await.unwrap();
    let lured = Client::https(&other.address.to_string(), &made.token).unwrap();
    let error = lured.status().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert_eq!(other.api.refused_attempts(), 0, "it was shown nothing");
    mine.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn an_application_is_placed_in_a_cluster_or_goes_straight_to_it() {
    let root = Root::start().await;
    let token = root.client().create_token(&admin()).await.unwrap().token;
    let remote = Client::https(&root.address.to_string(), &token).unwrap();
    let (shop, own) = (manifest("shop", 1), manifest("own", 1));
    let nowhere = remote.apply_in(Some("nowhere"), "default", "shop", &shop, Condition::Any).await;
    assert_eq!(problem(nowhere), (404, "not-found".to_owned()));
    let word = |error: &RedirectError| match error {
        RedirectError::Asked(error) => error.problem().map(|problem| problem.word().to_owned()),
        RedirectError::Setup(_) => None,
    };
    let nowhere = remote.straight_to("nowhere", "default", "own", &own).await.unwrap_err();
    assert_eq!(word(&nowhere).as_deref(), Some("not-found"), "{nowhere}");

    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _vienna = root.cluster_at("vienna", port, Limits::default()).await;
    remote.apply_in(Some("vienna"), "default", "shop", &shop, Condition::Any).await.unwrap();
    let applied = remote.generation("default", "shop", 1).await.unwrap();
    assert!(applied.manifest.as_ref().is_some_and(|text| text.contains("cluster: vienna")), "{applied:?}");

    // It tells where it is once it has measured its way.
    let deadline = Instant::now() + DEADLINE;
    let vienna = loop {
        match remote.straight_to("vienna", "default", "own", &own).await {
            Ok(vienna) => break vienna,
            Err(error) if Instant::now() > deadline => panic!("{error}"),
            Err(error) => assert_eq!(word(&error).as_deref(), Some("conflict"), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(vienna.server(), format!("https://{port}"));
    vienna.apply("default", "own", &own, Condition::Absent).await.unwrap();
    assert_eq!(vienna.status().await.unwrap().name, "vienna");
    assert_eq!(problem(remote.application("default", "own").await).0, 404, "the root has not applied it");
    // Whoever opened the socket has no token that he could show to the cluster.
    let local = root.client().straight_to("vienna", "default", "own", &own).await;
    assert!(matches!(local, Err(RedirectError::Setup(SetupError::NoTokenForSibling))), "{local:?}");
    root.stop().await;
}

#[tokio::test]
async fn events_go_on_where_they_were_left() {
    let root = Root::start().await;
    let client = root.client();
    let mut live = client.events(&EventQuery::default()).await.unwrap();
    let vienna = root.cluster("vienna").await;
    let first = event(&mut live).await;
    assert_eq!(
        (first.kind.as_str(), first.subject.as_str(), first.to.as_str()),
        ("cluster", "vienna", "online")
    );
    let munich = root.cluster("munich").await;
    let second = event(&mut live).await;
    assert!(second.cursor > first.cursor && second.subject == "munich");

    let after = |after: &str| EventQuery { after: Some(after.to_owned()), ..EventQuery::default() };
    let mut resumed = client.events(&after(&first.cursor.to_string())).await.unwrap();
    assert_eq!(event(&mut resumed).await, second);
    let mut all = client.events(&after("0")).await.unwrap();
    assert_eq!((event(&mut all).await, event(&mut all).await), (first, second.clone()));
    let nodes = EventQuery { kind: Some("node".to_owned()), ..after("0") };
    let mut nodes = client.events(&nodes).await.unwrap();
    assert!(futures::poll!(nodes.next()).is_pending());
    for unknown in ["1-0123456789ab.1", "999999"] {
        let mut events = client.events(&after(unknown)).await.unwrap();
        assert_eq!(notice(&mut events).await, Notice::Resync, "{unknown}");
    }

    let mut query = HistoryQuery { limit: Some(1), ..HistoryQuery::default() };
    let newest = client.history(&query).await.unwrap();
    assert_eq!(newest.items, [second]);
    query.cursor = newest.next;
    assert_eq!(client.history(&query).await.unwrap().items[0].subject, "vienna");
    let clusters = client.clusters().await.unwrap();
    assert_eq!(clusters.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["munich", "vienna"]);
    client.remove_cluster("munich").await.unwrap();
    assert!(client.cluster("munich").await.unwrap_err().is_not_found());
    drop((vienna, munich));
    root.stop().await;
}

#[tokio::test]
async fn a_watcher_goes_on_over_restarts_where_it_was() {
    let root = Root::start().await;
    let (client, address) = (root.client(), root.address);
    let mut events = client.events(&EventQuery::default()).await.unwrap();
    let _vienna = root.cluster("vienna").await;
    assert_eq!(event(&mut events).await.subject, "vienna");
    client.apply("default", "shop", &manifest("shop", 1), Condition::Any).await.unwrap();
    assert_eq!(event(&mut events).await.subject, "default/shop");
    // Nobody waits for a watcher: its stream ends with the orchestrator.
    let mut root = Root::start_at(root.stop().await, address).await;
    for name in ["one", "two"] {
        // Whether it happens before the watcher is back, or after.
        let client = root.client();
        client.apply("default", name, &manifest(name, 1), Condition::Any).await.unwrap();
        root = Root::start_at(root.stop().await, address).await;
    }
    let _munich = root.cluster("munich").await;
    let (mut last, mut applied) = (0, Vec::new());
    loop {
        let event = event(&mut events).await;
        assert!(event.cursor > last, "in order, and once");
        last = event.cursor;
        match event.kind.as_str() {
            "application" => applied.push(event.subject),
            _ if event.subject == "munich" => break,
            // Vienna comes and goes.
            _ => {}
        }
    }
    assert_eq!(applied, ["default/one", "default/two"]);
    // The kept connection of before is gone: the client opens another.
    assert_eq!(client.applications().await.unwrap().len(), 3);
    root.stop().await;
}

#[tokio::test]
async fn requests_at_once_do_not_disturb_each_other() {
    let root = Root::start().await;
    let client = root.client();
    let apply = |i: u32| {
        let client = client.clone();
        async move {
            let name = format!("app-{i}");
            client.apply("default", &name, &manifest(&name, 1), Condition::Absent).await.unwrap();
            client.application("default", &name).await.unwrap().name
        }
    };
    let names = futures::future::join_all((0..50).map(apply)).await;
    assert_eq!(names.len(), 50);
    assert_eq!(client.applications().await.unwrap().len(), 50);
    // Of two who both saw generation n only one may write.
    let generation = client.application("default", "app-0").await.unwrap().generation;
    let race = (2..10).map(|n| {
        let client = client.clone();
        async move {
            client.apply("default", "app-0", &manifest("app-0", n), Condition::Generation(generation)).await
        }
    });
    let won = futures::future::join_all(race).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(won, 1);
    root.stop().await;
}
