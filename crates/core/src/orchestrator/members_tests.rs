use std::time::Duration;

use holm_model::member::Role;
use holm_model::message::READS;
use holm_model::time::{Now, Time};

use super::*;
use crate::orchestrator::event::{Event, LinkId};
use crate::orchestrator::testing::Root;

/// A cluster whose disk is full calls again and again, and each step in which it would greet fails there.
#[test]
fn whoever_opens_links_and_never_greets_is_not_heard() {
    let mut root = Root::new();
    let member = root.join_named(Role::Cluster, "vienna");
    root.call_as(1, member, Role::Cluster, READS);
    let state =
        |root: &Root| root.0.members().into_iter().find(|one| one.id == member.to_string()).unwrap().state;
    let mut seen = vec![state(&root)];
    for second in 1..40 {
        let now =
            Now { boot: Duration::from_secs(second), wall: Time(1_000 * i64::try_from(second).unwrap()) };
        let link = LinkId(1 + second);
        let opened =
            Event::LinkOpened { link, member, from: None, serial: "1".to_owned(), renew_only: false };
        for event in [opened, Event::LinkClosed { link }, Event::Tick] {
            root.0.step(now, event);
            root.0.journal_mut().take_batch();
            root.0.journal_mut().committed();
            root.0.take_effects();
        }
        seen.push(state(&root));
    }
    seen.dedup();
    assert_eq!(seen, [MemberState::Online, MemberState::Silent, MemberState::Offline]);
}
