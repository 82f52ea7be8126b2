//! Architectures whose programs the kernel hands to an emulator, as `binfmt_misc` says it
//! (Documentation/admin-guide/binfmt-misc.rst of Linux): programs in containers of such an image run here, too.

use std::collections::BTreeSet;

use holm_model::build::emulation;
use holm_model::capability::Capability;

use super::tree::Tree;

const DIR: &str = "/proc/sys/fs/binfmt_misc";
/// As QEMU calls its emulators of programs, and as nodes tell architectures.
const EMULATORS: &[(&str, &str)] = &[
    ("qemu-aarch64", "arm64"),
    ("qemu-arm", "armv7"),
    ("qemu-x86_64", "amd64"),
    ("qemu-riscv64", "riscv64"),
    ("qemu-ppc64le", "ppc64le"),
    ("qemu-s390x", "s390x"),
    ("qemu-loongarch64", "loong64"),
];

pub(super) fn detect(tree: &Tree) -> BTreeSet<Capability> {
    let is_there = |name: &str| {
        let said = tree.read(format!("{DIR}/{name}")).unwrap_or_default();
        // `F`: the emulator is open already, so that it is found inside of containers, too.
        let opened =
            said.lines().any(|line| line.strip_prefix("flags:").is_some_and(|flags| flags.contains('F')));
        said.lines().next() == Some("enabled") && opened
    };
    EMULATORS.iter().filter(|(name, _)| is_there(name)).filter_map(|(_, arch)| emulation(arch)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_emulators_that_containers_find_count() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().join(DIR.trim_start_matches('/'));
        std::fs::create_dir_all(&here).unwrap();
        let write = |name: &str, text: &str| std::fs::write(here.join(name), text).unwrap();
        write("qemu-aarch64", "enabled\ninterpreter /usr/libexec/qemu-aarch64\nflags: PF\noffset 0\n");
        write("qemu-arm", "enabled\ninterpreter /usr/bin/qemu-arm\nflags: P\n");
        write("qemu-riscv64", "disabled\ninterpreter /x\nflags: F\n");
        let found = detect(&Tree::new(dir.path()));
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["emulation/arm64"]);
    }
}
