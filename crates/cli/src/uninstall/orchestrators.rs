//! Where orchestrators of this machine keep what they have: they need the program.
//!
//! Whoever names a data directory is believed: settings, environment files, units and their drop-ins, overruled or
//! not; and whoever has the lock of one open. One too many keeps a program; one too few takes it from a sea.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::roles::file;

/// Of a machine whose files are below `root`.
#[derive(Debug)]
struct Search<'a> {
    root: &'a Path,
    dirs: BTreeSet<PathBuf>,
    settings: BTreeSet<PathBuf>,
    environments: BTreeSet<PathBuf>,
}

const SETTINGS: &str = "/etc/holm";
/// In each data directory; held by the daemon that has it.
const LOCK: &str = "lock";
/// Each has units and directories of drop-ins.
const UNITS: [&str; 4] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
];
/// What systemd reads before the path of a program.
const PREFIXES: [char; 5] = ['@', '-', ':', '+', '!'];

/// The data directories of orchestrators on this machine; those in `home` need no name.
pub(super) fn directories(home: &Path) -> Result<Vec<PathBuf>, Failure> {
    Search::new(Path::new("/")).directories(home)
}

// === impl Search ===

impl<'a> Search<'a> {
    const fn new(root: &'a Path) -> Self {
        Self { root, dirs: BTreeSet::new(), settings: BTreeSet::new(), environments: BTreeSet::new() }
    }

    fn directories(mut self, home: &Path) -> Result<Vec<PathBuf>, Failure> {
        self.dirs = self.list(home)?.into_iter().collect();
        self.settings = self.ending(SETTINGS, "toml")?;
        self.environments = self.ending(SETTINGS, "env")?;
        for dir in UNITS {
            for unit in self.ending(dir, "service")? {
                self.unit(&unit)?;
            }
            for drop_in in self.ending(dir, "d")? {
                for file in self.ending(drop_in, "conf")? {
                    self.unit(&file)?;
                }
            }
        }
        // Units name environments, both name settings.
        for file in std::mem::take(&mut self.environments) {
            self.read(&file)?.lines().for_each(|line| self.variable(line));
        }
        for file in std::mem::take(&mut self.settings) {
            self.settings(&file)?;
        }
        self.running()?;
        // Where the key of an authority is, or may be.
        let found = self.dirs.iter().filter(|dir| self.at(&dir.join("ca.key")).try_exists().unwrap_or(true));
        Ok(found.cloned().collect())
    }

    /// Those that were started by hand, wherever. What may not be looked at, as in some containers, names nothing.
    fn running(&mut self) -> Result<(), Failure> {
        for process in self.list("/proc")? {
            let open = self.list(process.join("fd")).unwrap_or_default();
            let open = open.iter().filter_map(|fd| fs::read_link(self.at(fd)).ok());
            let locks = open.filter(|file| file.file_name().is_some_and(|name| name == LOCK));
            let dirs: Vec<PathBuf> = locks.filter_map(|lock| lock.parent().map(Path::to_owned)).collect();
            self.dirs.extend(dirs);
        }
        Ok(())
    }

    fn settings(&mut self, path: &Path) -> Result<(), Failure> {
        let path = self.at(path);
        if !path.exists() {
            return Ok(());
        }
        let told = file::read(&path)
            .map_err(|failure| failure.about("an orchestrator may need the program").failed())?;
        self.dirs.extend(told.root.and_then(|root| root.data_dir));
        self.dirs.extend(told.cluster.and_then(|cluster| cluster.data_dir));
        Ok(())
    }

    fn unit(&mut self, path: &Path) -> Result<(), Failure> {
        for line in self.read(path)?.replace("\\\n", " ").lines() {
            let Some((key, value)) = line.split_once('=') else { continue };
            match key.trim() {
                "ExecStart" => self.command(&words(value)),
                "Environment" => words(value).iter().for_each(|word| self.variable(word)),
                "EnvironmentFile" => {
                    self.environments.insert(value.trim().trim_start_matches('-').into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn command(&mut self, words: &[String]) {
        let ours = |word: &String| Path::new(word.trim_start_matches(PREFIXES)).ends_with("holm");
        if !words.iter().any(ours) {
            return;
        }
        for (at, word) in words.iter().enumerate() {
            match word.split_once('=') {
                Some((flag, value)) => self.said(flag, value),
                None => self.said(word, words.get(at + 1).map_or("", String::as_str)),
            }
        }
    }

    /// `NAME=VALUE`, the value in quotes or not.
    fn variable(&mut self, line: &str) {
        if let Some((name, value)) = line.split_once('=') {
            self.said(name.trim(), value.trim().trim_matches(['"', '\'']));
        }
    }

    fn said(&mut self, word: &str, value: &str) {
        // Units start at the root.
        let path = Path::new("/").join(value);
        match word {
            "--data-dir" | "HOLM_DATA_DIR" => drop(self.dirs.insert(path)),
            "--config" | "HOLM_CONFIG" => drop(self.settings.insert(path)),
            _ => {}
        }
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Nothing of a file that is not there.
    fn read(&self, path: &Path) -> Result<String, Failure> {
        match fs::read(self.at(path)) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => absent(path, &error).map(|()| String::new()),
        }
    }

    /// What is in `dir`, as the machine calls it.
    fn list(&self, dir: impl AsRef<Path>) -> Result<Vec<PathBuf>, Failure> {
        let dir = dir.as_ref();
        match fs::read_dir(self.at(dir)) {
            Ok(inside) => Ok(inside.flatten().map(|entry| dir.join(entry.file_name())).collect()),
            Err(error) => absent(dir, &error).map(|()| Vec::new()),
        }
    }

    fn ending(&self, dir: impl AsRef<Path>, end: &str) -> Result<BTreeSet<PathBuf>, Failure> {
        let inside = self.list(dir)?.into_iter();
        Ok(inside.filter(|path| path.extension().is_some_and(|found| found == end)).collect())
    }
}

/// What cannot be read may name anything.
fn absent(path: &Path, error: &io::Error) -> Result<(), Failure> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => Ok(()),
        _ => {
            Err(Failure::from_error(format!("cannot read {}", path.display()), error)
                .hint("run this as root"))
        }
    }
}

/// As a unit separates them: by spaces that are not in quotes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for letter in text.chars() {
        match quote {
            Some(end) if letter == end => quote = None,
            None if matches!(letter, '"' | '\'') => quote = Some(letter),
            None if letter.is_whitespace() => words.push(std::mem::take(&mut word)),
            _ => word.push(letter),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn machine(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn found(files: &[(&str, &str)]) -> Vec<PathBuf> {
        let root = machine(&[files, &[("srv/sea/ca.key", "secret"), ("srv/node/label", "0123")]].concat());
        Search::new(root.path()).directories(Path::new("/var/lib/holm")).unwrap()
    }

    #[test]
    fn an_orchestrator_is_found_wherever_its_directory_is_named() {
        assert_eq!(found(&[]), [""; 0].map(PathBuf::from));
        assert_eq!(found(&[("var/lib/holm/vienna/ca.key", "")]), [PathBuf::from("/var/lib/holm/vienna")]);
        let ways: [&[(&str, &str)]; 8] = [
            &[("etc/holm/root.toml", "[root]\ndata-dir = \"/srv/sea\"\n")],
            &[("etc/holm/vienna.toml", "[cluster]\nname = \"vienna\"\ndata-dir = \"/srv/sea\"\n")],
            &[("etc/holm/root.env", "# ours\nHOLM_DATA_DIR=\"/srv/sea\"\n")],
            &[("etc/systemd/system/sea.service", "ExecStart=-/opt/holm root \\\n  --data-dir '/srv/sea'\n")],
            &[(
                "usr/lib/systemd/system/sea.service",
                "[Service]\nExecStart = holm root --data-dir=/srv/sea\n",
            )],
            &[(
                "etc/systemd/system/holm-root.service.d/a.conf",
                "Environment=A=1 \"HOLM_DATA_DIR=/srv/sea\"\n",
            )],
            &[
                ("etc/systemd/system/sea.service", "ExecStart=/usr/bin/holm root --config /srv/root.toml\n"),
                ("srv/root.toml", "[root]\ndata-dir = \"/srv/sea\"\n"),
            ],
            &[
                ("etc/systemd/system/sea.service", "EnvironmentFile=-/srv/env\n"),
                ("srv/env", "HOLM_CONFIG=/srv/root.toml\n"),
                ("srv/root.toml", "[root]\ndata-dir = \"/srv/sea\"\n"),
            ],
        ];
        for files in ways {
            assert_eq!(found(files), [PathBuf::from("/srv/sea")], "{files:?}");
        }
    }

    #[test]
    fn an_orchestrator_that_was_started_by_hand_is_found_by_its_lock() {
        let root = machine(&[("srv/sea/ca.key", "secret"), ("proc/42/fd/3", ""), ("proc/meminfo", "")]);
        let open = |fd: &str, file: &str| std::os::unix::fs::symlink(file, root.path().join(fd)).unwrap();
        let search = || Search::new(root.path()).directories(Path::new("/var/lib/holm")).unwrap();
        open("proc/42/fd/4", "/srv/node/lock");
        open("proc/42/fd/5", "socket:[1]");
        open("proc/42/fd/6", "/srv/sea/store.db");
        assert_eq!(search(), [""; 0].map(PathBuf::from));
        open("proc/42/fd/7", "/srv/sea/lock");
        assert_eq!(search(), [PathBuf::from("/srv/sea")]);
    }

    #[test]
    fn nodes_other_programs_and_files_that_are_gone_are_none() {
        let none: [PathBuf; 0] = [];
        assert_eq!(found(&[("etc/holm/node.toml", "[node]\ndata-dir = \"/srv/node\"\n")]), none);
        let other = ("etc/systemd/system/etcd.service", "ExecStart=/usr/bin/etcd --data-dir /srv/sea\n");
        assert_eq!(found(&[other]), none);
        let gone =
            ("etc/systemd/system/a.service", "ExecStart=holm root --config /gone\nEnvironmentFile=/gone\n");
        assert_eq!(found(&[gone]), none);
    }

    #[test]
    fn settings_that_make_no_sense_may_mean_an_orchestrator() {
        let root = machine(&[("etc/holm/root.toml", "[root]\ndata-dri = \"/srv/sea\"\n")]);
        let failure = Search::new(root.path()).directories(Path::new("/var/lib/holm")).unwrap_err();
        assert!(failure.to_string().contains("may need the program"), "{failure}");
        assert!(failure.to_string().contains("data-dri"), "{failure}");
    }
}
