//! The order of functions in the program: what a daemon at rest uses lies together.
//!
//! The kernel maps a program in pieces of 64 KiB. A daemon at rest uses some hundred KiB of code, which lie in nearly
//! every piece when the compiler chooses their places. `packaging/order.txt` lists what is used, that of the agent alone
//! first, without the part of each name that changes from build to build; `cargo xtask dist --learn-order` writes it. The
//! program is linked once to learn what its functions are called this time, and once more in that order. A name that is
//! gone costs nothing.
//!
//! Names are mangled as `v0` does, with the types for which a generic function was made: the older way names all its
//! instances alike, and hundreds would come for the one that is used.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::sums;
use crate::tool;

/// Beside the packages: one function a line.
pub(super) const FILE: &str = "order.txt";

/// For cargo: how functions are named in these builds.
const MANGLED: [&str; 2] = ["--config", "build.rustflags=['-Csymbol-mangling-version=v0']"];
/// Longer names are cut and told apart by a digest: types make kilobytes of some.
const LONGEST: usize = 100;

/// Builds with `build`, twice, and with the linker that rustc brings along; elsewhere once, as it comes.
pub(super) fn build(build: &mut Command, work: &Path, wanted: &Path) -> Result<()> {
    if cfg!(not(target_arch = "x86_64")) {
        return tool::run(build);
    }
    let (order, map) = (Order::at(work), work.join("link.map"));
    build.args(MANGLED).env("HOLM_LINK_ORDER", &order.0).env("HOLM_LINK_MAP", &map);
    order.write("")?;
    tool::run(build)?;
    let read =
        |file: &Path| fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
    order.write(&ordered(&read(&map)?, &read(wanted)?))?;
    tool::run(build)
}

/// Writes the names of what daemons at rest use, from programs of the same profile that have kept their symbols.
pub(super) fn learn(list: &Path) -> Result<()> {
    let program = |words: &[&str], name: &str| -> Result<PathBuf> {
        let mut build = tool::cargo();
        build.args(["build", "--package", "holm-cli", "--bin", "holm", "--profile", "dist"]);
        build.args(MANGLED).args(words);
        tool::run(build.env("CARGO_PROFILE_DIST_STRIP", "none"))?;
        let (built, kept) = (tool::target().join("dist/holm"), tool::target().join(name));
        fs::copy(&built, &kept).with_context(|| format!("cannot copy {}", built.display()))?;
        Ok(kept)
    };
    let agent = program(&["--no-default-features"], "order-agent")?;
    let full = program(&[], "order-holm")?;
    let used = tool::target().join("order.raw");
    let mut watch = Command::new("python3");
    watch.arg(tool::root().join("bench/order.py")).arg(&used).current_dir(tool::root());
    watch.env("HOLM_BIN", full).env("HOLM_DIST_AGENT", agent).env("PYTHONDONTWRITEBYTECODE", "1");
    tool::run(&mut watch)?;
    let used = fs::read_to_string(&used).with_context(|| format!("cannot read {}", used.display()))?;
    fs::write(list, names(&used)).with_context(|| format!("cannot write {}", list.display()))
}

/// Each once, and only what is a name: what has none is called by its address.
fn names(used: &str) -> String {
    let symbols = used.lines().filter(|name| !name.starts_with(['(', '0']));
    let mut seen = BTreeSet::new();
    let lasting = symbols.map(lasting).filter(|name| seen.insert(name.clone()));
    lasting.map(|name| name + "\n").collect()
}

/// What the linker reads.
struct Order(PathBuf);

// === impl Order ===

impl Order {
    fn at(work: &Path) -> Self {
        Self(work.join("link.order"))
    }

    fn write(&self, text: &str) -> Result<()> {
        fs::write(&self.0, text).with_context(|| format!("cannot write {}", self.0.display()))
    }
}

/// The functions of a linker's map whose names are wanted, one a line, in the order in which those are.
fn ordered(map: &str, wanted: &str) -> String {
    let places: BTreeMap<_, _> = wanted.lines().enumerate().map(|(place, name)| (name, place)).collect();
    let functions = map.lines().filter_map(function);
    let mut chosen: Vec<_> =
        functions.filter_map(|it| Some((*places.get(lasting(it).as_str())?, it))).collect();
    chosen.sort_by_key(|(place, _)| *place);
    chosen.into_iter().flat_map(|(_, function)| [function, "\n"]).collect()
}

/// `… program.o:(.text._ZN4holm4main17h0123456789abcdefE)`: each function has a section of its own.
fn function(line: &str) -> Option<&str> {
    let (_, section) = line.rsplit_once(":(.text.")?;
    let name = section.strip_suffix(')')?;
    Some(name.strip_prefix("unlikely.").unwrap_or(name))
}

/// A name without what changes from build to build, and not too long.
fn lasting(symbol: &str) -> String {
    let name = plain(symbol);
    match name.get(..LONGEST) {
        Some(begin) if name.len() > LONGEST => {
            let digest = sums::of(name.as_bytes());
            format!("{begin}~{}", &digest[..16])
        }
        _ => name,
    }
}

/// Without the hash at the end, and what tells two crates of one name apart.
fn plain(symbol: &str) -> String {
    // Copies that link-time optimization made have numbers: `name.llvm.7`, `name.1750`.
    let symbol = symbol.split('.').next().unwrap_or(symbol);
    let hashed = symbol.rsplit_once("17h").filter(|(_, hash)| symbol.starts_with("_ZN") && hash.len() == 17);
    if let Some((name, _)) = hashed {
        return name.to_owned();
    }
    if !symbol.starts_with("_R") {
        return symbol.to_owned();
    }
    let crates = without(symbol, "Cs", "C", 13);
    // References to what stood before count characters, those of the crates' hashes, too.
    let back = without(&crates, "B", "B", 3);
    // At the end stands the crate for which a generic function was made: of equal ones, the linker takes any.
    let path = back.strip_suffix("B").unwrap_or(&back);
    let named = |rest: &str| {
        let name = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        rest[..rest.len() - name.len()].parse() == Ok(name.len())
    };
    let end = path.rsplit_once('C').filter(|(_, rest)| named(rest));
    end.map_or(path, |(path, _)| path).to_owned()
}

/// With `tag` in place of each `mark` that is followed by a number of base 62, not longer than `most`, and `_`.
fn without(symbol: &str, mark: &str, tag: &str, most: usize) -> String {
    let mut parts = symbol.split(mark);
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.split_once('_');
        let number = |id: &str| id.len() <= most && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let rest = rest.filter(|(id, _)| number(id));
        match rest {
            Some((_, rest)) => kept.extend([tag, rest]),
            None => kept.extend([mark, part]),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_last_over_builds() {
        assert_eq!(lasting("_ZN4holm4main17h0123456789abcdefE"), "_ZN4holm4main");
        assert_eq!(lasting("_ZN4holm4main17h0123456789abcdefE.llvm.42"), "_ZN4holm4main");
        assert_eq!(lasting("_RNvNtCsgEmfK2I1SDS_4core3fmt5write"), "_RNvNtC4core3fmt5write");
        assert_eq!(lasting("sqlite3_step"), "sqlite3_step");
        let one =
            "_RINvNtCsgEmfK2I1SDS_4core3ptr13drop_in_placeINtNtB4_6option6OptionbEECs1IyRRwSxgIH_9holm_node";
        assert_eq!(lasting(one), "_RINvNtC4core3ptr13drop_in_placeINtNtB6option6OptionbEE");
        assert_eq!(lasting(&one.replace("Cs1IyRRwSxgIH_9holm_node", "Cs0_3nix")), lasting(one));
        assert_eq!(lasting(&one.replace("Cs1IyRRwSxgIH_9holm_node", "B1c_")), lasting(one));
        assert_eq!(lasting(&format!("{one}.1750")), lasting(one));
        assert_ne!(lasting(&one.replace("OptionbEE", "OptioncEE")), lasting(one));
        let long = format!("_RINvC4core{}", "x".repeat(100));
        let others = [format!("{long}y"), format!("{long}z")].map(|name| lasting(&name));
        assert!(others[0] != others[1] && others[0].len() == LONGEST + 17, "{others:?}");
        let used = "(below main)\n0x1ab70\nb\n_ZN1a17h0123456789abcdefE\n_ZN1a17hfedcba9876543210E\n";
        assert_eq!(names(used), "b\n_ZN1a\n");
    }

    #[test]
    fn what_is_wanted_comes_under_the_name_of_this_build() {
        let map = "\
  VMA  LMA  Size Align Out     In      Symbol
  12f0 12f0  10   16           a.o:(.text._ZN4holm4main17h0123456789abcdefE)
  12f0 12f0  10    1                   _ZN4holm4main17h0123456789abcdefE
  1300 1300  10   16           a.o:(.text._ZN4holm4rare17h0123456789abcdefE)
  1310 1310  10   16           b.o:(.text.unlikely.sqlite3_step)
  1320 1320  10   16           b.o:(.rodata.x)
";
        let chosen = ordered(map, "_ZN4holm4gone\nsqlite3_step\n_ZN4holm4main\n");
        assert_eq!(chosen, "sqlite3_step\n_ZN4holm4main17h0123456789abcdefE\n");
    }
}
