//! What a command says, written by a thread of its own: a terminal that takes nothing more blocks whoever
//! writes to it, and the keys that would end the flood must still go out.

use std::fs::File;
use std::io::Write as _;

use holm_model::tunnel::ExecOut;
use tokio::sync::{mpsc, oneshot};

use crate::failure::Failure;
use crate::output::say_bytes;

/// The way to standard output and error.
#[derive(Debug)]
pub(super) struct Shown {
    said: mpsc::Sender<ExecOut>,
    written: oneshot::Receiver<Result<(), Failure>>,
}

impl Shown {
    /// Standard output is kept in `record`, too.
    pub(super) fn start(record: Option<File>) -> Self {
        // One message waits: whoever is slow slows the command down.
        let (said, waiting) = mpsc::channel(1);
        let (done, written) = oneshot::channel();
        std::thread::spawn(move || {
            // Nobody asks any more: this program ends.
            let _ = done.send(write(waiting, record));
        });
        Self { said, written }
    }

    /// Waits while the terminal takes nothing.
    ///
    /// # Errors
    /// When nothing can be written any more.
    pub(super) async fn show(&mut self, said: ExecOut) -> Result<(), Failure> {
        match self.said.send(said).await {
            Ok(()) => Ok(()),
            Err(_) => over(&mut self.written).await,
        }
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// When it cannot be.
    pub(super) async fn end(self) -> Result<(), Failure> {
        let Self { said, mut written } = self;
        drop(said);
        over(&mut written).await
    }
}

async fn over(written: &mut oneshot::Receiver<Result<(), Failure>>) -> Result<(), Failure> {
    written.await.unwrap_or_else(|_| Err(Failure::new("the output is written no more, which is a bug")))
}

fn write(mut said: mpsc::Receiver<ExecOut>, mut record: Option<File>) -> Result<(), Failure> {
    while let Some(said) = said.blocking_recv() {
        match said {
            ExecOut::Stdout(bytes) => {
                say_bytes(&bytes)?;
                let kept = record.as_mut().map_or(Ok(()), |file| file.write_all(&bytes));
                kept.map_err(|error| Failure::from_error("the record cannot be written", &error))?;
            }
            ExecOut::Stderr(bytes) => {
                // Nobody reads it: the command goes on all the same.
                let _ = std::io::stderr().write_all(&bytes);
            }
            ExecOut::Exit(_) => {}
        }
    }
    Ok(())
}
