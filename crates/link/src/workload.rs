//! Who an instance speaks for: `holm://sea/project/application/service`, in a certificate or a token.
//!
//! Names of instances and of members look alike — a project may be named like a cluster, an application like its
//! node —, so that a name alone says nothing: what a certificate may be used for ([`Usage`]) tells them apart.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`token`] | what a token is, and whether it is good |
//! | [`signer`] | the key that signs them |
//!
//! [`Usage`]: crate::certificate::Usage

pub mod signer;
pub mod token;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::identity::{Identity, IdentityError};

/// What all instances of one service speak for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload(Identity);

/// The identity is nobody's who could be an instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("`{0}` is no service's: `holm://<sea>/<project>/<application>/<service>`")]
    Shape(Identity),
}

/// `id-kp-jwt` of RFC 9509: the key signs JSON web tokens.
pub(crate) const TOKENS_PURPOSE: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 37];
/// The same in DER, without tag and length.
pub(crate) const TOKENS_OID: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 37];

/// Below the sea: project, application, service.
const DEPTH: usize = 3;

impl Workload {
    /// # Errors
    /// When one of them is no name.
    pub fn new(sea: &str, project: &str, application: &str, service: &str) -> Result<Self, WorkloadError> {
        let project = Identity::sea_root(sea)?.child(project)?;
        Ok(Self(project.child(application)?.child(service)?))
    }

    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.0
    }

    #[must_use]
    pub fn sea(&self) -> &str {
        self.0.sea()
    }

    #[must_use]
    pub fn project(&self) -> &str {
        self.segment(0)
    }

    #[must_use]
    pub fn application(&self) -> &str {
        self.segment(1)
    }

    #[must_use]
    pub fn service(&self) -> &str {
        self.segment(2)
    }

    fn segment(&self, at: usize) -> &str {
        // Both ways to make one see to it that there are three.
        self.0.path().get(at).map_or("", String::as_str)
    }
}

impl TryFrom<Identity> for Workload {
    type Error = WorkloadError;

    fn try_from(identity: Identity) -> Result<Self, WorkloadError> {
        if identity.path().len() == DEPTH { Ok(Self(identity)) } else { Err(WorkloadError::Shape(identity)) }
    }
}

impl FromStr for Workload {
    type Err = WorkloadError;

    fn from_str(text: &str) -> Result<Self, WorkloadError> {
        text.parse::<Identity>()?.try_into()
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Workload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Workload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_has_three_names_below_the_sea() {
        let workload = Workload::new("sea", "blue", "shop", "web").unwrap();
        assert_eq!(workload.to_string(), "holm://sea/blue/shop/web");
        assert_eq!((workload.project(), workload.application(), workload.service()), ("blue", "shop", "web"));
        assert_eq!("holm://sea/blue/shop/web".parse::<Workload>(), Ok(workload));
        for bad in
            ["holm://sea", "holm://sea/c1/n1", "holm://sea/a/b/c/d", "https://sea/a/b/c", "holm://sea/a//c"]
        {
            assert!(bad.parse::<Workload>().is_err(), "{bad}");
        }
        assert!(Workload::new("sea", "..", "shop", "web").is_err());
        assert!(Workload::new("sea", "a/b", "shop", "web").is_err());
    }
}
