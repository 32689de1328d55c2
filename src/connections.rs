//! HTTP connections of every server here: bounded in number, and finished in peace once the server stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 256;
/// How long answers may go on once a server stops.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Accepts connections until `stop` resolves, and answers each with what `connection` makes of it; then waits for the
/// answers that are under way, at most [`GRACE`].
pub(crate) async fn serve<C>(
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    connection: impl Fn(TcpStream, SocketAddr) -> C,
) where
    C: GracefulConnection<Error = hyper::Error> + Send + 'static,
{
    let mut stop = std::pin::pin!(stop);
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (listener.accept().await, slot)
        };
        let (stream, peer, slot) = tokio::select! {
            () = &mut stop => break,
            (accepted, slot) = accepted => match accepted {
                Ok((stream, peer)) => (stream, peer, slot),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Out of file descriptors, most likely: let some connections end.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            Some(_ended) = connections.join_next() => continue,
        };
        let _ = stream.set_nodelay(true);
        let connection = graceful.watch(connection(stream, peer));
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        connections.shutdown().await;
    }
}
