//! Services reached through a port of their orchestrator, while they change.
//!
//! Requests count from the begin of a change to its end: what was asked before and after proves nothing about it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::harness::command::run;
use crate::harness::{Sea, sea, wait_for};

/// Requests within each change at least.
const MOST: u64 = 1_000;
/// Who asks at the same time.
const CLIENTS: usize = 4;

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

pub(crate) fn manifest(sea: &Sea, name: &str, floor: &str, replicas: u32, expose: &str) -> String {
    format!(
        "holm: v1\napplication: {name}\nservices:\n  web:\n    runtime: process\n    command: [{}, \
         __sensor-collector, --floor, {floor}, --port, \"{{{{port.http}}}}\"]\n    ports: {{ http: auto }}\n    \
         health: {{ http: /healthz, every: 500ms }}\n    stop: {{ grace: 2s }}\n    replicas: {replicas}\n    \
         expose: {expose}\n",
        sea.path("holm").display()
    )
}

/// Clients that ask again and again, each time on a connection of its own.
struct Load {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(port: u16) -> Self {
        let (stop, good) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |_| {
            let (stop, good) = (Arc::clone(&stop), Arc::clone(&good));
            std::thread::spawn(move || {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match ask(port) {
                        Ok(_) => drop(good.fetch_add(1, Ordering::Relaxed)),
                        Err(why) => failed.push(why),
                    }
                }
                failed
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { stop, good, clients }
    }

    /// Requests that were answered until now.
    fn good(&self) -> u64 {
        self.good.load(Ordering::Relaxed)
    }

    /// Why the others failed.
    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

/// Makes a change under load, again and again until enough was asked from its begin to its end; why requests failed.
pub(crate) fn failed_within(port: u16, what: &str, mut change: impl FnMut()) -> Vec<String> {
    let load = Load::start(port);
    wait_for("it is asked", || (load.good() > 0).then_some(()));
    let (before, mut rounds) = (load.good(), 0);
    let within = loop {
        change();
        rounds += 1;
        let within = load.good() - before;
        if within >= MOST {
            break within;
        }
    };
    let failed = load.end();
    println!("{what}: {within} requests answered within {rounds} of it, {} failed", failed.len());
    failed
}

/// The body of one answer.
pub(crate) fn ask(port: u16) -> Result<String, String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let limit = Some(Duration::from_secs(20));
    let asked = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(limit)?;
        stream.write_all(b"GET /readings HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer: String = asked().map_err(|error: std::io::Error| error.to_string())?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") && body.contains("floor") => {
            Ok(body.to_owned())
        }
        _ => Err(format!("not an answer: {answer:?}")),
    }
}

#[test]
fn an_exposed_service_is_reached_without_a_failure_while_it_is_updated_and_scaled() {
    let port = free_port();
    let sea = sea()
        .cluster("vienna", &["fl-1", "fl-2"])
        .words("vienna", &[&format!("--expose-ports={port}"), "--expose-address=127.0.0.1"])
        .start();
    let expose = port.to_string();
    let text = |floor: &str, replicas| manifest(&sea, "shop", floor, replicas, &expose);
    sea.deploy(&text("one", 2));
    assert!(wait_for("it is reached", || ask(port).ok()).contains("one"));

    let mut generation = 1;
    let failed = failed_within(port, "update", || {
        generation += 1;
        sea.apply(&text(&format!("floor-{generation}"), 2));
        sea.until_at("root", Duration::from_secs(90), "shop", "both are new and ready", |all| {
            let new = all.iter().filter(|one| one.runs() && one.ready && one.generation == generation);
            all.len() == 2 && new.count() == 2
        });
    });
    assert_eq!(failed, [""; 0]);
    assert!(ask(port).unwrap().contains(&format!("floor-{generation}")));

    let failed = failed_within(port, "scale", || {
        sea.holm(&["scale", "shop/web", "3"]).done();
        sea.until("shop", "three are ready", |all| all.len() == 3 && all.iter().all(|one| one.ready));
        sea.holm(&["scale", "shop/web", "1"]).done();
        sea.until("shop", "one is left", |all| all.len() == 1 && all[0].ready);
    });
    assert_eq!(failed, [""; 0]);

    sea.holm(&["scale", "shop/web", "2"]).done();
    sea.until("shop", "two are ready", |all| all.len() == 2 && all.iter().all(|instance| instance.ready));
    let mut kills = 0;
    let failed = failed_within(port, "kill -9 of one of two", || {
        kills += 1;
        sea.program("shop", "web/0").kill();
        sea.until("shop", "it was started again", |all| {
            all.len() == 2 && all.iter().all(|one| one.ready) && all.iter().any(|one| one.restarts == kills)
        });
    });
    let most = CLIENTS * usize::try_from(kills).unwrap();
    assert!(failed.len() <= most, "only what was under way may fail: {failed:?}");

    let shown: Vec<Value> = sea.holm_at("vienna", &["get", "exposures", "-o", "json"]).done().json();
    assert_eq!((&shown[0]["open"], &shown[0]["ready"]), (&true.into(), &2.into()), "{shown:?}");
    assert!(shown[0]["accepted"].as_u64().unwrap() >= 3 * MOST, "{shown:?}");
}

#[test]
fn one_instance_alone_is_replaced_without_a_failure() {
    let port = free_port();
    let words = [&format!("--expose-ports={port}"), "--expose-address=127.0.0.1"];
    let mut sea = sea().words("root", &words).node("solo").start();
    let expose = format!("{{ http: {{ port: {port}, at: [root] }} }}");
    sea.deploy(&manifest(&sea, "solo", "one", 1, &expose));
    wait_for("it is reached", || ask(port).ok());
    let mut generation = 1;
    let failed = failed_within(port, "update of one", || {
        generation += 1;
        sea.apply(&manifest(&sea, "solo", &format!("floor-{generation}"), 1, &expose));
        sea.until("solo", "the new one is alone", |all| {
            all.len() == 1 && all[0].runs() && all[0].ready && all[0].generation == generation
        });
    });
    assert_eq!(failed, [""; 0]);
    assert!(ask(port).unwrap().contains(&format!("floor-{generation}")));

    // Its port is open again after a restart.
    sea.restart("root");
    wait_for("it is reached again", || ask(port).ok());
    sea.holm(&["delete", "application", "solo", "--wait"]).done();
    wait_for("the port is shut", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err().then_some(()));
}

#[test]
fn a_port_that_cannot_be_had_is_refused_with_the_reason() {
    let (port, other) = (free_port(), free_port());
    let words = [&format!("--expose-ports={port}"), "--expose-address=127.0.0.1"];
    let sea = sea().words("root", &words).node("solo").cluster("vienna", &["fl-1"]).start();
    let apply = |name: &str, expose: &str| {
        run(sea.call_at("root", &["apply", "-"]), &manifest(&sea, name, "one", 1, expose))
    };
    let at_root = |port: u16| format!("{{ http: {{ port: {port}, at: [root] }} }}");
    apply("far", &at_root(other)).refused(
        1,
        &[
            "services.web.expose.http",
            &format!("port {other} cannot be opened"),
            &format!("grants {port}-{port}"),
        ],
    );
    apply("first", &at_root(port)).done();
    apply("second", &at_root(port)).refused(1, &[&format!("port {port} leads to default/first/web already")]);
    sea.holm(&["delete", "application", "first", "--wait"]).done();

    // Somebody else has the port: told, and opened as soon as it is free.
    let taken = wait_for("the port is shut", || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    sea.deploy(&manifest(&sea, "third", "one", 1, &at_root(port)));
    let state = || -> Value {
        let all: Vec<Value> = sea.holm(&["get", "exposures", "-o", "json"]).done().json();
        all.into_iter().next().unwrap_or_default()
    };
    let closed = wait_for("it is told", || {
        Some(state())
            .filter(|state| state["reason"].as_str().is_some_and(|why| why.contains("cannot listen")))
    });
    assert_eq!(closed["open"], false);
    let events = sea.history("application=default/third&kind=exposure");
    assert!(events.iter().any(|event| event.to == "closed"), "{events:#?}");
    drop(taken);
    wait_for("it is open", || (state()["open"] == true).then_some(()));
    assert!(ask(port).is_ok());

    // A cluster whose administrator grants nothing takes nothing that is to be reached there.
    let text = manifest(&sea, "below", "one", 1, &port.to_string());
    let text = text.replace("    replicas: 1\n", "    placement: { cluster: vienna }\n");
    run(sea.call_at("root", &["apply", "-"]), &text).done();
    sea.until("below", "the cluster says why", |all| {
        all.len() == 1 && all[0].reason.contains("vienna") && all[0].reason.contains("grants no ports")
    });
}
