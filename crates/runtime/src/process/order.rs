//! What the agent asks the nursery, and what the supervisor that was forked for it answers: one message each.
//!
//! ```text
//! agent ──Order──→ nursery ──fork──→ supervisor ──Answer, by the socket that came with the order──→ agent
//! ```
//!
//! An answer that ends without a word: nursery or supervisor died before it.

use std::ffi::OsStr;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::cmsg_space;
use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

use super::dir::Running;

/// As the agent has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<'a> {
    /// Of the instance.
    pub(super) dir: &'a Path,
    /// Locked; whoever has it open holds the instance.
    pub(super) lock: BorrowedFd<'a>,
    /// See [`super::given`].
    pub(super) given: BorrowedFd<'a>,
}

/// As it arrives.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) dir: PathBuf,
    pub(super) lock: OwnedFd,
    pub(super) given: OwnedFd,
    /// Where the answer goes.
    pub(super) agent: OwnedFd,
}

/// Why the program does not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failed {
    pub(super) step: String,
    pub(super) reason: String,
    pub(super) hope: Hope,
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Hope {
    Later,
    Never,
    /// With another lease: this one is over, or will be before it could be used.
    Lease,
}

/// The program runs, and this pidfd, which the supervisor opened itself, is of no other process.
pub(super) type Answer = Result<(Running, OwnedFd), Failed>;

/// Bytes of a message: the longest path, and of an answer a path within an error.
const MOST: usize = 32 * 1024;
/// Descriptors of a message.
const MOST_FDS: usize = 3;

/// Both ends of a way for whole messages.
///
/// # Errors
/// When there is no descriptor left.
pub(super) fn way() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

// === impl Order ===

impl Order<'_> {
    /// # Errors
    /// `BrokenPipe` or `ConnectionReset` when the nursery has ended.
    pub(super) fn send(&self, nursery: impl AsFd, answer: BorrowedFd<'_>) -> io::Result<()> {
        send(nursery, self.dir.as_os_str().as_bytes(), &[self.lock, self.given, answer])
    }
}

// === impl Taken ===

impl Taken {
    /// Waits for the next; `None` when the agent has ended.
    ///
    /// # Errors
    /// Those of the kernel, and `InvalidData` when it is no order.
    pub(super) fn next(agent: impl AsFd) -> io::Result<Option<Self>> {
        let Some((path, fds)) = receive(agent)? else { return Ok(None) };
        let [lock, given, agent] =
            <[OwnedFd; MOST_FDS]>::try_from(fds).map_err(|_| io::ErrorKind::InvalidData)?;
        Ok(Some(Self { dir: PathBuf::from(OsStr::from_bytes(&path)), lock, given, agent }))
    }
}

// === impl Answer ===

/// Sends what became of an order. An agent that is gone meanwhile finds `running.json`.
pub(super) fn answer(agent: impl AsFd, answer: &Answer) {
    let (told, pidfd) = match answer {
        Ok((running, pidfd)) => (Ok(running), Some(pidfd.as_fd())),
        Err(failed) => (Err(failed), None),
    };
    // Numbers and texts: there is always JSON for it.
    let text = serde_json::to_vec(&told).unwrap_or_default();
    let _ = send(agent, &text, pidfd.as_slice());
}

/// Waits for the answer; `None` when nobody is left who could give it.
///
/// # Errors
/// Those of the kernel.
pub(super) fn hear(supervisor: impl AsFd) -> io::Result<Option<Answer>> {
    let Some((text, fds)) = receive(supervisor)? else { return Ok(None) };
    Ok(match serde_json::from_slice(&text)? {
        Ok(running) => fds.into_iter().next().map(|pidfd| Ok((running, pidfd))),
        Err(failed) => Some(Err(failed)),
    })
}

fn send(to: impl AsFd, text: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_FDS))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !rights.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let text = [IoSlice::new(text)];
    retry_on_intr(|| sendmsg(&to, &text, &mut rights, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// `None` at the end.
fn receive(from: impl AsFd) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut text = vec![0; MOST];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_FDS))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let got = retry_on_intr(|| {
        recvmsg(&from, &mut [IoSliceMut::new(&mut text)], &mut rights, RecvFlags::CMSG_CLOEXEC)
    })?;
    let fds = rights.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => fds.collect(),
        _ => Vec::new(),
    });
    let fds: Vec<OwnedFd> = fds.collect();
    if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    text.truncate(got.bytes);
    Ok((got.bytes > 0).then_some((text, fds)))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const RUNNING: Running = Running { incarnation: 2, supervisor: 3, program: 4, program_start: 5 };

    fn null() -> OwnedFd {
        File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn an_order_arrives_whole() {
        let (near, far) = way().unwrap();
        let (lock, given, (ours, theirs)) = (null(), null(), way().unwrap());
        let dir = Path::new("/an/instance");
        Order { dir, lock: lock.as_fd(), given: given.as_fd() }.send(&near, theirs.as_fd()).unwrap();
        drop((theirs, near));
        let taken = Taken::next(&far).unwrap().unwrap();
        assert_eq!(taken.dir, dir);
        assert!(Taken::next(&far).unwrap().is_none(), "the agent has ended");
        answer(&taken.agent, &Ok((RUNNING, null())));
        assert_eq!(hear(&ours).unwrap().unwrap().unwrap().0, RUNNING);
        drop(taken);
        assert!(hear(&ours).unwrap().is_none(), "the supervisor has ended");
    }

    #[test]
    fn failures_arrive_and_what_is_no_order_does_not() {
        let (near, far) = way().unwrap();
        let failed = Failed { step: "trying".into(), reason: "no luck".into(), hope: Hope::Never };
        answer(&far, &Err(failed.clone()));
        assert_eq!(hear(&near).unwrap().unwrap().unwrap_err(), failed);
        send(&near, b"/an/instance", &[null().as_fd()]).unwrap();
        assert_eq!(Taken::next(&far).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_nobody_took_is_closed() {
        let (near, far) = way().unwrap();
        let (lock, given, (ours, theirs)) = (null(), null(), way().unwrap());
        let order = Order { dir: Path::new("/"), lock: lock.as_fd(), given: given.as_fd() };
        order.send(&near, theirs.as_fd()).unwrap();
        drop((theirs, far));
        assert!(hear(&ours).unwrap().is_none());
        let (_ours, theirs) = way().unwrap();
        let error = order.send(&near, theirs.as_fd()).unwrap_err();
        assert!(
            matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset),
            "{error}"
        );
    }
}
