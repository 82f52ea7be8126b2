//! The README's second example, with the programs that it names.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::command::Running;
use crate::harness::{Instance, Sea, http, sea, wait_for};

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/nginx-redis/app.yaml");

/// A connection to a port of an instance, as a neighbour on its node has it.
fn connect(instance: &Instance, port: &str) -> Option<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", instance.ports[port])).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    Some(stream)
}

fn page(instance: &Instance) -> Option<String> {
    http::request(connect(instance, "http")?, "GET", "/", &[], "").map(|answer| answer.body)
}

fn redis_answers(instance: &Instance) -> bool {
    let mut pong = [0; 7];
    let asked = connect(instance, "redis")
        .map(|mut stream| stream.write_all(b"PING\r\n").and_then(|()| stream.read_exact(&mut pong)).is_ok());
    asked == Some(true) && pong == *b"+PONG\r\n"
}

/// Its title takes the place of its environment in `/proc`, so it is asked itself.
fn pid_of_redis(instance: &Instance) -> Pid {
    let mut stream = connect(instance, "redis").expect("redis answers");
    stream.write_all(b"INFO server\r\nQUIT\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    let pid = said.lines().find_map(|line| line.strip_prefix("process_id:")).expect("a line for it");
    Pid::from_raw(pid.trim().parse().unwrap())
}

/// The instances of a service, once all of the application run.
fn service(sea: &Sea, name: &str, of: usize) -> Vec<Instance> {
    sea.running("shop", of).into_iter().filter(|instance| instance.service == name).collect()
}

#[test]
fn nginx_and_redis_run_scale_die_and_are_followed_needs_nginx() {
    let sea = sea().node("here").start();
    sea.holm(&["apply", "--wait=60s", SHOP]).done();
    let cache = service(&sea, "cache", 3).remove(0);
    wait_for("redis answers", || redis_answers(&cache).then_some(()));
    for web in service(&sea, "web", 3) {
        let said = wait_for("nginx answers", || page(&web));
        assert_eq!(said, format!("served by {}\n", web.slot));
    }

    sea.holm(&["scale", "shop/web", "4"]).done();
    for web in service(&sea, "web", 5) {
        wait_for("every nginx answers", || page(&web));
    }

    let follow = Running::start(sea.call_at("root", &["logs", "-f", "shop"]));
    kill(pid_of_redis(&cache), Signal::SIGKILL).unwrap();
    follow.line(|line| line.starts_with("cache/0") && line.contains("Ready to accept connections"));
    let again = wait_for("redis is there again", || {
        let cache = service(&sea, "cache", 5).remove(0);
        (cache.restarts > 0 && redis_answers(&cache)).then_some(cache)
    });
    assert_eq!(again.id, cache.id, "restarted where it was");
    wait_for("its pages are in the log", || page(&service(&sea, "web", 5)[0]));
    follow.line(|line| line.starts_with("web/0") && line.contains("GET / HTTP/1.1"));

    sea.holm(&["delete", "application", "shop", "--wait"]).done();
    assert_eq!(sea.instances("shop").len(), 0);
    assert!(sea.programs().is_empty());
}
