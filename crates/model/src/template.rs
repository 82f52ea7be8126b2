//! `{{…}}` in commands and environment values: what an instance is told of itself and its node.
//!
//! | variable | becomes |
//! | --- | --- |
//! | `node.name`, `node.id`, `node.cluster`, `node.arch` | of the node the instance runs on |
//! | `node.labels.<key>` | the value of that label |
//! | `port.<name>` | the number of that port of the service, as the instance must listen on it |
//! | `instance.id` | the id of this assignment |
//! | `slot.index` | `2`, or `vienna/fl-1` for per-node services |
//! | `slot.name` | `web/2` |
//! | `application`, `service` | their names |
//! | `"{{"` | two opening braces |

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::name::{Name, shorten};

/// What a template may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    NodeName,
    NodeId,
    NodeCluster,
    NodeArch,
    NodeLabel(String),
    Port(Name),
    InstanceId,
    SlotIndex,
    SlotName,
    Application,
    Service,
    /// Literal `{{`.
    Braces,
}

/// The values of all variables for one instance.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub node_name: &'a str,
    pub node_id: &'a str,
    pub node_cluster: &'a str,
    pub node_arch: &'a str,
    pub node_labels: &'a BTreeMap<String, String>,
    /// As the instance must listen on them: inside a container the container's.
    pub ports: &'a BTreeMap<Name, u16>,
    pub instance_id: &'a str,
    pub slot_index: &'a str,
    pub slot_name: &'a str,
    pub application: &'a str,
    pub service: &'a str,
}

/// The text cannot be expanded. The first two are faults of the manifest, the others of this node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`{{{{` without `}}}}` in `{0}`; write `{{{{\"{{{{\"}}}}` for two plain braces")]
    Open(String),
    #[error("`{{{{{0}}}}}` is not known; there are {KNOWN}")]
    Unknown(String),
    #[error("the service has no port `{0}`")]
    Port(Name),
    #[error("the node has no label `{0}`; set it on the node, or require it in `placement.labels`")]
    Label(String),
}

const KNOWN: &str = "node.name, node.id, node.cluster, node.arch, node.labels.<key>, port.<name>, instance.id, \
                     slot.index, slot.name, application, service";

/// A text cut at its templates.
enum Piece<'a> {
    Plain(&'a str),
    Variable(Variable),
}

// === expand, names ===

/// `text` with every template replaced by its value.
///
/// # Errors
/// When a template is not known, or names a port or label that is not there.
pub fn expand(text: &str, context: &Context<'_>) -> Result<String, TemplateError> {
    let mut expanded = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece? {
            Piece::Plain(plain) => expanded.push_str(plain),
            Piece::Variable(variable) => expanded.push_str(&context.value(&variable)?),
        }
    }
    Ok(expanded)
}

/// The variables that `text` names, in their order.
///
/// # Errors
/// When a template is not closed or not known.
pub fn names(text: &str) -> Result<Vec<Variable>, TemplateError> {
    pieces(text)
        .filter_map(|piece| match piece {
            Ok(Piece::Plain(_)) => None,
            Ok(Piece::Variable(variable)) => Some(Ok(variable)),
            Err(error) => Some(Err(error)),
        })
        .collect()
}

/// Ends after the first error.
fn pieces(text: &str) -> impl Iterator<Item = Result<Piece<'_>, TemplateError>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(template) = rest.strip_prefix("{{") else {
            let (plain, tail) = rest.split_at(rest.find("{{").unwrap_or(rest.len()));
            rest = tail;
            return Some(Ok(Piece::Plain(plain)));
        };
        let Some((inside, tail)) = template.split_once("}}") else {
            let open = shorten(std::mem::take(&mut rest));
            return Some(Err(TemplateError::Open(open)));
        };
        rest = tail;
        Some(inside.trim().parse().map(Piece::Variable).inspect_err(|_| rest = ""))
    })
}

// === impl Variable ===

impl FromStr for Variable {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Ok(match text {
            "node.name" => Self::NodeName,
            "node.id" => Self::NodeId,
            "node.cluster" => Self::NodeCluster,
            "node.arch" => Self::NodeArch,
            "instance.id" => Self::InstanceId,
            "slot.index" => Self::SlotIndex,
            "slot.name" => Self::SlotName,
            "application" => Self::Application,
            "service" => Self::Service,
            "\"{{\"" => Self::Braces,
            _ => return Self::with_argument(text).ok_or_else(|| TemplateError::Unknown(shorten(text))),
        })
    }
}

impl Variable {
    fn with_argument(text: &str) -> Option<Self> {
        if let Some(key) = text.strip_prefix("node.labels.") {
            return (!key.is_empty()).then(|| Self::NodeLabel(key.to_owned()));
        }
        text.strip_prefix("port.").and_then(|port| Name::new(port).ok()).map(Self::Port)
    }
}

// === impl Context ===

impl Context<'_> {
    fn value(&self, variable: &Variable) -> Result<String, TemplateError> {
        let value = match variable {
            Variable::NodeName => self.node_name,
            Variable::NodeId => self.node_id,
            Variable::NodeCluster => self.node_cluster,
            Variable::NodeArch => self.node_arch,
            Variable::InstanceId => self.instance_id,
            Variable::SlotIndex => self.slot_index,
            Variable::SlotName => self.slot_name,
            Variable::Application => self.application,
            Variable::Service => self.service,
            Variable::Braces => "{{",
            Variable::NodeLabel(key) => {
                self.node_labels.get(key).ok_or_else(|| TemplateError::Label(shorten(key)))?
            }
            Variable::Port(name) => {
                let port = self.ports.get(name).ok_or_else(|| TemplateError::Port(name.clone()))?;
                return Ok(port.to_string());
            }
        };
        Ok(value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expanded(text: &str) -> Result<String, TemplateError> {
        let labels = BTreeMap::from([("floor".to_owned(), "2".to_owned())]);
        let ports = BTreeMap::from([(Name::new("http").unwrap(), 8080)]);
        let context = Context {
            node_name: "fl-1",
            node_id: "n-1",
            node_cluster: "vienna",
            node_arch: "arm64",
            node_labels: &labels,
            ports: &ports,
            instance_id: "i-7",
            slot_index: "vienna/fl-1",
            slot_name: "collector/vienna/fl-1",
            application: "building",
            service: "collector",
        };
        expand(text, &context)
    }

    #[test]
    fn every_variable_has_its_value() {
        let text = "{{node.name}} {{node.id}} {{node.cluster}} {{ node.arch }} {{node.labels.floor}} {{port.http}} \
                    {{instance.id}} {{slot.index}} {{slot.name}} {{application}} {{service}}";
        let values = "fl-1 n-1 vienna arm64 2 8080 i-7 vienna/fl-1 collector/vienna/fl-1 building collector";
        assert_eq!(expanded(text).unwrap(), values);
    }

    #[test]
    fn braces_can_be_written() {
        assert_eq!(expanded("{{\"{{\"}}.Name}} }} {").unwrap(), "{{.Name}} }} {");
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(expanded("{{node.labels.room}}"), Err(TemplateError::Label("room".into())));
        assert_eq!(expanded("{{port.dns}}"), Err(TemplateError::Port(Name::new("dns").unwrap())));
        assert_eq!(expanded("{{port.dns}}").unwrap_err().to_string(), "the service has no port `dns`");
        let unknown = expanded("{{ node.color }}").unwrap_err().to_string();
        assert!(unknown.starts_with("`{{node.color}}` is not known; there are node.name, "), "{unknown}");
        let open = expanded("a {{node.name").unwrap_err().to_string();
        assert_eq!(open, "`{{` without `}}` in `{{node.name`; write `{{\"{{\"}}` for two plain braces");
    }

    #[test]
    fn the_first_error_ends_the_search() {
        assert!(names("{{x}} {{y}} {{").is_err());
        assert_eq!(
            names("a {{service}} b {{slot.index}}").unwrap(),
            [Variable::Service, Variable::SlotIndex]
        );
    }

    proptest! {
        #[test]
        fn text_without_templates_stays(text in "[^{]*") {
            prop_assert_eq!(expanded(&text).unwrap(), text);
        }
        #[test]
        fn no_text_panics(text in "([a-z.]|\\{\\{|\\}\\}|\\PC)*") {
            let _ = expanded(&text);
        }
    }
}
