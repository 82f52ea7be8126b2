//! The address under which the readings are seen: a port of this machine whose connections go by the
//! API, the links and the node to wherever the page runs now.

use std::net::SocketAddr;

use holm_client::Client;
use holm_model::view::query::InstanceQuery;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::PROJECT;
use crate::failure::Failure;

#[derive(Debug)]
pub(super) struct Forward {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

/// The service that shows the readings, and its port.
const SERVICE: (&str, &str) = ("web", "http");

// === impl Forward ===

impl Forward {
    pub(super) async fn start(client: Client, application: &str) -> Result<Self, Failure> {
        let failed = |e| Failure::from_error("no port is free on loopback", &e);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let accepting = tokio::spawn(accept(listener, client, application.to_owned()));
        Ok(Self { address, accepting })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, client: Client, application: String) {
    while let Ok((stream, _)) = listener.accept().await {
        let (client, application) = (client.clone(), application.clone());
        tokio::spawn(async move {
            if let Err(failure) = join(stream, &client, &application).await {
                tracing::debug!(%failure, "A connection was not forwarded.");
            }
        });
    }
}

async fn join(mut near: TcpStream, client: &Client, application: &str) -> Result<(), Failure> {
    let query = InstanceQuery {
        project: Some(PROJECT.to_owned()),
        application: Some(application.to_owned()),
        service: Some(SERVICE.0.to_owned()),
        state: Some("RUNNING".to_owned()),
        ..InstanceQuery::default()
    };
    let instances = client.instances(&query).await?;
    let found = instances.iter().find_map(|i| Some((i.id.as_deref()?, *i.ports.get(SERVICE.1)?)));
    let (id, port) = found.ok_or_else(|| Failure::new("the page does not run"))?;
    let mut far = client.connect_port(id, port).await?;
    tokio::io::copy_bidirectional(&mut near, &mut far)
        .await
        .map(drop)
        .map_err(|e| Failure::from_error("the connection broke", &e))
}
