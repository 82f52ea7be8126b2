//! One probe: a question, its deadline, and the answer in words that are the same for the same finding.

use std::collections::BTreeMap;
use std::io;

use futures::StreamExt as _;
use holm_core::node::Probed;
use holm_model::duration::Span;
use holm_model::health::{Check, Probe};
use holm_model::id::AssignmentId;
use holm_model::name::Name;
use holm_model::tunnel::ExecOut;
use holm_runtime::{Exec, RunError};
use tokio::time::timeout;

use super::http::{self, HttpError};
use crate::directory::Directory;
use crate::tunnels::dial;

/// No good answer.
#[derive(Debug, thiserror::Error)]
enum Bad {
    #[error("it has no port `{0}` now")]
    NoPort(Name),
    #[error("{}", plain(.0))]
    Connect(io::Error),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("it is not running")]
    NotRunning,
    #[error("the command cannot be run: {0}")]
    Exec(RunError),
    #[error("exit code {0}")]
    Exit(i32),
    #[error("the command ended, nobody saw how")]
    Lost,
}

/// Asks once. Whatever is still under way at the deadline is ended.
pub(super) async fn ask(
    directory: &Directory,
    id: AssignmentId,
    check: &Check,
    ports: &BTreeMap<Name, u16>,
) -> Probed {
    let asked = timeout(check.timeout, good(directory, id, &check.probe, ports)).await;
    let (good, said) = match asked {
        Ok(Ok(said)) => (true, said),
        Ok(Err(bad)) => (false, bad.to_string()),
        Err(_) => (false, format!("no answer in {}", Span(check.timeout))),
    };
    Probed { good, answer: format!("{}: {said}", check.probe) }
}

async fn good(
    directory: &Directory,
    id: AssignmentId,
    probe: &Probe,
    ports: &BTreeMap<Name, u16>,
) -> Result<String, Bad> {
    let number = |port: &Name| ports.get(port).copied().ok_or_else(|| Bad::NoPort(port.clone()));
    match probe {
        Probe::Http { port, path } => {
            let stream = dial::instance(number(port)?).await.map_err(Bad::Connect)?;
            Ok(http::get(stream, path).await?.as_u16().to_string())
        }
        Probe::Tcp { port } => {
            dial::instance(number(port)?).await.map_err(Bad::Connect)?;
            Ok("connected".to_owned())
        }
        Probe::Exec(command) => {
            let entry = directory.get(id).filter(|entry| entry.alive).ok_or(Bad::NotRunning)?;
            let running = entry.runtime.exec(id, command.clone(), None).await.map_err(Bad::Exec)?;
            exit_code(running).await
        }
    }
}

/// What it says is let go: what counts is how it ends.
async fn exit_code(Exec { stdin, control, mut output }: Exec) -> Result<String, Bad> {
    drop(stdin);
    while let Some(out) = output.next().await {
        match out {
            Ok(ExecOut::Exit(0)) => return Ok("exit code 0".to_owned()),
            Ok(ExecOut::Exit(code)) => return Err(Bad::Exit(code)),
            Ok(ExecOut::Stdout(_) | ExecOut::Stderr(_)) => {}
            Err(_) => break,
        }
    }
    drop(control);
    Err(Bad::Lost)
}

/// Without the number that the system adds.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use holm_model::id::{Epoch, Uid};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    fn http() -> Name {
        Name::new("http").unwrap()
    }

    async fn asked(probe: Probe, port: u16) -> Probed {
        let check = Check { timeout: Duration::from_millis(300), ..Check::new(probe) };
        let id = AssignmentId(Uid { epoch: Epoch::new(1, 1), counter: 1 });
        ask(&Directory::default(), id, &check, &BTreeMap::from([(http(), port)])).await
    }

    /// A server that says `answer` to whatever comes; its port.
    async fn server(answer: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer).await;
                // Whoever says nothing goes on saying nothing.
                let _ = stream.read(&mut request).await;
            }
        });
        port
    }

    fn get() -> Probe {
        Probe::Http { port: http(), path: "/healthz".to_owned() }
    }

    fn found(good: bool, answer: &str) -> Probed {
        Probed { good, answer: answer.to_owned() }
    }

    #[tokio::test]
    async fn only_2xx_is_a_good_answer() {
        for (answer, good, said) in [
            (&b"HTTP/1.1 204 No Content\r\n\r\n"[..], true, "GET /healthz: 204"),
            // A stream, or one that keeps its connection, is no worse for that.
            (b"HTTP/1.1 200 OK\r\n\r\nok", true, "GET /healthz: 200"),
            (b"HTTP/1.1 503 Busy\r\ncontent-length: 3\r\n\r\nno\n", false, "GET /healthz: 503"),
            (b"HTTP/1.1 302 Found\r\nlocation: /ok\r\ncontent-length: 0\r\n\r\n", false, "GET /healthz: 302"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", false, "GET /healthz: the answer is no HTTP"),
            (b"", false, "GET /healthz: no answer in 300ms"),
        ] {
            assert_eq!(asked(get(), server(answer).await).await, found(good, said));
        }
    }

    #[tokio::test]
    async fn a_port_that_takes_connections_is_good_and_a_closed_one_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let probe = Probe::Tcp { port: http() };
        assert_eq!(asked(probe.clone(), port).await, found(true, "connect to http: connected"));
        drop(listener);
        assert_eq!(asked(probe.clone(), port).await, found(false, "connect to http: connection refused"));
        assert_eq!(asked(get(), port).await, found(false, "GET /healthz: connection refused"));
        let other = Probe::Tcp { port: Name::new("sql").unwrap() };
        assert_eq!(asked(other, port).await, found(false, "connect to sql: it has no port `sql` now"));
    }

    #[tokio::test]
    async fn a_command_of_what_does_not_run_is_no_good_answer() {
        let probe = Probe::Exec(vec!["true".to_owned()]);
        assert_eq!(asked(probe, 1).await, found(false, "`true`: it is not running"));
    }
}
