//! Passwords: Argon2id with the parameters that OWASP recommends (19 MiB, 2 passes), kept in the PHC format.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use holm_model::view::people::Password;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Hashes passwords, few at a time: each takes 19 MiB and a tenth of a second of a small machine.
#[derive(Debug)]
pub(crate) struct Hasher {
    at_once: Arc<Semaphore>,
}

/// The password was not hashed or not looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("a password has {} characters at least and {} bytes at most", Password::LEAST, Password::MOST)]
    Length,
    #[error("a password has {DIFFERENT} different characters at least")]
    Simple,
    #[error("too many people log in at this moment; try again in a few seconds")]
    Busy,
    #[error("the system gives no random numbers")]
    Random,
}

/// Fewer are guessed at once, however often they are said.
const DIFFERENT: usize = 5;
/// Passwords that are hashed at the same time.
const AT_ONCE: usize = 2;

// === impl Hasher ===

impl Hasher {
    pub(crate) fn new() -> Self {
        Self { at_once: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The hash of a new password, to be kept.
    pub(crate) async fn hash(&self, password: &Password) -> Result<String, PasswordError> {
        if password.0.chars().count() < Password::LEAST || password.0.len() > Password::MOST {
            return Err(PasswordError::Length);
        }
        if password.0.chars().collect::<BTreeSet<_>>().len() < DIFFERENT {
            return Err(PasswordError::Simple);
        }
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|_| PasswordError::Random)?;
        let salt = SaltString::encode_b64(&salt).map_err(|_| PasswordError::Random)?;
        let _permit = self.permit().await?;
        let password = password.0.clone();
        blocking(move || hash(&password, &salt)).await?.ok_or(PasswordError::Random)
    }

    /// Whether `password` is the one that was kept. Takes as long when nobody is there to have one.
    pub(crate) async fn is(&self, password: &Password, kept: Option<String>) -> Result<bool, PasswordError> {
        // Longer ones cannot have been kept, and would cost more.
        let (known, kept) = (kept.is_some() && password.0.len() <= Password::MOST, kept);
        let _permit = self.permit().await?;
        let password: String = password.0.chars().take(Password::MOST).collect();
        let same = blocking(move || verify(&password, kept.as_deref().unwrap_or_else(|| nobody()))).await?;
        Ok(same && known)
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, PasswordError> {
        self.at_once.acquire().await.map_err(|_| PasswordError::Busy)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
    // Ends early only when the process stops.
    tokio::task::spawn_blocking(work).await.map_err(|_| PasswordError::Busy)
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

fn hash(password: &str, salt: &SaltString) -> Option<String> {
    argon2().hash_password(password.as_bytes(), salt).ok().map(|hash| hash.to_string())
}

fn verify(password: &str, kept: &str) -> bool {
    PasswordHash::new(kept).is_ok_and(|kept| argon2().verify_password(password.as_bytes(), &kept).is_ok())
}

/// A hash that costs what a person's does.
fn nobody() -> &'static str {
    static NOBODY: OnceLock<String> = OnceLock::new();
    NOBODY.get_or_init(|| {
        let salt = SaltString::encode_b64(&[0; 16]).ok();
        salt.and_then(|salt| hash("nobody has this password", &salt)).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password(text.to_owned())
    }

    #[tokio::test]
    async fn the_right_password_is_told_from_a_wrong_one() {
        let hasher = Hasher::new();
        let kept = hasher.hash(&password("correct horse")).await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(hasher.is(&password("correct horse"), Some(kept.clone())).await.unwrap());
        assert!(!hasher.is(&password("correct horsf"), Some(kept.clone())).await.unwrap());
        assert!(!hasher.is(&password(""), Some(kept)).await.unwrap());
        assert_ne!(
            hasher.hash(&password("correct horse")).await,
            hasher.hash(&password("correct horse")).await
        );
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        let hasher = Hasher::new();
        for text in ["", "nobody has this password"] {
            assert!(!hasher.is(&password(text), None).await.unwrap(), "{text}");
        }
        assert!(!hasher.is(&password("x"), Some("damaged".to_owned())).await.unwrap());
    }

    #[tokio::test]
    async fn short_and_endless_passwords_are_not_taken() {
        let hasher = Hasher::new();
        for text in ["", "too short", &"x".repeat(10 << 20)] {
            assert_eq!(hasher.hash(&password(text)).await, Err(PasswordError::Length));
        }
        assert_eq!(hasher.hash(&password("aaaaabbbbbccccdddd")).await, Err(PasswordError::Simple));
        let kept = hasher.hash(&password(&"hard 2 guess".repeat(21))).await.unwrap();
        assert!(!hasher.is(&password(&"x".repeat(10 << 20)), Some(kept)).await.unwrap());
    }
}
