//! Numbers by which services are scaled, asked of each instance on this machine's loopback.
//!
//! Whoever does not answer in time, or tells no such number, has told nothing.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use holm_core::node::{NodeEvent, NodeMachine, RuntimeEvent};
use holm_model::id::AssignmentId;
use holm_model::scale::{Metric, ScaleBy};
use holm_model::state::InstanceState;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::agent::{Input, Question};
use crate::tunnels::dial;

/// How long an instance is given.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of an answer; what is longer tells nothing.
const MOST: usize = 1 << 20;
/// Instances that are asked at the same time.
const AT_ONCE: usize = 8;

/// What is asked of whom.
#[derive(Clone, Debug)]
struct Asked {
    id: AssignmentId,
    incarnation: u32,
    /// On this machine.
    port: u16,
    metric: Metric,
}

/// Asks all that have to be asked, again and again until it is dropped.
pub(crate) async fn metrics(every: Duration, inputs: mpsc::Sender<Input>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(asked) = Question::ask(&inputs, asked).await else { return };
        let answers = stream::iter(asked).map(|asked| async move {
            let number = timeout(PATIENCE, scrape(&asked)).await.ok().flatten();
            let event = RuntimeEvent::Metric(number);
            NodeEvent::Runtime { id: asked.id, incarnation: asked.incarnation, event }
        });
        let mut answers = answers.buffer_unordered(AT_ONCE);
        while let Some(event) = answers.next().await {
            if inputs.send(Input::Machine(event)).await.is_err() {
                return;
            }
        }
    }
}

fn asked(machine: &NodeMachine) -> Vec<Asked> {
    let running = machine.instances().filter(|(_, record)| record.state == InstanceState::Running);
    let asked = running.filter_map(|(id, record)| match &machine.spec(id)?.scale.as_ref()?.by {
        ScaleBy::Metric(metric) => {
            let port = *record.ports.get(&metric.port)?;
            Some(Asked { id, incarnation: record.incarnation, port, metric: metric.clone() })
        }
        ScaleBy::Cpu(_) | ScaleBy::Memory(_) => None,
    });
    asked.collect()
}

async fn scrape(asked: &Asked) -> Option<u64> {
    let stream = dial::instance(asked.port).await.ok()?;
    let request = Request::get(&asked.metric.path)
        .header(header::HOST, "localhost")
        .header(header::USER_AGENT, concat!("holm/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "text/plain")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let exchange = async {
        let response =
            sender.send_request(request).await.ok().filter(|answer| answer.status().is_success())?;
        let body = Limited::new(response.into_body(), MOST).collect().await.ok()?.to_bytes();
        number(std::str::from_utf8(&body).ok()?, &asked.metric.name)
    };
    tokio::pin!(exchange);
    tokio::select! {
        biased;
        found = &mut exchange => found,
        _ = connection => exchange.await,
    }
}

/// The sum of all samples of this name in Prometheus' text format, in thousandths; `None` when there is none.
fn number(text: &str, name: &str) -> Option<u64> {
    let mut sum = None;
    for line in text.lines() {
        let Some(rest) = line.trim_start().strip_prefix(name) else { continue };
        let value = match rest.strip_prefix('{') {
            // A label's value may have any character but an unescaped quotation mark.
            Some(labels) => after_labels(labels)?,
            None if rest.starts_with([' ', '\t']) => rest,
            None => continue,
        };
        let value: f64 = value.split_whitespace().next()?.parse().ok()?;
        if value.is_finite() {
            sum = Some(sum.unwrap_or(0.0) + value);
        }
    }
    // From a float to an integer it saturates: below 0 is 0.
    sum.map(|sum| (sum * 1000.0).round() as u64)
}

fn after_labels(text: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return text.get(at + 1..),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use holm_model::id::{Epoch, Uid};
    use holm_model::name::Name;
    use holm_model::scale::Thousandths;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn samples_of_one_name_are_added_up() {
        let text = "# HELP queue what waits\n# TYPE queue gauge\nqueue{at=\"a } b\",of=\"\\\"\"} 3\n\
                    queue{at=\"c\"} 1.5 1395066363000\nqueue_total 7\nqueue2 8\nqueue NaN\n";
        assert_eq!(number(text, "queue"), Some(4500));
        assert_eq!(number(text, "queue_total"), Some(7000));
        assert_eq!(number("free -3\n", "free"), Some(0));
        for nothing in ["", "queue", "queue x", "queue{a=\"b\" 3", "# queue 3", "queue NaN"] {
            assert_eq!(number(nothing, "queue"), None, "{nothing}");
        }
    }

    /// What is found in an answer.
    async fn scraped(answer: String) -> Option<u64> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            // Whoever has heard enough hangs up.
            let _ = stream.write_all(answer.as_bytes()).await;
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let metric = Metric {
            port: Name::new("http").unwrap(),
            path: "/queue".to_owned(),
            name: "queue".to_owned(),
            target: Thousandths(1000),
        };
        let id = AssignmentId(Uid { epoch: Epoch::new(1, 1), counter: 1 });
        let number = scrape(&Asked { id, incarnation: 1, port, metric }).await;
        assert!(serve.await.unwrap().starts_with("GET /queue HTTP/1.1\r\n"));
        number
    }

    #[tokio::test]
    async fn an_answer_is_read_and_what_is_none_tells_nothing() {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
        assert_eq!(scraped(format!("{head}queue 12\n")).await, Some(12_000));
        assert_eq!(scraped(format!("{head}other 12\n")).await, None);
        assert_eq!(scraped("HTTP/1.1 500 No\r\nconnection: close\r\n\r\nqueue 12\n".to_owned()).await, None);
        assert_eq!(scraped(format!("{head}queue 12\n{}", "#\n".repeat(MOST))).await, None, "too long");
        assert_eq!(scraped("nonsense\r\n\r\n".to_owned()).await, None);
    }
}
