use holm_link::session::{self, Session};
use holm_model::message::{Down, Up};

use super::*;
use crate::owner::{Input, Queued};

struct Pair {
    peer: Session,
    queue: mpsc::Sender<Outgoing<Down>>,
    cut: CancellationToken,
    heard: mpsc::Receiver<Queued>,
    end: tokio::task::JoinHandle<End>,
}

fn pair(limits: Limits) -> Pair {
    let (near, far) = tokio::io::duplex(1 << 16);
    let ours = Session::server(near, &session::Limits::default());
    let peer = Session::client(far, &session::Limits::default());
    let (queue, waiting) = mpsc::channel(8);
    let (hear, heard) = mpsc::channel(8);
    let cut = CancellationToken::new();
    let cutting = cut.clone();
    let end = tokio::spawn(async move {
        let control = (ours.sender, ours.receiver);
        let link = holm_core::orchestrator::LinkId(1);
        let event = |message: Up| Some(Event::LinkMessage { link, message });
        converse(control, waiting, &limits, &cutting, &Inputs::new(hear), event).await
    });
    Pair { peer, queue, cut, heard, end }
}

fn alive(revision: u64) -> Bytes {
    cbor::encode(&Up::Alive { revision }).unwrap().into()
}

fn refused(reason: &str) -> Down {
    Down::Refused { reason: reason.to_owned() }
}

async fn hears(pair: &mut Pair) -> Down {
    let frame = pair.peer.receiver.recv().await.unwrap().unwrap();
    cbor::decode(&frame, 1000).unwrap()
}

#[tokio::test]
async fn messages_go_both_ways_and_nonsense_is_skipped() {
    let mut pair = pair(Limits { nonsense: 3, ..Limits::default() });
    for payload in [&b"\xff"[..], b"\x01", &alive(7), b"\xff", b"\x01"] {
        pair.peer.sender.send(Bytes::copy_from_slice(payload)).await.unwrap();
    }
    let heard = pair.heard.recv().await.unwrap().input;
    let expected = Up::Alive { revision: 7 };
    assert!(matches!(heard, Input::Event(Event::LinkMessage { message, .. }) if message == expected));
    pair.queue.send(Outgoing::Message(refused("no"))).await.unwrap();
    assert_eq!(hears(&mut pair).await, refused("no"));
    pair.peer.sender.send(Bytes::from_static(b"\xff")).await.unwrap();
    assert_eq!(pair.end.await.unwrap(), End::Nonsense);
}

#[tokio::test]
async fn the_last_message_arrives_before_the_end() {
    let mut pair = pair(Limits::default());
    pair.peer.sender.send(alive(1)).await.unwrap();
    pair.queue.send(Outgoing::Last(refused("stopping"))).await.unwrap();
    assert_eq!(hears(&mut pair).await, refused("stopping"));
    assert!(pair.peer.receiver.recv().await.is_none());
    assert_eq!(pair.end.await.unwrap(), End::Finished);
}

#[tokio::test]
async fn a_session_is_cut_or_ends_with_its_peer() {
    let cut = pair(Limits::default());
    cut.cut.cancel();
    assert_eq!(cut.end.await.unwrap(), End::Cut);

    let gone = pair(Limits::default());
    drop(gone.peer);
    assert!(matches!(gone.end.await.unwrap(), End::Ended(_)));
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up() {
    let silent = pair(Limits::default());
    assert_eq!(silent.end.await.unwrap(), End::Silent(Limits::default().silence));
}
