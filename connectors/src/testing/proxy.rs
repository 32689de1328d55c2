//! A way to a server that can be troubled: for faults that a real server does not show on command.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What goes wrong on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Connections are closed as soon as they are made.
    Refusal,
    /// Connections are made, and nothing is ever said.
    Silence,
    /// These bytes are said, and the connection is closed.
    Says(&'static str),
    /// The connection is closed after the server has said so many bytes.
    CutAfter(usize),
}

/// Forwards a port on 127.0.0.1 to another one.
pub struct Proxy {
    /// Where to connect.
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: u16,
    trouble: Mutex<Option<Trouble>>,
    open: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Starts to forward to this port of 127.0.0.1.
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let port = listener.local_addr().expect("a bound port").port();
        let (trouble, open, stopped) = Default::default();
        let shared = Arc::new(Shared { target, trouble, open, stopped });
        let proxy = Self { port, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.stopped.load(Ordering::Relaxed) {
                    break;
                }
                shared.take(client);
            }
        });
        proxy
    }

    /// Closes what is open; from now on, connections run into this trouble.
    pub fn fail(&self, trouble: Trouble) {
        *lock(&self.shared.trouble) = Some(trouble);
        self.close();
    }

    /// Closes what is open; from now on, all goes well again.
    pub fn heal(&self) {
        *lock(&self.shared.trouble) = None;
        self.close();
    }

    fn close(&self) {
        for stream in lock(&self.shared.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn take(self: &Arc<Self>, mut client: TcpStream) {
        let trouble = *lock(&self.trouble);
        let limit = match trouble {
            Some(Trouble::Refusal) => return,
            Some(Trouble::Silence) => return self.keep(&client),
            Some(Trouble::Says(words)) => {
                let _ = client.write_all(words.as_bytes());
                return;
            }
            Some(Trouble::CutAfter(bytes)) => bytes,
            None => usize::MAX,
        };
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.target)) else { return };
        self.keep(&client);
        self.keep(&server);
        let clones = (client.try_clone(), server.try_clone());
        let (Ok(from_client), Ok(to_server)) = clones else { return };
        std::thread::spawn(move || forward(from_client, to_server, usize::MAX));
        std::thread::spawn(move || forward(server, client, limit));
    }

    fn keep(&self, stream: &TcpStream) {
        lock(&self.open).extend(stream.try_clone());
    }
}

/// Forwards at most so many bytes, then closes both.
fn forward(mut from: TcpStream, mut to: TcpStream, mut limit: usize) {
    let mut buffer = [0; 4096];
    while limit > 0
        && let Ok(read @ 1..) = from.read(&mut buffer)
    {
        let bytes = buffer.get(..read.min(limit)).unwrap_or_default();
        if to.write_all(bytes).is_err() {
            break;
        }
        limit -= bytes.len();
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.close();
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}
