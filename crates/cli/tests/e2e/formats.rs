//! Files of other systems, as they are.

use crate::harness::command::run;
use crate::harness::{holm, sea, wait_for};

const EDGEIO: &str = "api_version: v0.1\njob_name: image_detection\nimage: sleep 100000\nimage_runtime: native\n\
                      requirements:\n  cpu: 0.01\n  memory: 1\nworker_node: fl-1\n";

/// `${REPLICAS}` is said in `.env`, beside it.
const COMPOSE: &str = "
services:
  web:
    image: holm-test:1
    command: sleep 1000
    env_file: web.env
    depends_on: [store]
    stop_grace_period: 1s
    deploy: { replicas: $REPLICAS }
  store:
    image: holm-test:1
    command: [sleep, \"1000\"]
    stop_grace_period: 1s
    expose: [\"6379\"]
";

#[test]
fn a_deployment_file_of_edgeio_runs_as_it_is() {
    let sea = sea().cluster("vienna", &["fl-1", "fl-2"]).start();
    let file = sea.file("detection.yaml", EDGEIO).display().to_string();
    let shown = holm(&["convert", &file]).done();
    assert!(
        shown.stdout.contains("application: image-detection") && shown.stdout.contains("node: fl-1"),
        "{shown:?}"
    );
    assert!(shown.stderr.contains("is a deployment file of edgeIO"), "{shown:?}");
    holm(&["convert", "--strict", &file]).refused(1, &["2:1", "is called `image-detection`"]);
    let applied = sea.holm(&["apply", "--wait=60s", "--stable=0s", &file]).done();
    assert!(applied.stderr.contains("is called `image-detection`"), "{applied:?}");
    assert_eq!(sea.running("image-detection", 1)[0].node(), "fl-1");
    // What is printed is a manifest, and says the same.
    let again = run(sea.call_at("root", &["apply", "-"]), &shown.stdout).done();
    assert!(again.stdout.contains("has no changes") && !again.stderr.contains("edgeIO"), "{again:?}");
    let wrong = sea.file("wrong.yaml", &EDGEIO.replace("native", "mirage")).display().to_string();
    sea.holm(&["apply", &wrong]).refused(1, &["wrong.yaml:4:16", "no runtime `mirage`", "^"]);
}

#[test]
fn a_compose_file_runs_as_it_is_needs_engine() {
    let engine = std::env::var("HOLM_TEST_DOCKER").expect("an engine");
    let socket = format!("--engine={}", engine.trim_start_matches("unix://"));
    let sea = sea().node("fl-1").words("fl-1", &[&socket]).start();
    wait_for("the node offers containers", || {
        sea.node("fl-1").runtimes.contains(&"container".to_owned()).then_some(())
    });
    let dir = sea.path("shop");
    std::fs::create_dir(&dir).unwrap();
    for (name, text) in [("compose.yaml", COMPOSE), ("web.env", "LEVEL=info\n"), (".env", "REPLICAS=2\n")] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let file = dir.join("compose.yaml").display().to_string();
    let applied = sea.holm(&["apply", "--wait=60s", "--stable=0s", &file]).done();
    assert!(applied.stderr.contains("is a Compose file"), "{applied:?}");
    assert!(applied.stderr.contains("`store:6379` is at `$HOLM_CONNECT_STORE_P6379`"), "{applied:?}");
    sea.running("shop", 3);
    wait_for("it is told where the other is", || {
        let words = ["exec", "shop/web/0", "--", "sh", "-c", "echo $LEVEL; cat $HOLM_CONNECTS"];
        let told = sea.holm(&words).done().stdout;
        (told.starts_with("info\n") && told.contains("p6379") && told.contains(':')).then_some(())
    });
    sea.holm(&["delete", "application", "shop", "--wait"]).done();
}
