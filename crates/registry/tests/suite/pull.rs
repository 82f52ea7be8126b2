//! Pulling, and who may.

use holm_registry::Digest;
use serde_json::json;

use crate::common::{OCI, Server, image};

#[tokio::test]
async fn a_blob_is_read_whole_or_in_part_and_asked_for() {
    let (server, _dir) = Server::new().await;
    let digest = server.blob("red/web", b"0123456789").await;
    let path = format!("/v2/red/web/blobs/{digest}");
    let head = server.call("HEAD", &path, &[], "").await;
    assert_eq!(
        (head.header("content-length"), head.header("docker-content-digest")),
        ("10", &*digest.to_string())
    );
    let part = server.call("GET", &path, &[("range", "bytes=3-5")], "").await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &b"345"[..]));
    assert_eq!(part.header("content-range"), "bytes 3-5/10");
    let rest = server.call("GET", &path, &[("range", "bytes=8-")], "").await;
    assert_eq!(rest.body, "89");
    let outside = server.call("GET", &path, &[("range", "bytes=10-")], "").await;
    assert_eq!((outside.error().0, outside.header("content-range")), (416, "bytes */10"));
    let empty = server.blob("red/web", b"").await;
    assert_eq!(server.get(&format!("/v2/red/web/blobs/{empty}")).await.body, "");
}

#[tokio::test]
async fn a_manifest_is_read_by_tag_and_digest_as_it_came() {
    let (server, _dir) = Server::new().await;
    let digest = server.image("red/web", "v1", b"layer").await;
    let text = image(b"layer", &json!({}));
    for reference in ["v1".to_owned(), digest.to_string(), digest.to_string().replace(':', "%3A")] {
        let path = format!("/v2/red/web/manifests/{reference}");
        let answer = server.get(&path).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, text.as_bytes()));
        assert_eq!((answer.header("content-type"), answer.header("etag")), (OCI, &*format!("\"{digest}\"")));
        let head = server.call("HEAD", &path, &[], "").await;
        assert_eq!(head.header("content-length"), text.len().to_string());
    }
    for nothing in ["v2", ".x", &Digest::of(b"other").to_string(), "sha512:00"] {
        let answer = server.get(&format!("/v2/red/web/manifests/{nothing}")).await;
        assert_eq!(answer.error(), (404, "MANIFEST_UNKNOWN".into()), "{nothing}");
    }
}

#[tokio::test]
async fn whoever_may_not_learns_nothing() {
    let (server, _dir) = Server::new().await;
    let digest = server.blob("red/web", b"x").await;
    let nobody = server.call("GET", "/v2/", &[("x-nobody", "1")], "").await;
    assert_eq!(nobody.error(), (401, "UNAUTHORIZED".into()));
    assert_eq!(nobody.header("www-authenticate"), "Basic realm=\"holm\", charset=\"UTF-8\"");
    let version = server.get("/v2/").await;
    assert_eq!(
        (version.status.as_u16(), version.header("docker-distribution-api-version")),
        (200, "registry/2.0")
    );
    // What there is and what there is not are refused alike, and so are other repositories' blobs.
    for path in
        [format!("blobs/{digest}"), "manifests/v1".into(), "tags/list".into(), format!("referrers/{digest}")]
    {
        let answer = server.get(&format!("/v2/secret/web/{path}")).await;
        assert_eq!(answer.error(), (403, "DENIED".into()), "{path}");
    }
    assert_eq!(server.get(&format!("/v2/red/other/blobs/{digest}")).await.error().0, 404);
}

#[tokio::test]
async fn paths_and_methods_of_nobody_are_refused() {
    let (server, _dir) = Server::new().await;
    for (method, path, status) in [
        ("GET", "/v2/..%2f..%2fetc/manifests/x", 400),
        ("GET", "/v2/a/../../manifests/x", 400),
        ("GET", "/v2/A/tags/list", 400),
        ("GET", "/v2/_catalog", 404),
        ("GET", "/v2/a/blobs/sha256:x", 400),
        ("POST", "/v2/a/manifests/x", 405),
        ("PUT", "/v2/a/tags/list", 405),
        ("DELETE", "/v2/", 405),
        ("GET", "/v2/a/tags/list", 404),
    ] {
        assert_eq!(server.call(method, path, &[], "").await.error().0, status, "{method} {path}");
    }
}
