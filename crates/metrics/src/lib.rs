//! Metrics as Prometheus reads them: plain data that somebody makes of what he knows, and its text.
//!
//! | module | what |
//! | --- | --- |
//! | [`family`] | one metric with all its samples |
//! | [`text`] | families in the text format |
//! | [`count`] | what is counted and measured while a program runs |
//! | [`bounded`] | labels that cannot become too many |
//! | [`shares`] | who of many has series of their own |
//! | [`process`] | this process |
//!
//! Names end in their unit (`_seconds`, `_bytes`, `_cores`), those of counters in `_total`; `promtool check metrics`
//! has the last word.

pub mod bounded;
pub mod count;
pub mod family;
pub mod process;
pub mod shares;
pub mod text;

pub use bounded::{Bounded, OTHER};
pub use count::{Counter, Histogram};
pub use family::{Family, Labels};
pub use process::Process;
pub use text::{CONTENT_TYPE, text};
