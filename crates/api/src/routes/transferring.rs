//! Nodes that go to another cluster.

use axum::extract::State;
use holm_core::orchestrator::command::{Actor, Command};
use holm_core::orchestrator::transferring::Route;
use holm_model::name::Name;
use holm_model::tunnel::Purpose;
use holm_model::view::NodeView;
use holm_model::view::drain::{TransferRequest, TransferView};
use utoipa_axum::routes;

use super::applications::name;
use super::members::{find_node, member};
use crate::extract::{Json, Path};
use crate::peer::Caller;
use crate::problem::{Common, Fault, Kind, OfThing, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(transfer)];

/// Of an address.
const LONGEST: usize = 300;

/// Give a node to another cluster. At the root only.
///
/// The node is emptied first, as by a drain; asked again when nothing stays, it joins the other cluster, and leaves the
/// old one, where its certificate is void then, as soon as it was heard there. If it is not, it goes back to the old one,
/// where it stays drained until it is uncordoned. Before it was asked to join, uncordoning takes all of this back.
#[utoipa::path(post, path = "/nodes/{id}/move", tag = "members", params(("id" = String, Path)),
    request_body = TransferRequest,
    responses((status = 200, body = TransferView), Common, OfThing, OfWrite))]
async fn transfer(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
    Json(request): Json<TransferRequest>,
) -> Result<axum::Json<TransferView>, Fault> {
    let node = find_node(&api, &id).await?;
    if request.address.as_ref().is_some_and(|address| !is_address(address)) {
        return Err(Fault::new(Kind::Invalid, "an address is `host:port`"));
    }
    let (member, to) = (member("node", &node.id)?, request.to.clone());
    let route = api.query(move |machine| machine.transfer_route(member, &to)).await??;
    let emptied = api.empty(&route.path, request.lose_volumes, actor.clone()).await?;
    if !emptied.stays.is_empty() {
        return Ok(axum::Json(TransferView { moved: false, stays: emptied.stays }));
    }
    let node_name = node.name.clone();
    api.command(actor.clone(), Command::Transfer { node: node_name, to: request.to.clone() }).await?;
    match hand_over(&api, &actor, &node, &route, &request).await {
        Ok(()) => Ok(axum::Json(TransferView { moved: true, stays: Vec::new() })),
        Err(fault) => {
            let (verb, subject) =
                ("node.move".to_owned(), format!("node {} to cluster {}", node.name, request.to));
            let reason = fault.detail().to_owned();
            // It is refused, as always.
            let _ = api.command(actor, Command::Denied { verb, subject, reason }).await;
            Err(fault)
        }
    }
}

async fn hand_over(
    api: &Api,
    actor: &Actor,
    node: &NodeView,
    route: &Route,
    request: &TransferRequest,
) -> Result<(), Fault> {
    let address = match &request.address {
        Some(address) => address.clone(),
        None => told_by(api, &request.to).await?,
    };
    let invited = name("node", &node.name)?;
    let token = api.invite(route.to, invited, actor.who.clone()).await?.token;
    let member = member("node", &node.id)?;
    api.node_tunnel(member, Purpose::Transfer { address, token }).await.map(drop)
}

/// Where the cluster is, as it tells.
async fn told_by(api: &Api, cluster: &Name) -> Result<String, Fault> {
    let wanted = cluster.clone();
    let address = api.query(move |machine| machine.api_of_cluster(wanted.as_str())).await?;
    let unknown = |_| {
        let why = "has told no address that the node could call (it does some seconds after its start); name one \
                   with `--address HOST:PORT`";
        Fault::new(Kind::Conflict, format!("cluster `{cluster}` {why}"))
    };
    address.map(|address| address.to_string()).map_err(unknown)
}

fn is_address(text: &str) -> bool {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    text.len() <= LONGEST
        && !text.contains(char::is_control)
        && port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        assert!(
            is_address("192.0.2.7:7700") && is_address("[2001:db8::1]:7700") && is_address("graz.example:1")
        );
        for wrong in
            ["", "graz", ":7700", "graz:", "graz:0", "graz:x", "a\nb:1", &format!("{}:1", "g".repeat(300))]
        {
            assert!(!is_address(wrong), "{wrong}");
        }
    }
}
