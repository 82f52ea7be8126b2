//! `holm build`: an image of what one has, kept in the registry of the root.

use std::fs::File;
use std::io::{BufReader, IsTerminal as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use futures::StreamExt as _;
use holm_client::{BuildEvents, Error};
use holm_image::archive::{self, Packing, Top};
use holm_image::dockerfile::{self, Tree};
use holm_image::plan::{Options, Run, plan};
use holm_image::platform::Platform;
use holm_image::recognize::{Source, Thing, recognize};
use holm_image::tree;
use holm_model::view::build::{BuildEvent, BuildView};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use tempfile::TempPath;

use super::Project;
use crate::connect::At;
use crate::failure::Failure;
use crate::output::{Output, clean, say};

#[derive(Args, Debug)]
pub(crate) struct Build {
    #[command(flatten)]
    what: What,
    /// Show the Dockerfile that says the same, and build nothing: `holm build . --dockerfile > Dockerfile` keeps it
    #[arg(long)]
    dockerfile: bool,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    output: Output,
}

/// Files, and how the image of them is run.
#[derive(Args, Clone, Debug)]
pub(crate) struct What {
    /// A Linux program, a script, a JAR, a WebAssembly module, a tar or zip archive, a Dockerfile or a directory of sources;
    /// several programs for several architectures
    #[arg(value_name = "PATH", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// What the image is called [default: the file's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Its tag
    #[arg(long, value_name = "TAG", default_value = "latest")]
    tag: String,
    /// An image that it is built on, as in `default/java:21`; of other registries only for sources without a Dockerfile
    #[arg(long, value_name = "IMAGE")]
    base: Option<String>,
    /// For which machines sources are built, as in `amd64,arm64` [default: what the node is that builds]
    #[arg(long, value_name = "ARCH", value_delimiter = ',', value_parser = Platform::parse)]
    platform: Vec<Platform>,
    /// A command that builds the sources, in the base [default: what is usual for their kind]
    #[arg(long, value_name = "COMMAND")]
    with: Option<String>,
    /// Take nothing from builds before
    #[arg(long)]
    fresh: bool,
    /// What is started; given once for each of its words [default: the program itself]
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    entrypoint: Vec<String>,
    /// Words behind it, which a manifest's `command` replaces; given once for each
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    run: Vec<String>,
    /// A TCP port that it listens on; may be given several times
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Vec<u16>,
    /// Environment, as in `--env MODE=fast`; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Where it begins [default: /app]
    #[arg(long, value_name = "DIR")]
    workdir: Option<String>,
    /// As whom it runs [default: the base's user, or nobody]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

/// A file that is sent.
#[derive(Debug)]
pub(crate) struct Sent {
    /// As it was named.
    pub(crate) path: PathBuf,
    pub(crate) thing: Thing,
    /// Of a directory: packed, gone with this value.
    packed: Option<TempPath>,
}

pub(crate) async fn run(At { args, connect }: At<Build>) -> Result<(), Failure> {
    let files = recognized(&args.what.files)?;
    if args.dockerfile {
        return say(&shown(&args.what, &files)?);
    }
    say_what(&files);
    let (client, project) = (connect.client()?, args.project.of(&connect)?);
    let sending = progress(&files);
    let paths: Vec<_> = files.iter().map(Sent::file).collect();
    let events = client.build(project.as_str(), &args.what.fields(), &paths, sending.counter()).await;
    let built = Follow::new(sending).until_built(events).await?;
    args.output.print(&built, || people(&built))
}

/// What the files are, by their content: what cannot become an image is known before a byte is sent.
pub(super) fn recognized(files: &[PathBuf]) -> Result<Vec<Sent>, Failure> {
    let one = |path: &PathBuf| {
        let unreadable = |error| Failure::from_error(format!("cannot read {}", path.display()), &error);
        let packed = if path.is_dir() { Some(pack(path)?) } else { None };
        let mut file = BufReader::new(File::open(packed.as_deref().unwrap_or(path)).map_err(unreadable)?);
        let thing = recognize(&mut file).map_err(|error| Failure::from_error(path.display(), &error))?;
        Ok(Sent { path: path.clone(), thing, packed })
    };
    files.iter().map(one).collect()
}

fn pack(dir: &Path) -> Result<TempPath, Failure> {
    let failed =
        |error: &dyn std::error::Error| Failure::from_error(format!("cannot pack {}", dir.display()), error);
    let file = tempfile::NamedTempFile::new().map_err(|error| failed(&error))?;
    let file = tree::pack(dir, file).map_err(|error| failed(&error))?;
    Ok(file.into_temp_path())
}

pub(super) fn say_what(files: &[Sent]) {
    for Sent { path, thing, packed } in files {
        match (thing, packed) {
            (Thing::Source { kind, .. }, Some(_)) => eprintln!("{} is {kind}", path.display()),
            (Thing::Files(_), Some(_)) => eprintln!("{} is a directory of files", path.display()),
            _ => eprintln!("{} is {thing}", path.display()),
        }
    }
}

// === impl Sent ===

impl Sent {
    pub(super) fn file(&self) -> &Path {
        self.packed.as_deref().unwrap_or(&self.path)
    }
}

// === impl What ===

impl What {
    /// The image's name, as somebody says it, or as the first file does.
    pub(super) fn image_name(&self) -> String {
        let usual = || self.files.first().map(|file| usual_name(file)).unwrap_or_default();
        self.name.clone().unwrap_or_else(usual)
    }

    /// As the form has them.
    pub(super) fn fields(&self) -> Vec<(String, String)> {
        let mut fields = vec![("tag".to_owned(), self.tag.clone()), ("name".to_owned(), self.image_name())];
        let mut add = |name: &str, values: &[String]| {
            fields.extend(values.iter().map(|value| (name.to_owned(), value.clone())));
        };
        add("base", self.base.as_slice());
        add("build", self.with.as_slice());
        add("entrypoint", &self.entrypoint);
        add("run", &self.run);
        add("env", &self.env);
        add("workdir", self.workdir.as_slice());
        add("user", self.user.as_slice());
        add("platform", &self.platform.iter().map(ToString::to_string).collect::<Vec<_>>());
        add("port", &self.port.iter().map(ToString::to_string).collect::<Vec<_>>());
        add("fresh", &self.fresh.then(|| "true".to_owned()).into_iter().collect::<Vec<_>>());
        fields
    }

    fn run(&self) -> Run {
        let pair =
            |text: &String| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        Run {
            entrypoint: self.entrypoint.clone(),
            command: self.run.clone(),
            env: self.env.iter().filter_map(pair).collect(),
            ports: self.port.clone(),
            workdir: self.workdir.clone(),
            user: self.user.clone(),
        }
    }
}

/// The Dockerfile of what would be built.
fn shown(what: &What, files: &[Sent]) -> Result<String, Failure> {
    let refused = |error: &dyn std::error::Error| Failure::wrong_use(error.to_string());
    let name = what.image_name();
    let mut texts = Vec::new();
    for sent in files {
        let unreadable = |error| Failure::from_error(format!("cannot read {}", sent.path.display()), &error);
        let mut file = BufReader::new(File::open(sent.file()).map_err(unreadable)?);
        let (packing, kind) = match &sent.thing {
            Thing::Source { packing, kind } => (Some(*packing), Some(*kind)),
            Thing::Files(packing) if what.with.is_some() => (Some(*packing), None),
            Thing::Dockerfile => (None, Some(Source::Dockerfile)),
            thing => {
                let options = Options { name: name.clone(), has_base: what.base.is_some(), run: what.run() };
                let assembly = plan(thing, &options).map_err(|error| refused(&error))?;
                let from = sent.path.file_name().unwrap_or_default().to_string_lossy();
                texts.push(dockerfile::of_assembly(&assembly, what.base.as_deref(), &from));
                continue;
            }
        };
        let own = own(&mut file, packing, kind).map_err(|error| refused(&error))?;
        texts.push(match own {
            Ok(text) => text,
            Err(top) => {
                let tree = Tree {
                    kind,
                    names: &top.names,
                    name: &name,
                    base: what.base.as_deref(),
                    build: what.with.as_deref(),
                    has_start: !what.entrypoint.is_empty(),
                };
                let text = dockerfile::generate(&tree).map_err(|error| refused(&error))?;
                text + &dockerfile::of_run(&what.run())
            }
        });
    }
    Ok(texts.join("\n"))
}

/// The tree's own Dockerfile, or what there is instead.
fn own(
    file: &mut BufReader<File>,
    packing: Option<Packing>,
    kind: Option<Source>,
) -> Result<Result<String, Top>, archive::ArchiveError> {
    let Some(packing) = packing else { return Ok(Ok(std::io::read_to_string(file)?)) };
    let top = archive::top(file, packing)?;
    file.rewind()?;
    if kind != Some(Source::Dockerfile) {
        return Ok(Err(top));
    }
    let text = archive::text(file, packing, &top, &["Dockerfile", "Containerfile"])?;
    Ok(text.map(|(_, text)| text).ok_or(top))
}

/// How far sending is.
#[derive(Clone, Debug)]
pub(super) struct Sending(ProgressBar);

/// Shows what happens meanwhile.
#[derive(Debug)]
pub(super) struct Follow {
    bar: ProgressBar,
}

pub(super) fn progress(files: &[Sent]) -> Sending {
    if !std::io::stderr().is_terminal() {
        return Sending(ProgressBar::hidden());
    }
    let bytes = files.iter().filter_map(|sent| sent.file().metadata().ok()).map(|found| found.len()).sum();
    let bar = ProgressBar::new(bytes).with_message("sending");
    let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
    Sending(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
}

// === impl Sending ===

impl Sending {
    pub(super) fn counter(&self) -> holm_client::OnSent {
        let bar = self.0.clone();
        Arc::new(move |more| {
            bar.inc(more);
            if Some(bar.position()) >= bar.length() {
                bar.set_message("building");
            }
        })
    }
}

// === impl Follow ===

impl Follow {
    pub(super) fn new(Sending(bar): Sending) -> Self {
        Self { bar }
    }

    /// Until the image is there.
    pub(super) async fn until_built(&self, events: Result<BuildEvents, Error>) -> Result<BuildView, Failure> {
        match self.next(&mut self.begun(events)?).await? {
            BuildEvent::Built(built) => Ok(built),
            _ => Err(Failure::new("the orchestrator has said nothing of an image")),
        }
    }

    pub(super) fn begun(&self, events: Result<BuildEvents, Error>) -> Result<BuildEvents, Failure> {
        self.bar.finish_and_clear();
        Ok(events?)
    }

    /// The next event that is no mere word; words are shown.
    pub(super) async fn next(&self, events: &mut BuildEvents) -> Result<BuildEvent, Failure> {
        while let Some(event) = events.next().await {
            match event? {
                BuildEvent::Phase(text) => eprintln!("{}", clean(&text)),
                BuildEvent::Log(text) => {
                    for line in text.lines() {
                        eprintln!("  {}", clean(line));
                    }
                }
                BuildEvent::Failed(problem) => return Err(Error::Problem(problem).into()),
                event => return Ok(event),
            }
        }
        let hint = "look at `holm audit` whether it was done";
        Err(Failure::new("the connection ended before the orchestrator said how it went").hint(hint))
    }
}

pub(super) fn people(built: &BuildView) -> String {
    let mut text = format!("{} is built ({} ms)\n", clean(&built.tag), built.milliseconds);
    for part in &built.parts {
        let size = HumanBytes(part.layer);
        let starts = clean(&part.entrypoint.join(" "));
        let how = match (&part.builder, part.cached) {
            (_, true) => " as before".to_owned(),
            (Some(node), _) if part.emulated => format!(" on {} in an emulator", clean(node)),
            (Some(node), _) => format!(" on {}", clean(node)),
            (None, _) => String::new(),
        };
        let from = HumanBytes(part.bytes);
        text.push_str(&format!("  {}{how}: {size} of layers from {from}; starts {starts}\n", part.platform));
    }
    text.push_str(&format!("{}\n", clean(&built.image)));
    text
}

/// The name that the image gets if nobody says one.
fn usual_name(file: &Path) -> String {
    let whole = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    holm_image::plan::usual_name(&whole.file_name().unwrap_or_default().to_string_lossy())
}
