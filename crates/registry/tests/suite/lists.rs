//! Tags, referrers, and taking things away.

use holm_registry::Digest;
use serde_json::{Value, json};

use crate::common::{INDEX, OCI, Server, descriptor, image};

#[tokio::test]
async fn tags_are_listed_in_pages() {
    let (server, _dir) = Server::new().await;
    server.blob("red/empty", b"x").await;
    assert_eq!(server.get("/v2/red/empty/tags/list").await.json()["tags"], json!([]));
    for tag in ["c", "a", "b"] {
        server.image("red/web", tag, b"layer").await;
    }
    let all = server.get("/v2/red/web/tags/list").await;
    assert_eq!(all.json(), json!({ "name": "red/web", "tags": ["a", "b", "c"] }));
    let (mut path, mut seen) = ("/v2/red/web/tags/list?n=2".to_owned(), Vec::new());
    loop {
        let page = server.get(&path).await;
        seen.extend(page.json()["tags"].as_array().unwrap().clone());
        match page.header("link").split_once('>') {
            Some((next, _)) => next[1..].clone_into(&mut path),
            None => break,
        }
    }
    assert_eq!(seen, ["a", "b", "c"]);
    assert_eq!(server.get("/v2/red/web/tags/list?n=x").await.status.as_u16(), 400);
    assert_eq!(server.get("/v2/red/web/tags/list?n=0").await.json()["tags"], json!([]));
}

#[tokio::test]
async fn what_is_attached_is_listed_whether_its_subject_is_there_or_not() {
    let (server, _dir) = Server::new().await;
    let subject = Digest::of(b"subject to come");
    let none = server.get(&format!("/v2/red/web/referrers/{subject}")).await;
    assert_eq!((none.status.as_u16(), none.json()["manifests"].clone()), (200, json!([])));
    assert_eq!(none.header("content-type"), INDEX);
    server.blob("red/web", b"{}").await;
    server.blob("red/web", b"layer").await;
    let of = json!({ "mediaType": OCI, "digest": subject.to_string(), "size": 7 });
    let put = async |kind: &str| {
        let text =
            image(b"layer", &json!({ "subject": of, "artifactType": kind, "annotations": { "k": kind } }));
        let digest = Digest::of(text.as_bytes());
        let answer = server.put("red/web", &digest.to_string(), OCI, &text).await;
        assert_eq!((answer.status.as_u16(), answer.header("oci-subject")), (201, &*subject.to_string()));
        digest
    };
    let sbom = put("application/sbom").await;
    let signature = put("application/signature").await;
    let digests = |page: &Value| {
        let mut all: Vec<_> =
            page["manifests"].as_array().unwrap().iter().map(|one| one["digest"].clone()).collect();
        all.sort_by_key(ToString::to_string);
        all
    };
    let mut both = vec![json!(sbom.to_string()), json!(signature.to_string())];
    both.sort_by_key(ToString::to_string);
    let all = server.get(&format!("/v2/red/web/referrers/{subject}")).await;
    assert_eq!(digests(&all.json()), both);
    let path = format!("/v2/red/web/referrers/{subject}?artifactType=application%2Fsbom");
    let some = server.get(&path).await;
    assert_eq!(
        (digests(&some.json()), some.header("oci-filters-applied")),
        (vec![both_of(sbom)], "artifactType")
    );
    assert_eq!(some.json()["manifests"][0]["annotations"]["k"], "application/sbom");
    server.call("DELETE", &format!("/v2/red/web/manifests/{sbom}"), &[], "").await;
    let left = server.get(&format!("/v2/red/web/referrers/{subject}")).await;
    assert_eq!(digests(&left.json()), [both_of(signature)]);
}

fn both_of(digest: Digest) -> Value {
    json!(digest.to_string())
}

#[tokio::test]
async fn tags_manifests_and_blobs_go_in_this_order() {
    let (server, dir) = Server::new().await;
    let image = server.image("red/web", "v1", b"layer").await;
    server.put("red/web", "v2", OCI, &crate::common::image(b"layer", &json!({}))).await;
    let text = crate::common::image(b"layer", &json!({}));
    let index = json!({ "schemaVersion": 2, "manifests": [descriptor(text.as_bytes(), OCI)] }).to_string();
    server.put("red/web", "all", INDEX, &index).await;
    let delete = async |path: &str| server.call("DELETE", &format!("/v2/red/web/{path}"), &[], "").await;
    let blob = format!("blobs/{}", Digest::of(b"layer"));
    assert_eq!(delete(&blob).await.error(), (405, "DENIED".into()));
    assert_eq!(delete("manifests/v1").await.status.as_u16(), 202);
    assert_eq!(delete("manifests/v1").await.error(), (404, "MANIFEST_UNKNOWN".into()));
    assert_eq!(server.get(&format!("/v2/red/web/manifests/{image}")).await.status.as_u16(), 200);
    assert_eq!(
        delete(&format!("manifests/{image}")).await.error(),
        (405, "DENIED".into()),
        "the index needs it"
    );
    assert_eq!(delete(&format!("manifests/{}", Digest::of(index.as_bytes()))).await.status.as_u16(), 202);
    assert_eq!(server.get("/v2/red/web/manifests/all").await.error().0, 404);
    assert_eq!(delete(&format!("manifests/{image}")).await.status.as_u16(), 202);
    assert_eq!(server.get("/v2/red/web/manifests/v2").await.error().0, 404, "its tags go with it");
    assert_eq!(delete(&blob).await.status.as_u16(), 202);
    assert_eq!(delete(&blob).await.error(), (404, "BLOB_UNKNOWN".into()));
    let config = format!("/v2/red/web/blobs/{}", Digest::of(b"{}"));
    let refused = server.call("DELETE", &config, &[("x-keep", "1")], "").await;
    assert_eq!(refused.error(), (403, "DENIED".into()));
    assert_eq!(delete(&format!("blobs/{}", Digest::of(b"{}"))).await.status.as_u16(), 202);
    // Nothing is left of a repository in which nothing is.
    assert_eq!(std::fs::read_dir(dir.path().join("repositories")).unwrap().count(), 0);
    assert_eq!(server.get("/v2/red/web/tags/list").await.error(), (404, "NAME_UNKNOWN".into()));
}
