//! Programs and images for arm64, on a machine that emulates it.

use std::fs;

use serde_json::{Value, json};

use crate::harness::command::{command, run};
use crate::harness::{Sea, http, sea, wait_for};

/// Says on which machine it runs; with `build` to a file, and with `serve` what stands in that, again and again.
const PROGRAM: &str = r#"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
int main(int count, char **words) {
    struct utsname is;
    uname(&is);
    signal(SIGTERM, _Exit);
    if (count > 1 && !strcmp(words[1], "build")) {
        FILE *file = fopen("/made", "w");
        return !file || fprintf(file, "made on %s", is.machine) < 0 || fclose(file);
    }
    char made[64] = "nothing made";
    FILE *file = fopen("/made", "r");
    if (file && !fgets(made, sizeof made, file)) return 1;
    for (;;) {
        printf("runs on %s, %s\n", is.machine, made);
        fflush(stdout);
        sleep(1);
    }
}
"#;

fn compiled(sea: &Sea, compiler: &str) -> String {
    let source = sea.file("program.c", PROGRAM);
    let program = sea.path(&format!("program-{compiler}"));
    let mut call = command(compiler);
    call.args(["-static", "-O1", "-o"]).arg(&program).arg(&source);
    run(call, "").done();
    program.display().to_string()
}

fn says(sea: &Sea, name: &str, words: &str) {
    wait_for(words, || sea.holm(&["logs", name]).stdout.contains(words).then_some(()));
}

fn programs_for_another_machine_are_built_shipped_and_run_by(variable: &str) {
    let engine = std::env::var(variable).expect("an engine");
    let engine = format!("--engine={}", engine.trim_start_matches("unix://"));
    let sea =
        sea().cluster("vienna", &["fl-1"]).words("fl-1", &[&engine, "--capability=build/images"]).start();
    wait_for("the node sees its emulator", || {
        let shown = sea.holm(&["get", "nodes", "-o", "json"]).done().stdout;
        shown.contains("\"emulation/arm64\"").then_some(())
    });
    let own = compiled(&sea, "cc");
    let arm = compiled(&sea, "aarch64-linux-gnu-gcc");
    let name = format!("arm-{}", std::process::id());

    // A static program alone.
    let ran = sea.holm(&["deploy", &arm, "--name", &name, "--to", "fl-1", "--wait"]).done();
    assert!(ran.stdout.contains("linux/arm64"), "{ran:?}");
    says(&sea, &name, "runs on aarch64, nothing made");
    sea.holm(&["delete", "application", &name, "--wait"]).done();

    // Instructions run in an emulator, and several platforms end in one index.
    sea.holm(&["build", &own, &arm, "--name", "both"]).done();
    let dir = sea.path("tree");
    fs::create_dir_all(&dir).unwrap();
    let text = "FROM registry.holm/default/both\nUSER 0\nRUN [\"/app/both\", \"build\"]\nCMD [\"/app/both\", \"serve\"]\n";
    fs::write(dir.join("Dockerfile"), text).unwrap();
    let dir = dir.display().to_string();
    let words = ["build", "-o", "json", &dir, "--name", &name, "--platform", "amd64,arm64"];
    let ran = sea.holm(&words).done();
    assert!(ran.stderr.contains("linux/arm64: building on fl-1 in an emulator"), "{ran:?}");
    let built: Value = ran.json();
    let parts: Vec<_> = built["parts"].as_array().unwrap().iter().map(|part| &part["emulated"]).collect();
    assert_eq!(parts, [&json!(false), &json!(true)], "{built}");
    let path = format!("/v2/default/{name}/manifests/latest");
    let accept = ["accept: application/vnd.oci.image.index.v1+json"];
    let index = http::unix(&sea.socket("root"), "GET", &path, &accept, "").unwrap().body;
    let index: Value = serde_json::from_str(&index).unwrap();
    let machines: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["platform"]["architecture"].as_str().unwrap())
        .collect();
    assert_eq!(machines, ["amd64", "arm64"], "{index}");

    // Each machine takes its own.
    let deployed = |image: &str, app: &str, says_what: &str| {
        sea.apply(&format!(
            "holm: v1\napplication: {app}\nservices:\n  {app}: {{ runtime: container, image: \"{image}\" }}\n"
        ));
        says(&sea, app, says_what);
        sea.holm(&["delete", "application", app, "--wait"]).done();
    };
    deployed(&format!("registry.holm/default/{name}"), "own", "runs on x86_64, made on x86_64");
    let arm64 = index["manifests"][1]["digest"].as_str().unwrap();
    deployed(&format!("registry.holm/default/{name}@{arm64}"), "other", "runs on aarch64, made on aarch64");
    // What stood under the name of the base stands there again.
    deployed("registry.holm/default/both", "base", "runs on x86_64, nothing made");
}

#[test]
fn docker_emulates_needs_engine_needs_emulator() {
    programs_for_another_machine_are_built_shipped_and_run_by("HOLM_TEST_DOCKER");
}

#[test]
fn podman_emulates_needs_podman_needs_emulator() {
    programs_for_another_machine_are_built_shipped_and_run_by("HOLM_TEST_PODMAN");
}
