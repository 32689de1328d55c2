//! Handing in mails: SMTP (RFC 5321) and its sister for delivery, LMTP (RFC 2033).

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Hands mails in at this port of 127.0.0.1, over one connection; `hello` is `LHLO` or `EHLO`.
pub(super) fn hand_in(port: u16, hello: &str, recipient: &str, mails: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let mut reader = BufReader::new(stream);
    let mut say = |said: &[u8], wanted: &str| {
        reader.get_mut().write_all(said).expect("the server takes it");
        let mut answer = String::new();
        while answer.get(3..4) != Some(" ") {
            answer.clear();
            assert_ne!(reader.read_line(&mut answer).expect("the server answers"), 0, "the server hung up");
        }
        assert!(answer.starts_with(wanted), "{answer}");
    };
    say(b"", "220");
    say(format!("{hello} localhost\r\n").as_bytes(), "250");
    for mail in mails {
        say(b"MAIL FROM:<sender@example.org>\r\n", "250");
        say(format!("RCPT TO:<{recipient}>\r\n").as_bytes(), "250");
        say(b"DATA\r\n", "354");
        say(&data(mail.as_ref()), "250");
    }
    say(b"QUIT\r\n", "221");
}

/// A mail as SMTP carries it: lines end with CRLF, a dot at the start of one is doubled, and a lone dot is the end
/// (RFC 5321, section 4.5.2).
fn data(mail: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(mail.len() + 1024);
    for line in mail.split(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            data.push(b'.');
        }
        data.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        data.extend_from_slice(b"\r\n");
    }
    data.extend_from_slice(b".\r\n");
    data
}
