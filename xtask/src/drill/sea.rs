//! Daemons, a proxy, and people with a command line each, all in one directory that goes in the end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::wait_for;
use crate::tool::{remove, succeeds};

/// One drill's place; what it started ends with it.
#[derive(Debug)]
pub(super) struct Ground {
    // Dropped in this order: the last started ends first.
    daemons: Vec<Daemon>,
    /// What is started from now on.
    program: PathBuf,
    /// What each daemon was told when it was started first.
    words: BTreeMap<String, Vec<String>>,
    /// What a daemon is told beside the usual.
    more: BTreeMap<String, Vec<String>>,
    /// Network namespaces of daemons that have one of their own.
    inside: BTreeMap<String, String>,
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
    /// Of an orchestrator on this machine: whoever may open it needs no login.
    socket: Option<PathBuf>,
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
        // Instances run as another user under root.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o711))?;
        let (words, more, inside) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut ground = Self { daemons: Vec::new(), program: PathBuf::new(), words, more, inside, dir };
        ground.program = ground.bring(program, "holm")?;
        Ok(ground)
    }

    /// A copy of a program: what is built meanwhile is no part of the drill.
    pub(super) fn bring(&self, program: &Path, name: &str) -> Result<PathBuf> {
        let own = self.path(name);
        fs::copy(program, &own).with_context(|| format!("cannot copy {}", program.display()))?;
        Ok(own)
    }

    /// To a daemon that is started later.
    pub(super) fn say_more(&mut self, name: &str, words: &[String]) {
        self.more.entry(name.to_owned()).or_default().extend_from_slice(words);
    }

    /// A daemon that is started later has the network of this namespace.
    pub(super) fn put_inside(&mut self, name: &str, namespace: &str) {
        self.inside.insert(name.to_owned(), namespace.to_owned());
    }

    /// Daemons that are started from now on are this one.
    pub(super) fn switch(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
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
        let config = self.path(&format!("config-{name}"));
        Person { program: self.program.clone(), config, socket: None }
    }

    /// Whoever may open the socket of an orchestrator, with a program of their own.
    pub(super) fn owner(&self, orchestrator: &str, program: &Path) -> Person {
        let (program, config) = (program.to_owned(), self.path("config-owner"));
        Person { program, config, socket: Some(self.path(orchestrator).join("api.sock")) }
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
        proxy: Option<SocketAddr>,
        token: &str,
    ) -> Result<()> {
        let mut words = self.member("node", name, parent, token)?;
        words.push(format!("--engine={}", self.text("no-engine")));
        words.extend(proxy.map(|proxy| format!("--proxy=http://{proxy}")));
        self.daemon(name, &words)
    }

    pub(super) fn cluster(
        &mut self,
        name: &str,
        parent: SocketAddr,
        at: SocketAddr,
        token: &str,
    ) -> Result<()> {
        let mut words = self.member("cluster", name, parent, token)?;
        words.push(format!("--listen={at}"));
        self.daemon(name, &words)
    }

    fn member(&self, role: &str, name: &str, parent: SocketAddr, token: &str) -> Result<Vec<String>> {
        let token = self.file(&format!("{name}.token"), token)?;
        Ok(vec![
            role.to_owned(),
            format!("--data-dir={}", self.text(name)),
            format!("--name={name}"),
            format!("--parent={parent}"),
            format!("--token-file={token}"),
        ])
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
        let mut command = match self.inside.get(name) {
            None => clean(&self.program),
            Some(namespace) => {
                let mut enter = clean(Path::new("ip"));
                enter.args(["netns", "exec", namespace]).arg(&self.program);
                enter
            }
        };
        let more = self.more.get(name).into_iter().flatten();
        let child = command.args(words).args(more).stdout(log.try_clone()?).stderr(log).spawn();
        let child = child.with_context(|| format!("cannot start {name}"))?;
        self.words.insert(name.to_owned(), words.to_vec());
        self.daemons.push(Daemon { name: name.to_owned(), child });
        Ok(())
    }

    /// Starts a daemon as it was started before, as whatever program it is now.
    pub(super) fn start(&mut self, name: &str) -> Result<()> {
        let words = self.words.get(name).with_context(|| format!("{name} was never started"))?.clone();
        self.daemon(name, &words)
    }

    /// As the service manager does.
    pub(super) fn stop(&mut self, name: &str) -> Result<()> {
        let mut daemon = self.take(name)?;
        succeeds("kill", &["-TERM", &daemon.child.id().to_string()]);
        wait_for(&format!("{name} ends"), || Ok(daemon.child.try_wait()?))?;
        Ok(())
    }

    /// How it ended by itself, once it has.
    pub(super) fn ended(&mut self, name: &str) -> Result<Option<ExitStatus>> {
        let mut daemon = self.take(name)?;
        let status = daemon.child.try_wait()?;
        if status.is_none() {
            self.daemons.push(daemon);
        }
        Ok(status)
    }

    fn take(&mut self, name: &str) -> Result<Daemon> {
        let at = self.daemons.iter().position(|daemon| daemon.name == name);
        Ok(self.daemons.remove(at.with_context(|| format!("{name} does not run"))?))
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self, name: &str) -> Result<()> {
        let mut daemon = self.take(name)?;
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
            if pid.parse().is_ok_and(is_start) {
                succeeds("kill", &["-KILL", &pid]);
            }
        }
    }

    /// All that a daemon has said.
    pub(super) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    /// The ends of the logs, for whoever has to find out.
    pub(super) fn show_logs(&self, names: &[&str]) {
        for name in names {
            let text = self.log(name);
            let lines: Vec<_> = text.lines().collect();
            let end = &lines[lines.len().saturating_sub(15)..];
            eprintln!("--- the end of the log of {name}\n{}", end.join("\n"));
        }
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

/// Whether it is a process that was started by an instance of a drill.
pub(super) fn is_start(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == SLEEPS)
}

/// Two free ports of loopback.
pub(super) fn addresses() -> Result<Addresses> {
    Ok(Addresses { tls: free_port()?, plain: free_port()? })
}

pub(super) fn free_port() -> Result<SocketAddr> {
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
        if let Some(socket) = &self.socket {
            command.env("HOLM_SOCKET", socket);
        }
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
