//! Named volumes follow what moves, with real processes that write all the time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::harness::{Sea, sea, wait_for};

/// Counts on from the last line of its volume, a hundred times a second, beside `mebibytes` that it wrote first.
fn diary(mebibytes: u32) -> String {
    format!(
        "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    command: [sh, -c, \"cd $HOLM_VOLUME_DATA; \
         if [ ! -e big ]; then head -c {mebibytes}M /dev/urandom > big; fi; i=$(tail -n 1 diary); \
         while :; do i=$((i+1)); echo $i >> diary; sleep 0.01; done\"]\n    volumes: [data:/data]\n    \
         stop: {{ grace: 1s }}\n"
    )
}

/// The volumes that are on a node.
fn volumes(sea: &Sea, node: &str) -> Vec<PathBuf> {
    let dir = sea.data(node).join("volumes");
    fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

fn lines(volume: &Path) -> Vec<u64> {
    let text = fs::read_to_string(volume.join("diary")).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn other(node: &str) -> &'static str {
    if node == "n1" { "n2" } else { "n1" }
}

/// Not one line was lost, none was written twice.
fn is_whole(volume: &Path) {
    let lines = lines(volume);
    assert!(lines.iter().copied().eq(1..=lines.len() as u64), "{lines:?}");
}

fn moved_to(sea: &Sea, from: &str, to: &str) {
    alone_at(sea, from, to);
    let told = sea.history("application=default/shop&kind=instance");
    let told = told.iter().find(|event| event.to == "moved").expect("it is told");
    assert!(told.reason.contains(" ms, with ") && told.reason.contains("down for"), "{}", told.reason);
    println!("{}", told.reason);
}

fn alone_at(sea: &Sea, from: &str, to: &str) {
    sea.until("shop", "it is there alone", |all| all.len() == 1 && all[0].runs() && all[0].node() == to);
    wait_for("the volume left", || volumes(sea, from).is_empty().then_some(()));
    let [there] = &volumes(sea, to)[..] else { panic!("{:?}", volumes(sea, to)) };
    let before = lines(there).len();
    wait_for("it writes on", || (lines(there).len() > before + 10).then_some(()));
    is_whole(there);
    assert!(!there.join(".holm-moving").exists());
}

#[test]
fn what_a_service_wrote_moves_with_it_and_not_a_line_is_lost() {
    let sea = sea().node("n1").node("n2").start();
    sea.deploy(&diary(1));
    let from = sea.instances("shop")[0].node().to_owned();
    let to = other(&from);
    wait_for("it writes", || volumes(&sea, &from).first().filter(|it| lines(it).len() > 50).cloned());
    sea.holm(&["migrate", "shop/web/0", "--to", to]).done();
    moved_to(&sea, &from, to);

    // An emptied node loses nothing either.
    sea.holm(&["node", "drain", to, "--deadline", "60s"]).done();
    sea.until("shop", "it is back", |all| all.len() == 1 && all[0].runs() && all[0].node() == from);
    let [there] = &volumes(&sea, &from)[..] else { panic!("{:?}", volumes(&sea, &from)) };
    is_whole(there);
}

#[test]
fn a_copy_that_is_cut_goes_on_and_meanwhile_the_old_one_does() {
    let mut sea = sea().node("n1").node("n2").start();
    sea.deploy(&diary(256));
    let from = sea.instances("shop")[0].node().to_owned();
    let to = other(&from);
    wait_for("it writes", || volumes(&sea, &from).first().filter(|it| lines(it).len() > 50).cloned());
    let mut call = sea.call_at("root", &["migrate", "shop/web/0", "--to", to]);
    let mut call = call.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let part = wait_for("a part is there", || {
        let stage = volumes(&sea, to).first()?.join(".holm-moving");
        fs::read_dir(stage).ok()?.flatten().find(|part| part.metadata().is_ok_and(|it| it.len() > 1 << 20))
    });
    sea.kill(to);
    let came = part.metadata().unwrap().len();
    assert!(came < 256 << 20, "the cut came too late");
    let there = volumes(&sea, &from).remove(0);
    let before = lines(&there).len();
    wait_for("the old one writes on", || (lines(&there).len() > before + 100).then_some(()));
    assert_eq!(sea.programs().len(), 1);
    sea.start(to);
    moved_to(&sea, &from, to);
    call.wait().unwrap();
}

/// A move whose old instance has just ended, and the other node; whoever dies now, nothing is lost.
fn between() -> (Sea, String, &'static str) {
    let sea = sea().node("n1").node("n2").start();
    sea.deploy(&diary(16));
    let from = sea.instances("shop")[0].node().to_owned();
    let to = other(&from);
    wait_for("it writes", || volumes(&sea, &from).first().filter(|it| lines(it).len() > 50).cloned());
    sea.holm(&["migrate", "shop/web/0", "--to", to, "--no-wait"]).done();
    wait_for("the old one ends", || sea.programs().is_empty().then_some(()));
    (sea, from, to)
}

#[test]
fn a_root_that_dies_between_the_two_copies_loses_no_line() {
    let (mut sea, from, to) = between();
    sea.kill("root");
    sea.start("root");
    sea.all_connected();
    alone_at(&sea, &from, to);
}

#[test]
fn a_node_that_dies_between_the_two_copies_loses_no_line() {
    for who in ["the old", "the new"] {
        let (mut sea, from, to) = between();
        let dies = if who == "the old" { from.clone() } else { to.to_owned() };
        sea.kill(&dies);
        sea.start(&dies);
        moved_to(&sea, &from, to);
    }
}

/// As [`diary`], of containers.
const LOG: &str = "holm: v1
application: shop
services:
  web:
    runtime: container
    image: holm-test:1
    command: [sh, -c, \"cd /data; i=$(tail -n 1 diary); while :; do i=$((i+1)); echo $i >> diary; sleep 0.02; done\"]
    volumes: [data:/data]
    stop: { grace: 1s }
";

/// Whole, and longer than `more` lines; how long.
fn written(sea: &Sea, more: usize) -> usize {
    wait_for("it writes", || {
        let ran = sea.holm(&["exec", "shop/web/0", "--", "cat", "/data/diary"]);
        // The last line may be half.
        let whole = ran.stdout.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines: Vec<u64> = whole.lines().map(|line| line.parse().unwrap()).collect();
        assert!(lines.iter().copied().eq(1..=lines.len() as u64), "{lines:?}");
        (ran.code == 0 && lines.len() > more).then_some(lines.len())
    })
}

fn engine(of: &str) -> Option<String> {
    let named = std::env::var(of).ok();
    if named.is_none() {
        println!("skipped: {of} names no container engine");
    }
    Some(format!("--engine={}", named?.trim_start_matches("unix://")))
}

#[test]
fn what_a_container_wrote_moves_from_docker_to_podman_and_back_needs_engine_needs_podman() {
    let (Some(docker), Some(podman)) = (engine("HOLM_TEST_DOCKER"), engine("HOLM_TEST_PODMAN")) else {
        return;
    };
    let sea = sea().node("n1").words("n1", &[&docker]).node("n2").words("n2", &[&podman]).start();
    for node in ["n1", "n2"] {
        wait_for("it offers containers", || {
            sea.node(node).runtimes.contains(&"container".to_owned()).then_some(())
        });
    }
    sea.deploy(LOG);
    let from = sea.instances("shop")[0].node().to_owned();
    let mut before = written(&sea, 20);
    for to in [other(&from), &from] {
        sea.holm(&["migrate", "shop/web/0", "--to", to]).done();
        sea.until("shop", "it is there alone", |all| all.len() == 1 && all[0].runs() && all[0].node() == to);
        before = written(&sea, before + 20);
    }
    sea.holm(&["delete", "application", "shop", "--wait"]).done();
}

#[test]
fn two_nodes_at_one_engine_have_one_volume_which_stays_as_it_is_needs_engine() {
    let Some(docker) = engine("HOLM_TEST_DOCKER") else { return };
    let sea = sea().node("n1").words("n1", &[&docker]).node("n2").words("n2", &[&docker]).start();
    for node in ["n1", "n2"] {
        wait_for("it offers containers", || {
            sea.node(node).runtimes.contains(&"container".to_owned()).then_some(())
        });
    }
    sea.deploy(LOG);
    let from = sea.instances("shop")[0].node().to_owned();
    let before = written(&sea, 20);
    let refused = sea.holm(&["migrate", "shop/web/0", "--to", other(&from)]);
    assert!(refused.code != 0 && refused.stderr.contains("in one container engine"), "{}", refused.stderr);
    sea.until("shop", "it is where it was", |all| all.len() == 1 && all[0].runs() && all[0].node() == from);
    written(&sea, before + 50);
    assert_eq!(sea.instances("shop")[0].restarts, 0, "it went on without a stop");
    sea.holm(&["delete", "application", "shop", "--wait"]).done();
}
