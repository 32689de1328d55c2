//! The connection below IMAP: TCP, TLS, and what a server may say at most.

use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use rustls::{CertificateError, Error as TlsError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::settings::{Security, Settings};
use crate::contract::ConnectorError;

/// Bytes of a mail that are asked for at once.
pub(super) const CHUNK: u32 = 256 << 10;
/// Bytes of a literal (RFC 3501, section 4.3): a chunk, and what a server may round it up to.
const LONGEST_LITERAL: usize = 2 * CHUNK as usize;
/// Bytes of a line outside literals.
const LONGEST_LINE: usize = 64 << 10;

/// A way to the server.
pub(super) trait Way: AsyncRead + AsyncWrite + Unpin + Send + Sync + Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync + Debug> Way for T {}

/// Connects, with TLS where that comes first.
pub(super) async fn connect(settings: &Settings) -> Result<Bounded, ConnectorError> {
    let Settings { host, port, .. } = settings;
    let stream = TcpStream::connect((host.as_str(), *port))
        .await
        .map_err(|error| ConnectorError::network(format!("cannot connect to {host}:{port}: {error}")))?;
    // Commands are short and wait for their answers.
    let _ = stream.set_nodelay(true);
    let way: Box<dyn Way> = Box::new(stream);
    if settings.security == Security::Tls { encrypt(settings, way).await } else { Ok(Bounded::new(way)) }
}

/// Puts TLS over a connection.
pub(super) async fn encrypt(settings: &Settings, way: Box<dyn Way>) -> Result<Bounded, ConnectorError> {
    let host = &settings.host;
    let name = ServerName::try_from(host.clone()).map_err(|_| {
        ConnectorError::configuration(format!("`{host}` cannot be the name in a certificate: check `host`"))
    })?;
    let stream = TlsConnector::from(settings.tls.clone()).connect(name, way).await;
    Ok(Bounded::new(Box::new(stream.map_err(|error| tls_error(settings, &error))?)))
}

fn tls_error(settings: &Settings, error: &io::Error) -> ConnectorError {
    let Settings { host, port, .. } = settings;
    let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    match reason {
        Some(TlsError::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            ConnectorError::remote(format!(
                "the certificate of {host}:{port} has expired: its operator has to renew it"
            ))
        }
        Some(TlsError::InvalidCertificate(reason)) => ConnectorError::configuration(format!(
            "the certificate of {host}:{port} is not trusted ({reason}): check `host`; for a private authority, set \
             `ca_file` to its certificate"
        )),
        Some(TlsError::InvalidMessage(_)) => ConnectorError::configuration(format!(
            "{host}:{port} does not speak TLS: check `port`, or set `security = \"starttls\"`"
        )),
        _ => ConnectorError::network(format!("no TLS with {host}:{port}: {}", error.kind())),
    }
}

/// A connection on which a server that says too much is cut off: the IMAP library keeps a whole
/// response in memory, and makes room for a literal as soon as it is announced.
#[derive(Debug)]
pub(super) struct Bounded {
    way: Box<dyn Way>,
    meter: Meter,
}

impl Bounded {
    pub(super) fn new(way: Box<dyn Way>) -> Self {
        Self { way, meter: Meter::default() }
    }

    pub(super) fn into_way(self) -> Box<dyn Way> {
        self.way
    }
}

impl AsyncRead for Bounded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.way).poll_read(cx, buf);
        let fits = buf.filled().get(before..).is_none_or(|bytes| self.meter.take(bytes));
        if fits {
            read
        } else {
            Poll::Ready(Err(io::Error::new(io::ErrorKind::FileTooLarge, "the server says more than was asked for")))
        }
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.way).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.way).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.way).poll_shutdown(cx)
    }
}

/// Measures lines and literals as they pass.
#[derive(Debug, Default)]
struct Meter {
    /// Bytes of the current line, literals not counted.
    line: usize,
    /// Bytes of the current literal that are still to come.
    literal: usize,
    /// Literals of the current response.
    literals: usize,
    /// A number in braces that may announce a literal: `{123}` at the end of a line.
    announced: Option<usize>,
    closed: bool,
}

impl Meter {
    /// A response of ours holds one literal; a folder's name may be another.
    const MOST_LITERALS: usize = 8;

    /// False when it is too much.
    fn take(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let inside = self.literal.min(bytes.len());
            self.literal -= inside;
            bytes = bytes.get(inside..).unwrap_or_default();
            let Some((byte, rest)) = bytes.split_first() else { break };
            bytes = rest;
            self.line += 1;
            match byte {
                b'{' => (self.announced, self.closed) = (Some(0), false),
                b'0'..=b'9' if !self.closed => {
                    let more = |number: usize| number.saturating_mul(10).saturating_add(usize::from(byte - b'0'));
                    self.announced = self.announced.map(more);
                }
                b'}' => self.closed = self.announced.is_some(),
                b'\r' => {}
                b'\n' if self.closed => {
                    self.literal = self.announced.take().unwrap_or(0);
                    self.literals += 1;
                    self.closed = false;
                }
                b'\n' => *self = Self::default(),
                _ => (self.announced, self.closed) = (None, false),
            }
            if self.line > LONGEST_LINE || self.literal > LONGEST_LITERAL || self.literals > Self::MOST_LITERALS {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passes(parts: &[&[u8]]) -> bool {
        let mut meter = Meter::default();
        parts.iter().all(|part| meter.take(part))
    }

    #[test]
    fn a_server_may_not_say_too_much() {
        assert!(passes(&[b"* 1 FETCH (UID 7 BODY[]<0> {5}\r\n{99999999999}\r\n)\r\n"]));
        assert!(!passes(&[b"* 1 FETCH (UID 7 BODY[]<0> {99999999999}\r\n"]));
        assert!(!passes(&[b"* 1 FETCH (BODY[] {99999999999999999999999999}\r\n"]));
        assert!(!passes(&[&[b'x'; LONGEST_LINE + 1]]));
        assert!(passes(&[&b"* OK x\r\n".repeat(LONGEST_LINE)]));
        assert!(!passes(&[&b"{1}\r\nx".repeat(9)]));
        assert!(passes(&[b"* 1 FETCH (X {524288}\r\n", &[b'{'; LONGEST_LITERAL], b" Y {1}\r\n", b"x)\r\n"]));
    }

    proptest! {
        /// Where the bytes are cut makes no difference.
        #[test]
        fn cuts_change_nothing(text in "([a-z{}0-9 ]{0,6}|\\{[0-9]{1,7}\\}\r\n|\r\n){0,20}", at in 0_usize..100) {
            let bytes = text.as_bytes();
            let (left, right) = bytes.split_at(at.min(bytes.len()));
            let (mut whole, mut cut) = (Meter::default(), Meter::default());
            let fits = whole.take(bytes);
            prop_assert_eq!(fits, cut.take(left) && cut.take(right));
        }
    }
}
