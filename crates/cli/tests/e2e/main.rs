//! End-to-end tests: real processes of the binary `holm`, joined by real tokens, asked through what
//! people have: the command line, the REST API, environment and logs of instances.
//!
//! | module | what it shows |
//! | --- | --- |
//! | [`harness`] | a sea of child processes, and what tests ask of it |
//! | [`crashes`] | `kill -9`, restarts, two roots on one directory |
//! | [`forgetting`] | a root whose store was replaced by an empty or older one |
//! | [`losses`] | nodes, clusters and the root away for a while, or for ever |
//! | [`lifecycle`] | restart policies, and what people can do with a service |
//! | [`streams`] | logs and exec |
//! | [`networks`] | nodes that nobody can connect to (root only) |
//! | [`certificates`] | their renewal while everything runs, and after they have expired |
//! | [`joining`] | tokens and revocation |
//! | [`manifests`] | bad input |
//! | [`applying`] | what `apply` tells: that it runs, that it does not, that it never will |
//! | [`containers`] | the container runtime (engine only) |
//! | [`disks`] | full disks (root only) |
//! | [`demo`] | what `holm demo` does, and that it leaves nothing |
//! | [`examples`] | the README's example of software that nobody here wrote (nginx and redis only) |
//! | [`surface`] | what programs may rely on: fields, events, audit, exit codes |
//! | [`api`] | the REST API as other programs meet it |
//!
//! Names end in `needs_root`, `needs_engine` or `needs_nginx` when more than a toolchain is needed; the engine is the
//! one that `HOLM_TEST_DOCKER` names.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod api;
mod applying;
mod certificates;
mod containers;
mod crashes;
mod demo;
mod disks;
mod examples;
mod forgetting;
mod harness;
mod joining;
mod lifecycle;
mod losses;
mod manifests;
mod networks;
mod streams;
mod surface;
