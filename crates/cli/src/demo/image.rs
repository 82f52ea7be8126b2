//! An image of one layer: our own program and the libraries that it was linked with. Neither a registry
//! nor an image that happens to be there is needed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tar::{Builder, Header};

/// The layer, and how the program is started in it.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) tar: Vec<u8>,
    /// The program, without its arguments.
    pub(super) program: Vec<String>,
}

const PROGRAM: &str = "holm";
/// Where the libraries are, and what finds them: an image has no other.
const LIBRARIES: &str = "lib";
const LOADER: &str = "loader";

impl Layer {
    /// Of `program`, which must be the one that runs: its loader is found among what is mapped.
    ///
    /// # Errors
    /// When a file cannot be read, or the loader cannot list the libraries.
    pub(super) fn of(program: &Path) -> io::Result<Self> {
        let mut tar = Builder::new(Vec::new());
        add(&mut tar, program, PROGRAM)?;
        let maps = fs::read_to_string("/proc/self/maps")?;
        let Some(loader) = loader(&maps) else {
            return Ok(Self { tar: tar.into_inner()?, program: vec![format!("/{PROGRAM}")] });
        };
        add(&mut tar, &loader, LOADER)?;
        let listed = Command::new(&loader).arg("--list").arg(program).stdin(Stdio::null()).output()?;
        for (name, path) in libraries(&String::from_utf8_lossy(&listed.stdout)) {
            add(&mut tar, &path, &format!("{LIBRARIES}/{name}"))?;
        }
        let words = ["/loader", "--library-path", "/lib", "/holm"];
        Ok(Self { tar: tar.into_inner()?, program: words.map(str::to_owned).to_vec() })
    }
}

fn add(tar: &mut Builder<Vec<u8>>, file: &Path, name: &str) -> io::Result<()> {
    let file = File::open(file)?;
    let mut header = Header::new_ustar();
    header.set_size(file.metadata()?.len());
    header.set_mode(0o755);
    header.set_mtime(0);
    tar.append_data(&mut header, name, file)
}

/// The dynamic loader that is mapped into a process; none in one that is linked statically.
fn loader(maps: &str) -> Option<PathBuf> {
    let paths: BTreeSet<&str> = maps.lines().filter_map(|line| Some(&line[line.find('/')?..])).collect();
    let is_loader = |path: &&str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.contains(".so")
            && (name.starts_with("ld-") || name.starts_with("ld.") || name.starts_with("ld64"))
    };
    paths.into_iter().find(is_loader).map(PathBuf::from)
}

/// Of lines like `libc.so.6 => /lib/libc.so.6 (0x7f…)`.
fn libraries(list: &str) -> Vec<(String, PathBuf)> {
    let library = |line: &str| {
        let (name, rest) = line.trim().split_once(" => ")?;
        let path = rest.rsplit_once(" (").map_or(rest, |(path, _)| path);
        let plain = !name.contains('/') && path.starts_with('/');
        plain.then(|| (name.to_owned(), PathBuf::from(path)))
    };
    list.lines().filter_map(library).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_and_the_libraries_are_found() {
        let maps = "55d0-55d1 r-xp 0 fe:01 1 /usr/bin/holm\n7f00-7f01 r-xp 0 fe:01 2 /usr/lib/libc.so.6\n\
                    7f10-7f11 r-xp 0 fe:01 3 /usr/lib/ld-linux-x86-64.so.2\n7ffc-7ffd rw-p 0 00:00 0 [stack]";
        assert_eq!(loader(maps), Some("/usr/lib/ld-linux-x86-64.so.2".into()));
        assert_eq!(loader("55d0-55d1 r-xp 0 fe:01 1 /usr/bin/holm"), None);
        let list = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f09)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f09)\n\tlibx.so => not found\n";
        assert_eq!(libraries(list), [("libc.so.6".to_owned(), PathBuf::from("/lib/libc.so.6"))]);
    }

    #[test]
    fn a_layer_has_the_program_and_what_it_needs() {
        let own = std::env::current_exe().unwrap();
        let layer = Layer::of(&own).unwrap();
        let mut archive = tar::Archive::new(&layer.tar[..]);
        let names: Vec<String> =
            archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
        assert!(names.contains(&PROGRAM.to_owned()), "{names:?}");
        let dynamic = layer.program.len() > 1;
        assert_eq!(dynamic, names.iter().any(|name| name.starts_with("lib/libc")), "{names:?}");
    }
}
