//! `holm node capability`, `holm node label` and `holm node taint`: what operators say about a node.

use clap::{Args, Subcommand};
use holm_model::capability::Capability;
use holm_model::units::Counted;
use holm_model::view::amendment::{CapabilityView, LabelView, TaintView};

use crate::connect::At;
use crate::failure::Failure;
use crate::output::table::{self, Column as C, Listed};
use crate::output::time::now;
use crate::output::{Output, stdout_ink};

#[derive(Subcommand, Debug)]
pub(crate) enum CapabilityAction {
    /// Say that a node can do something, as in `hardware/zigbee`, or how many units of it it has, as in
    /// `hardware/gpu=2`
    Add(At<Capable>),
    /// Say that a node cannot do something, even if it finds it by itself
    #[command(visible_alias = "remove")]
    Rm(At<Incapable>),
    /// List what a node can do, and who says so
    #[command(visible_alias = "list")]
    Ls(At<Of>),
}

#[derive(Subcommand, Debug)]
pub(crate) enum LabelAction {
    /// Give a label to a node, or change it, as in `floor=2`
    #[command(visible_alias = "set")]
    Add(At<Labelled>),
    /// Take a label from a node, even if it was started with it
    #[command(visible_alias = "remove")]
    Rm(At<Unlabelled>),
    /// List the labels of a node, and who says so
    #[command(visible_alias = "list")]
    Ls(At<Of>),
}

#[derive(Subcommand, Debug)]
pub(crate) enum TaintAction {
    /// Keep new work away from a node, as in `dedicated` or `dedicated=radio`; what is there stays
    #[command(visible_alias = "set")]
    Add(At<Tainted>),
    /// Let work come to a node in spite of this again
    #[command(visible_alias = "remove")]
    Rm(At<Unlabelled>),
    /// List what keeps new work away from a node
    #[command(visible_alias = "list")]
    Ls(At<Of>),
}

#[derive(Args, Debug)]
pub(crate) struct Of {
    /// The node's name or id
    node: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct Capable {
    #[command(flatten)]
    of: Of,
    /// A type and a name, as in `hardware/zigbee`; with a number where services take units of it
    #[arg(required = true, value_name = "TYPE/NAME[=UNITS]")]
    capabilities: Vec<Counted>,
}

#[derive(Args, Debug)]
pub(crate) struct Incapable {
    #[command(flatten)]
    of: Of,
    /// A type and a name, as in `hardware/zigbee`
    #[arg(required = true, value_name = "TYPE/NAME")]
    capabilities: Vec<Capability>,
}

#[derive(Args, Debug)]
pub(crate) struct Labelled {
    #[command(flatten)]
    of: Of,
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
}

#[derive(Args, Debug)]
pub(crate) struct Tainted {
    #[command(flatten)]
    of: Of,
    #[arg(required = true, value_name = "KEY[=VALUE]")]
    taints: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Unlabelled {
    #[command(flatten)]
    of: Of,
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("write `key=value`".to_owned()),
    }
}

// === impl CapabilityAction ===

impl CapabilityAction {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(At { args: Capable { of, capabilities }, connect }) => {
                let client = connect.client()?;
                for capability in &capabilities {
                    client.add_capability(&of.node, capability).await?;
                }
                of.done("added", &capabilities, "can do")
            }
            Self::Rm(At { args: Incapable { of, capabilities }, connect }) => {
                let client = connect.client()?;
                for capability in &capabilities {
                    client.remove_capability(&of.node, capability).await?;
                }
                of.done("removed", &capabilities, "cannot do")
            }
            Self::Ls(At { args, connect }) => {
                let list = connect.client()?.capabilities(&args.node).await?;
                args.list(&list)
            }
        }
    }
}

// === impl LabelAction ===

impl LabelAction {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(At { args: Labelled { of, labels }, connect }) => {
                let client = connect.client()?;
                for (key, value) in &labels {
                    client.set_label(&of.node, key, value).await?;
                }
                let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                of.done("added", &labels, "has")
            }
            Self::Rm(At { args: Unlabelled { of, keys }, connect }) => {
                let client = connect.client()?;
                for key in &keys {
                    client.remove_label(&of.node, key).await?;
                }
                of.done("removed", &keys, "has no longer")
            }
            Self::Ls(At { args, connect }) => {
                let list = connect.client()?.labels(&args.node).await?;
                args.list(&list)
            }
        }
    }
}

// === impl TaintAction ===

impl TaintAction {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(At { args: Tainted { of, taints }, connect }) => {
                let client = connect.client()?;
                for taint in &taints {
                    let (key, value) = taint.split_once('=').unwrap_or((taint, ""));
                    client.add_taint(&of.node, key.trim(), value.trim()).await?;
                }
                of.done("added", &taints, "has")
            }
            Self::Rm(At { args: Unlabelled { of, keys }, connect }) => {
                let client = connect.client()?;
                for key in &keys {
                    client.remove_taint(&of.node, key).await?;
                }
                of.done("removed", &keys, "has no longer")
            }
            Self::Ls(At { args, connect }) => {
                let list = connect.client()?.taints(&args.node).await?;
                args.list(&list)
            }
        }
    }
}

// === impl Of ===

impl Of {
    fn done(&self, done: &str, what: &[impl ToString], verb: &str) -> Result<(), Failure> {
        let what = what.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        self.output.print_done(done, &what, || format!("node {} {verb} {what}", self.node))
    }

    fn list<T: Listed>(&self, list: &[T]) -> Result<(), Failure> {
        self.output.print(&list, || table::render(list, self.output.is_wide(), now(), stdout_ink()))
    }
}

// === impl Listed ===

impl Listed for CapabilityView {
    const COLUMNS: &'static [C<Self>] = &[
        C::new("CAPABILITY", |c, _| c.name.clone()),
        C::new("UNITS", |c, _| c.units.map(|units| units.to_string()).unwrap_or_default()),
        C::new("ORIGIN", |c, _| c.origin.word().to_owned()),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
}

impl Listed for TaintView {
    const COLUMNS: &'static [C<Self>] =
        &[C::new("TAINT", |t, _| t.name.clone()), C::new("VALUE", |t, _| t.value.clone())];

    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
}

impl Listed for LabelView {
    const COLUMNS: &'static [C<Self>] = &[
        C::new("LABEL", |l, _| l.name.clone()),
        C::new("VALUE", |l, _| l.value.clone().unwrap_or_default()),
        C::new("ORIGIN", |l, _| l.origin.word().to_owned()),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
}
