//! `holm port-forward`: ports of this machine, whose connections go to an instance by a tunnel each.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use clap::Args;
use holm_client::{Client, PortStream};
use holm_model::access::{Scope, Verb};
use holm_model::name::Name;
use holm_model::view::InstanceView;
use holm_model::view::query::InstanceQuery;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Project, pick};
use crate::connect::At;
use crate::failure::Failure;
use crate::output::say;

#[derive(Args, Debug)]
pub(crate) struct PortForward {
    /// An instance (by id or slot), or a service as in `app/web`
    target: String,
    /// Ports by number on the node or by name, as in `8080`, `http`, `9000:http`; 0 takes a free one
    #[arg(required = true, value_name = "[LOCAL:]PORT")]
    ports: Vec<Forward>,
    /// The address of this machine to listen on; whoever reaches it reaches the instance
    #[arg(short, long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
    #[command(flatten)]
    project: Project,
}

/// One port of this machine, and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Forward {
    /// `None`: the same number, if it is one; else a free one.
    local: Option<u16>,
    port: Port,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Port {
    Number(u16),
    Name(String),
}

/// The instances that connections may go to.
#[derive(Debug)]
struct Ends {
    client: Client,
    project: String,
    application: String,
    service: String,
    /// The only one that was named; a replacement takes its place.
    slot: Option<String>,
}

/// Connections at once; an orchestrator bounds them, too.
const MOST: usize = 256;
/// Bytes on their way in each direction.
const BUFFER: usize = 64 * 1024;

pub(crate) async fn run(At { args, connect }: At<PortForward>) -> Result<(), Failure> {
    let (client, project) = (connect.client()?, args.project.of(&connect)?);
    // Now, and not when the first connection comes.
    if !client.whoami().await?.grants.allows(Verb::Forward, Scope::Project(project.as_str())) {
        let why = format!("you may not `forward` in project `{project}`");
        return Err(Failure::new(why).hint("`holm whoami` shows what you may do"));
    }
    let ends = Arc::new(Ends::find(client, &project, &args.target, &args.ports).await?);
    let mut accepting = JoinSet::new();
    for forward in args.ports {
        let listener = forward.listen(args.address).await?;
        let at = listener.local_addr().map_err(|error| Failure::from_error("no local address", &error))?;
        say(&format!("{at} leads to {} of {ends}", forward.port))?;
        accepting.spawn(accept(listener, Arc::clone(&ends), forward.port));
    }
    let listen =
        |kind| signal(kind).map_err(|error| Failure::from_error("cannot listen for signals", &error));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        Some(Ok(failure)) = accepting.join_next() => Err(failure),
    }
}

/// Accepts for ever; why it could not go on.
async fn accept(listener: TcpListener, ends: Arc<Ends>, port: Port) -> Failure {
    let room = Arc::new(Semaphore::new(MOST));
    loop {
        // Never closed. Whoever comes when there is no room waits in the kernel.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { continue };
        let near = match listener.accept().await {
            Ok((near, _)) => near,
            Err(error) => return Failure::from_error("no more connections can be taken", &error),
        };
        let (ends, port) = (Arc::clone(&ends), port.clone());
        tokio::spawn(async move {
            match ends.connect(&port).await {
                // How it ends is between the two.
                Ok(far) => drop(join(near, far).await),
                Err(failure) => eprintln!("warning: a connection was not forwarded: {failure}"),
            }
            drop(permit);
        });
    }
}

async fn join(mut near: TcpStream, mut far: PortStream) -> std::io::Result<()> {
    near.set_nodelay(true)?;
    tokio::io::copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER).await.map(drop)
}

// === impl Forward ===

impl std::str::FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (local, port) = match text.split_once(':') {
            None => (None, text),
            Some((local, port)) => {
                let number = local.parse().map_err(|_| format!("`{local}` is no port of this machine"))?;
                (Some(number), port)
            }
        };
        let port = match port.parse() {
            Ok(0) | Err(_) if port.is_empty() || port.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(format!("`{port}` is no port"));
            }
            Ok(number) => Port::Number(number),
            Err(_) => Port::Name(port.to_owned()),
        };
        Ok(Self { local, port })
    }
}

impl Forward {
    async fn listen(&self, address: IpAddr) -> Result<TcpListener, Failure> {
        let local = self.local.unwrap_or(match self.port {
            Port::Number(number) => number,
            Port::Name(_) => 0,
        });
        let at = SocketAddr::new(address, local);
        TcpListener::bind(at).await.map_err(|error| {
            let port = &self.port;
            Failure::from_error(format!("cannot listen on {at}"), &error)
                .hint(format!("take another port of this machine, as in `0:{port}`"))
        })
    }
}

// === impl Port ===

impl Port {
    /// Its number on the node of this instance.
    fn of(&self, instance: &InstanceView) -> Option<u16> {
        match self {
            Self::Number(number) => instance.ports.values().find(|own| *own == number).copied(),
            Self::Name(name) => instance.ports.get(name).copied(),
        }
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "port {number}"),
            Self::Name(name) => write!(f, "port `{name}`"),
        }
    }
}

// === impl Ends ===

impl Ends {
    /// Refuses what leads nowhere before anybody connects.
    async fn find(client: Client, project: &Name, target: &str, ports: &[Forward]) -> Result<Self, Failure> {
        let instances = pick::all(&client, project, target).await?;
        let first = instances.first().ok_or_else(|| {
            Failure::new(format!("nothing of `{target}` runs")).hint("`holm get instances` tells why")
        })?;
        if let Some(other) = instances.iter().find(|other| other.service != first.service) {
            let (one, two) = (&first.service, &other.service);
            return Err(Failure::wrong_use(format!("`{target}` has several services: {one}, {two}"))
                .hint(format!("name one of them, as in `{}/{one}`", first.application)));
        }
        for Forward { port, .. } in ports {
            if !instances.iter().any(|instance| port.of(instance).is_some()) {
                let there: Vec<_> =
                    first.ports.iter().map(|(name, port)| format!("{name} ({port})")).collect();
                let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
                return Err(Failure::new(format!("`{target}` has no {port}; it has {there}")));
            }
        }
        // An id may be of another project than names.
        let (project, application, service) =
            (first.project.clone(), first.application.clone(), first.service.clone());
        let whole = target == application || target == format!("{application}/{service}");
        let slot = (!whole).then(|| first.slot.clone());
        Ok(Self { client, project, application, service, slot })
    }

    /// A tunnel to the first instance that takes it.
    async fn connect(&self, port: &Port) -> Result<PortStream, Failure> {
        let mut failed = None;
        for instance in self.candidates().await? {
            let (Some(id), Some(number)) = (&instance.id, port.of(&instance)) else { continue };
            match self.client.connect_port(id, number).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = Some(Failure::from(error)),
            }
        }
        Err(failed.unwrap_or_else(|| Failure::new(format!("no instance of {self} with {port} runs now"))))
    }

    async fn candidates(&self) -> Result<Vec<InstanceView>, Failure> {
        let query = InstanceQuery {
            project: Some(self.project.clone()),
            application: Some(self.application.clone()),
            service: Some(self.service.clone()),
            state: Some("RUNNING".to_owned()),
            ..InstanceQuery::default()
        };
        let mut instances = self.client.instances(&query).await?;
        instances.retain(|instance| self.slot.as_ref().is_none_or(|slot| *slot == instance.slot));
        instances.sort_by_key(|instance| instance.held);
        Ok(instances)
    }
}

impl std::fmt::Display for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.application, self.slot.as_ref().unwrap_or(&self.service))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_numbers_and_names() {
        let parse = |text: &str| text.parse::<Forward>();
        assert_eq!(parse("80").unwrap(), Forward { local: None, port: Port::Number(80) });
        assert_eq!(parse("0:http").unwrap(), Forward { local: Some(0), port: Port::Name("http".into()) });
        assert_eq!(parse("9000:80").unwrap(), Forward { local: Some(9000), port: Port::Number(80) });
        for bad in ["", "0", "70000", "x:80", "80:", "99999:80", ":80"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
