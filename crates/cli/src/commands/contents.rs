//! `holm secret` and `holm file`: what instances are given beside their specification.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use holm_model::content::{ContentKind, MOST_BYTES, RegistryLogin};
use holm_model::name::Name;

use super::Project;
use crate::connect::{At, Connect};
use crate::failure::Failure;
use crate::output::time::now;
use crate::output::{Format, Output, say_bytes, stdout_ink, table};
use crate::prompt;

#[derive(Args, Debug)]
pub(crate) struct Secrets {
    #[command(subcommand)]
    action: SecretAction,
}

#[derive(Subcommand, Debug)]
enum SecretAction {
    /// Set a secret: asked for on a terminal, else all of standard input but a newline at its end
    ///
    /// Instances that are given it are restarted, or told, as their service says in `on-change`.
    Set {
        /// Its name
        name: Name,
        /// Take all bytes of this file
        #[arg(long, value_name = "FILE")]
        from_file: Option<PathBuf>,
        /// What is asked for is the password of this user of a registry, for `registry:` of a service
        #[arg(long, value_name = "USER")]
        registry_user: Option<String>,
        /// The registry [default: that of the image]
        #[arg(long, value_name = "SERVER", requires = "registry_user")]
        registry: Option<String>,
        #[command(flatten)]
        project: Project,
        #[command(flatten)]
        output: Output,
    },
    /// List the secrets of a project; nothing shows their values
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        project: Project,
        #[command(flatten)]
        output: Output,
    },
    /// Remove a secret that no application names any more
    Rm {
        /// Its name
        name: Name,
        #[command(flatten)]
        project: Project,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Files {
    #[command(subcommand)]
    action: FileAction,
}

#[derive(Subcommand, Debug)]
enum FileAction {
    /// Set a plain file, from a file here or from standard input
    ///
    /// Instances that are given it are restarted, or told, as their service says in `on-change`.
    Set {
        /// Its name
        name: Name,
        /// The file to take; without it, or with `-`, standard input
        from: Option<PathBuf>,
        #[command(flatten)]
        project: Project,
        #[command(flatten)]
        output: Output,
    },
    /// List the plain files of a project
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        project: Project,
        #[command(flatten)]
        output: Output,
    },
    /// Print the content of a plain file
    Show {
        /// Its name
        name: Name,
        #[command(flatten)]
        project: Project,
        #[command(flatten)]
        output: Output,
    },
    /// Remove a plain file that no application names any more
    Rm {
        /// Its name
        name: Name,
        #[command(flatten)]
        project: Project,
        #[command(flatten)]
        output: Output,
    },
}

pub(crate) async fn secret(At { args, connect }: At<Secrets>) -> Result<(), Failure> {
    let kind = ContentKind::Secret;
    match args.action {
        SecretAction::Set { name, from_file, registry_user, registry, project, output } => {
            let project = project.of(&connect)?;
            let value = secret_value(&name, from_file.as_deref())?;
            let value = match registry_user {
                Some(user) => login(registry, user, value)?,
                None => value,
            };
            set(kind, &project, &name, &value, &connect, output).await
        }
        SecretAction::Ls { project, output } => list(kind, &project.of(&connect)?, &connect, output).await,
        SecretAction::Rm { name, project, output } => {
            remove(kind, &project.of(&connect)?, &name, &connect, output).await
        }
    }
}

pub(crate) async fn file(At { args, connect }: At<Files>) -> Result<(), Failure> {
    let kind = ContentKind::File;
    match args.action {
        FileAction::Set { name, from, project, output } => {
            let from = from.filter(|path| path.as_os_str() != "-");
            let bytes = from.map_or_else(stdin, |path| read(&path))?;
            set(kind, &project.of(&connect)?, &name, &bytes, &connect, output).await
        }
        FileAction::Ls { project, output } => list(kind, &project.of(&connect)?, &connect, output).await,
        FileAction::Show { name, project, output } => {
            show(&project.of(&connect)?, &name, &connect, output).await
        }
        FileAction::Rm { name, project, output } => {
            remove(kind, &project.of(&connect)?, &name, &connect, output).await
        }
    }
}

async fn set(
    kind: ContentKind,
    project: &Name,
    name: &Name,
    bytes: &[u8],
    connect: &Connect,
    output: Output,
) -> Result<(), Failure> {
    connect.client()?.set_content(kind, project.as_str(), name.as_str(), bytes).await?;
    let kind = kind.word();
    output.print_done("set", name.as_str(), || format!("{kind} {name} of {project} is set"))
}

async fn list(kind: ContentKind, project: &Name, connect: &Connect, output: Output) -> Result<(), Failure> {
    let found = connect.client()?.contents(kind, project.as_str()).await?;
    output.print(&found, || table::render(&found, output.is_wide(), now(), stdout_ink()))
}

async fn remove(
    kind: ContentKind,
    project: &Name,
    name: &Name,
    connect: &Connect,
    output: Output,
) -> Result<(), Failure> {
    connect.client()?.delete_content(kind, project.as_str(), name.as_str()).await?;
    let kind = kind.word();
    output.print_done("removed", name.as_str(), || format!("{kind} {name} of {project} is removed"))
}

/// The bytes as they are, unless a form is asked for.
async fn show(project: &Name, name: &Name, connect: &Connect, output: Output) -> Result<(), Failure> {
    let content = connect.client()?.file(project.as_str(), name.as_str()).await?;
    if !matches!(output.format, Format::Table | Format::Wide) {
        return output.print(&content, String::new);
    }
    let bytes = content.bytes().map_err(|e| Failure::from_error("the answer is no Base64", &e))?;
    say_bytes(&bytes)
}

fn secret_value(name: &Name, from: Option<&Path>) -> Result<Vec<u8>, Failure> {
    if let Some(path) = from {
        return read(path);
    }
    if prompt::is_terminal() {
        return prompt::hidden_twice(&format!("Value of {name}: ")).map(String::into_bytes);
    }
    let mut bytes = stdin()?;
    // What `echo` adds.
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.is_empty() { Err(Failure::wrong_use("standard input is empty")) } else { Ok(bytes) }
}

fn login(server: Option<String>, user: String, password: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let password = String::from_utf8(password).map_err(|_| Failure::wrong_use("the password is no text"))?;
    let login = RegistryLogin { server, user, password };
    serde_json::to_vec(&login).map_err(|e| Failure::from_error("the login cannot be written", &e))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |e: std::io::Error| Failure::from_error(format!("cannot read {}", path.display()), &e);
    at_most(std::fs::File::open(path).map_err(failed)?).map_err(failed)
}

fn stdin() -> Result<Vec<u8>, Failure> {
    at_most(std::io::stdin()).map_err(|e| Failure::from_error("cannot read standard input", &e))
}

/// A little more than may be there: the orchestrator says what is too much, and closes what is much more.
fn at_most(from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MOST_BYTES as u64 + 2).read_to_end(&mut bytes)?;
    Ok(bytes)
}
