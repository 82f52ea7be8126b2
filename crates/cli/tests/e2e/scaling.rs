//! Services that scale by themselves, under a load that is really there.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::harness::things::{Event, Instance};
use crate::harness::{Sea, sea};

/// Burns so many milliseconds of its own CPU time for each `GET /burn/MS`; tells what a file says as a metric.
const SERVER: &str = r##"
import http.server, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/burn/"):
            end = time.process_time() + int(self.path[6:]) / 1000
            while time.process_time() < end:
                pass
        body = ("# TYPE queue_length gauge\nqueue_length " + open(sys.argv[2]).read() + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"##;

/// `by`: `cpu: 50%`, or another word for what it is scaled by.
fn deploy(sea: &Sea, by: &str) {
    let server = sea.file("server.py", SERVER);
    sea.file("queue", "1");
    let queue = sea.path("queue");
    sea.apply(&format!(
        "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    command: [python3, {}, \
         \"{{{{port.http}}}}\", {}]\n    ports: {{ http: auto }}\n    resources: {{ cpu: 200m, memory: 32Mi }}\n    \
         ready: {{ tcp: http, every: 200ms }}\n    stop: {{ grace: 1s }}\n    scale: {{ max: 3, {by}, \
         stabilization: 5s, cooldown: 1s }}\n",
        server.display(),
        queue.display()
    ));
}

fn ready(sea: &Sea, number: usize) -> Vec<Instance> {
    let what = format!("{number} are ready");
    let all_ready = |all: &[Instance]| all.len() == number && all.iter().all(|it| it.ready);
    sea.until_at("root", Duration::from_secs(60), "shop", &what, all_ready)
}

/// What is said of its number, in order.
fn scaled(sea: &Sea) -> Vec<String> {
    let events = sea.history("application=default/shop");
    let of = |event: &Event| event.reason.contains("replicas: ").then(|| event.reason.clone());
    events.iter().filter_map(of).collect()
}

/// One request; whether it was answered does not matter.
fn get(port: u16, path: &str) {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return };
    let limit = Some(Duration::from_secs(2));
    stream.set_read_timeout(limit).unwrap();
    let _ = stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
    let _ = stream.read_to_end(&mut Vec::new());
}

/// The same work whoever does it: a quarter of a core, to one instance after the other, until it is dropped.
struct Load {
    ends: Arc<AtomicBool>,
    ports: Arc<Mutex<Vec<u16>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Load {
    fn on(all: &[Instance]) -> Self {
        let (ends, ports) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stop, to) = (ends.clone(), ports.clone());
        let thread = thread::spawn(move || {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let ports = to.lock().unwrap().clone();
                if let Some(port) = ports.get(number % ports.len().max(1)) {
                    get(*port, "/burn/25");
                }
                thread::sleep(Duration::from_millis(75));
            }
        });
        let load = Self { ends, ports, thread: Some(thread) };
        load.goes_to(all);
        load
    }

    fn goes_to(&self, all: &[Instance]) {
        *self.ports.lock().unwrap() = all.iter().map(|instance| instance.ports["http"]).collect();
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.take().map(thread::JoinHandle::join);
    }
}

#[test]
fn a_load_on_its_processors_makes_more_and_its_end_fewer() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    deploy(&sea, "cpu: 50%");
    let load = Load::on(&ready(&sea, 1));
    let more = sea.until_at("root", Duration::from_secs(60), "shop", "there are more", |all| {
        all.len() > 1 && all.iter().all(|it| it.ready)
    });
    load.goes_to(&more);
    drop(load);
    ready(&sea, 1);
    let told = scaled(&sea);
    assert!(told.len() >= 2 && told.iter().all(|why| why.contains("cpu is at ")), "{told:#?}");
}

#[test]
fn what_a_service_tells_of_itself_makes_more_and_then_fewer() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    deploy(&sea, "metric: { port: http, path: /metrics, name: queue_length, target: 10 }");
    ready(&sea, 1);
    fs::write(sea.path("queue"), "25").unwrap();
    ready(&sea, 3);
    fs::write(sea.path("queue"), "0").unwrap();
    ready(&sea, 1);
    let told = scaled(&sea);
    assert!(told.iter().any(|why| why.contains("queue_length is at 25")), "{told:#?}");
}
