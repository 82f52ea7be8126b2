//! A long way to a TCP address: whatever goes through arrives later, in order, either way.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Forwards connections to `target` for as long as the test runs; `way`: one way.
///
/// # Returns
/// Where it listens.
pub(crate) fn far(target: &str, way: Duration) -> SocketAddr {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("its address");
    let target = target.to_owned();
    thread::spawn(move || {
        for near in listener.incoming() {
            let (Ok(near), Ok(far)) = (near, TcpStream::connect(&target)) else { continue };
            for (from, to) in [(&near, &far), (&far, &near)] {
                let _ = to.set_nodelay(true);
                // A connection that broke meanwhile is as good as one that breaks later.
                let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                thread::spawn(move || carry(from, to, way));
            }
        }
    });
    address
}

fn carry(mut from: TcpStream, mut to: TcpStream, way: Duration) {
    let (sender, waiting) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        for (due, bytes) in waiting {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if sender.send((Instant::now() + way, buffer[..count].to_vec())).is_err() {
            return;
        }
    }
}
