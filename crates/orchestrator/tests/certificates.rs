//! Certificates over time: a cluster that renews its own, members whose certificate has expired, and
//! machines whose clock says 1970.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code")]

mod support;

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use holm_link::UnixTime;
use holm_link::certificate::Serial;
use holm_link::clock::{Clock, FILE, LocalClock};
use holm_link::credentials::{CredentialRequest, Credentials};
use holm_link::session::SessionEnd;
use holm_model::member::Role;
use holm_model::message::{Down, Up};
use holm_model::state::MemberState;
use holm_model::view::TokenRole;
use holm_orchestrator::Config;
use support::node::{self, Node, Wire, hello};
use support::{Running, cluster_config, eventually, root_config, run};

const SHORT: Duration = Duration::from_secs(3);

fn at_1970() -> LocalClock {
    LocalClock::told(|| UnixTime::since_unix_epoch(Duration::from_secs(1000)))
}

fn short_lived(config: Config) -> Config {
    Config { certificate_life: SHORT, ..config }
}

fn own(dir: &Path) -> Serial {
    Credentials::load(dir).unwrap().unwrap().serial().clone()
}

async fn cluster_online(root: &Running) {
    eventually("the cluster is online", async || {
        let clusters = root.handle.query(|m| m.clusters()).await.unwrap();
        clusters.iter().any(|c| c.state == MemberState::Online).then_some(())
    })
    .await;
}

/// The wire of a member with these credentials.
async fn wire(root: &Running, credentials: &Credentials) -> Wire {
    let session = node::dial(root.address, credentials).await;
    Wire { session_sender: session.sender, receiver: session.receiver }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_renews_its_own_certificate_and_its_servers_and_keeps_serving() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let root = run(short_lived(root_config(dirs[0].path()))).await;
    let token = root.token(TokenRole::Cluster).await;
    let cluster = run(short_lived(cluster_config(dirs[1].path(), root.address, Some(token)))).await;
    let joined = node::join(cluster.address, &cluster.token(TokenRole::Node).await, "fl-1").await.unwrap();
    let node = Node::connect(cluster.address, &joined.credentials, "fl-1").await;
    cluster_online(&root).await;
    let links = root.handle.query(|m| m.links()).await.unwrap();

    let mut seen = HashSet::from([own(dirs[1].path())]);
    eventually("three renewals", async || {
        seen.insert(own(dirs[1].path()));
        (seen.len() > 3).then_some(())
    })
    .await;
    assert_eq!(root.handle.query(|m| m.links()).await.unwrap(), links, "the link stays up");
    assert!(node.tunnels.open().await.is_ok(), "the node's, too");

    // Servers' certificates live for nine seconds: a caller must meet a new one within that time.
    let meets = async || {
        let dialer = holm_link::dial::Dialer::new(&joined.credentials, Default::default(), Clock::default());
        let address = cluster.address.to_string();
        let met = dialer.unwrap().connect(&address, holm_link::listen::Channel::Control).await.ok()?;
        met.peer.serials.first().cloned()
    };
    let first = eventually("it is met", meets).await;
    eventually("another is met", async || meets().await.filter(|serial| *serial != first)).await;
    cluster.stop().await;
    root.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_whose_certificate_expired_while_it_was_away_comes_back() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let root = run(short_lived(root_config(dirs[0].path()))).await;
    let token = root.token(TokenRole::Cluster).await;
    let config = || short_lived(cluster_config(dirs[1].path(), root.address, None));
    let cluster = run(short_lived(cluster_config(dirs[1].path(), root.address, Some(token)))).await;
    cluster_online(&root).await;
    cluster.stop().await;
    let left = Credentials::load(dirs[1].path()).unwrap().unwrap();
    eventually("it has expired", async || (UnixTime::now() > left.expires_at()).then_some(())).await;
    let cluster = run(config()).await;
    eventually("it has a new one", async || (own(dirs[1].path()) != *left.serial()).then_some(())).await;
    let linked = async || (!root.handle.query(|m| m.links()).await?.is_empty()).then_some(());
    eventually("it is linked by the new one", linked).await;
    cluster.stop().await;
    root.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_opens_a_session_for_its_renewal_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let root = run(short_lived(root_config(dir.path()))).await;
    let joined = node::join(root.address, &root.token(TokenRole::Node).await, "fl-1").await.unwrap();
    let expires = joined.credentials.expires_at();
    eventually("it has expired", async || (UnixTime::now() > expires).then_some(())).await;
    let mut wire = wire(&root, &joined.credentials).await;
    wire.say(&hello("fl-1", Role::Node)).await;
    let Some(Down::Time { now }) = wire.hear().await else { panic!("it hears what time it is") };
    assert!(now > expires.as_secs());
    let request = CredentialRequest::new().unwrap();
    wire.say(&Up::Renew { csr: request.csr().to_vec().into() }).await;
    let Some(Down::Certificate { chain }) = wire.hear().await else { panic!("no welcome, a certificate") };
    let chain = chain.into_iter().map(|der| der.into_vec().into()).collect();
    let renewed = joined.credentials.renewed(request, chain).unwrap();
    Node::connect(root.address, &renewed, "fl-1").await;
    root.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_rejoin_window_a_member_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = short_lived(root_config(dir.path()));
    config.limits.rejoin_window = Duration::ZERO;
    let root = run(config).await;
    let joined = node::join(root.address, &root.token(TokenRole::Node).await, "fl-1").await.unwrap();
    let expires = joined.credentials.expires_at();
    eventually("it has expired", async || (UnixTime::now() > expires).then_some(())).await;
    let session = node::dial(root.address, &joined.credentials).await;
    assert_eq!(session.tunnels.ended().await, SessionEnd::Refused("CertificateExpired".to_owned()));
    root.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_wakes_in_1970_serves_by_the_platform_time() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let root = run(root_config(dirs[0].path())).await;
    let token = root.token(TokenRole::Cluster).await;
    let cluster = run(cluster_config(dirs[1].path(), root.address, Some(token))).await;
    let joined = node::join(cluster.address, &cluster.token(TokenRole::Node).await, "fl-1").await.unwrap();
    eventually("the time is kept", async || dirs[1].path().join(FILE).exists().then_some(())).await;
    assert!(dirs[0].path().join(FILE).exists(), "a root keeps its own");
    cluster.stop().await;

    // Nobody tells it what time it is: the root is away.
    let address = root.address;
    root.stop().await;
    let woken = Config { clock: at_1970(), ..cluster_config(dirs[1].path(), address, None) };
    let cluster = run(woken).await;
    Node::connect(cluster.address, &joined.credentials, "fl-1").await;
    let second = node::join(cluster.address, &cluster.token(TokenRole::Node).await, "fl-2").await.unwrap();
    Node::connect(cluster.address, &second.credentials, "fl-2").await;

    // Without what was kept it takes its own nodes' certificates for ones of the future.
    cluster.stop().await;
    std::fs::remove_file(dirs[1].path().join(FILE)).unwrap();
    let lost = Config { clock: at_1970(), ..cluster_config(dirs[1].path(), address, None) };
    let cluster = run(lost).await;
    let dialer =
        holm_link::dial::Dialer::new(&joined.credentials, Default::default(), Clock::default()).unwrap();
    let met = dialer.connect(&cluster.address.to_string(), holm_link::listen::Channel::Control).await;
    assert!(met.is_err(), "nor would they take its own");
    cluster.stop().await;
}
