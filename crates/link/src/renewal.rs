//! When a member asks for a new certificate, and what it does with the answer.
//!
//! ```text
//! fresh ──(two thirds of its life, or not welcome)──► due ──(asked)──► waiting ──(answer)──► resting ──► fresh
//!                                                      ▲                  │
//!                                                      └──(no answer)─────┘
//! ```
//!
//! An orchestrator lets in a member whose certificate has expired for one thing only: to renew it. It
//! does not welcome it; so a member that is not welcomed asks, whatever its own clock says. The other way round a
//! member whose clock runs ahead takes each new certificate for an old one: it rests after a renewal.

use std::path::Path;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use tokio::time::Instant;

use crate::authority::SignError;
use crate::credentials::{CredentialRequest, Credentials, InstallError};
use crate::files::FileError;

/// The renewal of one member's credentials, on one link.
#[derive(Debug)]
pub struct Renewal {
    opened: Instant,
    welcome: bool,
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    request: CredentialRequest,
    /// Without an answer by then, it is asked again.
    again: Instant,
}

/// A certificate came that is not taken. The old one is used on.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    #[error("a certificate came that was not asked for")]
    Unasked,
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    Save(#[from] FileError),
}

/// The clock may be set meanwhile, so it is looked at again at the latest after this.
const LOOK: Duration = Duration::from_secs(60);
/// Between two requests, answered or not: a part of the certificate's life, within these bounds.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60 * 60));
const AGAIN_PART: u32 = 30;
/// A welcome that has not come by now will not come.
const UNWELCOME: Duration = Duration::from_secs(3);

/// How long a member waits before it asks again, which an orchestrator that is asked more often may count on.
#[must_use]
pub fn rest(life: Duration) -> Duration {
    (life / AGAIN_PART).clamp(AGAIN.0, AGAIN.1)
}

// === impl Renewal ===

impl Renewal {
    /// On a link that has just been opened.
    #[must_use]
    pub fn begin() -> Self {
        Self { opened: Instant::now(), welcome: false, asked: None }
    }

    /// The orchestrator has begun a session with us: our certificate is valid.
    pub const fn welcomed(&mut self) {
        self.welcome = true;
    }

    /// Whether the link is good for more than a renewal; if not, the new certificate needs a new link.
    #[must_use]
    pub const fn is_welcome(&self) -> bool {
        self.welcome
    }

    /// When to look again; the request is [due](Self::is_due) then, or the clock may have been set.
    #[must_use]
    pub fn look_at(&self, credentials: &Credentials, now: UnixTime) -> Instant {
        if let Some(asked) = &self.asked {
            return asked.again;
        }
        let left = credentials.renew_at().as_secs().saturating_sub(now.as_secs());
        let by_clock = Instant::now() + Duration::from_secs(left).min(LOOK);
        let by_clock = rested(credentials).map_or(by_clock, |rested| by_clock.max(rested));
        if self.welcome { by_clock } else { by_clock.min(self.opened + UNWELCOME) }
    }

    #[must_use]
    pub fn is_due(&self, credentials: &Credentials, now: UnixTime) -> bool {
        match &self.asked {
            Some(asked) => Instant::now() >= asked.again,
            None if !self.welcome && Instant::now() >= self.opened + UNWELCOME => true,
            None => {
                now >= credentials.renew_at()
                    && rested(credentials).is_none_or(|rested| Instant::now() >= rested)
            }
        }
    }

    /// A new key; returns the signing request (DER) for the orchestrator.
    ///
    /// # Errors
    /// When no key can be made; it is tried again later.
    pub fn ask(&mut self, credentials: &Credentials) -> Result<Vec<u8>, SignError> {
        let request = CredentialRequest::new()?;
        let csr = request.csr().to_vec();
        self.asked = Some(Asked { request, again: Instant::now() + rest(credentials.life()) });
        Ok(csr)
    }

    /// The new credentials, which are in `dir` already: whoever uses them finds them after a restart.
    ///
    /// # Errors
    /// See [`RenewError`].
    pub fn answered(
        &mut self,
        credentials: &Credentials,
        chain: Vec<CertificateDer<'static>>,
        dir: &Path,
    ) -> Result<Credentials, RenewError> {
        let asked = self.asked.take().ok_or(RenewError::Unasked)?;
        let renewed = credentials.renewed(asked.request, chain)?;
        renewed.save(dir)?;
        Ok(renewed)
    }
}

/// Until when credentials that were renewed of late are good enough, whatever the clock says.
fn rested(credentials: &Credentials) -> Option<Instant> {
    Some(credentials.renewed_at()? + rest(credentials.life()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{Authority, Leaf};
    use crate::certificate::Usage;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000 + seconds))
    }

    fn sign(sea: &Authority, csr: &[u8], now: UnixTime) -> Vec<CertificateDer<'static>> {
        let leaf = Leaf {
            identity: "holm://sea/n1".parse().unwrap(),
            usage: Usage::Client,
            names: Vec::new(),
            validity: Duration::from_secs(900),
        };
        sea.sign_leaf(csr, &leaf, now).unwrap().chain
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_at_two_thirds_and_again_until_there_is_an_answer() {
        let dir = tempfile::tempdir().unwrap();
        let sea = Authority::create_sea("sea", at(0)).unwrap();
        let request = CredentialRequest::new().unwrap();
        let chain = sign(&sea, request.csr(), at(90));
        // Valid from 0, backdated by 90 s, to 990.
        let old = request.install(chain, sea.root().clone()).unwrap();

        let mut renewal = Renewal::begin();
        renewal.welcomed();
        assert!(!renewal.is_due(&old, at(659)));
        assert_eq!(renewal.look_at(&old, at(650)), Instant::now() + Duration::from_secs(10));
        assert_eq!(renewal.look_at(&old, at(0)), Instant::now() + LOOK);
        assert!(renewal.is_due(&old, at(660)));

        renewal.ask(&old).unwrap();
        assert!(!renewal.is_due(&old, at(670)));
        tokio::time::advance(Duration::from_secs(33)).await;
        assert!(renewal.is_due(&old, at(693)));
        let csr = renewal.ask(&old).unwrap();

        let new = renewal.answered(&old, sign(&sea, &csr, at(700)), dir.path()).unwrap();
        assert_eq!(new.expires_at(), at(1600));
        assert_eq!(Credentials::load(dir.path()).unwrap().unwrap().serial(), new.serial());
        let unasked = renewal.answered(&new, sign(&sea, &csr, at(700)), dir.path());
        assert!(matches!(unasked, Err(RenewError::Unasked)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_welcome_asks_whatever_the_clock_says() {
        let sea = Authority::create_sea("sea", at(0)).unwrap();
        let request = CredentialRequest::new().unwrap();
        let chain = sign(&sea, request.csr(), at(0));
        let old = request.install(chain, sea.root().clone()).unwrap();
        let clock = UnixTime::since_unix_epoch(Duration::ZERO);
        let mut renewal = Renewal::begin();
        assert!(!renewal.is_due(&old, clock));
        tokio::time::sleep_until(renewal.look_at(&old, clock)).await;
        assert!(renewal.is_due(&old, clock));
        renewal.welcomed();
        assert!(!renewal.is_due(&old, clock));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_ahead_of_time_rests_after_a_renewal_on_this_link_and_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let sea = Authority::create_sea("sea", at(0)).unwrap();
        let request = CredentialRequest::new().unwrap();
        let chain = sign(&sea, request.csr(), at(0));
        let old = request.install(chain, sea.root().clone()).unwrap();
        let ahead = at(1_000_000);
        let mut renewal = Renewal::begin();
        renewal.welcomed();
        assert!(renewal.is_due(&old, ahead), "it may be right");
        let csr = renewal.ask(&old).unwrap();
        let new = renewal.answered(&old, sign(&sea, &csr, at(1)), dir.path()).unwrap();
        let mut next = Renewal::begin();
        next.welcomed();
        for link in [&renewal, &next] {
            assert!(!link.is_due(&new, ahead));
            assert_eq!(link.look_at(&new, ahead), Instant::now() + rest(new.life()));
        }
        tokio::time::sleep_until(next.look_at(&new, ahead)).await;
        assert!(next.is_due(&new, ahead));
        assert_eq!(rest(Duration::from_secs(30 * 24 * 3600)), Duration::from_secs(3600));
    }

    #[tokio::test]
    async fn what_cannot_be_kept_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let sea = Authority::create_sea("sea", at(0)).unwrap();
        let request = CredentialRequest::new().unwrap();
        let chain = sign(&sea, request.csr(), at(0));
        let old = request.install(chain, sea.root().clone()).unwrap();
        let mut renewal = Renewal::begin();
        let csr = renewal.ask(&old).unwrap();
        let gone = dir.path().join("gone");
        let failed = renewal.answered(&old, sign(&sea, &csr, at(1)), &gone);
        assert!(matches!(failed, Err(RenewError::Save(_))), "{failed:?}");
        assert!(!renewal.is_due(&old, at(2)));
    }
}
