//! Handing in mails: SMTP (RFC 5321) and its sister for delivery, LMTP (RFC 2033).

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Hands mails in at this port of 127.0.0.1, over one connection; `hello` is `LHLO` or `EHLO`.
pub(super) fn hand_in<'m>(port: u16, hello: &str, recipient: &str, mails: impl IntoIterator<Item = &'m str>) {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let mut reader = BufReader::new(stream);
    let mut say = |line: &str, wanted: &str| {
        if !line.is_empty() {
            reader.get_mut().write_all(format!("{line}\r\n").as_bytes()).expect("the server takes it");
        }
        let mut answer = String::new();
        while answer.get(3..4) != Some(" ") {
            answer.clear();
            assert_ne!(reader.read_line(&mut answer).expect("the server answers"), 0, "the server hung up");
        }
        assert!(answer.starts_with(wanted), "{answer}");
    };
    say("", "220");
    say(&format!("{hello} localhost"), "250");
    for mail in mails {
        say("MAIL FROM:<sender@example.org>", "250");
        say(&format!("RCPT TO:<{recipient}>"), "250");
        say("DATA", "354");
        let lines = mail.replace("\r\n", "\n").replace("\n.", "\n..").replace('\n', "\r\n");
        say(&format!("{lines}\r\n."), "250");
    }
    say("QUIT", "221");
}
