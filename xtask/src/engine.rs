//! A private Docker daemon for the tests: own data directory, own socket, gone afterwards.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::image::{self, Image};
use crate::tool::{remove, run, succeeds};

/// An engine that answers on `socket`; one that we started ends with this value.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) socket: String,
    daemon: Option<(Child, PathBuf)>,
    /// A bridge of our own: daemons that share `docker0` take it away from each other.
    _bridge: Bridge,
}

#[derive(Debug)]
struct Bridge(String);

const START: Duration = Duration::from_secs(60);

impl Engine {
    /// A private daemon, started now.
    pub(crate) fn start() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("holm-engine-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let socket = format!("unix://{}/docker.sock", dir.display());
        let log = fs::File::create(dir.join("dockerd.log"))?;
        let bridge = Bridge::make()?;
        let child = Command::new("dockerd")
            .arg("--data-root")
            .arg(dir.join("data"))
            .arg("--exec-root")
            .arg(dir.join("exec"))
            .arg("--pidfile")
            .arg(dir.join("pid"))
            .args(["-H", &socket, "--bridge", &bridge.0])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start dockerd")?;
        let mut engine = Self { socket, daemon: Some((child, dir)), _bridge: bridge };
        engine.wait()?;
        let image = Image::make()?;
        let mut import = Command::new("docker");
        import.args(["-H", &engine.socket, "import"]).arg(&image.tar).arg(image::NAME);
        run(import.stdout(Stdio::null()))?;
        Ok(engine)
    }

    fn wait(&mut self) -> Result<()> {
        let until = Instant::now() + START;
        while !succeeds("docker", &["-H", &self.socket, "version"]) {
            let ended =
                self.daemon.as_mut().is_some_and(|(child, _)| matches!(child.try_wait(), Ok(Some(_))));
            if ended || Instant::now() > until {
                bail!("dockerd did not come up: {}", self.last_words());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = self.daemon.as_ref().map(|(_, dir)| dir.join("dockerd.log"));
        let text = log.and_then(|log| fs::read_to_string(log).ok()).unwrap_or_default();
        text.lines().rev().take(3).collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some((mut child, dir)) = self.daemon.take() {
            // SIGTERM, so that it unmounts what it mounted.
            succeeds("kill", &["-TERM", &child.id().to_string()]);
            child.wait().ok();
            remove(&dir);
        }
    }
}

impl Bridge {
    fn make() -> Result<Self> {
        let id = std::process::id();
        let bridge = Self(format!("holm{id}"));
        run(Command::new("ip").args(["link", "add", "name", &bridge.0, "type", "bridge"]))?;
        let address = format!("10.213.{}.1/24", id % 256);
        run(Command::new("ip").args(["addr", "add", &address, "dev", &bridge.0]))?;
        run(Command::new("ip").args(["link", "set", &bridge.0, "up"]))?;
        Ok(bridge)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        succeeds("ip", &["link", "del", &self.0]);
    }
}
