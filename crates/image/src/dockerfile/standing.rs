//! Which images a Dockerfile stands on. Pure.
//!
//! Whoever builds takes any image that it has, whosesoever that is: so whatever two builders might read in two ways is
//! refused here, and what is left stands in the list.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::image;

use super::{DockerfileError, Instruction};

/// Values of `ARG`s before the first `FROM`; `None`: builders might give it others.
type Args = BTreeMap<String, Option<String>>;

/// Images that it stands on or copies from, each once; stages of its own and `scratch` are none.
pub(super) fn images(instructions: &[Instruction]) -> Result<BTreeSet<String>, DockerfileError> {
    let (mut images, mut args, mut stages) = (BTreeSet::new(), Args::new(), Vec::new());
    for one in instructions {
        let at = At(one.line);
        match one.word.as_str() {
            "ARG" if stages.is_empty() => define(&mut args, &one.rest, at)?,
            "FROM" => {
                let (_, words) = flags(&one.rest, &["platform"], at)?;
                let (image, stage) = match words.as_slice() {
                    [image] => (*image, None),
                    [image, word, stage] if word.eq_ignore_ascii_case("as") => (*image, Some(*stage)),
                    _ => return Err(at.odd("it is written `FROM IMAGE [AS STAGE]`")),
                };
                if stage.is_some_and(|stage| !stage.starts_with(|first: char| first.is_ascii_alphabetic())) {
                    return Err(at.odd("the name of a stage begins with a letter"));
                }
                let image = expand(image, &args, at)?;
                if image != "scratch" && !is_stage(&stages, &image) {
                    images.insert(named(image, at)?);
                }
                stages.push(stage.map(str::to_ascii_lowercase));
            }
            "COPY" => {
                let known = ["from", "chown", "chmod", "link", "parents", "exclude"];
                let (flags, _) = flags(&one.rest, &known, at)?;
                for image in flags.into_iter().filter_map(|(name, value)| (name == "from").then_some(value)) {
                    let image = image.unwrap_or_default();
                    // The stage that this stands in is none to copy from.
                    let before = &stages[..stages.len().saturating_sub(1)];
                    let is_number = image.parse().is_ok_and(|number: usize| number < before.len());
                    if !is_number && !is_stage(before, image) {
                        images.insert(named(image.to_owned(), at)?);
                    }
                }
            }
            "ADD" => {
                let known = ["chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack"];
                flags(&one.rest, &known, at)?;
            }
            "RUN" => {
                flags(&one.rest, &[], at)?;
            }
            _ => {}
        }
    }
    Ok(images)
}

/// Where something stands.
#[derive(Clone, Copy)]
struct At(usize);

impl At {
    fn odd(self, why: &str) -> DockerfileError {
        DockerfileError::Odd { line: self.0, why: why.to_owned() }
    }
}

fn is_stage(stages: &[Option<String>], name: &str) -> bool {
    stages.iter().flatten().any(|stage| stage.eq_ignore_ascii_case(name))
}

fn named(name: String, at: At) -> Result<String, DockerfileError> {
    match image::check(&name) {
        Ok(()) => Ok(name),
        Err(why) => Err(at.odd(&format!("`{name}`: {why}"))),
    }
}

type Flag<'a> = (&'a str, Option<&'a str>);

/// The flags that an instruction begins with, and the words after them.
fn flags<'a>(
    rest: &'a str,
    known: &[&str],
    at: At,
) -> Result<(Vec<Flag<'a>>, Vec<&'a str>), DockerfileError> {
    let mut flags = Vec::new();
    let mut words = rest.split_whitespace().peekable();
    while let Some(word) = words.next_if(|word| word.starts_with("--")) {
        let flag = &word[2..];
        let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
        if !known.contains(&name) {
            let known: Vec<String> = known.iter().map(|name| format!("`--{name}`")).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let name: String = name.chars().take(40).collect();
            return Err(at.odd(&format!("builders here do not take the flag `--{name}`; they take {known}")));
        }
        if flag.contains(['"', '\'', '\\']) {
            return Err(at.odd("write its flags without quotes and backslashes"));
        }
        flags.push((name, value));
    }
    Ok((flags, words.collect()))
}

fn define(args: &mut Args, rest: &str, at: At) -> Result<(), DockerfileError> {
    for word in rest.split_whitespace() {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let quoted = value.and_then(|value| {
            ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        });
        let value = quoted.or(value);
        if !is_variable(name) || value.is_some_and(|value| value.contains(['"', '\'', '\\'])) {
            return Err(at.odd(
                "before the first `FROM`, `ARG NAME=value` takes no blanks, quotes or backslashes in it",
            ));
        }
        let value = value.filter(|value| !value.contains('$') && !is_given(name)).map(str::to_owned);
        let again = args.contains_key(name);
        args.insert(name.to_owned(), value.filter(|_| !again));
    }
    Ok(())
}

fn is_variable(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// Whether builders have a value for it.
fn is_given(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    name.starts_with("TARGET") || name.starts_with("BUILD") || name.ends_with("_PROXY")
}

/// With the values of `$NAME`, `${NAME}` and `${NAME:-value}` in it.
fn expand(text: &str, args: &Args, at: At) -> Result<String, DockerfileError> {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        done.push_str(before);
        let odd =
            || at.odd(&format!("`{text}`: variables are written `$NAME`, `${{NAME}}` or `${{NAME:-value}}`"));
        let (name, fallback) = if let Some(inside) = after.strip_prefix('{') {
            let (inside, behind) = inside.split_once('}').ok_or_else(odd)?;
            rest = behind;
            inside.split_once(":-").map_or((inside, None), |(name, value)| (name, Some(value)))
        } else {
            let end = after.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            let (name, behind) = after.split_at(end.unwrap_or(after.len()));
            rest = behind;
            (name, None)
        };
        if !is_variable(name) || fallback.is_some_and(|value| value.contains('$')) {
            return Err(odd());
        }
        let value = match (args.get(name), fallback) {
            (Some(Some(value)), Some(fallback)) if value.is_empty() => fallback,
            (Some(Some(value)), _) => value,
            (None, Some(fallback)) if !is_given(name) => fallback,
            _ => {
                let why = "give it one value, with `ARG NAME=value` before the first `FROM`";
                return Err(at.odd(&format!("`{text}`: which value `{name}` has is not plain; {why}")));
            }
        };
        done.push_str(value);
    }
    done.push_str(rest);
    Ok(done)
}

#[cfg(test)]
mod tests {
    use crate::dockerfile::{Dockerfile, DockerfileError};

    fn images(text: &str) -> Vec<String> {
        Dockerfile::parse(text).unwrap().images().iter().cloned().collect()
    }

    #[test]
    fn images_are_those_of_others_and_not_its_own_stages() {
        let text = "# syntax\nARG V=1\nFROM --platform=linux/amd64 rust:1 AS Build\nFROM scratch\nCOPY --from=build /x /x\n\
                    COPY --from=0 --chown=1:1 /y /y\nCOPY --from=registry.holm/red/tools:1 /z /z\nFROM BUILD\nRUN --x || y\n";
        assert!(matches!(Dockerfile::parse(text), Err(DockerfileError::Odd { line: 9, .. })));
        let text =
            text.replace("RUN --x || y", "RUN y --mount=type=bind,from=x $((1 << 2)) $((1<<2)) a<<b <<<c");
        assert_eq!(images(&text), ["registry.holm/red/tools:1", "rust:1"]);
        // A stage comes before what is made of it.
        assert_eq!(images("FROM m\nCOPY --from=n / /\nFROM o AS n\nCOPY --from=m / /\n"), ["m", "n", "o"]);
    }

    #[test]
    fn variables_have_the_values_that_every_builder_gives_them() {
        let text = |image: &str| {
            format!(
                "ARG V=1 W=\"2\"\nARG E=\nARG X=m$V\nARG D\nARG T=1\nARG T=2\nFROM {image}\nARG V=3\nFROM m:1\n"
            )
        };
        for (image, is) in [
            ("m:${V}", "m:1"),
            ("m:$V", "m:1"),
            ("m:$W-slim", "m:2-slim"),
            ("${NONE:-b}:1", "b:1"),
            ("m:${E:-4}", "m:4"),
            ("m:${V:-4}", "m:1"),
            ("m$E:1", "m:1"),
        ] {
            let read = images(&text(image));
            assert!(read.contains(&is.to_owned()), "{image}: {read:?}");
        }
        for image in [
            "$NONE",
            "$D",
            "${D:-m}",
            "m:$X",
            "m:$T",
            "m:${V:+1}",
            "m:${V#1}",
            "$TARGETARCH",
            "${HTTP_PROXY:-m}",
            "${V",
            "$1",
            "$",
        ] {
            let read = Dockerfile::parse(&text(image));
            assert!(matches!(read, Err(DockerfileError::Odd { line: 7, .. })), "{image}: {read:?}");
        }
    }

    #[test]
    fn what_builders_might_read_in_two_ways_is_refused() {
        for (line, text) in [
            (1, "FROM \"a\"\n"),
            (1, "FROM m\\b\n"),
            (1, "FROM m b\n"),
            (1, "FROM --pull=x a\n"),
            (1, "FROM -- a\n"),
            (1, "FROM cafe\n"),
            (1, "FROM m AS 1\n"),
            (1, "FROM sha256:0123\n"),
            (1, "FROM oci:x\n"),
            (1, "FROM built.holm/red/web\n"),
            (1, "ARG X=\"a Y=b c\"\nFROM $Y\n"),
            (2, "FROM m\nCOPY --from=\"b\" / /\n"),
            (2, "FROM m\nCOPY --from=$X / /\n"),
            (2, "FROM m\nCOPY --from b / /\n"),
            (2, "FROM m\nCOPY --from=0 / /\n"),
            (2, "FROM m\nCOPY --from=7 / /\n"),
            (2, "FROM m\nADD --from=b / /\n"),
            (2, "FROM m\nRUN --mount=type=bind,from=b,target=/b x\n"),
            (2, "FROM m\nRUN cat <<EOF\nEOF\n"),
            (2, "FROM m\nCOPY <<-\"E\" /x\nE\n"),
            (2, "FROM m\nRUN cat 3<<E\nE\n"),
        ] {
            match Dockerfile::parse(text) {
                Err(DockerfileError::Odd { line: said, .. }) => assert_eq!(said, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
