//! What is left of a request's body when its answer is there already.
//!
//! A body that nobody reads to its end resets the stream of HTTP/2 and closes the connection of HTTP/1, and some clients then show
//! that instead of the answer, as for a body over the limit. So a bounded rest is read and thrown away.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// A body whose rest is read after it was dropped.
#[derive(Debug)]
pub(crate) struct Drained {
    /// None once it is handed over.
    body: Option<Incoming>,
    tasks: TaskTracker,
}

/// Bytes of the rest, and for how long it is waited for; who sends more is reset.
const MOST: usize = 16 << 20;
const TIME: Duration = Duration::from_secs(10);

// === impl Drained ===

impl Drained {
    /// `tasks`: where the rest is read.
    pub(crate) const fn new(body: Incoming, tasks: TaskTracker) -> Self {
        Self { body: Some(body), tasks }
    }
}

impl Body for Drained {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        // Without a runtime the connection is gone as well.
        if tokio::runtime::Handle::try_current().is_ok() {
            drop(self.tasks.spawn(timeout(TIME, rest(body))));
        }
    }
}

/// Reads to the end, to the limit, or until the connection breaks.
async fn rest(mut body: Incoming) {
    let mut left = MOST;
    while let Some(Ok(frame)) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
    {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(less) => left = less,
            None => return,
        }
    }
}
