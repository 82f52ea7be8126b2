//! Container images, loaded and run by the engines.

use std::process::Command;

use super::release::{Release, VERSION, ran};

/// A root says that it is ready; a node, which has no orchestrator, says that it needs one.
fn images_run(engine: &[&str], variable: &str) {
    let (Ok(socket), Some(release)) = (std::env::var(variable), Release::make()) else {
        return println!("skipped: {variable} names no container engine");
    };
    let engine = [engine, &[&socket]].concat();
    let call = |words: &[&str]| {
        let mut command = Command::new(engine[0]);
        command.args(&engine[1..]).args(words);
        command
    };
    ran(call(&["load", "-i"]).arg(release.images()));
    let image = |role: &str| format!("localhost/holm-{role}:{VERSION}");
    let root = ran(&mut call(&["run", "-d", "--network", "none", &image("root")]));
    let root = root.trim();
    let asked = || call(&["exec", root, "/usr/bin/holm", "status"]).output().unwrap().status.success();
    crate::harness::wait_for("the root in a container answers", || asked().then_some(()));
    let user = ran(&mut call(&["inspect", "--format", "{{.Config.User}}", root]));
    assert_eq!(user.trim(), "65532:65532", "it is no root");
    ran(&mut call(&["rm", "-f", "-v", root]));
    let node = call(&["run", "--rm", "--network", "none", &image("node")]).output().unwrap();
    let said = String::from_utf8_lossy(&node.stderr);
    assert!(said.contains("a node needs an orchestrator"), "{said}");
    for role in ["root", "cluster", "node"] {
        ran(&mut call(&["rmi", &image(role)]));
    }
}

#[test]
fn images_load_and_run_in_docker_needs_engine_needs_debian() {
    images_run(&["docker", "-H"], "HOLM_TEST_DOCKER");
}

#[test]
fn images_load_and_run_in_podman_needs_podman_needs_debian() {
    images_run(&["podman", "--remote", "--url"], "HOLM_TEST_PODMAN");
}
