//! A way to a Unix socket that can be cut and mended.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

/// Forwards connections to another socket. While it is cut, nothing listens at its own.
pub(crate) struct Relay {
    socket: PathBuf,
    target: PathBuf,
    /// Both ends of everything that is open.
    open: Arc<Mutex<Vec<UnixStream>>>,
    _dir: tempfile::TempDir,
}

impl Relay {
    pub(crate) fn to(target: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("relay.sock");
        let relay = Self { socket, target: target.to_owned(), open: Arc::default(), _dir: dir };
        relay.mend();
        relay
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn mend(&self) {
        let listener = UnixListener::bind(&self.socket).unwrap();
        let (target, open, socket) = (self.target.clone(), Arc::clone(&self.open), self.socket.clone());
        thread::spawn(move || {
            for near in listener.incoming() {
                // Whoever was waiting when it was cut is not served.
                let (Ok(near), true) = (near, socket.exists()) else { return };
                let Ok(far) = UnixStream::connect(&target) else { continue };
                join(&near, &far, &open).unwrap();
            }
        });
    }

    pub(crate) fn cut(&self) {
        std::fs::remove_file(&self.socket).unwrap();
        for stream in self.open.lock().unwrap().drain(..) {
            // One that has ended already is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn join(near: &UnixStream, far: &UnixStream, open: &Mutex<Vec<UnixStream>>) -> io::Result<()> {
    open.lock().unwrap().extend([near.try_clone()?, far.try_clone()?]);
    for (from, to) in [(near, far), (far, near)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}
