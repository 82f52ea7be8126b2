//! Nodes, clusters, and members in general.

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use holm_core::orchestrator::command::{Actor, Command, Reply};
use holm_model::id::MemberId;
use holm_model::view::held::HeldView;
use holm_model::view::query::PageQuery;
use holm_model::view::{ClusterView, MemberView, NodeView, Page, RemovalView};
use utoipa_axum::routes;

use super::list::Listing;
use crate::extract::{Path, Query};
use crate::page::page;
use crate::peer::Caller;
use crate::problem::{Common, Fault, Kind, OfThing, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[
    || routes!(nodes),
    || routes!(node, remove_node),
    || routes!(revoke_node),
    || routes!(cordon_node),
    || routes!(uncordon_node),
    || routes!(clusters),
    || routes!(cluster, remove_cluster),
    || routes!(revoke_cluster),
    || routes!(cordon_cluster),
    || routes!(uncordon_cluster),
    || routes!(members),
    || routes!(held),
    || routes!(adopt),
    || routes!(discard),
];

/// Nodes, those of clusters included.
#[utoipa::path(get, path = "/nodes", tag = "members", params(PageQuery),
    responses((status = 200, body = Page<NodeView>), Common))]
async fn nodes(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> Result<Listing<NodeView>, Fault> {
    let nodes = api.query(|machine| machine.nodes()).await?;
    let key =
        |node: &NodeView| format!("{}/{}/{}", node.cluster.as_deref().unwrap_or(""), node.name, node.id);
    Ok(Listing::new(uri, page(nodes, key, query.limit, query.cursor.as_deref())?))
}

/// One node, by id, or by name where only one node has it.
#[utoipa::path(get, path = "/nodes/{id}", tag = "members", params(("id" = String, Path)),
    responses((status = 200, body = NodeView), Common, OfThing))]
async fn node(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<NodeView>, Fault> {
    find_node(&api, &id).await.map(Json)
}

/// Forget a node: what it runs for us ends first, if it can be told, and is placed elsewhere.
#[utoipa::path(delete, path = "/nodes/{id}", tag = "members", params(("id" = String, Path)),
    responses((status = 200, body = RemovalView), Common, OfThing, OfWrite))]
async fn remove_node(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
) -> Result<Json<RemovalView>, Fault> {
    let member = node_id(&api, &id).await?;
    remove(&api, actor, member).await
}

/// Make a node's certificates void; it stays known.
#[utoipa::path(post, path = "/nodes/{id}/revoke", tag = "members", params(("id" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn revoke_node(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Fault> {
    let member = node_id(&api, &id).await?;
    done(api.command(actor, Command::RevokeMember { member }).await)
}

/// Keep new work away from a node; what is there stays.
#[utoipa::path(post, path = "/nodes/{id}/cordon", tag = "members", params(("id" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn cordon_node(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Fault> {
    let member = node_id(&api, &id).await?;
    cordon(&api, actor, member, true).await
}

/// Let a node take new work again.
#[utoipa::path(post, path = "/nodes/{id}/uncordon", tag = "members", params(("id" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn uncordon_node(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Fault> {
    let member = node_id(&api, &id).await?;
    cordon(&api, actor, member, false).await
}

/// Clusters of this orchestrator.
#[utoipa::path(get, path = "/clusters", tag = "members", params(PageQuery),
    responses((status = 200, body = Page<ClusterView>), Common))]
async fn clusters(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> Result<Listing<ClusterView>, Fault> {
    let clusters = api.query(|machine| machine.clusters()).await?;
    let key = |cluster: &ClusterView| format!("{}/{}", cluster.name, cluster.id);
    Ok(Listing::new(uri, page(clusters, key, query.limit, query.cursor.as_deref())?))
}

/// One cluster, by id or name.
#[utoipa::path(get, path = "/clusters/{id}", tag = "members", params(("id" = String, Path)),
    responses((status = 200, body = ClusterView), Common, OfThing))]
async fn cluster(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<ClusterView>, Fault> {
    find_cluster(&api, &id).await.map(Json)
}

/// Forget a cluster: what it runs for us ends first, if it can be told, and is placed elsewhere.
#[utoipa::path(delete, path = "/clusters/{id}", tag = "members", params(("id" = String, Path)),
    responses((status = 200, body = RemovalView), Common, OfThing, OfWrite))]
async fn remove_cluster(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
) -> Result<Json<RemovalView>, Fault> {
    let member = cluster_id(&api, &id).await?;
    remove(&api, actor, member).await
}

/// Make void the certificates of a cluster and of all below it; it stays known.
///
/// What it has signed for instances is good no more. Its nodes run on until somebody ends that there.
#[utoipa::path(post, path = "/clusters/{id}/revoke", tag = "members", params(("id" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn revoke_cluster(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Fault> {
    let member = cluster_id(&api, &id).await?;
    done(api.command(actor, Command::RevokeMember { member }).await)
}

/// Keep new work away from a cluster; what is there stays.
#[utoipa::path(post, path = "/clusters/{id}/cordon", tag = "members", params(("id" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn cordon_cluster(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Fault> {
    let member = cluster_id(&api, &id).await?;
    cordon(&api, actor, member, true).await
}

/// Let a cluster take new work again.
#[utoipa::path(post, path = "/clusters/{id}/uncordon", tag = "members", params(("id" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn uncordon_cluster(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Fault> {
    let member = cluster_id(&api, &id).await?;
    cordon(&api, actor, member, false).await
}

/// Members of this orchestrator: its own nodes, and its clusters.
#[utoipa::path(get, path = "/members", tag = "members", params(PageQuery),
    responses((status = 200, body = Page<MemberView>), Common))]
async fn members(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> Result<Listing<MemberView>, Fault> {
    let members = api.query(|machine| machine.members()).await?;
    let key = |member: &MemberView| format!("{}/{}", member.name, member.id);
    Ok(Listing::new(uri, page(members, key, query.limit, query.cursor.as_deref())?))
}

/// What the member holds, and what `adopt` and `discard` would lead to.
#[utoipa::path(get, path = "/members/{id}/held", tag = "members", params(("id" = String, Path)),
    responses((status = 200, body = HeldView), Common, OfThing))]
async fn held(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<HeldView>, Fault> {
    let member = find_member(&api, &id).await?;
    let held = api.query(move |machine| machine.held_by(member)).await?;
    // It may have been removed in between.
    held.map(Json).ok_or_else(|| Fault::no_such("member", &id))
}

/// What the member runs replaces what this orchestrator believes of it.
#[utoipa::path(post, path = "/members/{id}/adopt", tag = "members", params(("id" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn adopt(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Fault> {
    let member = find_member(&api, &id).await?;
    done(api.command(actor, Command::Adopt { member }).await)
}

/// What this orchestrator believes replaces what the member runs.
#[utoipa::path(post, path = "/members/{id}/discard", tag = "members", params(("id" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn discard(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Fault> {
    let member = find_member(&api, &id).await?;
    done(api.command(actor, Command::Discard { member }).await)
}

async fn remove(api: &Api, actor: Actor, member: MemberId) -> Result<Json<RemovalView>, Fault> {
    match api.command(actor, Command::RemoveMember { member }).await? {
        Reply::Removed(removal) => Ok(Json(removal)),
        _ => Err(Fault::new(Kind::Internal, "a removal was answered with something else (a bug)")),
    }
}

pub(super) async fn find_node(api: &Api, id: &str) -> Result<NodeView, Fault> {
    let nodes = api.query(|machine| machine.nodes()).await?;
    only("node", nodes, id, |node| (&node.id, &node.name))
}

pub(super) async fn find_cluster(api: &Api, id: &str) -> Result<ClusterView, Fault> {
    let clusters = api.query(|machine| machine.clusters()).await?;
    only("cluster", clusters, id, |cluster| (&cluster.id, &cluster.name))
}

async fn node_id(api: &Api, id: &str) -> Result<MemberId, Fault> {
    member("node", &find_node(api, id).await?.id)
}

async fn cluster_id(api: &Api, id: &str) -> Result<MemberId, Fault> {
    member("cluster", &find_cluster(api, id).await?.id)
}

async fn cordon(api: &Api, actor: Actor, member: MemberId, cordoned: bool) -> Result<StatusCode, Fault> {
    done(api.command(actor, Command::Cordon { member, cordoned }).await)
}

async fn find_member(api: &Api, id: &str) -> Result<MemberId, Fault> {
    let (members, nodes) = api.query(|machine| (machine.members(), machine.nodes())).await?;
    if !members.iter().any(|member| member.id == id || member.name == id)
        && let Some((node, cluster)) = below(&nodes, id)
    {
        return Err(Fault::new(
            Kind::NotFound,
            format!(
                "`{node}` is a member of the cluster `{cluster}`, and decided about there: on the machine of that \
                 cluster, with `--socket` and the `api.sock` of its data directory"
            ),
        ));
    }
    let found = only("member", members, id, |member| (&member.id, &member.name))?;
    member("member", &found.id)
}

/// Name and cluster of a node that is called `id`, or `cluster/id`.
fn below<'a>(nodes: &'a [NodeView], id: &str) -> Option<(&'a str, &'a str)> {
    nodes.iter().find_map(|node| {
        let (name, cluster) = (node.name.as_str(), node.cluster.as_deref()?);
        let called = node.id == id || name == id || id == format!("{cluster}/{name}");
        called.then_some((name, cluster))
    })
}

pub(crate) fn member(kind: &str, id: &str) -> Result<MemberId, Fault> {
    id.parse().map_err(|_| Fault::no_such(kind, id))
}

fn done<T>(reply: Result<T, Fault>) -> Result<StatusCode, Fault> {
    reply.map(|_| StatusCode::NO_CONTENT)
}

/// The one of `all` with this id or, if no other has it, this name.
fn only<T>(kind: &str, all: Vec<T>, wanted: &str, names: impl Fn(&T) -> (&str, &str)) -> Result<T, Fault> {
    let (mut exact, mut named) = (None, Vec::new());
    for item in all {
        let (id, name) = names(&item);
        if id == wanted {
            exact = Some(item);
        } else if name == wanted {
            named.push(item);
        }
    }
    if let Some(item) = exact {
        return Ok(item);
    }
    if named.len() > 1 {
        let ids: Vec<_> = named.iter().take(5).map(|item| names(item).0).collect();
        let detail = format!("{} have this name; give an id: {}", named.len(), ids.join(", "));
        return Err(Fault::new(Kind::Conflict, detail));
    }
    named.pop().ok_or_else(|| Fault::no_such(kind, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_must_mean_one_thing() {
        let all = || vec![("1", "a"), ("2", "b"), ("3", "b"), ("a", "c")];
        let find = |wanted| only("node", all(), wanted, |(id, name)| (id, name)).map_err(|f| f.kind());
        assert_eq!(find("2"), Ok(("2", "b")));
        assert_eq!(find("c"), Ok(("a", "c")));
        assert_eq!(find("a"), Ok(("a", "c")), "an id wins over a name");
        assert_eq!(find("b"), Err(Kind::Conflict));
        assert_eq!(find("x"), Err(Kind::NotFound));
    }
}
