//! The registry that an orchestrator carries, with programs of others: skopeo, and engines.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use holm_registry::Digest;
use serde_json::{Value, json};

use crate::harness::command::{Ran, command, run};
use crate::harness::disk::Disk;
use crate::harness::http::{self, Response};
use crate::harness::{LIMIT, Sea, sea, wait_for};
use crate::people_login::{PASSWORD, Person};

/// A directory that skopeo takes for an image of one layer.
fn layout(sea: &Sea, name: &str, layer: &[u8]) -> PathBuf {
    let dir = sea.path(name);
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let keep = |bytes: &[u8], kind: &str| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        json!({ "mediaType": kind, "digest": digest.to_string(), "size": bytes.len() })
    };
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(layer).to_string()] },
    });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": keep(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json"),
        "layers": [keep(layer, "application/vnd.oci.image.layer.v1.tar")],
    });
    let mut entry = keep(manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json");
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": "1" });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });
    fs::write(dir.join("index.json"), index.to_string()).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    dir
}

fn skopeo(words: &[&str]) -> Ran {
    let mut call = command("skopeo");
    call.arg("--insecure-policy").args(words);
    run(call, "")
}

fn push(sea: &Sea, dir: &Path, image: &str, token: &str) -> Ran {
    let to = format!("docker://{}/{image}", sea.address("root"));
    let from = format!("oci:{}:1", dir.display());
    let who = format!("--dest-creds=ci:{token}");
    skopeo(&["copy", "--preserve-digests", "--dest-tls-verify=false", &who, &from, &to])
}

fn inspect(sea: &Sea, image: &str, token: &str) -> Ran {
    let from = format!("docker://{}/{image}", sea.address("root"));
    skopeo(&["inspect", "--tls-verify=false", &format!("--creds=x:{token}"), &from])
}

fn token(sea: &Sea, role: &str, project: &str) -> String {
    let words = ["token", "create", "--role", role, "--project", project];
    sea.holm(&words).done().line().to_owned()
}

fn ask(sea: &Sea, method: &str, path: &str, headers: &[&str], body: &str) -> Option<Response> {
    http::unix(&sea.socket("root"), method, path, headers, body)
}

#[test]
fn images_are_pushed_and_pulled_as_roles_allow_needs_skopeo() {
    let mut sea = sea().start();
    for project in ["red", "blue"] {
        sea.holm(&["project", "create", project]).done();
    }
    let (operator, viewer) = (token(&sea, "operator", "red"), token(&sea, "viewer", "red"));
    let stranger = token(&sea, "admin", "blue");
    let dir = layout(&sea, "image", &[7; 300_000]);
    push(&sea, &dir, "red/web:1", &operator).done();
    inspect(&sea, "red/web:1", &viewer).done();
    let back = sea.path("back");
    let to = format!("oci:{}:1", back.display());
    let from = format!("docker://{}/red/web:1", sea.address("root"));
    skopeo(&[
        "copy",
        "--preserve-digests",
        "--src-tls-verify=false",
        &format!("--src-creds=x:{viewer}"),
        &from,
        &to,
    ])
    .done();
    let layer = Digest::of(&[7; 300_000]).hex();
    assert_eq!(fs::read(back.join("blobs/sha256").join(layer)).unwrap(), vec![7; 300_000]);

    // Reading is not writing, and another project is as good as none.
    push(&sea, &dir, "red/web:2", &viewer).refused(1, &["you may not push images of the project red"]);
    inspect(&sea, "red/web:1", &stranger).refused(1, &["you may not pull images of the project red"]);
    push(&sea, &dir, "green/web:1", &operator).refused(1, &["403"]);
    inspect(&sea, "red/web:1", "wrong").refused(1, &["unauthorized"]);
    let everyone = sea.holm(&["token", "create", "--role", "admin"]).done().line().to_owned();
    push(&sea, &dir, "green/web:1", &everyone).refused(1, &["403"]);

    let deletes = format!("docker://{}/red/web:1", sea.address("root"));
    skopeo(&["delete", "--tls-verify=false", &format!("--creds=x:{operator}"), &deletes]).done();
    inspect(&sea, "red/web:1", &viewer).refused(1, &["manifest"]);
    let audit = || sea.holm(&["audit", "-o", "json"]).done().stdout;
    wait_for("both changes are written down", || {
        let audit = audit();
        (audit.contains("registry.push") && audit.contains("registry.delete")).then_some(())
    });
    assert!(audit().contains("image red/web:1@sha256:"), "{}", audit());
    sea.kill("root");
    sea.start("root");
    push(&sea, &dir, "red/web:1", &operator).done();
}

#[test]
fn a_person_logs_in_with_the_password_and_a_void_token_ends_needs_skopeo() {
    let sea = sea().start();
    let ada = Person::first(&sea, "ada");
    let made = ada.holm(&["person", "create", "ann", "-p", "default=operator"]).done();
    let first = made.line().to_owned();
    let dir = layout(&sea, "image", b"layer");
    let to = format!("docker://{}/default/web:1", sea.address("root"));
    let from = format!("oci:{}:1", dir.display());
    let push = |who: &str| {
        skopeo(&[
            "copy",
            "--preserve-digests",
            "--dest-tls-verify=false",
            &format!("--dest-creds={who}"),
            &from,
            &to,
        ])
    };
    push(&format!("ann:{first}")).refused(1, &["403"]);
    let ann = Person::new(&sea, "ann");
    ann.log_in(&sea, "ann", &format!("{first}\n{PASSWORD}\n")).done();
    push(&format!("ann:{PASSWORD}")).done();
    push("ann:wrong horse battery").refused(1, &["unauthorized"]);
    // What was remembered of the password ends with her.
    ada.holm(&["person", "delete", "ann"]).done();
    push(&format!("ann:{PASSWORD}")).refused(1, &["unauthorized"]);
    let made = sea.holm(&["token", "create", "--role", "operator", "-o", "json"]).done();
    let made: Value = made.json();
    let text = made["token"].as_str().unwrap().to_owned();
    push(&format!("ci:{text}")).done();
    sea.holm(&["token", "revoke", made["id"].as_str().unwrap()]).done();
    push(&format!("ci:{text}")).refused(1, &["unauthorized"]);
}

#[test]
fn a_push_that_the_root_did_not_survive_goes_on_where_it_was_acknowledged() {
    let mut sea = sea().start();
    let begun = ask(&sea, "POST", "/v2/default/web/blobs/uploads/", &[], "").unwrap();
    assert_eq!(begun.status, 202, "{begun:?}");
    let place = |answer: &Response| {
        let line = answer.head.lines().find(|line| line.starts_with("location: ")).unwrap();
        line.trim_start_matches("location: ").to_owned()
    };
    let upload = place(&begun);
    let whole: String = "0123456789abcdef".repeat(200_000);
    let (first, rest) = whole.split_at(1_500_000);
    let sent = ask(&sea, "PATCH", &upload, &[], first).unwrap();
    assert!(sent.status == 202 && sent.head.contains("range: 0-1499999"), "{sent:?}");
    // A second piece is on its way when the root is killed.
    let mut stream = UnixStream::connect(sea.socket("root")).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let head = format!(
        "PATCH {upload} HTTP/1.1\r\nhost: holm.localhost\r\ncontent-length: {}\r\n\r\n{}",
        rest.len(),
        &rest[..400_000]
    );
    stream.write_all(head.as_bytes()).unwrap();
    sea.kill("root");
    sea.start("root");
    let status = ask(&sea, "GET", &upload, &[], "").unwrap();
    let range = status.head.lines().find_map(|line| line.strip_prefix("range: 0-")).unwrap().to_owned();
    let at = range.trim().parse::<usize>().unwrap() + 1;
    assert!((1_500_000..=1_900_000).contains(&at), "{status:?}");
    let digest = Digest::of(whole.as_bytes());
    let from = format!("content-range: {at}-{}", whole.len() - 1);
    let done = ask(&sea, "PUT", &format!("{upload}?digest={digest}"), &[&from], &whole[at..]).unwrap();
    assert_eq!(done.status, 201, "{done:?}");
    let blob = format!("/v2/default/web/blobs/{digest}");
    sea.kill("root");
    sea.start("root");
    assert!(ask(&sea, "GET", &blob, &[], "").unwrap().body == whole, "what was acknowledged is there");
}

#[test]
fn a_full_disk_refuses_images_and_keeps_nothing_half_needs_root() {
    let disk = Disk::mount("420m");
    let sea = sea().data_dir("root", &disk.path().join("root")).start();
    let small = "x".repeat(100_000);
    let push = |body: &str| {
        let path = format!("/v2/default/web/blobs/uploads/?digest={}", Digest::of(body.as_bytes()));
        ask(&sea, "POST", &path, &[], body).unwrap()
    };
    assert_eq!(push(&small).status, 201);
    // What the registry leaves free is below its reserve now.
    disk.take(200);
    let refused = push(&"y".repeat(100_000));
    assert!(refused.status == 507 && refused.body.contains("DISK_FULL"), "{refused:?}");
    let uploads = sea.data("root").join("registry/uploads");
    assert_eq!(fs::read_dir(uploads).unwrap().count(), 0);
    // The orchestrator itself has room to go on.
    sea.holm(&["project", "create", "red"]).done();
    disk.free();
    assert_eq!(push(&"y".repeat(100_000)).status, 201);
}

const BASE: &str = "holm-test:1";

/// An engine, and the words by which it is called.
struct Engine {
    words: Vec<String>,
    socket: String,
}

impl Engine {
    fn docker(sea: &Sea) -> Self {
        let url = std::env::var("HOLM_TEST_DOCKER").expect("an engine");
        let config = sea.path("docker-config").display().to_string();
        Self::new(&["docker", "--config", &config, "-H", &url], &url)
    }

    fn podman() -> Self {
        let url = std::env::var("HOLM_TEST_PODMAN").expect("an engine");
        Self::new(&["podman", "--remote", "--url", &url], &url)
    }

    fn new(words: &[&str], url: &str) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { words, socket: url.trim_start_matches("unix://").to_owned() }
    }

    fn call(&self, words: &[&str], input: &str) -> Ran {
        let mut call = command(&self.words[0]);
        call.args(&self.words[1..]).args(words);
        run(call, input)
    }

    /// Builds an image with a file of its own and pushes it as people do; the engine has it no more.
    fn push(&self, sea: &Sea, address: &str, image: &str, said: &str, more: &[&str]) {
        let dir = sea.path("build");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("said"), said).unwrap();
        fs::write(dir.join("Dockerfile"), format!("FROM {BASE}\nCOPY said /said\n")).unwrap();
        let token = sea.holm(&["token", "create", "--role", "operator"]).done().line().to_owned();
        let to = format!("{address}/{image}");
        self.call(&["build", "-q", "-t", &to, dir.to_str().unwrap()], "").done();
        self.call(&[&["login"], more, &["-u", "ci", "--password-stdin", address]].concat(), &token).done();
        self.call(&[&["push"], more, &[&*to]].concat(), "").done();
        self.call(&["rmi", &to], "").done();
    }
}

fn runs(name: &str, image: &str) -> String {
    format!(
        "holm: v1\napplication: {name}\nservices:\n  web:\n    runtime: container\n    image: {image}\n    \
         command: [sh, -c, 'cat /said; sleep 1000']\n    stop: {{ grace: 1s }}\n    \
         restart: {{ policy: on-failure, attempts: 1, backoff: 200ms..1s }}\n"
    )
}

/// Pushed to the root, an image runs on a node of a cluster, and nobody gave that node a password.
fn images_of_our_own_run(engine: impl FnOnce(&Sea) -> Engine, url: &str, more: &[&str]) {
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let socket = std::env::var(url).expect("an engine");
    let words = format!("--engine={}", socket.trim_start_matches("unix://"));
    let mut sea = sea()
        .words("root", &["--http", &plain])
        .cluster("vienna", &["fl-1"])
        .words("fl-1", &[&words])
        .start();
    let engine = engine(&sea);
    assert!(words.ends_with(&engine.socket));
    let name = format!("default/own-{}", std::process::id());
    engine.push(&sea, &plain, &format!("{name}:1"), "one\n", more);
    sea.holm(&["project", "create", "red"]).done();
    sea.deploy(&runs("web", &format!("registry.holm/{name}:1")));
    sea.running("web", 1);
    let said = |app: &str, word: &str| {
        wait_for(word, || sea.holm(&["logs", app]).stdout.contains(word).then_some(()));
    };
    said("web", "one");
    // By its digest, as well; and from the cache of the cluster when the root is away.
    let found = ask(&sea, "HEAD", &format!("/v2/{name}/manifests/1"), &[], "").unwrap();
    let digest = found.head.lines().find_map(|line| line.strip_prefix("docker-content-digest: ")).unwrap();
    let exact = format!("registry.holm/{name}@{digest}");
    sea.deploy(&runs("exact", &exact));
    sea.running("exact", 1);
    said("exact", "one");
    // Another project is refused what this one has, though it lies on the node already.
    let theirs = sea.file("theirs.yaml", &runs("theirs", &exact));
    let words = ["apply", theirs.to_str().unwrap(), "-p", "red", "--wait"];
    sea.holm(&words).refused(1, &["it belongs to the project default"]);
    for app in ["web", "exact"] {
        sea.holm(&["delete", "application", app]).done();
    }
    sea.holm(&["-p", "red", "delete", "application", "theirs"]);
    wait_for("nothing runs", || sea.instances("web").is_empty().then_some(()));
    sea.kill("root");
    for name in [format!("registry.holm/{name}:1"), exact.replace("@sha256:", ":sha256-")] {
        engine.call(&["rmi", "-f", &name], "");
    }
}

#[test]
fn images_pushed_by_docker_run_where_nobody_logged_in_needs_engine() {
    images_of_our_own_run(Engine::docker, "HOLM_TEST_DOCKER", &[]);
}

#[test]
fn images_pushed_by_podman_run_where_nobody_logged_in_needs_podman() {
    images_of_our_own_run(|_| Engine::podman(), "HOLM_TEST_PODMAN", &["--tls-verify=false"]);
}
