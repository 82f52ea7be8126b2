//! The real program with a pseudo-terminal, a TCP server and a named pipe as probes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod synthetic;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use holm_meter::reading::Reading;
use nix::pty::openpty;

struct Running(Child);

impl Running {
    fn start(config: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holm-meter"));
        Self(command.arg("run").arg("--config").arg(config).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// As a power cut does.
    fn kill(mut self) -> String {
        self.0.kill().unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.0.stderr.take().unwrap(), &mut said).unwrap();
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn readings(path: &Path) -> Vec<Reading> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn wait_for(path: &Path, what: &str, condition: impl Fn(&[Reading]) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition(&readings(path)) {
        assert!(Instant::now() < deadline, "{what}: {:?}", readings(path));
        thread::sleep(Duration::from_millis(50));
    }
}

fn of<'a>(readings: &'a [Reading], probe: &'a str) -> impl Iterator<Item = &'a Reading> {
    readings.iter().filter(move |reading| reading.measured.series.probe == probe)
}

#[test]
fn meters_are_read_through_a_line_tcp_and_a_pipe_over_a_swap_and_a_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (config, sent) = (dir.path().join("meter.toml"), dir.path().join("sent"));
    let line = openpty(None, None).unwrap();
    let terminal: PathBuf = nix::unistd::ttyname(&line.slave).unwrap();
    let swapped = Arc::new(AtomicBool::new(false));
    let meter = Arc::clone(&swapped);
    thread::spawn(move || {
        let mut line = File::from(line.master);
        loop {
            let id: &[u8] = if meter.load(Ordering::Relaxed) { b"new" } else { b"old" };
            if line.write_all(&synthetic::sml(id, &[172_433_683])).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    });
    // Each connection ends after two telegrams: the reader comes back.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    thread::spawn(move || {
        for (number, stream) in (1..).zip(server.incoming()) {
            let _ = stream.and_then(|mut stream| {
                stream.write_all(&[synthetic::p1(number), synthetic::p1(number)].concat())
            });
        }
    });
    let pipe = dir.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();

    thread::spawn(move || {
        // Each writer goes after one telegram.
        while let Ok(mut end) = File::options().write(true).open(&pipe) {
            let _ = end.write_all(&synthetic::sml(b"pipe", &[7]));
            thread::sleep(Duration::from_millis(100));
        }
    });
    let text = format!(
        "device = 'test'\noutbox = '{0}/outbox'\nsend_to = '{0}/sent'\nmeasure_every = 1\nsend_every = 2\n\
         [[probe]]\nname = 'grid'\nsource = 'serial:{1}'\nprotocol = 'sml'\n\
         [[probe]]\nname = 'sun'\nsource = 'tcp:{address}'\nprotocol = 'p1'\n\
         [[probe]]\nname = 'battery'\nsource = 'file:{0}/pipe'\nprotocol = 'sml'\n",
        dir.path().display(),
        terminal.display()
    );
    fs::write(&config, text).unwrap();

    let running = Running::start(&config);
    wait_for(&sent, "all probes", |found| {
        of(found, "battery").count() > 1
            && of(found, "grid").count() > 1
            && of(found, "sun").any(|r| r.measured.entries[0].value.as_str() != "000000001.123")
    });
    assert!(
        of(&readings(&sent), "grid")
            .all(|reading| reading.measured.entries[0].value.as_str() == "17243368.3")
    );
    let said = running.kill();
    assert!(said.contains("probe grid: hears its meter"), "{said}");

    swapped.store(true, Ordering::Relaxed);
    let running = Running::start(&config);
    wait_for(&sent, "the new meter", |found| {
        of(found, "grid").any(|reading| reading.measured.series.meter == "6e6577")
    });
    drop(running);

    // Sent twice at most what a cut forgot that it was taken; never another reading in its place, and none is missing.
    let mut series = BTreeMap::<_, BTreeMap<u64, Reading>>::new();
    for reading in readings(&sent) {
        let known = series
            .entry(reading.measured.series.clone())
            .or_default()
            .insert(reading.sequence, reading.clone());
        assert!(known.is_none_or(|known| known == reading));
    }
    for readings in series.values() {
        assert!(readings.keys().copied().eq(0..readings.len() as u64));
        assert!(readings.values().is_sorted_by(|one, other| one.measured.at < other.measured.at));
    }
    assert_eq!(series.len(), 4);
}

#[test]
fn a_wrong_configuration_is_said_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("meter.toml");
    fs::write(
        &config,
        "device = 'd'\noutbox = 'o'\n[[probe]]\nname = 'a'\nsource = 'usb'\nprotocol = 'sml'\n",
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_holm-meter"))
        .arg("run")
        .arg("--config")
        .arg(config)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("`usb` is no source; say `serial:PATH`"), "{said}");
}
