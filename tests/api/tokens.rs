//! Tokens from their making to their end, by the command line of a real installation.

use std::time::Duration;

use hearken::api::{Role, Token};
use jiff::Timestamp;
use reqwest::StatusCode;
use serde_json::Value;

use crate::clickhouse::sql;
use crate::server::server;
use crate::support::site::Site;

/// Longer than what was read of the tokens is believed.
const SETTLE: Duration = Duration::from_millis(2_200);

#[tokio::test]
async fn the_first_token_closes_the_door() {
    let Some(server) = server("api_door").await else { return };
    assert_eq!(server.get_as("/api/v1/totals", "").await.0, StatusCode::OK);
    let token = server.token(Role::Admin, &[]).await;
    for path in ["/api/v1/totals", "/api/v1/openapi.json", "/", "/report.json", "/api/v1/mentions/live"] {
        let (status, problem) = server.get_as(path, "").await;
        assert_eq!(
            (status, &problem["type"]),
            (StatusCode::UNAUTHORIZED, &"urn:hearken:problem:unauthenticated".into()),
            "{path}"
        );
        assert_eq!(server.answer(path, &token).await.status(), StatusCode::OK, "{path}");
    }
    // Revoking the last one does not open it again.
    let id = token.split('_').nth(1).unwrap();
    Token::revoke(&server.store, id).await.unwrap();
    tokio::time::sleep(SETTLE).await;
    assert_eq!(server.get_as("/api/v1/totals", "").await.0, StatusCode::UNAUTHORIZED);
    let (status, problem) = server.get_as("/api/v1/totals", &token).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(problem["detail"].as_str().unwrap().contains("revoked"), "{problem}");
}

#[tokio::test]
async fn only_the_right_secret_opens() {
    let Some(server) = server("api_secret").await else { return };
    let token = server.token(Role::Viewer, &[]).await;
    let other = server.token(Role::Analyst, &[]).await;
    let part = |token: &str, index| token.split('_').nth(index).unwrap().to_owned();
    for wrong in [
        format!("hkn_{}_{}", part(&token, 1), part(&other, 2)),
        format!("hkn_{}_{}", "0".repeat(16), part(&token, 2)),
        format!("hkn_{}_{}", part(&token, 1), "0".repeat(64)),
        format!("hkn_{}_", part(&token, 1)),
        "x".to_owned(),
        format!("{token}_"),
    ] {
        // Before and after the right one was recognised.
        for _ in 0..2 {
            assert_eq!(server.get_as("/api/v1/totals", &wrong).await.0, StatusCode::UNAUTHORIZED, "{wrong}");
            assert_eq!(server.get_as("/api/v1/totals", &token).await.0, StatusCode::OK);
        }
    }
    let basic = server.request("GET", "/", "").basic_auth("anybody", Some(&token)).send().await.unwrap();
    assert_eq!(basic.status(), StatusCode::OK);
    let basic = server.request("GET", "/", "").basic_auth("anybody", Some("nonsense")).send().await.unwrap();
    assert_eq!(basic.status(), StatusCode::UNAUTHORIZED);
    // The store knows a hash, and not the secret.
    let stored = sql(&server.store, "SELECT * FROM api_tokens").await;
    assert!(stored.contains("$argon2id$") && !stored.contains(&part(&token, 2)), "{stored}");
}

#[tokio::test]
async fn a_token_ends_when_it_was_said_to() {
    let Some(server) = server("api_expiry").await else { return };
    let end = Timestamp::now() + Duration::from_secs(6);
    let (_, token) = Token::create(&server.store, "short", Role::Viewer, Vec::new(), Some(end)).await.unwrap();
    tokio::time::sleep(SETTLE).await;
    assert_eq!(server.get_as("/api/v1/totals", token.expose()).await.0, StatusCode::OK);
    while Timestamp::now() <= end {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (status, problem) = server.get_as("/api/v1/totals", token.expose()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(problem["detail"].as_str().unwrap().contains("expired"), "{problem}");
}

#[tokio::test]
async fn a_name_is_given_once() {
    let Some(server) = server("api_names").await else { return };
    let create = async || Token::create(&server.store, "ada", Role::Viewer, Vec::new(), None).await;
    create().await.unwrap();
    assert!(create().await.unwrap_err().to_string().contains("`ada`"));
}

#[test]
fn the_command_line_makes_lists_and_revokes_tokens() {
    if crate::support::libchdb().is_none() {
        return;
    }
    let site = Site::embedded(|_| "[[brand]]\nname = \"Acme\"\nnames = [\"Acme\"]\n".to_owned());
    let run = |arguments: &[&str]| {
        let output = site.hearken(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let (code, token, log) =
        run(&["token", "create", "ada", "--role", "analyst", "--brand", "Acme", "--expires", "30"]);
    assert_eq!(code, 0, "{log}");
    assert!(token.starts_with("hkn_") && token.trim().len() == 3 + 1 + 16 + 1 + 64, "{token}");
    let id = token.split('_').nth(1).unwrap();
    let (_, list, _) = run(&["token", "list", "--json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!((&list[0]["id"], &list[0]["name"], &list[0]["role"]), (&id.into(), &"ada".into(), &"analyst".into()));
    assert_eq!(list[0]["brands"], serde_json::json!(["Acme"]));
    assert!(list[0].get("hash").is_none());
    let (code, line, _) = run(&["token", "revoke", id]);
    assert!(code == 0 && line.contains("revoked"), "{line}");
    assert!(run(&["token", "list"]).1.contains("revoked"));
    for wrong in [
        &["token", "revoke", "nonsense"][..],
        &["token", "create", "ada"],
        &["token", "create", "bob", "--brand", "Globex"],
        &["token", "create", ""],
    ] {
        let (code, _, error) = run(wrong);
        assert_eq!(code, 64, "{wrong:?}: {error}");
        assert!(error.starts_with("hearken: "), "{error}");
    }
}
