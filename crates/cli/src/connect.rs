//! Which orchestrator a command talks to, and as whom.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use holm_client::{Client, RedirectError, SetupError};
use holm_model::name::Name;
use holm_model::view::Problem;

use crate::contexts::{Context, Contexts};
use crate::failure::{Failure, chain};
use crate::output::clean;
use crate::output::time::now;
use crate::roles::{SOCKET, directory};
use crate::secret;

/// Where an orchestrator is. Without any of these: the current context, then the socket in the
/// default data directory of a root, then of a cluster.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connect {
    /// An orchestrator that `holm login` knows [env: HOLM_CONTEXT]
    #[arg(long, value_name = "NAME", global = true, conflicts_with_all = ["server", "socket"])]
    context: Option<String>,
    /// An orchestrator on another machine (`host:port`), or `http://` on this one [env: HOLM_SERVER]
    #[arg(long, value_name = "ADDRESS", global = true)]
    server: Option<String>,
    /// Who you are for --server; better given by the environment or a file, which `ps` does not show
    #[arg(long, env = "HOLM_API_TOKEN", hide_env_values = true, value_name = "TOKEN", global = true)]
    api_token: Option<String>,
    /// A file that holds the API token
    #[arg(long, env = "HOLM_API_TOKEN_FILE", value_name = "FILE", global = true)]
    api_token_file: Option<PathBuf>,
    /// An orchestrator on this machine, by its `api.sock` [env: HOLM_SOCKET]
    #[arg(long, value_name = "PATH", global = true, conflicts_with = "server")]
    socket: Option<PathBuf>,
}

/// The way to an orchestrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Context {
        name: String,
        context: Context,
    },
    Server(String),
    Socket(PathBuf),
    /// Whatever runs on this machine.
    Local,
}

/// What somebody said, by flags or by the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    context: Option<String>,
    server: Option<String>,
    socket: Option<PathBuf>,
}

/// A command with its connection.
#[derive(Args, Debug)]
pub(crate) struct At<T: Args> {
    #[command(flatten)]
    pub(crate) args: T,
    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// Of applications whose project nobody names.
const USUAL_PROJECT: &str = "default";

// === impl Connect ===

impl Connect {
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        match self.way()? {
            Way::Context { name, context } => self.by_context(&name, &context),
            Way::Server(server) => self.remote(&server),
            Way::Socket(socket) => Ok(Client::unix(socket)),
            Way::Local => {
                let tried = ["root", "cluster"].map(|role| directory(role).join(SOCKET));
                let there = tried.iter().find(|path| path.exists());
                there.map(Client::unix).ok_or_else(|| nowhere(&tried))
            }
        }
    }

    /// What the flags among `words` say, which need not make a whole command.
    pub(crate) fn of_words(words: &[String]) -> Self {
        let given = |name: &str, of: &str| flag(words, name).or_else(|| std::env::var(of).ok());
        Self {
            context: flag(words, "--context"),
            server: flag(words, "--server"),
            api_token: given("--api-token", "HOLM_API_TOKEN"),
            api_token_file: given("--api-token-file", "HOLM_API_TOKEN_FILE").map(PathBuf::from),
            socket: flag(words, "--socket").map(PathBuf::from),
        }
    }

    /// Flags win over the environment, which wins over the current context.
    pub(crate) fn way(&self) -> Result<Way, Failure> {
        // Which is why clap does not read these variables.
        let flags =
            Said { context: self.context.clone(), server: self.server.clone(), socket: self.socket.clone() };
        let environment = Said {
            context: variable("HOLM_CONTEXT")?,
            server: variable("HOLM_SERVER")?,
            socket: variable("HOLM_SOCKET")?.map(PathBuf::from),
        };
        choose(flags, environment, Contexts::read)
    }

    /// The project that a command is about: what was said to it, or the context's, or the usual one.
    pub(crate) fn project(&self, said: Option<&Name>) -> Result<Name, Failure> {
        match self.project_if_any(said)? {
            Some(project) => Ok(project),
            None => USUAL_PROJECT.parse().map_err(|e| Failure::from_error("a bug", &e)),
        }
    }

    /// As [`Connect::project`], for commands that look at all projects when nothing is said.
    pub(crate) fn project_if_any(&self, said: Option<&Name>) -> Result<Option<Name>, Failure> {
        Ok(match (said, self.way()?) {
            (Some(said), _) => Some(said.clone()),
            (None, Way::Context { context, .. }) => context.project,
            (None, _) => None,
        })
    }

    /// A variable that is empty says nothing, as everywhere.
    fn api_token(&self) -> Result<Option<String>, Failure> {
        let given = self.api_token.clone().filter(|token| !token.is_empty());
        secret::given_or_in(given, self.api_token_file.as_deref())
    }

    fn by_context(&self, name: &str, context: &Context) -> Result<Client, Failure> {
        let given = self.api_token()?;
        let token = match &given {
            Some(token) => token,
            None => context.token(name, now())?,
        };
        Ok(Client::pinned(&context.server, context.root()?, Some(token))?)
    }

    fn remote(&self, server: &str) -> Result<Client, Failure> {
        let token = self.api_token()?;
        if let Some(address) = server.strip_prefix("http://") {
            let address: SocketAddr = address.trim_end_matches('/').parse().map_err(|_| {
                Failure::wrong_use(format!(
                    "`{server}` is no address: plain HTTP needs http://127.0.0.1:PORT"
                ))
            })?;
            return Ok(Client::http(address, token.as_deref())?);
        }
        let token = token.ok_or_else(|| {
            Failure::new(format!("no API token for {server}"))
                .hint("log in with `holm login`, or set HOLM_API_TOKEN or --api-token-file; `holm token create` makes one")
        })?;
        Ok(Client::https(server, &token)?)
    }
}

/// The value of a flag among the words of a command line, written as `--flag value` or `--flag=value`.
pub(crate) fn flag(words: &[String], flag: &str) -> Option<String> {
    let behind = words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1));
    let within =
        || words.iter().find_map(|word| word.strip_prefix(flag)?.strip_prefix('=').map(str::to_owned));
    behind.cloned().or_else(within)
}

/// `contexts` are looked at only where they matter: a damaged file stops nobody who says where to go.
fn choose(
    flags: Said,
    environment: Said,
    contexts: impl FnOnce() -> Result<Contexts, Failure>,
) -> Result<Way, Failure> {
    let named = |name: String, contexts: Contexts| {
        let context = contexts.get(&name)?.clone();
        Ok(Way::Context { name, context })
    };
    let said = if flags == Said::default() { environment } else { flags };
    match said {
        Said { context: Some(name), server: None, socket: None } => named(name, contexts()?),
        Said { context: None, server: Some(server), socket: None } => Ok(Way::Server(server)),
        Said { context: None, server: None, socket: Some(socket) } => Ok(Way::Socket(socket)),
        Said { context: None, server: None, socket: None } => {
            let contexts = contexts()?;
            let current = contexts.current().map(|(name, _)| name.to_owned());
            current.map_or(Ok(Way::Local), |name| named(name, contexts))
        }
        Said { context, server, .. } => {
            let first = if context.is_some() { "HOLM_CONTEXT" } else { "HOLM_SERVER" };
            let second = if context.is_some() && server.is_some() { "HOLM_SERVER" } else { "HOLM_SOCKET" };
            Err(Failure::wrong_use(format!("both {first} and {second} are set"))
                .hint("unset one of them, or say --context, --server or --socket"))
        }
    }
}

/// An environment variable that is not empty.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(Failure::wrong_use(format!("{name}: {error}"))),
    }
}

fn nowhere(tried: &[PathBuf]) -> Failure {
    let tried: Vec<_> = tried.iter().map(|path| path.display().to_string()).collect();
    Failure::new(format!("no orchestrator was found: nothing at {}", tried.join(" nor at ")))
        .hint("start one with `holm root` (or try `holm demo`), log in to one with `holm login HOST:PORT`, or name its socket with --socket PATH")
}

// === impl Failure ===

impl From<holm_client::Error> for Failure {
    fn from(error: holm_client::Error) -> Self {
        match error {
            holm_client::Error::Unreachable { server, reason, hint } => {
                Self::new(format!("{server} cannot be reached: {reason}")).hint(hint)
            }
            holm_client::Error::Problem(problem) => problem_failure(&problem),
            other @ (holm_client::Error::CutOff { .. }
            | holm_client::Error::File { .. }
            | holm_client::Error::Protocol { .. }) => Self::new(chain(&other)),
        }
    }
}

fn problem_failure(problem: &Problem) -> Failure {
    let failure = Failure::new(problem.to_string().lines().map(clean).collect::<Vec<_>>().join("\n"));
    match problem.status {
        401 => failure
            .hint("log in with `holm login`, or give an API token with --api-token-file or HOLM_API_TOKEN"),
        412 => failure.hint("somebody else changed it meanwhile: look again, then try again"),
        _ => failure,
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        Self::wrong_use(error)
    }
}

impl From<RedirectError> for Failure {
    fn from(error: RedirectError) -> Self {
        match error {
            RedirectError::Setup(error) => error.into(),
            RedirectError::Asked(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contexts() -> Contexts {
        let context = |server: &str| Context {
            server: server.to_owned(),
            fingerprint: String::new(),
            person: "ada".to_owned(),
            session: None,
            project: None,
        };
        let mut contexts = Contexts::default();
        contexts.put("blue", context("blue:1"));
        contexts.put("red", context("red:1"));
        contexts
    }

    fn chosen(flags: Said, environment: Said) -> String {
        match choose(flags, environment, || Ok(contexts())) {
            Ok(Way::Context { name, .. }) => name,
            Ok(Way::Server(server)) => server,
            Ok(Way::Socket(path)) => path.display().to_string(),
            Ok(Way::Local) => "local".to_owned(),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_current_context() {
        let context = |name: &str| Said { context: Some(name.into()), ..Said::default() };
        let server = || Said { server: Some("s:1".into()), ..Said::default() };
        let socket = || Said { socket: Some("/s".into()), ..Said::default() };
        assert_eq!(chosen(server(), context("red")), "s:1");
        assert_eq!(chosen(context("red"), server()), "red");
        assert_eq!(chosen(Said::default(), socket()), "/s");
        assert_eq!(chosen(Said::default(), Said::default()), "blue");
        assert!(chosen(context("green"), Said::default()).contains("no context `green`"));
        let both = Said { context: Some("red".into()), ..socket() };
        assert_eq!(chosen(Said::default(), both.clone()), "both HOLM_CONTEXT and HOLM_SOCKET are set");
        assert_eq!(chosen(socket(), both), "/s");
    }

    #[test]
    fn flags_are_found_in_a_line_that_is_being_typed() {
        let words =
            ["holm", "get", "instances", "--context", "red", "-p=blue", "--node", ""].map(String::from);
        assert_eq!(flag(&words, "--context").as_deref(), Some("red"));
        assert_eq!(flag(&words, "-p").as_deref(), Some("blue"));
        assert_eq!(flag(&words, "--server"), None);
        assert_eq!(Connect::of_words(&words).context.as_deref(), Some("red"));
    }

    #[test]
    fn a_damaged_file_stops_nobody_who_says_where_to_go() {
        let damaged = || Err(Failure::new("damaged"));
        let socket = Said { socket: Some("/s".into()), ..Said::default() };
        assert_eq!(choose(socket, Said::default(), damaged).unwrap(), Way::Socket("/s".into()));
        assert!(choose(Said::default(), Said::default(), damaged).is_err());
        let none = || Ok(Contexts::default());
        assert_eq!(choose(Said::default(), Said::default(), none).unwrap(), Way::Local);
    }
}
