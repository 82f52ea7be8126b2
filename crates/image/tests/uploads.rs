//! Uploaded files, good and bad.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{Cursor, Read as _, Write as _};
use std::path::Path;

use flate2::read::GzDecoder;
use holm_image::archive::{self, ArchiveError, Limits, Packing, Place};
use holm_image::layer::Layer;
use holm_image::recognize::{Source, Thing, recognize};
use proptest::prelude::*;
use zip::write::SimpleFileOptions;

fn see(bytes: &[u8]) -> Result<Thing, String> {
    recognize(&mut Cursor::new(bytes)).map_err(|error| error.to_string())
}

/// A header and one segment, as linkers write them.
fn elf(machine: u16, is_64: bool, interpreter: Option<&str>) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', if is_64 { 2 } else { 1 }, 1, 1, 0];
    bytes.resize(16, 0);
    let word = |bytes: &mut Vec<u8>, value: u64| {
        let value = value.to_le_bytes();
        bytes.extend(&value[..if is_64 { 8 } else { 4 }]);
    };
    let (head, segment) = if is_64 { (64_u64, 56_u64) } else { (52, 32) };
    bytes.extend(2_u16.to_le_bytes());
    bytes.extend(machine.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    for value in [0x1000, head, 0] {
        word(&mut bytes, value);
    }
    bytes.extend(0_u32.to_le_bytes());
    let sizes = [head, segment, u64::from(interpreter.is_some()), 0, 0, 0];
    sizes.iter().for_each(|size| bytes.extend((*size as u16).to_le_bytes()));
    if let Some(path) = interpreter {
        let (at, long) = (head + segment, path.len() as u64 + 1);
        bytes.extend(3_u32.to_le_bytes());
        if is_64 {
            bytes.extend(4_u32.to_le_bytes());
        }
        for value in [at, 0, 0, long, long] {
            word(&mut bytes, value);
        }
        if !is_64 {
            bytes.extend(4_u32.to_le_bytes());
        }
        word(&mut bytes, 1);
        bytes.extend(path.as_bytes());
        bytes.push(0);
    }
    bytes
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Entries as they are given, without a look at their names.
fn tar(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o6777);
        header.set_mtime(7);
        header.set_uid(1000);
        let is_file = kind.is_file();
        if !is_file && !text.is_empty() {
            header.set_link_name_literal(text).unwrap();
        }
        header.set_size(if is_file { text.len() as u64 } else { 0 });
        header.set_cksum();
        builder.append(&header, if is_file { text.as_bytes() } else { &[] }).unwrap();
    }
    builder.into_inner().unwrap()
}

fn pack(bytes: &[u8], packing: Packing, limits: Limits) -> Result<(Vec<u8>, String), ArchiveError> {
    let mut layer = Layer::new(Vec::new());
    archive::copy(&mut Cursor::new(bytes), packing, Place { to: "/app", of: None }, limits, &mut layer)?;
    Ok(layer.finish().unwrap())
}

fn refused(entries: &[(&str, tar::EntryType, &str)]) -> String {
    pack(&tar(entries), Packing::Tar, Limits::default()).unwrap_err().to_string()
}

use tar::EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};

#[test]
fn files_are_known_by_what_is_in_them() {
    let program = |bytes: &[u8]| match see(bytes).unwrap() {
        Thing::Program { platform, interpreter } => (platform.to_string(), interpreter),
        other => panic!("{other}"),
    };
    assert_eq!(program(&elf(183, true, None)), ("linux/arm64".into(), None));
    let loader = "/lib/ld-linux-armhf.so.3";
    assert_eq!(program(&elf(40, false, Some(loader))), ("linux/arm/v7".into(), Some(loader.into())));
    assert_eq!(program(&elf(62, true, Some("/lib64/ld.so"))).1.as_deref(), Some("/lib64/ld.so"));
    // This very program.
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(matches!(see(&own).unwrap(), Thing::Program { .. }));
    let script = see(b"#!/usr/bin/env python3\nprint(1)\n").unwrap();
    assert_eq!(script, Thing::Script { interpreter: "/usr/bin/env python3".into() });
    assert_eq!(see(b"\0asm\x01\0\0\0").unwrap(), Thing::Wasm { is_component: false });
    assert_eq!(see(b"\0asm\x0d\0\x01\0").unwrap(), Thing::Wasm { is_component: true });
    assert_eq!(see(b"# a comment\nFROM scratch\nCOPY x /\n").unwrap(), Thing::Dockerfile);
    let jar = zip(&[
        ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\nMain-Class: a.Main\r\n"),
        ("a/Main.class", b"x"),
    ]);
    assert_eq!(see(&jar).unwrap(), Thing::Java { main: Some("a.Main".into()), is_web: false });
    assert_eq!(see(&zip(&[("a/b", b"x"), ("c", b"y")])).unwrap(), Thing::Files(Packing::Zip));
    let tree = tar(&[("site-1.0/package.json", Regular, "{}"), ("site-1.0/index.js", Regular, "1")]);
    assert_eq!(see(&tree).unwrap(), Thing::Source { packing: Packing::Tar, kind: Source::Node });
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar(&[("x", Regular, "1"), ("y", Regular, "2")])).unwrap();
    assert_eq!(see(&gzip.finish().unwrap()).unwrap(), Thing::Files(Packing::TarGz));
}

#[test]
fn what_is_nothing_says_what_it_seems_to_be() {
    for (bytes, words) in [
        (&b""[..], "it is empty"),
        (b"hello world, this is text", "the text"),
        (b"\x01\x02\x03\x04", "01 02 03 04"),
        (b"MZ\x90\0", "Windows"),
        (&[0xcf, 0xfa, 0xed, 0xfe], "macOS"),
        (&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 61], "Java class"),
        (b"\x7fELF", "cut off"),
        (b"#!\n", "no program"),
        (&[0x1f, 0x8b, 8, 0], "no tar archive"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "taken as zip, tar and tar.gz"),
        (b"PK\x03\x04 cut", "cannot be read"),
    ] {
        let said = see(bytes).unwrap_err();
        assert!(said.contains(words), "{said}");
    }
    let mut object = elf(62, true, None);
    object[16] = 1;
    assert!(see(&object).unwrap_err().contains("not linked"));
    assert!(see(&elf(0x1234, true, None)).unwrap_err().contains("4660"));
}

#[test]
fn nothing_of_an_archive_leaves_its_directory() {
    assert!(refused(&[("../x", Regular, "1")]).contains("outside"));
    assert!(refused(&[("a/../../x", Regular, "1")]).contains("outside"));
    assert!(refused(&[("/etc/x", Regular, "1")]).contains("outside"));
    assert!(refused(&[("l", Symlink, "/etc")]).contains("leads to"));
    assert!(refused(&[("a/l", Symlink, "../../x")]).contains("leads to"));
    assert!(refused(&[("l", Symlink, "a"), ("l/x", Regular, "1")]).contains("below a link"));
    assert!(refused(&[("h", Link, "../x")]).contains("leads to"));
    assert!(refused(&[("h", Link, "not-here")]).contains("leads to"));
    for kind in [Char, Block, Fifo] {
        assert!(refused(&[("dev", kind, "")]).contains("a device"));
    }
    assert!(refused(&[("x", Regular, "1"), ("./x", Regular, "2")]).contains("twice"));
    let deep = pack(&zip(&[(&"a/".repeat(70), b"")]), Packing::Zip, Limits::default());
    assert!(deep.unwrap_err().to_string().contains("too deep"));
    let zipped = pack(&zip(&[("../x", b"1")]), Packing::Zip, Limits::default());
    assert!(zipped.unwrap_err().to_string().contains("outside"));
}

#[test]
fn archives_that_unpack_to_too_much_end_at_their_limit() {
    let small = Limits { entries: 2, bytes: 100 };
    let many = tar(&[("a", Regular, ""), ("b", Regular, ""), ("c", Regular, "")]);
    assert!(pack(&many, Packing::Tar, small).unwrap_err().to_string().contains("more than 2 entries"));
    let bomb = zip(&[("zeros", &vec![0; 1_000_000])]);
    assert!(bomb.len() < 10_000);
    assert!(pack(&bomb, Packing::Zip, small).unwrap_err().to_string().contains("zeros"));
    let of = Limits::of(10_000);
    assert!(of.bytes < 100 << 20, "{of:?}");
    // One that says it is small, and is not: cut off where it said it ends, or refused.
    let mut liar = zip(&[("zeros", &vec![0; 5000])]);
    let said = 5000_u32.to_le_bytes();
    let places: Vec<_> = (0..liar.len() - 4).filter(|at| liar[*at..*at + 4] == said).collect();
    places.into_iter().for_each(|at| liar[at..at + 4].copy_from_slice(&10_u32.to_le_bytes()));
    if let Ok((layer, _)) = pack(&liar, Packing::Zip, small) {
        assert_eq!(unpack(&layer)[0].2.len(), 10);
    }
}

/// Names, rights and content of a layer.
fn unpack(layer: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
    let mut archive = tar::Archive::new(GzDecoder::new(layer));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
        let (path, mode) = (entry.path().unwrap().display().to_string(), header.mode().unwrap());
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (path, mode, content)
    });
    entries.collect()
}

#[test]
fn the_same_files_make_the_same_layer_without_times_owners_and_rights() {
    let entries = [
        ("bin", Directory, ""),
        ("bin/x", Regular, "program"),
        ("bin/y", Symlink, "x"),
        ("z", Link, "bin/x"),
    ];
    let (layer, id) = pack(&tar(&entries), Packing::Tar, Limits::default()).unwrap();
    let again = pack(&tar(&entries), Packing::Tar, Limits::default()).unwrap();
    assert_eq!((layer.clone(), id), again);
    let files = unpack(&layer);
    let names: Vec<_> = files.iter().map(|(name, mode, _)| (name.as_str(), *mode)).collect();
    assert_eq!(names, [("app/bin/", 0o755), ("app/bin/x", 0o755), ("app/bin/y", 0o755), ("app/z", 0o644)]);
    let mut layer = Layer::new(Vec::new());
    let short = layer.file("/app/x", 0o755, 10, &mut &b"123"[..]).unwrap_err();
    assert!(short.to_string().contains("cut off"));
}

proptest! {
    #[test]
    fn no_bytes_bring_it_down(bytes in prop::collection::vec(any::<u8>(), 0..600), kind in 0..6_usize, at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let _ = see(&bytes);
        let mut good = [
            elf(62, true, Some("/lib64/ld.so")), elf(40, false, None), zip(&[("META-INF/MANIFEST.MF", b"Main-Class: x\n")]),
            zip(&[("a", b"x")]), tar(&[("a", Regular, "x"), ("l", Symlink, "a")]), b"\0asm\x01\0\0\0".to_vec(),
        ][kind].clone();
        let place = at.index(good.len());
        good[place] = with;
        let _ = see(&good);
        good.truncate(place);
        let _ = see(&good);
        for packing in [Packing::Tar, Packing::Zip, Packing::TarGz] {
            let _ = pack(&good, packing, Limits { entries: 10, bytes: 10_000 });
        }
    }

    #[test]
    fn whatever_an_archive_says_lies_below_its_directory(
        names in prop::collection::vec("[a./]{1,8}", 1..6), kinds in prop::collection::vec(0..3_usize, 6), tos in prop::collection::vec("[a./]{1,8}", 6),
    ) {
        let entries: Vec<_> = names.iter().zip(kinds).zip(&tos)
            .map(|((name, kind), to)| (name.as_str(), [Regular, Symlink, Link][kind], to.as_str())).collect();
        if let Ok((layer, _)) = pack(&tar(&entries), Packing::Tar, Limits::default()) {
            let mut archive = tar::Archive::new(GzDecoder::new(&layer[..]));
            for entry in archive.entries().unwrap() {
                let entry = entry.unwrap();
                let path = entry.path().unwrap().into_owned();
                prop_assert!(path.starts_with("app") && !path.components().any(|part| part.as_os_str() == ".."));
                if let Some(to) = entry.link_name().unwrap() {
                    let from = if entry.header().entry_type() == Link { Path::new("").to_owned() } else { path.parent().unwrap().to_owned() };
                    let mut depth = 0_i32;
                    for part in from.join(&to).components() {
                        depth += if part.as_os_str() == ".." { -1 } else { i32::from(part.as_os_str() != ".") };
                        prop_assert!(depth >= 0, "{} -> {}", path.display(), to.display());
                    }
                }
            }
        }
    }
}
