//! The drivers with real programs and real engines: one program, so that a virtual machine can be given
//! all of it.

#![allow(clippy::unwrap_used, reason = "what cannot be done in a test fails it")]

/// A module that runs each check on a subject of its own, if there is one.
macro_rules! checks {
    ($module:ident, $subject:expr, $($check:ident)*) => {
        mod $module {
            $(#[tokio::test]
            async fn $check() {
                if let Some(subject) = $subject {
                    super::$check(subject).await;
                }
            })*
        }
    };
}

mod common;
mod container;
mod contract;
mod nursery;
mod process;
mod terminals;
mod vm;
