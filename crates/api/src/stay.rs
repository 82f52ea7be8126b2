//! Answers that go on (logs, events, sockets, backups): the place that each has, and what ends it.
//!
//! ```text
//! place taken ──▶ goes on ──▶ it ends by itself
//!                    ├──▶ cut: its token was made void, or has expired; an instance's service lost its role
//!                    └──▶ cut: the orchestrator stops
//! ```

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use holm_link::places::Place;
use holm_link::workload::token;
use holm_model::access::Grants;
use holm_model::time::Time;
use holm_orchestrator::identity::StillGoodError;
use holm_orchestrator::people::token::{Claims, TokenError};

use crate::peer::{Principal, Proof};
use crate::state::Api;

/// The leave to go on. The place is free again when this is dropped.
pub(crate) struct Stay {
    _place: Place<String>,
    cut: Pin<Box<dyn Future<Output = Cut> + Send>>,
}

/// Why something that could go on is ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cut {
    #[error("the orchestrator is being stopped")]
    Stopping,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Instance(#[from] StillGoodError),
}

/// What it is allowed by.
enum Leave {
    /// The Unix socket.
    Owner,
    Token(Claims),
    Instance(Box<token::Claims>, Grants),
}

/// So often the clock is read again: somebody may set it.
const CLOCK: Duration = Duration::from_secs(60);

// === impl Stay ===

impl Stay {
    /// As long as `opened_by` may have it.
    pub(crate) fn new(api: &Api, opened_by: &Principal, place: Place<String>) -> Self {
        let leave = match &opened_by.proof {
            Proof::Socket => Leave::Owner,
            Proof::Token(claims) => Leave::Token((**claims).clone()),
            Proof::Workload(claims) => Leave::Instance(claims.clone(), opened_by.grants.clone()),
        };
        Self { _place: place, cut: Box::pin(cut(api.clone(), leave, opened_by.expires())) }
    }

    /// Done when it has to end.
    pub(crate) fn cut(&mut self) -> impl Future<Output = Cut> + Send {
        &mut self.cut
    }

    /// `items` as long as they may go on; an error in place of the rest, so that nobody takes a part for the whole.
    pub(crate) fn over<T>(
        self,
        items: impl Stream<Item = io::Result<T>> + Send,
    ) -> impl Stream<Item = io::Result<T>> + Send
    where
        T: Send,
    {
        stream::unfold((Box::pin(items), Some(self)), |(mut items, stay)| async move {
            let mut stay = stay?;
            tokio::select! {
                biased;
                cut = stay.cut() => Some((Err(io::Error::other(cut)), (items, None))),
                item = items.next() => item.map(|item| (item, (items, Some(stay)))),
            }
        })
    }
}

impl fmt::Debug for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stay")
    }
}

impl Leave {
    async fn is_good(&self, api: &Api) -> Result<(), Cut> {
        match self {
            Self::Owner => {}
            Self::Token(claims) => api.handle().still_good(claims).await?,
            Self::Instance(claims, grants) => api.handle().instance_still_good(claims, grants).await?,
        }
        Ok(())
    }
}

/// Waits until the token is good no longer, or everything stops.
async fn cut(api: Api, leave: Leave, expires: Option<Time>) -> Cut {
    let Some(expires) = expires else {
        api.stopped().await;
        return Cut::Stopping;
    };
    let mut voided = api.handle().voided();
    let stopped = api.stopped();
    tokio::pin!(stopped);
    loop {
        // What is made void behind this line is heard of.
        voided.mark_unchanged();
        let left = expires.0.saturating_sub(holm_orchestrator::now().0);
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0)).min(CLOCK);
        let good = async {
            leave.is_good(&api).await?;
            tokio::select! {
                changed = voided.changed() => drop(changed),
                () = tokio::time::sleep(left) => {}
            }
            Ok(())
        };
        tokio::select! {
            biased;
            () = &mut stopped => return Cut::Stopping,
            good = good => if let Err(cut) = good { return cut },
        }
    }
}
