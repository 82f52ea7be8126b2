//! A probe's thread: connects, decodes, keeps the latest telegram, connects anew.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::config;
use crate::decoder::Decoder;
use crate::run::now;
use crate::telegram::Telegram;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The latest telegram with the time it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) telegram: Telegram,
    pub(crate) received: u64,
}

#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) name: String,
    latest: Arc<Mutex<Option<Seen>>>,
}

impl Probe {
    pub(crate) fn start(config: config::Probe) -> std::io::Result<Self> {
        let latest = Arc::new(Mutex::new(None));
        let probe = Self { name: config.name.clone(), latest: Arc::clone(&latest) };
        thread::Builder::new()
            .name(format!("probe {}", config.name))
            .spawn(move || read_for_ever(&config, &latest))?;
        Ok(probe)
    }

    pub(crate) fn latest(&self) -> Option<Seen> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read_for_ever(config: &config::Probe, latest: &Mutex<Option<Seen>>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let mut heard = false;
        let ended = config.source.open().and_then(|stream| read(stream, config, latest, &mut heard));
        pause = if heard { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        let why = ended.err().map_or_else(|| "it ended or was silent".to_owned(), |error| error.to_string());
        eprintln!("holm-meter: probe {}: {why}; connecting anew in {} s", config.name, pause.as_secs());
        thread::sleep(pause);
    }
}

fn read(
    mut stream: Box<dyn Read>,
    config: &config::Probe,
    latest: &Mutex<Option<Seen>>,
    heard: &mut bool,
) -> std::io::Result<()> {
    let mut keep = |telegram: Telegram| {
        if telegram.entries.is_empty() {
            return;
        }
        *heard = true;
        let seen = Seen { telegram, received: now() };
        let before = latest.lock().unwrap_or_else(PoisonError::into_inner).replace(seen.clone());
        said(&config.name, before.as_ref(), &seen);
    };
    let mut decoder = Decoder::new(config.protocol.into());
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk)? {
            0 => break,
            length => decoder.feed(&chunk[..length], &mut keep),
        }
    }
    decoder.finish(keep);
    Ok(())
}

/// Says what a person should know; never the meter's number, which is personal.
fn said(name: &str, before: Option<&Seen>, seen: &Seen) {
    let locked = seen.telegram.seems_locked();
    if locked && !before.is_some_and(|before| before.telegram.seems_locked()) {
        eprintln!(
            "holm-meter: probe {name}: the meter is locked and says whole kWh only; enter its PIN at the meter"
        );
    }
    match before {
        None => eprintln!("holm-meter: probe {name}: hears its meter"),
        Some(before) if before.telegram.meter != seen.telegram.meter => {
            eprintln!("holm-meter: probe {name}: hears another meter; its readings begin a new series");
        }
        Some(_) => {}
    }
}
