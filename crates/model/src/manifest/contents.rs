//! Secrets and files that a service is given, and what happens when one of them changes.

use std::collections::{BTreeMap, BTreeSet};

use super::keys;
use super::parts::path;
use super::read::{At, Fields};
use crate::name::Name;
use crate::service::{FileUse, OnChange, SecretUse, Signal};

const SECRET: &str = "`{ env: VARIABLE }` or `{ file: true }`";
const ON_CHANGE: &str = "`restart`, `nothing` or `{ signal: HUP }`";

pub(super) fn secrets(at: &At<'_>) -> Option<BTreeMap<Name, SecretUse>> {
    let entries = at.entries("a mapping of secrets, as in `db-password: { env: DB_PASSWORD }`", name)?;
    let mut variables = BTreeSet::new();
    let mut secrets = BTreeMap::new();
    for (name, at) in entries {
        let Some(usage) = secret(&at) else { continue };
        if let SecretUse::Env(variable) = &usage
            && !variables.insert(variable.clone())
        {
            at.refuse::<()>(format_args!("`{variable}` is already that of another secret"));
        }
        secrets.insert(name, usage);
    }
    Some(secrets)
}

fn secret(at: &At<'_>) -> Option<SecretUse> {
    let fields = at.fields(SECRET, &keys::SECRET)?;
    match (fields.get("env"), fields.get("file")) {
        (Some(env), None) => {
            let text = env.text("a variable's name")?;
            variable(text).map_or_else(|error| env.refuse(error), |name| Some(SecretUse::Env(name)))
        }
        (None, Some(file)) => match file.switch()? {
            true => Some(SecretUse::File),
            false => file.refuse(format_args!("expected {SECRET}, found `false`")),
        },
        (Some(_), Some(_)) => at.refuse(format_args!("expected {SECRET}, found both")),
        (None, None) => at.refuse(format_args!("expected {SECRET}, found neither")),
    }
}

/// `bare`: the instance sees the node's own files, so nothing can be put at a path of its own.
pub(super) fn files(at: &At<'_>, bare: bool) -> Option<BTreeMap<Name, FileUse>> {
    let entries = at.entries("a mapping of files, as in `app-conf: { path: /etc/app.conf }`", name)?;
    let mut paths = BTreeSet::new();
    let mut files = BTreeMap::new();
    for (name, at) in entries {
        let Some(usage) = file(&at, &name, bare) else { continue };
        if let Some(path) = &usage.path
            && !paths.insert(path.clone())
        {
            at.refuse::<()>(format_args!("`{path}` is already the path of another file"));
        }
        files.insert(name, usage);
    }
    Some(files)
}

fn file(at: &At<'_>, name: &Name, bare: bool) -> Option<FileUse> {
    let fields = at.fields("a mapping with `path` and `mode`", &keys::FILE)?;
    let path = fields.optional("path", |at| {
        if bare {
            return at.refuse_key(format_args!(
                "a process sees the node's own files; it finds this one as `$HOLM_FILES/{name}`"
            ));
        }
        path(at.text("a path")?, at)
            .filter(|path| !path.contains(':'))
            .or_else(|| at.refuse("a path has no `:`"))
    });
    let mode = fields.get("mode").map_or(Some(FileUse::MODE), mode);
    Some(FileUse { path: path?, mode: mode? })
}

fn mode(at: &At<'_>) -> Option<u32> {
    const WHAT: &str = "three octal digits, as in `\"0444\"`";
    let text = at.text(WHAT)?;
    let digits = text.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(text);
    let mode = u32::from_str_radix(digits, 8).ok().filter(|_| digits.len() == 3);
    mode.or_else(|| at.refuse(format_args!("expected {WHAT}, found {}", at.found())))
}

pub(super) fn on_change(at: &At<'_>) -> Option<OnChange> {
    match at.scalar() {
        Some("restart") => Some(OnChange::Restart),
        Some("nothing") => Some(OnChange::Nothing),
        Some(_) => at.refuse(format_args!("expected {ON_CHANGE}, found {}", at.found())),
        None => {
            let fields = at.fields(ON_CHANGE, &keys::ON_CHANGE)?;
            let words = Signal::ALL.map(|signal| (signal.word(), signal));
            let signal = fields.required("signal", "what is sent, as in `HUP`")?;
            signal.one_of(&words).map(OnChange::Signal)
        }
    }
}

/// What only together makes no sense.
pub(super) fn check(fields: &Fields<'_>, secrets: &BTreeMap<Name, SecretUse>, on_change: OnChange) {
    let env = fields.get("env").filter(|at| at.is_map());
    let literal: BTreeSet<&str> = env.iter().flat_map(|at| at.node().pairs().map(|(key, _)| key)).collect();
    for (name, usage) in secrets {
        let (SecretUse::Env(variable), Some(at)) = (usage, fields.get("secrets")) else { continue };
        if literal.contains(variable.as_str()) {
            at.refuse::<()>(format_args!("`{variable}` of `{name}` stands in `env`, too"));
        }
        if let (OnChange::Signal(_), Some(at)) = (on_change, fields.get("on-change")) {
            at.refuse::<()>(format_args!(
                "the environment of what runs cannot change: use `file: true` for the secret `{name}`, or `restart`"
            ));
        }
    }
}

fn name(key: &str) -> Result<Name, String> {
    Name::new(key).map_err(|error| error.to_string())
}

/// The rule of an environment variable's name.
pub(super) fn variable(key: &str) -> Result<String, String> {
    let tail = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if key.bytes().all(tail) && !key.is_empty() && !key.as_bytes()[0].is_ascii_digit() {
        Ok(key.to_owned())
    } else {
        Err("expected a variable's name: letters, digits and `_`, not starting with a digit".to_owned())
    }
}
