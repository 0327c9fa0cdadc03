//! A relay between program and gateway that counts what passes, and holds or breaks connections at a known byte: so a
//! test meets a transfer in its middle without waiting by the clock.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use crate::store::DEADLINE;

/// What happens to bytes in one direction.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    Pass,
    /// After so many bytes of all connections together, once: they wait for an order.
    Hold(u64),
    /// After so many bytes of each connection: it breaks.
    Break(u64),
}

/// What becomes of a connection that was held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    GoOn,
    Cut,
}

pub(crate) struct Relay {
    port: u16,
    up: Arc<Way>,
    down: Arc<Way>,
    held: mpsc::Receiver<()>,
    orders: mpsc::Sender<Order>,
}

/// One direction.
struct Way {
    bytes: AtomicU64,
    then: Then,
    holds: AtomicBool,
    held: mpsc::Sender<()>,
    orders: Arc<Mutex<mpsc::Receiver<Order>>>,
}

impl Relay {
    /// Listens on a port (0: any) and relays to the gateway.
    pub(crate) fn start(port: u16, gateway: u16, up: Then, down: Then) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, held) = mpsc::channel();
        let (orders, ordered) = mpsc::channel();
        let ordered = Arc::new(Mutex::new(ordered));
        let way = |then| {
            Arc::new(Way {
                bytes: AtomicU64::new(0),
                then,
                holds: AtomicBool::new(true),
                held: tell.clone(),
                orders: Arc::clone(&ordered),
            })
        };
        let (up, down) = (way(up), way(down));
        let ways = (Arc::clone(&up), Arc::clone(&down));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, gateway) =
                    (client.unwrap(), TcpStream::connect(("127.0.0.1", gateway)).unwrap());
                let back = (gateway.try_clone().unwrap(), client.try_clone().unwrap());
                let (up, down) = (Arc::clone(&ways.0), Arc::clone(&ways.1));
                std::thread::spawn(move || up.pump(client, gateway));
                std::thread::spawn(move || down.pump(back.0, back.1));
            }
        });
        Self { port, up, down, held, orders }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Bytes the gateway got.
    pub(crate) fn up(&self) -> u64 {
        self.up.bytes.load(Ordering::SeqCst)
    }

    /// Bytes the program was sent.
    pub(crate) fn down(&self) -> u64 {
        self.down.bytes.load(Ordering::SeqCst)
    }

    /// Returns when a connection is held.
    pub(crate) fn wait_held(&self) {
        self.held.recv_timeout(DEADLINE).unwrap();
    }

    pub(crate) fn order(&self, order: Order) {
        self.orders.send(order).unwrap();
    }
}

impl Way {
    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        let mut passed = 0;
        while let Ok(bytes @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..bytes]).is_err() {
                break;
            }
            passed += bytes as u64;
            let total = self.bytes.fetch_add(bytes as u64, Ordering::SeqCst) + bytes as u64;
            let goes_on = match self.then {
                Then::Hold(most) if total >= most && self.holds.swap(false, Ordering::SeqCst) => self.hold(),
                Then::Break(most) => passed < most,
                _ => true,
            };
            if !goes_on {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    /// Waits for an order; none comes any more when the test is over.
    fn hold(&self) -> bool {
        let _ = self.held.send(());
        self.orders.lock().unwrap().recv() == Ok(Order::GoOn)
    }
}
