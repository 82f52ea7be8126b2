//! Which orchestrator a command talks to, and as whom.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use holm_client::{Client, SetupError};
use holm_model::view::Problem;

use crate::failure::{Failure, chain};
use crate::output::clean;
use crate::{roles::directory, secret};

/// Where an orchestrator is. Without any of these: the socket in the default data directory of a
/// root, then of a cluster.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connect {
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

/// A command with its connection.
#[derive(Args, Debug)]
pub(crate) struct At<T: Args> {
    #[command(flatten)]
    pub(crate) args: T,
    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// An orchestrator's socket in its data directory.
pub(crate) const SOCKET: &str = "api.sock";

// === impl Connect ===

impl Connect {
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        // A flag wins over any environment variable, so clap does not read these two.
        match (&self.server, &self.socket) {
            (Some(server), _) => return self.remote(server),
            (None, Some(socket)) => return Ok(Client::unix(socket)),
            (None, None) => {}
        }
        match (variable("HOLM_SERVER")?, variable("HOLM_SOCKET")?) {
            (Some(server), None) => return self.remote(&server),
            (None, Some(socket)) => return Ok(Client::unix(socket)),
            (Some(_), Some(_)) => {
                return Err(Failure::wrong_use("both HOLM_SERVER and HOLM_SOCKET are set")
                    .hint("unset one of them, or say --server or --socket"));
            }
            (None, None) => {}
        }
        let tried = ["root", "cluster"].map(|role| directory(role).join(SOCKET));
        tried.iter().find(|path| path.exists()).map(Client::unix).ok_or_else(|| nowhere(&tried))
    }

    fn remote(&self, server: &str) -> Result<Client, Failure> {
        let token = secret::given_or_in(self.api_token.clone(), self.api_token_file.as_deref())?;
        if let Some(address) = server.strip_prefix("http://") {
            let address: SocketAddr = address.trim_end_matches('/').parse().map_err(|_| {
                Failure::wrong_use(format!(
                    "`{server}` is no address: plain HTTP needs http://127.0.0.1:PORT"
                ))
            })?;
            return Ok(Client::http(address, token.as_deref())?);
        }
        let token = token.ok_or_else(|| {
            Failure::wrong_use(format!("no API token for {server}"))
                .hint("make one with `holm token create --role admin` beside the orchestrator, then set HOLM_API_TOKEN or --api-token-file")
        })?;
        Ok(Client::https(server, &token)?)
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
        .hint("start one with `holm root` (or try `holm demo`), or name one with --socket PATH or --server HOST:PORT and HOLM_API_TOKEN")
}

// === impl Failure ===

impl From<holm_client::Error> for Failure {
    fn from(error: holm_client::Error) -> Self {
        match error {
            holm_client::Error::Unreachable { server, reason, hint } => {
                Self::new(format!("{server} cannot be reached: {reason}")).hint(hint)
            }
            holm_client::Error::Problem(problem) => problem_failure(&problem),
            other @ (holm_client::Error::CutOff { .. } | holm_client::Error::Protocol { .. }) => {
                Self::new(chain(&other))
            }
        }
    }
}

fn problem_failure(problem: &Problem) -> Failure {
    let failure = Failure::new(problem.to_string().lines().map(clean).collect::<Vec<_>>().join("\n"));
    match problem.status {
        401 => failure.hint("give an API token with --api-token-file or HOLM_API_TOKEN; `holm token create --role admin` makes one"),
        412 => failure.hint("somebody else changed it meanwhile: look again, then try again"),
        _ => failure,
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        Self::wrong_use(error)
    }
}
