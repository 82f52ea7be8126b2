use super::*;

fn fact(key: &str, value: u8) -> Batch {
    let write = Write { table: Table::Fact, key: key.to_owned(), value: Some(vec![value]) };
    Batch { writes: vec![write], ..Batch::default() }
}

fn value(behind: &Behind, key: &str) -> Option<u8> {
    behind.rows.get(&(Table::Fact, key.to_owned()))?.as_ref()?.first().copied()
}

fn commit(queue: &mut Queue, batch: Batch) {
    let (reply, _answer) = oneshot::channel();
    queue.commit(batch, reply);
}

/// The facts of the next job.
fn next(queue: &mut Queue, now: Instant) -> Behind {
    match queue.next(now) {
        Next::Do(Job::Commit { behind, .. } | Job::Flush { behind, .. }) => behind,
        other => panic!("no job with facts: {other:?}"),
    }
}

#[test]
fn facts_wait_for_their_time_and_the_newest_wins() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.write_behind(fact("a", 1), now);
    queue.write_behind(fact("a", 2), now + DELAY / 2);
    assert!(matches!(queue.next(now + DELAY / 2), Next::Wait(Some(due)) if due == now + DELAY));
    assert_eq!(value(&next(&mut queue, now + DELAY), "a"), Some(2));
    assert!(matches!(queue.next(now + DELAY), Next::Wait(None)));
}

#[test]
fn a_commit_takes_along_the_facts_before_it_and_none_after_it() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.write_behind(fact("a", 1), now);
    commit(&mut queue, fact("a", 2));
    queue.write_behind(fact("a", 3), now);
    assert_eq!(value(&next(&mut queue, now), "a"), Some(1));
    assert!(matches!(queue.next(now), Next::Wait(Some(_))));
    assert_eq!(value(&next(&mut queue, now + DELAY), "a"), Some(3));
}

#[test]
fn facts_of_a_failed_commit_go_before_all_later_ones() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    let mut old = Behind::default();
    old.add(fact("a", 1));
    old.add(fact("b", 1));
    queue.write_behind(fact("a", 2), now);
    commit(&mut queue, Batch::default());
    queue.give_back(old, now);
    let behind = next(&mut queue, now);
    assert_eq!((value(&behind, "a"), value(&behind, "b")), (Some(2), Some(1)));

    queue.give_back(behind, now);
    assert!(matches!(queue.next(now + DELAY), Next::Wait(Some(due)) if due == now + RETRY));
    assert_eq!(value(&next(&mut queue, now + RETRY), "b"), Some(1));
}

#[test]
fn a_closed_queue_ends_when_all_was_done() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    commit(&mut queue, fact("a", 1));
    queue.write_behind(fact("b", 1), now);
    queue.close();
    commit(&mut queue, fact("c", 1));
    next(&mut queue, now);
    let last = next(&mut queue, now);
    assert_eq!(value(&last, "b"), Some(1));
    queue.give_back(last, now);
    assert!(matches!(queue.next(now), Next::End));
    assert_eq!(queue.lost(), 1);
}

#[test]
fn facts_that_cannot_be_written_take_bounded_room() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    for n in 0..CAPACITY / 2 {
        queue.write_behind(fact(&n.to_string(), 1), now);
    }
    let full = next(&mut queue, now);
    queue.give_back(full, now);
    for n in 0..CAPACITY + 10 {
        queue.write_behind(fact(&n.to_string(), 2), now);
    }
    assert_eq!(queue.lost(), 10);
    let behind = next(&mut queue, now);
    assert_eq!((behind.rows.len(), value(&behind, "0")), (CAPACITY, Some(2)));
}
