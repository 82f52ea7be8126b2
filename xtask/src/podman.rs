//! A private Podman service for the tests: own storage, own socket, gone afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::image::{self, Image};
use crate::tool::{remove, run, succeeds};

/// An engine that answers on `socket` and ends with this value.
#[derive(Debug)]
pub(crate) struct Podman {
    pub(crate) socket: String,
    service: Child,
    dir: PathBuf,
    /// Somebody's Podman had its bridge on this host before.
    bridge_was_there: bool,
}

/// What Podman calls the bridge of its default network.
const BRIDGE: &str = "cni-podman0";

const START: Duration = Duration::from_secs(30);

/// Limits that every host allows, and no service manager.
const CONFIG: &str = r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"#;

impl Podman {
    /// A private service, started now.
    pub(crate) fn start() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("holm-podman-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        fs::write(dir.join("containers.conf"), CONFIG)?;
        let image = Image::make()?;
        // Its API looks short names up at Docker's registry.
        let name = format!("docker.io/library/{}", image::NAME);
        run(podman(&dir)
            .arg("import")
            .arg(&image.tar)
            .arg(name)
            .stdout(Stdio::null())
            .stderr(Stdio::null()))?;
        let socket = format!("unix://{}/podman.sock", dir.display());
        let mut service = podman(&dir);
        service.args(["system", "service", "--time", "0", &socket]);
        service.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(dir.join("log"))?);
        let bridge_was_there = succeeds("ip", &["link", "show", BRIDGE]);
        let service = service.spawn().context("cannot start podman")?;
        let mut engine = Self { socket, service, dir, bridge_was_there };
        engine.wait()?;
        Ok(engine)
    }

    fn wait(&mut self) -> Result<()> {
        let until = Instant::now() + START;
        while std::os::unix::net::UnixStream::connect(self.dir.join("podman.sock")).is_err() {
            let ended = matches!(self.service.try_wait(), Ok(Some(_)));
            if ended || Instant::now() > until {
                let said = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                bail!("podman did not come up: {}", said.trim());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        succeeds("kill", &["-TERM", &self.service.id().to_string()]);
        self.service.wait().ok();
        // What a failed test left running, and its mounts.
        podman(&self.dir).args(["rm", "--all", "--force", "--time", "0"]).output().ok();
        if !self.bridge_was_there {
            succeeds("ip", &["link", "del", BRIDGE]);
        }
        remove(&self.dir);
    }
}

/// The client on the private storage below `dir`. Started there: what watches the containers leaves files
/// (`oom`) in the directory where the service was started.
fn podman(dir: &Path) -> Command {
    let mut command = Command::new("podman");
    command.current_dir(dir);
    command.env("CONTAINERS_CONF", dir.join("containers.conf"));
    for (option, place) in
        [("root", "root"), ("runroot", "run"), ("tmpdir", "tmp"), ("network-config-dir", "net")]
    {
        command.arg(format!("--{option}")).arg(dir.join(place));
    }
    command
}
