//! Dockerfiles that are written for what comes without one. Pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::plan::{Assembly, Content, DIR, Run};
use crate::recognize::Source;

/// Why no Dockerfile can be written for a tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// Nobody knows what to start.
    #[error(
        "it is {0}, and nothing in it says what is started: name it with `entrypoint`, or add a Dockerfile"
    )]
    Start(String),
    /// Instructions need something to run in.
    #[error("say with `base` in which image `{0}` is to run")]
    Base(String),
}

/// What a Dockerfile is written from.
#[derive(Clone, Debug)]
pub struct Tree<'a> {
    /// `None`: instructions alone say how it is built.
    pub kind: Option<Source>,
    /// What lies at its top.
    pub names: &'a BTreeSet<String>,
    /// What the image is called.
    pub name: &'a str,
    /// An image to build and run in; without one, what is usual for its kind, in a public registry.
    pub base: Option<&'a str>,
    /// A command that builds it; without one, what is usual for its kind.
    pub build: Option<&'a str>,
    /// Whether people say what is started.
    pub has_start: bool,
}

/// Writes the Dockerfile of a tree that has none.
///
/// # Errors
/// When nothing says how it is built or started.
pub fn generate(tree: &Tree<'_>) -> Result<String, GenerateError> {
    let has = |name: &str| tree.names.contains(name);
    if let (Some(build), None) = (tree.build, tree.base) {
        return Err(GenerateError::Base(build.to_owned()));
    }
    let one_stage = |base: &str, build: &str, start: &str| {
        let build = tree.build.unwrap_or(build);
        let start = if tree.has_start { String::new() } else { start.to_owned() };
        let base = tree.base.unwrap_or(base);
        format!("FROM {base}\nWORKDIR {DIR}\nCOPY . .\nRUN {build}\n{start}")
    };
    let compiled = |from: &str, build: &str, onto: &str, start: &str| match tree.base {
        Some(_) => one_stage(from, build, start),
        None => format!(
            "FROM {from} AS build\nWORKDIR {DIR}\nCOPY . .\nRUN {build}\nFROM {onto}\nWORKDIR {DIR}\nCOPY --from=build {DIR}/program \
             {DIR}/program\n{}",
            if tree.has_start { "" } else { start }
        ),
    };
    let program = format!("ENTRYPOINT [\"{DIR}/program\"]\n");
    let no_start = |kind: &dyn std::fmt::Display| {
        let known = tree.has_start || tree.kind.is_some_and(|kind| kind == Source::Dockerfile);
        if known { Ok(()) } else { Err(GenerateError::Start(kind.to_string())) }
    };
    Ok(match tree.kind {
        Some(Source::Node) => {
            let install =
                if has("package-lock.json") { "npm ci --omit=dev" } else { "npm install --omit=dev" };
            one_stage("node:lts-slim", install, "CMD [\"npm\", \"start\"]\n")
        }
        Some(kind @ Source::Python) => {
            let install = match has("requirements.txt") {
                true => "pip install --no-cache-dir -r requirements.txt",
                false => "pip install --no-cache-dir .",
            };
            let start = ["main.py", "app.py", "__main__.py"].into_iter().find(|file| has(file));
            if start.is_none() {
                no_start(&kind)?;
            }
            let start = start.map(|file| format!("CMD [\"python3\", \"{file}\"]\n")).unwrap_or_default();
            one_stage("python:3-slim", install, &start)
        }
        Some(Source::Rust) => {
            let build =
                "cargo install --path . --root /built && mv \"$(ls -d /built/bin/* | head -n 1)\" program";
            compiled("rust:1-slim", build, "debian:stable-slim", &program)
        }
        Some(Source::Go) => compiled("golang:1", "CGO_ENABLED=0 go build -o program .", "scratch", &program),
        Some(Source::Java) => {
            let (from, build) = match has("pom.xml") {
                true => ("maven:3-eclipse-temurin-21", "mvn -q package && mv target/*.jar program"),
                false => ("gradle:jdk21", "gradle -q build && mv build/libs/*.jar program"),
            };
            let start = format!("ENTRYPOINT [\"java\", \"-jar\", \"{DIR}/program\"]\n");
            compiled(from, build, "eclipse-temurin:21-jre", &start)
        }
        Some(Source::Dockerfile) | None => {
            no_start(&"files with a command that builds them")?;
            one_stage("scratch", "true", "")
        }
    })
}

/// The same image as an assembly makes, in the words of a Dockerfile: for people, who may go on from there.
#[must_use]
pub fn of_assembly(assembly: &Assembly, base: Option<&str>, file: &str) -> String {
    let mut text = format!("FROM {}\n", base.unwrap_or("scratch"));
    let _ = match &assembly.content {
        Content::File { path, mode } => writeln!(text, "COPY --chmod={mode:o} {file} {path}"),
        Content::Archive(_) => writeln!(text, "ADD {file} {DIR}/"),
    };
    text + &of_run(&assembly.run)
}

/// How an image is run, in the words of a Dockerfile.
#[must_use]
pub fn of_run(run: &Run) -> String {
    let words = |words: &[String]| {
        let quoted: Vec<String> = words.iter().map(|word| serde_json::json!(word).to_string()).collect();
        format!("[{}]", quoted.join(", "))
    };
    let mut text = String::new();
    for (key, value) in &run.env {
        text += &format!("ENV {key}={}\n", serde_json::json!(value));
    }
    for port in &run.ports {
        text += &format!("EXPOSE {port}/tcp\n");
    }
    for (word, value) in [("WORKDIR", &run.workdir), ("USER", &run.user)] {
        text += &value.as_ref().map(|value| format!("{word} {value}\n")).unwrap_or_default();
    }
    for (word, value) in [("ENTRYPOINT", &run.entrypoint), ("CMD", &run.command)] {
        if !value.is_empty() {
            text += &format!("{word} {}\n", words(value));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::Dockerfile;

    fn tree<'a>(kind: Source, names: &'a BTreeSet<String>) -> Tree<'a> {
        Tree { kind: Some(kind), names, name: "app", base: None, build: None, has_start: false }
    }

    #[test]
    fn each_kind_of_tree_gets_a_dockerfile_that_is_one() {
        let names =
            BTreeSet::from(["main.py".to_owned(), "requirements.txt".to_owned(), "pom.xml".to_owned()]);
        for kind in [Source::Node, Source::Python, Source::Rust, Source::Go, Source::Java] {
            let text = generate(&tree(kind, &names)).unwrap();
            assert!(!Dockerfile::parse(&text).unwrap().images().is_empty(), "{text}");
            assert!(text.contains("ENTRYPOINT") || text.contains("CMD"), "{text}");
            let own = Tree { base: Some("registry.holm/red/base:1"), ..tree(kind, &names) };
            let text = generate(&own).unwrap();
            let read = Dockerfile::parse(&text).unwrap();
            assert!(read.images().iter().eq(["registry.holm/red/base:1"]), "{text}");
        }
    }

    #[test]
    fn instructions_need_an_image_and_something_that_is_started() {
        let none = BTreeSet::new();
        let made = Tree { kind: None, build: Some("make"), ..tree(Source::Go, &none) };
        assert!(matches!(generate(&made), Err(GenerateError::Base(_))));
        let on = Tree { base: Some("gcc"), ..made };
        assert!(matches!(generate(&on), Err(GenerateError::Start(_))));
        let text = generate(&Tree { has_start: true, ..on }).unwrap();
        assert_eq!(text, "FROM gcc\nWORKDIR /app\nCOPY . .\nRUN make\n");
        assert!(generate(&tree(Source::Python, &none)).unwrap_err().to_string().contains("entrypoint"));
    }

    #[test]
    fn what_is_assembled_can_be_said_as_a_dockerfile() {
        let run = Run {
            entrypoint: vec!["/app/x".into(), "a b".into()],
            ports: vec![80],
            env: [("A".to_owned(), "b c".to_owned())].into(),
            ..Run::default()
        };
        let content = Content::File { path: "/app/x".into(), mode: 0o755 };
        let text = of_assembly(&Assembly { content, platform: None, run }, None, "x");
        Dockerfile::parse(&text).unwrap();
        assert!(text.contains("COPY --chmod=755 x /app/x\nENV A=\"b c\"\nEXPOSE 80/tcp\n"), "{text}");
        assert!(text.ends_with("ENTRYPOINT [\"/app/x\", \"a b\"]\n"), "{text}");
    }
}
