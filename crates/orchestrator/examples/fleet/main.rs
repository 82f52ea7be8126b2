//! Many members in one process, for measurements of an orchestrator:
//! `cargo run --release -p holm-orchestrator --example fleet -- <address> <join token> <count> <cpu>`.
//!
//! Each member joins with the token (which must allow `count` uses), opens a session of its own over
//! TLS, offers `cpu` (as in manifests: `4`, `500m`) and much memory, and then does what an idle member does: it says that it lives every 5 s, tells
//! its usage every 15 s, and takes and acknowledges whatever is put on its list without running it.
//!
//! One line of JSON, `{"online", "items", "removed", "changes", "last_ns"}`, is printed for each line on
//! standard input; `last_ns` is when the last item came (`CLOCK_MONOTONIC`). The end of the input ends
//! all of it.

mod member;
mod tally;

use std::sync::Arc;

use holm_link::token::JoinToken;
use holm_model::resources::{Memory, Resources};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::member::{Failure, Member};
use self::tally::Tally;

/// Members that join at the same time.
const AT_ONCE: usize = 4;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, token, count, cpu] = words.as_slice() else {
        return Err("four words are expected: address, join token, count, cpu".into());
    };
    let token: JoinToken = token.parse()?;
    let offered = Resources::new(cpu.parse()?, Memory(1 << 40));
    let (tally, gate) = (Arc::new(Tally::default()), Arc::new(Semaphore::new(AT_ONCE)));
    let mut members = JoinSet::new();
    for number in 0..count.parse::<u32>()? {
        let (address, token) = (address.clone(), token.clone());
        let (tally, gate) = (Arc::clone(&tally), Arc::clone(&gate));
        members.spawn(async move {
            let joining = gate.acquire_owned().await?;
            let mut member = Member::join(&address, &token, number, offered, tally).await?;
            drop(joining);
            member.serve().await
        });
    }
    tokio::select! {
        told = tell(&tally) => told,
        Some(ended) = members.join_next() => ended?,
    }
}

/// Answers each line of the input with the counts.
async fn tell(tally: &Tally) -> Result<(), Failure> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        println!("{}", tally.json());
    }
    Ok(())
}
