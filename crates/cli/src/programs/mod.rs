//! What the demo's application runs: small programs that know nothing of Holm but its environment
//! variables.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`collector`] | a floor's sensor collector |
//! | [`sensors`] | which sensors a Linux machine has |
//! | [`web`] | the building's page, made of what all collectors say |
//! | [`logger`] | the machine's load, from inside a container |
//! | [`http`] | just enough HTTP/1.1 for both |

pub(crate) mod collector;
pub(crate) mod http;
pub(crate) mod logger;
pub(crate) mod sensors;
pub(crate) mod web;
