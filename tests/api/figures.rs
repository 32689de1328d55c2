//! The views as resources: the same figures as the report, and those that only the API has.

use hearken::store::rows::{DeadLetterRow, GapRow, MentionRow, PollRow, StoryRow};
use serde_json::{Value, json};

use crate::clickhouse::{HOUR, MARCH, id, mention};
use crate::server::{Server, ids, server, talk};

async fn fill(server: &Server) {
    server.store.insert_mentions(&talk()).await.unwrap();
    let to_globex = ["globex".to_owned()];
    let reply =
        MentionRow { in_reply_to: id(2), mentioned: &to_globex, direction: "outbound", ..mention("acme", 7, "sorry") };
    server.store.insert_mentions(&[reply]).await.unwrap();
    let told = |number| StoryRow { message_id: id(number), story: id(1), found_at: MARCH };
    server.store.insert_stories(&[told(1), told(2), told(4)]).await.unwrap();
    let poll = |hour, error| PollRow {
        source: "news",
        channel: "feed",
        polled_at: MARCH + hour * HOUR,
        messages: 3,
        poison: 1,
        error,
    };
    server.store.insert_polls(&[poll(1, ""), poll(2, "news.example answered 503")]).await.unwrap();
    let gap = GapRow {
        id: id(1),
        source: "news",
        channel: "feed",
        reason: "outage",
        from: MARCH + HOUR,
        until: MARCH + 2 * HOUR,
        estimate: None,
        detail: "news.example answered 503",
    };
    server.store.insert_gaps(&[gap]).await.unwrap();
    let letter = DeadLetterRow {
        id: id(1),
        source: "news",
        origin: "https://news.example/feed",
        reason: "no date and no id",
        payload: b"",
        refused_at: MARCH,
    };
    server.store.insert_dead_letters(&[letter]).await.unwrap();
}

#[tokio::test]
async fn every_view_answers() {
    let Some(server) = server("api_views").await else { return };
    fill(&server).await;
    hearken::authors::refresh(&server.store, &Default::default()).await.unwrap();
    for path in [
        "totals",
        "volume?step=day&by=channel",
        "trends?since=2026-03-01T02:00:00Z",
        "stories",
        "authors?rank=messages&limit=1",
        "authors/mastodon/b2",
        "interactions",
        "unanswered",
        "brands?brand=acme&brand=silent",
        "sources",
        "coverage-gaps",
        "polls",
        "dead-letters",
        "status",
    ] {
        let mut answer = server.get(&format!("/api/v1/{path}"), "").await;
        settle(&mut answer);
        let name = path.split('?').next().unwrap().replace('/', "_");
        insta::assert_json_snapshot!(format!("view_{name}"), answer);
    }
}

/// Replaces what is of the moment.
fn settle(answer: &mut Value) {
    match answer {
        Value::Object(members) => members.iter_mut().for_each(|(name, value)| match name.as_str() {
            "stored_after_ms" if !value.is_null() => *value = json!("some time"),
            "stored_at" => *value = json!("some time"),
            "version" if value != "author-influence-1" => *value = json!("this release"),
            _ => settle(value),
        }),
        Value::Array(values) => values.iter_mut().for_each(settle),
        _ => {}
    }
}

#[tokio::test]
async fn gaps_and_polls_are_narrowed() {
    let Some(server) = server("api_gaps").await else { return };
    fill(&server).await;
    let count = async |path: &str| server.get(&format!("/api/v1/{path}"), "").await["items"].as_array().unwrap().len();
    for (path, expected) in [
        ("coverage-gaps", 1),
        ("coverage-gaps?channel=feed", 1),
        ("coverage-gaps?channel=mastodon", 0),
        ("coverage-gaps?from=2026-03-01T02:00:00Z", 0),
        ("coverage-gaps?until=2026-03-01T01:00:00Z", 0),
        ("coverage-gaps?from=2026-03-01T01:59:00Z&until=2026-03-01T03:00:00Z", 1),
        ("polls?source=news", 2),
        ("polls?source=news&limit=1", 1),
        ("polls?source=other", 0),
    ] {
        assert_eq!(count(path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn authors_are_found_by_segment_and_ranked_by_advocacy_of_the_brands_asked_for() {
    let Some(server) = server("api_segments").await else { return };
    let said = |author, brand, number, sentiment| MentionRow {
        author_id: author,
        author_handle: author,
        sentiment,
        published_at: MARCH + number as i64 * HOUR,
        ..mention(brand, number, "text")
    };
    let mut rows: Vec<MentionRow<'_>> = Vec::new();
    for number in 0..5 {
        rows.push(said("ada", "acme", number, "positive"));
        rows.push(said("bob", "acme", 10 + number, "negative"));
        rows.push(said("bob", "globex", 20 + number, "positive"));
        rows.push(said("bob", "acme", 30 + number, "negative"));
    }
    rows.push(said("chen", "acme", 40, "neutral"));
    server.store.insert_mentions(&rows).await.unwrap();
    let names = async |query: &str| -> Vec<String> {
        let list = server.get(&format!("/api/v1/authors?{query}"), "").await;
        list["items"].as_array().unwrap().iter().map(|item| item["author"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("segment=advocate").await, [""; 0], "nothing is computed yet");
    assert_eq!(names("rank=messages").await, ["bob", "ada", "chen"]);
    hearken::authors::refresh(&server.store, &Default::default()).await.unwrap();
    assert_eq!(names("segment=advocate&rank=advocacy").await, ["ada", "bob"]);
    assert_eq!(names("segment=advocate&brand=acme").await, ["ada"]);
    assert_eq!(names("segment=detractor").await, ["bob"]);
    assert_eq!(names("segment=detractor&brand=globex").await, [""; 0]);
    assert_eq!(names("segment=detractor&segment=advocate&brand=acme&rank=detraction").await, ["bob", "ada"]);
    assert_eq!(names("rank=advocacy&brand=acme").await, ["ada", "chen", "bob"]);
    assert_eq!(names("rank=advocacy&brand=globex").await, ["bob"]);
    let (status, problem) = server.get_as("/api/v1/authors/mastodon/nobody", "").await;
    assert_eq!((status.as_u16(), problem["type"].as_str().unwrap()), (404, "urn:hearken:problem:not-found"));
    let (status, _) = server.get_as("/api/v1/authors/mastodon/a%00b", "").await;
    assert_eq!(status.as_u16(), 400);
}

#[tokio::test]
async fn status_says_how_fresh_each_source_is() {
    let Some(server) = server("api_status").await else { return };
    let now = jiff::Timestamp::now().as_millisecond();
    let poll =
        |source, at, messages, error| PollRow { source, channel: "feed", polled_at: at, messages, poison: 0, error };
    let polls = [
        poll("blogs", now - 90 * HOUR, 0, ""),
        poll("news", now - 2 * HOUR, 4, ""),
        poll("news", now - HOUR, 0, "news.example answered 503"),
        poll("press", now - 2 * HOUR, 0, "press.example answered 503"),
        poll("press", now - HOUR, 1, ""),
    ];
    server.store.insert_polls(&polls).await.unwrap();
    let gap = |number, source, from, until| GapRow {
        id: id(number),
        source,
        channel: "feed",
        reason: "outage",
        from,
        until,
        estimate: None,
        detail: "it answered 503",
    };
    let gaps = [
        gap(1, "news", now - 50 * HOUR, now - 40 * HOUR),
        gap(2, "news", now - 30 * HOUR, now - 20 * HOUR),
        gap(3, "news", now - 2 * HOUR, now - HOUR),
        gap(4, "press", now - 3 * HOUR, now - 2 * HOUR),
    ];
    server.store.insert_gaps(&gaps).await.unwrap();
    let heard = |brand, number| MentionRow { source: "news", ..mention(brand, number, "hello") };
    server.store.insert_mentions(&[heard("acme", 1), heard("globex", 1), heard("acme", 2)]).await.unwrap();
    let older = format!(
        "ALTER TABLE mention_revisions UPDATE stored_at = stored_at - INTERVAL 25 HOUR WHERE message_id = '{}' \
         SETTINGS mutations_sync = 1",
        id(2)
    );
    crate::clickhouse::sql(&server.store, &older).await;

    let status = server.get("/api/v1/status", "").await;
    let told: Vec<Value> = ["source", "channel", "last_error", "stored_24h", "gaps_24h"]
        .iter()
        .map(|field| status["sources"].as_array().unwrap().iter().map(|source| source[field].clone()).collect())
        .collect();
    let expected = [
        json!(["blogs", "news", "press"]),
        json!(["feed", "feed", "feed"]),
        json!([null, "news.example answered 503", null]),
        json!([0, 1, 0]),
        json!([0, 2, 1]),
    ];
    assert_eq!(told, expected);
    let ago = |time: &Value| {
        let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
        (now - time.as_millisecond()) / HOUR
    };
    let sources = &status["sources"];
    assert_eq!(sources[0]["last_heard_at"], Value::Null, "nothing was ever heard there");
    assert_eq!((ago(&sources[1]["last_poll_at"]), ago(&sources[1]["last_heard_at"])), (1, 2));
    assert_eq!(sources[0]["latest_gap"], Value::Null);
    let (open, over) = (&sources[1]["latest_gap"], &sources[2]["latest_gap"]);
    assert_eq!((&open["reason"], ago(&open["from"]), &open["is_open"]), (&json!("outage"), 2, &json!(true)));
    assert_eq!((ago(&over["until"]), &over["is_open"]), (2, &json!(false)));
}

#[tokio::test]
async fn status_answers_without_the_store() {
    let Some(server) = server("api_status_away").await else { return };
    assert_eq!(server.get("/api/v1/status", "").await["sources"], json!([]));
    crate::clickhouse::sql(&server.store, "DROP DATABASE api_status_away").await;
    let status = server.get("/api/v1/status", "").await;
    assert_eq!((&status["sources"], &status["lag"], &status["tasks"]), (&Value::Null, &json!(0), &json!({})));
}

#[tokio::test]
async fn interactions_agree_with_the_view_of_the_store() {
    let Some(server) = server("api_interactions").await else { return };
    fill(&server).await;
    let told = server.get("/api/v1/interactions", "").await;
    let told: Vec<String> = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| {
            format!("{}\t{}\t{}\t{}", edge["kind"], edge["author"], edge["target"], edge["interactions"])
                .replace('"', "")
        })
        .collect();
    let sql = "SELECT kind, author, target, interactions FROM interactions ORDER BY interactions DESC, channel, kind, author, target";
    let view = crate::clickhouse::sql(&server.store, sql).await;
    assert_eq!(told.join("\n"), view);
    assert!(!told.is_empty());
    // A reply within the time is known by whom it answers, though that was said before.
    let later = server.get("/api/v1/interactions?from=2026-03-01T00:00:00Z&until=2026-03-01T00:30:00Z", "").await;
    assert!(later["items"].as_array().unwrap().iter().any(|edge| edge["kind"] == "reply"), "{later}");
}

#[tokio::test]
async fn what_was_answered_does_not_wait() {
    let Some(server) = server("api_unanswered").await else { return };
    server.store.insert_mentions(&talk()).await.unwrap();
    assert_eq!(server.get("/api/v1/unanswered", "").await["items"].as_array().unwrap().len(), 2);
    fill(&server).await;
    let waiting = server.get("/api/v1/unanswered", "").await;
    assert_eq!(waiting["items"].as_array().unwrap().len(), 1);
    assert_eq!(waiting["items"][0]["text"], "secret complaint");
    assert_eq!(ids(&server.get("/api/v1/mentions?direction=outbound", "").await), [id(7).to_string()]);
}
