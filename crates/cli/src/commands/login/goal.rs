//! Where to log in, as whom, and which sea must answer there.

use holm_client::{Fingerprint, LookError};
use holm_model::name::Name;

use super::Login;
use super::proof::Link;
use crate::contexts::{Context, Contexts};
use crate::failure::Failure;
use crate::prompt;

#[derive(Debug)]
pub(super) struct Goal {
    /// `host:port`.
    pub(super) server: String,
    /// The context's name.
    pub(super) context: String,
    /// None: nobody has said yet which sea is meant.
    pub(super) root: Option<Fingerprint>,
    pub(super) person: Option<String>,
}

// === impl Goal ===

impl Goal {
    pub(super) fn of(login: &Login, link: Option<&Link>, contexts: &Contexts) -> Result<Self, Failure> {
        let asked = login.server.as_deref().or(link.map(|link| link.server.as_str()));
        let asked = asked.map(holm_client::address).transpose()?;
        let known = known(login.context.as_deref(), asked.as_deref(), contexts);
        let Some(server) = asked.or_else(|| known.map(|(_, context)| context.server.clone())) else {
            return Err(nowhere(login.context.as_deref()));
        };
        let said = login.fingerprint.as_deref().map(str::parse::<Fingerprint>).transpose()?;
        let said = said.or(link.map(|link| link.root));
        let root = pinned(said, &server, known)?;
        let context = match (&login.context, known) {
            (Some(name), _) => name.clone(),
            (None, Some((name, _))) => name.to_owned(),
            (None, None) => free_name(&server, contexts),
        };
        let person = login.name.as_ref().map(Name::to_string);
        // The first administrator is somebody new.
        let before = known.filter(|_| link.is_none()).map(|(_, context)| context.person.clone());
        Ok(Self { server, context, root, person: person.or(before) })
    }

    /// The sea that must answer: as it is known, or as somebody says who looks at its fingerprint.
    pub(super) async fn believe(&self) -> Result<Fingerprint, Failure> {
        if let Some(root) = self.root {
            return Ok(root);
        }
        let (server, seen) = (&self.server, holm_client::look(&self.server).await?);
        if !prompt::is_terminal() {
            return Err(Failure::new(format!(
                "it is not known yet which sea {server} has to be of; the one that answers now is\n  {seen}"
            ))
            .hint("compare it with what the orchestrator printed when it started, then say it with --fingerprint"));
        }
        eprintln!("{server} is not known here yet. The fingerprint of the sea that answers is\n  {seen}");
        eprintln!(
            "The orchestrator prints its own when it starts, and `holm status` shows it on its machine."
        );
        match prompt::yes("Are they the same?")? {
            true => Ok(seen),
            false => Err(Failure::new("not logged in: the fingerprint was not confirmed")
                .hint("somebody may stand between; ask whoever runs the orchestrator")),
        }
    }
}

/// The context that is meant: by its name, by its server, or the current one.
fn known<'a>(
    name: Option<&str>,
    server: Option<&str>,
    contexts: &'a Contexts,
) -> Option<(&'a str, &'a Context)> {
    let mut all = contexts.all.iter().map(|(name, context)| (name.as_str(), context));
    match (name, server) {
        (Some(name), _) => all.find(|(known, _)| *known == name),
        (None, Some(server)) => all.find(|(_, context)| context.server == server),
        (None, None) => contexts.current(),
    }
}

/// A context believes one sea; another one needs another context.
fn pinned(
    said: Option<Fingerprint>,
    server: &str,
    known: Option<(&str, &Context)>,
) -> Result<Option<Fingerprint>, Failure> {
    let Some((name, context)) = known else { return Ok(said) };
    let root = context.root()?;
    if context.server != server || said.is_some_and(|said| said != root) {
        let what = match context.server == server {
            true => format!("context `{name}` has another fingerprint for {server}: {root}"),
            false => format!("context `{name}` is for {}, not for {server}", context.server),
        };
        return Err(Failure::new(what).hint(format!(
            "choose another name with --context, or forget it with `holm context rm {name}` if you know why it changed"
        )));
    }
    Ok(Some(root))
}

/// The server's name, if no other context has it.
fn free_name(server: &str, contexts: &Contexts) -> String {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    if contexts.all.contains_key(host) { server.to_owned() } else { host.to_owned() }
}

fn nowhere(context: Option<&str>) -> Failure {
    let hint = match context {
        Some(name) => format!("`holm login HOST:PORT --context {name}` makes it"),
        None => "name the root, as in `holm login root.example:7700`".to_owned(),
    };
    match context {
        Some(name) => {
            Failure::wrong_use(format!("there is no context `{name}` yet, and no server was named"))
        }
        None => Failure::wrong_use("there is no current context, and no server was named"),
    }
    .hint(hint)
}

impl From<LookError> for Failure {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Setup(error) => error.into(),
            LookError::Unreachable(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(server: &str, byte: &str) -> Context {
        let (server, fingerprint) = (server.to_owned(), byte.repeat(32));
        Context { server, fingerprint, person: "ada".to_owned(), session: None, project: None }
    }

    fn contexts() -> Contexts {
        let mut contexts = Contexts::default();
        contexts.put("root.example", context("root.example:7700", "aa"));
        contexts
    }

    #[test]
    fn a_server_is_found_again_by_its_address() {
        let contexts = contexts();
        assert_eq!(known(None, Some("root.example:7700"), &contexts).unwrap().0, "root.example");
        assert!(known(None, Some("root.example:7701"), &contexts).is_none());
        assert!(known(None, None, &contexts).is_some());
        assert_eq!(free_name("root.example:7701", &contexts), "root.example:7701");
        assert_eq!(free_name("[::1]:7700", &contexts), "[::1]");
    }

    #[test]
    fn a_context_believes_one_sea() {
        let contexts = contexts();
        let known = known(Some("root.example"), None, &contexts);
        let [same, other] = ["aa", "bb"].map(|byte| byte.repeat(32).parse().ok());
        assert_eq!(pinned(None, "root.example:7700", known).unwrap(), same);
        assert_eq!(pinned(same, "root.example:7700", known).unwrap(), same);
        assert!(pinned(other, "root.example:7700", known).is_err());
        assert!(pinned(same, "elsewhere:7700", known).is_err());
        assert_eq!(pinned(other, "elsewhere:7700", None).unwrap(), other);
    }
}
