//! `holm get`: lists, once or for as long as somebody watches.

use std::collections::BTreeMap;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use holm_client::Client;
use holm_model::name::Name;
use holm_model::view::query::{AuditQuery, INSTANCE_STATES, InstanceQuery};

use super::pulse::Pulse;
use crate::connect::{At, Connect};
use crate::failure::Failure;
use crate::output;
use crate::output::services::Service;
use crate::output::table::Listed;
use crate::output::time::now;
use crate::output::{Format, Output, stdout_ink, table};

#[derive(Args, Debug)]
pub(crate) struct Get {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Instances, and slots that wait for one
    #[command(visible_aliases = ["instance", "inst", "i"])]
    Instances {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        list: List,
    },
    /// Nodes, those of clusters included
    #[command(visible_aliases = ["node", "n"])]
    Nodes(List),
    /// Clusters
    #[command(visible_aliases = ["cluster", "c"])]
    Clusters(List),
    /// Applications
    #[command(visible_aliases = ["application", "apps", "app", "a"])]
    Applications {
        #[command(flatten)]
        projects: Projects,
        #[command(flatten)]
        list: List,
    },
    /// Services of applications
    #[command(visible_aliases = ["service", "svc"])]
    Services {
        #[command(flatten)]
        projects: Projects,
        #[command(flatten)]
        list: List,
    },
    /// Nodes and clusters that are members of this orchestrator
    #[command(visible_alias = "member")]
    Members(List),
    /// Ports of this orchestrator that lead to services
    #[command(visible_aliases = ["exposure", "exposed"])]
    Exposures(List),
    /// Tokens, without their secrets
    #[command(visible_alias = "token")]
    Tokens(List),
    /// Who did what, the newest last
    Audit {
        /// How many of the last records
        #[arg(long, default_value_t = 100, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
        tail: u32,
        #[command(flatten)]
        list: List,
    },
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only these, by name or id
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Go on with what changes
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Args, Clone, Debug)]
struct Filter {
    #[command(flatten)]
    projects: Projects,
    /// Of an application
    #[arg(short, long, value_name = "NAME")]
    application: Option<String>,
    /// Of a service
    #[arg(short, long, value_name = "NAME")]
    service: Option<String>,
    /// On a node
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// In a cluster
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// In a state
    #[arg(long, ignore_case = true, hide_possible_values = true, value_parser = PossibleValuesParser::new(INSTANCE_STATES))]
    state: Option<String>,
}

/// How much is said of what waits for people to decide.
#[derive(Clone, Copy, Debug)]
enum Notes {
    /// A line that leads to the rest.
    Brief,
    Full,
}

/// One project, or all that one may see.
#[derive(Args, Clone, Debug)]
struct Projects {
    /// Of one project only [default: the context's, or all]
    #[arg(short, long, env = "HOLM_PROJECT", value_name = "NAME")]
    project: Option<Name>,
    /// Of all projects, whatever the context says
    #[arg(short = 'A', long)]
    all_projects: bool,
}

// === impl Projects ===

impl Projects {
    fn one(&self, connect: &Connect) -> Result<Option<String>, Failure> {
        if self.all_projects {
            return Ok(None);
        }
        Ok(connect.project_if_any(self.project.as_ref())?.map(|project| project.to_string()))
    }
}

// === impl Filter ===

impl Filter {
    fn query(self, connect: &Connect) -> Result<InstanceQuery, Failure> {
        let project = self.projects.one(connect)?;
        let Self { application, service, node, cluster, state, .. } = self;
        let state = state.map(|state| state.to_ascii_uppercase());
        Ok(InstanceQuery { project, application, service, node, cluster, state, limit: None, cursor: None })
    }
}

type Listing<T> = Result<Vec<T>, holm_client::Error>;

pub(crate) async fn run(At { args: Get { what }, connect }: At<Get>) -> Result<(), Failure> {
    match what {
        What::Instances { filter, list } => {
            let query = filter.query(&connect)?;
            list.show(&connect, async |client: &Client| client.instances(&query).await).await
        }
        What::Nodes(list) => list.show(&connect, async |client: &Client| client.nodes().await).await,
        What::Clusters(list) => list.show(&connect, async |client: &Client| client.clusters().await).await,
        What::Applications { projects, list } => match projects.one(&connect)? {
            None => list.show(&connect, async |client: &Client| client.applications().await).await,
            Some(project) => {
                list.show(&connect, async |client: &Client| client.applications_of(&project).await).await
            }
        },
        What::Services { projects, list } => {
            let project = projects.one(&connect)?;
            let fetch = async |client: &Client| {
                let applications = match &project {
                    None => client.applications().await?,
                    Some(project) => client.applications_of(project).await?,
                };
                Ok(applications.into_iter().flat_map(Service::of).collect())
            };
            list.show(&connect, fetch).await
        }
        What::Members(list) => list.show(&connect, async |client: &Client| client.members().await).await,
        What::Exposures(list) => list.show(&connect, async |client: &Client| client.exposures().await).await,
        What::Tokens(list) => list.show(&connect, async |client: &Client| client.tokens().await).await,
        What::Audit { tail, list } => {
            let query = AuditQuery { limit: Some(tail), ..AuditQuery::default() };
            let newest_last = async |client: &Client| {
                let mut records = client.audit(&query).await?.items;
                records.reverse();
                Ok(records)
            };
            list.show(&connect, newest_last).await
        }
    }
}

/// `holm node ls`.
pub(crate) async fn nodes(At { args, connect }: At<List>) -> Result<(), Failure> {
    args.show_with(Notes::Full, &connect, async |client: &Client| client.nodes().await).await
}

/// `holm cluster ls`.
pub(crate) async fn clusters(At { args, connect }: At<List>) -> Result<(), Failure> {
    args.show_with(Notes::Full, &connect, async |client: &Client| client.clusters().await).await
}

// === impl List ===

impl List {
    async fn show<T: Listed>(
        &self,
        connect: &Connect,
        fetch: impl AsyncFn(&Client) -> Listing<T>,
    ) -> Result<(), Failure> {
        self.show_with(Notes::Brief, connect, fetch).await
    }

    async fn show_with<T: Listed>(
        &self,
        notes: Notes,
        connect: &Connect,
        fetch: impl AsyncFn(&Client) -> Listing<T>,
    ) -> Result<(), Failure> {
        let client = connect.client()?;
        if self.watch {
            return self.watch(&client, fetch).await;
        }
        let items = self.chosen(fetch(&client).await?);
        if let Some(missing) = self.missing(&items) {
            return Err(Failure::new(format!("nothing is called `{missing}`")));
        }
        self.output.print(&items, || table::render(&items, self.output.is_wide(), now(), stdout_ink()))?;
        if matches!(self.output.format, Format::Table | Format::Wide) {
            let waiting: Vec<_> = items.iter().flat_map(Listed::waits).collect();
            match notes {
                Notes::Full => eprint!("{}", output::notes::explain(&waiting)),
                Notes::Brief => output::notes::brief(&waiting).iter().for_each(|line| eprintln!("\n{line}")),
            }
        }
        Ok(())
    }

    fn chosen<T: Listed>(&self, items: Vec<T>) -> Vec<T> {
        let wanted =
            |item: &T| self.names.is_empty() || item.names().iter().any(|name| self.names.contains(name));
        items.into_iter().filter(wanted).collect()
    }

    fn missing<T: Listed>(&self, items: &[T]) -> Option<&str> {
        let there = |name: &&String| items.iter().any(|item| item.names().contains(name));
        self.names.iter().find(|name| !there(name)).map(String::as_str)
    }

    /// All rows first, then those that changed.
    async fn watch<T: Listed>(
        &self,
        client: &Client,
        fetch: impl AsyncFn(&Client) -> Listing<T>,
    ) -> Result<(), Failure> {
        let mut pulse = Pulse::open(client).await?;
        let mut known: BTreeMap<String, serde_json::Value> = BTreeMap::new();
        loop {
            let items = self.chosen(fetch(client).await?);
            let (mut changed, mut now_known) = (Vec::new(), BTreeMap::new());
            for item in items {
                let value = serde_json::to_value(&item).unwrap_or_default();
                if known.get(&item.key()) != Some(&value) {
                    changed.push(item);
                    now_known.extend(changed.last().map(|item| (item.key(), value)));
                } else {
                    now_known.insert(item.key(), value);
                }
            }
            let first = known.is_empty();
            known = now_known;
            self.print_changed(&changed, first)?;
            pulse.beat().await?;
        }
    }

    fn print_changed<T: Listed>(&self, changed: &[T], first: bool) -> Result<(), Failure> {
        if changed.is_empty() {
            return Ok(());
        }
        if matches!(self.output.format, Format::Json | Format::Yaml) {
            return changed.iter().try_for_each(|item| self.output.print_one(item, String::new));
        }
        let text = table::render_first(changed, self.output.is_wide(), now(), stdout_ink());
        // The header stands once.
        let body = if first { text.as_str() } else { text.split_once('\n').map_or("", |(_, rows)| rows) };
        crate::output::say(body)
    }
}
