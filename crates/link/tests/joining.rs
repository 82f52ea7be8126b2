//! Joining over loopback: who is told the secret, and which answers are believed.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use bytes::Bytes;
use holm_link::authority::{Authority, Issued, Leaf};
use holm_link::certificate::Usage;
use holm_link::dial::DialError;
use holm_link::join::{Der, JOIN_PATH, JoinAnswer, JoinError, JoinRequest, Proposal, join};
use holm_link::listen::{Accepted, Channel};
use holm_link::session::SessionEnd;
use holm_link::token::{JoinToken, Role};
use holm_link::verify::VerifyError;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use support::orchestrator::*;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers one HTTP connection: join requests as they should be, `bend` may spoil the answer.
async fn answer_join(
    orchestrator: &mut Orchestrator,
    token: &JoinToken,
    bend: impl Fn(&mut JoinAnswer) + Clone,
) {
    let Accepted::Http { stream } = soon(orchestrator.accepted.recv()).await.unwrap() else {
        panic!("took a joining machine for a member")
    };
    let (authority, token) = (orchestrator.authority.clone(), token.clone());
    let service = service_fn(move |request| {
        let (authority, token, bend) = (authority.clone(), token.clone(), bend.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(&authority, &token, request, bend).await) }
    });
    let http = hyper::server::conn::http1::Builder::new();
    let _ = soon(http.serve_connection(TokioIo::new(*stream), service)).await;
}

async fn answer(
    authority: &Authority,
    token: &JoinToken,
    request: Request<Incoming>,
    bend: impl Fn(&mut JoinAnswer),
) -> Response<Full<Bytes>> {
    assert_eq!(request.uri().path(), JOIN_PATH);
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let request: JoinRequest = serde_json::from_slice(&body).unwrap();
    if request.token_id != token.id || !token.secret.hash().matches(&request.secret) {
        let problem = r#"{"type":"x","title":"Refused","detail":"the token was used before"}"#;
        let mut response = Response::new(Full::from(problem));
        *response.status_mut() = StatusCode::FORBIDDEN;
        return response;
    }
    let identity = authority.identity().child("m1").unwrap();
    let leaf =
        Leaf { identity: identity.clone(), usage: Usage::Client, names: Vec::new(), validity: DAY * 30 };
    let ders = |issued: Issued| issued.chain.iter().map(Der::from).collect::<Vec<_>>();
    let mut answer = JoinAnswer {
        member: "m1".to_owned(),
        chain: ders(authority.sign_leaf(&request.csr.0, &leaf, day(1)).unwrap()),
        authority_chain: request
            .authority_csr
            .map(|csr| ders(authority.sign_intermediate(&csr.0, &identity, day(1)).unwrap())),
        identity,
        root: authority.root().der().into(),
        orchestrator: authority.identity().clone(),
    };
    bend(&mut answer);
    Response::new(Full::from(serde_json::to_vec(&answer).unwrap()))
}

fn token(orchestrator: &Orchestrator, role: Role) -> JoinToken {
    let authority = &orchestrator.authority;
    JoinToken::generate(role, authority.fingerprint(), authority.identity().clone()).unwrap()
}

#[tokio::test]
async fn a_machine_joins_and_opens_a_session() {
    let mut root = Orchestrator::root().await;
    let token = token(&root, Role::Node);
    let token: JoinToken = token.to_text().parse().unwrap();
    let address = root.address();
    let (clock, proposal) = (clock(), Proposal { name: "attic".into(), ..Proposal::default() });
    let (joined, ()) = soon(async {
        tokio::join!(join(&address, &token, proposal, &clock), answer_join(&mut root, &token, |_| {}))
    })
    .await;
    let joined = joined.unwrap();
    assert_eq!(joined.credentials.identity(), &id("holm://sea/m1"));
    assert_eq!(joined.orchestrator, id("holm://sea"));
    assert!(joined.authority.is_none());

    let mut member = member_session(&joined.credentials, &address).await;
    let (peer, channel, mut server) = root.next_member().await;
    assert_eq!((peer.identity, channel), (id("holm://sea/m1"), Channel::Control));
    member.sender.send(Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(soon(server.receiver.recv()).await.unwrap().unwrap(), "hello");
    server.sender.send(Bytes::from_static(b"welcome")).await.unwrap();
    assert_eq!(soon(member.receiver.recv()).await.unwrap().unwrap(), "welcome");
    let mut tunnel = server.tunnels.open().await.unwrap();
    tunnel.write_all(b"logs").await.unwrap();
    let mut accepted = soon(member.incoming.accept()).await.unwrap();
    let mut bytes = [0; 4];
    soon(accepted.read_exact(&mut bytes)).await.unwrap();
    drop((member, accepted));
    assert_eq!(soon(server.receiver.ended()).await, SessionEnd::ClosedByPeer);
}

#[tokio::test]
async fn a_cluster_joins_and_has_members_of_its_own() {
    let mut root = Orchestrator::root().await;
    let token = token(&root, Role::Cluster);
    let address = root.address();
    let clock = clock();
    let (joined, ()) = soon(async {
        let proposal = Proposal::default();
        tokio::join!(join(&address, &token, proposal, &clock), answer_join(&mut root, &token, |_| {}))
    })
    .await;
    let joined = joined.unwrap();
    let mut cluster = Orchestrator::start(joined.authority.unwrap()).await;
    let node = cluster.member("n1");
    let session = member_session(&node, &cluster.address()).await;
    session.sender.send(Bytes::new()).await.unwrap();
    assert_eq!(cluster.next_member().await.0.identity, id("holm://sea/m1/n1"));
    // The same node has no business at the root.
    let error = soon(dialer(&node).connect(&root.address(), Channel::Control)).await.unwrap_err();
    assert!(
        matches!(error, DialError::Untrusted { source: VerifyError::Unexpected { .. }, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_secret_is_told_to_nobody_but_the_tokens_maker() {
    let mut root = Orchestrator::root().await;
    let impostor = Orchestrator::root().await;
    let good = token(&root, Role::Node);
    let error = soon(join(&impostor.address(), &good, Proposal::default(), &clock())).await.unwrap_err();
    assert!(matches!(error, JoinError::WrongServer { source: VerifyError::Fingerprint(_), .. }), "{error:?}");
    // Another orchestrator of the same sea is an impostor, too.
    let other = JoinToken { orchestrator: id("holm://sea/c1"), ..good };
    let error = soon(join(&root.address(), &other, Proposal::default(), &clock())).await.unwrap_err();
    assert!(
        matches!(error, JoinError::WrongServer { source: VerifyError::Unexpected { .. }, .. }),
        "{error:?}"
    );
    assert!(root.accepted.try_recv().is_err(), "no HTTP connection came to be");
}

#[tokio::test]
async fn a_refused_or_bent_join_gives_its_reason() {
    let mut root = Orchestrator::root().await;
    let (good, clock, address) = (token(&root, Role::Node), clock(), root.address());
    let wrong = JoinToken::generate(Role::Node, good.fingerprint, good.orchestrator.clone()).unwrap();
    let (joined, ()) = soon(async {
        let proposal = Proposal::default();
        tokio::join!(join(&address, &wrong, proposal, &clock), answer_join(&mut root, &good, |_| {}))
    })
    .await;
    match joined.unwrap_err() {
        JoinError::Refused { status: 403, reason } => assert_eq!(reason, "the token was used before"),
        other => panic!("{other:?}"),
    }

    let stranger = issue(&sea(), "holm://sea/m1", Usage::Client).chain;
    let bends: [&(dyn Fn(&mut JoinAnswer) + Sync); 4] = [
        &|a| a.chain = stranger.iter().map(Der::from).collect(),
        &|a| a.root = Der::from(sea().root().der()),
        &|a| a.orchestrator = id("holm://sea/c1"),
        &|a| a.identity = id("holm://sea/m2"),
    ];
    for (n, bend) in bends.into_iter().enumerate() {
        let (joined, ()) = soon(async {
            let proposal = Proposal::default();
            tokio::join!(join(&address, &good, proposal, &clock), answer_join(&mut root, &good, bend))
        })
        .await;
        assert!(joined.is_err(), "bend {n}");
    }

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let error = soon(join(&closed, &good, Proposal::default(), &clock)).await.unwrap_err();
    assert!(matches!(error, JoinError::Unreachable(_)), "{error:?}");
}
