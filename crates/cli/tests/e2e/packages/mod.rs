//! What people install, really installed: in a Debian system of its own, and under its own systemd.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`release`] | what `cargo xtask dist` makes of the program under test |
//! | [`system`] | a Debian system below a directory |
//! | [`deb`] | packages: installed, upgraded, exchanged, removed, purged |
//! | [`archive`] | `install.sh` and `holm uninstall` without a package |
//! | [`images`] | container images (engines only) |
//! | [`machine`] | units and upgrades in a virtual machine |
//!
//! `HOLM_TEST_DEBIAN` names the archive of a Debian system, `HOLM_TEST_XTASK` the program `xtask`; `cargo xtask
//! test` sets both.

mod archive;
mod deb;
mod images;
mod machine;
mod release;
mod system;
