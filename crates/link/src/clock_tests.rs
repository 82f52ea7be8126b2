use super::*;
use crate::identity::Identity;

const DAY: u64 = 24 * 60 * 60;
/// When the sea was made.
const FOUNDED: u64 = 20_000 * DAY;

fn at(days: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(days * DAY))
}

/// An orchestrator with a certificate of 90 days, made so many days after the founding.
fn parent(days: u64) -> PeerIdentity {
    PeerIdentity {
        identity: Identity::sea_root("sea").unwrap(),
        serials: Vec::new(),
        expired: false,
        not_before: at(FOUNDED / DAY + days),
        not_after: at(FOUNDED / DAY + days + 90),
        sea_since: at(FOUNDED / DAY),
    }
}

/// Days after the founding by a clock that stands at `local`, which was told `said`.
fn told(local: u64, said: u64, parent: &PeerIdentity) -> u64 {
    let clock = Clock::told(move || at(local));
    clock.hear(at(FOUNDED / DAY + said), parent);
    clock.now().as_secs() / DAY - FOUNDED / DAY
}

#[test]
fn a_clock_of_1970_takes_the_parents_word_and_never_goes_back() {
    let clock = Clock::told(|| at(0));
    clock.hear(at(20_010), &parent(0));
    clock.hear(at(20_005), &parent(0));
    assert_eq!(clock.now().as_secs() / DAY, 20_010);
}

#[test]
fn a_word_reaches_no_further_than_two_thirds_of_the_certificate() {
    assert_eq!(told(0, 59, &parent(0)), 59);
    assert_eq!(told(0, 4000, &parent(0)), 60);
}

#[test]
fn a_plausible_clock_is_moved_by_thirty_days_at_most() {
    let founded = FOUNDED / DAY;
    assert_eq!(told(founded + 10, 20, &parent(0)), 20);
    assert_eq!(told(founded + 10, 59, &parent(0)), 40);
    // A parent that was started in the wrong year.
    assert_eq!(told(founded + 10, 375, &parent(375)), 40);
    // Not evidently wrong, merely the day before: no limit but the certificate's.
    assert_eq!(told(founded - 1, 59, &parent(0)), 59);
}

#[test]
fn platform_time_goes_on_by_itself() {
    let clock = Clock::told(|| at(0));
    clock.hear(at(20_010), &parent(0));
    let heard =
        Platform { time: at(20_010), since: Instant::now().checked_sub(Duration::from_secs(90)).unwrap() };
    clock.platform.send_replace(heard);
    assert!(clock.now().as_secs() >= at(20_010).as_secs() + 90);
    // What was not heard does not go on.
    assert_eq!(Clock::told(|| at(0)).platform(), at(0));
}

#[tokio::test]
async fn it_is_kept_when_it_was_raised_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::open(dir.path(), LocalClock::told(|| at(0)));
    let keeping = clock.clone();
    let path = dir.path().to_owned();
    let task = tokio::spawn(async move { keeping.keep(&path).await });
    clock.hear(at(20_010), &parent(0));
    kept(dir.path(), 20_010).await;
    // Seconds are not worth a write, days are.
    clock.hear(at(20_020), &parent(0));
    kept(dir.path(), 20_020).await;
    task.abort();
    assert_eq!(Clock::open(dir.path(), LocalClock::told(|| at(0))).now().as_secs() / DAY, 20_020);

    std::fs::write(dir.path().join(FILE), "soon").unwrap();
    assert_eq!(Clock::open(dir.path(), LocalClock::told(|| at(7))).now(), at(7));
}

async fn kept(dir: &Path, days: u64) {
    let waited = async {
        while load(dir).unwrap().as_secs() / DAY != days {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waited).await.unwrap();
}
