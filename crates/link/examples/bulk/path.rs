//! A narrow path between the two: a proxy that lets so many bytes per second through, late.
//!
//! Towards the orchestrator all connections wait for the same bottleneck: in one queue, as in most
//! modems, or in one each, served in turn, as `fq_codel` does.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queue {
    Shared,
    Fair,
}

pub(crate) struct Path {
    pub(crate) address: SocketAddr,
}

/// Bytes per second: 20 Mbit/s.
const RATE: f64 = 2.5e6;
/// One way.
const DELAY: Duration = Duration::from_millis(20);
/// The bottleneck's queue: 200 ms worth of bytes, as in an ordinary modem.
const DEPTH: usize = 500_000;
const PACKET: usize = 1448;
/// So that no more waits in the proxy's own sockets.
const SOCKET: u32 = 32 * 1024;

/// Bytes of one connection on their way.
struct Packet {
    connection: u64,
    bytes: Vec<u8>,
    out: mpsc::UnboundedSender<(Instant, Vec<u8>)>,
    _room: OwnedSemaphorePermit,
}

struct Bottleneck {
    queue: Queue,
    waiting: Mutex<BTreeMap<u64, VecDeque<Packet>>>,
    arrived: Notify,
}

impl Path {
    pub(crate) const fn direct(address: SocketAddr) -> Self {
        Self { address }
    }

    pub(crate) async fn narrow(to: SocketAddr, queue: Queue) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SOCKET).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(16).unwrap();
        let address = listener.local_addr().unwrap();
        let bottleneck = Arc::new(Bottleneck { queue, waiting: Mutex::default(), arrived: Notify::new() });
        tokio::spawn(Arc::clone(&bottleneck).serve());
        tokio::spawn(async move {
            let shared = Arc::new(Semaphore::new(DEPTH));
            for connection in 0.. {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(to).await.unwrap();
                near.set_nodelay(true).unwrap();
                far.set_nodelay(true).unwrap();
                let room = match queue {
                    Queue::Shared => Arc::clone(&shared),
                    Queue::Fair => Arc::new(Semaphore::new(DEPTH)),
                };
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(Arc::clone(&bottleneck).forward(connection, near_in, late(far_out), room));
                tokio::spawn(back(far_in, late(near_out)));
            }
        });
        Self { address }
    }
}

impl Bottleneck {
    async fn forward(
        self: Arc<Self>,
        connection: u64,
        mut from: OwnedReadHalf,
        out: mpsc::UnboundedSender<(Instant, Vec<u8>)>,
        room: Arc<Semaphore>,
    ) {
        let mut buffer = vec![0; PACKET];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let size = u32::try_from(read).unwrap();
            let _room = Arc::clone(&room).acquire_many_owned(size).await.unwrap();
            let packet = Packet { connection, bytes: buffer[..read].to_vec(), out: out.clone(), _room };
            let key = if self.queue == Queue::Fair { connection } else { 0 };
            self.waiting.lock().unwrap().entry(key).or_default().push_back(packet);
            self.arrived.notify_one();
        }
    }

    async fn serve(self: Arc<Self>) {
        let (mut last, mut free) = (0, Instant::now());
        loop {
            let Some(packet) = self.next(last) else {
                self.arrived.notified().await;
                continue;
            };
            last = packet.connection;
            free = free.max(Instant::now()) + Duration::from_secs_f64(packet.bytes.len() as f64 / RATE);
            // Timers are coarse: only what is more than one of their steps away is waited for.
            if free > Instant::now() + Duration::from_millis(1) {
                sleep_until(free).await;
            }
            let _ = packet.out.send((free + DELAY, packet.bytes));
        }
    }

    /// The next connection's turn.
    fn next(&self, last: u64) -> Option<Packet> {
        let mut waiting = self.waiting.lock().unwrap();
        let turn = waiting.range(last + 1..).chain(waiting.range(..=last));
        let key = *turn.into_iter().find(|(_, queue)| !queue.is_empty())?.0;
        waiting.get_mut(&key)?.pop_front()
    }
}

/// Writes each piece at its time.
fn late(mut to: impl AsyncWriteExt + Unpin + Send + 'static) -> mpsc::UnboundedSender<(Instant, Vec<u8>)> {
    let (sender, mut pieces) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((at, bytes)) = pieces.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    sender
}

/// Nothing is narrow on the way back.
async fn back(mut from: OwnedReadHalf, out: mpsc::UnboundedSender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; PACKET];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if out.send((Instant::now() + DELAY, buffer[..read].to_vec())).is_err() {
            return;
        }
    }
}
