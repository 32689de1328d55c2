//! Clients that break off, lie, or send garbage.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{Gateway, gateway, wait_until};

/// Sends the head of an insert into `table` and `body`, as they are; unless that is `all`, goes away then. The
/// answer.
fn send_raw(gateway: &Gateway, table: &str, headers: &str, body: &[u8], all: bool) -> String {
    let mut stream = TcpStream::connect(gateway.url.strip_prefix("http://").unwrap()).unwrap();
    let credentials = format!("{}:{}", gateway.owner.user, gateway.owner.password.expose());
    let query = format!("INSERT+INTO+{table}+FORMAT+TSV");
    let authorization = BASE64_STANDARD.encode(credentials);
    let head = format!(
        "POST /?query={query} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {authorization}\r\n{headers}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    if !all {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_body_that_ends_early_stores_nothing() {
    let Some(gateway) = gateway() else { return };
    gateway.run("CREATE TABLE truncated (a UInt64) ENGINE = MergeTree ORDER BY a");
    let rows = "1\n2\n3\n".repeat(10_000);
    // Cut at the end of a row and within one, so that what arrives would be good data.
    for cut in [rows.len() - 2, rows.len() - 1] {
        let short = &rows.as_bytes()[..cut];
        send_raw(gateway, "truncated", &format!("Content-Length: {}", rows.len()), short, false);
        let chunk = [format!("{:x}\r\n", short.len()).as_bytes(), short, b"\r\n"].concat();
        send_raw(gateway, "truncated", "Transfer-Encoding: chunked", &chunk, false);
        let lie = [format!("{:x}\r\n", rows.len()).as_bytes(), short].concat();
        send_raw(gateway, "truncated", "Transfer-Encoding: chunked", &lie, false);
    }
    wait_until("the inserts to end", || {
        gateway.run("SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO truncated%'") == "0"
    });
    assert_eq!(gateway.run("SELECT count() FROM truncated"), "0");
    // The same by the book, so the test would notice rows.
    let whole = [format!("{:x}\r\n", rows.len()).as_bytes(), rows.as_bytes(), b"\r\n0\r\n\r\n"].concat();
    let answer = send_raw(gateway, "truncated", "Transfer-Encoding: chunked\r\nConnection: close", &whole, true);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(gateway.run("SELECT count() FROM truncated"), "30000");
}

#[test]
fn damaged_and_lying_blocks_store_nothing() {
    let Some(gateway) = gateway() else { return };
    gateway.run("CREATE TABLE damaged (a UInt64) ENGINE = MergeTree ORDER BY a");
    let query = "SELECT number FROM numbers(1000) FORMAT RowBinary";
    let good = gateway.owner().parameter("compress", "1").body(query).send().body;
    let insert = |body: Vec<u8>| {
        let insert = gateway.owner().parameter("decompress", "1");
        insert.parameter("query", "INSERT INTO damaged FORMAT RowBinary").body(body).send()
    };
    let damaged = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let sizes = |at: usize, size: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&size.to_le_bytes());
        bytes
    };
    let cases = [
        ("checksum", damaged(0, good[0] ^ 1), 40),
        ("content", damaged(good.len() - 1, good[good.len() - 1] ^ 1), 40),
        ("method", damaged(16, 0x33), 271),
        ("2 GiB block", sizes(17, 2 << 30), 39),
        ("2 GiB content", sizes(21, 2 << 30), 39),
        ("block of nothing", sizes(17, 0), 271),
        ("end", good[..good.len() - 1].to_vec(), 33),
        ("no blocks", b"these are no blocks, but enough bytes to look".to_vec(), 39),
    ];
    for (what, body, code) in cases {
        let reply = insert(body);
        assert_eq!(reply.code(), code, "{what}: {}", reply.text());
    }
    assert_eq!(gateway.run("SELECT count() FROM damaged"), "0");
    // A good block before a bad one is not stored either.
    let reply = insert([good.as_slice(), &damaged(0, good[0] ^ 1)].concat());
    assert_eq!(reply.code(), 40, "{}", reply.text());
    assert_eq!(gateway.run("SELECT count() FROM damaged"), "0");
    assert_eq!(insert(good.clone()).status, 200);
    assert_eq!(gateway.run("SELECT count() FROM damaged"), "1000");
}

#[test]
fn garbage_is_answered_and_the_next_client_is_served() {
    let Some(gateway) = gateway() else { return };
    for garbage in
        [b"\0\0\0\0\r\n\r\n".as_slice(), b"GET / HTTP/9\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(gateway.url.strip_prefix("http://").unwrap()).unwrap();
        stream.write_all(garbage).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    let invalid = gateway.owner().body(b"SELECT '\xff\xfe'".as_slice()).send();
    assert_eq!((invalid.status, invalid.code()), (400, 62), "{}", invalid.text());
    let form = gateway.owner().header("Content-Type: multipart/form-data; boundary=x").body("no form").send();
    assert_eq!((form.status, form.code()), (400, 36), "{}", form.text());
    assert_eq!(gateway.run("SELECT 1"), "1");
}
