//! A copy of all that an orchestrator is: store, CA key, certificates. Taken while it runs; encrypted.
//!
//! ```text
//! holm-backup 1\n                          what it is
//! {"key":…,"nonce":…}\n                    how the key is made; all of it is authenticated
//! XChaCha20-Poly1305 in chunks (STREAM)    of a tar: backup.json (what is in it), then the files
//! ```
//!
//! A restored orchestrator is *behind* its members: they freeze and go on with what they hold, nothing is
//! stopped, until people adopt or discard. Whatever tokens there were are void.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`envelope`] | how it is encrypted |
//! | [`archive`] | what is in it |
//! | [`take`], [`restore`] | making one of a running orchestrator; making an orchestrator of one |

mod archive;
mod envelope;
mod restore;
mod take;

pub use archive::ArchiveError;
pub use envelope::{EnvelopeError, Lock};
pub use restore::{RestoreError, Restored, restore};
pub use take::TakeError;
