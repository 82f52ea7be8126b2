//! What the document promises of every route, and what browsers and strangers may not do.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use holm_api::{Peer, document, router};
use holm_model::view::{Page, Problem, TokenCreated, TokenView};
use serde_json::Value;
use support::Root;
use tower::ServiceExt as _;

const FAR: Peer =
    Peer::Tls(std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9));
const PLAIN: Peer =
    Peer::Plain(std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9));

/// For whoever has nothing to show yet.
const OPEN: [&str; 3] = ["/api/v1/join", "/api/v1/sessions", "/api/v1/setup"];

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn word(&self) -> String {
        let problem: Problem = serde_json::from_slice(&self.body).expect("a problem");
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(problem.status, self.status.as_u16());
        problem.word().to_owned()
    }
}

async fn send(router: &Router, peer: Peer, request: Request<Body>) -> Answer {
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(peer);
    let response = router.clone().oneshot(Request::from_parts(parts, body)).await.unwrap();
    let (parts, body) = response.into_parts();
    // Streams do not end; what has come by then is of no interest here.
    let body = match parts.headers.get(header::CONTENT_TYPE) {
        Some(kind) if kind == "text/event-stream" => Vec::new(),
        _ => to_bytes(body, 1 << 22).await.unwrap().to_vec(),
    };
    Answer { status: parts.status, headers: parts.headers, body }
}

fn request(method: &Method, path: &str, headers: &[(&str, &str)], body: &'static str) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path);
    headers.iter().fold(builder, |b, (name, value)| b.header(*name, *value)).body(Body::from(body)).unwrap()
}

/// Method, path with something in place of its parameters, and the statuses that are documented.
fn operations() -> Vec<(Method, String, Vec<String>)> {
    let document = serde_json::to_value(document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let concrete: String = path
            .split('/')
            .map(|part| {
                if part == "{port}" {
                    "80"
                } else if part.starts_with('{') {
                    "x"
                } else {
                    part
                }
            })
            .collect::<Vec<_>>()
            .join("/");
        for (method, operation) in item.as_object().unwrap() {
            let statuses = operation["responses"].as_object().unwrap().keys().cloned().collect();
            operations.push((method.to_uppercase().parse().unwrap(), concrete.clone(), statuses));
        }
    }
    assert!(operations.len() >= 30, "{}", operations.len());
    operations
}

#[tokio::test]
async fn every_route_needs_proof_and_answers_as_documented() {
    let root = Root::start().await;
    let router = router(&root.api);
    for (method, path, statuses) in operations() {
        let what = format!("{method} {path}");
        let stranger = send(&router, FAR, request(&method, &path, &[], "")).await;
        if OPEN.contains(&path.as_str()) && method == Method::POST {
            assert_eq!(stranger.word(), "media-type", "{what}");
        } else {
            assert_eq!(
                (stranger.status, stranger.word().as_str()),
                (StatusCode::UNAUTHORIZED, "unauthenticated"),
                "{what}"
            );
        }
        let forged = [("authorization", "Bearer holm-api.e30.AAAA")];
        let forged = send(&router, FAR, request(&method, &path, &forged, "")).await;
        assert!(forged.status.is_client_error(), "{what}");
        let known = send(&router, Peer::Unix, request(&method, &path, &[], "")).await;
        let status = known.status.as_u16().to_string();
        assert!(statuses.contains(&status), "{what} answered {status}, documented are {statuses:?}");
        assert!(
            known.status != StatusCode::METHOD_NOT_ALLOWED
                && known.status < StatusCode::INTERNAL_SERVER_ERROR,
            "{what}"
        );
        if known.status == StatusCode::NOT_FOUND {
            assert_ne!(known.word(), "no-route", "{what}");
        }
        assert_eq!(known.headers["x-content-type-options"], "nosniff");
    }
    root.stop().await;
}

#[tokio::test]
async fn the_document_that_is_served_is_the_one_that_is_tested() {
    let root = Root::start().await;
    let router = router(&root.api);
    let path = "/api/v1/openapi.json";
    assert_eq!(send(&router, FAR, request(&Method::GET, path, &[], "")).await.word(), "unauthenticated");
    let answer = send(&router, Peer::Unix, request(&Method::GET, path, &[], "")).await;
    let served: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(served, serde_json::to_value(document()).unwrap());
    // For everybody is only a page that tells nothing.
    let index = send(&router, FAR, request(&Method::GET, "/", &[], "")).await;
    assert_eq!(index.status, StatusCode::OK);
    assert!(!String::from_utf8_lossy(&index.body).contains(env!("CARGO_PKG_VERSION")));
    root.stop().await;
}

/// All values of `key` anywhere in the document.
fn all<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key));
            map.values().for_each(|value| all(value, key, found));
        }
        Value::Array(list) => list.iter().for_each(|value| all(value, key, found)),
        _ => {}
    }
}

#[test]
fn the_document_refers_to_nothing_that_is_not_there() {
    let document = serde_json::to_value(document()).unwrap();
    let mut references = Vec::new();
    all(&document, "$ref", &mut references);
    assert!(references.len() > 50, "{}", references.len());
    for reference in references.into_iter().filter_map(Value::as_str) {
        let pointer = reference.strip_prefix('#').expect("within the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn each_operation_is_described_whole() {
    let document = serde_json::to_value(document()).unwrap();
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            let text = |key: &str| operation[key].as_str().is_some_and(|text| !text.is_empty());
            assert!(text("summary"), "{what}: no summary");
            assert!(text("operationId"), "{what}: no name");
            assert!(names.insert(operation["operationId"].to_string()), "{what}: its name is taken");
            assert!(operation["tags"].as_array().is_some_and(|tags| !tags.is_empty()), "{what}: no tag");
            // Every parameter of the path is declared, and no other.
            let declared = operation["parameters"].as_array().into_iter().flatten();
            let mut declared: Vec<_> =
                declared.filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
            let mut used: Vec<_> =
                path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')).collect();
            declared.sort_unstable();
            used.sort_unstable();
            assert_eq!(declared, used, "{what}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with(['1', '2'])), "{what}: nothing good");
            for status in ["400", "401", "403", "500", "503"] {
                assert!(responses.contains_key(status), "{what}: no {status}");
            }
            for (status, response) in responses.iter().filter(|(status, _)| status.starts_with(['4', '5'])) {
                let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{what}: {status}");
                assert_ne!(response["description"], "", "{what}: {status}");
            }
        }
    }
}

#[test]
fn what_a_joining_machine_sends_and_gets_is_typed() {
    let document = serde_json::to_value(document()).unwrap();
    let join = &document["paths"]["/api/v1/join"]["post"];
    let schema = |content: &Value| {
        let name = content["application/json"]["schema"]["$ref"].as_str().expect("a schema with a name");
        document.pointer(&name[1..]).unwrap().clone()
    };
    let asked = schema(&join["requestBody"]["content"]);
    for field in ["token_id", "secret", "kind", "csr", "name", "host"] {
        assert!(asked["required"].as_array().unwrap().contains(&field.into()), "{field}: {asked}");
    }
    let answered = schema(&join["responses"]["201"]["content"]);
    for field in ["member", "identity", "chain", "root", "orchestrator"] {
        assert!(answered["properties"].get(field).is_some(), "{field}: {answered}");
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_not_found() {
    let root = Root::start().await;
    let router = router(&root.api);
    let json = [("content-type", "application/json")];
    let patch = |path: &str| request(&Method::PATCH, path, &json, r#"{"replicas":2}"#);
    let shop = "/api/v1/projects/default/applications/shop";
    let web = format!("{shop}/services/web");
    let answer = send(&router, Peer::Unix, patch(&web)).await;
    assert_eq!((answer.status.as_u16(), answer.word().as_str()), (404, "not-found"));
    let yaml = "{holm: v1, application: shop, services: {web: {runtime: process, command: [a]}}}";
    let put = request(&Method::PUT, shop, &[("content-type", "application/yaml")], yaml);
    assert_eq!(send(&router, Peer::Unix, put).await.status, StatusCode::CREATED);
    assert_eq!(send(&router, Peer::Unix, patch(&web)).await.status, StatusCode::NO_CONTENT);
    let answer = send(&router, Peer::Unix, patch(&format!("{shop}/services/db"))).await;
    assert_eq!((answer.status.as_u16(), answer.word().as_str()), (404, "not-found"));
    let problem: Problem = serde_json::from_slice(&answer.body).unwrap();
    assert!(problem.detail.contains("`db`") && problem.detail.contains("web"), "{problem}");
    root.stop().await;
}

#[tokio::test]
async fn what_is_no_route_is_a_problem() {
    let root = Root::start().await;
    let router = router(&root.api);
    for path in ["/api/v1/nothing", "/nothing", "/api/v2/status"] {
        let answer = send(&router, Peer::Unix, request(&Method::GET, path, &[], "")).await;
        assert_eq!((answer.status.as_u16(), answer.word().as_str()), (404, "no-route"), "{path}");
    }
    let answer = send(&router, Peer::Unix, request(&Method::DELETE, "/api/v1/status", &[], "")).await;
    assert_eq!(answer.word(), "method-not-allowed");
    for (path, word) in [
        ("/api/v1/instances?color=red", "bad-request"),
        ("/api/v1/instances?limit=0", "bad-request"),
        ("/api/v1/nodes?cursor=!", "bad-request"),
        ("/api/v1/events?after=x", "bad-request"),
        ("/api/v1/audit?cursor=x", "bad-request"),
        ("/api/v1/events?kind=instanz", "bad-request"),
        ("/api/v1/history?kind=instanz", "bad-request"),
        ("/api/v1/instances?state=running", "bad-request"),
        ("/api/v1/instances/1-0123456789ab-1/exec?command=ls", "not-found"),
    ] {
        assert_eq!(
            send(&router, Peer::Unix, request(&Method::GET, path, &[], "")).await.word(),
            word,
            "{path}"
        );
    }
    root.stop().await;
}

#[tokio::test]
async fn browsers_are_kept_from_being_used() {
    let root = Root::start().await;
    let router = router(&root.api);
    let status = |headers: &'static [(&str, &str)]| {
        let router = router.clone();
        async move { send(&router, PLAIN, request(&Method::GET, "/api/v1/status", headers, "")).await.word() }
    };
    assert_eq!(status(&[("host", "evil.example")]).await, "host");
    assert_eq!(status(&[]).await, "host");
    assert_eq!(status(&[("host", "localhost:7701")]).await, "unauthenticated");
    let foreign = [("host", "localhost"), ("origin", "http://evil.example")];
    let answer = send(&router, PLAIN, request(&Method::POST, "/api/v1/tokens", &foreign, "{}")).await;
    assert_eq!(answer.word(), "origin");
    let socket = [("host", "localhost"), ("origin", "http://evil.example"), ("upgrade", "websocket")];
    let path = "/api/v1/instances/1-0123456789ab-1/exec?command=ls";
    assert_eq!(send(&router, PLAIN, request(&Method::GET, path, &socket, "")).await.word(), "origin");
    root.stop().await;
}

#[tokio::test]
async fn a_key_is_honoured_by_every_write() {
    let root = Root::start().await;
    let router = router(&root.api);
    let call = |method: Method, path: String, body: &'static str| {
        let router = router.clone();
        let headers = [("idempotency-key", "k"), ("content-type", "application/json")];
        async move { send(&router, Peer::Unix, request(&method, &path, &headers, body)).await }
    };
    let made = call(Method::POST, "/api/v1/tokens".to_owned(), r#"{"role":"node"}"#).await;
    let id = serde_json::from_slice::<TokenCreated>(&made.body).unwrap().id;
    let path = format!("/api/v1/tokens/{id}");
    let first = call(Method::DELETE, path.clone(), "").await;
    assert!(first.status.is_success() && !first.headers.contains_key("idempotency-replayed"));
    let again = call(Method::DELETE, path.clone(), "").await;
    assert_eq!(again.status, first.status, "what is gone is not asked for again");
    assert!(again.headers.contains_key("idempotency-replayed"));
    let patch = "/api/v1/projects/default/applications/none/services/web".to_owned();
    assert_eq!(call(Method::PATCH, patch.clone(), "{}").await.headers.get("idempotency-replayed"), None);
    assert!(call(Method::PATCH, patch.clone(), "{}").await.headers.contains_key("idempotency-replayed"));
    assert_eq!(call(Method::PATCH, patch, r#"{"replicas":1}"#).await.word(), "idempotency-key-reused");
    root.stop().await;
}

#[tokio::test]
async fn a_key_makes_one_token() {
    let root = Root::start().await;
    let router = router(&root.api);
    let create = |key: &'static str, body: &'static str| {
        let router = router.clone();
        let headers = [("idempotency-key", key), ("content-type", "application/json")];
        async move { send(&router, Peer::Unix, request(&Method::POST, "/api/v1/tokens", &headers, body)).await }
    };
    let token = |answer: &Answer| serde_json::from_slice::<TokenCreated>(&answer.body).unwrap().token;
    let first = create("a", r#"{"role":"node"}"#).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let again = create("a", r#"{"role":"node"}"#).await;
    assert_eq!((again.status, token(&again)), (StatusCode::CREATED, token(&first)));
    assert!(again.headers.contains_key("idempotency-replayed"));
    assert_eq!(create("a", r#"{"role":"cluster"}"#).await.word(), "idempotency-key-reused");
    assert_ne!(token(&create("b", r#"{"role":"node"}"#).await), token(&first));
    assert_eq!(create("c", r#"{"role":"king"}"#).await.word(), "invalid");
    assert_eq!(create("d", r#"{"role":"#).await.word(), "bad-request");
    let list = send(&router, Peer::Unix, request(&Method::GET, "/api/v1/tokens?limit=1", &[], "")).await;
    let page: Page<TokenView> = serde_json::from_slice(&list.body).unwrap();
    assert_eq!(page.items.len(), 1);
    let next =
        list.headers.get_all(header::LINK).iter().any(|link| link.to_str().unwrap().contains("rel=\"next\""));
    assert!(next && page.next.is_some());
    root.stop().await;
}

#[tokio::test]
async fn what_did_not_change_is_not_sent_again() {
    let root = Root::start().await;
    let router = router(&root.api);
    let path = "/api/v1/projects/default/applications/shop";
    let yaml = "{holm: v1, application: shop, services: {web: {runtime: process, command: [a]}}}";
    let put = |kind: &'static str| request(&Method::PUT, path, &[("content-type", kind)], yaml);
    assert_eq!(send(&router, Peer::Unix, put("text/plain")).await.word(), "media-type");
    assert_eq!(
        send(&router, Peer::Unix, put("application/yaml; charset=utf-8")).await.status,
        StatusCode::CREATED
    );
    assert_eq!(send(&router, Peer::Unix, put("application/yaml")).await.status, StatusCode::OK);
    let answer = send(&router, Peer::Unix, request(&Method::GET, path, &[], "")).await;
    let tag = answer.headers[header::ETAG].to_str().unwrap().to_owned();
    let answer = send(&router, Peer::Unix, request(&Method::GET, path, &[("if-none-match", &tag)], "")).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_MODIFIED, 0));
    root.stop().await;
}

#[tokio::test]
async fn many_requests_share_one_http_2_connection() {
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let root = Root::start().await;
    let stream = tokio::net::UnixStream::connect(root.dir.path().join("api.sock")).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let ask = |_| {
        let mut sender = sender.clone();
        async move {
            let request = request(&Method::GET, "http://localhost/api/v1/status", &[], "");
            sender.send_request(request).await.unwrap().status()
        }
    };
    // With the first answer comes the limit, which the client keeps from then on.
    assert_eq!(ask(0).await, StatusCode::OK);
    let statuses = futures::future::join_all((0..200).map(ask)).await;
    assert!(statuses.iter().all(|status| *status == StatusCode::OK));
    drop(sender);
    root.stop().await;
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn over_http_1_a_body_that_nobody_wants_is_answered_and_taken_to_its_end() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const BODY: usize = 8 << 20;
    let root = Root::start().await;
    let mut stream = tokio::net::UnixStream::connect(root.dir.path().join("api.sock")).await.unwrap();
    let head = format!(
        "POST /api/v1/projects/none/builds HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; \
         boundary=x\r\ncontent-length: {BODY}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_ne!(&answer, b"HTTP/1.1 200");
    // Whoever sends first and reads afterwards gets to the answer, too.
    stream.write_all(&vec![b' '; BODY]).await.expect("all of it is taken, and thrown away");
    drop(stream);
    root.stop().await;
}

#[tokio::test]
async fn over_http_2_a_body_over_the_limit_is_answered_and_the_connection_goes_on() {
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let root = Root::start().await;
    let stream = tokio::net::UnixStream::connect(root.dir.path().join("api.sock")).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let path = "http://localhost/api/v1/projects/default/applications/shop";
    // More than any window of flow control holds at once: the sender sees what becomes of the rest.
    let (frames, sent) = futures::channel::mpsc::channel::<Result<bytes::Bytes, std::io::Error>>(1);
    let upload = tokio::spawn(async move {
        let mut frames = frames;
        for _ in 0..8 * holm_api::MAX_BODY / 65_536 {
            futures::SinkExt::send(&mut frames, Ok(vec![b' '; 65_536].into())).await?;
        }
        Ok::<_, futures::channel::mpsc::SendError>(())
    });
    let put = Request::put(path).header("content-type", "application/yaml");
    let answer = sender.send_request(put.body(Body::from_stream(sent)).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let body = to_bytes(Body::new(answer.into_body()), 1 << 16).await.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("too-large"), "{body:?}");
    upload.await.unwrap().expect("all of it was taken, and thrown away");
    let ask = request(&Method::GET, "http://localhost/api/v1/status", &[], "");
    assert_eq!(sender.send_request(ask).await.unwrap().status(), StatusCode::OK);
    drop(sender);
    root.stop().await;
    connection.await.unwrap().unwrap();
}
