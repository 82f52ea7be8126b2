//! From an uploaded file to an OCI image, without a daemon: what the file is, what becomes of it, and the layer, configuration
//! and manifest that are made of it. The same input makes the same digests.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`recognize`] | what a file is, by its content and never by its name |
//! | [`platform`] | architectures, as images name them (pure) |
//! | [`plan`] | what becomes of it, and why it cannot (pure) |
//! | [`layer`] | the files of a layer, written one way only |
//! | [`archive`] | an uploaded archive as files of a layer; nothing of it touches a disk |
//! | [`dockerfile`] | what a Dockerfile stands on and where its lines are; those that are written for trees (pure) |
//! | [`ignore`] | which files of a directory are not sent (pure) |
//! | [`tree`] | a directory as an archive |
//! | [`document`] | configuration, manifest and index (pure) |

pub mod archive;
pub mod dockerfile;
pub mod document;
pub mod ignore;
pub mod layer;
pub mod plan;
pub mod platform;
pub mod recognize;
pub mod tree;
