//! How often an instance may ask: so often at once, and then at a steady pace.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket of permissions that fills by itself.
#[derive(Debug)]
pub(super) struct Bucket {
    /// When it will be full again.
    full: Instant,
}

/// Permissions at once.
const SIZE: u32 = 20;
/// Between two permissions, once they are used up.
const PACE: Duration = Duration::from_millis(200);

impl Bucket {
    pub(super) const fn new(now: Instant) -> Self {
        Self { full: now }
    }

    /// Takes a permission, or says when there will be one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let after = self.full.max(now) + PACE;
        let missing = after.saturating_duration_since(now);
        if missing > PACE * SIZE {
            return Err(missing - PACE * SIZE);
        }
        self.full = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_up_comes_back_at_a_steady_pace() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        for _ in 0..SIZE {
            bucket.take(start).unwrap();
        }
        assert_eq!(bucket.take(start), Err(PACE));
        bucket.take(start + PACE).unwrap();
        assert!(bucket.take(start + PACE).is_err());
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| bucket.take(later).is_ok()).count(), SIZE as usize);
    }
}
