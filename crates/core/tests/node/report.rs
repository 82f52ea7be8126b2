//! Facts upward: a snapshot per session, then changes.

use holm_core::report::Reporter;
use holm_model::fact::{Fact, FactKey, ShareReport, Verdict};
use holm_model::message::{Facts, FactsPart, READS, Up};

use crate::support::id;

fn fact(counter: u64) -> Fact {
    Fact::Share(ShareReport {
        id: id(counter),
        verdict: Verdict::Taken,
        unfilled: Vec::new(),
        nodes: None,
        reserved: None,
        leaves: None,
    })
}

fn take(reporter: &mut Reporter) -> Vec<Facts> {
    let facts = |up| match up {
        Up::Facts(facts) => facts,
        other => panic!("{other:?}"),
    };
    reporter.take(9).into_iter().map(facts).collect()
}

#[test]
fn nothing_is_said_without_a_session() {
    let mut reporter = Reporter::default();
    reporter.set(fact(1));
    assert!(take(&mut reporter).is_empty());
}

#[test]
fn a_session_begins_with_a_snapshot_and_goes_on_with_changes() {
    let mut reporter = Reporter::default();
    reporter.set(fact(1));
    reporter.welcome(4, READS);
    let whole = take(&mut reporter);
    assert_eq!(whole.len(), 1);
    assert_eq!((whole[0].part, whole[0].session, whole[0].sequence), (FactsPart::Whole, 4, 1));
    assert_eq!((whole[0].put.len(), whole[0].revision), (1, 9));

    reporter.set(fact(1));
    assert!(take(&mut reporter).is_empty(), "an equal fact is no news");

    reporter.set(fact(2));
    reporter.remove(&FactKey::Share(id(1)));
    let change = take(&mut reporter);
    assert_eq!((change[0].part, change[0].sequence), (FactsPart::Change, 2));
    assert_eq!((&change[0].put, &change[0].gone), (&vec![fact(2)], &vec![FactKey::Share(id(1))]));

    reporter.disconnected();
    reporter.set(fact(3));
    reporter.welcome(5, READS);
    let anew = take(&mut reporter);
    assert_eq!((anew[0].part, anew[0].sequence, anew[0].put.len()), (FactsPart::Whole, 1, 2));
}

#[test]
fn an_empty_snapshot_is_a_snapshot() {
    let mut reporter = Reporter::default();
    reporter.welcome(1, READS);
    assert_eq!(take(&mut reporter)[0].part, FactsPart::Whole);
    assert!(take(&mut reporter).is_empty());
}

#[test]
fn a_large_snapshot_comes_in_pieces() {
    let mut reporter = Reporter::default();
    (0..1200).for_each(|n| reporter.set(fact(n)));
    reporter.welcome(1, READS);
    let pieces = take(&mut reporter);
    let parts: Vec<_> = pieces.iter().map(|facts| (facts.part, facts.sequence, facts.put.len())).collect();
    assert_eq!(parts, [(FactsPart::Begin, 1, 500), (FactsPart::More, 2, 500), (FactsPart::End, 3, 200)]);
}
