//! Which node builds an image. Pure.

use holm_image::platform::Platform;
use holm_model::build::{BUILD, EMULATION};
use holm_model::state::MemberState;
use holm_model::view::NodeView;

/// A node, and how it builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Builder {
    pub(crate) id: String,
    pub(crate) name: String,
    /// It runs another machine's programs in an emulator, which is slow.
    pub(crate) emulated: bool,
}

/// Nobody can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoBuilder {
    #[error(
        "no node builds images: give one that has a container engine the capability, as in `holm node capability add NODE \
         build/images`"
    )]
    None,
    #[error("no node that builds images is online and has a container engine: {0}")]
    Away(String),
    #[error(
        "no node builds for {platform}: {there}; give a node of that architecture a capability `build/…`, or install an emulator \
         (Debian: qemu-user-static) on one of these"
    )]
    Platform { platform: Platform, there: String },
}

/// The one that has built this image before, if it can be had: its engine knows the steps.
pub(crate) fn choose(
    nodes: &[NodeView],
    platform: &Platform,
    repository: &str,
) -> Result<Builder, NoBuilder> {
    let builders: Vec<_> = nodes.iter().filter(|node| has(node, BUILD, |_| true)).collect();
    if builders.is_empty() {
        return Err(NoBuilder::None);
    }
    let ready = |node: &&&NodeView| {
        node.state == MemberState::Online && node.runtimes.iter().any(|runtime| runtime == "container")
    };
    let ready: Vec<_> = builders.iter().filter(ready).copied().collect();
    if ready.is_empty() {
        let away = builders.iter().map(|node| format!("{} is {}", node.name, node.state));
        return Err(NoBuilder::Away(away.collect::<Vec<_>>().join(", ")));
    }
    let native = |node: &&NodeView| platform.runs_on(&node.arch);
    let emulates = |node: &&NodeView| has(node, EMULATION, |arch| platform.runs_on(arch));
    let best = |emulated: bool, fits: &dyn Fn(&&NodeView) -> bool| {
        let of = ready.iter().copied().filter(|node| fits(node));
        let best = of.max_by_key(|node| (!node.cordoned, weight(repository, &node.id)));
        best.map(|node| Builder { id: node.id.clone(), name: node.name.clone(), emulated })
    };
    best(false, &native).or_else(|| best(true, &emulates)).ok_or_else(|| {
        let there = ready.iter().map(|node| format!("{} is {}", node.name, node.arch));
        NoBuilder::Platform { platform: platform.clone(), there: there.collect::<Vec<_>>().join(", ") }
    })
}

/// For what a tree is built when nobody says so: what the nodes that build are themselves.
pub(crate) fn usual(nodes: &[NodeView], repository: &str) -> Platform {
    let builders = nodes.iter().filter(|node| has(node, BUILD, |_| true));
    let ready = builders.max_by_key(|node| (node.state == MemberState::Online, weight(repository, &node.id)));
    Platform::of_machine(ready.map_or("amd64", |node| &node.arch))
}

fn has(node: &NodeView, kind: &str, name: impl Fn(&str) -> bool) -> bool {
    let pairs = node.capabilities.iter().filter_map(|capability| capability.split_once('/'));
    pairs.into_iter().any(|(own, called)| own == kind && name(called))
}

/// The same for the same two words, and without an order otherwise (FNV-1a).
fn weight(repository: &str, node: &str) -> u64 {
    let bytes = repository.bytes().chain([0]).chain(node.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::node;

    fn chosen(nodes: &[NodeView], platform: &str) -> Result<(String, bool), String> {
        choose(nodes, &Platform::linux(platform), "red/web")
            .map(|builder| (builder.name, builder.emulated))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_machine_of_the_kind_comes_before_one_that_emulates_it() {
        let big = node("big", "amd64", &["build/images", "emulation/arm64", "emulation/armv7"]);
        let small = node("small", "arm64", &["build/images"]);
        let other = node("other", "arm64", &[]);
        let both = [big.clone(), small, other];
        assert_eq!(chosen(&both, "arm64"), Ok(("small".into(), false)));
        assert_eq!(chosen(&both, "amd64"), Ok(("big".into(), false)));
        assert_eq!(chosen(&both, "arm/v7"), Ok(("big".into(), true)));
        assert_eq!(chosen(&[big], "arm64"), Ok(("big".into(), true)));
        let said = chosen(&both, "riscv64").unwrap_err();
        assert!(said.contains("linux/riscv64") && said.contains("small is arm64"), "{said}");
        assert_eq!(usual(&both[1..], "red/web"), Platform::linux("arm64"));
    }

    #[test]
    fn whoever_may_not_or_cannot_does_not() {
        assert!(chosen(&[node("a", "amd64", &[])], "amd64").unwrap_err().contains("build/images"));
        let mut away = node("a", "amd64", &["build/images"]);
        away.state = MemberState::Offline;
        assert!(chosen(&[away], "amd64").unwrap_err().contains("a is "));
        let mut bare = node("a", "amd64", &["build/images"]);
        bare.runtimes.clear();
        assert!(chosen(&[bare], "amd64").is_err());
    }

    #[test]
    fn the_same_image_goes_to_the_same_node() {
        let nodes: Vec<_> = (0..5).map(|n| node(&format!("n{n}"), "amd64", &["build/x"])).collect();
        let mut turned = nodes.clone();
        turned.reverse();
        assert_eq!(chosen(&nodes, "amd64"), chosen(&turned, "amd64"));
    }
}
