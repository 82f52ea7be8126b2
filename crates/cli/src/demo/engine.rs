//! The container engine of this machine: whether one answers, and the image that the demo lends it.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holm_runtime::container::ContainerConfig;

use super::image::Layer;

/// An image of ours in an engine.
#[derive(Clone, Debug)]
pub(super) struct Lent {
    pub(super) image: String,
    /// How the program in it is started, without its arguments.
    pub(super) program: Vec<String>,
}

/// Why no container joins.
#[derive(Debug)]
pub(super) enum NoEngine {
    NoSocket,
    Silent { socket: PathBuf, reason: String },
    NoImage { reason: String },
}

/// An engine says at once that it is there, and takes its time with an image.
const ANSWER: Duration = Duration::from_secs(2);
const IMPORT: Duration = Duration::from_secs(60);
/// More than any answer to us.
const BYTES: u64 = 1 << 20;
const REPOSITORY: &str = "holm-demo";

// === impl NoEngine ===

impl fmt::Display for NoEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSocket => f.write_str(
                "there is no socket of Docker or Podman at its usual place, and none is named by --engine",
            ),
            Self::Silent { socket, reason } => {
                write!(f, "the container engine at {} does not answer: {reason}", socket.display())
            }
            Self::NoImage { reason } => write!(f, "the container engine did not take its image: {reason}"),
        }
    }
}

/// The name of the image of the demo with this process id.
pub(super) fn name(pid: i32) -> String {
    format!("{REPOSITORY}:{pid}")
}

/// Gives the engine of this machine, or that of `engine`, an image of `program`. It may take seconds.
pub(super) fn lend(image: &str, program: &Path, engine: Option<PathBuf>) -> Result<Lent, NoEngine> {
    let socket = engine.or_else(ContainerConfig::usual_socket).ok_or(NoEngine::NoSocket)?;
    let silent = |reason: String| NoEngine::Silent { socket: socket.clone(), reason };
    call(&socket, ANSWER, "GET", "/version", &[]).map_err(silent)?;
    let no_image = |reason: String| NoEngine::NoImage { reason };
    let layer = Layer::of(program).map_err(|e| no_image(e.to_string()))?;
    let (repository, tag) = image.split_once(':').unwrap_or((image, "latest"));
    let path = format!("/images/create?fromSrc=-&repo={repository}&tag={tag}");
    call(&socket, IMPORT, "POST", &path, &layer.tar).map_err(no_image)?;
    // The answer to the import is 200 before it has begun.
    call(&socket, ANSWER, "GET", &format!("/images/{image}/json"), &[]).map_err(no_image)?;
    Ok(Lent { image: image.to_owned(), program: layer.program })
}

/// Takes the image away again, if the engine has it. Its containers must be gone.
pub(super) fn take_back(image: &str, engine: Option<PathBuf>) {
    // An engine that was never there has none.
    let there = engine.or_else(ContainerConfig::usual_socket).filter(|socket| socket.exists());
    let Some(socket) = there else { return };
    match call(&socket, IMPORT, "DELETE", &format!("/images/{image}?force=true"), &[]) {
        Err(reason) if !reason.starts_with("404") => {
            eprintln!("warning: the image {image} cannot be removed: {reason}");
        }
        _ => {}
    }
}

/// The body of a good answer. By HTTP/1.0: the answer ends with the connection.
fn call(socket: &Path, limit: Duration, method: &str, path: &str, body: &[u8]) -> Result<String, String> {
    let answer = exchange(socket, limit, method, path, body).map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("it answers in no way that we know")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status.starts_with('2') { Ok(body.to_owned()) } else { Err(format!("{status}: {}", body.trim())) }
}

fn exchange(socket: &Path, limit: Duration, method: &str, path: &str, body: &[u8]) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nhost: engine\r\ncontent-type: application/x-tar\r\ncontent-length: {length}\r\n\r\n"
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.take(BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn answering(answer: &'static str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // All of it: whoever answers half a question breaks the pipe of who asks.
            let (mut asked, mut byte) = (Vec::new(), [0]);
            while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                asked.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        (dir, socket)
    }

    #[test]
    fn an_answer_is_good_or_says_why_not() {
        let (_dir, socket) = answering("HTTP/1.0 200 OK\r\ncontent-type: x\r\n\r\nfine");
        assert_eq!(call(&socket, ANSWER, "GET", "/version", &[]).as_deref(), Ok("fine"));
        let (_dir, socket) = answering("HTTP/1.0 404 Not Found\r\n\r\nno such image\n");
        assert_eq!(call(&socket, ANSWER, "GET", "/images/x/json", &[]), Err("404: no such image".to_owned()));
        assert!(call(Path::new("/nonexistent"), ANSWER, "GET", "/", &[]).is_err());
    }
}
