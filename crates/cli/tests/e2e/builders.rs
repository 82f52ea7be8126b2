//! Sources and Dockerfiles, built by the engines of nodes.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Sea, http, sea, wait_for};

/// An engine that has the tests' image.
fn engine(variable: &str) -> String {
    let engine = std::env::var(variable).expect("an engine");
    format!("--engine={}", engine.trim_start_matches("unix://"))
}

/// A directory with these files.
fn tree(sea: &Sea, name: &str, files: &[(&str, &str)]) -> String {
    let dir = sea.path(name);
    for (file, text) in files {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir.display().to_string()
}

fn build(sea: &Sea, words: &[&str]) -> Value {
    sea.holm(&[&["build", "-o", "json"], words].concat()).done().json()
}

fn ask(sea: &Sea, path: &str) -> Value {
    serde_json::from_str(&http::unix(&sea.socket("root"), "GET", path, &[], "").unwrap().body).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

const TREE: &str = "FROM holm-test:1\nCOPY hello /hello\nRUN tr a-z A-Z < /hello > /loud\nCMD [\"sh\", \"-c\", \
                    \"cat /loud; exec sleep 1000\"]\n";

fn sources_are_built_and_run_by(variable: &str) {
    let engine = engine(variable);
    let sea = sea()
        .cluster("vienna", &["fl-1", "fl-2"])
        .words("fl-1", &[&engine, "--capability=build/images"])
        .words("fl-2", &[&engine])
        .start();
    let name = format!("loud-{}", std::process::id());
    let dir = tree(
        &sea,
        "tree",
        &[("Dockerfile", TREE), ("hello", "good morning"), ("junk", "x"), (".dockerignore", "junk\n")],
    );

    let ran = sea.holm(&["build", "-o", "json", &dir, "--name", &name]).done();
    assert!(ran.stderr.contains("building on fl-1") && ran.stderr.contains("tr a-z A-Z"), "{ran:?}");
    let first: Value = ran.json();
    let part = &first["parts"][0];
    assert_eq!((&part["builder"], &part["cached"]), (&json!("fl-1"), &json!(false)), "{first}");
    assert_eq!(first["dockerfile"], json!(TREE));
    // The same files, whatever their times: nothing is built.
    fs::write(sea.path("tree/junk"), "y").unwrap();
    fs::write(sea.path("tree/hello"), "good morning").unwrap();
    let again = build(&sea, &[&dir, "--name", &name]);
    assert_eq!((&again["digest"], &again["parts"][0]["cached"]), (&first["digest"], &json!(true)), "{again}");
    let fresh = build(&sea, &[&dir, "--name", &name, "--fresh"]);
    assert_eq!(fresh["parts"][0]["cached"], json!(false));

    // Who built it from what is beside it.
    let list = ask(&sea, &format!("/v2/default/{name}/referrers/{}", text(&first["digest"])));
    let statement = text(&list["manifests"][0]["digest"]).to_owned();
    assert_eq!(list["manifests"][0]["artifactType"], json!("application/vnd.in-toto+json"), "{list}");
    let manifest = ask(&sea, &format!("/v2/default/{name}/manifests/{statement}"));
    let layer = text(&manifest["layers"][0]["digest"]).to_owned();
    let says = ask(&sea, &format!("/v2/default/{name}/blobs/{layer}"));
    let input = text(&part["input"]).trim_start_matches("sha256:").to_owned();
    let built = &says["predicate"]["buildDefinition"];
    assert_eq!(built["internalParameters"]["who"], json!("admin"), "{says}");
    assert_eq!(built["resolvedDependencies"][0]["digest"]["sha256"], json!(input), "{says}");
    assert_eq!(says["predicate"]["runDetails"]["builder"]["id"], json!("urn:holm:builder:fl-1"));
    // No tag of a build is left.
    let tags = ask(&sea, &format!("/v2/default/{name}/tags/list"));
    assert_eq!(tags["tags"], json!(["latest"]));

    // One image on top of another of this registry, which only the builder's token can pull; run where it was not built.
    let top = format!("FROM registry.holm/default/{name}\nRUN echo and good night >> /loud\n");
    let above = tree(&sea, "above", &[("Dockerfile", &top)]);
    let app = format!("{name}-above");
    sea.holm(&["deploy", &above, "--name", &app, "--to", "fl-2", "--wait"]).done();
    wait_for("what was built is said", || {
        let said = sea.holm(&["logs", &app]).stdout;
        (said.contains("GOOD MORNING") && said.contains("and good night")).then_some(())
    });
    sea.holm(&["delete", "application", &app, "--wait"]).done();

    // Files with a command that builds them.
    let plain = tree(&sea, "plain", &[("x.c", "int main;")]);
    let words =
        ["--name", "made", "--base", "holm-test:1", "--with", "cp x.c made", "--entrypoint", "/app/made"];
    let made = build(&sea, &[&[plain.as_str()], &words[..]].concat());
    assert!(text(&made["dockerfile"]).contains("RUN cp x.c made"), "{made}");
    assert_eq!(made["parts"][0]["entrypoint"], json!(["/app/made"]));

    // What does not build says where.
    let broken =
        tree(&sea, "broken", &[("Dockerfile", "FROM holm-test:1\n\nRUN echo so far; \\\n  exit 3\n")]);
    let failed = sea.holm(&["build", &broken, "--name", "broken"]);
    failed.refused(1, &["fl-1 could not build it", "Dockerfile:3: RUN echo so far", "| so far"]);
    let wrong = tree(&sea, "wrong", &[("Dockerfile", "FROM holm-test:1\nRUM x\n")]);
    sea.holm(&["build", &wrong]).refused(1, &["Dockerfile:2: there is no instruction `RUM`"]);
    let missing = tree(&sea, "missing", &[("Dockerfile", "FROM registry.holm/default/none\nRUN x\n")]);
    sea.holm(&["build", &missing]).refused(1, &["registry.holm/default/none"]);
    sea.holm(&["build", &dir, "--platform", "riscv64"])
        .refused(1, &["no node builds for linux/riscv64", "fl-1 is"]);
    let copies = tree(&sea, "copies", &[("Dockerfile", "FROM holm-test:1\nCOPY nothing /\n")]);
    sea.holm(&["build", &copies]).refused(1, &["Dockerfile:2: COPY nothing /"]);
}

/// What lies on a builder is not everybody's: a Dockerfile reads what its project may have.
fn nothing_of_other_projects_is_read_by_builds_of(variable: &str) {
    let engine = engine(variable);
    let sea =
        sea().cluster("vienna", &["fl-1"]).words("fl-1", &[&engine, "--capability=build/images"]).start();
    sea.holm(&["project", "create", "blue"]).done();
    let name = format!("plans-{}", std::process::id());
    let secret =
        tree(&sea, "secret", &[("Dockerfile", "FROM holm-test:1\nRUN echo of blue only > /plans\n")]);
    build(&sea, &[&secret, "--name", &name, "-p", "blue"]);

    let kept = format!("built.holm/blue/{name}:latest");
    let socket = Path::new(engine.trim_start_matches("--engine="));
    let ask =
        |method: &str, path: &str| http::unix(socket, method, &format!("/images/{path}"), &[], "").unwrap();
    let found: Value = serde_json::from_str(&ask("GET", &format!("{kept}/json")).body).unwrap();
    let id = text(&found["Id"]).trim_start_matches("sha256:").to_owned();
    let short = &id[..12];
    // Everybody's, by a name which is the end of the other's.
    let tagged = ask("POST", &format!("holm-test:1/tag?repo=docker.io/library/{name}&tag=latest"));
    assert_eq!(tagged.status, 201, "{tagged:?}");
    for (base, why) in [
        (format!("FROM {kept}\n"), "how a builder calls what it has built"),
        (format!("ARG B={kept}\nFROM $B\n"), "how a builder calls what it has built"),
        (format!("FROM sha256:{id}\n"), "take"),
        (format!("FROM {id}\n"), "id of an image"),
        (format!("FROM {short}\n"), "id of an image"),
        (format!("FROM {name}:latest\n"), "could not build it"),
        (format!("FROM holm-test:1\nCOPY --from={name} /plans /plans\n"), "could not build it"),
        (
            format!("FROM holm-test:1\nRUN --mount=type=bind,from={kept},target=/x cp /x/plans /\n"),
            "`--mount`",
        ),
    ] {
        let text = format!("{base}RUN cat /plans\n");
        let dir = tree(&sea, "thief", &[("Dockerfile", &text)]);
        let failed = sea.holm(&["build", &dir, "--name", "thief"]).refused(1, &[why]);
        assert!(!format!("{failed:?}").contains("of blue only"), "{text}: {failed:?}");
    }
    // An image that has others read when something is built on it.
    let trap = format!("FROM holm-test:1\nONBUILD COPY --from={name} /plans /plans\n");
    let trap = tree(&sea, "trap", &[("Dockerfile", &trap)]);
    build(&sea, &[&trap, "--name", "trap"]);
    let dir = tree(&sea, "thief", &[("Dockerfile", "FROM registry.holm/default/trap\nRUN cat /plans\n")]);
    sea.holm(&["build", &dir, "--name", "thief"]).refused(1, &["ONBUILD COPY --from"]);
    ask("DELETE", &format!("docker.io/library/{name}:latest"));
    // Nor is it run by its id or its name there.
    for image in [&kept, &id] {
        sea.apply(&format!(
            "holm: v1\napplication: thief\nservices:\n  a: {{ runtime: container, image: \"{image}\" }}\n"
        ));
        sea.until("thief", "a reason", |all| {
            let refused = ["how a builder calls", "id of an image"];
            all.iter().any(|one| refused.iter().any(|why| one.reason.contains(why)))
        });
        sea.holm(&["delete", "application", "thief", "--wait"]).done();
    }
    // Whose it is builds on it, by its name in the registry.
    let above = format!("FROM registry.holm/blue/{name}\nRUN cat /plans\n");
    let above = tree(&sea, "above", &[("Dockerfile", &above)]);
    let ran = sea.holm(&["build", &above, "--name", "above", "-p", "blue"]).done();
    assert!(ran.stderr.contains("of blue only"), "{ran:?}");
}

#[test]
fn docker_reads_nothing_of_other_projects_needs_engine() {
    nothing_of_other_projects_is_read_by_builds_of("HOLM_TEST_DOCKER");
}

#[test]
fn podman_reads_nothing_of_other_projects_needs_podman() {
    nothing_of_other_projects_is_read_by_builds_of("HOLM_TEST_PODMAN");
}

#[test]
fn docker_builds_sources_needs_engine() {
    sources_are_built_and_run_by("HOLM_TEST_DOCKER");
}

#[test]
fn podman_builds_sources_needs_podman() {
    sources_are_built_and_run_by("HOLM_TEST_PODMAN");
}

#[test]
fn nobody_builds_unless_an_operator_says_so() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    let dir = tree(&sea, "tree", &[("Dockerfile", TREE), ("hello", "x")]);
    sea.holm(&["build", &dir]).refused(1, &["no node builds images", "holm node capability add"]);
    let shown = sea.holm(&["build", &dir, "--dockerfile"]).done().stdout;
    assert_eq!(shown, TREE);
    let python = tree(&sea, "python", &[("main.py", "print(1)"), ("requirements.txt", "")]);
    let shown = sea.holm(&["build", &python, "--dockerfile"]).done().stdout;
    assert!(
        shown.starts_with("FROM python:3-slim\n") && shown.contains("CMD [\"python3\", \"main.py\"]"),
        "{shown}"
    );
    let program =
        sea.holm(&["build", "/bin/busybox", "--name", "box", "--port", "80", "--dockerfile"]).done().stdout;
    assert!(
        program.contains("FROM scratch\nCOPY --chmod=755 busybox /app/box\nEXPOSE 80/tcp\n"),
        "{program}"
    );
}
