//! What one caller may take, and what ends an answer that goes on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use futures::StreamExt as _;
use holm_api::{Limits, Peer, router};
use holm_client::{Client, Notice};
use holm_link::UnixTime;
use holm_link::authority::Authority;
use holm_link::places::Share;
use holm_link::workload::Workload;
use holm_link::workload::signer::{Subject, TokenSigner};
use holm_model::view::query::EventQuery;
use holm_model::view::{TokenCreated, TokenRequest, TokenRole};
use support::{DEADLINE, Root, manifest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tower::ServiceExt as _;

const FAR: [u8; 4] = [192, 0, 2, 1];

fn far(last: u8) -> Peer {
    let [a, b, c, _] = FAR;
    Peer::Tls(([a, b, c, last], 9).into())
}

async fn token(root: &Root) -> TokenCreated {
    let request = TokenRequest { ttl_seconds: Some(600), ..TokenRequest::new(TokenRole::Admin) };
    root.client().create_token(&request).await.unwrap()
}

fn with_token(root: &Root, token: &TokenCreated) -> Client {
    Client::https(&root.address.to_string(), &token.token).unwrap()
}

async fn get(router: &Router, peer: Peer, path: &str, token: &str) -> Response {
    let request = Request::builder().uri(format!("/api/v1{path}"));
    let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(peer);
    router.clone().oneshot(request).await.unwrap()
}

fn wait_of(response: &Response) -> u64 {
    response.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap()
}

/// A connection from `peer`, as the port hands it out.
fn connection(root: &Root, peer: Peer) -> DuplexStream {
    let (near, far) = tokio::io::duplex(1024);
    holm_api::on_http(root.api.clone())(Box::new(far), peer);
    near
}

/// Of somebody who does not say who they are.
const STRANGERS_REQUEST: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

fn request_of(token: &TokenCreated) -> String {
    format!("GET /api/v1/whoami HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n", token.token)
}

async fn asked(connection: &mut DuplexStream, request: &str) -> String {
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 1024];
    let read = tokio::time::timeout(DEADLINE, connection.read(&mut buffer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

#[tokio::test]
async fn a_void_token_ends_its_events_and_no_others() {
    let root = Root::start().await;
    let [void, kept] = [token(&root).await, token(&root).await];
    let mut ends = with_token(&root, &void).events(&EventQuery::default()).await.unwrap();
    let mut goes_on = with_token(&root, &kept).events(&EventQuery::default()).await.unwrap();
    root.client().revoke_token(&void.id).await.unwrap();
    let begun = Instant::now();
    // The client connects again by itself, and learns why it may not.
    let error = tokio::time::timeout(DEADLINE, ends.next()).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.problem().unwrap().status, 401, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    root.client()
        .apply("default", "shop", &manifest("shop", 1), holm_client::Condition::Absent)
        .await
        .unwrap();
    let notice = tokio::time::timeout(DEADLINE, goes_on.next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(notice, Notice::Event(_)), "{notice:?}");
    root.stop().await;
}

#[tokio::test]
async fn who_asks_too_much_waits_and_the_client_does_so_by_itself() {
    let limits = Limits { requests: 1, ..Limits::default() };
    let root = Root::start_limited(limits).await;
    let (router, token) = (router(&root.api), token(&root).await);
    let mut refused = None;
    for _ in 0..60 {
        let answer = get(&router, far(1), "/whoami", &token.token).await;
        if answer.status() != StatusCode::OK {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("there is a limit");
    assert_eq!((refused.status(), wait_of(&refused)), (StatusCode::TOO_MANY_REQUESTS, 1));
    // Told so, it tries again.
    let begun = Instant::now();
    with_token(&root, &token).whoami().await.unwrap();
    assert!(begun.elapsed() > Duration::from_millis(500), "it waited");
    // Whoever owns the machine is not slowed down.
    for _ in 0..100 {
        root.client().whoami().await.unwrap();
    }
    root.stop().await;
}

#[tokio::test]
async fn strangers_are_slowed_down_and_keep_nobody_out() {
    let root = Root::start_limited(Limits { strangers: 1, ..Limits::default() }).await;
    let (router, token) = (router(&root.api), token(&root).await);
    let mut last = StatusCode::OK;
    for _ in 0..25 {
        last = get(&router, far(1), "/whoami", "holm-api.e30.AAAA").await.status();
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(get(&router, far(1), "/whoami", &token.token).await.status(), StatusCode::OK);
    assert_eq!(get(&router, far(2), "/whoami", "nonsense").await.status(), StatusCode::UNAUTHORIZED);
    root.stop().await;
}

#[tokio::test]
async fn one_person_has_a_share_of_the_streams() {
    let root = Root::start_limited(Limits { streams: Share { each: 2, all: 3 }, ..Limits::default() }).await;
    let (router, token) = (router(&root.api), token(&root).await);
    let open = [
        get(&router, far(1), "/events", &token.token).await,
        get(&router, far(1), "/events", &token.token).await,
    ];
    assert!(open.iter().all(|answer| answer.status() == StatusCode::OK));
    let refused = get(&router, far(1), "/events", &token.token).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
    let events = root.client().events(&EventQuery::default()).await.unwrap();
    drop(open);
    assert_eq!(get(&router, far(1), "/events", &token.token).await.status(), StatusCode::OK);
    drop(events);
    root.stop().await;
}

#[tokio::test]
async fn one_address_has_a_share_of_the_connections() {
    let limits = Limits { connections: Share { each: 2, all: 3 }, ..Limits::default() };
    let root = Root::start_limited(limits).await;
    let request = request_of(&token(&root).await);
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut one = connection(&root, far(1));
        assert!(asked(&mut one, &request).await.starts_with("HTTP/1.1 200"));
        open.push(one);
    }
    let mut third = connection(&root, far(1));
    assert_eq!(third.read(&mut [0; 16]).await.unwrap(), 0, "closed at once");
    assert!(asked(&mut connection(&root, far(2)), &request).await.starts_with("HTTP/1.1 200"));
    drop(open);
    let deadline = Instant::now() + DEADLINE;
    // Its places are free once the server has seen that it has gone.
    loop {
        let mut again = connection(&root, far(1));
        if again.write_all(request.as_bytes()).await.is_ok() && again.read(&mut [0; 16]).await.unwrap() > 0 {
            break;
        }
        assert!(Instant::now() < deadline, "the places are not free again");
    }
    root.stop().await;
}

#[tokio::test]
async fn who_sends_no_request_or_half_a_one_is_cut_off() {
    let root = Root::start().await;
    for said in [&b""[..], b"G", b"GET / HTTP/1.1\r\nhost: loc", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut near = connection(&root, far(1));
        near.write_all(said).await.unwrap();
        // From here on the clock runs as fast as everybody waits.
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        let _ = near.read_to_end(&mut Vec::new()).await;
        let took = begun.elapsed();
        tokio::time::resume();
        assert!(took <= Duration::from_secs(60), "{took:?}");
    }
    root.stop().await;
}

#[tokio::test]
async fn who_asks_again_and_again_without_proof_is_cut_off_and_who_is_known_is_not() {
    let root = Root::start().await;
    for (known, stays) in [(false, false), (true, true)] {
        let request = request_of(&token(&root).await);
        let mut near = connection(&root, far(1));
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        let mut answers = 0;
        while begun.elapsed() < Duration::from_secs(100) {
            let request = if known { &request } else { STRANGERS_REQUEST };
            if near.write_all(request.as_bytes()).await.is_err()
                || near.read(&mut [0; 4096]).await.unwrap() == 0
            {
                break;
            }
            answers += 1;
            tokio::time::sleep(Duration::from_secs(8)).await;
        }
        let took = begun.elapsed();
        tokio::time::resume();
        assert!(answers > 2, "{answers}");
        assert_eq!(took >= Duration::from_secs(100), stays, "{took:?}");
    }
    root.stop().await;
}

/// To verify one is work, which strangers do not get done as often as they like.
#[tokio::test]
async fn tokens_of_instances_wait_their_turn_until_they_are_known() {
    let root = Root::start().await;
    let limits = Limits { strangers: 1, ..Limits::default() };
    let cluster = root.cluster_limited("vienna", limits).await;
    let router = router(&cluster.api);
    // An instance of elsewhere: the root has signed for it.
    let authority = Authority::load(root.dir.path()).unwrap().unwrap();
    let signer = TokenSigner::new(&authority, UnixTime::now()).unwrap();
    let us = authority.identity();
    let [known, new] = ["1-000000000001-7", "1-000000000001-9"].map(|instance| {
        let workload = Workload::new(us.sea(), "blue", "shop", "web").unwrap();
        let node = us.child("1-000000000001-8").unwrap();
        let subject = Subject { workload, instance: instance.to_owned(), node };
        signer.sign(subject, &us.to_string(), Duration::from_secs(600), UnixTime::now()).unwrap().text
    });
    assert_eq!(get(&router, far(1), "/whoami", &known).await.status(), StatusCode::OK);
    for _ in 0..25 {
        get(&router, far(1), "/whoami", "eyJ.e30.AAAA").await;
    }
    let refused = get(&router, far(1), "/whoami", &new).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(wait_of(&refused) > 0);
    for _ in 0..50 {
        assert_eq!(get(&router, far(1), "/whoami", &known).await.status(), StatusCode::OK);
    }
    assert_eq!(get(&router, far(2), "/whoami", &new).await.status(), StatusCode::OK);
    assert_eq!(get(&router, far(1), "/whoami", &new).await.status(), StatusCode::OK, "it is known now");
    root.stop().await;
}
