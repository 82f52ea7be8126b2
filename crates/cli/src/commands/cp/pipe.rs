//! Bytes between a thread that blocks and a task that does not. Few are on their way: who is slow is waited for.

use std::io::{self, Read, Write};

use tokio::sync::mpsc;

/// Bytes handed on at once.
pub(super) const CHUNK: usize = 64 * 1024;
/// Chunks on their way.
const CHUNKS: usize = 4;

/// What a thread writes to.
#[derive(Debug)]
pub(super) struct Output {
    chunks: mpsc::Sender<Vec<u8>>,
    begun: Vec<u8>,
}

/// What a thread reads from.
#[derive(Debug)]
pub(super) struct Input {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    chunk: io::Cursor<Vec<u8>>,
}

pub(super) fn from_thread() -> (Output, mpsc::Receiver<Vec<u8>>) {
    let (chunks, receiver) = mpsc::channel(CHUNKS);
    (Output { chunks, begun: Vec::new() }, receiver)
}

pub(super) fn to_thread() -> (mpsc::Sender<io::Result<Vec<u8>>>, Input) {
    let (sender, chunks) = mpsc::channel(CHUNKS);
    (sender, Input { chunks, chunk: io::Cursor::default() })
}

// === impl Output ===

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        if self.begun.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.begun.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.begun);
        self.chunks.blocking_send(chunk).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

// === impl Input ===

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.chunk.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.chunks.blocking_recv() {
                Some(chunk) => self.chunk = io::Cursor::new(chunk?),
                None => return Ok(0),
            }
        }
    }
}
