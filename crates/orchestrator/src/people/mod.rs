//! People: how they prove who they are, and what proves it afterwards.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`token`] | API tokens and sessions: signed by the sea, verified anywhere |
//! | [`password`] | hashing passwords, and proving them |
//! | [`throttle`] | how fast somebody may guess |
//! | [`login`] | setting up, logging in, changing passwords |

pub mod login;
pub mod password;
pub mod throttle;
pub mod token;
