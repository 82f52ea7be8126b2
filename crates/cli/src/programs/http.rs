//! Just enough HTTP/1.1 for small programs: `GET`, one request per connection, everything bounded.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What a handler answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content: &'static str,
    pub(crate) body: String,
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const HTML: &str = "text/html; charset=utf-8";
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// Nobody is waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a request's head, of a body that is fetched, and connections at one time.
const HEAD: usize = 8 * 1024;
const BODY: u64 = 1 << 20;
const CONNECTIONS: usize = 32;

// === impl Answer ===

impl Answer {
    pub(crate) fn ok(content: &'static str, body: impl Into<String>) -> Self {
        Self { status: 200, content, body: body.into() }
    }

    pub(crate) fn not_found() -> Self {
        Self { status: 404, content: TEXT, body: "not found\n".to_owned() }
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let reason = if self.status == 200 { "OK" } else { "Error" };
        write!(to, "HTTP/1.1 {} {reason}\r\ncontent-type: {}\r\n", self.status, self.content)?;
        write!(
            to,
            "content-length: {}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n",
            self.body.len()
        )?;
        to.write_all(self.body.as_bytes())?;
        to.flush()
    }
}

/// Answers by `handle`, which gets the path, for ever.
pub(crate) fn serve(listener: &TcpListener, handle: impl Fn(&str) -> Answer + Send + Sync + 'static) -> ! {
    let (handle, open) = (Arc::new(handle), Arc::new(AtomicUsize::new(0)));
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // No file descriptor left: some will be soon.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (handle, open) = (Arc::clone(&handle), Arc::clone(&open));
        std::thread::spawn(move || {
            // Whoever hangs up gets no answer.
            let _ = answer(stream, &*handle);
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn answer(mut stream: TcpStream, handle: &dyn Fn(&str) -> Answer) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = head(&mut stream)?;
    let answer = match path(&head) {
        Some(path) => handle(path),
        None => Answer { status: 405, content: TEXT, body: "only GET\n".to_owned() },
    };
    answer.write(&mut stream)
}

fn head(from: &mut impl Read) -> io::Result<String> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 1024]);
    while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        match from.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if bytes.len() > HEAD => return Err(io::ErrorKind::InvalidData.into()),
            read => bytes.extend_from_slice(&chunk[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Without its query; none when the request is no `GET`.
fn path(head: &str) -> Option<&str> {
    let target = head.strip_prefix("GET ")?.split_whitespace().next()?;
    target.split('?').next()
}

/// Fetches `http://<address><path>`; any status but 200 is an error.
pub(crate) fn get(address: &str, path: &str, limit: Duration) -> io::Result<String> {
    let resolved = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect_timeout(&resolved, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.take(BODY).read_to_end(&mut bytes)?;
    body(&bytes)
}

fn body(bytes: &[u8]) -> io::Result<String> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| broken("no answer"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(broken(&format!("status {status}")));
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    match length {
        Some(length) if body.len() < length => Err(broken("the answer ended too early")),
        _ => Ok(body.to_owned()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Serves on a free port until the test ends.
    pub(crate) fn start(handle: impl Fn(&str) -> Answer + Send + Sync + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || serve(&listener, handle));
        address
    }

    #[test]
    fn a_page_is_served_and_fetched() {
        let address = start(|path| match path {
            "/there" => Answer::ok(TEXT, "hello"),
            _ => Answer::not_found(),
        });
        assert_eq!(get(&address, "/there?x=1", PATIENCE).unwrap(), "hello");
        let error = get(&address, "/elsewhere", PATIENCE).unwrap_err();
        assert_eq!(error.to_string(), "status 404");
    }

    #[test]
    fn nonsense_gets_no_page() {
        let address = start(|_| Answer::ok(TEXT, "x"));
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 405"), "{text}");
    }

    #[test]
    fn an_answer_that_was_cut_off_is_no_answer() {
        assert!(body(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").is_err());
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").unwrap(), "abc");
    }
}
