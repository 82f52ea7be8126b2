//! The container runtime, with the engine that `HOLM_TEST_DOCKER` names and the image that
//! `cargo xtask test` puts there.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::command::{command, run};
use crate::harness::relay::Relay;
use crate::harness::{Instance, Sea, holds_for, sea, wait_for};

const IMAGE: &str = "holm-test:1";

/// `unix:///…` of the engine; none when nobody names one.
fn engine() -> Option<String> {
    let named = std::env::var("HOLM_TEST_DOCKER").ok();
    if named.is_none() {
        println!("skipped: HOLM_TEST_DOCKER names no container engine");
    }
    named
}

fn with_engine() -> Option<(Sea, String)> {
    let engine = engine()?;
    let socket = format!("--engine={}", engine.trim_start_matches("unix://"));
    let sea = sea().cluster("vienna", &["fl-1"]).words("fl-1", &[&socket]).start();
    wait_for("the node offers containers", || {
        sea.node("fl-1").runtimes.contains(&"container".to_owned()).then_some(())
    });
    Some((sea, engine))
}

/// What the engine itself says: no program of ours between.
fn docker(engine: &str, words: &[&str]) -> String {
    let mut call = command("docker");
    call.args(["-H", engine]).args(words);
    run(call, "").done().line().to_owned()
}

/// Ids of the containers of an instance, as the engine knows them.
fn containers(engine: &str, instance: &str) -> Vec<String> {
    let filter = format!("label=holm.instance={instance}");
    docker(engine, &["ps", "-q", "--no-trunc", "--filter", &filter]).lines().map(str::to_owned).collect()
}

fn manifest(name: &str, script: &str, more: &[&str]) -> String {
    let more: String = more.iter().map(|line| format!("    {line}\n")).collect();
    format!(
        "holm: v1\napplication: {name}\nservices:\n  web:\n    runtime: container\n    image: {IMAGE}\n    \
         command: [/bin/sh, -c, '{script}']\n    stop: {{ grace: 1s }}\n{more}"
    )
}

const TALK: &str = "echo hello from $WORD on $HOLM_SLOT; while :; do sleep 0.2; done";

fn hello(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let _ = stream.write_all(b"\n");
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[test]
fn containers_have_environment_ports_volumes_and_limits_needs_engine() {
    let Some((sea, engine)) = with_engine() else { return };
    let host = sea.path("shared");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(host.join("note"), "from the host\n").unwrap();
    let volume = format!("volumes: [ \"{}:/shared:ro\", \"data:/data\" ]", host.display());
    let (path, dir) = (format!("{}:ro", host.display()), sea.data("fl-1").display().to_string());
    let serve = "echo kept >> /data/file; while :; do cat /shared/note | nc -l -p {{port.http}}; done";
    let more = [
        "env: { WORD: holm }",
        "ports: { http: { host: auto, container: 8080 } }",
        "resources: { cpu: 250m, memory: 48Mi }",
        &volume,
    ];
    run(sea.call_at("root", &["apply", "-"]), &manifest("shop", serve, &more)).done();
    let refused = sea.until("shop", "a refusal", |all| all.iter().any(|i| i.state == "FAILED"));
    let reason = &refused.iter().find(|i| i.state == "FAILED").unwrap().reason;
    assert!(reason.contains(&format!("`holm node consent paths {path} --data-dir {dir}`")), "{reason}");
    sea.holm(&["node", "consent", "paths", &path, "--data-dir", &dir]).done();
    sea.holm(&["restart", "shop"]).done();
    let all = sea.running("shop", 1);
    let begun = all[0].incarnation;
    let (id, port) = (all[0].id().to_owned(), all[0].ports["http"]);
    assert_eq!(wait_for("the port answers", || hello(port)), "from the host");
    let [container] = &containers(&engine, &id)[..] else { panic!("one container") };
    let inspect = |format: &str| docker(&engine, &["inspect", "-f", format, container]);
    assert_eq!(inspect("{{.HostConfig.Memory}}"), (48 << 20).to_string());
    assert_eq!(inspect("{{.HostConfig.NanoCpus}}"), "250000000");
    let inside = |words: &[&str]| sea.holm(&[&["exec", "shop/web/0", "--"], words].concat());
    assert_eq!(inside(&["sh", "-c", "echo $WORD $HOLM_SERVICE"]).done().line(), "holm web");
    assert_ne!(inside(&["touch", "/shared/other"]).code, 0, "read-only");
    // A volume outlives the container.
    sea.holm(&["restart", "shop"]).done();
    sea.until("shop", "another incarnation", |all| {
        all.len() == 1 && all[0].runs() && all[0].incarnation == begun + 1
    });
    assert_eq!(sea.holm(&["exec", "shop/web/0", "--", "cat", "/data/file"]).done().stdout, "kept\nkept\n");
    wait_for("it answers again", || hello(sea.instances("shop").first()?.ports.get("http").copied()?));
    let [container] = &containers(&engine, &id)[..] else { panic!("one container") };
    let names = "{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Name}} {{end}}{{end}}";
    let volume = docker(&engine, &["inspect", "-f", names, container]);
    sea.holm(&["delete", "application", "shop", "--wait"]).done();
    assert!(containers(&engine, &id).is_empty());
    // Data outlives the application; it is ours to remove here.
    docker(&engine, &["volume", "rm", &volume]);
}

#[test]
fn containers_scale_pause_log_exec_and_end_needs_engine() {
    let Some((sea, engine)) = with_engine() else { return };
    sea.deploy(&manifest("talk", TALK, &["env: { WORD: one }", "replicas: 2"]));
    let before = sea.running("talk", 2);
    let of = |instance: &Instance| containers(&engine, instance.id());
    let logs = wait_for("both talk", || {
        let said = sea.holm(&["logs", "talk"]).stdout;
        (said.lines().count() == 2).then_some(said)
    });
    assert!(logs.contains("web/0 | hello from one on web/0") && logs.contains("web/1 | hello"), "{logs}");
    let said = sea.holm(&["exec", "talk/web/1", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (7, "out\n", "err\n"));
    let counted =
        run(sea.call_at("root", &["exec", "talk/web/0", "--", "wc", "-c"]), &"x".repeat(100_000)).done();
    assert_eq!(counted.line(), "100000");

    sea.holm(&["pause", "talk"]).done();
    sea.until("talk", "PAUSED", |all| all.len() == 2 && all.iter().all(|i| i.state == "PAUSED"));
    let state =
        |instance: &Instance| docker(&engine, &["inspect", "-f", "{{.State.Status}}", &of(instance)[0]]);
    assert!(before.iter().all(|instance| state(instance) == "paused"));
    sea.holm(&["resume", "talk"]).done();
    sea.running("talk", 2);
    assert!(before.iter().all(|instance| state(instance) == "running"));

    sea.holm(&["scale", "talk/web", "4"]).done();
    let four = sea.running("talk", 4);
    assert!(four.iter().all(|instance| of(instance).len() == 1));
    sea.holm(&["stop", "talk"]).done();
    sea.until("talk", "STOPPED", |all| all.len() == 4 && all.iter().all(|i| i.state == "STOPPED"));
    assert!(four.iter().all(|instance| of(instance).is_empty()));
    sea.holm(&["delete", "application", "talk", "--wait"]).done();
    assert!(four.iter().all(|i| {
        docker(&engine, &["ps", "-aq", "--filter", &format!("label=holm.instance={}", i.id())]).is_empty()
    }));
}

#[test]
fn steps_of_containers_run_before_each_start_and_leave_nothing_needs_engine() {
    let Some((sea, engine)) = with_engine() else { return };
    let steps = "before: [ { command: [sh, -c, 'echo one of $HOLM_SLOT with $WORD > /data/made'] }, { command: [cat, /data/made] } ]";
    let volume = "volumes: [ \"data:/data\" ]";
    let more = ["env: { WORD: it }", volume, steps, "restart: { attempts: 2, backoff: 50ms..100ms }"];
    sea.deploy(&manifest("shop", "echo serving; exec sleep 1000", &more));
    let all = sea.running("shop", 1);
    let id = all[0].id().to_owned();
    let said = wait_for("the program's own word", || {
        let said = sea.holm(&["logs", "shop"]).done().stdout;
        said.contains("serving").then_some(said)
    });
    assert!(said.find("one of web/0 with it") < said.find("serving"), "{said}");
    assert_eq!(sea.holm(&["logs", "shop", "--tail", "1"]).done().stdout.lines().count(), 1);
    let [container] = &containers(&engine, &id)[..] else { panic!("only the program runs") };
    let mounts = "{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Name}} {{end}}{{end}}";
    let volume = docker(&engine, &["inspect", "-f", mounts, container]);
    let label = format!("label=holm.instance={id}");
    let all = || docker(&engine, &["ps", "-aq", "--filter", &label]).lines().count();
    assert_eq!(all(), 3);
    sea.holm(&["delete", "application", "shop", "--wait"]).done();
    assert_eq!(all(), 0);
    docker(&engine, &["volume", "rm", &volume]);

    let fails = "before: [ { command: [\"true\"] }, { command: [sh, -c, 'echo why; exit 3'] } ]";
    // Its log goes with the instance, after the last attempt.
    sea.apply(&manifest("bad", "echo serving", &[fails, "restart: { attempts: 2, backoff: 60s..60s }"]));
    let all = sea.until("bad", "FAILED", |all| all.iter().any(|i| i.state == "FAILED"));
    assert!(all[0].reason.contains("step 2 of 2") && all[0].reason.contains("code 3"), "{all:#?}");
    let said = sea.holm(&["logs", "bad"]).done().stdout;
    assert!(said.contains("why") && !said.contains("serving"), "{said}");
}

#[test]
fn a_step_of_a_container_ends_with_its_instance_and_with_a_lost_agent_needs_engine() {
    let Some((mut sea, engine)) = with_engine() else { return };
    let gate = sea.path("gate");
    std::fs::create_dir(&gate).unwrap();
    let steps =
        "before: [ { command: [sh, -c, 'echo waits; until [ -e /gate/open ]; do sleep 0.1; done'] } ]";
    let volume = format!("volumes: [ \"{}:/gate\" ]", gate.display());
    let (path, dir) = (gate.display().to_string(), sea.data("fl-1").display().to_string());
    sea.holm(&["node", "consent", "paths", &path, "--data-dir", &dir]).done();
    sea.apply(&manifest(
        "shop",
        "echo serving; exec sleep 1000",
        &[steps, &volume, "restart: { backoff: 50ms..100ms }"],
    ));
    let running = |sea: &Sea| {
        let all = sea.instances("shop");
        let id = all.first()?.id.clone()?;
        let all = containers(&engine, &id);
        (all.len() == 1).then(|| all[0].clone())
    };
    let first = wait_for("the step runs", || running(&sea));
    sea.until("shop", "its step is told", |all| {
        all[0].state == "PREPARING" && all[0].reason.contains("step 1 of 1")
    });
    sea.kill("fl-1");
    sea.start("fl-1");
    wait_for("another one runs in its place", || running(&sea).filter(|now| *now != first));
    std::fs::write(gate.join("open"), "").unwrap();
    let id = sea.running("shop", 1)[0].id().to_owned();
    std::fs::remove_file(gate.join("open")).unwrap();
    sea.holm(&["restart", "shop/web"]).done();
    sea.until("shop", "its step is told", |all| all[0].state == "PREPARING");
    sea.holm(&["delete", "application", "shop", "--wait"]).done();
    let label = format!("label=holm.instance={id}");
    assert_eq!(docker(&engine, &["ps", "-aq", "--filter", &label]), "");
}

#[test]
fn containers_survive_their_agent_and_are_adopted_needs_engine() {
    let Some((mut sea, engine)) = with_engine() else { return };
    sea.deploy(&manifest(
        "calm",
        TALK,
        &["env: { WORD: x }", "replicas: 2", "restart: { policy: always, backoff: 50ms..1s }"],
    ));
    let all = sea.running("calm", 2);
    let of = |all: &[Instance]| all.iter().flat_map(|i| containers(&engine, i.id())).collect::<Vec<_>>();
    let before = of(&all);
    assert_eq!(before.len(), 2);
    sea.restart("fl-1");
    holds_for(Duration::from_secs(2), "nothing is touched", || of(&all) == before);
    sea.all_connected();
    sea.kill("fl-1");
    sea.start("fl-1");
    sea.all_connected();
    let now = sea.running("calm", 2);
    assert_eq!((of(&now), now[0].incarnation), (before.clone(), 1), "{now:#?}");
    // What ended while nobody looked is noticed, and started again.
    sea.kill("fl-1");
    docker(&engine, &["kill", &before[0]]);
    sea.start("fl-1");
    sea.until("calm", "one of them again", |all| {
        all.len() == 2
            && all.iter().all(Instance::runs)
            && all.iter().filter(|i| i.incarnation == 2).count() == 1
    });
    assert!(of(&now).contains(&before[1]));
}

#[test]
fn a_killed_container_is_replaced_needs_engine() {
    let Some((sea, engine)) = with_engine() else { return };
    sea.deploy(&manifest(
        "steady",
        TALK,
        &["env: { WORD: x }", "restart: { policy: always, backoff: 50ms..1s }"],
    ));
    let all = sea.running("steady", 1);
    docker(&engine, &["kill", &containers(&engine, all[0].id())[0]]);
    let now = sea.until("steady", "again", |all| all.len() == 1 && all[0].runs() && all[0].incarnation == 2);
    assert_eq!((now[0].id(), now[0].restarts), (all[0].id(), 1));
}

#[test]
fn an_image_that_does_not_exist_fails_with_the_answer_and_the_node_goes_on_needs_engine() {
    let Some((mut sea, _)) = with_engine() else { return };
    let missing =
        manifest("missing", TALK, &["restart: { policy: on-failure, attempts: 3, backoff: 200ms..1s }"]);
    sea.apply(&missing.replace(IMAGE, "127.0.0.1:1/no/such:image"));
    let all =
        sea.until("missing", "FAILED", |all| all.iter().any(|i| i.state == "FAILED" && !i.reason.is_empty()));
    assert!(all[0].reason.contains("127.0.0.1:1/no/such:image"), "names the image: {all:#?}");
    assert!(all[0].reason.contains("refused"), "and what the registry's address said: {all:#?}");
    sea.deploy(&manifest("fine", TALK, &["env: { WORD: x }"]));
    assert_eq!(sea.ended("fl-1"), None, "no crash of the node");
    assert_eq!(sea.node("fl-1").state, "online");
    // Not tried more often than its policy says.
    sea.until("missing", "no attempt is left", |all| {
        all.len() == 1 && all[0].state == "FAILED" && !all[0].reason.contains("next attempt")
    });
}

#[test]
fn without_an_engine_containers_are_refused_with_the_reason() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.apply(&manifest("shop", TALK, &[]));
    let all = sea.until("shop", "a reason", |all| all.len() == 1 && !all[0].reason.is_empty());
    assert!(all[0].id.is_none() && all[0].reason.contains("container"), "{all:#?}");
}

#[test]
fn an_engine_that_dies_is_told_at_once_and_nothing_is_started_twice_needs_engine() {
    let Some(engine) = engine() else { return };
    let relay = Relay::to(std::path::Path::new(engine.trim_start_matches("unix://")));
    let socket = format!("--engine={}", relay.socket().display());
    let mut sea = sea().cluster("vienna", &["fl-1"]).words("fl-1", &[&socket]).start();
    let restart = "restart: { policy: always, backoff: 50ms..1s }";
    sea.deploy(&manifest("steady", TALK, &["env: { WORD: x }", restart]));
    let all = sea.running("steady", 1);
    let before = containers(&engine, all[0].id());
    let ready = |sea: &Sea| sea.node("fl-1").runtimes.contains(&"container".to_owned());
    let same = |all: &[Instance]| all.len() == 1 && all[0].runs() && all[0].incarnation == 1;
    for restarted in [false, true] {
        relay.cut();
        let since = Instant::now();
        sea.until("steady", "it is told", |all| same(all) && all[0].reason.contains("last known state"));
        wait_for("the runtime is away", || (!ready(&sea)).then_some(()));
        assert!(since.elapsed() < Duration::from_secs(10), "not at the next look only");
        if restarted {
            sea.restart("fl-1");
            sea.all_connected();
            sea.until("steady", "it is left alone", |all| same(all) && !all[0].reason.is_empty());
        }
        relay.mend();
        sea.until("steady", "it goes on", |all| same(all) && all[0].reason.is_empty());
        wait_for("the runtime is back", || ready(&sea).then_some(()));
        assert_eq!(containers(&engine, all[0].id()), before);
    }
    let events = sea.holm(&["events", "-k", "node", "--tail", "100"]).done().stdout;
    assert!(events.contains("container not ready"), "{events}");
}
