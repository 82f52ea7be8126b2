//! Connecting to an instance on this very machine.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

const CONNECT_TIME: Duration = Duration::from_secs(5);

/// A connection to a port of the node that an instance listens on.
pub(crate) async fn instance(port: u16) -> io::Result<TcpStream> {
    let both = async {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
            Ok(stream) => Ok(stream),
            Err(error) => TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.map_err(|_| error),
        }
    };
    let stream = timeout(CONNECT_TIME, both).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}
