use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use holm_core::revocation::Void;
use holm_link::UnixTime;
use holm_link::authority::{Authority, AuthorityRequest, Leaf};
use holm_link::certificate::Usage;
use holm_link::clock::Clock;
use holm_link::credentials::CredentialRequest;
use holm_link::pem;
use holm_link::revocation::Revocations;
use holm_link::workload::Workload;
use holm_link::workload::signer::{Subject, TokenSigner};
use holm_model::id::{Epoch, MemberId, Uid};
use holm_model::identity::{Proof, Want};
use holm_model::time::Time;
use holm_runtime::Access;
use serde_bytes::ByteBuf;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::*;
use crate::peers::reach::UpwardError;

/// Of a node whose instances have no identity.
pub(crate) fn none() -> Identities {
    let authority = Authority::create_sea("sea", UnixTime::now()).unwrap();
    Identities::new(
        Sockets::below(Path::new("/nowhere")),
        Runtimes::default(),
        trust(&authority),
        Arc::new(Cut),
    )
}

/// No link.
#[derive(Debug)]
struct Cut;

impl Notary for Cut {
    fn prove(&self, _: AssignmentId, _: Want) -> BoxFuture<'_, Result<Proof, UpwardError>> {
        async { Err(UpwardError::NoLink) }.boxed()
    }
}

/// Vouches for instance 1 and nobody else.
#[derive(Debug)]
struct Root(Authority);

impl Notary for Root {
    fn prove(&self, instance: AssignmentId, want: Want) -> BoxFuture<'_, Result<Proof, UpwardError>> {
        let proof = self.vouch(instance, want);
        async { proof }.boxed()
    }
}

impl Root {
    fn vouch(&self, instance: AssignmentId, want: Want) -> Result<Proof, UpwardError> {
        if instance != id(1) {
            return Err(UpwardError::Refused("it is not yours".to_owned()));
        }
        let workload = Workload::new("sea", "blue", "shop", "web").unwrap();
        match want {
            Want::Token { audience, life } => {
                let node = "holm://sea/n1".parse().unwrap();
                let subject = Subject { workload, instance: instance.to_string(), node };
                let signer = TokenSigner::new(&self.0, UnixTime::now()).unwrap();
                let signed = signer.sign(subject, &audience, life, UnixTime::now()).unwrap();
                Ok(Proof::Token { token: signed.text, expires: Time(0) })
            }
            Want::Certificate { csr, life } => {
                let identity = workload.identity().clone();
                let leaf = Leaf { identity, usage: Usage::Workload, names: Vec::new(), validity: life };
                let issued = self.0.sign_leaf(&csr, &leaf, UnixTime::now());
                let issued = issued.map_err(|error| UpwardError::Refused(error.to_string()))?;
                let chain = issued.chain.iter().map(|der| ByteBuf::from(der.to_vec())).collect();
                Ok(Proof::Certificate { chain, expires: Time(0) })
            }
        }
    }
}

fn trust(authority: &Authority) -> Trust {
    let root = watch::channel(authority.root().clone()).1;
    Trust { root, revocations: Revocations::default(), clock: Clock::default() }
}

fn id(counter: u64) -> AssignmentId {
    AssignmentId(Uid { epoch: Epoch::new(1, 7), counter })
}

fn who(counter: u64) -> Who {
    let name = |text: &str| Name::new(text).unwrap();
    Who {
        instance: id(counter),
        app: AppKey { project: name("blue"), application: name("shop") },
        service: name("web"),
    }
}

/// In memory, as the place has to be.
fn base() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o777
}

/// Sockets that are served; each test asks at one of them.
struct Bench {
    base: TempDir,
    serving: Vec<AbortOnDropHandle<()>>,
    authority: Authority,
    revocations: Revocations,
}

impl Bench {
    fn new() -> Self {
        let authority = Authority::create_sea("sea", UnixTime::now()).unwrap();
        Self { base: base(), serving: Vec::new(), authority, revocations: Revocations::default() }
    }

    fn serve(&mut self, counter: u64, notary: Arc<dyn Notary>) -> PathBuf {
        let sockets = Sockets::below(self.base.path());
        let (listener, at) = sockets.open(id(counter), Access::Shared { owner: None }).unwrap();
        let trust = Trust { revocations: self.revocations.clone(), ..trust(&self.authority) };
        let desk = Arc::new(Desk::new(who(counter), trust, notary));
        self.serving.push(AbortOnDropHandle::new(tokio::spawn(serve::serve(listener, desk))));
        at.path
    }

    /// The socket of an instance that gets what it asks for.
    fn good() -> (Self, PathBuf) {
        let mut bench = Self::new();
        // The same authority for the notary: keys are not cloned.
        bench.authority.save(bench.base.path()).unwrap();
        let copy = Authority::load(bench.base.path()).unwrap().unwrap();
        let path = bench.serve(1, Arc::new(Root(copy)));
        (bench, path)
    }
}

async fn call(socket: &Path, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: node\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server that refuses early reads no more of it.
    let _ = stream.write_all(body.as_bytes()).await;
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await;
    // What came before the end counts, however it ended.
    let _ = read.expect("an answer");
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_socket_is_for_its_instance_alone_and_goes_with_it() {
    let base = base();
    let sockets = Sockets::below(base.path());
    let (_first, at) = sockets.open(id(1), Access::Shared { owner: None }).unwrap();
    let run = at.path.parent().unwrap();
    assert_eq!((mode(&at.path), mode(run), mode(run.parent().unwrap())), (0o600, 0o755, 0o700));
    // Another agent, in the same place.
    let inode = run.metadata().unwrap().ino();
    let (_second, again) = sockets.open(id(1), Access::Shared { owner: None }).unwrap();
    assert_eq!((&again, run.metadata().unwrap().ino()), (&at, inode));
    UnixStream::connect(&at.path).await.unwrap();

    let access = Access::Mounted { secrets: "/run/secrets", files: "/run/holm-files" };
    let (_mounted, inside) = sockets.open(id(2), access).unwrap();
    let mount = inside.mount.unwrap();
    assert_eq!(
        (inside.path.to_str(), mount.target.as_str()),
        (Some("/run/holm-identity/identity.sock"), "/run/holm-identity")
    );
    assert_eq!((mode(&mount.source), mode(mount.source.parent().unwrap())), (0o755, 0o700));
    assert_eq!(mode(&mount.source.join("identity.sock")), 0o666);

    sockets.keep_only(&BTreeSet::from([id(2)]));
    assert!(!at.path.exists() && mount.source.exists());
}

/// With the agent as root: as the tests of this repository run in continuous integration.
#[tokio::test]
async fn another_user_cannot_open_it() {
    use std::os::unix::process::CommandExt as _;
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let base = base();
    std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let (_listener, at) =
        Sockets::below(base.path()).open(id(1), Access::Shared { owner: Some((4711, 4711)) }).unwrap();
    let opens = |uid: u32| {
        let mut test = std::process::Command::new("test");
        test.arg("-w").arg(&at.path).uid(uid).gid(uid).status().unwrap().success()
    };
    assert!(opens(4711) && !opens(4712) && !opens(65534));
}

#[tokio::test]
async fn an_instance_gets_a_token_and_another_can_tell_that_it_is_good() {
    let (mut bench, socket) = Bench::good();
    let (status, text) =
        call(&socket, "POST", "/v1/token", r#"{"audience":"holm://sea/blue/shop/web","ttl":"5m"}"#).await;
    assert_eq!(status, 200, "{text}");
    let token = value(&text)["token"].as_str().unwrap().to_owned();
    let other = bench.serve(2, Arc::new(Cut));
    let body = json!({ "token": token }).to_string();
    let (status, text) = call(&other, "POST", "/v1/verify", &body).await;
    assert_eq!((status, value(&text)["sub"].as_str()), (200, Some("holm://sea/blue/shop/web")), "{text}");
    let body = json!({ "token": token, "audience": "somebody" }).to_string();
    assert_eq!(call(&other, "POST", "/v1/verify", &body).await.0, 403);
}

/// As the node's list tells it, whatever certificates the cluster has.
#[tokio::test]
async fn what_a_revoked_cluster_has_signed_is_good_no_more() {
    let mut bench = Bench::new();
    let member = MemberId(id(9).0);
    let request = AuthorityRequest::new().unwrap();
    let cluster = bench.authority.root().identity().child(&member.to_string()).unwrap();
    let issued = bench.authority.sign_intermediate(request.csr(), &cluster, UnixTime::now()).unwrap();
    let cluster = request.install(issued.chain, bench.authority.root().clone()).unwrap();
    let want =
        Want::Token { audience: "holm://sea/blue/shop/web".to_owned(), life: Duration::from_secs(600) };
    let Proof::Token { token, .. } = Root(cluster).vouch(id(1), want).unwrap() else { panic!("no token") };
    let socket = bench.serve(2, Arc::new(Cut));
    let body = json!({ "token": token }).to_string();
    assert_eq!(call(&socket, "POST", "/v1/verify", &body).await.0, 200);

    let void = Void { members: [member].into(), ..Void::default() };
    crate::agent::revoke(&bench.revocations, &void);
    let (status, text) = call(&socket, "POST", "/v1/verify", &body).await;
    assert_eq!(status, 403);
    assert!(text.contains("revoked"), "{text}");
}

#[tokio::test]
async fn an_instance_gets_a_certificate_for_its_own_key_and_the_root() {
    let (bench, socket) = Bench::good();
    let request = CredentialRequest::new().unwrap();
    let (status, chain) = call(&socket, "POST", "/v1/certificate?ttl=2h", &pem_of(request.csr())).await;
    assert_eq!(status, 200, "{chain}");
    assert!(chain.starts_with("-----BEGIN CERTIFICATE-----"));
    let (status, root) = call(&socket, "GET", "/v1/bundle", "").await;
    assert_eq!((status, root), (200, pem::certificate(bench.authority.root().der())));
    let (status, text) = call(&socket, "GET", "/v1/identity", "").await;
    assert_eq!((status, value(&text)["subject"].as_str()), (200, Some("holm://sea/blue/shop/web")));
}

fn pem_of(csr: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(csr);
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")
}

#[tokio::test]
async fn what_cannot_be_given_is_refused_with_its_reason() {
    let (mut bench, socket) = Bench::good();
    let csr = pem_of(CredentialRequest::new().unwrap().csr());
    for (method, path, body, expected) in [
        ("GET", "/v1/token", "", 405),
        ("POST", "/v1/bundle", "", 405),
        ("GET", "/v2/identity", "", 404),
        ("POST", "/v1/token", "", 400),
        ("POST", "/v1/token", "{}", 400),
        ("POST", "/v1/token", r#"{"audience":""}"#, 400),
        ("POST", "/v1/token", r#"{"audience":"a","who":"root"}"#, 400),
        ("POST", "/v1/token", r#"{"audience":"a","ttl":"61m"}"#, 400),
        ("POST", "/v1/token", r#"{"audience":"a","ttl":"1s"}"#, 400),
        ("POST", "/v1/certificate", "no request", 400),
        ("POST", "/v1/certificate", &pem_of(b"no request"), 403),
        ("POST", "/v1/certificate?ttl=25h", &csr, 400),
        ("POST", "/v1/certificate?sub=other", &csr, 400),
        ("POST", "/v1/verify", r#"{"token":"a.b.c"}"#, 403),
        ("POST", "/v1/token", &"x".repeat(24 * 1024 + 1), 413),
        ("GET", &format!("/{}", "x".repeat(20_000)), "", 431),
    ] {
        let (status, text) = call(&socket, method, path, body).await;
        assert_eq!(status, expected, "{method} {path:.40} {body:.40}: {text}");
    }
    // It is instance 1 that its orchestrator knows.
    let foreign = bench.serve(2, Arc::new(Root(Authority::load(bench.base.path()).unwrap().unwrap())));
    let (status, text) = call(&foreign, "POST", "/v1/token", r#"{"audience":"a"}"#).await;
    assert_eq!(status, 403);
    assert!(text.contains("it is not yours"), "{text}");
    let cut = bench.serve(3, Arc::new(Cut));
    let (status, text) = call(&cut, "POST", "/v1/token", r#"{"audience":"a"}"#).await;
    assert_eq!(status, 503);
    assert!(text.contains("no link to the orchestrator"), "{text}");
    assert_eq!(call(&cut, "GET", "/v1/identity", "").await.0, 200);
}

#[tokio::test]
async fn who_asks_too_often_has_to_wait() {
    let (_bench, socket) = Bench::good();
    let mut statuses = Vec::new();
    for _ in 0..60 {
        statuses.push(call(&socket, "GET", "/v1/identity", "").await.0);
    }
    assert!(statuses.iter().filter(|status| **status == 200).count() >= 20);
    assert!(statuses.contains(&429), "{statuses:?}");
}
