//! Everything between a member and its orchestrator below the messages: who somebody is, how one
//! becomes a member, and a session with a control stream and tunnels over one TLS connection.
//!
//! | module | noun |
//! | --- | --- |
//! | [`identity`] | `holm://sea/cluster/node`: who a certificate speaks for |
//! | [`certificate`] | serial numbers, fingerprints, the sea's root, what one certificate says |
//! | [`authority`] | a CA: the root's or a cluster's, signing only below itself |
//! | [`signature`] | texts that the sea has signed |
//! | [`credentials`] | a member's (or server's) key and chain on disk |
//! | [`revocation`] | the shared set of certificates and members that are valid no more |
//! | [`renewal`] | when a new certificate is asked for, and taking it |
//! | [`clock`] | the later of the local clock and the platform time, which is kept on disk |
//! | [`workload`] | `holm://sea/project/application/service`: who an instance speaks for, and its tokens |
//! | [`verify`] | the rule by which a chain is accepted; pure |
//! | [`token`] | the one-time token that lets a machine join |
//! | [`join`] | joining over a TLS connection pinned by the token |
//! | [`listen`] | one port, two protocols: members and HTTP told apart by ALPN |
//! | [`dial`], [`backoff`] | the member's connection to its orchestrator, and when to try again |
//! | [`reach`], [`proxy`] | TCP to it: by whichever address answers, or through an HTTP proxy |
//! | [`captive`], [`probe`] | networks that answer in its place; a look from outside, for people |
//! | [`ahead`] | reading ahead below TLS while much comes |
//! | [`session`] | control frames and tunnels over one connection |
//! | [`lane`] | the second connection of a session, for its tunnels |
//! | [`pem`] | certificates as text, for programs of others |
//! | [`frame`], [`cbor`] | length-prefixed frames, CBOR with limits |
//!
//! The crate carries bytes: which messages they are is known to the shells.

pub mod ahead;
pub mod authority;
pub mod backoff;
pub mod captive;
pub mod cbor;
pub mod certificate;
pub mod clock;
pub mod credentials;
pub mod dial;
mod door;
mod files;
pub mod frame;
pub mod identity;
pub mod join;
pub mod lane;
pub mod listen;
pub mod pem;
pub mod places;
pub mod probe;
pub mod proxy;
pub mod reach;
pub mod renewal;
pub mod revocation;
pub mod session;
pub mod signature;
mod tls;
pub mod token;
pub mod verify;
pub mod workload;

pub use rustls::pki_types::UnixTime;
pub use tls::{ALPN_BULK, ALPN_CONTROL};
