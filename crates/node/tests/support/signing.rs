//! Certificates as the hand-made orchestrator signs them.

use std::time::Duration;

use holm_link::UnixTime;
use holm_link::authority::{Authority, Leaf};
use holm_link::certificate::Usage;
use holm_link::credentials::{CredentialRequest, Credentials};

use super::uid;

pub(super) fn node_identity() -> String {
    format!("holm://sea/{}", uid(5))
}

pub(super) fn leaf(who: &str, usage: Usage, validity: Duration) -> Leaf {
    Leaf { identity: who.parse().unwrap(), usage, names: Vec::new(), validity }
}

pub(super) fn sign(authority: &Authority, who: &str, usage: Usage, validity: Duration) -> Credentials {
    sign_at(authority, who, usage, validity, UnixTime::now())
}

pub(super) fn sign_at(
    authority: &Authority,
    who: &str,
    usage: Usage,
    validity: Duration,
    now: UnixTime,
) -> Credentials {
    let request = CredentialRequest::new().unwrap();
    let issued = authority.sign_leaf(request.csr(), &leaf(who, usage, validity), now).unwrap();
    request.install(issued.chain, authority.root().clone()).unwrap()
}
