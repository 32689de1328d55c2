//! What nobody may exceed.

use std::time::Duration;

use hearken::api::{Limits, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::server_with;

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_back() {
    let limits = Limits { requests_per_second: 1, burst: 5, ..Limits::default() };
    let Some(server) = server_with("api_rate", limits).await else { return };
    let token = server.token(Role::Viewer, &[]).await;
    let other = server.token(Role::Analyst, &[]).await;
    let mut refused = None;
    for _ in 0..20 {
        let response = server.answer("/api/v1/totals", &token).await;
        if response.status().as_u16() == 429 {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.expect("twenty requests at once are too many");
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    // The bucket is the token's own: another one has not used its, and the probes have none.
    assert_eq!(server.answer("/api/v1/totals", &other).await.status().as_u16(), 200);
    assert_eq!(server.answer("/healthz", "").await.status().as_u16(), 200);
}

#[tokio::test]
async fn guessing_tokens_is_limited_by_address() {
    let limits = Limits { requests_per_second: 1, burst: 4, ..Limits::default() };
    let Some(server) = server_with("api_guess", limits).await else { return };
    let token = server.token(Role::Viewer, &[]).await;
    assert_eq!(server.answer("/api/v1/totals", &token).await.status().as_u16(), 200);
    let wrong = format!("{}{}", &token[..token.len() - 4], "0000");
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(server.answer("/api/v1/totals", &wrong).await.status().as_u16());
    }
    assert!(answers.contains(&401) && answers.contains(&429), "{answers:?}");
    // Who is known is not held up by who guesses from the same address.
    assert_eq!(server.answer("/api/v1/totals", &token).await.status().as_u16(), 200);
}

#[tokio::test]
async fn more_feeds_than_there_are_places_for_are_refused() {
    let Some(server) = server_with("api_places", Limits { feeds: 1, ..Limits::default() }).await else { return };
    let first = server.answer("/api/v1/mentions/live", "").await;
    assert_eq!(first.status().as_u16(), 200);
    assert_eq!(server.answer("/api/v1/mentions/live", "").await.status().as_u16(), 503);
    drop(first);
    // The place is free again once the server has noticed.
    for _ in 0..100 {
        if server.answer("/api/v1/mentions/live", "").await.status().as_u16() == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the place of a feed that ended is not free");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let Some(server) = server_with("api_head", Limits::default()).await else { return };
    let address = server.url("").strip_prefix("http://").unwrap().to_owned();
    for head in [
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-large: {}\r\n\r\n", "x".repeat(300_000)),
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x-many: 1\r\n".repeat(100)),
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}
