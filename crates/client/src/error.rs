//! What can go wrong, for people.

use holm_model::view::Problem;

/// A request was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is known to have happened; trying again is safe unless the answer was lost.
    #[error("{server} cannot be reached: {reason}; {hint}")]
    Unreachable { server: String, reason: String, hint: &'static str },
    /// An answer that goes on ended in the middle: the orchestrator has gone, or whoever it asked.
    #[error("the answer of {server} broke off: {reason}")]
    CutOff { server: String, reason: String },
    /// A file on this machine cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File { path: std::path::PathBuf, source: std::io::Error },
    /// The orchestrator said no, and why.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// Something answers there, but not as this version of Holm does.
    #[error("the answer of {server} is not understood: {reason}; is it an orchestrator of this version?")]
    Protocol { server: String, reason: String },
}

/// A client cannot be made of this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error("`{0}` is no server: give `host` or `host:port`")]
    Server(String),
    #[error(
        "the text is no API token: it starts with `holm-api.`; make one with `holm token create --role admin`"
    )]
    Token,
    #[error("`{0}` is no fingerprint: 64 hexadecimal digits, as the orchestrator prints when it starts")]
    Fingerprint(String),
    #[error("{0} is not on this machine, and plain HTTP would show the token on the way: use `https` there")]
    NotLoopback(std::net::SocketAddr),
    #[error(
        "whoever asks without a token has none to show to the cluster: name the root with `--server`, and give a token \
         (`holm token create --role admin`)"
    )]
    NoTokenForSibling,
}

/// Nobody can be shown to people at this address.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Unreachable(#[from] Error),
}

/// Nobody could be sent to a cluster.
#[derive(Debug, thiserror::Error)]
pub enum RedirectError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Asked(#[from] Error),
}

impl Error {
    /// The orchestrator's refusal, if that is what it is.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            Self::Unreachable { .. } | Self::CutOff { .. } | Self::File { .. } | Self::Protocol { .. } => {
                None
            }
        }
    }

    /// Whether the orchestrator knows no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.problem().is_some_and(|problem| problem.status == 404)
    }

    /// Whether whoever asks may not.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.problem().is_some_and(|problem| problem.status == 403)
    }
}
