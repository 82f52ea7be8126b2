//! Container images of the roles: one layer of our program and the libraries that it was linked with, from
//! scratch. `docker load` and `podman load` read the file.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::content::{Program, libraries};
use super::tree::Tree;
use super::{Release, sums};

/// Of orchestrators in a container; nobody has it on the host. A node is root there: it starts programs as others.
const USER: u64 = 65532;
const HOME: &str = "var/lib/holm";
const ROLES: [(&str, u64); 3] = [("root", USER), ("cluster", USER), ("node", 0)];

const PASSWD: &str = "root:x:0:0:root:/:/sbin/nologin\nholm:x:65532:65532:Holm:/var/lib/holm:/sbin/nologin\n\
                      nobody:x:65534:65534:nobody:/:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nholm:x:65532:\nnogroup:x:65534:\n";

/// Writes one file `name` with an image for each role.
pub(super) fn make(release: &Release, program: &Program, name: &str) -> Result<()> {
    let layer = layer(program)?.tar(Vec::new(), release.time)?;
    let digest = sums::of(&layer);
    let mut tree = Tree::default();
    let mut images = Vec::new();
    for (role, user) in ROLES {
        let config = serde_json::to_vec(&config(release, role, user, &digest)?)?;
        let file = format!("{}.json", sums::of(&config));
        let tag = format!("localhost/holm-{role}:{}", release.version);
        images.push(json!({ "Config": file, "RepoTags": [tag], "Layers": ["layer.tar"] }));
        tree.text(&file, config);
    }
    tree.text("layer.tar", layer);
    tree.text("manifest.json", serde_json::to_vec(&images)?);
    let out = release.out.join(name);
    // Not compressed: not every Podman reads that.
    fs::write(&out, tree.tar(Vec::new(), release.time)?)
        .with_context(|| format!("cannot write {}", out.display()))
}

fn layer(program: &Program) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.program("usr/bin/holm", &program.file);
    for library in libraries(&program.file)? {
        tree.program(&library.to_string_lossy(), &library);
    }
    tree.text("etc/passwd", PASSWD);
    tree.text("etc/group", GROUP);
    tree.directory("tmp", 0o1777, 0);
    tree.directory("run", 0o755, 0);
    // A new volume at this place begins as a copy of it, owner included.
    tree.directory(HOME, 0o711, USER);
    Ok(tree)
}

fn config(release: &Release, role: &str, user: u64, layer: &str) -> Result<Value> {
    let created = super::rfc3339(release.time)?;
    let ports = if role == "node" { json!({}) } else { json!({ "7700/tcp": {} }) };
    Ok(json!({
        "architecture": release.machine.debian,
        "os": "linux",
        "created": created,
        "config": {
            "User": format!("{user}:{user}"),
            "Entrypoint": ["/usr/bin/holm", role],
            // `holm status` in the container asks its orchestrator.
            "Env": ["PATH=/usr/bin", format!("HOLM_DATA_DIR=/{HOME}"), format!("HOLM_SOCKET=/{HOME}/api.sock")],
            "WorkingDir": "/",
            "Volumes": { format!("/{HOME}"): {} },
            "ExposedPorts": ports,
            "StopSignal": "SIGTERM",
            "Labels": {
                "org.opencontainers.image.title": format!("holm-{role}"),
                "org.opencontainers.image.version": release.version,
                "org.opencontainers.image.licenses": "Apache-2.0",
                "org.opencontainers.image.source": release.homepage,
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
        "history": [{ "created": created, "created_by": "cargo xtask dist" }],
    }))
}
