//! What the machine offers: runtimes, disk, ports.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use holm_model::resources::Memory;
use holm_runtime::container::ContainerConfig;
use holm_runtime::process::cgroup::Cgroups;
use nix::sys::statvfs::statvfs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::report::Report;
use super::subject::{Daemon, Role, Subject};

const CONTAINERS: &str = "containers";
const DISK: &str = "disk";
const PORT: &str = "port";
const PROCESSES: &str = "processes";
/// Limits that a process should be held to.
const LIMITS: [&str; 3] = ["cpu", "memory", "pids"];
/// Below this the store cannot be trusted to be written; below the other, images hardly fit.
const FULL: u64 = 64 << 20;
const SCARCE: u64 = 1 << 30;
/// An engine says at once that it is there.
const ANSWER: Duration = Duration::from_secs(3);
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7700);

pub(super) async fn check(subject: &Subject, report: &mut Report) {
    if subject.role == Role::Node {
        processes(&subject.dir, report);
        containers(subject, report).await;
    }
    disk(&subject.dir, report);
    if subject.role != Role::Node {
        port(subject, report);
    }
}

/// Which limits the agent can set; found as it finds them.
fn processes(dir: &Path, report: &mut Report) {
    let Ok(label) = std::fs::read_to_string(dir.join("label")) else {
        return report.next(PROCESSES, "limits are not known yet", "the first start finds out");
    };
    let enforced = Cgroups::detect(label.trim()).enforces();
    let missing: Vec<_> =
        LIMITS.into_iter().filter(|limit| !enforced.iter().any(|word| word == limit)).collect();
    if missing.is_empty() {
        return report.ok(PROCESSES, "limits of CPU, memory and processes are enforced by cgroups");
    }
    let says = format!("cgroups do not enforce limits of {}", missing.join(", "));
    report.warn(
        PROCESSES,
        says,
        "run the agent as root, or delegate a cgroup v2 to it (systemd: Delegate=yes)",
    );
}

async fn containers(subject: &Subject, report: &mut Report) {
    let Some(socket) = subject.engine.clone().or_else(ContainerConfig::usual_socket) else {
        let todo = "install Docker or Podman if containers shall run here, or name its socket with --engine";
        return report.warn(CONTAINERS, "no container engine is here", todo);
    };
    let shown = socket.display();
    let asked = tokio::time::timeout(ANSWER, ping(&socket)).await;
    match asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(()) => report.ok(CONTAINERS, format!("an engine answers at {shown}")),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            let says = format!("an engine listens at {shown} and does not answer");
            let todo = "look into its log and restart it; until it answers, no container starts here, and what \
                        runs in it is shown as it was known last";
            report.fail(CONTAINERS, says, todo);
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let todo = "let the agent's user open it (often: add it to the group `docker`)";
            report.fail(CONTAINERS, format!("{shown} may not be opened"), todo);
        }
        Err(error) => {
            let todo = "start the engine, or name another socket with --engine";
            report.warn(CONTAINERS, format!("nobody listens at {shown}: {error}"), todo);
        }
    }
}

/// Any word will do.
async fn ping(socket: &Path) -> io::Result<()> {
    let mut engine = UnixStream::connect(socket).await?;
    engine.write_all(b"GET /_ping HTTP/1.0\r\nhost: engine\r\n\r\n").await?;
    match engine.read(&mut [0; 64]).await? {
        0 => Err(io::Error::new(io::ErrorKind::ConnectionReset, "it hangs up")),
        _ => Ok(()),
    }
}

fn disk(dir: &Path, report: &mut Report) {
    // Before the first start: where it will be.
    let there = dir.ancestors().find(|path| path.exists()).unwrap_or(dir);
    let stat = match statvfs(there) {
        Ok(stat) => stat,
        Err(error) => {
            return report.fail(DISK, format!("it cannot be looked at: {error}"), "check the directory");
        }
    };
    // The types differ between architectures.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "u32 on 32-bit targets")]
    let (free, files, all_files) = (
        (stat.blocks_available() as u64).saturating_mul(stat.fragment_size() as u64),
        stat.files_available() as u64,
        stat.files() as u64,
    );
    let says = format!("{} free below {}", Memory(free), dir.display());
    // File systems without a fixed number of files say 0 of 0.
    match (free, all_files > 0 && files == 0) {
        (..FULL, _) => report.fail(DISK, says, "free some space: nothing can be written safely"),
        (_, true) => report.fail(DISK, "no file can be made any more (no inodes)", "remove some files"),
        (..SCARCE, _) => report.warn(DISK, says, "free some space before images are pulled"),
        _ => report.ok(DISK, says),
    }
}

/// Whether the port is free for a daemon that does not run.
fn port(subject: &Subject, report: &mut Report) {
    if !matches!(subject.daemon, Daemon::Absent) {
        return report.ok(PORT, "the daemon has it");
    }
    let listen = subject.listen.unwrap_or(LISTEN);
    match TcpListener::bind(listen) {
        Ok(_) => report.ok(PORT, format!("{listen} is free")),
        Err(error) => {
            let todo = "end what listens there (`ss -ltnp`), or choose another port with --listen";
            report.fail(PORT, format!("{listen} cannot be had: {error}"), todo);
        }
    }
}
