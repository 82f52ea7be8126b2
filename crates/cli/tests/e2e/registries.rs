//! Images behind a login: Debian's `docker-registry` on loopback, and the engine that `HOLM_TEST_DOCKER` names.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};

use crate::harness::command::{command, run};
use crate::harness::{Sea, sea, wait_for};

const IMAGE: &str = "holm-test:1";
/// `holm:k4rotte`
const USERS: &str = "holm:$2y$05$dReRZdfVodSIDqb9HiHtNeYx7pM4Fgn6nsgREZ9NLCm43idZbRdGu\n";
const PASSWORD: &str = "k4rotte";

const PLAIN: &str = "holm-test:plain";

fn docker_at(engine: &str, words: &[&str]) -> std::process::Command {
    let mut call = command("docker");
    call.args(["-H", engine]).args(words);
    call
}

/// A registry with one image, and the engine's word on it.
struct Registry {
    child: Child,
    engine: String,
    /// As in `127.0.0.1:5000/private:1`; known to no engine.
    image: String,
}

// === impl Registry ===

impl Registry {
    /// Lets nobody in without a password.
    fn start(sea: &Sea, engine: &str) -> Self {
        let users = sea.file("registry-users", USERS);
        Self::with(
            sea,
            engine,
            "private",
            &format!("auth: {{ htpasswd: {{ realm: holm, path: {} }} }}\n", users.display()),
        )
    }

    /// Lets everybody in.
    fn open(sea: &Sea, engine: &str) -> Self {
        Self::with(sea, engine, "public", "")
    }

    fn with(sea: &Sea, engine: &str, name: &str, auth: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = format!(
            "version: 0.1\nlog: {{ accesslog: {{ disabled: true }} }}\nhttp: {{ addr: \"{address}\" }}\n\
             storage: {{ filesystem: {{ rootdirectory: {} }} }}\n{auth}",
            sea.path(&format!("registry-{name}")).display(),
        );
        let mut call = command("docker-registry");
        call.arg("serve")
            .arg(sea.file(&format!("registry-{name}.yml"), &text))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = call.spawn().expect("docker-registry starts");
        let registry = Self { child, engine: engine.to_owned(), image: format!("{address}/{name}:1") };
        wait_for("the registry listens", || TcpStream::connect(address).ok());
        registry.push(sea, address);
        registry
    }

    fn push(&self, sea: &Sea, address: SocketAddr) {
        let config = sea.path("docker-config");
        let docker = |words: &[&str], input: &str| {
            let mut call = command("docker");
            call.arg("--config").arg(&config).args(["-H", &self.engine]).args(words);
            run(call, input).done();
        };
        let server = address.to_string();
        if self.image.contains("private") {
            docker(&["login", "-u", "holm", "--password-stdin", &server], PASSWORD);
        }
        docker(&["tag", IMAGE, &self.image], "");
        docker(&["push", "-q", &self.image], "");
        self.forget();
    }

    /// Nobody answers there from now on.
    fn stop(&self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL).unwrap();
    }

    /// The engine has it no more.
    fn forget(&self) {
        let mut call = command("docker");
        call.args(["-H", &self.engine, "rmi", "-f", &self.image]).stderr(Stdio::null());
        run(call, "");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.forget();
        // Already ended, or ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn manifest(name: &str, image: &str, more: &str) -> String {
    format!(
        "holm: v1\napplication: {name}\nservices:\n  web:\n    runtime: container\n    image: {image}\n    \
         command: [sleep, \"1000\"]\n    stop: {{ grace: 1s }}\n{more}    \
         restart: {{ policy: on-failure, attempts: 2, backoff: 200ms..1s }}\n"
    )
}

#[test]
fn an_image_behind_a_login_is_pulled_with_it_only_needs_engine_needs_registry() {
    let engine = std::env::var("HOLM_TEST_DOCKER").expect("an engine");
    let socket = format!("--engine={}", engine.trim_start_matches("unix://"));
    let sea = sea().cluster("vienna", &["fl-1"]).words("fl-1", &[&socket]).start();
    let registry = Registry::start(&sea, &engine);
    let secret = |name: &str, user: &str, password: &str| {
        run(sea.call_at("root", &["secret", "set", name, "--registry-user", user]), password).done();
    };
    let fails = |name: &str, more: &str, words: &[&str]| {
        sea.apply(&manifest(name, &registry.image, more));
        let all = sea.until(name, "FAILED", |all| all.iter().any(|i| i.state == "FAILED"));
        assert!(words.iter().any(|word| all[0].reason.contains(word)), "{all:#?}");
        assert!(all[0].reason.contains(&registry.image), "{all:#?}");
        assert!(!all[0].reason.contains("guessed"), "{all:#?}");
    };
    fails("nobody", "", &["no basic auth credentials"]);
    secret("wrong", "holm", "guessed");
    fails("stranger", "    registry: wrong\n", &["unauthorized", "401"]);
    secret("pull", "holm", PASSWORD);
    sea.deploy(&manifest("known", &registry.image, "    registry: pull\n"));
    sea.running("known", 1);
    // That the node has it now gives it to no other project, until that has proved its own right.
    let red = |name: &str, more: &str| {
        let apply = sea.call_at("root", &["apply", "-p", "red", "-"]);
        run(apply, &manifest(name, &registry.image, more)).done();
    };
    sea.holm(&["project", "create", "red"]).done();
    red("foreign", "");
    let all = sea.until("foreign", "FAILED", |all| all.iter().any(|i| i.state == "FAILED"));
    assert!(all[0].reason.contains("pulled with a login of another project"), "{all:#?}");
    run(sea.call_at("root", &["secret", "set", "own", "-p", "red", "--registry-user", "holm"]), PASSWORD)
        .done();
    red("proved", "    registry: own\n");
    sea.running("proved", 1);
    // Nor does it when another registry gives the same image to anybody, or by its digest: what an engine has, it takes
    // without asking.
    let public = Registry::open(&sea, &engine);
    let digests = ["inspect", "--format", "{{join .RepoDigests \"\\n\"}}", &registry.image];
    let digests = run(docker_at(&engine, &digests), "").done().stdout;
    let repository = registry.image.trim_end_matches(":1");
    let digest = digests.lines().find(|name| name.starts_with(repository)).expect("a digest");
    sea.holm(&["project", "create", "blue"]).done();
    run(sea.call_at("root", &["apply", "-p", "blue", "-"]), &manifest("anybody", &public.image, "")).done();
    sea.running("anybody", 1);
    sea.holm(&["project", "create", "green"]).done();
    run(sea.call_at("root", &["apply", "-p", "green", "-"]), &manifest("sly", digest, "")).done();
    let all = sea.until("sly", "FAILED", |all| all.iter().any(|i| i.state == "FAILED"));
    assert!(all[0].reason.contains("pulled with a login of another project"), "{all:#?}");
    run(sea.call_at("root", &["secret", "set", "own", "-p", "green", "--registry-user", "holm"]), PASSWORD)
        .done();
    let honest = manifest("sly", digest, "    registry: own\n");
    run(sea.call_at("root", &["apply", "-p", "green", "-"]), &honest).done();
    sea.running("sly", 1);
    // A login that was wrong is mended by another value.
    secret("wrong", "holm", PASSWORD);
    sea.holm(&["restart", "stranger"]).done();
    sea.running("stranger", 1);
    // An image of this machine's own.
    let docker = |words: &[&str]| run(docker_at(&engine, words), "").done().line().to_owned();
    let made = docker(&["create", IMAGE, "true"]);
    docker(&["commit", "--change", "LABEL plain=1", &made, PLAIN]);
    docker(&["rm", &made]);
    // Once proved, it needs no registry; nor does what was never behind a login.
    registry.stop();
    for name in ["remembered", "plain"] {
        let image = if name == "plain" { PLAIN } else { &registry.image };
        sea.deploy(&manifest(name, image, ""));
        sea.running(name, 1);
    }
    for name in ["nobody", "stranger", "known", "remembered", "plain"] {
        sea.holm(&["delete", "application", name, "--wait"]).done();
    }
    docker(&["rmi", PLAIN]);
    for (project, name) in [("red", "foreign"), ("red", "proved"), ("blue", "anybody"), ("green", "sly")] {
        sea.holm(&["delete", "application", name, "-p", project, "--wait"]).done();
    }
}

#[test]
fn a_pulled_image_goes_with_its_decommissioned_node_and_others_stay_needs_engine_needs_registry() {
    let engine = std::env::var("HOLM_TEST_DOCKER").expect("an engine");
    let socket = format!("--engine={}", engine.trim_start_matches("unix://"));
    let sea = sea().node("fl-1").words("fl-1", &[&socket]).start();
    let registry = Registry::start(&sea, &engine);
    run(sea.call_at("root", &["secret", "set", "pull", "--registry-user", "holm"]), PASSWORD).done();
    wait_for("the node offers containers", || {
        sea.node("fl-1").runtimes.contains(&"container".to_owned()).then_some(())
    });
    sea.deploy(&manifest("box", &registry.image, "    registry: pull\n"));
    sea.running("box", 1);
    let there = |image: &str| {
        command("docker").args(["-H", &engine, "image", "inspect", image]).output().unwrap().status.success()
    };
    assert!(there(&registry.image), "it was pulled");
    let told = sea.holm(&["node", "decommission", "fl-1", "--force"]).done().stdout;
    assert!(told.contains(&registry.image) && !told.contains("LEFT THERE"), "{told}");
    assert!(!there(&registry.image) && there(IMAGE), "only what this node has pulled is gone");
    let audit = sea.holm(&["get", "audit", "-o", "json"]).done().stdout;
    assert!(audit.contains("node.wiped"), "{audit}");
}

#[test]
fn images_of_a_node_are_listed_with_those_who_use_them_and_go_when_nobody_does_needs_engine_needs_registry() {
    let engine = std::env::var("HOLM_TEST_DOCKER").expect("an engine");
    let socket = format!("--engine={}", engine.trim_start_matches("unix://"));
    let sea = sea().cluster("vienna", &["fl-1"]).words("fl-1", &[&socket]).start();
    let registry = Registry::open(&sea, &engine);
    wait_for("the node offers containers", || {
        sea.node("fl-1").runtimes.contains(&"container".to_owned()).then_some(())
    });
    sea.deploy(&manifest("box", &registry.image, ""));
    let images = || -> Vec<serde_json::Value> {
        let told: serde_json::Value = sea.holm(&["images", "--node", "fl-1", "-o", "json"]).done().json();
        told.as_array().expect("a list").clone()
    };
    let ours = || {
        let named = |image: &serde_json::Value| {
            image["names"].as_array().is_some_and(|names| names.iter().any(|name| *name == registry.image))
        };
        images().into_iter().find(named)
    };
    let image = ours().expect("it was pulled");
    assert_eq!((image["pulled"].as_bool(), &image["used_by"][0]), (Some(true), &"box/web/0".into()));
    assert!(image["size"].as_u64().is_some_and(|size| size > 1000), "{image}");
    let table = sea.holm(&["images"]).done().stdout;
    assert!(table.contains("box/web/0") && table.contains(&registry.image), "{table}");
    sea.holm(&["images", "rm", "fl-1", &registry.image]).refused(1, &["container"]);
    sea.holm(&["images", "rm", "fl-1", "nobody/has:this"]).refused(1, &["no such image is here"]);
    let prune = |words: &[&str]| {
        sea.holm(&[&["images", "prune", "fl-1"], words].concat()).done().stdout.contains(&registry.image)
    };
    assert!(!prune(&[]) && ours().is_some(), "it is used");
    sea.holm(&["delete", "application", "box", "--wait"]).done();
    assert!(!prune(&["--keep", "1"]) && ours().is_some(), "it is the newest");
    assert!(prune(&[]) && ours().is_none());
    let audit = sea.holm(&["get", "audit", "-o", "json"]).done().stdout;
    assert!(audit.contains("image.prune") && audit.contains("image.remove"), "{audit}");
}
