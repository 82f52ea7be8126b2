//! What is admitted, and will probably not run: told at once, since a slot that waits for ever tells it late.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::name::Name;
use holm_model::service::{Application, SecretUse, ServiceSpec};

use super::Orchestrator;
use super::members::Live;

impl Orchestrator {
    /// For people, each with its place in the manifest.
    pub(super) fn advice(&self, application: &Application) -> Vec<String> {
        let mut told = self.missing_runtimes(application);
        told.extend(self.missing_labels(application));
        told.extend(
            application.services.iter().flat_map(|(name, service)| open_secrets(name, &service.spec.env)),
        );
        let services = || application.services.iter();
        told.extend(services().flat_map(|(name, service)| open_words(name, &service.spec.command)));
        told.extend(services().flat_map(|(name, service)| kept_by_engine(name, &service.spec)));
        told
    }

    fn missing_runtimes(&self, application: &Application) -> Vec<String> {
        let known: BTreeSet<&str> = self.live.values().flat_map(runtimes).collect();
        // Nobody has reported yet: any runtime may come.
        if known.is_empty() {
            return Vec::new();
        }
        let names = || known.iter().copied().collect::<Vec<_>>().join("`, `");
        let services = application.services.iter();
        let missing = services.filter(|(_, service)| !known.contains(service.spec.runtime.as_str()));
        let told = missing.map(|(name, service)| {
            let runtime = &service.spec.runtime;
            format!("services.{name}.runtime: no node has the runtime `{runtime}`; there is `{}`", names())
        });
        told.collect()
    }
}

/// Variables whose value stands in the manifest, where everybody can read it, though it looks like a secret.
fn open_secrets(service: &Name, env: &BTreeMap<String, String>) -> impl Iterator<Item = String> {
    let open =
        env.iter().filter(|(name, value)| is_secret(value) || looks_secret(name) && !value.trim().is_empty());
    open.map(move |(name, _)| {
        format!(
            "services.{service}.env.{name}: looks like a secret, and whoever may read the application can read it \
             here; `holm secret set` it, and name it in `secrets: {{ NAME: {{ env: {name} }} }}`"
        )
    })
}

/// Words of a command that look like secrets: `--password=…`, or what [`is_secret`] knows.
fn open_words<'a>(service: &'a Name, command: &'a [String]) -> impl Iterator<Item = String> {
    let open = command.iter().enumerate().filter(|(_, word)| is_secret_word(word));
    open.map(move |(place, _)| {
        format!(
            "services.{service}.command[{place}]: looks like a secret, and whoever may read the application, or list \
             processes on the node, can read it here; `holm secret set` it, and give it as a file or in the environment"
        )
    })
}

/// Secrets in the environment of containers, which engines write down.
fn kept_by_engine(service: &Name, spec: &ServiceSpec) -> impl Iterator<Item = String> {
    let container = spec.runtime == *"container";
    let env = spec.secrets.iter().filter(move |(_, usage)| container && matches!(usage, SecretUse::Env(_)));
    env.map(move |(name, _)| {
        format!(
            "services.{service}.secrets.{name}: a container engine keeps the environment on its node's disk; with \
             `file: true` the secret stays in memory"
        )
    })
}

/// A word of a command.
pub(super) fn is_secret_word(word: &str) -> bool {
    let option = word.strip_prefix('-').and_then(|word| word.split_once('='));
    let named =
        option.is_some_and(|(name, value)| looks_secret(&name.replace('-', "_")) && !value.is_empty());
    named || is_secret(word)
}

/// By its name; `…_FILE` and `…_PATH` only say where a secret is.
pub(super) fn looks_secret(name: &str) -> bool {
    const WORDS: [&str; 7] =
        ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY", "PRIVATE_KEY", "ACCESS_KEY"];
    let name = name.to_ascii_uppercase();
    let elsewhere = ["_FILE", "_PATH", "_DIR", "_URL"].iter().any(|end| name.ends_with(end));
    !elsewhere && WORDS.iter().any(|word| name.contains(word))
}

/// By its value, whatever it is called: a private key, an address with a password, or a token of a kind that is known
/// by its beginning.
pub(super) fn is_secret(value: &str) -> bool {
    const BEGINNINGS: [&str; 7] =
        ["holm-api.", "holm-join.", "ghp_", "github_pat_", "glpat-", "AKIA", "xoxb-"];
    let value = value.trim_start();
    let address = value.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    let login = address.and_then(|host| host.rsplit_once('@')).and_then(|(login, _)| login.split_once(':'));
    login.is_some_and(|(_, password)| !password.is_empty() && !password.starts_with("{{"))
        || value.contains("PRIVATE KEY-----")
        || BEGINNINGS.iter().any(|beginning| value.starts_with(beginning))
}

/// Runtimes that are ready on a node, or somewhere in a cluster.
fn runtimes(live: &Live) -> impl Iterator<Item = &str> {
    let own = live.facts.iter().flat_map(|facts| &facts.runtimes);
    let own = own.filter(|runtime| runtime.unavailable.is_none()).map(|runtime| runtime.name.as_str());
    let below = live.aggregate.classes.iter().flat_map(|class| &class.capabilities);
    own.chain(below.filter(|c| c.kind.as_str() == "runtime").map(|c| c.name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_manifest_is_told_without_being_shown() {
        let web = Name::new("web").unwrap();
        let env = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        for name in ["DB_PASSWORD", "SECRET_KEY_BASE", "GITHUB_TOKEN", "API_KEY", "Tls_Private_Key"] {
            let told: Vec<String> = open_secrets(&web, &env(name, "hunter2")).collect();
            assert!(told.len() == 1 && told[0].contains(name) && !told[0].contains("hunter"), "{told:?}");
        }
        let address = "postgres://me:hunter2@db:5432/shop";
        for value in ["-----BEGIN EC PRIVATE KEY-----\nhunter2", "holm-api.hunter2", "AKIAHUNTER2", address] {
            let told: Vec<String> = open_secrets(&web, &env("SETTING", value)).collect();
            assert!(told.len() == 1 && !told[0].to_lowercase().contains("hunter"), "{told:?}");
        }
        for (name, value) in [("LOG", "debug"), ("DB_PASSWORD_FILE", "/run/x"), ("DB_PASSWORD", "")] {
            assert_eq!(open_secrets(&web, &env(name, value)).count(), 0, "{name}");
        }
        for value in ["http://a:80/x@y:z", "postgres://me@db/shop", "http://me:@db"] {
            assert_eq!(open_secrets(&web, &env("URL", value)).count(), 0, "{value}");
        }
        let command = ["serve", "--password=hunter2", "--token-file=/x", "-v", address].map(str::to_owned);
        let told: Vec<String> = open_words(&web, &command).collect();
        assert!(told.len() == 2 && told[0].starts_with("services.web.command[1]: "), "{told:?}");
        assert!(told.iter().all(|told| !told.contains("hunter")), "{told:?}");
    }
}
