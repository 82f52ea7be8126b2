//! What becomes of an uploaded file, and why it cannot. Pure.

use std::collections::BTreeMap;

use crate::archive::Packing;
use crate::platform::Platform;
use crate::recognize::Thing;

/// What people say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What it is called; the file's name in the image.
    pub name: String,
    /// It is built on another image.
    pub has_base: bool,
    /// How it is run, as they say it; what they leave out is chosen.
    pub run: Run,
}

/// How an image is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The program, and words that it always gets.
    pub entrypoint: Vec<String>,
    /// Words that a service may replace.
    pub command: Vec<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// TCP ports that it listens on.
    pub ports: Vec<u16>,
    /// Where it begins.
    pub workdir: Option<String>,
    /// As whom.
    pub user: Option<String>,
}

/// An image that is made without a daemon: one layer on a base, or on nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembly {
    /// What goes into its layer.
    pub content: Content,
    /// For which machines; `None`: for those of the base.
    pub platform: Option<Platform>,
    /// How it is run.
    pub run: Run,
}

/// What goes into a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The file itself, at this path.
    File {
        /// Where.
        path: String,
        /// Its rights.
        mode: u32,
    },
    /// All files of the archive, below [`DIR`].
    Archive(Packing),
}

/// Why it cannot become an image, for people: what it needs and how they get it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A loader or interpreter that only a base has.
    #[error("it is {thing}: name an image that has it with `base`{or}")]
    Base {
        /// What it is.
        thing: String,
        /// Another way.
        or: &'static str,
    },
    /// Nobody knows what to start.
    #[error("it is {thing}: say what is to be started with `entrypoint`")]
    Entrypoint {
        /// What it is.
        thing: String,
    },
    /// It must be compiled.
    #[error("it is {thing}, which must be built first")]
    Builder {
        /// What it is.
        thing: String,
    },
}

/// Where files lie in an image that is made here.
pub const DIR: &str = "/app";
/// As whom a program runs that has no base to say so: nobody.
pub const NOBODY: &str = "65534:65534";

/// The name of a file as one of an image: `Collector-1.2.jar` is `collector-1.2`. Empty: nothing is left of it.
#[must_use]
pub fn usual_name(file: &str) -> String {
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
    let ends = [".tar.gz", ".tgz", ".tar", ".zip", ".jar", ".war", ".wasm", ".sh", ".py"];
    let stem = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut plain = String::new();
    for c in stem.chars() {
        if fits(c) || (matches!(c, '.' | '-' | '_') && plain.ends_with(fits)) {
            plain.push(c);
        }
    }
    plain.trim_end_matches(['.', '-', '_']).to_owned()
}

/// What becomes of it.
///
/// # Errors
/// When it cannot become an image so.
pub fn plan(thing: &Thing, options: &Options) -> Result<Assembly, PlanError> {
    let path = format!("{DIR}/{}", options.name);
    let base =
        |or| if options.has_base { Ok(()) } else { Err(PlanError::Base { thing: thing.to_string(), or }) };
    let file = |mode| Content::File { path: path.clone(), mode };
    let (content, platform, entrypoint) = match thing {
        Thing::Program { platform, interpreter } => {
            if interpreter.is_some() {
                base(", or link it statically")?;
            }
            (file(0o755), Some(platform.clone()), vec![path.clone()])
        }
        Thing::Script { .. } => {
            base("")?;
            (file(0o755), None, vec![path.clone()])
        }
        Thing::Java { is_web: true, .. } | Thing::Java { main: None, .. } => {
            base(" (a Java runtime)")?;
            let thing = thing.to_string();
            return match options.run.entrypoint.is_empty() {
                true => Err(PlanError::Entrypoint { thing }),
                false => Ok(assembly(file(0o644), None, Vec::new(), options)),
            };
        }
        Thing::Java { .. } => {
            base(" (a Java runtime)")?;
            (file(0o644), None, vec!["java".to_owned(), "-jar".to_owned(), path.clone()])
        }
        Thing::Wasm { .. } => {
            let platform =
                Platform { os: "wasip1".to_owned(), architecture: "wasm".to_owned(), variant: None };
            (file(0o644), Some(platform), vec![path.clone()])
        }
        Thing::Files(packing) => {
            if options.run.entrypoint.is_empty() && !options.has_base {
                return Err(PlanError::Entrypoint { thing: thing.to_string() });
            }
            base("")?;
            (Content::Archive(*packing), None, Vec::new())
        }
        Thing::Source { .. } | Thing::Dockerfile => {
            return Err(PlanError::Builder { thing: thing.to_string() });
        }
    };
    Ok(assembly(content, platform, entrypoint, options))
}

fn assembly(content: Content, platform: Option<Platform>, usual: Vec<String>, options: &Options) -> Assembly {
    let mut run = options.run.clone();
    if run.entrypoint.is_empty() {
        run.entrypoint = usual;
    }
    if run.workdir.is_none() {
        run.workdir = Some(DIR.to_owned());
    }
    if run.user.is_none() && !options.has_base {
        run.user = Some(NOBODY.to_owned());
    }
    Assembly { content, platform, run }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(has_base: bool) -> Options {
        Options { name: "collector".into(), has_base, run: Run::default() }
    }

    fn program(interpreter: Option<&str>) -> Thing {
        Thing::Program { platform: Platform::linux("arm64"), interpreter: interpreter.map(str::to_owned) }
    }

    #[test]
    fn a_static_program_needs_nothing_and_nobody() {
        let made = plan(&program(None), &options(false)).unwrap();
        assert_eq!(made.run.entrypoint, ["/app/collector"]);
        assert_eq!((made.run.user.as_deref(), made.platform), (Some(NOBODY), Some(Platform::linux("arm64"))));
        assert_eq!(plan(&program(None), &options(true)).unwrap().run.user, None, "the base says as whom");
    }

    #[test]
    fn what_needs_a_base_says_which() {
        let refused = |thing: &Thing| plan(thing, &options(false)).unwrap_err().to_string();
        let said = refused(&program(Some("/lib/ld.so")));
        assert!(said.contains("/lib/ld.so") && said.contains("statically"), "{said}");
        let jar = Thing::Java { main: Some("Main".into()), is_web: false };
        assert!(refused(&jar).contains("a Java runtime"));
        assert_eq!(plan(&jar, &options(true)).unwrap().run.entrypoint, ["java", "-jar", "/app/collector"]);
        assert!(refused(&Thing::Script { interpreter: "/bin/sh".into() }).contains("/bin/sh"));
        assert!(refused(&Thing::Dockerfile).contains("built first"));
        assert!(refused(&Thing::Files(Packing::Zip)).contains("entrypoint"));
    }

    #[test]
    fn a_file_gives_the_image_its_name() {
        for (file, name) in [
            ("Collector-1.2.jar", "collector-1.2"),
            ("C:\\x\\App.tar.gz", "app"),
            ("../../x y.sh", "xy"),
            ("__", ""),
            ("a__b-", "a_b"),
        ] {
            assert_eq!(usual_name(file), name, "{file}");
        }
    }

    #[test]
    fn what_people_say_is_what_runs() {
        let run = Run { entrypoint: vec!["/bin/x".into()], user: Some("7".into()), ..Run::default() };
        let made = plan(&program(None), &Options { run, ..options(false) }).unwrap();
        assert_eq!((made.run.entrypoint, made.run.user), (vec!["/bin/x".to_owned()], Some("7".to_owned())));
    }
}
