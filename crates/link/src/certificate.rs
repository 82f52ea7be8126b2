//! What a certificate says: serial number, identity, validity, usage; and the sea's root.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use data_encoding::HEXLOWER;
use ring::digest;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::Identity;
use crate::workload::{TOKENS_OID, Workload};

/// A certificate's serial number, without leading zeros; hexadecimal as text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Vec<u8>);

/// SHA-256 of a root certificate's DER; hexadecimal as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// The text is not hexadecimal of the right length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a {1} (lower-case hexadecimal)")]
pub struct ParseHexError(String, &'static str);

/// What a certificate may be shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// A member calls its orchestrator.
    Client,
    /// An orchestrator serves.
    Server,
    /// An instance, on either side of a connection. No member's: whoever asks for members takes none of these.
    Workload,
    /// An orchestrator signs tokens of instances; on no side of a connection.
    Tokens,
}

/// What one certificate says of itself; nothing of it is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) identity: Identity,
    pub(crate) serial: Serial,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
    /// None when it may be shown for nothing that we know, or is a CA.
    pub(crate) usage: Option<Usage>,
    pub(crate) is_ca: bool,
    pub(crate) public_key: Vec<u8>,
}

/// The certificate cannot be one of a sea's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("it is no X.509 certificate in DER form")]
    Encoding,
    #[error("it has {0} URI names instead of one (`holm://…`)")]
    Names(usize),
    #[error("its URI name is no identity")]
    Identity(#[source] crate::identity::IdentityError),
    #[error("it is not the root of a sea: {0}")]
    Root(&'static str),
}

/// The one certificate a sea trusts.
#[derive(Clone, Debug)]
pub struct SeaRoot {
    der: CertificateDer<'static>,
    identity: Identity,
    since: UnixTime,
    anchor: TrustAnchor<'static>,
}

// === impl Serial ===

impl Serial {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let zeros = bytes.iter().take_while(|b| **b == 0).count();
        Self(bytes[zeros..].to_vec())
    }

    /// 128 random bits.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self::new(&bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl FromStr for Serial {
    type Err = ParseHexError;

    fn from_str(text: &str) -> Result<Self, ParseHexError> {
        let error = || ParseHexError(text.to_owned(), "serial number");
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| error())?;
        if bytes.is_empty() || bytes.len() > 20 || bytes[0] == 0 { Err(error()) } else { Ok(Self(bytes)) }
    }
}

// === impl Fingerprint ===

impl Fingerprint {
    /// The fingerprint of the certificate `der`.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Self(bytes)
    }

    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = ParseHexError;

    fn from_str(text: &str) -> Result<Self, ParseHexError> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|b| b.try_into().ok());
        bytes.map(Self).ok_or_else(|| ParseHexError(text.to_owned(), "fingerprint"))
    }
}

/// Debug as Display, serde as text.
macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text!(Serial, Fingerprint);

// === impl Usage ===

impl Usage {
    #[must_use]
    pub const fn allows_client(self) -> bool {
        matches!(self, Self::Client | Self::Workload)
    }

    #[must_use]
    pub const fn allows_server(self) -> bool {
        matches!(self, Self::Server | Self::Workload)
    }

    /// Whether the orchestrator `issuer` may sign a leaf for `subject`.
    ///
    /// Instances move from cluster to cluster, so their names say nothing about who signs for them: any
    /// orchestrator of the sea may.
    #[must_use]
    pub fn may_sign(self, issuer: &Identity, subject: &Identity) -> bool {
        match self {
            Self::Client => subject.is_below(issuer),
            Self::Server => subject == issuer || subject.is_below(issuer),
            Self::Workload => subject.sea() == issuer.sea() && Workload::try_from(subject.clone()).is_ok(),
            Self::Tokens => subject == issuer,
        }
    }
}

// === impl Claims ===

impl Claims {
    pub(crate) fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::Encoding)?;
        if !rest.is_empty() {
            return Err(CertificateError::Encoding);
        }
        let validity = certificate.validity();
        Ok(Self {
            identity: identity(&certificate)?,
            serial: Serial::new(certificate.raw_serial()),
            not_before: unix(validity.not_before.timestamp()),
            not_after: unix(validity.not_after.timestamp()),
            usage: usage(&certificate)?,
            is_ca: certificate.is_ca(),
            public_key: certificate.public_key().raw.to_vec(),
        })
    }
}

fn identity(certificate: &X509Certificate<'_>) -> Result<Identity, CertificateError> {
    let names = certificate.subject_alternative_name().map_err(|_| CertificateError::Encoding)?;
    let uris: Vec<&str> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
        .collect();
    let [uri] = uris[..] else {
        return Err(CertificateError::Names(uris.len()));
    };
    uri.parse().map_err(CertificateError::Identity)
}

fn usage(certificate: &X509Certificate<'_>) -> Result<Option<Usage>, CertificateError> {
    let extended = certificate.extended_key_usage().map_err(|_| CertificateError::Encoding)?;
    Ok(extended.and_then(|usage| {
        let tokens = usage.value.other.iter().any(|oid| oid.as_bytes() == TOKENS_OID);
        match (usage.value.client_auth, usage.value.server_auth, tokens) {
            (true, true, false) => Some(Usage::Workload),
            (true, false, false) => Some(Usage::Client),
            (false, true, false) => Some(Usage::Server),
            (false, false, true) => Some(Usage::Tokens),
            _ => None,
        }
    }))
}

fn unix(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// When a certificate is due for renewal: its signer may be away for the last third of its life.
pub(crate) fn two_thirds(from: UnixTime, until: UnixTime) -> UnixTime {
    let (from, until) = (from.as_secs(), until.as_secs());
    UnixTime::since_unix_epoch(Duration::from_secs(from + until.saturating_sub(from) / 3 * 2))
}

// === impl SeaRoot ===

impl SeaRoot {
    /// Takes `der` as a sea's root. Whether it is the *right* root, its fingerprint tells.
    pub fn from_der(der: CertificateDer<'static>) -> Result<Self, CertificateError> {
        let claims = Claims::parse(&der)?;
        if !claims.is_ca {
            return Err(CertificateError::Root("it is no CA certificate"));
        }
        if claims.identity.parent().is_some() {
            return Err(CertificateError::Root("its identity is a member's"));
        }
        let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|_| CertificateError::Encoding)?;
        let anchor = anchor.to_owned();
        Ok(Self { der, identity: claims.identity, since: claims.not_before, anchor })
    }

    #[must_use]
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// `holm://<sea>`.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    /// When the sea was founded.
    #[must_use]
    pub const fn since(&self) -> UnixTime {
        self.since
    }

    pub(crate) const fn anchor(&self) -> &TrustAnchor<'static> {
        &self.anchor
    }
}
