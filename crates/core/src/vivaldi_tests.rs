use proptest::prelude::*;

use super::*;

/// Points that are really somewhere: (x, y) and access, in microseconds.
type Truth = [(f64, f64, f64)];

fn rtt(truth: &Truth, a: usize, b: usize) -> Latency {
    let ((ax, ay, ah), (bx, by, bh)) = (truth[a], truth[b]);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    Latency((((ax - bx).powi(2) + (ay - by).powi(2)).sqrt() + ah + bh) as u32)
}

/// All but the first, which stays, measure their way to the first `landmarks`, by turns.
fn settle(truth: &Truth, landmarks: usize, rounds: usize) -> Vec<Coordinate> {
    let mut all: Vec<Vivaldi> = (0..truth.len()).map(|at| Vivaldi::new(&format!("n{at}"))).collect();
    let told = |all: &[Vivaldi], at: usize| if at == 0 { Vivaldi::anchor() } else { all[at].coordinate() };
    for _ in 0..rounds {
        for at in 1..truth.len() {
            for peer in (0..landmarks).filter(|peer| *peer != at) {
                let there = told(&all, peer);
                all[at].measured(&peer.to_string(), rtt(truth, at, peer), &there).unwrap();
            }
        }
    }
    (0..truth.len()).map(|at| told(&all, at)).collect()
}

fn error(truth: &Truth, found: &[Coordinate], a: usize, b: usize) -> f64 {
    let (real, guess) = (f64::from(rtt(truth, a, b).0), f64::from(found[a].to(&found[b]).0));
    (guess - real).abs() / real
}

#[test]
fn estimates_converge_where_nobody_has_measured() {
    let truth: Vec<_> = (0..40_u32)
        .map(|at| {
            let (x, y) = (f64::from(at * 37 % 41) * 1_000.0, f64::from(at * 17 % 29) * 1_000.0);
            (x, y, 300.0 + f64::from(at % 7) * 400.0)
        })
        .collect();
    let found = settle(&truth, 6, 40);
    let pairs = || (6..40).flat_map(|a| (6..a).map(move |b| (a, b)));
    let mut errors: Vec<f64> = pairs().map(|(a, b)| error(&truth, &found, a, b)).collect();
    errors.sort_by(f64::total_cmp);
    let (median, nine_tenths) = (errors[errors.len() / 2], errors[errors.len() * 9 / 10]);
    assert!(median < 0.15 && nine_tenths < 0.5, "median {median}, 90 % {nine_tenths}");
    assert!(found[6..].iter().all(|one| one.error < 300), "{found:?}");
}

#[test]
fn with_one_landmark_the_way_between_two_is_that_over_the_landmark_at_most() {
    let truth = [(0.0, 0.0, 100.0), (0.0, 0.0, 2_000.0), (0.0, 0.0, 40_000.0)];
    let found = settle(&truth, 1, 40);
    for at in 1..3 {
        assert!(error(&truth, &found, 0, at) < 0.15, "{found:?}");
    }
    let (between, over) = (found[1].to(&found[2]).0, 42_300_u32);
    assert!((over * 3 / 4..=over * 5 / 4).contains(&between), "{between}");
}

#[test]
fn the_same_measurements_give_the_same_coordinate() {
    let truth = [(0.0, 0.0, 100.0), (5_000.0, 0.0, 200.0), (0.0, 9_000.0, 300.0)];
    assert_eq!(settle(&truth, 3, 20), settle(&truth, 3, 20));
}

#[test]
fn on_one_spot_heights_alone_come_down() {
    let mut high = Vivaldi::new("a");
    high.height = 50_000.0;
    for _ in 0..=WINDOW {
        let before = high.coordinate().to(&Vivaldi::anchor());
        high.measured("p", Latency(1_000), &Vivaldi::anchor()).unwrap();
        assert!(high.coordinate().to(&Vivaldi::anchor()) < before);
        assert_eq!(high.coordinate().at, [0; 3]);
    }
}

#[test]
fn an_answer_of_our_orchestrator_that_once_came_late_is_soon_forgotten() {
    let mut late = Vivaldi::new("a");
    late.measured_above(Latency(500_000), &Vivaldi::anchor()).unwrap();
    assert!(late.coordinate().to(&Vivaldi::anchor()) > Latency(100_000));
    for _ in 0..25 {
        late.measured_above(Latency(1_000), &Vivaldi::anchor()).unwrap();
    }
    let found = late.coordinate();
    assert!(found.is_settled() && found.to(&Vivaldi::anchor()) < Latency(2_000), "{found:?}");
}

#[test]
fn what_waited_somewhere_does_not_count() {
    let mut steady = Vivaldi::new("a");
    let mut shaken = steady.clone();
    for round in 0..40 {
        steady.measured("p", Latency(10_000), &Vivaldi::anchor()).unwrap();
        let late = if round % 2 == 0 { 0 } else { 90_000 };
        shaken.measured("p", Latency(10_000 + late), &Vivaldi::anchor()).unwrap();
    }
    assert_eq!(steady.coordinate().to(&Vivaldi::anchor()), shaken.coordinate().to(&Vivaldi::anchor()));
}

#[test]
fn a_liar_cannot_push_us_farther_than_what_we_measured() {
    let mut victim = Vivaldi::new("a");
    for _ in 0..20 {
        victim.measured("good", Latency(10_000), &Vivaldi::anchor()).unwrap();
    }
    let before = victim.coordinate();
    let most = i32::try_from(MOST_MICROS).unwrap();
    let lie = Coordinate { at: [most; 3], height: MOST_MICROS, error: 0 };
    victim.measured("liar", Latency(1_000), &lie).unwrap();
    let after = victim.coordinate();
    let moved = norm([0, 1, 2].map(|axis| f64::from(after.at[axis] - before.at[axis])));
    assert!(moved <= 250.0 + 2.0, "{moved}");
    for (rtt, there) in [
        (Latency(0), Vivaldi::anchor()),
        (Latency(MOST_MICROS + 1), Vivaldi::anchor()),
        (Latency(1), Coordinate { at: [most + 1, 0, 0], ..Coordinate::default() }),
        (Latency(1), Coordinate { height: MOST_MICROS + 1, ..Coordinate::default() }),
        (Latency(1), Coordinate { error: 1_001, ..Coordinate::default() }),
    ] {
        assert_eq!(victim.measured("liar", rtt, &there), Err(Absurd));
    }
    assert_eq!(victim.coordinate(), after);
}

proptest! {
    #[test]
    fn whatever_peers_say_a_coordinate_is_sane(
        said in proptest::collection::vec((0..40_u8, any::<u32>(), any::<[i32; 3]>(), any::<u32>(), any::<u16>()), 0..200),
    ) {
        let mut victim = Vivaldi::new("a");
        for (peer, rtt, at, height, error) in said {
            let _ = victim.measured(&peer.to_string(), Latency(rtt), &Coordinate { at, height, error });
            let near = Coordinate { at: at.map(|part| part % 10_000_000), height: height % 10_000_000, error: error % 1_001 };
            let _ = victim.measured(&peer.to_string(), Latency(rtt % 10_000_000), &near);
            prop_assert!(victim.coordinate().is_sane());
        }
        prop_assert!(victim.recent.len() <= MOST_PEERS);
    }
}
