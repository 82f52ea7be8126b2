//! The node is told to go to another orchestrator: it joins there, and its link does the rest.

use std::time::Duration;

use holm_link::clock::Clock;
use holm_link::join;
use holm_link::token::{JoinToken, ParseTokenError, Role};
use holm_model::transfer::Secret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::link::{Order, chain};
use crate::membership::Applicant;
use crate::memberships::Other;

/// Takes this node elsewhere.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) applicant: Applicant,
    pub(crate) clock: Clock,
    pub(crate) link: mpsc::UnboundedSender<Order>,
}

/// The node stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    #[error("the invitation cannot be read: {0}")]
    Token(#[from] ParseTokenError),
    #[error("the invitation is not for a node")]
    Role,
    #[error("the node stays where it is: at `{address}`, {reason}")]
    Join { address: String, reason: String },
    #[error("the node stays where it is: {0}")]
    Stays(String),
}

/// For joining as a whole. Whoever asks waits ten seconds for the first word: he must hear that the node stays before
/// he takes it for lost, or it would go after it was said to have refused.
const LIMIT: Duration = Duration::from_secs(6);
/// Until whoever asked has heard the answer.
const HEARD: Duration = Duration::from_secs(5);

// === impl Transfer ===

impl Transfer {
    /// Returns when the new membership is in use as far as the disk goes; [`Transfer::go`] ends the old session.
    pub(super) async fn prepare(&self, address: String, token: &Secret) -> Result<(), TransferError> {
        let token: JoinToken = token.0.parse()?;
        if token.role != Role::Node {
            return Err(TransferError::Role);
        }
        let failed = |reason: String| TransferError::Join { address: address.clone(), reason };
        let joining = join::join(&address, &token, self.applicant.proposal(), &self.clock);
        let joined = timeout(LIMIT, joining).await;
        let joined = joined.map_err(|_| failed(format!("nothing was done within {} s", LIMIT.as_secs())))?;
        let credentials = joined.map_err(|error| failed(chain(&error)))?.credentials;
        let (done, outcome) = oneshot::channel();
        let other = Box::new(Other { credentials, address });
        let stopping = || TransferError::Stays("it is being stopped".to_owned());
        self.link.send(Order::Transfer { other, done }).map_err(|_| stopping())?;
        outcome.await.map_err(|_| stopping())?.map_err(TransferError::Stays)
    }

    /// As soon as the answer was heard.
    pub(super) async fn go<T: AsyncRead + AsyncWrite + Unpin>(&self, mut tunnel: T) {
        // However that ends: the node goes.
        let _ = tunnel.shutdown().await;
        let _ = timeout(HEARD, tunnel.read(&mut [0])).await;
        let _ = self.link.send(Order::Reconnect);
    }
}
