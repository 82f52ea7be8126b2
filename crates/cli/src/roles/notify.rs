//! What a service manager is told of a daemon (`Type=notify` of systemd). Without one, nothing.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// It can be used.
pub(crate) fn ready() {
    tell("READY=1");
}

/// It was told to end.
pub(super) fn stopping() {
    tell("STOPPING=1");
}

/// Whether what we print goes to the journal, as `JOURNAL_STREAM` says (device and inode of it).
#[cfg(feature = "full")]
pub(super) fn is_journalled() -> bool {
    let said = std::env::var("JOURNAL_STREAM").ok();
    let own = nix::sys::stat::fstat(io::stdout()).ok();
    let own = own.map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
    said.is_some() && said == own
}

fn tell(state: &str) {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&socket, state)
    {
        tracing::warn!(state, %error, "The service manager cannot be told.");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_is_told_at_a_path_and_at_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("holm-notify-{}", std::process::id());
        let managers = [
            (path.clone().into_os_string(), UnixDatagram::bind(&path).unwrap()),
            (
                format!("@{name}").into(),
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(),
            ),
        ];
        for (socket, manager) in managers {
            send(&socket, "READY=1").unwrap();
            let mut heard = [0; 16];
            let length = manager.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1", "{socket:?}");
        }
        assert!(send(OsStr::new("/nonexistent"), "READY=1").is_err());
    }
}
