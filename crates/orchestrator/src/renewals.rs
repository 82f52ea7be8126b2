//! How often members get a new certificate: one whose clock runs ahead, or a stolen one, would have them signed
//! without end, each with a commit and a record. Pure.

use std::collections::HashMap;
use std::time::Duration;

use holm_link::renewal::rest;
use holm_model::id::MemberId;

/// What is done about a request for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Sign,
    /// It is refused, which is to be written down.
    Refuse,
    /// It is refused as the one before.
    Ignore,
}

/// Who asked of late. Times are boot times.
#[derive(Debug)]
pub(crate) struct Renewals {
    /// Until one more is signed.
    step: Duration,
    members: HashMap<MemberId, Asked>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    /// When its budget is whole again.
    whole_at: Duration,
    refused: bool,
}

/// Signed at once: a new link may ask again before the answer to the old one has come.
const BURST: u32 = 4;

// === impl Renewals ===

impl Renewals {
    /// For certificates that live so long: a member asks half as often as it may.
    pub(crate) fn of(life: Duration) -> Self {
        Self { step: rest(life) / 2, members: HashMap::new() }
    }

    pub(crate) fn ask(&mut self, member: MemberId, now: Duration) -> Answer {
        // Whose budget is whole is as good as unknown.
        self.members.retain(|_, asked| asked.whole_at > now);
        let asked = self.members.entry(member).or_insert(Asked { whole_at: now, refused: false });
        if asked.whole_at + self.step > now + self.step * BURST {
            let first = !std::mem::replace(&mut asked.refused, true);
            return if first { Answer::Refuse } else { Answer::Ignore };
        }
        *asked = Asked { whole_at: asked.whole_at + self.step, refused: false };
        Answer::Sign
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::id::{Epoch, Uid};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn member(counter: u64) -> MemberId {
        MemberId(Uid { epoch: Epoch::NONE, counter })
    }

    #[test]
    fn a_member_that_asks_without_end_gets_few_and_fewer_records() {
        let mut renewals = Renewals::of(DAY * 30);
        let (fast, calm) = (member(1), member(2));
        let asked = (0..3600 * 50).map(|n| renewals.ask(fast, Duration::from_secs(n / 50)));
        let answers: Vec<_> = asked.filter(|answer| *answer != Answer::Ignore).collect();
        // One each half an hour, after those at once.
        let hour =
            [[Answer::Sign; BURST as usize].as_slice(), &[Answer::Refuse, Answer::Sign, Answer::Refuse]];
        assert_eq!(answers, hour.concat());
        for hour in 1..50 {
            assert_eq!(renewals.ask(calm, Duration::from_secs(hour * 3600)), Answer::Sign);
        }
        assert_eq!(renewals.members.len(), 1);
    }

    #[test]
    fn short_lives_are_renewed_often() {
        let mut renewals = Renewals::of(Duration::from_secs(3));
        assert!((0..100).all(|n| renewals.ask(member(1), Duration::from_secs(n)) == Answer::Sign));
    }
}
