//! `holm token create|ls|revoke`.

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand, ValueEnum};
use holm_model::access::Verb;
use holm_model::duration::Span;
use holm_model::name::Name;
use holm_model::view::{TokenRequest, TokenRole};

use crate::connect::{At, Connect};
use crate::failure::Failure;
use crate::output::time::{left, now};
use crate::output::{Output, stdout_ink, table};

#[derive(Args, Debug)]
pub(crate) struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Make a token; it is printed once
    Create(Create),
    /// List your tokens and those that you may revoke, without their secrets
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        output: Output,
    },
    /// Make a token void
    Revoke {
        /// Its id
        id: String,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Args, Debug)]
struct Create {
    /// What it lets somebody do: join as a node or cluster, or use the API as a person of this role may
    #[arg(long, value_enum)]
    role: RoleWord,
    /// Where an API token's role holds; may be given several times [default: the whole sea]
    #[arg(short, long, value_name = "NAME")]
    project: Vec<Name>,
    /// Only the application of this name, in each `--project`: for programs that deploy it
    #[arg(long, value_name = "NAME", requires = "project")]
    application: Option<Name>,
    /// Only these of the role's rights, as in `--verb read,logs`
    #[arg(long, value_name = "RIGHT", value_delimiter = ',', value_parser = PossibleValuesParser::new(Verb::ALL.map(Verb::word)).try_map(|word| word.parse::<Verb>()))]
    verb: Vec<Verb>,
    /// How long it is valid [default: 1h for joining, 30d for the API]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<Span>,
    /// How many members may join with it [default: 1]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    uses: Option<u32>,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleWord {
    Node,
    Cluster,
    Viewer,
    Operator,
    Admin,
}

impl From<RoleWord> for TokenRole {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Node => Self::Node,
            RoleWord::Cluster => Self::Cluster,
            RoleWord::Viewer => Self::Viewer,
            RoleWord::Operator => Self::Operator,
            RoleWord::Admin => Self::Admin,
        }
    }
}

pub(crate) async fn run(At { args, connect }: At<Token>) -> Result<(), Failure> {
    match args.action {
        Action::Create(create) => self::create(&create, &connect).await,
        Action::Ls { output } => {
            let tokens = connect.client()?.tokens().await?;
            output.print(&tokens, || table::render(&tokens, output.is_wide(), now(), stdout_ink()))
        }
        Action::Revoke { id, output } => {
            connect.client()?.revoke_token(&id).await?;
            output.print_done("revoked", &id, || format!("token {id} is void"))
        }
    }
}

async fn create(create: &Create, connect: &Connect) -> Result<(), Failure> {
    let request = TokenRequest {
        role: create.role.into(),
        ttl_seconds: create.ttl.map(|ttl| ttl.0.as_secs()),
        uses: create.uses,
        projects: (!create.project.is_empty()).then(|| create.project.clone()),
        application: create.application.clone(),
        verbs: (!create.verb.is_empty()).then(|| create.verb.iter().copied().collect()),
    };
    let created = connect.client()?.create_token(&request).await?;
    // The token alone on standard output, so that `$(holm token create …)` is the token.
    if matches!(create.output.format, crate::output::Format::Table | crate::output::Format::Wide) {
        let role = created.role.word();
        eprintln!(
            "token {} for {role}, valid for {}; shown only now:",
            created.id,
            left(created.expires, now())
        );
    }
    create.output.print(&created, || created.token.clone())
}
