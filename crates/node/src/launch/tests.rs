use holm_core::node::Data;
use holm_model::id::{Epoch, Uid, WishId};
use holm_model::service::{Port, Replicas};
use holm_model::state::RunState;
use holm_model::tunnel::Peer;
use holm_model::wish::{AppKey, SpecBytes, Version};

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn uid(counter: u64) -> Uid {
    Uid { epoch: Epoch::new(1, 7), counter }
}

fn order(spec: ServiceSpec) -> Launch {
    let part = Part {
        app: AppKey { project: name("default"), application: name("building") },
        wish: WishId(uid(1)),
        version: Version { epoch: Epoch::new(1, 7), generation: 1 },
        service: name("web"),
        generation: 1,
        spec: SpecBytes::encode(&spec),
        replicas: Replicas::Number(3),
        run: RunState::Run,
        restarts: 0,
        run_of: None,
    };
    Launch {
        id: AssignmentId(uid(9)),
        incarnation: 4,
        part,
        slot: SlotIndex::Number(2),
        spec,
        ports: BTreeMap::new(),
        contents: BTreeMap::new(),
        lease: None,
        data: Data::Here,
    }
}

fn node() -> NodeSelf {
    NodeSelf {
        name: "fl-1".into(),
        id: "1-000000000007-3".into(),
        cluster: "vienna".into(),
        arch: "arm64".into(),
        labels: BTreeMap::from([("floor".to_owned(), "1".to_owned())]),
    }
}

fn spec(runtime: &str, command: &[&str]) -> ServiceSpec {
    let mut spec = ServiceSpec::new(name(runtime), command.iter().map(ToString::to_string).collect());
    spec.ports.insert(name("http"), Port { host: None, container: Some(80) });
    spec
}

#[test]
fn an_instance_is_told_who_and_where_it_is() {
    let mut spec = spec("process", &["serve", "--floor", "{{node.labels.floor}}", "--port={{port.http}}"]);
    spec.env.insert("WHO".into(), "{{slot.name}} on {{node.name}}".into());
    spec.env.insert("HOLM_NODE".into(), "mine".into());
    let ports = BTreeMap::from([(name("http"), 20_001)]);
    let launch = compose(order(spec), &node(), &ports, None).unwrap();
    assert_eq!(launch.spec.command, ["serve", "--floor", "1", "--port=20001"]);
    assert_eq!(launch.name, "building/web/2");
    assert_eq!(launch.incarnation, 4);
    let env: Vec<String> = launch.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        env,
        [
            "HOLM_APPLICATION=building",
            "HOLM_CLUSTER=vienna",
            "HOLM_INSTANCE=1-000000000007-9",
            "HOLM_NODE=mine",
            "HOLM_PORT_HTTP=20001",
            "HOLM_SERVICE=web",
            "HOLM_SLOT=web/2",
            "WHO=web/2 on fl-1",
        ]
    );
}

#[test]
fn in_a_container_the_ports_are_the_containers() {
    let ports = BTreeMap::from([(name("http"), 20_001)]);
    let launch = compose(order(spec("container", &["{{port.http}}"])), &node(), &ports, None).unwrap();
    assert_eq!(launch.spec.command, ["80"]);
    assert_eq!(launch.env["HOLM_PORT_HTTP"], "80");
    assert_eq!(launch.ports[&name("http")], PortMap { host: 20_001, container: Some(80) });
    let native = compose(order(spec("process", &[])), &node(), &ports, None).unwrap();
    assert_eq!(native.ports[&name("http")], PortMap { host: 20_001, container: None });
}

#[test]
fn peers_are_in_the_environment() {
    let peer = |number: u16| Peer {
        slot: format!("collector/{number}"),
        instance: AssignmentId(uid(number.into())),
        address: format!("127.0.0.1:{number}"),
    };
    let services =
        BTreeMap::from([(name("floor-collector"), BTreeMap::from([(name("http"), vec![peer(1), peer(2)])]))]);
    let peers = PeersFile { services };
    let at = PeersAt { peers: &peers, dir: Path::new("/node/peers"), file: Path::new("/holm/peers.json") };
    let ports = BTreeMap::from([(name("http"), 20_001)]);
    let launch = compose(order(spec("process", &[])), &node(), &ports, Some(at)).unwrap();
    assert_eq!(launch.env["HOLM_CONNECTS"], "/holm/peers.json");
    assert_eq!(launch.env["HOLM_CONNECT_FLOOR_COLLECTOR_HTTP"], "127.0.0.1:1,127.0.0.1:2");
    assert_eq!(launch.files.as_deref(), Some(Path::new("/node/peers")));
}

#[test]
fn a_label_that_the_node_lacks_is_named() {
    let error =
        compose(order(spec("process", &["a", "{{node.labels.room}}"])), &node(), &BTreeMap::new(), None);
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("argument 1 of `command`: the node has no label `room`"), "{text}");
}
