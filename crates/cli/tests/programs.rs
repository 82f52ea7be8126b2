//! The demo's programs as processes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// Killed at the end of the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program on a free port and waits until it listens.
fn start(arguments: &[&str], peers: Option<&str>) -> (Program, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_holm"));
    command.args(arguments).args(["--port", &port.to_string()]).stdout(Stdio::piped());
    if let Some(peers) = peers {
        command.env("HOLM_CONNECTS", peers);
    }
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    // It says a line once it listens; its end is an empty one.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains(&port.to_string()), "{line:?}");
    (Program(child), port)
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn the_page_shows_what_a_collector_says_and_follows_the_peers_file() {
    let dir = tempfile::tempdir().unwrap();
    let peers = dir.path().join("peers.json");
    let (_web, web) = start(&["__building-web"], Some(&peers.display().to_string()));
    assert!(get(web, "/").contains("No collector is known yet"));

    let (_collector, collector) = start(&["__sensor-collector", "--floor", "7"], None);
    let own: serde_json::Value = serde_json::from_str(&get(collector, "/readings")).unwrap();
    assert_eq!(own["floor"], "7");
    let text = format!(
        r#"{{"services":{{"collector":{{"http":[{{"slot":"collector/a/b","instance":"1-000000000000-1","address":"127.0.0.1:{collector}"}}]}}}}}}"#
    );
    std::fs::write(&peers, text).unwrap();
    let all: serde_json::Value = serde_json::from_str(&get(web, "/readings")).unwrap();
    assert_eq!(all["collectors"][0]["floor"], "7");
    assert_eq!(all["collectors"][0]["slot"], "collector/a/b");
    assert!(get(web, "/").contains("Floor 7"));
    assert_eq!(get(web, "/healthz"), "ok\n");
}

#[test]
fn a_port_that_is_taken_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_holm"))
        .args(["__sensor-collector", "--floor", "1", "--port", &port])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&port));
}
