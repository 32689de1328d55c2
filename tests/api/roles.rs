//! Who may see what: every role, with and without a scope, at every resource.

use hearken::api::Role;
use serde_json::Value;

use crate::clickhouse::id;
use crate::server::{ids, server, talk};

#[tokio::test]
async fn a_token_sees_its_brands_and_only_managers_see_private_channels() {
    let Some(server) = server("api_roles").await else { return };
    server.store.insert_mentions(&talk()).await.unwrap();
    hearken::authors::refresh(&server.store, &Default::default()).await.unwrap();
    for (role, brands, expected) in [
        (Role::Viewer, &[][..], &[3, 2, 2, 1][..]),
        (Role::Analyst, &[], &[3, 2, 2, 1]),
        (Role::Manager, &[], &[5, 4, 3, 2, 2, 1]),
        (Role::Admin, &[], &[5, 4, 3, 2, 2, 1]),
        (Role::Viewer, &["acme"], &[2, 1]),
        (Role::Analyst, &["globex"], &[3, 2]),
        (Role::Manager, &["acme"], &[4, 2, 1]),
        (Role::Admin, &["acme", "globex"], &[5, 4, 3, 2, 2, 1]),
    ] {
        let token = server.token(role, brands).await;
        let who = format!("{} of {brands:?}", role.name());
        let get = async |path: &str| server.get(&format!("/api/v1/{path}"), &token).await;

        // Lists, and what they are counted to be.
        let expected: Vec<String> = expected.iter().map(|number| id(*number).to_string()).collect();
        assert_eq!(ids(&get("mentions").await), expected, "{who}");
        let count = |key: &'static str, list: &Value| -> u64 {
            list["items"].as_array().unwrap().iter().map(|item| item[key].as_u64().unwrap()).sum()
        };
        let mentions = expected.len() as u64;
        assert_eq!(get("totals").await["mentions"], mentions, "{who}");
        for by in ["brand", "channel", "language"] {
            assert_eq!(count("mentions", &get(&format!("volume?by={by}")).await), mentions, "{who} by {by}");
        }
        let figures = get("brands").await;
        let counted = figures["brands"].as_array().unwrap().iter().map(|brand| brand["mentions"].as_u64().unwrap());
        assert_eq!(counted.sum::<u64>(), mentions, "{who}");
        let distinct: std::collections::BTreeSet<&String> = expected.iter().collect();
        assert_eq!(count("messages", &get("authors").await), distinct.len() as u64, "{who}");
        assert_eq!(count("messages_matched", &get("sources").await), distinct.len() as u64, "{who}");
        let report = server.get("/report.json", &token).await;
        assert_eq!(report["totals"]["mentions"], mentions, "{who}");
        assert_eq!(report["latest"].as_array().unwrap().len() as u64, mentions, "{who}");

        // An author's influence is for everybody, what they are to a brand is not.
        let page = get("authors/mastodon/b2").await;
        assert!(page["influence"].as_f64().unwrap() > 0.0, "{who}");
        let of: Vec<&str> =
            page["brands"].as_array().unwrap().iter().map(|brand| brand["brand"].as_str().unwrap()).collect();
        let visible = |brand: &&str| brands.is_empty() || brands.contains(brand);
        assert_eq!(of, ["acme", "globex"].into_iter().filter(visible).collect::<Vec<_>>(), "{who}");
        let said = page["latest"].as_array().unwrap().iter().map(|mention| mention["id"].as_str().unwrap().to_owned());
        assert!(said.clone().count() > 0 && said.clone().all(|id| expected.contains(&id)), "{who}");

        // Single messages; what is not there and what may not be seen are the same.
        for number in 1..=6_u64 {
            let (status, _) = server.get_as(&format!("/api/v1/mentions/{}", id(number)), &token).await;
            let seen = expected.contains(&id(number).to_string());
            assert_eq!(status.as_u16(), if seen { 200 } else { 404 }, "{who}: {number}");
        }
        let both = get(&format!("mentions/{}", id(2))).await["mentions"].as_array().unwrap().len();
        assert_eq!(both, if brands.len() == 1 { 1 } else { 2 }, "{who}");

        // Other brands are refused by name, wherever one can be named.
        if brands == ["acme"] {
            for path in
                ["mentions", "corrections", "totals", "volume", "authors", "interactions", "unanswered", "brands"]
                    .into_iter()
                    .chain(["mentions/live", "trends"])
            {
                let since = if path == "trends" { "&since=2026-03-01T00:00:00Z" } else { "" };
                let (status, problem) =
                    server.get_as(&format!("/api/v1/{path}?brand=acme&brand=globex{since}"), &token).await;
                assert_eq!(status.as_u16(), 403, "{who}: {path}: {problem}");
                assert!(problem["detail"].as_str().unwrap().contains("`globex`"), "{problem}");
            }
        }

        // How the daemon is doing.
        for path in ["status", "polls", "dead-letters"] {
            let (status, _) = server.get_as(&format!("/api/v1/{path}"), &token).await;
            let may = role == Role::Admin && brands.is_empty();
            assert_eq!(status.as_u16(), if may { 200 } else { 403 }, "{who}: {path}");
        }

        // Corrections: by analysts, of what they see.
        let may = role >= Role::Analyst;
        let public = server.correct(id(1), "acme", "positive", &token).await.0.as_u16();
        let sees_acme = brands.is_empty() || brands.contains(&"acme");
        assert_eq!(public, if may && sees_acme { 200 } else { 403 }, "{who}");
        let private = server.correct(id(4), "acme", "negative", &token).await.0.as_u16();
        let expected = match (may, sees_acme, role >= Role::Manager) {
            (true, true, true) => 200,
            (true, true, false) => 404,
            _ => 403,
        };
        assert_eq!(private, expected, "{who}");
    }
}

#[tokio::test]
async fn nothing_private_is_in_what_a_viewer_is_told() {
    let Some(server) = server("api_private").await else { return };
    server.store.insert_mentions(&talk()).await.unwrap();
    let (viewer, manager) = (server.token(Role::Viewer, &[]).await, server.token(Role::Manager, &[]).await);
    server.correct(id(4), "acme", "neutral", &manager).await;
    for path in [
        "/",
        "/report.json",
        "/api/v1/mentions?text=secret",
        "/api/v1/corrections",
        "/api/v1/unanswered",
        "/api/v1/trends?since=2026-03-01T00:00:00Z",
        "/api/v1/interactions",
        "/api/v1/volume?by=channel",
    ] {
        let told = server.answer(path, &viewer).await.text().await.unwrap();
        assert!(!told.contains("secret") && !told.contains("\"chat\""), "{path}: {told}");
    }
    let told = server.answer("/api/v1/corrections", &manager).await.text().await.unwrap();
    assert!(told.contains("secret complaint"), "{told}");
}

#[tokio::test]
async fn trends_of_private_talk_are_for_managers() {
    use crate::clickhouse::{HOUR, MARCH, mention};
    use hearken::store::rows::MentionRow;
    let Some(server) = server("api_private_trends").await else { return };
    let mut rows = Vec::new();
    for number in 0..60_u64 {
        let late = number >= 40;
        let author = ["ada", "bob", "chen"][number as usize % 3];
        rows.push(MentionRow {
            author_id: author,
            author_handle: author,
            published_at: MARCH + number as i64 * HOUR / 4,
            visibility: if late { "private" } else { "public" },
            ..mention("acme", number, if late { "strike strike" } else { "coffee machine" })
        });
        // What is public goes on as before.
        rows.push(MentionRow {
            author_id: author,
            author_handle: author,
            published_at: MARCH + number as i64 * HOUR / 4,
            ..mention("acme", 100 + number, "coffee machine")
        });
    }
    server.store.insert_mentions(&rows).await.unwrap();
    let (viewer, manager) = (server.token(Role::Viewer, &[]).await, server.token(Role::Manager, &[]).await);
    let path = "/api/v1/trends?since=2026-03-01T10:00:00Z";
    assert_eq!(server.get(path, &manager).await["items"][0]["term"], "strike");
    assert_eq!(server.get(path, &viewer).await["items"], Value::Array(Vec::new()));
}
