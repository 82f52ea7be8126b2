//! A shell on a node: its owner's consent, the announcement, the records.

use crate::harness::{Ran, Sea, sea, wait_for};
use crate::ways_in_terminal::Screen;

fn consent(sea: &Sea, words: &[&str]) -> Ran {
    let dir = sea.data("fl-1").display().to_string();
    sea.holm(&[&["node", "consent"], words, &["--data-dir", &dir]].concat())
}

fn open(sea: &Sea, words: &[&str]) -> Screen {
    Screen::start(sea.call_at("root", &[&["shell", "fl-1"], words].concat()), 90, 30)
}

#[test]
fn a_shell_needs_the_owners_consent_and_is_recorded() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    // Nobody has agreed: refused, with what to do.
    let mut screen = open(&sea, &[]);
    screen.until("has not agreed to shells");
    assert_eq!(screen.ended(), 1);
    assert!(consent(&sea, &["show"]).done().stdout.contains("nobody may"));
    // Over is over.
    consent(&sea, &["grant", "--until", "2001-01-01T00:00:00Z"]).refused(2, &["has passed"]);
    consent(&sea, &["grant", "--until", "1ms"]).done();
    let mut screen = open(&sea, &[]);
    screen.until("which has passed");
    assert_eq!(screen.ended(), 1);
    let until = consent(&sea, &["grant", "--until", "2101-01-01T00:00:00+00:00"]).done().stdout;
    assert!(until.contains("until 2101-01-01T00:00:00"), "{until}");
    let record = sea.path("record");
    let mut screen = open(&sea, &["--record", record.to_str().unwrap()]);
    screen.until("you are on ");
    screen.until("this session is recorded");
    screen.keys(b"stty size; echo sec''ret; exit 7\r");
    screen.until("30 90");
    screen.until("secret");
    assert_eq!(screen.ended(), 7);
    assert!(screen.is_as_before());
    // Both records have it, and so does the audit log.
    let kept = |text: &str| text.contains("you are on ") && text.contains("secret");
    assert!(kept(&std::fs::read_to_string(&record).unwrap()));
    let newest = std::fs::read_dir(sea.data("fl-1").join("shells")).unwrap().map(|e| e.unwrap().path()).max();
    assert!(kept(&std::fs::read_to_string(newest.unwrap()).unwrap()));
    let audit = wait_for("the end is in the audit log", || {
        let audit = sea.holm(&["get", "audit", "-o", "json"]).stdout;
        audit.contains("exit code 7").then_some(audit)
    });
    assert!(audit.contains(": opened"), "{audit}");
    // Taken back, it ends what is open.
    let mut screen = open(&sea, &[]);
    screen.until("this session is recorded");
    consent(&sea, &["revoke"]).done();
    screen.until("agrees to shells no longer");
    assert_eq!(screen.ended(), 129);
    sea.holm(&["shell", "nobody"]).refused(2, &["no terminal"]);
}
