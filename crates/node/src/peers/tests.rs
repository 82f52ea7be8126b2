use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use holm_model::id::{Epoch, Uid, WishId};
use holm_model::item::{Endpoints, EndpointsKey};
use holm_model::service::Connect;
use holm_model::slot::{ServiceKey, SlotIndex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::plan::Consumer;
use super::reach::{Duplex, UpwardError, Ways};
use super::*;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn id(counter: u64) -> AssignmentId {
    AssignmentId(Uid { epoch: Epoch::new(1, 7), counter })
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn wish_id() -> WishId {
    WishId(Uid { epoch: Epoch::new(1, 7), counter: 1 })
}

/// Instance 1 of this node connects to `collector:http`, which the given instances offer.
fn wish(endpoints: &[(u64, u16, Vec<SocketAddr>)]) -> Wish {
    let connects = vec![Connect { service: name("collector"), port: name("http"), bound: None }];
    let consumer = Consumer { wish: wish_id(), runtime: name("process"), connects };
    let service = ServiceKey { wish: wish_id(), service: name("collector") };
    let endpoint = |(counter, port, direct): &(u64, u16, Vec<SocketAddr>)| Endpoint {
        instance: id(*counter),
        slot: SlotIndex::Number(u32::try_from(*counter).unwrap()),
        node: Vec::new(),
        port: *port,
        direct: direct.clone(),
        unready: false,
        coordinate: None,
    };
    let all = Endpoints { endpoints: endpoints.iter().map(endpoint).collect() };
    Wish {
        consumers: BTreeMap::from([(id(1), consumer)]),
        endpoints: BTreeMap::from([(EndpointsKey { service, port: name("http") }, all)]),
        here: BTreeSet::from([id(1), id(2)]),
    }
}

fn local() -> BTreeMap<Name, IpAddr> {
    BTreeMap::from([(name("process"), LOOPBACK)])
}

fn start(dir: &tempfile::TempDir, upward: Arc<dyn Upward>) -> Peers {
    let peers = Peers::start(dir.path().to_owned(), upward);
    peers.local(local(), []);
    peers
}

fn addresses(file: &PeersFile) -> Vec<String> {
    file.services[&name("collector")][&name("http")].iter().map(|peer| peer.address.clone()).collect()
}

/// An orchestrator that answers each tunnel with an echo, or refuses.
#[derive(Debug, Default)]
struct Echo {
    refuse: bool,
    opened: Mutex<Vec<(AssignmentId, u16)>>,
}

impl Upward for Echo {
    fn connect(
        &self,
        instance: AssignmentId,
        port: u16,
    ) -> BoxFuture<'_, Result<Box<dyn Duplex>, UpwardError>> {
        async move {
            self.opened.lock().unwrap().push((instance, port));
            if self.refuse {
                return Err(UpwardError::Refused("not yours".into()));
            }
            let (ours, theirs) = tokio::io::duplex(64);
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(theirs);
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.write_all(b"!").await.unwrap();
                write.shutdown().await.unwrap();
            });
            Ok(Box::new(ours) as Box<dyn Duplex>)
        }
        .boxed()
    }

    fn volumes(
        &self,
        _: AssignmentId,
        _: AssignmentId,
    ) -> BoxFuture<'_, Result<Box<dyn Duplex>, UpwardError>> {
        async { Err(UpwardError::NoLink) }.boxed()
    }
}

async fn ask(address: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
    answer
}

#[test]
fn a_peer_here_is_reached_at_its_own_port_and_others_by_proxy() {
    let wish = wish(&[(2, 8080, vec![]), (3, 9090, vec![])]);
    let local = local();
    let plan = Plan::new(&wish, &local);
    let keys: Vec<ProxyKey> = plan.proxies.keys().copied().collect();
    assert_eq!(keys, [ProxyKey { listen: LOOPBACK, instance: id(3), port: 9090 }]);
    let files = plan.files(|_| Some("127.0.0.1:15000".parse().unwrap()));
    assert_eq!(addresses(&files[&id(1)]), ["127.0.0.1:8080", "127.0.0.1:15000"]);
    assert_eq!(files[&id(1)].services[&name("collector")][&name("http")][1].slot, "collector/3");
    let without = plan.files(|_| None);
    assert_eq!(addresses(&without[&id(1)]), ["127.0.0.1:8080"]);
}

#[tokio::test]
async fn a_proxy_leads_through_the_link_with_half_close() {
    let dir = tempfile::tempdir().unwrap();
    let upward = Arc::new(Echo::default());
    let peers = start(&dir, upward.clone());
    peers.wish(wish(&[(3, 9090, vec![])]));
    let file = peers.describe(id(1)).await;
    let address = &addresses(&file)[0];
    assert_eq!(ask(address).await, "hello!");
    assert_eq!(*upward.opened.lock().unwrap(), [(id(3), 9090)]);
    let text = std::fs::read(peers.dir(id(1)).join(FILE)).unwrap();
    assert_eq!(serde_json::from_slice::<PeersFile>(&text).unwrap(), file);
}

#[tokio::test]
async fn proxies_end_when_nobody_needs_them_and_keep_their_port() {
    let dir = tempfile::tempdir().unwrap();
    let peers = start(&dir, Arc::new(Echo::default()));
    peers.wish(wish(&[(3, 9090, vec![])]));
    let before = addresses(&peers.describe(id(1)).await);
    peers.wish(wish(&[]));
    assert!(addresses(&peers.describe(id(1)).await).is_empty());
    let gone = async {
        while TcpStream::connect(&before[0]).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
    peers.wish(wish(&[(3, 9090, vec![])]));
    assert_eq!(addresses(&peers.describe(id(1)).await), before);
    peers.wish(Wish::default());
    assert_eq!(peers.describe(id(1)).await, PeersFile::default());
    assert!(!peers.dir(id(1)).exists());
}

#[tokio::test]
async fn a_direct_address_is_preferred_and_a_dead_one_remembered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let alive = listener.local_addr().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = closed.local_addr().unwrap();
    drop(closed);
    let upward = Echo::default();
    let remote = |direct| Remote { instance: id(3), port: 9090, direct };

    let ways = Ways::default();
    assert!(ways.connect(&remote(vec![dead, alive]), &upward).await.is_ok());
    assert!(upward.opened.lock().unwrap().is_empty());

    let ways = Ways::default();
    assert!(ways.connect(&remote(vec![dead]), &upward).await.is_ok());
    assert_eq!(upward.opened.lock().unwrap().len(), 1);
    // Alive or not, nothing direct is tried for a while.
    assert!(ways.connect(&remote(vec![alive]), &upward).await.is_ok());
    assert_eq!(upward.opened.lock().unwrap().len(), 2);
    ways.forget();
    assert!(ways.connect(&remote(vec![alive]), &upward).await.is_ok());
    assert_eq!(upward.opened.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_refused_tunnel_closes_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let upward = Arc::new(Echo { refuse: true, ..Echo::default() });
    let peers = start(&dir, upward);
    peers.wish(wish(&[(3, 9090, vec![])]));
    let address = addresses(&peers.describe(id(1)).await)[0].clone();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
    assert!(answer.is_empty());
}

#[tokio::test]
async fn a_peer_that_names_our_own_address_is_not_looked_for_here() {
    let dir = tempfile::tempdir().unwrap();
    let here = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upward = Arc::new(Echo::default());
    let peers = Peers::start(dir.path().to_owned(), upward.clone());
    peers.local(local(), [LOOPBACK]);
    peers.wish(wish(&[(3, 9090, vec![here.local_addr().unwrap()])]));
    let address = addresses(&peers.describe(id(1)).await)[0].clone();
    assert_eq!(ask(&address).await, "hello!");
    assert_eq!(upward.opened.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_an_earlier_agent_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let left = dir.path().join(id(99).to_string());
    std::fs::create_dir(&left).unwrap();
    let peers = start(&dir, Arc::new(Echo::default()));
    peers.wish(wish(&[]));
    peers.describe(id(1)).await;
    assert!(!left.exists() && peers.dir(id(1)).join(FILE).exists());
}
