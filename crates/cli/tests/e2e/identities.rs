//! Who instances are: they ask at their socket, and the API and other instances can tell.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::api::{http_of, with_http_at};
use crate::harness::command::{Ran, run};
use crate::harness::{Sea, http, sea, wait_for};

const SHOP: &str = "holm: v1
application: shop
services:
  web: { runtime: process, identity: true, command: [sleep, \"100000\"] }
  db: { runtime: process, identity: true, command: [sleep, \"100000\"] }
  plain: { runtime: process, command: [sleep, \"100000\"] }
";

/// The socket of an instance, from the environment of its program.
fn socket(sea: &Sea, slot: &str) -> Option<PathBuf> {
    let environ = fs::read(format!("/proc/{}/environ", sea.program("shop", slot).pid)).unwrap();
    let text = String::from_utf8_lossy(&environ).into_owned();
    text.split('\0').find_map(|entry| entry.strip_prefix("HOLM_IDENTITY_SOCKET=")).map(PathBuf::from)
}

/// None while nobody answers there.
fn ask(socket: &Path, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    let answer = http::unix(socket, method, path, &[], body)?;
    Some((answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body))))
}

fn token(socket: &Path, audience: &str) -> String {
    let body = json!({ "audience": audience }).to_string();
    let (status, answer) = ask(socket, "POST", "/v1/token", &body).expect("an answer");
    assert_eq!(status, 200, "{answer}");
    answer["token"].as_str().expect("a token").to_owned()
}

fn verify(sea: &Sea, token: &str, words: &[&str]) -> Ran {
    run(sea.call_at("root", &[&["identity", "verify", "-o", "json"], words].concat()), token)
}

#[test]
fn an_instance_proves_who_it_is_two_tiers_deep() {
    let mut sea = sea().words("root", &["--http=127.0.0.1:0"]).cluster("vienna", &["fl-1"]).start();
    sea.deploy(SHOP);
    let (web, db) = (socket(&sea, "web/0").unwrap(), socket(&sea, "db/0").unwrap());
    assert_eq!(socket(&sea, "plain/0"), None);
    let owner = fs::metadata(format!("/proc/{}", sea.program("shop", "web/0").pid)).unwrap().uid();
    let file = fs::metadata(&web).unwrap();
    assert_eq!((file.uid(), file.permissions().mode() & 0o777), (owner, 0o600));

    let (_, who) = ask(&web, "GET", "/v1/identity", "").unwrap();
    let api = format!("holm://{}", who["sea"].as_str().unwrap());
    let (me, it) = (format!("{api}/default/shop/web"), format!("{api}/default/shop/db"));
    assert_eq!(who["subject"], me);

    // To the API, where it may do nothing else.
    let proof = token(&web, &api);
    let address = with_http_at(&sea);
    let call = |method: &str, path: &str, proof: &str| {
        let stream = TcpStream::connect(&address).expect("it listens");
        let headers = [&*format!("authorization: Bearer {proof}"), "content-type: application/json"];
        http::request(stream, method, &format!("/api/v1/{path}"), &headers, "{}").expect("an answer")
    };
    let answer = call("GET", "whoami", &proof);
    let said: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, &said["who"], &said["grants"]), (200, &json!(me), &json!({})));
    for (method, path) in
        [("GET", "instances"), ("GET", "status"), ("POST", "tokens"), ("PUT", "people/ada/password")]
    {
        assert_eq!(call(method, path, &proof).status, 403, "{method} {path}");
    }
    let elsewhere = token(&web, &it);
    assert_eq!(call("GET", "whoami", &elsewhere).status, 401);
    let audit = sea.holm(&["audit", "-o", "json"]).done().stdout;
    assert!(audit.contains(&me), "{audit}");

    // To people, and to another instance.
    let view: Value = verify(&sea, &proof, &[]).done().json();
    assert_eq!((&view["subject"], &view["audience"]), (&json!(me), &json!(api)));
    verify(&sea, &elsewhere, &[]).refused(1, &["is for", &it]);
    verify(&sea, &elsewhere, &["--audience", &it]).done();
    let (status, claims) =
        ask(&db, "POST", "/v1/verify", &json!({ "token": elsewhere }).to_string()).unwrap();
    assert_eq!((status, &claims["sub"]), (200, &json!(me)), "{claims}");
    let shown = sea.holm(&["describe", "instance", "shop/web/0"]).done().stdout;
    assert!(shown.lines().any(|line| line.starts_with("identity") && line.ends_with("yes")), "{shown}");

    // Another agent serves the same socket; a cluster without its root vouches as before.
    sea.restart("fl-1");
    sea.kill("root");
    let body = json!({ "audience": it }).to_string();
    wait_for("the new agent answers", || {
        ask(&web, "POST", "/v1/token", &body).filter(|(status, _)| *status == 200)
    });
    sea.start("root");

    sea.all_connected();
    sea.holm(&["delete", "application", "shop"]).done();
    wait_for("the socket went with its instance", || (!web.exists()).then_some(()));
    wait_for("so did what its token proved", || {
        let ran = verify(&sea, &proof, &[]);
        (ran.code == 1 && ran.stderr.contains("not known here")).then_some(())
    });
}

#[test]
fn a_service_with_a_role_uses_the_api_in_its_project_at_root_and_cluster() {
    let http = ["--http=127.0.0.1:0"];
    let sea = sea().words("root", &http).cluster("vienna", &["fl-1"]).words("vienna", &http).start();
    sea.deploy(SHOP);
    let web = socket(&sea, "web/0").unwrap();
    let (_, who) = ask(&web, "GET", "/v1/identity", "").unwrap();
    let proof = token(&web, &format!("holm://{}", who["sea"].as_str().unwrap()));
    let addresses = [http_of(&sea, "root"), http_of(&sea, "vienna")];
    let call = |method: &str, path: &str| {
        addresses.each_ref().map(|address| {
            let stream = TcpStream::connect(address).expect("it listens");
            let headers = [&*format!("authorization: Bearer {proof}"), "content-type: application/json"];
            let answer = http::request(stream, method, &format!("/api/v1/{path}"), &headers, "{}");
            answer.expect("an answer").status
        })
    };
    let (project, application) = ("projects/default", "projects/default/applications/shop");
    wait_for("both know the instance", || (call("GET", "whoami") == [200, 200]).then_some(()));
    assert_eq!(call("GET", project), [403, 403]);
    sea.holm(&["project", "grant", "default", "admin", "--service", "shop/web"])
        .refused(1, &["viewer or operator"]);
    sea.holm(&["project", "grant", "default", "viewer", "--service", "shop/web"]).done();
    wait_for("both know the role", || (call("GET", project) == [200, 200]).then_some(()));
    assert!(sea.holm(&["project", "roles", "default"]).done().stdout.contains("service shop/web"));
    for (method, path) in [
        ("PATCH", application),
        ("DELETE", application),
        ("GET", "nodes"),
        ("GET", "people"),
        ("POST", "projects"),
        ("DELETE", "sessions/current"),
    ] {
        assert_eq!(call(method, path), [403, 403], "{method} {path}");
    }
    assert_eq!(call("GET", "projects/other"), [404, 404]);
    sea.holm(&["project", "withdraw", "default", "--service", "shop/web"]).done();
    wait_for("it is withdrawn at both", || (call("GET", project) == [403, 403]).then_some(()));

    // A token ends with its node, at once and at both.
    sea.holm(&["node", "revoke", "fl-1"]).done();
    wait_for("its node is void at both", || (call("GET", "whoami") == [401, 401]).then_some(()));
}
