//! `holm build`: an image of what one has, kept in the registry of the root.

use std::fs::File;
use std::io::{BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use holm_client::Client;
use holm_image::recognize::{Thing, recognize};
use holm_model::resources::Memory;
use holm_model::view::build::BuildView;
use indicatif::{ProgressBar, ProgressStyle};

use super::Project;
use crate::connect::At;
use crate::failure::Failure;
use crate::output::{Output, clean};

#[derive(Args, Debug)]
pub(crate) struct Build {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    output: Output,
}

/// Files, and how the image of them is run.
#[derive(Args, Clone, Debug)]
pub(crate) struct What {
    /// A Linux program, a script, a JAR, a WebAssembly module, or a tar or zip archive; several for several architectures
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// What the image is called [default: the file's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Its tag
    #[arg(long, value_name = "TAG", default_value = "latest")]
    tag: String,
    /// An image of the registry that it is built on, as in `default/java:21`
    #[arg(long, value_name = "IMAGE")]
    base: Option<String>,
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

pub(crate) async fn run(At { args, connect }: At<Build>) -> Result<(), Failure> {
    let things = recognized(&args.what.files)?;
    say_what(&things);
    let (client, project) = (connect.client()?, args.project.of(&connect)?);
    let built = build(&client, project.as_str(), &args.what).await?;
    args.output.print(&built, || people(&built))
}

/// What the files are, by their content: what cannot become an image is known before a byte is sent.
pub(super) fn recognized(files: &[PathBuf]) -> Result<Vec<(PathBuf, Thing)>, Failure> {
    let one = |path: &PathBuf| {
        let unreadable = |error| Failure::from_error(format!("cannot read {}", path.display()), &error);
        if path.is_dir() {
            let hint = format!("pack it: `tar -czf app.tar.gz -C {} .`", path.display());
            return Err(Failure::wrong_use(format!("{} is a directory", path.display())).hint(hint));
        }
        let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
        let thing = recognize(&mut file).map_err(|error| Failure::from_error(path.display(), &error))?;
        Ok((path.clone(), thing))
    };
    files.iter().map(one).collect()
}

pub(super) fn say_what(things: &[(PathBuf, Thing)]) {
    for (path, thing) in things {
        eprintln!("{} is {thing}", path.display());
    }
}

/// Sends the files and has them built.
pub(super) async fn build(client: &Client, project: &str, what: &What) -> Result<BuildView, Failure> {
    let mut fields = vec![("tag".to_owned(), what.tag.clone())];
    let mut add = |name: &str, values: &[String]| {
        fields.extend(values.iter().map(|value| (name.to_owned(), value.clone())));
    };
    add("name", what.name.as_slice());
    add("base", what.base.as_slice());
    add("entrypoint", &what.entrypoint);
    add("run", &what.run);
    add("env", &what.env);
    add("workdir", what.workdir.as_slice());
    add("user", what.user.as_slice());
    fields.extend(what.port.iter().map(|port| ("port".to_owned(), port.to_string())));
    let bytes: u64 = what.files.iter().filter_map(|file| file.metadata().ok()).map(|found| found.len()).sum();
    let bar = progress(bytes);
    let (of, all) = (bar.clone(), bytes);
    let sent = Arc::new(move |more| {
        of.inc(more);
        if of.position() >= all {
            of.set_message("building");
        }
    });
    let built = client.build(project, &fields, &what.files, sent).await;
    bar.finish_and_clear();
    Ok(built?)
}

fn progress(bytes: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(bytes).with_message("sending");
    let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

pub(super) fn people(built: &BuildView) -> String {
    let mut text = format!("{} is built ({} ms)\n", clean(&built.tag), built.milliseconds);
    for part in &built.parts {
        let (layer, bytes) = (Memory(part.layer), Memory(part.bytes));
        let starts = part.entrypoint.join(" ");
        text.push_str(&format!(
            "  {}: {bytes} in a layer of {layer}; starts {}\n",
            part.platform,
            clean(&starts)
        ));
    }
    text.push_str(&format!("{}\n", clean(&built.image)));
    text
}

/// The name that the image gets if nobody says one.
pub(super) fn usual_name(file: &Path) -> String {
    let name = file.file_stem().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    plain.trim_matches('-').to_owned()
}
