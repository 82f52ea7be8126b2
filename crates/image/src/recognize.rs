//! What a file is, by its content and never by its name.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use flate2::read::GzDecoder;
use object::read::elf::{FileHeader, ProgramHeader as _};
use object::read::{ReadCache, ReadRef};
use object::{Endianness, elf};

use crate::archive::{self, Packing};
use crate::platform::Platform;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A program for Linux.
    Program {
        /// For which machines.
        platform: Platform,
        /// What loads it; `None`: it needs nothing.
        interpreter: Option<String>,
    },
    /// A text that a program interprets.
    Script {
        /// What stands behind `#!`.
        interpreter: String,
    },
    /// A Java archive.
    Java {
        /// The class that it begins with, if it says so.
        main: Option<String>,
        /// It is for a servlet container.
        is_web: bool,
    },
    /// WebAssembly.
    Wasm {
        /// A component, not a module alone.
        is_component: bool,
    },
    /// Files.
    Files(Packing),
    /// A source tree that must be built.
    Source {
        /// How it is packed.
        packing: Packing,
        /// By what it is known.
        kind: Source,
    },
    /// A `Dockerfile` alone.
    Dockerfile,
}

/// A kind of source tree, and the file by which it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `Dockerfile` or `Containerfile`
    Dockerfile,
    /// `package.json`
    Node,
    /// `pyproject.toml` or `requirements.txt`
    Python,
    /// `Cargo.toml`
    Rust,
    /// `go.mod`
    Go,
    /// `pom.xml` or `build.gradle`
    Java,
}

/// Why a file is nothing that becomes an image.
#[derive(Debug, thiserror::Error)]
pub enum RecognizeError {
    /// Nothing that is known.
    #[error(
        "the file begins with {0} and is nothing that is known here; send a Linux program (ELF), a script with #!, a JAR, a \
         WebAssembly module, a tar or zip archive, or a Dockerfile"
    )]
    Unknown(String),
    /// A program for another system.
    #[error("the file is a program for {0}; send one for Linux")]
    Foreign(&'static str),
    /// Part of a program.
    #[error("the file is {0}, no program that can be started")]
    NoProgram(&'static str),
    /// A program for machines that are not known.
    #[error("the program is for a machine that is not known here (ELF machine {0})")]
    Machine(u16),
    /// It begins as something, and goes on as nothing.
    #[error("the file begins as {kind} and cannot be read: {why}")]
    Broken {
        /// As what.
        kind: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Reading failed.
    #[error("the file cannot be read")]
    Read(#[from] io::Error),
}

/// Bytes that are looked at first.
const HEAD: usize = 4096;
/// The longest path of an interpreter.
const INTERPRETER: u64 = 4096;

/// Says what the file is.
///
/// # Errors
/// When it is nothing that becomes an image; the error says what it seems to be.
pub fn recognize<R: Read + Seek>(file: &mut R) -> Result<Thing, RecognizeError> {
    let head = head(file)?;
    match head.as_slice() {
        [0x7f, b'E', b'L', b'F', ..] => program(file),
        [b'M', b'Z', ..] => Err(RecognizeError::Foreign("Windows")),
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 0..20, ..] => {
            Err(RecognizeError::Foreign("macOS"))
        }
        [0xca, 0xfe, 0xba, 0xbe, ..] => Err(RecognizeError::NoProgram("a single Java class; send a JAR")),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Ok(Thing::Wasm { is_component: false }),
        [0, b'a', b's', b'm', _, 0, 1, 0, ..] => Ok(Thing::Wasm { is_component: true }),
        [b'#', b'!', ..] => script(&head),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => zipped(file),
        [0x1f, 0x8b, ..] => {
            let mut first = Vec::new();
            // What is cut here is read again as a whole.
            let _ = GzDecoder::new(&mut *file).take(HEAD as u64).read_to_end(&mut first);
            file.rewind()?;
            if is_tar(&first) {
                packed(file, Packing::TarGz)
            } else {
                Err(broken("gzip", "there is no tar archive in it"))
            }
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0xfd, b'7', b'z', b'X', ..] | [b'B', b'Z', b'h', ..] => {
            Err(broken("a compressed archive", "archives are taken as zip, tar and tar.gz"))
        }
        head if is_tar(head) => packed(file, Packing::Tar),
        head if is_dockerfile(head) => Ok(Thing::Dockerfile),
        head => Err(RecognizeError::Unknown(shown(head))),
    }
}

fn head<R: Read + Seek>(file: &mut R) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(head)
}

fn broken(kind: &'static str, why: impl fmt::Display) -> RecognizeError {
    RecognizeError::Broken { kind, why: why.to_string() }
}

fn shown(head: &[u8]) -> String {
    match head {
        [] => "nothing: it is empty".to_owned(),
        head if head
            .iter()
            .take(16)
            .all(|byte| (b' '..=b'~').contains(byte) || byte.is_ascii_whitespace()) =>
        {
            format!("the text {:?}", String::from_utf8_lossy(&head[..head.len().min(16)]))
        }
        head => head.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
    }
}

fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// A text whose first instruction is one that a Dockerfile begins with.
fn is_dockerfile(head: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(head.rsplitn(2, |byte| *byte == b'\n').last().unwrap_or(head)) else {
        return false;
    };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next().unwrap_or_default().split_whitespace().next().unwrap_or_default();
    first.eq_ignore_ascii_case("FROM") || first.eq_ignore_ascii_case("ARG")
}

fn script(head: &[u8]) -> Result<Thing, RecognizeError> {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = std::str::from_utf8(line).map_err(|error| broken("a script", error))?;
    let interpreter = text.trim_start_matches("#!").trim().to_owned();
    if interpreter.is_empty() || interpreter.chars().any(char::is_control) {
        return Err(broken("a script", "behind #! stands no program (are its lines ended as on Windows?)"));
    }
    Ok(Thing::Script { interpreter })
}

fn program<R: Read + Seek>(file: &mut R) -> Result<Thing, RecognizeError> {
    let cache = ReadCache::new(&mut *file);
    let class = (&cache).read_bytes_at(4, 1).map_err(|()| broken("a program", "it is cut off"))?[0];
    if class == elf::ELFCLASS64.0 {
        header::<elf::FileHeader64<Endianness>, _>(&cache)
    } else {
        header::<elf::FileHeader32<Endianness>, _>(&cache)
    }
}

fn header<'a, H: FileHeader<Endian = Endianness>, R: ReadRef<'a>>(data: R) -> Result<Thing, RecognizeError> {
    let unreadable = |error: object::Error| broken("a program", error);
    let header = H::parse(data).map_err(unreadable)?;
    let endian = header.endian().map_err(unreadable)?;
    match header.e_type(endian) {
        elf::ET_EXEC | elf::ET_DYN => {}
        elf::ET_REL => return Err(RecognizeError::NoProgram("an object file that is not linked")),
        _ => return Err(RecognizeError::NoProgram("an ELF file")),
    }
    if !matches!(header.e_ident().os_abi, elf::ELFOSABI_NONE | elf::ELFOSABI_GNU) {
        return Err(RecognizeError::Foreign("another system than Linux"));
    }
    let little = endian == Endianness::Little;
    let platform = match (header.e_machine(endian), header.is_type_64(), little) {
        (elf::EM_X86_64, true, _) => "amd64",
        (elf::EM_386, ..) => "386",
        (elf::EM_AARCH64, true, true) => "arm64",
        // What processors before version 7 run cannot be told from the header.
        (elf::EM_ARM, _, true) => "arm/v7",
        (elf::EM_RISCV, true, _) => "riscv64",
        (elf::EM_PPC64, true, true) => "ppc64le",
        (elf::EM_S390, true, false) => "s390x",
        (elf::EM_LOONGARCH, true, _) => "loong64",
        (machine, ..) => return Err(RecognizeError::Machine(machine.0)),
    };
    let segments = header.program_headers(endian, data).map_err(unreadable)?;
    let mut interpreter = None;
    for segment in segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_INTERP) {
        if segment.p_filesz(endian).into() > INTERPRETER {
            return Err(broken("a program", "the path of its loader is too long"));
        }
        let text = segment.data(endian, data).map_err(|()| broken("a program", "it is cut off"))?;
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        interpreter = Some(String::from_utf8_lossy(text).into_owned());
    }
    let needs_nothing = interpreter.is_none();
    let is_library =
        header.e_type(endian) == elf::ET_DYN && needs_nothing && header.e_entry(endian).into() == 0;
    if is_library {
        return Err(RecognizeError::NoProgram("a library"));
    }
    Ok(Thing::Program { platform: Platform::linux(platform), interpreter })
}

fn zipped<R: Read + Seek>(file: &mut R) -> Result<Thing, RecognizeError> {
    let unreadable = |error: zip::result::ZipError| broken("a zip archive", error);
    let mut zip = zip::ZipArchive::new(&mut *file).map_err(unreadable)?;
    let manifest = match zip.by_name("META-INF/MANIFEST.MF") {
        Ok(entry) => {
            let mut text = String::new();
            entry
                .take(MANIFEST)
                .read_to_string(&mut text)
                .map_err(|error| broken("a Java archive", error))?;
            Some(text)
        }
        Err(zip::result::ZipError::FileNotFound) => None,
        Err(error) => return Err(unreadable(error)),
    };
    let is_web = zip.index_for_name("WEB-INF/web.xml").is_some() || zip.index_for_name("WEB-INF/").is_some();
    if let Some(text) = manifest {
        let main =
            text.lines().find_map(|line| line.strip_prefix("Main-Class:")).map(|name| name.trim().to_owned());
        return Ok(Thing::Java { main, is_web });
    }
    drop(zip);
    packed(file, Packing::Zip)
}

/// Bytes of a JAR's manifest that are read.
const MANIFEST: u64 = 64 * 1024;

fn packed<R: Read + Seek>(file: &mut R, packing: Packing) -> Result<Thing, RecognizeError> {
    let names = archive::top(file, packing).map_err(|error| broken("an archive", error))?;
    file.rewind()?;
    let has = |name: &str| names.names.contains(name);
    let kinds = [
        (Source::Dockerfile, ["Dockerfile", "Containerfile"]),
        (Source::Node, ["package.json", ""]),
        (Source::Python, ["pyproject.toml", "requirements.txt"]),
        (Source::Rust, ["Cargo.toml", ""]),
        (Source::Go, ["go.mod", ""]),
        (Source::Java, ["pom.xml", "build.gradle"]),
    ];
    let kind = kinds.into_iter().find(|(_, files)| files.iter().any(|file| has(file)));
    Ok(match kind {
        Some((kind, _)) => Thing::Source { packing, kind },
        None => Thing::Files(packing),
    })
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program { platform, interpreter: None } => write!(f, "a static program for {platform}"),
            Self::Program { platform, interpreter: Some(loader) } => {
                write!(f, "a program for {platform} that needs {loader}")
            }
            Self::Script { interpreter } => write!(f, "a script for {interpreter}"),
            Self::Java { is_web: true, .. } => write!(f, "a Java web archive"),
            Self::Java { main: Some(main), .. } => write!(f, "a JAR that begins with {main}"),
            Self::Java { main: None, .. } => write!(f, "a JAR without Main-Class"),
            Self::Wasm { is_component: true } => write!(f, "a WebAssembly component"),
            Self::Wasm { is_component: false } => write!(f, "a WebAssembly module"),
            Self::Files(packing) => write!(f, "files in a {packing} archive"),
            Self::Source { kind, packing } => write!(f, "{kind} in a {packing} archive"),
            Self::Dockerfile => write!(f, "a Dockerfile"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dockerfile => "a tree with a Dockerfile",
            Self::Node => "a Node project",
            Self::Python => "a Python project",
            Self::Rust => "a Rust project",
            Self::Go => "a Go project",
            Self::Java => "a Java project",
        })
    }
}
