//! `holm audit`: who did what, and whether anybody has touched the record of it.

use clap::{Args, Subcommand, ValueEnum};
use holm_client::Client;
use holm_model::name::Name;
use holm_model::time::Time;
use holm_model::view::query::AuditQuery;
use holm_model::view::{AuditProofView, AuditView};

use super::when::When;
use crate::connect::At;
use crate::failure::Failure;
use crate::output::time::now;
use crate::output::{Format, Output, stdout_ink, table};

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Audit {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: List,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Check that no record is missing or changed: each holds the hash of the one before
    ///
    /// Ends with 1 if the chain is broken. Whoever can write the orchestrator's disk could make a whole new chain:
    /// keep the hash of the last record elsewhere, and give it with --head later.
    Verify {
        /// The last hash of an earlier look, which must still be there
        #[arg(long, value_name = "HASH", value_parser = hash)]
        head: Option<String>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Args, Debug)]
struct List {
    /// Only what one person or token did
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Only one kind of action
    #[arg(long, value_name = "WORD")]
    verb: Option<String>,
    /// Only what was done in one project since it was made; its administrators may ask that
    #[arg(long, value_name = "PROJECT")]
    project: Option<Name>,
    /// Only what was done to things whose words in the list hold these: `default/shop`
    #[arg(long, value_name = "WORDS")]
    subject: Option<String>,
    /// Only from this time on: as in `2026-11-22T08:00:00Z`, or `2h` for two hours ago
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// How many of the last records [default: 100; `-o jsonl`: all]
    #[arg(short = 'n', long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    tail: Option<u32>,
    /// How to print; `jsonl` exports everything, the oldest first, a record in each line
    #[arg(short = 'o', long = "output", value_enum, default_value_t, value_name = "FORMAT")]
    format: AuditFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum AuditFormat {
    #[default]
    Table,
    Wide,
    Json,
    Yaml,
    Jsonl,
}

/// Records that are shown if nobody says how many.
const TAIL: u32 = 100;
/// Of one request.
const PAGE: u32 = 1000;

pub(crate) async fn run(At { args, connect }: At<Audit>) -> Result<(), Failure> {
    let client = connect.client()?;
    if let Some(Action::Verify { head, output }) = args.action {
        return verify(&client, head.as_deref(), output).await;
    }
    let list = args.list;
    match list.output() {
        None => list.export(&client).await,
        Some(output) => {
            let records = list.newest(&client).await?;
            output.print(&records, || table::render(&records, output.is_wide(), now(), stdout_ink()))
        }
    }
}

fn hash(text: &str) -> Result<String, &'static str> {
    let is = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is { Ok(text.to_ascii_lowercase()) } else { Err("a hash has 64 hexadecimal digits") }
}

async fn verify(client: &Client, head: Option<&str>, output: Output) -> Result<(), Failure> {
    let noted = head;
    let proof = client.verify_audit(noted).await?;
    let AuditProofView { checked, head, fault } = &proof;
    let Some(fault) = fault else {
        return output.print(&proof, || {
            format!("{checked} records, none missing, none changed; the last hash is {head}")
        });
    };
    if matches!(output.format, Format::Json | Format::Yaml) {
        output.print(&proof, String::new)?;
    }
    let restored = match noted {
        Some(_) => "the store was restored from a backup that is older than this head, or ",
        None => "",
    };
    Err(Failure::new(format!("the audit log is broken: {}", crate::output::clean(fault)))
        .hint(format!("{restored}somebody has changed the store by hand, or it is damaged; compare with an export (`holm audit -o jsonl`) or a backup")))
}

// === impl List ===

impl List {
    /// None: an export.
    const fn output(&self) -> Option<Output> {
        let format = match self.format {
            AuditFormat::Table => Format::Table,
            AuditFormat::Wide => Format::Wide,
            AuditFormat::Json => Format::Json,
            AuditFormat::Yaml => Format::Yaml,
            AuditFormat::Jsonl => return None,
        };
        Some(Output { format })
    }

    fn query(&self, limit: u32) -> AuditQuery {
        let (who, verb, subject) = (self.who.clone(), self.verb.clone(), self.subject.clone());
        AuditQuery { who, verb, subject, limit: Some(limit.min(PAGE)), ..AuditQuery::default() }
    }

    /// The last records, in the order of time.
    async fn newest(&self, client: &Client) -> Result<Vec<AuditView>, Failure> {
        let tail = self.tail.unwrap_or(TAIL);
        let most = usize::try_from(tail).unwrap_or(usize::MAX);
        let mut records = Vec::new();
        let window = Window::new(self.since, self.until);
        // With a limit of time a page may hold many that do not count.
        let page = if window.until.is_some() { PAGE } else { tail };
        let wanted = |record: &AuditView| {
            if window.is_before(record) {
                return Take::NoMore;
            }
            if window.is_after(record) { Take::Skip } else { Take::This }
        };
        let mut query = self.query(page);
        while let Some(cursor) = self
            .take(client, &query, wanted, |record| {
                records.push(record);
                Ok(records.len() < most)
            })
            .await?
        {
            query.cursor = Some(cursor);
        }
        records.reverse();
        Ok(records)
    }

    /// Everything, page by page, so that it needs no memory.
    async fn export(&self, client: &Client) -> Result<(), Failure> {
        if self.tail.is_some() {
            return Err(Failure::wrong_use("an export begins with the oldest record: it has no -n")
                .hint("choose with --since and --until, or use `-o json`"));
        }
        let window = Window::new(self.since, self.until);
        // Clocks may have gone back: no record ends it.
        let wanted = |record: &AuditView| match window.is_before(record) || window.is_after(record) {
            true => Take::Skip,
            false => Take::This,
        };
        let mut query = AuditQuery { oldest_first: true, ..self.query(PAGE) };
        let output = Output { format: Format::Json };
        while let Some(cursor) = self
            .take(client, &query, wanted, |record| output.print_one(&record, String::new).map(|()| true))
            .await?
        {
            query.cursor = Some(cursor);
        }
        Ok(())
    }

    /// Hands over what is wanted of one page, until `on` says that it is enough; gives the place of the next one.
    async fn take(
        &self,
        client: &Client,
        query: &AuditQuery,
        wanted: impl Fn(&AuditView) -> Take,
        mut on: impl FnMut(AuditView) -> Result<bool, Failure>,
    ) -> Result<Option<String>, Failure> {
        let page = match &self.project {
            Some(project) => client.audit_of(project.as_str(), query).await?,
            None => client.audit(query).await?,
        };
        // The same page again brings nobody on.
        let next = page.next.filter(|next| query.cursor.as_ref() != Some(next));
        for record in page.items {
            match wanted(&record) {
                Take::Skip => {}
                Take::NoMore => return Ok(None),
                Take::This => {
                    if !on(record)? {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(next)
    }
}

enum Take {
    This,
    Skip,
    NoMore,
}

/// From when to when.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: Option<Time>,
    until: Option<Time>,
}

impl Window {
    fn new(since: Option<When>, until: Option<When>) -> Self {
        let now = now();
        Self { since: since.map(|when| when.before(now)), until: until.map(|when| when.before(now)) }
    }

    fn is_before(self, record: &AuditView) -> bool {
        self.since.is_some_and(|since| record.at < since)
    }

    fn is_after(self, record: &AuditView) -> bool {
        self.until.is_some_and(|until| record.at >= until)
    }
}
