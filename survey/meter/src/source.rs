//! Where a probe's bytes come from.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::termios::{
    BaudRate, ControlFlags, FlushArg, SetArg, SpecialCharacterIndices, cfmakeraw, cfsetspeed, tcflush,
    tcgetattr, tcsetattr,
};
use serde::Deserialize;

/// A meter sends every few seconds: one that is silent for that long is connected anew.
const SILENCE: Duration = Duration::from_secs(25);

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Source {
    /// A serial line, 9600 8N1.
    Serial(PathBuf),
    /// A file or a named pipe; from the beginning again once it ended.
    File(PathBuf),
    /// `host:port`, as of ser2net.
    Tcp(String),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("serial", path)) if !path.is_empty() => Ok(Self::Serial(path.into())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("tcp", address)) if address.contains(':') => Ok(Self::Tcp(address.to_owned())),
            _ => Err(format!("`{text}` is no source; say `serial:PATH`, `file:PATH` or `tcp:HOST:PORT`")),
        }
    }
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Source {
    /// The stream; it ends, or fails, when the other side is silent for too long.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Serial(path) => Box::new(serial(path)?),
            Self::File(path) => Box::new(File::open(path)?),
            Self::Tcp(address) => Box::new(tcp(address)?),
        })
    }
}

fn tcp(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, Duration::from_secs(10)) {
            Ok(stream) => {
                stream.set_read_timeout(Some(SILENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn serial(path: &Path) -> io::Result<File> {
    // Without waiting for a carrier that optical probes do not have.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags.bits()).open(path)?;
    let mut line = tcgetattr(&file)?;
    cfmakeraw(&mut line);
    cfsetspeed(&mut line, BaudRate::B9600)?;
    line.control_flags
        .remove(ControlFlags::CSIZE | ControlFlags::PARENB | ControlFlags::CSTOPB | ControlFlags::CRTSCTS);
    line.control_flags.insert(ControlFlags::CS8 | ControlFlags::CLOCAL | ControlFlags::CREAD);
    // A read ends after tenths of seconds of silence: 255 at most.
    line.control_chars[SpecialCharacterIndices::VMIN as usize] = 0;
    line.control_chars[SpecialCharacterIndices::VTIME as usize] =
        u8::try_from(SILENCE.as_secs() * 10).unwrap_or(u8::MAX);
    tcsetattr(&file, SetArg::TCSANOW, &line)?;
    tcflush(&file, FlushArg::TCIFLUSH)?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(file)
}
