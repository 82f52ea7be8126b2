//! Who instances are: for whom a hand-made node is believed, and for whom not.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use holm_core::orchestrator::command::{Command, Expected, Reply};
use holm_link::credentials::CredentialRequest;
use holm_link::frame::{read_header, write_header};
use holm_link::workload::token::{Claims, TokenError};
use holm_model::id::AssignmentId;
use holm_model::identity::{Proof, TOKEN_LIFE, Want};
use holm_model::item::Assignment;
use holm_model::service::{Application, ApplicationService, Replicas, ServiceSpec};
use holm_model::tunnel::{Answer, Purpose, Request};
use holm_model::view::TokenRole;
use holm_model::wish::AppKey;
use holm_orchestrator::identity::VerifyIdentityError;
use serde_bytes::ByteBuf;
use support::node::{self, Node};
use support::{Running, admin, cluster_config, eventually, name, root_config, run};

struct Sea {
    root: Running,
    cluster: Running,
    nodes: Vec<Node>,
    _dirs: [tempfile::TempDir; 2],
}

/// `web` and `plain` on the first node, `other` on the second; `plain` has no identity.
async fn sea() -> Sea {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let root = run(root_config(dirs[0].path())).await;
    let token = root.token(TokenRole::Cluster).await;
    let cluster = run(cluster_config(dirs[1].path(), root.address, Some(token))).await;
    let mut nodes = Vec::new();
    for called in ["fl-1", "fl-2"] {
        let token = cluster.token(TokenRole::Node).await;
        let joined = node::join(cluster.address, &token, called).await.unwrap();
        nodes.push(Node::connect(cluster.address, &joined.credentials, called).await);
    }
    let services = [("web", "fl-1", true), ("plain", "fl-1", false), ("other", "fl-2", true)];
    let services = services.map(|(service, on, identity)| {
        let mut spec = ServiceSpec::new(name("process"), vec!["true".to_owned()]);
        spec.identity = identity;
        spec.placement.node = Some(name(on));
        (name(service), ApplicationService { spec, replicas: Replicas::Number(1) })
    });
    let application = Application { name: name("shop"), services: BTreeMap::from(services) };
    let command = Command::Apply { project: name("default"), application, expected: Expected::Anything };
    assert!(matches!(root.handle.command(admin(), command).await, Ok(Reply::Applied(_))));
    Sea { root, cluster, nodes, _dirs: dirs }
}

fn token() -> Want {
    Want::Token { audience: "holm://sea".to_owned(), life: TOKEN_LIFE }
}

/// As the node asks for one of its instances, or says that it is.
async fn ask(node: &Node, instance: AssignmentId, want: Want) -> Result<Proof, String> {
    let mut tunnel = node.tunnels.open().await.unwrap();
    let request = Request { path: Vec::new(), purpose: Purpose::Identity { instance, want } };
    write_header(&mut tunnel, &request).await.unwrap();
    match read_header(&mut tunnel).await.unwrap() {
        Answer::Granted => Ok(read_header(&mut tunnel).await.unwrap()),
        Answer::Refused(reason) => Err(reason),
    }
}

async fn token_of(node: &Node, instance: &Assignment) -> String {
    match ask(node, instance.id, token()).await {
        Ok(Proof::Token { token, .. }) => token,
        other => panic!("{other:?}"),
    }
}

async fn judged(at: &Running, text: &str) -> Result<Claims, VerifyIdentityError> {
    at.handle.verify_identity(text, None).await
}

#[tokio::test]
async fn a_node_may_ask_for_its_own_instances_only_and_while_they_are_there() {
    let mut sea = sea().await;
    let web = sea.nodes[0].assignment("web").await;
    let plain = sea.nodes[0].assignment("plain").await;
    let other = sea.nodes[1].assignment("other").await;
    let [first, second] = &mut sea.nodes[..] else { panic!("two nodes") };

    let text = token_of(first, &web).await;
    let claims = judged(&sea.cluster, &text).await.unwrap();
    assert_eq!(claims.sub.to_string(), "holm://sea/default/shop/web");
    assert_eq!((&claims.iss, claims.instance), (sea.cluster.handle.identity(), web.id.to_string()));
    assert_eq!(claims.node.to_string(), format!("{}/{}", claims.iss, first.member));
    // The root has not heard of the instance before it is reported.
    first.runs(&web, &[]).await;
    eventually("the root knows it", async || judged(&sea.root, &text).await.ok()).await;

    // Another's, and one that is nobody's, are the same.
    for (node, foreign) in [(&*first, &other), (&*second, &web), (&*second, &plain)] {
        let refused = ask(node, foreign.id, token()).await.unwrap_err();
        assert!(refused.contains("is not on the list of this node"), "{refused}");
    }
    let refused = ask(first, plain.id, token()).await.unwrap_err();
    assert!(refused.contains("`identity: true`"), "{refused}");
    // A node that does not keep to the limits.
    let day = Duration::from_secs(86_400);
    let long = Want::Token { audience: "a".to_owned(), life: day };
    assert!(ask(first, web.id, long).await.unwrap_err().contains("`ttl`"));
    let garbage = Want::Certificate { csr: ByteBuf::from(b"garbage".to_vec()), life: day };
    assert!(ask(first, web.id, garbage).await.unwrap_err().contains("signing request"));
    let csr = ByteBuf::from(CredentialRequest::new().unwrap().csr().to_vec());
    let proof = ask(first, web.id, Want::Certificate { csr, life: day }).await;
    assert!(matches!(&proof, Ok(Proof::Certificate { chain, .. }) if chain.len() == 2), "{proof:?}");

    // For this API, unless somebody else is named.
    let elsewhere = sea.root.handle.verify_identity(&text, Some("https://shop")).await;
    assert!(matches!(elsewhere, Err(VerifyIdentityError::Token(TokenError::Audience { .. }))));

    let app = AppKey { project: name("default"), application: name("shop") };
    let command = Command::Delete { app, expected: Expected::Anything };
    sea.root.handle.command(admin(), command).await.unwrap();
    eventually("nothing is proved any more", async || {
        let refused = ask(&sea.nodes[0], web.id, token()).await.err()?;
        refused.contains("is not on the list").then_some(())
    })
    .await;
    let gone = judged(&sea.cluster, &text).await;
    assert!(matches!(gone, Err(VerifyIdentityError::Gone(_))), "{gone:?}");
}

#[tokio::test]
async fn a_cluster_without_its_root_vouches_as_before() {
    let mut sea = sea().await;
    let web = sea.nodes[0].assignment("web").await;
    sea.root.stop().await;
    let text = token_of(&sea.nodes[0], &web).await;
    assert!(judged(&sea.cluster, &text).await.is_ok());
}
