//! From a file to an image, and to running instances.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::command::{command, run};
use crate::harness::{Sea, http, sea, wait_for};

/// Debian's busybox is static: a program that needs nothing.
const STATIC: &str = "/bin/busybox";

fn manifest_of(sea: &Sea, image: &str) -> Value {
    let (name, digest) = image.trim_start_matches("registry.holm/").split_once('@').unwrap();
    let path = format!("/v2/{name}/manifests/{digest}");
    serde_json::from_str(&http::unix(&sea.socket("root"), "GET", &path, &[], "").unwrap().body).unwrap()
}

fn config_of(sea: &Sea, image: &str) -> Value {
    let name = image.trim_start_matches("registry.holm/").split_once('@').unwrap().0.to_owned();
    let digest = manifest_of(sea, image)["config"]["digest"].as_str().unwrap().to_owned();
    let path = format!("/v2/{name}/blobs/{digest}");
    serde_json::from_str(&http::unix(&sea.socket("root"), "GET", &path, &[], "").unwrap().body).unwrap()
}

fn build(sea: &Sea, words: &[&str]) -> Value {
    sea.holm(&[&["build", "-o", "json"], words].concat()).done().json()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn a_file_becomes_an_image_without_an_engine_and_the_same_file_the_same_image() {
    let sea = sea().start();
    let own = build(&sea, &[STATIC, "--name", "box", "--port", "80", "--env", "MODE=fast"]);
    let image = text(&own["image"]).to_owned();
    assert!(image.starts_with("registry.holm/default/box@sha256:"), "{own}");
    assert_eq!(
        build(&sea, &[STATIC, "--name", "box", "--port", "80", "--env", "MODE=fast"])["image"],
        own["image"]
    );
    let config = config_of(&sea, &image);
    assert_eq!(config["config"]["Entrypoint"], json!(["/app/box"]));
    assert_eq!((&config["config"]["User"], &config["os"]), (&json!("65534:65534"), &json!("linux")));
    assert_eq!(config["config"]["ExposedPorts"], json!({ "80/tcp": {} }));
    assert_eq!(config["config"]["Labels"]["io.holm.build.input"], own["parts"][0]["input"]);

    // On top of it: a script, whose layer is all that is new.
    let script = sea.file("hello.sh", "#!/app/box sh\necho hello\n").display().to_string();
    sea.holm(&["build", &script]).refused(1, &["a script for /app/box sh", "base"]);
    let on_top = build(&sea, &[&script, "--base", "default/box"]);
    let layers = |image: &str| manifest_of(&sea, image)["layers"].as_array().unwrap().clone();
    let (below, above) = (layers(&image), layers(text(&on_top["image"])));
    assert_eq!((above.len(), &above[0]), (2, &below[0]));
    assert_eq!(config_of(&sea, text(&on_top["image"]))["config"]["Env"], json!(["MODE=fast"]));

    let audit = sea.holm(&["audit", "-o", "json"]).done().stdout;
    assert!(audit.contains("\"build\"") && audit.contains("image default/box@sha256:"), "{audit}");
}

/// The header of a program for another machine is enough to be one.
fn program_for(sea: &Sea, name: &str, machine: u16) -> String {
    let mut bytes = fs::read(STATIC).unwrap();
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    let path = sea.path(name);
    fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

#[test]
fn programs_for_several_machines_become_one_image() {
    let sea = sea().start();
    let arm = program_for(&sea, "box-arm64", 183);
    let both = build(&sea, &[STATIC, &arm, "--name", "box"]);
    let index = manifest_of(&sea, text(&both["image"]));
    let mut machines: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| text(&one["platform"]["architecture"]))
        .collect();
    machines.sort_unstable();
    assert_eq!(machines, ["amd64", "arm64"]);
    sea.holm(&["build", STATIC, STATIC, "--name", "box"])
        .refused(1, &["two of the files are for linux/amd64"]);
}

#[test]
fn what_cannot_become_an_image_says_why_and_leaves_nothing() {
    let sea = sea().start();
    let file = |name: &str, text: &str| sea.file(name, text).display().to_string();
    sea.holm(&["build", &file("notes.txt", "some notes")]).refused(1, &["the text \"some notes\"", "ELF"]);
    sea.holm(&["build", &file("Dockerfile", "FROM scratch\n")]).refused(1, &["no node builds images"]);
    sea.holm(&["build", STATIC, "--name", "Ä"]).refused(1, &["repository"]);
    sea.holm(&["build", STATIC, "--name", "x", "--base", "python:3"]).refused(1, &["another registry"]);
    sea.holm(&["build", STATIC, "--name", "x", "--platform", "arm64"])
        .refused(1, &["none of the files is for linux/arm64"]);
    sea.holm(&["build", STATIC, "--platform", "vax"]).refused(2, &["`vax` is no platform"]);
    sea.holm(&["build", STATIC, "--base", "default/none"]).refused(1, &["the base", "has no manifest"]);
    sea.holm(&["build", STATIC, "-p", "none"]).refused(1, &["no project `none`"]);
    // A program that says it is for another machine than its base.
    sea.holm(&["build", STATIC, "--name", "box"]).done();
    let arm = program_for(&sea, "arm", 183);
    sea.holm(&["build", &arm, "--base", "default/box"]).refused(1, &["linux/arm64", "linux/amd64"]);
    // What a stranger sends by hand: a form with an archive that leaves its directory.
    let tar = sea.path("evil.tar");
    run(tar_call(&sea, &tar), "").done();
    let tar = tar.display().to_string();
    sea.holm(&["build", &tar, "--name", "evil", "--base", "default/box"]).refused(1, &["outside"]);
    let ask = |headers: &[&str], body: &str| {
        http::unix(&sea.socket("root"), "POST", "/api/v1/projects/default/builds", headers, body).unwrap()
    };
    assert_eq!(ask(&["content-type: text/plain"], "x").status, 415);
    let form = "content-type: multipart/form-data; boundary=b";
    assert_eq!(ask(&[form], "--b\r\n").status, 400);
    let field = "--b\r\nContent-Disposition: form-data; name=\"device\"\r\n\r\nx\r\n--b--\r\n";
    assert!(ask(&[form], field).body.contains("none of: file, name"));
    assert!(ask(&[form], "--b--\r\n").body.contains("no field `file`"));
    let temp = sea.data("root").join("registry/temp");
    assert_eq!(fs::read_dir(temp).unwrap().count(), 0);
    let tags = http::unix(&sea.socket("root"), "GET", "/v2/default/evil/tags/list", &[], "").unwrap();
    assert_eq!(tags.status, 404, "{tags:?}");
}

fn tar_call(sea: &Sea, tar: &std::path::Path) -> std::process::Command {
    fs::write(sea.path("inside"), "x").unwrap();
    let mut call = command("tar");
    call.arg("-cf").arg(tar).arg("-C").arg(sea.path("")).args(["--transform", "s,^,../,", "-P", "inside"]);
    call
}

/// A token that may change applications, in a file that only curl reads.
fn with_token(sea: &Sea, role: &str) -> PathBuf {
    with_token_for(sea, role, &[])
}

fn with_token_for(sea: &Sea, role: &str, what: &[&str]) -> PathBuf {
    let words = [&["token", "create", "--role", role], what].concat();
    let token = sea.holm(&words).done().line().to_owned();
    sea.file(&format!("curl-{role}-{}", what.len()), &format!("user = \"ci:{token}\"\ninsecure\nsilent\n"))
}

#[test]
fn one_curl_builds_an_image_if_the_role_allows_needs_curl() {
    let sea = sea().start();
    let address = sea.address("root").to_owned();
    let curl = |role: &str| {
        let mut call = command("curl");
        call.arg("--config").arg(with_token(&sea, role));
        call.args(["-F", &format!("file=@{STATIC}"), "-F", "name=box"]);
        call.arg(format!("https://{address}/api/v1/projects/default/builds"));
        run(call, "").done().json::<Value>()
    };
    assert!(text(&curl("operator")["image"]).starts_with("registry.holm/default/box@"));
    assert_eq!(curl("viewer")["status"], json!(403));
}

#[test]
fn a_program_for_another_machine_is_refused_before_it_is_sent() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    let other = program_for(&sea, "riscv", 243);
    sea.holm(&["deploy", &other, "--name", "box", "--to", "fl-1"])
        .refused(1, &["fl-1", "linux/riscv64", "nothing was sent"]);
    sea.holm(&["deploy", STATIC, "--name", "box", "--to", "fl-9"]).refused(1, &["no node `fl-9`"]);
    let list = http::unix(&sea.socket("root"), "GET", "/v2/default/box/tags/list", &[], "").unwrap();
    assert_eq!(list.status, 404);
}

#[test]
fn a_file_is_deployed_to_nodes_and_again_by_the_new_file_alone_needs_engine() {
    let engine = std::env::var("HOLM_TEST_DOCKER").expect("an engine");
    let socket = format!("--engine={}", engine.trim_start_matches("unix://"));
    let sea = sea()
        .cluster("vienna", &["fl-1", "fl-2"])
        .words("fl-1", &[&socket])
        .words("fl-2", &[&socket])
        .start();
    let name = format!("hello-{}", std::process::id());
    sea.holm(&["build", STATIC, "--name", "busybox"]).done();
    let script = |said: &str| {
        let text = format!(
            "#!/app/busybox sh\necho {said}; trap exit TERM; while :; do /app/busybox sleep 1; done\n"
        );
        sea.file("hello.sh", &text).display().to_string()
    };
    let words = ["--name", &name, "--base", "default/busybox", "--wait"];
    let one = script("one");
    let said = sea.holm(&[&["deploy", &one, "--to", "fl-1,fl-2"], &words[..]].concat()).done();
    assert!(said.stdout.contains("generation 1") && said.stdout.contains(", start "), "{said:?}");
    sea.running(&name, 2);
    let says = |word: &str| {
        wait_for(word, || sea.holm(&["logs", &name]).stdout.contains(word).then_some(()));
    };
    says("one");
    // The new file only: it stays on both nodes.
    sea.holm(&[&["deploy", &script("two")], &words[..]].concat()).done();
    says("two");
    let nodes: Vec<_> = sea.running(&name, 2).into_iter().map(|instance| instance.node).collect();
    assert_eq!(nodes.iter().collect::<std::collections::BTreeSet<_>>().len(), 2, "{nodes:?}");
    // A program that does not start is a failure of the command.
    let broken = sea.file("hello.sh", "#!/app/none\n").display().to_string();
    let failed = sea.holm(&["deploy", &broken, "--name", &name, "--base", "default/busybox", "--wait=60s"]);
    assert_ne!(failed.code, 0, "{failed:?}");
    sea.holm(&["delete", "application", &name, "--wait"]).done();
}

#[test]
fn one_curl_deploys_and_the_new_file_alone_the_next_time_needs_curl_needs_engine() {
    let engine = std::env::var("HOLM_TEST_DOCKER").expect("an engine");
    let socket = format!("--engine={}", engine.trim_start_matches("unix://"));
    let sea = sea().cluster("vienna", &["fl-1"]).words("fl-1", &[&socket]).start();
    let name = format!("curled-{}", std::process::id());
    sea.holm(&["build", STATIC, "--name", "busybox"]).done();
    let address = sea.address("root").to_owned();
    let script = |said: &str| {
        let text = format!(
            "#!/app/busybox sh\necho {said}; trap exit TERM; while :; do /app/busybox sleep 1; done\n"
        );
        sea.file("hello.sh", &text).display().to_string()
    };
    // A pipeline's token deploys this application, and nothing else.
    let own = ["-p", "default", "--application", &name, "--verb", "read,logs,apply"];
    let own = with_token_for(&sea, "operator", &own);
    let curl = |role: &str, fields: &[&str]| -> Value {
        let mut call = command("curl");
        call.arg("--config").arg(if role == "pipeline" { own.clone() } else { with_token(&sea, role) });
        for field in fields {
            call.args(["-F", field]);
        }
        call.arg(format!("https://{address}/api/v1/deploy"));
        run(call, "").done().json()
    };
    let (file, called) = (format!("file=@{}", script("one")), format!("name={name}"));
    let based = ["base=default/busybox", "wait=60s"];
    let first = [&[file.as_str(), &called, "device=fl-1"], &based[..]].concat();
    assert_eq!(curl("viewer", &first)["status"], json!(403));
    let done = curl("operator", &first);
    assert_eq!((&done["running"], &done["generation"]), (&json!(true), &json!(1)), "{done}");
    let phases: Vec<_> =
        done["phases"].as_array().unwrap().iter().map(|phase| text(&phase["name"])).collect();
    assert_eq!(phases, ["build", "apply", "place", "pull", "start"]);
    // They stay with the deployment.
    let path = format!("/api/v1/projects/default/applications/{name}/generations/1");
    let kept: Value =
        serde_json::from_str(&http::unix(&sea.socket("root"), "GET", &path, &[], "").unwrap().body).unwrap();
    assert_eq!(kept["phases"], done["phases"]);
    let audit = sea.holm(&["audit", "-o", "json"]).done().stdout;
    assert!(audit.contains(&format!("application default/{name}, generation 1: build ")), "{audit}");

    let file = format!("file=@{}", script("two"));
    let again = curl("pipeline", &[&[file.as_str(), &called], &based[..]].concat());
    assert_eq!(again["generation"], json!(2), "{again}");
    wait_for("what is new is said", || sea.holm(&["logs", &name]).stdout.contains("two").then_some(()));
    // The same file after somebody has scaled it: as many as they said, and it runs.
    let many = format!("{name}-many");
    let called_so = format!("name={many}");
    let words = [&[file.as_str(), &called_so], &based[..]].concat();
    curl("operator", &words);
    sea.holm(&["scale", &format!("{many}/{many}"), "2"]).done();
    sea.running(&many, 2);
    let same = curl("operator", &words);
    assert_eq!(same["running"], json!(true), "{same}");
    sea.running(&many, 2);
    sea.holm(&["delete", "application", &many, "--wait"]).done();
    let other = curl("pipeline", &[&[file.as_str(), "name=other"], &based[..]].concat());
    assert!(text(&other["detail"]).contains("`apply` for `other` in project `default`"), "{other}");
    let unknown = curl("operator", &[file.as_str(), &called, "device=fl-9"]);
    assert!(text(&unknown["detail"]).contains("no node `fl-9`"), "{unknown}");
    let other = format!("file=@{}", program_for(&sea, "riscv", 243));
    let unfit = curl("operator", &[&other, &called, "device=fl-1"]);
    assert!(text(&unfit["detail"]).contains("the node fl-1 is "), "{unfit}");
    sea.holm(&["delete", "application", &name, "--wait"]).done();
}
