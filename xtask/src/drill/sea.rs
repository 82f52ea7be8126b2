//! Daemons, a proxy, and people with a command line each, all in one directory that goes in the end.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::wait_for;
use crate::tool::{remove, succeeds};

/// One drill's place; what it started ends with it.
#[derive(Debug)]
pub(super) struct Ground {
    // Dropped in this order: the last started ends first.
    daemons: Vec<Daemon>,
    program: PathBuf,
    dir: PathBuf,
}

#[derive(Debug)]
struct Daemon {
    name: String,
    child: Child,
}

/// Where a root answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) tls: SocketAddr,
    pub(super) plain: SocketAddr,
}

/// Somebody with a configuration of their own.
#[derive(Debug)]
pub(super) struct Person {
    program: PathBuf,
    config: PathBuf,
}

/// How a call of the command line ended.
#[derive(Debug)]
pub(super) struct Ran {
    call: String,
    done: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Where each instance says that it was started, by a file that has the number of its process.
pub(super) const STARTS: &str = "starts";
/// The command line of such a process.
const SLEEPS: &[u8] = b"sleep\x00100000\x00";

// === impl Ground ===

impl Ground {
    pub(super) fn new(program: &Path) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("holm-drill-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        // A copy: what is built meanwhile is no part of the drill. Instances run as another user under root.
        let own = dir.join("holm");
        fs::copy(program, &own).with_context(|| format!("cannot copy {}", program.display()))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o711))?;
        Ok(Self { daemons: Vec::new(), program: own, dir })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(super) fn file(&self, name: &str, text: &str) -> Result<String> {
        fs::write(self.path(name), text)?;
        Ok(self.text(name))
    }

    /// A directory that instances may write to.
    pub(super) fn open_directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
        Ok(path)
    }

    pub(super) fn person(&self, name: &str) -> Person {
        Person { program: self.program.clone(), config: self.path(&format!("config-{name}")) }
    }

    /// Starts a root and waits until it answers.
    pub(super) fn root(&mut self, name: &str, at: Addresses) -> Result<()> {
        let words = [
            "root".to_owned(),
            format!("--data-dir={}", self.text(name)),
            format!("--listen={}", at.tls),
            format!("--http={}", at.plain),
        ];
        self.daemon(name, &words)?;
        wait_for(&format!("{name} answers"), || {
            Ok((TcpStream::connect(at.plain).is_ok() && self.path(name).join("api.sock").exists())
                .then_some(()))
        })
    }

    pub(super) fn node(
        &mut self,
        name: &str,
        parent: SocketAddr,
        proxy: SocketAddr,
        token: &str,
    ) -> Result<()> {
        let token = self.file(&format!("{name}.token"), token)?;
        let words = [
            "node".to_owned(),
            format!("--data-dir={}", self.text(name)),
            format!("--name={name}"),
            format!("--parent={parent}"),
            format!("--proxy=http://{proxy}"),
            format!("--token-file={token}"),
            format!("--engine={}", self.text("no-engine")),
        ];
        self.daemon(name, &words)
    }

    /// A proxy that lets through to everywhere; its log is beside it.
    pub(super) fn proxy(&mut self) -> Result<SocketAddr> {
        let at = free_port()?;
        let text = format!(
            "Port {}\nListen {}\nTimeout 600\nMaxClients 100\nLogFile \"{}\"\nLogLevel Connect\n",
            at.port(),
            at.ip(),
            self.text("proxy.log")
        );
        let file = self.file("proxy.conf", &text)?;
        let mut command = Command::new("tinyproxy");
        command.args(["-d", "-c", &file]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("cannot start tinyproxy; Debian has it in `tinyproxy-bin`")?;
        self.daemons.push(Daemon { name: "proxy".to_owned(), child });
        wait_for("the proxy listens", || Ok(TcpStream::connect(at).ok()))?;
        Ok(at)
    }

    fn daemon(&mut self, name: &str, words: &[String]) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.path(&format!("{name}.log")))?;
        let child = clean(&self.program).args(words).stdout(log.try_clone()?).stderr(log).spawn();
        let child = child.with_context(|| format!("cannot start {name}"))?;
        self.daemons.push(Daemon { name: name.to_owned(), child });
        Ok(())
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self, name: &str) -> Result<()> {
        let at = self.daemons.iter().position(|daemon| daemon.name == name);
        let mut daemon = self.daemons.remove(at.with_context(|| format!("{name} does not run"))?);
        daemon.child.kill()?;
        daemon.child.wait()?;
        Ok(())
    }

    /// Ends what a drill that failed has left running: instances outlive their agent.
    fn sweep(&self) {
        let Ok(starts) = fs::read_dir(self.path(STARTS)) else { return };
        for start in starts.filter_map(Result::ok) {
            let pid = start.file_name().to_string_lossy().into_owned();
            // The number may be somebody else's by now.
            if fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == SLEEPS) {
                succeeds("kill", &["-KILL", &pid]);
            }
        }
    }

    /// The end of a daemon's log.
    pub(super) fn log(&self, name: &str) -> String {
        let text = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(15).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        while let Some(mut daemon) = self.daemons.pop() {
            // Gently: a node that is told to leave first has nothing left to run.
            succeeds("kill", &["-TERM", &daemon.child.id().to_string()]);
            // Ours, so it can be waited for.
            let _ = daemon.child.wait();
        }
        self.sweep();
        remove(&self.dir);
    }
}

/// Two free ports of loopback.
pub(super) fn addresses() -> Result<Addresses> {
    Ok(Addresses { tls: free_port()?, plain: free_port()? })
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Nothing of the environment of whoever runs the drill.
fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("HOLM_")) {
        command.env_remove(key);
    }
    command.env("HOME", "/nonexistent").env_remove("XDG_CONFIG_HOME").stdin(Stdio::null());
    command
}

// === impl Person ===

impl Person {
    pub(super) fn holm(&self, words: &[&str]) -> Result<Ran> {
        self.types(words, "")
    }

    /// With `input` on standard input.
    pub(super) fn types(&self, words: &[&str], input: &str) -> Result<Ran> {
        let mut command = clean(&self.program);
        command.args(words).env("HOLM_CONFIG_DIR", &self.config).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read it all has ended by then.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output()?;
        Ok(Ran {
            call: format!("holm {}", words.join(" ")),
            done: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

// === impl Ran ===

impl Ran {
    /// # Errors
    /// When it has not done what it was told.
    pub(super) fn done(self) -> Result<Self> {
        ensure!(self.done, "`{}` failed:\n{}{}", self.call, self.stdout, self.stderr);
        Ok(self)
    }

    /// # Errors
    /// When it was done, or its reason does not say `word`.
    pub(super) fn refused(self, word: &str) -> Result<()> {
        if self.done || !self.stderr.contains(word) {
            bail!("`{}` must be refused with `{word}`:\n{}{}", self.call, self.stdout, self.stderr);
        }
        Ok(())
    }

    pub(super) fn line(&self) -> &str {
        self.stdout.trim()
    }

    pub(super) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("`{}`: {}", self.call, self.stdout))
    }
}
