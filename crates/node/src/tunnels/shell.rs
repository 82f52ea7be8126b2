//! A shell on the machine itself: announced, recorded, and only as long as its owner agrees.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use holm_model::time::Time;
use holm_model::tunnel::{ExecOut, Terminal};
use holm_runtime::Exec;
use holm_runtime::process::{own_user, shell};
use tokio::time::sleep;

use super::consent::{self, Consent};
use super::transcript::Transcript;
use crate::config::NodeConfig;

/// What a shell needs to know of the machine.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    data_dir: PathBuf,
    /// See [`shell`].
    supervisor: (PathBuf, Vec<String>),
}

/// No shell was opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShellError {
    #[error(
        "this node's owner has not agreed to shells; on the machine, `holm node consent grant --data-dir {dir}` does",
        dir = dir.display()
    )]
    NoConsent { dir: PathBuf },
    #[error("this node's owner agreed to shells until {until}, which has passed")]
    Over { until: Time },
    #[error("whether this node's owner agrees to shells cannot be read: {0}")]
    Consent(#[source] io::Error),
    #[error("the shell cannot be recorded: {0}")]
    Transcript(#[source] io::Error),
    #[error("the shell cannot be started: {0}")]
    Start(#[source] io::Error),
}

/// Between two looks at whether the owner still agrees.
const LOOK: Duration = Duration::from_secs(1);
/// Said when they do not.
const WITHDRAWN: &[u8] = b"\r\nthe owner of this node agrees to shells no longer\r\n";

fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

// === impl Machine ===

impl Machine {
    pub(crate) fn of(config: &NodeConfig) -> Self {
        let own = || (config.runtimes.executable.clone(), vec!["__supervise".to_owned()]);
        let supervisor = config.runtimes.supervisor.clone().unwrap_or_else(own);
        Self { data_dir: config.data_dir.clone(), supervisor }
    }

    /// A shell for `who`; it ends when the owner's consent does.
    ///
    /// # Errors
    /// See [`ShellError`].
    pub(super) fn shell(&self, terminal: &Terminal, who: &str) -> Result<Exec, ShellError> {
        self.agreed()?;
        let hello = announcement(who);
        let name = format!("{:015}-{}.log", now().0, std::process::id());
        let mut transcript = Transcript::begin(&self.data_dir, &name).map_err(ShellError::Transcript)?;
        let Exec { stdin, control, output } = shell(&self.supervisor, terminal).map_err(ShellError::Start)?;
        tracing::info!(who, transcript = name, "A shell was opened.");
        let shown = stream::iter([Ok(ExecOut::Stdout(hello.into_bytes()))]).chain(output);
        let recorded = shown.inspect(move |shown| match shown {
            Ok(ExecOut::Stdout(bytes) | ExecOut::Stderr(bytes)) => transcript.add(bytes),
            Ok(ExecOut::Exit(code)) => tracing::info!(code, "A shell ended."),
            Err(_) => {}
        });
        let farewell = [ExecOut::Stdout(WITHDRAWN.to_vec()), ExecOut::Exit(128 + 1)].map(Ok);
        let output = recorded
            .take_until(Box::pin(withdrawn(self.data_dir.clone(), now)))
            .chain(stream::iter(farewell));
        Ok(Exec { stdin, control, output: output.boxed() })
    }

    fn agreed(&self) -> Result<Consent, ShellError> {
        match consent::read(&self.data_dir).map_err(ShellError::Consent)? {
            None => Err(ShellError::NoConsent { dir: self.data_dir.clone() }),
            Some(consent) if consent.holds(now()) => Ok(consent),
            Some(Consent { until }) => Err(ShellError::Over { until: until.unwrap_or_default() }),
        }
    }
}

/// The first line of every shell: nobody is here by mistake, or unseen.
fn announcement(who: &str) -> String {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let who: String = who.chars().filter(|c| !c.is_control()).take(100).collect();
    let (host, user) = (host.to_string_lossy(), own_user());
    format!("you are on {host} as user {user}, asked for by {who}; this session is recorded\r\n")
}

/// Waits until the owner does not agree any more.
async fn withdrawn(data_dir: PathBuf, now: impl Fn() -> Time) {
    while holds(&data_dir, now()) {
        sleep(LOOK).await;
    }
}

fn holds(data_dir: &Path, now: Time) -> bool {
    consent::read(data_dir).is_ok_and(|consent| consent.is_some_and(|consent| consent.holds(now)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_consent_that_is_over_ends_what_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let clock = move || Time(i64::try_from(begun.elapsed().as_millis()).unwrap());
        consent::grant(dir.path(), Consent { until: Some(Time(3_600_000)) }).unwrap();
        withdrawn(dir.path().to_owned(), clock).await;
        let over = begun.elapsed().as_secs();
        assert!((3600..3602).contains(&over), "after {over} s");
    }
}
