//! The program as people call it, without any orchestrator.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs `holm` in an environment of its own.
fn holm(arguments: &[&str], home: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_holm"))
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn file(dir: &Path, name: &str, content: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

/// The names in the list of commands that a help text shows.
fn commands(help: &str) -> Vec<String> {
    let list = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
    let list = list.lines().take_while(|line| line.starts_with("  "));
    let named = list.filter(|line| !line.starts_with("   "));
    named
        .filter_map(|line| line.split_whitespace().next())
        .map(|name| name.trim_end_matches(',').to_owned())
        .collect()
}

fn check_help(words: &[&str], home: &Path, seen: &mut usize) {
    let help = holm(&[words, &["--help"]].concat(), home);
    assert_eq!(help.status.code(), Some(0), "{words:?}: {}", err(&help));
    let text = out(&help);
    assert!(text.contains("Usage: holm"), "{words:?}: {text}");
    *seen += 1;
    for command in commands(&text) {
        check_help(&[words, &[&command]].concat(), home, seen);
    }
}

#[test]
fn every_command_explains_itself() {
    let home = home();
    let mut seen = 0;
    check_help(&[], home.path(), &mut seen);
    assert!(seen > 40, "only {seen} commands");
    let text = out(&holm(&["--help"], home.path()));
    for command in
        ["demo", "root", "cluster", "node", "apply", "get", "logs", "exec", "token", "adopt", "completions"]
    {
        assert!(text.contains(command), "{command}");
    }
    assert!(text.contains("Exit codes:"), "{text}");
    assert!(!text.contains("__"), "hidden commands are shown: {text}");
}

#[test]
fn wrong_use_has_exit_code_2() {
    let home = home();
    for words in [
        &["fly"][..],
        &["scale", "shop/web", "many"],
        &["scale", "shop", "2"],
        &["cluster"],
        &["node"],
        &["apply"],
    ] {
        let output = holm(words, home.path());
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", err(&output));
        assert!(!err(&output).is_empty(), "{words:?}");
    }
}

#[test]
fn without_an_orchestrator_the_error_says_what_was_tried_and_what_to_do() {
    let home = home();
    let socket = home.path().join("none.sock").display().to_string();
    let output = holm(&["get", "nodes", "--socket", &socket], home.path());
    assert_eq!(output.status.code(), Some(1));
    let text = err(&output);
    assert!(text.starts_with("error: ") && text.contains("\nhint: ") && text.contains(&socket), "{text}");
    assert!(out(&output).is_empty());
}

#[test]
fn a_remote_orchestrator_needs_a_token() {
    let home = home();
    let output = holm(&["get", "nodes", "--server", "root.example:7700"], home.path());
    assert_eq!(output.status.code(), Some(1), "as a token that is refused");
    assert!(err(&output).contains("HOLM_API_TOKEN"), "{}", err(&output));
    let output = holm(&["get", "nodes", "--server", "root.example", "--api-token", "nonsense"], home.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(!err(&output).contains("nonsense"), "a secret is shown: {}", err(&output));
}

#[test]
fn a_flag_wins_over_the_environment() {
    let home = home();
    let ask = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holm"));
        command.arg("status").args(arguments).env_clear().env("HOME", home.path());
        err(&command.envs(variables.iter().copied()).output().unwrap())
    };
    let both = [("HOLM_SERVER", "root.example"), ("HOLM_SOCKET", "/nonexistent/env.sock")];
    assert!(ask(&[], &both).contains("both HOLM_SERVER and HOLM_SOCKET"));
    assert!(ask(&["--socket", "/nonexistent/flag.sock"], &both).contains("/nonexistent/flag.sock"));
    assert!(ask(&["--server", "flag.example"], &both).contains("no API token for flag.example"));
    assert!(ask(&[], &both[1..]).contains("/nonexistent/env.sock"));
}

#[test]
fn plain_http_is_for_this_machine_only() {
    let home = home();
    let output = holm(&["status", "--server", "http://192.0.2.1:80"], home.path());
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    let output = holm(&["status", "--server", "http://example.org"], home.path());
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
}

#[test]
fn a_bad_manifest_is_refused_before_anybody_is_asked() {
    let home = home();
    let text = "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    command: [x]\n    replikas: 2\n";
    let path = file(home.path(), "app.yaml", text);
    let output = holm(&["apply", &path], home.path());
    assert_eq!(output.status.code(), Some(1));
    let text = err(&output);
    assert!(text.contains("app.yaml:7:5"), "{text}");
    assert!(text.contains("\n 7 |     replikas: 2\n   |     ^"), "{text}");
    assert!(text.contains("did you mean `replicas`"), "{text}");
}

#[test]
fn a_manifest_that_is_not_there_or_no_text() {
    let home = home();
    let output = holm(&["apply", "-f", "/nonexistent/app.yaml"], home.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("/nonexistent/app.yaml"), "{}", err(&output));
    let path = home.path().join("binary");
    std::fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    let output = holm(&["convert", &path.display().to_string()], home.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("UTF-8"), "{}", err(&output));
}

#[test]
fn configuration_is_checked() {
    let home = home();
    let good = file(
        home.path(),
        "good.toml",
        "log-format = \"json\"\n[root]\nlisten = \"127.0.0.1:7700\"\n[node]\nlabel = [\"a=b\"]\n",
    );
    let output = holm(&["config", "check", &good], home.path());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("root, node"), "{}", out(&output));
    let json: serde_json::Value =
        serde_json::from_str(&out(&holm(&["config", "check", &good, "-o", "json"], home.path()))).unwrap();
    assert_eq!(json["roles"], serde_json::json!(["root", "node"]));
    let bad = file(home.path(), "bad.toml", "[root]\nlisten = \"127.0.0.1:7700\"\nlissten = 1\n");
    let output = holm(&["config", "check", &bad], home.path());
    assert_eq!(output.status.code(), Some(1), "the command makes sense, and the file does not");
    let text = err(&output);
    let for_programs = holm(&["config", "check", &bad, "-o", "json"], home.path());
    let json: serde_json::Value = serde_json::from_str(&out(&for_programs)).unwrap();
    assert!(json["error"].as_str().unwrap().contains("lissten"), "{json}");
    assert!(text.contains("line 3") && text.contains("lissten") && text.contains("bad.toml"), "{text}");
    // The daemon says the same.
    assert_eq!(err(&holm(&["root", "--config", &bad], home.path())), text);
}

#[test]
fn a_cluster_that_nobody_named_does_not_start() {
    let home = home();
    let output = holm(&["cluster", "--parent", "127.0.0.1:1"], home.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("--name"), "{}", err(&output));
    let output =
        holm(&["cluster", "--parent", "127.0.0.1:1", "--name", "vienna", "--token", "secret"], home.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("holm-join.") && !err(&output).contains("secret"), "{}", err(&output));
}

#[test]
fn the_schema_is_json() {
    let home = home();
    let schema: serde_json::Value = serde_json::from_str(&out(&holm(&["schema"], home.path()))).unwrap();
    assert!(schema.pointer("/properties/services").is_some(), "{schema:#}");
}

#[test]
fn the_version_is_told_to_people_and_programs() {
    let home = home();
    assert!(out(&holm(&["version"], home.path())).starts_with("holm "));
    let json: serde_json::Value =
        serde_json::from_str(&out(&holm(&["version", "-o", "json"], home.path()))).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn completions_for_every_shell() {
    let home = home();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = holm(&["completions", shell], home.path());
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(out(&output).contains("HOLM_COMPLETE"), "{shell}");
    }
}

#[test]
fn a_manifest_is_shown_in_its_normal_form() {
    let home = home();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/building-management/app.yaml");
    let once = out(&holm(&["convert", example], home.path()));
    assert!(once.starts_with("holm: v1\n"), "{once}");
    let path = file(home.path(), "normal.yaml", &once);
    assert_eq!(out(&holm(&["convert", &path], home.path())), once, "its normal form is its own normal form");
    let json: serde_json::Value =
        serde_json::from_str(&out(&holm(&["convert", example, "-o", "json"], home.path()))).unwrap();
    assert_eq!((&json["holm"], &json["application"]), (&"v1".into(), &"building".into()), "{json:#}");
}

#[test]
fn nobody_reading_the_output_is_no_error() {
    let home = home();
    let mut child = Command::new(env!("CARGO_BIN_EXE_holm"))
        .args(["completions", "zsh"])
        .env_clear()
        .env("HOME", home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), err(&output)), (Some(0), String::new()));
}
