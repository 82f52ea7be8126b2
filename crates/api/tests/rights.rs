//! What each role may do, route by route: the list of routes is that of the OpenAPI document.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use holm_api::{Peer, document, router};
use holm_link::UnixTime;
use holm_link::authority::Authority;
use holm_link::workload::Workload;
use holm_link::workload::signer::{Subject, TokenSigner};
use holm_model::view::people::SessionCreated;
use holm_model::view::{Page, Problem, TokenCreated, TokenView};
use serde_json::{Value, json};
use support::Root;
use tower::ServiceExt as _;

const FAR: Peer = Peer::Tls(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9));
const PASSWORD: &str = "correct horse battery";
/// What belongs to another project, and what is not there at all.
const THEIRS: [(&str, &str); 3] = [("{project}", "red"), ("{application}", "vault"), ("{name}", "rita")];
const NOBODYS: [(&str, &str); 3] = [("{project}", "void"), ("{application}", "nothing"), ("{name}", "nemo")];

struct Sea {
    root: Root,
    router: Router,
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text))
    }

    fn word(&self) -> String {
        self.json::<Problem>().word().to_owned()
    }
}

impl Sea {
    /// Two projects, each with an application; `ada` in blue, `rita` in red, `olga` for the whole sea.
    async fn start() -> Self {
        let root = Root::start().await;
        let sea = Self { router: router(&root.api), root };
        for project in ["blue", "red"] {
            sea.admin("POST", "/projects", &json!({ "name": project })).await;
        }
        sea.apply("blue", "shop").await;
        sea.apply("red", "vault").await;
        sea.person("ada", &json!({ "projects": { "blue": "admin" } })).await;
        sea.person("rita", &json!({ "projects": { "red": "viewer" } })).await;
        sea.person("olga", &json!({ "sea": "operator" })).await;
        sea
    }

    async fn send(&self, peer: Peer, request: Request<Body>) -> Answer {
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(peer);
        let response = self.router.clone().oneshot(Request::from_parts(parts, body)).await.unwrap();
        let (parts, body) = response.into_parts();
        // Streams do not end.
        let endless = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        let body = if endless { Vec::new() } else { to_bytes(body, 1 << 22).await.unwrap().to_vec() };
        let text = String::from_utf8(body).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    async fn call(&self, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(whole(path))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()));
        self.send(FAR, request.unwrap()).await
    }

    async fn admin(&self, method: &str, path: &str, body: &Value) -> Answer {
        let request = Request::builder().method(method).uri(whole(path));
        let request = request.header("content-type", "application/json").body(Body::from(body.to_string()));
        let answer = self.send(Peer::Unix, request.unwrap()).await;
        assert!(answer.status.is_success(), "{method} {path}: {answer:?}");
        answer
    }

    async fn apply(&self, project: &str, application: &str) {
        let manifest = json!({ "holm": "v1", "application": application,
            "services": { "web": { "runtime": "process", "command": ["sleep", "60"] } } });
        self.admin("PUT", &format!("/projects/{project}/applications/{application}"), &manifest).await;
    }

    /// Made by the administrator; the password is changed, as it must be.
    async fn person(&self, name: &str, roles: &Value) {
        let first = "first password";
        self.admin("POST", "/people", &json!({ "name": name, "password": first, "roles": roles })).await;
        let session = self.log_in(name, first).await;
        assert!(session.must_change);
        let change = json!({ "old": first, "new": PASSWORD });
        let path = format!("/people/{name}/password");
        assert_eq!(self.call(&session.token, "PUT", &path, &change).await.status, 204);
    }

    async fn try_login(&self, name: &str, password: &str) -> Answer {
        self.call("", "POST", "/sessions", &json!({ "name": name, "password": password })).await
    }

    async fn log_in(&self, name: &str, password: &str) -> SessionCreated {
        self.try_login(name, password).await.json()
    }

    async fn token(&self, name: &str) -> String {
        self.log_in(name, PASSWORD).await.token
    }
}

/// The path on the server: Prometheus knows one of them by its own name.
fn whole(path: &str) -> String {
    if path == "/metrics" { path.to_owned() } else { format!("/api/v1{path}") }
}

/// Method and path of every operation that needs proof.
fn operations() -> Vec<(Method, String)> {
    let document = serde_json::to_value(document()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if !operation["security"].as_array().is_some_and(Vec::is_empty) {
                let path = path.strip_prefix("/api/v1").unwrap_or(path).to_owned();
                operations.push((method.to_uppercase().parse().unwrap(), path));
            }
        }
    }
    assert!(operations.len() >= 40, "{}", operations.len());
    operations
}

fn filled(path: &str, names: &[(&str, &str)]) -> String {
    let path = names.iter().fold(path.to_owned(), |path, (place, name)| path.replace(place, name));
    path.replace("{service}", "web").replace("{port}", "80").replace("{id}", "1-00000000000a-7")
}

#[tokio::test]
async fn one_project_can_neither_see_nor_guess_anything_of_another() {
    let sea = Sea::start().await;
    let ada = sea.token("ada").await;
    let mut compared = 0;
    for (method, path) in operations() {
        // Her own log-out would end the test.
        if path == "/sessions/current" || path.ends_with("/sessions") {
            continue;
        }
        let theirs = sea.call(&ada, method.as_str(), &filled(&path, &THEIRS), &json!({})).await;
        let nobodys = sea.call(&ada, method.as_str(), &filled(&path, &NOBODYS), &json!({})).await;
        let blind = THEIRS.iter().zip(NOBODYS).fold(theirs.text.clone(), |text, ((_, red), (_, void))| {
            text.replace(&format!("`{red}`"), &format!("`{void}`"))
        });
        let what = format!("{method} {path}");
        assert_eq!((theirs.status, &blind), (nobodys.status, &nobodys.text), "{what}");
        for secret in ["\"red\"", "red/", "vault/", "\"vault\"", "\"rita\""] {
            assert!(!theirs.text.contains(secret), "{what} tells {secret}: {}", theirs.text);
        }
        if path.contains("{project}") {
            let refused = if path.ends_with("/quota") || path == "/projects/{project}" && method == "DELETE" {
                StatusCode::FORBIDDEN
            } else {
                StatusCode::NOT_FOUND
            };
            assert_eq!(theirs.status, refused, "{what}");
        }
        compared += 1;
    }
    assert!(compared >= 40, "{compared}");
    sea.root.stop().await;
}

#[tokio::test]
async fn each_role_may_do_what_it_says_and_no_more() {
    let sea = Sea::start().await;
    let [ada, rita, olga] = [sea.token("ada").await, sea.token("rita").await, sea.token("olga").await];
    let scale = json!({ "replicas": 2 });
    let (blue, red) = ("/projects/blue/applications/shop", "/projects/red/applications/vault");
    // (who, method, path, body, status)
    for (who, token, method, path, status) in [
        ("ada", &ada, "GET", blue, 200),
        ("ada", &ada, "PATCH", blue, 204),
        ("ada", &ada, "GET", red, 404),
        ("ada", &ada, "PATCH", red, 404),
        ("ada", &ada, "GET", "/nodes", 403),
        ("ada", &ada, "GET", "/people", 403),
        ("ada", &ada, "GET", "/audit", 403),
        ("ada", &ada, "POST", "/projects", 403),
        ("rita", &rita, "GET", red, 200),
        ("rita", &rita, "PATCH", red, 403),
        ("rita", &rita, "DELETE", red, 403),
        ("rita", &rita, "GET", blue, 404),
        ("olga", &olga, "PATCH", blue, 204),
        ("olga", &olga, "PATCH", red, 204),
        ("olga", &olga, "GET", "/nodes", 200),
        ("olga", &olga, "GET", "/people", 403),
        ("olga", &olga, "DELETE", "/nodes/x", 403),
        ("olga", &olga, "GET", "/nodes/x/usage", 404),
        ("olga", &olga, "PUT", "/nodes/x/capabilities/hardware/ble", 403),
        ("olga", &olga, "DELETE", "/nodes/x/labels/floor", 403),
        ("olga", &olga, "PUT", "/nodes/x/taints/radio", 403),
        ("ada", &ada, "GET", "/nodes/x/usage", 403),
        ("ada", &ada, "GET", "/instances/1-000000000001-1/usage", 404),
        ("olga", &olga, "PUT", "/projects/red/quota", 403),
    ] {
        let answer = sea.call(token, method, path, &scale).await;
        assert_eq!(answer.status.as_u16(), status, "{who} {method} {path}: {}", answer.text);
    }
    for (token, mine) in [(&ada, "shop"), (&rita, "vault")] {
        let listed: Page<Value> = sea.call(token, "GET", "/applications", &json!({})).await.json();
        let names: Vec<_> = listed.items.iter().map(|app| app["name"].as_str().unwrap()).collect();
        assert_eq!(names, [mine]);
    }
    sea.root.stop().await;
}

#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let sea = Sea::start().await;
    let ada = sea.token("ada").await;
    for (request, status) in [
        (json!({ "role": "admin" }), 403),
        (json!({ "role": "viewer" }), 403),
        (json!({ "role": "viewer", "projects": ["red"] }), 403),
        (json!({ "role": "node" }), 403),
        (json!({ "role": "cluster" }), 403),
        (json!({ "role": "viewer", "projects": [] }), 403),
        (json!({ "role": "admin", "projects": ["blue"], "verbs": ["shell"] }), 403),
        (json!({ "role": "operator", "projects": ["blue"], "verbs": ["read", "logs"] }), 201),
    ] {
        let answer = sea.call(&ada, "POST", "/tokens", &request).await;
        assert_eq!(answer.status.as_u16(), status, "{request}: {}", answer.text);
    }
    // The little token sees, and does nothing else; above all it makes no tokens.
    let little = json!({ "role": "viewer", "projects": ["blue"], "verbs": ["read"] });
    let little: TokenCreated = sea.call(&ada, "POST", "/tokens", &little).await.json();
    let blue = "/projects/blue/applications/shop";
    assert_eq!(sea.call(&little.token, "GET", blue, &json!({})).await.status, 200);
    assert_eq!(sea.call(&little.token, "DELETE", blue, &json!({})).await.status, 403);
    let more = json!({ "role": "viewer", "projects": ["blue"], "verbs": ["read"] });
    assert_eq!(sea.call(&little.token, "POST", "/tokens", &more).await.status, 403);
    // She sees her own tokens, and makes them void.
    let listed: Page<TokenView> = sea.call(&ada, "GET", "/tokens", &json!({})).await.json();
    assert_eq!(listed.items.len(), 2);
    let rita = sea.token("rita").await;
    let path = format!("/tokens/{}", little.id);
    assert_eq!(sea.call(&rita, "DELETE", &path, &json!({})).await.status, 404);
    assert_eq!(sea.call(&ada, "DELETE", &path, &json!({})).await.status, 204);
    assert_eq!(sea.call(&little.token, "GET", blue, &json!({})).await.status, 401);
    sea.root.stop().await;
}

#[tokio::test]
async fn a_token_for_one_application_reaches_nothing_else() {
    let sea = Sea::start().await;
    sea.apply("blue", "books").await;
    let ada = sea.token("ada").await;
    let shop = json!({ "role": "operator", "projects": ["blue"], "application": "shop" });
    for (request, status) in [
        (json!({ "role": "operator", "application": "shop" }), 422),
        (json!({ "role": "operator", "projects": ["red"], "application": "vault" }), 403),
        (json!({ "role": "node", "application": "shop" }), 403),
    ] {
        let answer = sea.call(&ada, "POST", "/tokens", &request).await;
        assert_eq!(answer.status.as_u16(), status, "{request}: {}", answer.text);
    }
    let token: TokenCreated = sea.call(&ada, "POST", "/tokens", &shop).await.json();
    let token = token.token;
    let theirs = [("{project}", "blue"), ("{application}", "books"), ("{name}", "rita")];
    let nobodys = [("{project}", "blue"), ("{application}", "nothing"), ("{name}", "nemo")];
    for (method, path) in operations() {
        if path == "/sessions/current" || path.ends_with("/sessions") {
            continue;
        }
        let other = sea.call(&token, method.as_str(), &filled(&path, &theirs), &json!({})).await;
        let nothing = sea.call(&token, method.as_str(), &filled(&path, &nobodys), &json!({})).await;
        let blind = other.text.replace("`books`", "`nothing`").replace("`rita`", "`nemo`");
        let what = format!("{method} {path}");
        assert_eq!((other.status, &blind), (nothing.status, &nothing.text), "{what}");
        for secret in ["\"books\"", "books/", "\"red\"", "\"vault\""] {
            assert!(!other.text.contains(secret), "{what} tells {secret}: {}", other.text);
        }
        // What it may begin, it must say for which application.
        if path.contains("{project}") && !path.ends_with("/builds") {
            assert!(!other.status.is_success(), "{what}: {}", other.text);
        }
    }
    let (own, scale) = ("/projects/blue/applications/shop", json!({ "replicas": 2 }));
    assert_eq!(sea.call(&token, "GET", own, &json!({})).await.status, 200);
    assert_eq!(sea.call(&token, "PATCH", own, &scale).await.status, 204);
    let listed: Page<Value> = sea.call(&token, "GET", "/applications", &json!({})).await.json();
    assert_eq!(listed.items.iter().map(|app| &app["name"]).collect::<Vec<_>>(), ["shop"]);
    let instances: Page<Value> = sea.call(&token, "GET", "/instances", &json!({})).await.json();
    assert!(!instances.items.is_empty() && instances.items.iter().all(|one| one["application"] == "shop"));
    // It makes no other, though that would be no more than itself.
    assert_eq!(sea.call(&token, "POST", "/tokens", &shop).await.status, 403);
    sea.root.stop().await;
}

#[tokio::test]
async fn fewer_rights_a_new_password_and_logging_out_end_what_was_allowed() {
    let sea = Sea::start().await;
    let blue = "/projects/blue/applications/shop";
    let alive = async |token: &str| sea.call(token, "GET", blue, &json!({})).await.status == 200;
    let first = sea.token("ada").await;
    // More rights end nothing.
    let more = json!({ "projects": { "blue": "admin", "red": "viewer" } });
    sea.admin("PUT", "/people/ada/roles", &more).await;
    assert!(alive(&first).await);
    sea.admin("PUT", "/people/ada/roles", &json!({ "projects": { "blue": "viewer" } })).await;
    assert!(!alive(&first).await);
    let second = sea.token("ada").await;
    assert!(alive(&second).await);
    let third = sea.token("ada").await;
    assert_eq!(sea.call(&second, "DELETE", "/sessions/current", &json!({})).await.status, 204);
    assert!(!alive(&second).await && alive(&third).await);
    assert_eq!(sea.call(&third, "DELETE", "/people/ada/sessions", &json!({})).await.status, 204);
    assert!(!alive(&third).await);
    let fourth = sea.token("ada").await;
    sea.admin("PUT", "/people/ada/password", &json!({ "new": "another password" })).await;
    assert!(!alive(&fourth).await);
    let fifth = sea.log_in("ada", "another password").await;
    assert!(fifth.must_change && !alive(&fifth.token).await);
    assert_eq!(sea.call(&fifth.token, "GET", "/whoami", &json!({})).await.status, 200);
    sea.admin("DELETE", "/people/ada", &json!({})).await;
    assert_eq!(sea.call(&fifth.token, "GET", "/whoami", &json!({})).await.status, 401);
    sea.root.stop().await;
}

#[tokio::test]
async fn a_stolen_session_changes_no_password_without_the_old_one() {
    let sea = Sea::start().await;
    let ada = sea.token("ada").await;
    for body in [json!({ "new": "another password" }), json!({ "old": "guessed", "new": "another password" })]
    {
        let answer = sea.call(&ada, "PUT", "/people/ada/password", &body).await;
        assert_eq!(answer.status, 401, "{}", answer.text);
    }
    assert_eq!(sea.try_login("ada", PASSWORD).await.status, 201);
    sea.root.stop().await;
}

#[tokio::test]
async fn guessing_gets_slower_and_tells_nothing() {
    let sea = Sea::start().await;
    let wrong = sea.try_login("ada", "wrong password").await;
    let nobody = sea.try_login("nobody-here", "wrong password").await;
    assert_eq!((wrong.status, &wrong.text), (nobody.status, &nobody.text));
    assert_eq!(wrong.status, 401);
    for _ in 0..2 {
        assert_eq!(sea.try_login("ada", "wrong password").await.status, 401);
    }
    let slow = sea.try_login("ada", PASSWORD).await;
    assert_eq!(slow.status, 429, "the right one has to wait as well");
    assert!(slow.headers.contains_key(header::RETRY_AFTER));
    assert_eq!(sea.try_login("rita", PASSWORD).await.status, 201);
    // Ten megabytes are not even read.
    let huge = sea.try_login("olga", &"x".repeat(10 << 20)).await;
    assert_eq!((huge.status.as_u16(), huge.word().as_str()), (413, "too-large"));
    sea.root.stop().await;
}

#[tokio::test]
async fn refused_attempts_are_in_the_audit_log() {
    let sea = Sea::start().await;
    let rita = sea.token("rita").await;
    sea.call(&rita, "DELETE", "/projects/red/applications/vault", &json!({})).await;
    sea.try_login("rita", "wrong password").await;
    sea.call("holm-api.e30.AAAA", "GET", "/nodes", &json!({})).await;
    // Many harmless ones hide no other.
    for _ in 0..30 {
        assert_eq!(sea.call(&rita, "GET", "/audit", &json!({})).await.status, 403);
    }
    let more = json!({ "role": "admin" });
    assert_eq!(sea.call(&rita, "POST", "/tokens", &more).await.status, 403);
    assert_eq!(sea.call(&rita, "DELETE", "/tokens/somebodys", &json!({})).await.status, 404);
    // Who guesses too fast is not heard; that is told all the same.
    for _ in 0..6 {
        sea.try_login("olga", "wrong password").await;
    }
    let log = sea.admin("GET", "/audit", &json!({})).await;
    let log: Page<Value> = log.json();
    let find = |who: &str, verb: &str, subject: &str, outcome: &str| {
        log.items.iter().any(|record| {
            let text = |key: &str| record[key].as_str().unwrap().to_owned();
            let said = text("subject").contains(subject) && text("outcome").contains(outcome);
            text("who") == who && text("verb") == verb && said
        })
    };
    let has = |who: &str, verb: &str, outcome: &str| find(who, verb, "", outcome);
    assert!(find("rita", "request", "POST /api/v1/tokens", "refused"), "{log:?}");
    assert!(find("rita", "request", "DELETE /api/v1/tokens/somebodys", "refused"), "{log:?}");
    assert!(has("olga", "log-in", "too many wrong passwords"), "{log:?}");
    assert!(has("rita", "request", "needs the right `apply`"), "{log:?}");
    assert!(has("rita", "log-in", "refused"), "{log:?}");
    assert!(has("rita", "log-in", "done"), "{log:?}");
    assert!(has("?", "authenticate", "refused"), "{log:?}");
    assert!(!format!("{log:?}").contains(PASSWORD) && !format!("{log:?}").contains("argon2"));
    sea.root.stop().await;
}

#[tokio::test]
async fn an_administrator_of_a_project_reads_what_was_done_in_it_and_nothing_else() {
    let sea = Sea::start().await;
    // Somebody else's project of the same name, of before.
    for method in ["POST", "DELETE"] {
        let path = if method == "POST" { "/projects" } else { "/projects/green" };
        sea.admin(method, path, &json!({ "name": "green" })).await;
    }
    sea.admin("POST", "/projects", &json!({ "name": "green" })).await;
    let roles = json!({ "projects": { "blue": "admin", "green": "admin", "red": "operator" } });
    sea.admin("PUT", "/people/ada/roles", &roles).await;
    let [ada, rita] = [sea.token("ada").await, sea.token("rita").await];
    let scale = json!({ "replicas": 2 });
    assert_eq!(sea.call(&ada, "PATCH", "/projects/blue/applications/shop", &scale).await.status, 204);
    assert_eq!(sea.call(&ada, "PATCH", "/projects/red/applications/vault", &scale).await.status, 204);
    assert_eq!(sea.call(&rita, "DELETE", "/projects/blue/applications/shop", &json!({})).await.status, 404);
    let read = async |path: &str| {
        let page: Page<Value> = sea.call(&ada, "GET", path, &json!({})).await.json();
        let words = |record: &Value| format!("{} {}", record["verb"], record["subject"]).replace('"', "");
        (page.items.iter().map(words).collect::<Vec<_>>(), page.next)
    };
    let (blue, _) = read("/projects/blue/audit").await;
    let (first, rest) = (&blue[0], &blue[1..]);
    assert_eq!(first, "request DELETE /api/v1/projects/blue/applications/shop");
    assert_eq!(rest[0], "scale application blue/shop to 2");
    assert_eq!(blue.last().unwrap(), "project.create project blue");
    assert!(
        !blue.iter().any(|words| ["red", "green", "person", "log-in"].iter().any(|no| words.contains(no)))
    );
    assert_eq!(read("/projects/green/audit").await.0, ["project.create project green"]);
    assert_eq!(read("/projects/blue/audit?subject=shop%20to").await.0, ["scale application blue/shop to 2"]);
    // Page by page, from both ends, the same.
    for order in ["", "&oldest_first=true"] {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let (words, next) = read(&format!("/projects/blue/audit?limit=1{cursor}{order}")).await;
            all.extend(words);
            let Some(next) = next else { break };
            cursor = format!("&cursor={next}");
        }
        if !order.is_empty() {
            all.reverse();
        }
        assert_eq!(all, blue, "{order}");
    }
    for (token, path, status) in [
        (&ada, "/audit", 403),
        (&ada, "/projects/red/audit", 403),
        (&ada, "/projects/void/audit", 404),
        (&ada, "/audit/verify", 403),
        (&rita, "/projects/red/audit", 403),
        (&rita, "/projects/blue/audit", 404),
    ] {
        assert_eq!(sea.call(token, "GET", path, &json!({})).await.status, status, "{path}");
    }
    sea.root.stop().await;
}

#[tokio::test]
async fn a_cookie_changes_nothing_without_its_proof() {
    let sea = Sea::start().await;
    let browser = |method: &str, path: &str, headers: &[(&str, &str)], body: &Value| {
        let request = Request::builder().method(method).uri(whole(path));
        let request = request.header("content-type", "application/json");
        let request = request.header("sec-fetch-site", "same-origin").header("host", "sea.example");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(Body::from(body.to_string())).unwrap()
    };
    let login = json!({ "name": "ada", "password": PASSWORD });
    let answer = sea.send(FAR, browser("POST", "/sessions", &[], &login)).await;
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    for guard in ["__Host-holm=", "HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(guard), "{cookie}");
    }
    let csrf = answer.json::<SessionCreated>().csrf;
    let cookie = cookie.split(';').next().unwrap();
    let (blue, scale) = ("/projects/blue/applications/shop", json!({ "replicas": 2 }));
    let read = sea.send(FAR, browser("GET", blue, &[("cookie", cookie)], &json!({}))).await;
    assert_eq!(read.status, 200);
    for (headers, status) in [
        (vec![("cookie", cookie)], 403),
        (vec![("cookie", cookie), ("x-holm-csrf", "guess")], 403),
        (vec![("cookie", cookie), ("x-holm-csrf", csrf.as_str())], 204),
        (vec![("cookie", cookie), ("x-holm-csrf", csrf.as_str()), ("origin", "https://evil.example")], 403),
    ] {
        let answer = sea.send(FAR, browser("PATCH", blue, &headers, &scale)).await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?}: {}", answer.text);
    }
    sea.root.stop().await;
}

#[tokio::test]
async fn a_project_gets_no_more_than_its_quota() {
    let sea = Sea::start().await;
    let quota = json!({ "instances": 2, "cpu": "1", "ports": 1 });
    sea.admin("PUT", "/projects/blue/quota", &quota).await;
    let ada = sea.token("ada").await;
    let blue = "/projects/blue/applications/shop";
    assert_eq!(sea.call(&ada, "PATCH", blue, &json!({ "replicas": 2 })).await.status, 204);
    let refused = sea.call(&ada, "PATCH", blue, &json!({ "replicas": 3 })).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("3 instances of 2"), "{}", refused.text);
    let greedy = json!({ "holm": "v1", "application": "greedy", "services": {
        "web": { "runtime": "process", "command": ["sleep"], "resources": { "cpu": "1500m" } } } });
    let refused = sea.call(&ada, "PUT", "/projects/blue/applications/greedy", &greedy).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("cpu 1500m of 1"), "{}", refused.text);
    let other = sea.call(&ada, "PUT", "/projects/void/applications/greedy", &greedy).await;
    assert_eq!(other.status, 404);
    // Lowered below what is used: less is always taken.
    sea.admin("PUT", "/projects/blue/quota", &json!({ "instances": 0 })).await;
    assert_eq!(sea.call(&ada, "PATCH", blue, &json!({ "replicas": 1 })).await.status, 204);
    let project: Value = sea.call(&ada, "GET", "/projects/blue", &json!({})).await.json();
    assert_eq!((&project["used"]["instances"], &project["quota"]["instances"]), (&json!(1), &json!(0)));
    sea.root.stop().await;
}

#[tokio::test]
async fn the_first_administrator_comes_with_the_set_up_link_and_only_once() {
    let root = Root::start().await;
    let sea = Sea { router: router(&root.api), root };
    let token = sea.root.handle.set_up_token().await.unwrap().expect("nobody is there");
    let set_up = |token: &str, name: &str| json!({ "token": token, "name": name, "password": PASSWORD });
    assert_eq!(sea.call("", "POST", "/setup", &set_up("holm-api.e30.AAAA", "ada")).await.status, 403);
    assert_eq!(sea.call(&token, "GET", "/status", &json!({})).await.status, 401, "it opens nothing else");
    assert_eq!(sea.call("", "POST", "/setup", &set_up(&token, "admin")).await.status, 422);
    let session: SessionCreated = sea.call("", "POST", "/setup", &set_up(&token, "ada")).await.json();
    assert_eq!(sea.call(&session.token, "GET", "/people", &json!({})).await.status, 200);
    assert_eq!(sea.call("", "POST", "/setup", &set_up(&token, "eve")).await.status, 403);
    assert!(sea.root.handle.set_up_token().await.unwrap().is_none());
    // An API token is no set-up link.
    let api = json!({ "role": "admin" });
    let api: TokenCreated = sea.call(&session.token, "POST", "/tokens", &api).await.json();
    assert_eq!(sea.call("", "POST", "/setup", &set_up(&api.token, "eve")).await.status, 403);
    sea.root.stop().await;
}

#[tokio::test]
async fn a_token_of_an_instance_that_is_not_there_proves_nothing() {
    let sea = Sea::start().await;
    let ada = sea.token("ada").await;
    // With the sea's own key: only the instance is made up.
    let authority = Authority::load(sea.root.dir.path()).unwrap().unwrap();
    let signer = TokenSigner::new(&authority, UnixTime::now()).unwrap();
    let us = authority.identity();
    let subject = Subject {
        workload: Workload::new(us.sea(), "blue", "shop", "web").unwrap(),
        instance: "1-000000000001-7".to_owned(),
        node: us.child("1-000000000001-8").unwrap(),
    };
    let ten_minutes = std::time::Duration::from_secs(600);
    let token = signer.sign(subject, &us.to_string(), ten_minutes, UnixTime::now()).unwrap().text;
    assert_eq!(sea.call(&token, "GET", "/whoami", &json!({})).await.word(), "unauthenticated");
    for bad in [token.as_str(), "eyJ.e30.", "a.b.c", ""] {
        let answer = sea.call(&ada, "POST", "/identities/verify", &json!({ "token": bad })).await;
        assert_eq!((answer.status, answer.word()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid".to_owned()));
    }
    assert_eq!(sea.call("eyJ.e30.", "GET", "/whoami", &json!({})).await.status, 401);
}

#[tokio::test]
async fn the_administrator_of_a_project_gives_roles_there_and_nothing_outside() {
    let sea = Sea::start().await;
    let [ada, rita] = [sea.token("ada").await, sea.token("rita").await];
    let (role, nothing) = (json!({ "role": "operator" }), json!({}));
    let [blue, red] = ["blue", "red"].map(|project| format!("/projects/{project}/roles"));
    // (who, method, path, status)
    for (token, method, path, status) in [
        (&ada, "PUT", format!("{blue}/people/rita"), 204),
        (&ada, "PUT", format!("{red}/people/rita"), 404),
        (&ada, "GET", red.clone(), 404),
        (&rita, "GET", red, 403),
        (&ada, "PUT", format!("{blue}/people/nemo"), 404),
        (&ada, "DELETE", format!("{blue}/people/olga"), 404),
        (&ada, "DELETE", format!("{blue}/people/nemo"), 404),
        (&ada, "PUT", format!("{blue}/services/shop/web"), 204),
        (&ada, "DELETE", format!("{blue}/services/shop/db"), 404),
        (&ada, "GET", "/people/rita".to_owned(), 403),
        (&ada, "PUT", "/people/rita/roles".to_owned(), 403),
    ] {
        let answer = sea.call(token, method, &path, &role).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text);
    }
    let admin =
        sea.call(&ada, "PUT", &format!("{blue}/services/shop/web"), &json!({ "role": "admin" })).await;
    assert_eq!(admin.status, 422, "{}", admin.text);
    let roles: Value = sea.call(&ada, "GET", &blue, &nothing).await.json();
    let expected = json!({ "people": { "ada": "admin", "rita": "operator" }, "services": { "shop": { "web": "operator" } } });
    assert_eq!(roles, expected, "nothing of other projects, nor of the sea");

    // What she has elsewhere stays hers; more rights end no token.
    let rita_again = sea.token("rita").await;
    for (token, path, status) in [
        (&rita_again, "/projects/blue/applications/shop", 204),
        (&rita_again, "/projects/red/applications/vault", 403),
    ] {
        assert_eq!(sea.call(token, "PATCH", path, &json!({ "replicas": 1 })).await.status.as_u16(), status);
    }
    // A token with the right to give roles gives no more than it has.
    let little = json!({ "role": "admin", "projects": ["blue"], "verbs": ["people", "read"] });
    let little: TokenCreated = sea.call(&ada, "POST", "/tokens", &little).await.json();
    let give = sea.call(&little.token, "PUT", &format!("{blue}/people/rita"), &role).await;
    assert_eq!(give.status, 403, "{}", give.text);
    let take = sea.call(&little.token, "DELETE", &format!("{blue}/people/ada"), &nothing).await;
    assert_eq!(take.status, 403, "{}", take.text);

    assert_eq!(sea.call(&ada, "DELETE", &format!("{blue}/people/rita"), &nothing).await.status, 204);
    assert_eq!(
        sea.call(&rita_again, "GET", "/whoami", &nothing).await.status,
        401,
        "fewer rights end tokens"
    );
    let rita = sea.token("rita").await;
    assert_eq!(sea.call(&rita, "GET", "/projects/blue", &nothing).await.status, 404);
    assert_eq!(sea.call(&rita, "GET", "/projects/red", &nothing).await.status, 200);
    sea.root.stop().await;
}

#[tokio::test]
async fn a_cluster_is_revoked_and_its_id_is_void() {
    let sea = Sea::start().await;
    let cluster = sea.root.cluster("vienna").await;
    let revoked = sea.admin("POST", "/clusters/vienna/revoke", &json!({})).await;
    assert_eq!(revoked.status, 204);
    let members: Page<Value> = sea.admin("GET", "/members", &json!({})).await.json();
    assert_eq!(members.items[0]["revoked"], json!(true), "{members:?}");
    let olga = sea.token("olga").await;
    assert_eq!(sea.call(&olga, "POST", "/clusters/vienna/revoke", &json!({})).await.status, 403);
    drop(cluster);
    sea.root.stop().await;
}
