//! The async runtime of a command.

use std::pin::Pin;
use std::time::Duration;

use crate::failure::Failure;

/// How long what is still going on at the end (a blocking read of the terminal) may hold us up.
const LINGER: Duration = Duration::from_millis(50);

/// Runs a command for people on one thread.
pub(crate) fn single<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    on(tokio::runtime::Builder::new_current_thread(), Box::pin(work))
}

/// Runs an orchestrator on at most four threads.
#[cfg(feature = "full")]
pub(crate) fn several<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    builder.worker_threads(cores.min(4));
    on(builder, Box::pin(work))
}

/// The work is boxed so that a runtime is compiled once, not once per command.
fn on<T>(
    mut builder: tokio::runtime::Builder,
    work: Pin<Box<dyn Future<Output = Result<T, Failure>> + '_>>,
) -> Result<T, Failure> {
    let runtime =
        builder.enable_all().build().map_err(|e| Failure::from_error("the program cannot start", &e))?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(LINGER);
    outcome
}
