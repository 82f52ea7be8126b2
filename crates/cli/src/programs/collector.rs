//! A floor's sensor collector: `GET /readings`, `GET /healthz`.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::http::{self, Answer, JSON, TEXT};
use super::sensors::{self, Reading};
use crate::failure::Failure;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// The floor it is on
    #[arg(long)]
    floor: String,
    /// On loopback
    #[arg(long)]
    port: u16,
}

/// What a collector says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Readings {
    pub(crate) floor: String,
    pub(crate) readings: Vec<Reading>,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let listener = listen(options.port)?;
    let floor = options.floor.clone();
    println!("collecting on floor {floor}, port {}", options.port);
    http::serve(&listener, move |path| answer(&floor, Path::new("/"), path))
}

/// Tunnels of the node come from loopback: nobody else needs the port.
pub(crate) fn listen(port: u16) -> Result<TcpListener, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(|e| Failure::from_error(format!("cannot listen on port {port}"), &e))
}

fn answer(floor: &str, root: &Path, path: &str) -> Answer {
    match path {
        "/healthz" => Answer::ok(TEXT, "ok\n"),
        "/readings" => {
            let readings = Readings { floor: floor.to_owned(), readings: sensors::read(root) };
            serde_json::to_string(&readings).map_or_else(
                |error| Answer { status: 500, content: TEXT, body: error.to_string() },
                |json| Answer::ok(JSON, json),
            )
        }
        _ => Answer::not_found(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_collector_answers() {
        let address = http::tests::start(|path| answer("2", Path::new("/"), path));
        let get = |path| http::get(&address, path, Duration::from_secs(5)).unwrap();
        assert_eq!(get("/healthz"), "ok\n");
        let readings: Readings = serde_json::from_str(&get("/readings")).unwrap();
        assert_eq!(readings.floor, "2");
        assert!(!readings.readings.is_empty(), "every Linux machine has a load");
    }
}
