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
//! | [`steps`] | steps before a start |
//! | [`scaling`] | services that scale by themselves under a real load |
//! | [`health`] | programs that do not answer, or are not ready |
//! | [`exposing`] | services reached through their orchestrator while they change |
//! | [`restarting`] | one instance that begins anew alone |
//! | [`streams`] | logs and exec |
//! | [`networks`] | nodes that nobody can connect to (root only) |
//! | [`proxy`] | proxies, guest networks, forgetful NATs, IPv6 |
//! | [`doctor`] | what `holm doctor` finds |
//! | [`backup`] | a root that is lost with its disk, and restored |
//! | [`drills`] | what `cargo xtask drill` does |
//! | [`changing`] | history, differences, rollbacks, canaries |
//! | [`certificates`] | their renewal while everything runs, and after they have expired |
//! | [`clocks`] | a node whose clock begins in 1970 |
//! | [`identities`] | who instances are, to the API and to one another |
//! | [`joining`] | tokens and revocation |
//! | [`manifests`] | bad input |
//! | [`nodes`] | what operators say about nodes, and what nodes used |
//! | [`placing`] | strategies, conditions and company in a manifest; `explain`, `cordon` and plans |
//! | [`latency`] | bounds of latency, kept by what nodes measure |
//! | [`formats`] | files of other systems |
//! | [`people_login`] | set-up, log-in, contexts, log-out |
//! | [`people`] | projects and rights: who sees and does what |
//! | [`users`] | processes of two projects on one node (root only) |
//! | [`voids`] | what is open ends with the token that opened it |
//! | [`applying`] | what `apply` tells: that it runs, that it does not, that it never will |
//! | [`containers`] | the container runtime (engine only) |
//! | [`building`] | from a file to an image, and to running instances |
//! | [`pushing`] | the registry that an orchestrator carries |
//! | [`registries`] | images behind a login (engine only) |
//! | [`disks`] | full disks (root only) |
//! | [`demo`] | what `holm demo` does, and that it leaves nothing |
//! | [`examples`] | the README's example of software that nobody here wrote (nginx and redis only) |
//! | [`watching`] | what a real Prometheus makes of it (prometheus only) |
//! | [`ways_in`] | terminals, ports and files of instances |
//! | [`ways_in_cut`] | ways in whose middle is cut, a terminal that floods |
//! | [`packages`] | what people install, in a Debian system and under systemd (root only) |
//! | [`uninstalling`] | that a node leaves nothing |
//! | [`surface`] | what programs may rely on: fields, events, audit, exit codes |
//! | [`api`] | the REST API as other programs meet it |
//! | [`schemas`] | the API under requests that nobody would think of |
//!
//! Names say what a test needs beyond a toolchain (`needs_engine`, …; CONTRIBUTING.md has the list); the engine is the
//! one that `HOLM_TEST_DOCKER` names.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod api;
mod applying;
mod backup;
mod builders;
mod building;
mod certificates;
mod changing;
mod clocks;
mod completing;
mod containers;
mod contents;
mod crashes;
mod decommissioning;
mod demo;
mod disks;
mod doctor;
mod drills;
mod emulating;
mod examples;
mod exposing;
mod forgetting;
mod formats;
mod harness;
mod healing;
mod health;
mod identities;
mod joining;
mod latency;
mod lifecycle;
mod losses;
mod manifests;
mod networks;
mod nodes;
mod packages;
mod people;
mod people_login;
mod placing;
mod projects;
mod proxy;
mod pushing;
mod registries;
mod restarting;
mod scaling;
mod schemas;
mod steps;
mod streams;
mod surface;
mod transferring;
mod uninstalling;
mod users;
mod voids;
mod volumes;
mod watching;
mod ways_in;
mod ways_in_cut;
mod ways_in_shell;
mod ways_in_terminal;
