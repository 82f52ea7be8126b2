//! An answer that keeps something until it is complete, or given up.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};

struct Keeping<T> {
    body: Body,
    _kept: T,
}

/// `kept` is dropped together with the body of `answer`.
pub(crate) fn keeping<T: Send + Unpin + 'static>(kept: T, answer: Response) -> Response {
    answer.map(|body| Body::new(Keeping { body, _kept: kept }))
}

impl<T: Unpin> HttpBody for Keeping<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
