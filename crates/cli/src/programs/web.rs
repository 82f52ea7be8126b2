//! The building's page: asks every collector that `connects` tells of, and shows what they say.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use holm_model::tunnel::{Peer, PeersFile};
use serde::{Deserialize, Serialize};

use super::collector::{Readings, listen};
use super::http::{self, Answer, HTML, JSON, TEXT};
use super::sensors::{Reading, Source};
use crate::failure::Failure;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// On loopback
    #[arg(long)]
    port: u16,
    /// Who to ask; kept up to date by the node
    #[arg(long, env = "HOLM_CONNECTS")]
    peers: PathBuf,
}

/// What all collectors say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Building {
    pub(crate) collectors: Vec<Collector>,
}

/// One collector, or why it says nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Collector {
    pub(crate) slot: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) floor: Option<String>,
    #[serde(default)]
    pub(crate) readings: Vec<Reading>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// A collector that is slower than this counts as silent.
const PATIENCE: Duration = Duration::from_secs(2);
/// The service whose instances are asked, and its port.
const SERVICE: (&str, &str) = ("collector", "http");

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let listener = listen(options.port)?;
    let peers = options.peers.clone();
    println!("showing the building on port {}", options.port);
    http::serve(&listener, move |path| answer(&peers, path))
}

fn answer(peers: &Path, path: &str) -> Answer {
    match path {
        "/healthz" => Answer::ok(TEXT, "ok\n"),
        "/" => Answer::ok(HTML, page(&ask_all(peers))),
        "/readings" => serde_json::to_string_pretty(&ask_all(peers)).map_or_else(
            |error| Answer { status: 500, content: TEXT, body: error.to_string() },
            |json| Answer::ok(JSON, json),
        ),
        _ => Answer::not_found(),
    }
}

/// All at once: one that is silent delays nobody else.
fn ask_all(peers: &Path) -> Building {
    let asking: Vec<_> =
        addresses(peers).into_iter().map(|peer| std::thread::spawn(move || ask(&peer))).collect();
    let mut collectors: Vec<_> = asking.into_iter().filter_map(|asking| asking.join().ok()).collect();
    collectors.sort_by(|a, b| (&a.floor, &a.slot).cmp(&(&b.floor, &b.slot)));
    Building { collectors }
}

fn ask(peer: &Peer) -> Collector {
    let slot = peer.slot.clone();
    let answer = http::get(&peer.address, "/readings", PATIENCE).map_err(|e| e.to_string());
    match answer.and_then(|text| serde_json::from_str(&text).map_err(|e| e.to_string())) {
        Ok(Readings { floor, readings }) => Collector { slot, floor: Some(floor), readings, error: None },
        Err(error) => Collector { slot, floor: None, readings: Vec::new(), error: Some(error) },
    }
}

/// None while the file is not there: no collector runs yet.
fn addresses(file: &Path) -> Vec<Peer> {
    let text = fs::read(file).unwrap_or_default();
    let peers: PeersFile = serde_json::from_slice(&text).unwrap_or_default();
    peers.services.get(SERVICE.0).and_then(|ports| ports.get(SERVICE.1)).cloned().unwrap_or_default()
}

// === the page ===

fn page(building: &Building) -> String {
    let cards: String = building.collectors.iter().map(card).collect();
    let cards =
        if cards.is_empty() { "<p class=none>No collector is known yet.</p>".to_owned() } else { cards };
    let answering = building.collectors.iter().filter(|collector| collector.error.is_none()).count();
    include_str!("page.html")
        .replace("{{cards}}", &cards)
        .replace("{{answering}}", &answering.to_string())
        .replace("{{all}}", &building.collectors.len().to_string())
}

fn card(collector: &Collector) -> String {
    let slot = escape(&collector.slot);
    match (&collector.floor, &collector.error) {
        (Some(floor), None) => {
            let rows: String = collector.readings.iter().map(row).collect();
            format!("<section><h2>Floor {}</h2><small>{slot}</small><dl>{rows}</dl></section>", escape(floor))
        }
        (_, error) => {
            let error = escape(error.as_deref().unwrap_or("no answer"));
            format!("<section class=silent><h2>Silent</h2><small>{slot}</small><p>{error}</p></section>")
        }
    }
}

fn row(reading: &Reading) -> String {
    let note = match reading.source {
        Source::Sensor => "",
        Source::Machine => " <i title=\"this machine has no sensor\">*</i>",
    };
    let (name, unit) = (escape(&reading.name), escape(&reading.unit));
    format!("<dt>{name}{note}</dt><dd>{:.1}&thinsp;<span>{unit}</span></dd>", reading.value)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(dir: &Path, addresses: &[&str]) -> PathBuf {
        let peers: Vec<_> = addresses
            .iter()
            .enumerate()
            .map(|(i, a)| {
                format!(r#"{{"slot":"collector/{i}","instance":"1-000000000000-{i}","address":"{a}"}}"#)
            })
            .collect();
        let text = format!(r#"{{"services":{{"collector":{{"http":[{}]}}}}}}"#, peers.join(","));
        let file = dir.join("peers.json");
        fs::write(&file, text).unwrap();
        file
    }

    #[test]
    fn all_collectors_are_asked_and_a_silent_one_is_shown() {
        let readings =
            r#"{"floor":"3","readings":[{"name":"a/<b>","value":21.04,"unit":"°C","source":"sensor"}]}"#;
        let good = http::tests::start(move |_| Answer::ok(JSON, readings));
        let bad = http::tests::start(|_| Answer::not_found());
        let dir = tempfile::tempdir().unwrap();
        let file = peers(dir.path(), &[&good, &bad]);
        let building: Building = serde_json::from_str(&answer(&file, "/readings").body).unwrap();
        let floors: Vec<_> = building.collectors.iter().map(|c| c.floor.as_deref()).collect();
        assert_eq!(floors, [None, Some("3")]);
        assert_eq!(building.collectors[0].error.as_deref(), Some("status 404"));
        let page = answer(&file, "/").body;
        assert!(page.contains("Floor 3") && page.contains("a/&lt;b&gt;") && page.contains("21.0"), "{page}");
        assert!(page.contains("1 of 2"), "{page}");
    }

    #[test]
    fn before_anybody_is_known_there_is_a_page() {
        let page = answer(Path::new("/nonexistent"), "/").body;
        assert!(page.contains("No collector is known yet"), "{page}");
    }
}
