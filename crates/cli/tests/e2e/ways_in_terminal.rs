//! A call of the command line in a real terminal, and what it shows.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::harness::wait_for;

pub(crate) struct Screen {
    near: File,
    /// Held, so that its modes can be asked for behind the end of the call.
    far: OwnedFd,
    child: Child,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Screen {
    pub(crate) fn start(mut call: Command, columns: u16, rows: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let near = openpt(flags).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let far = ioctl_tiocgptpeer(&near, flags).unwrap();
        let end = || Stdio::from(far.try_clone().unwrap());
        call.stdin(end()).stdout(end()).stderr(end()).env("TERM", "xterm");
        let near = File::from(near);
        tcsetwinsize(&near, size(columns, rows)).unwrap();
        let child = call.spawn().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut from, to) = (near.try_clone().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                to.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Self { near, far, child, seen }
    }

    /// Waits for `text`, and forgets what came before it.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) {
        wait_for(&format!("{text:?} on the screen"), || {
            let mut seen = self.seen.lock().unwrap();
            let at = seen.windows(text.len()).position(|window| window == text.as_bytes())?;
            seen.drain(..at + text.len());
            Some(())
        });
    }

    pub(crate) fn keys(&mut self, keys: &[u8]) {
        // What is typed before the terminal is handed over is for whoever has it.
        wait_for("every key is for the program there", || (!self.is_as_before()).then_some(()));
        self.near.write_all(keys).unwrap();
    }

    /// While nobody reads what is shown.
    pub(crate) fn unread(&mut self, meanwhile: impl FnOnce(&mut File)) {
        let seen = Arc::clone(&self.seen);
        let held = seen.lock().unwrap();
        meanwhile(&mut self.near);
        drop(held);
    }

    /// An answer to a question that may be seen.
    pub(crate) fn answer(&mut self, line: &str) {
        self.near.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// What came since the last [`Self::until`].
    pub(crate) fn rest(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// As a window that is dragged.
    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        tcsetwinsize(&self.near, size(columns, rows)).unwrap();
        // The kernel tells only the group that the terminal belongs to; here it is nobody's.
        self.signal(Signal::SIGWINCH);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its exit code, once it has ended.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> i32 {
        wait_for("the call ends", || self.child.try_wait().unwrap()).code().unwrap_or(-1)
    }

    /// Whether the terminal makes lines and signals of what is typed.
    pub(crate) fn is_as_before(&self) -> bool {
        let modes = tcgetattr(&self.far).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- on the screen\n{}", String::from_utf8_lossy(&self.seen.lock().unwrap()));
        }
        // Ended already, or ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
