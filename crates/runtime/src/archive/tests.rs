//! Archives of friends and of enemies.

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::*;

/// A target with a canary beside it: nothing but the target may change.
struct Yard {
    dir: tempfile::TempDir,
}

impl Yard {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("target")).unwrap();
        fs::write(dir.path().join("canary"), "alive").unwrap();
        Self { dir }
    }

    fn target(&self) -> std::path::PathBuf {
        self.dir.path().join("target")
    }

    fn unpack(&self, archive: Vec<u8>) -> Result<Copied, CopyError> {
        let target = Target::of(&self.target(), true).unwrap();
        let outcome = unpack(Cursor::new(archive), &target);
        let mut names: Vec<_> =
            fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["canary", "target"], "nothing outside");
        assert_eq!(fs::read_to_string(self.dir.path().join("canary")).unwrap(), "alive");
        outcome
    }
}

fn entry(kind: EntryType, name: &str, link: &str, data: &[u8]) -> (Header, Vec<u8>) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(data.len() as u64);
    header.set_mode(0o7644);
    header.set_mtime(1_700_000_000);
    // As an enemy does: whatever it says.
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    (header, data.to_vec())
}

fn archive(entries: &[(Header, Vec<u8>)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (header, data) in entries {
        builder.append(header, &data[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn packed(source: &Path) -> (Copied, Vec<u8>) {
    let mut bytes = Vec::new();
    let copied = pack(source, &mut bytes).unwrap();
    (copied, bytes)
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let from = tempfile::tempdir().unwrap();
    let tree = from.path().join("tree");
    let deep = tree.join("a").join("long-".repeat(40)).join("b".repeat(200));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), vec![7; 100_000]).unwrap();
    fs::write(tree.join("script"), "#!/bin/sh").unwrap();
    fs::set_permissions(tree.join("script"), fs::Permissions::from_mode(0o751)).unwrap();
    symlink("a", tree.join("link")).unwrap();
    fs::create_dir(tree.join("closed")).unwrap();
    fs::write(tree.join("closed/inside"), "x").unwrap();
    fs::set_permissions(tree.join("closed"), fs::Permissions::from_mode(0o500)).unwrap();
    let past = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(tree.join("script")).unwrap().set_modified(past).unwrap();
    let (sent, bytes) = packed(&tree);
    let yard = Yard::new();
    let copied = yard.unpack(bytes).unwrap();
    assert_eq!((copied.entries, copied.refused.count), (sent.entries, 0), "{copied:?}");
    let new = yard.target().join("tree");
    let back = new.join("a").join("long-".repeat(40)).join("b".repeat(200)).join("file");
    assert_eq!(fs::read(back).unwrap(), vec![7; 100_000]);
    let script = fs::metadata(new.join("script")).unwrap();
    assert_eq!((script.mode() & 0o7777, script.mtime()), (0o751, 1_000_000_000));
    assert_eq!(fs::read_link(new.join("link")).unwrap(), Path::new("a"));
    assert_eq!(fs::metadata(new.join("closed")).unwrap().mode() & 0o777, 0o500);
    fs::set_permissions(new.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(tree.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_file_takes_the_name_of_its_target() {
    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("one"), "new").unwrap();
    let yard = Yard::new();
    let place = yard.target().join("two");
    fs::write(&place, "old").unwrap();
    let (_, bytes) = packed(&from.path().join("one"));
    unpack(Cursor::new(bytes.clone()), &Target::of(&place, false).unwrap()).unwrap();
    assert_eq!(fs::read_to_string(&place).unwrap(), "new");
    assert_eq!(fs::read_dir(yard.target()).unwrap().count(), 1, "nothing beside it");
    assert!(Target::of(Path::new("/x/new/"), false).is_err());
    let nowhere = Target::of(&yard.target().join("no/such"), false).unwrap();
    assert!(matches!(unpack(Cursor::new(bytes), &nowhere), Err(CopyError::File { .. })));
}

#[test]
fn what_leads_out_is_refused_by_name() {
    use EntryType as T;
    let yard = Yard::new();
    let evil = archive(&[
        entry(T::Regular, "../canary", "", b"dead"),
        entry(T::Regular, "a/../../canary", "", b"dead"),
        entry(T::Regular, "/tmp/holm-evil", "", b"dead"),
        entry(T::Symlink, "out", "..", b""),
        entry(T::Symlink, "abs", "/etc/passwd", b""),
        entry(T::Symlink, "sneaky", "a/../../canary", b""),
        entry(T::Link, "hard", "../canary", b""),
        entry(T::Link, "hard-abs", "/etc/passwd", b""),
        entry(T::Link, "hard-nothing", "missing", b""),
        entry(T::Char, "null", "", b""),
        entry(T::Block, "sda", "", b""),
        entry(T::Fifo, "pipe", "", b""),
        entry(T::new(b'V'), "label", "", b""),
        entry(T::Regular, "good", "", b"good"),
        entry(T::Link, "again", "good", b""),
    ]);
    let copied = yard.unpack(evil).unwrap();
    assert_eq!((copied.entries, copied.refused.count), (2, 13), "{}", copied.refused);
    let said = copied.refused.to_string();
    for name in ["../canary", "/tmp/holm-evil", "sneaky", "hard-abs", "sda", "pipe"] {
        assert!(said.contains(&format!("refused `{name}`: ")), "{said}");
    }
    let good = fs::metadata(yard.target().join("good")).unwrap();
    assert_eq!(good.mode() & 0o7777, 0o644, "no setuid");
    assert_eq!(fs::read_to_string(yard.target().join("again")).unwrap(), "good");
}

#[test]
fn nothing_is_written_through_a_link() {
    use EntryType as T;
    let yard = Yard::new();
    symlink("..", yard.target().join("planted")).unwrap();
    symlink("../canary", yard.target().join("file")).unwrap();
    let evil = archive(&[
        entry(T::Regular, "planted/canary", "", b"dead"),
        entry(T::Directory, "planted/new", "", b""),
        entry(T::Link, "stolen", "planted/canary", b""),
        entry(T::Link, "stolen-too", "file", b""),
        entry(T::Symlink, "d", "x", b""),
        entry(T::Directory, "d", "", b""),
        entry(T::Regular, "d/file", "", b"dead"),
        entry(T::Regular, "file", "", b"mine"),
    ]);
    let copied = yard.unpack(evil).unwrap();
    assert_eq!((copied.entries, copied.refused.count), (2, 6), "{}", copied.refused);
    assert!(!yard.target().join("file").is_symlink(), "the link was replaced, not followed");
    assert_eq!(fs::read_to_string(yard.target().join("file")).unwrap(), "mine");
}

#[test]
fn names_and_attributes_are_bounded() {
    let mut huge = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(1 << 20);
    header.set_cksum();
    huge.append(&header, &vec![b'x'; 1 << 20][..]).unwrap();
    let error = Yard::new().unpack(huge.into_inner().unwrap()).unwrap_err();
    assert!(matches!(error, CopyError::Names { .. }), "{error}");
    for (key, value) in [("GNU.sparse.major", "1"), ("size", "99")] {
        let mut pax = Builder::new(Vec::new());
        pax.append_pax_extensions([(key, value.as_bytes())]).unwrap();
        let (header, data) = entry(EntryType::Regular, "holes", "", b"");
        pax.append(&header, &data[..]).unwrap();
        let error = Yard::new().unpack(pax.into_inner().unwrap()).unwrap_err();
        assert!(matches!(error, CopyError::Format { .. }), "{error}");
    }
}

#[test]
fn what_is_cut_off_leaves_nothing_half() {
    let whole = archive(&[
        entry(EntryType::Regular, "first", "", b"whole"),
        entry(EntryType::Regular, "second", "", &[b'x'; 5000]),
    ]);
    let seconds_end = 3 * 512 + 5000;
    for length in (0..seconds_end).step_by(61).chain([512, 1024, 1536]) {
        let yard = Yard::new();
        let outcome = yard.unpack(whole[..length].to_vec());
        let between_entries = [0, 1024].contains(&length);
        assert_eq!(outcome.is_ok(), between_entries, "{length}");
        for file in fs::read_dir(yard.target()).unwrap() {
            let file = file.unwrap();
            assert_eq!((file.file_name().to_str(), file.metadata().unwrap().len()), (Some("first"), 5));
        }
    }
}

#[test]
fn any_damage_is_an_error_or_harmless() {
    let whole = archive(&[
        entry(EntryType::Directory, "d", "", b""),
        entry(EntryType::Regular, "d/first", "", b"whole"),
        entry(EntryType::Symlink, "d/l", "first", b""),
    ]);
    for at in (0..whole.len()).step_by(5) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        // Whatever comes of it: the yard looks at what lies outside.
        let _ = Yard::new().unpack(bytes);
    }
}

#[test]
fn an_engine_gets_only_what_may_be() {
    use EntryType as T;
    let mixed = archive(&[
        entry(T::Directory, "old", "", b""),
        entry(T::Char, "old/null", "", b""),
        entry(T::Regular, "old/file", "", b"x"),
        entry(T::Link, "old/again", "old/file", b""),
        entry(T::Symlink, "old/up", "../else", b""),
        entry(T::Regular, "other", "", b"x"),
    ]);
    let mut out = Vec::new();
    let copied = rewrite(Cursor::new(mixed), &mut out, &Target::of(Path::new("/srv/new"), false).unwrap());
    let copied = copied.unwrap();
    assert_eq!((copied.entries, copied.refused.count), (3, 3), "{}", copied.refused);
    let yard = Yard::new();
    yard.unpack(out).unwrap();
    assert_eq!(fs::read_to_string(yard.target().join("new/again")).unwrap(), "x");
}

#[test]
fn a_hundred_thousand_files_need_no_memory_of_their_own() {
    let mut builder = Builder::new(Vec::new());
    for i in 0..100_000 {
        let (header, data) = entry(EntryType::Regular, &format!("d/{}/{i}", i % 100), "", b"");
        builder.append(&header, &data[..]).unwrap();
    }
    let mut out = std::io::sink();
    let target = Target { dir: "/".into(), rename: None };
    let copied = rewrite(Cursor::new(builder.into_inner().unwrap()), &mut out, &target).unwrap();
    assert_eq!(copied.entries, 100_000);
}
