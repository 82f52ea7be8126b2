//! An OCI Distribution 1.1 registry, to be mounted by whoever says who may do what; or a cache of another one.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | `names` | repositories, tags, references, sessions of uploads: the grammar of the specification (pure) |
//! | `digest` | the name of content (pure) |
//! | `catalogue` | what repositories show, and what nobody needs (pure) |
//! | `shelves` | the same on disk |
//! | `store` | both of these and the content, changed in one order |
//! | `uploads` | pushes that are under way |
//! | `http` | the endpoints of the specification |
//! | `upstream`, `over_http` | the registry that another one is a cache of |
//! | `cache` | what is fetched from there |
//! | `content` | whole and verified files, named by their digest |
//! | `manifests` | what a manifest names (pure) |
//! | `referrers` | the list of what is attached to a manifest (pure) |
//! | `range` | which bytes a request asks for (pure) |
//! | `path` | what a request is about (pure) |
//! | `gate` | what the registry asks of whoever mounts it |

mod cache;
mod catalogue;
mod content;
mod digest;
mod gate;
mod http;
mod manifests;
mod names;
mod over_http;
mod path;
mod range;
mod referrers;
mod shelves;
mod store;
mod uploads;
mod upstream;

pub use self::http::Registry;
pub use content::{Content, Draft, KeepError, Sealed};
pub use digest::{Digest, DigestError};
pub use gate::{Access, Action, Challenge, Change, Gate, Refusal};
pub use manifests::{Manifest, ManifestError, MediaType};
pub use names::{Name, NameError, Project, Reference, Tag, UploadId};
pub use over_http::{Dial, OverHttp, Way};
pub use path::{PathError, Target};
pub use range::Range;
pub use referrers::{Page as Referrers, page as referrers};
pub use store::{Collected, Found, Limits, Store, StoreError};
pub use upstream::{FetchedBlob, FetchedManifest, Upstream, UpstreamError};
