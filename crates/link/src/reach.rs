//! TCP to an orchestrator: directly, by whichever of its addresses answers, or through a proxy.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::captive::Captive;
use crate::proxy::{self, Proxies, ProxyError};

/// The orchestrator could not be reached. Nothing was sent to it: the same may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("`{address}` is not `host:port` or cannot be resolved; check the address and DNS")]
    Resolve { address: String, source: io::Error },
    #[error("`{address}` cannot be reached; check the address, the firewall, and whether it runs")]
    Unreachable { address: String, source: io::Error },
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Captive(#[from] Captive),
}

/// As [`ConnectError`], for whichever host is meant.
#[derive(Debug)]
pub(crate) enum DirectError {
    Resolve(io::Error),
    Unreachable(io::Error),
}

/// The next address is tried when the one before has not answered for so long (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);
/// For one address of several.
const TRY: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
const MOST: usize = 8;

/// A TCP connection to `address` (`host:port`), each of at most three steps within `limit`.
pub(crate) async fn connect(
    address: &str,
    proxies: &Proxies,
    limit: Duration,
) -> Result<TcpStream, ConnectError> {
    let tcp = match proxies.for_address(address) {
        Some(proxy) => proxy::connect(proxy, address, limit).await?,
        None => direct(address, limit).await.map_err(|error| match error {
            DirectError::Resolve(source) => ConnectError::Resolve { address: address.to_owned(), source },
            DirectError::Unreachable(source) => {
                ConnectError::Unreachable { address: address.to_owned(), source }
            }
        })?,
    };
    // Only a matter of latency: a failure changes nothing else.
    let _ = tcp.set_nodelay(true);
    Ok(tcp)
}

/// A TCP connection to the first address of `address` that answers, within `limit` in all.
pub(crate) async fn direct(address: &str, limit: Duration) -> Result<TcpStream, DirectError> {
    let deadline = Instant::now() + limit;
    let found = timeout_at(deadline, lookup_host(address)).await;
    let found = found.map_err(|late| DirectError::Resolve(late.into()))?.map_err(DirectError::Resolve)?;
    let racing = timeout_at(deadline, race(in_turns(found.collect()), limit));
    racing.await.unwrap_or_else(|late| Err(late.into())).map_err(DirectError::Unreachable)
}

/// How long the TCP handshake takes, directly and never by a proxy; the connection is closed at once, nothing is sent.
///
/// # Errors
/// When nobody accepts it within `limit`.
pub async fn round_trip(address: SocketAddr, limit: Duration) -> io::Result<Duration> {
    let begun = Instant::now();
    timeout(limit, TcpStream::connect(address)).await.unwrap_or_else(|late| Err(late.into()))?;
    Ok(begun.elapsed())
}

/// One of either family in turn, beginning with what the system prefers.
fn in_turns(found: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first = found.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|a| a.is_ipv6() == first);
    let (mut preferred, mut others) = (preferred.into_iter(), others.into_iter());
    let pairs = std::iter::from_fn(|| {
        let pair = [preferred.next(), others.next()];
        pair.iter().any(Option::is_some).then_some(pair)
    });
    pairs.flatten().flatten().take(MOST).collect()
}

/// Connects to whichever answers first; each begins when the one before it has failed, or is slow.
async fn race(mut waiting: VecDeque<SocketAddr>, limit: Duration) -> io::Result<TcpStream> {
    let each = if waiting.len() > 1 { TRY.min(limit) } else { limit };
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    let mut trying = FuturesUnordered::new();
    loop {
        match waiting.pop_front() {
            Some(address) => trying.push(timeout(each, TcpStream::connect(address))),
            None if trying.is_empty() => return Err(last),
            None => {}
        }
        let ended = tokio::select! {
            Some(ended) = trying.next() => ended,
            () = sleep(STAGGER), if !waiting.is_empty() => continue,
        };
        match ended {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(late) => last = late.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_a_long_list_is_cut() {
        let found = addresses(&["[2001:db8::1]:1", "[2001:db8::2]:1", "192.0.2.1:1", "[2001:db8::3]:1"]);
        let expected = addresses(&["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1", "[2001:db8::3]:1"]);
        assert_eq!(in_turns(found), expected);
        let many = (0..100).map(|n| SocketAddr::from(([192, 0, 2, n], 1))).collect();
        assert_eq!(in_turns(many).len(), MOST);
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_passed_over_at_once() {
        let alive = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
        let dead = {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap()
        };
        let started = Instant::now();
        let tcp = race(VecDeque::from([dead, alive.local_addr().unwrap()]), TRY).await.unwrap();
        assert_eq!(tcp.peer_addr().unwrap(), alive.local_addr().unwrap());
        assert!(started.elapsed() < STAGGER, "a refusal is not waited out");
        let error = race(VecDeque::from([dead]), TRY).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_literal_address_of_either_family_needs_no_name_server() {
        for literal in ["127.0.0.1:0", "[::1]:0"] {
            let listener = tokio::net::TcpListener::bind(literal).await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            connect(&address, &Proxies::none(), TRY).await.unwrap();
        }
        let error = connect("no port", &Proxies::none(), TRY).await.unwrap_err();
        assert!(matches!(error, ConnectError::Resolve { .. }), "{error}");
    }
}
