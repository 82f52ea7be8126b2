//! The words of an OCI Distribution 1.1 registry: what clients may name, what manifests say, who is asked.
//!
//! So far there is no server, and of the store only the content: no repositories, tags or uploads.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | `names` | repositories, tags, references, sessions of uploads: the grammar of the specification (pure) |
//! | `digest` | the name of content (pure) |
//! | `content` | whole and verified files, named by their digest |
//! | `manifests` | what a manifest names (pure) |
//! | `referrers` | the list of what is attached to a manifest (pure) |
//! | `range` | which bytes a request asks for (pure) |
//! | `path` | what a request is about (pure) |
//! | `gate` | what the registry asks of whoever mounts it |

mod catalogue;
mod content;
mod digest;
mod gate;
mod http;
mod manifests;
mod names;
mod path;
mod range;
mod referrers;
mod shelves;
mod store;
mod uploads;

pub use self::http::Registry;
pub use content::{Content, Draft, KeepError, Sealed};
pub use digest::{Digest, DigestError};
pub use gate::{Access, Action, Challenge, Change, Gate, Refusal};
pub use manifests::{Manifest, ManifestError, MediaType};
pub use names::{Name, NameError, Project, Reference, Tag, UploadId};
pub use path::{PathError, Target};
pub use range::Range;
pub use referrers::{Page as Referrers, page as referrers};
pub use store::{Collected, Found, Limits, Store, StoreError};
