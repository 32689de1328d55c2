//! Second opinions: what waits for one, and what becomes of those that are given.

use hearken::api::Role;
use hearken::store::rows::{MentionRow, revision};
use serde_json::{Value, json};

use crate::clickhouse::{MARCH, id, mention, sql};
use crate::server::{Server, ids, read, server};

const WANTED: &str = "/api/v1/opinions/wanted";

/// A row of a version, heard so many milliseconds late.
fn row(brand: &'static str, number: u64, version: u64, late: i64) -> MentionRow<'static> {
    let observed_at = MARCH + late;
    MentionRow { revision: revision(version, observed_at, 0), observed_at, ..mention(brand, number, "it broke") }
}

fn opinion(number: u64, version: u64) -> Value {
    json!({"id": id(number), "version": version, "sentiment": "negative", "score": -0.75, "confidence": 0.8125, "model": "e5-1+linear-1"})
}

impl Server {
    async fn give(&self, opinions: &[Value]) -> (u64, u64) {
        let request = self.request("POST", "/api/v1/opinions", "").json(&json!({ "opinions": opinions }));
        let (status, body) = read(request.send().await.unwrap()).await;
        assert_eq!(status.as_u16(), 200, "{body}");
        (body["applied"].as_u64().unwrap(), body["outdated"].as_u64().unwrap())
    }

    /// All columns of all mentions, but those that the opinion changes.
    async fn others(&self) -> String {
        let columns = "* EXCEPT (revision, sentiment, sentiment_by_model, sentiment_score, sentiment_confidence, \
                       sentiment_model, first_sentiment, first_score, first_confidence, first_model, scored_at, stored_at)";
        sql(&self.store, &format!("SELECT {columns} FROM mentions ORDER BY brand, message_id")).await
    }
}

#[tokio::test]
async fn an_opinion_is_a_revision_of_every_mention_of_its_message_and_keeps_the_first() {
    let Some(server) = server("opinions").await else { return };
    let rows = [row("acme", 1, 0, 0), row("globex", 1, 0, 0), row("acme", 2, 0, 0)];
    server.store.insert_mentions(&rows).await.unwrap();
    let before = server.others().await;
    assert_eq!(server.give(&[opinion(1, 0)]).await, (1, 0));
    assert_eq!(ids(&server.get(WANTED, "").await), [id(2).to_string()], "under every brand at once");
    // Again, with another answer too: what stands stays.
    let other = json!({"id": id(1), "version": 0, "sentiment": "positive", "score": 1, "confidence": 1, "model": "x"});
    assert_eq!(server.give(&[opinion(1, 0), other]).await, (1, 0));
    assert_eq!(server.others().await, before);
    let all = "SELECT brand, bitAnd(revision, 65535), sentiment, sentiment_score, sentiment_confidence, sentiment_model, \
               first_sentiment, first_score, first_confidence, first_model FROM mentions ORDER BY ALL";
    let second = "1\tnegative\t-0.75\t0.8125\te5-1+linear-1\tneutral\t0\t0.8\tlinear-1";
    let expected = format!("acme\t0\tneutral\t0\t0.8\tlinear-1\t\t0\t0\t\nacme\t{second}\nglobex\t{second}");
    assert_eq!(sql(&server.store, all).await, expected);
    // The first scorer's row, stored again by a replay, changes nothing.
    server.store.insert_mentions(&rows).await.unwrap();
    assert_eq!(sql(&server.store, all).await, expected);
    assert_eq!(ids(&server.get(WANTED, "").await), [id(2).to_string()]);

    let found = server.get(&format!("/api/v1/mentions/{}", id(1)), "").await;
    let shown = &found["mentions"][0];
    assert_eq!((&shown["sentiment"], &shown["first_sentiment"]), (&"negative".into(), &"neutral".into()));
    assert_eq!((&shown["first_score"], &shown["first_model"]), (&0.0.into(), &"linear-1".into()));
    let found = server.get(&format!("/api/v1/mentions/{}", id(2)), "").await;
    for field in ["first_sentiment", "first_score", "first_confidence", "first_model"] {
        assert_eq!(found["mentions"][0][field], Value::Null, "{field}");
    }
}

#[tokio::test]
async fn what_changed_in_the_meantime_is_left_alone_and_counted() {
    let Some(server) = server("opinions_outdated").await else { return };
    let deleted = MentionRow { deleted: true, ..row("acme", 3, 7, 0) };
    server.store.insert_mentions(&[row("acme", 1, 4, 0), row("acme", 2, 0, 0), deleted]).await.unwrap();
    // An older version, a newer one, one that is gone, one that never was, and one that is right.
    let sent = [opinion(1, 3), opinion(1, 5), opinion(3, 7), opinion(9, 0), opinion(2, 0)];
    assert_eq!(server.give(&sent).await, (1, 4));
    assert_eq!(ids(&server.get(WANTED, "").await), [id(1).to_string()]);
    // A later look at the same text hides the opinion until it is given again; so does an edit.
    server.store.insert_mentions(&[row("acme", 2, 0, 5)]).await.unwrap();
    assert_eq!(ids(&server.get(WANTED, "").await), [id(2).to_string(), id(1).to_string()]);
    assert_eq!(server.give(&[opinion(2, 0), opinion(1, 4)]).await, (2, 0));
    server.store.insert_mentions(&[row("acme", 1, 5, 0)]).await.unwrap();
    assert_eq!(server.give(&[opinion(1, 4)]).await, (0, 1));
    assert_eq!(server.give(&[opinion(1, 5)]).await, (1, 0));
    let counted = "SELECT count(), uniqExact(message_id), countIf(sentiment = 'negative') FROM mentions";
    assert_eq!(sql(&server.store, counted).await, "2\t2\t2");
}

#[tokio::test]
async fn what_waits_is_what_others_said_in_person_page_by_page() {
    let Some(server) = server("opinions_wanted").await else { return };
    let talk = [
        MentionRow { title: "T", language: "de", ..row("acme", 1, 3, 0) },
        row("globex", 2, 0, 0),
        row("acme", 2, 0, 0),
        MentionRow { direction: "outbound", ..row("acme", 3, 0, 0) },
        MentionRow { noise: "bulk", ..row("acme", 4, 0, 0) },
        MentionRow { deleted: true, ..row("acme", 5, 1, 0) },
    ];
    for row in &talk {
        server.store.insert_mentions(std::slice::from_ref(row)).await.unwrap();
    }
    let page = server.get(&format!("{WANTED}?limit=1000"), "").await;
    assert_eq!(ids(&page), [id(2).to_string(), id(1).to_string()]);
    assert_eq!(page["next"], Value::Null);
    insta::assert_json_snapshot!("a_wanted_text", page["items"][1]);
    // What is asked for next time overlaps, for rows that are seen late.
    let again = format!("{WANTED}?from={}", page["resume_from"].as_str().unwrap());
    assert_eq!(ids(&server.get(&again, "").await), ids(&page));
    assert!(ids(&server.get(&format!("{WANTED}?from=2200-01-01T00:00:00Z"), "").await).is_empty());

    // In pages of one, each comes once; a page of what is not wanted is empty and has a next.
    let (mut found, mut path) = (Vec::new(), format!("{WANTED}?limit=1"));
    loop {
        let page = server.get(&path, "").await;
        found.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{WANTED}?limit=1&cursor={next}");
    }
    assert_eq!(found, [id(2).to_string(), id(1).to_string()]);
    assert_eq!(server.get_as(&format!("{WANTED}?cursor=x"), "").await.0.as_u16(), 400);
}

#[tokio::test]
async fn every_text_is_found_once_in_a_table_of_many_moments() {
    let Some(server) = server("opinions_many").await else { return };
    // 60,000 messages, stored over three months, 40 at a moment; every third one judged, a week later.
    let copy = "INSERT INTO mention_revisions (brand, message_id, revision, direction, noise, text, sentiment_model, stored_at)
         SELECT 'acme', toUUID(format('50000000-0000-4000-8000-{}', leftPad(toString(number), 12, '0'))),
                bitShiftLeft(toUInt128(1000), 16) + {pass}, 'inbound', 'none', 'it broke', 'linear-1',
                toDateTime64('2026-03-01 00:00:00', 3, 'UTC') + toIntervalSecond(intDiv(number, 40) * 5000 + {late})
         FROM numbers(60000) WHERE number % 3 = 0 OR {pass} = 0";
    for (pass, late) in [("0", "0"), ("1", "604800")] {
        sql(&server.store, &copy.replace("{pass}", pass).replace("{late}", late)).await;
    }
    let (mut found, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = server.get(&format!("{WANTED}?limit=1000{cursor}"), "").await;
        found.extend(ids(&page));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found.len(), 40_000, "in {pages} pages");
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 40_000, "each once");
}

#[tokio::test]
async fn only_who_operates_the_daemon_gives_opinions_and_only_well_formed_ones() {
    let Some(server) = server("opinions_refused").await else { return };
    let send = async |body: &Value, token: &str| {
        let (status, answer) =
            read(server.request("POST", "/api/v1/opinions", token).json(body).send().await.unwrap()).await;
        (status.as_u16(), answer)
    };
    let with = |field: &str, value: Value| {
        let mut opinion = opinion(1, 0);
        opinion[field] = value;
        json!({ "opinions": [opinion] })
    };
    for (body, named) in [
        (json!({"opinions": []}), "1 to 200"),
        (json!({ "opinions": vec![opinion(1, 0); 201] }), "1 to 200"),
        (with("score", 1.01.into()), "`score`"),
        (with("confidence", (-0.01).into()), "`confidence`"),
        (with("model", "a b".into()), "`model`"),
        (with("model", "x".repeat(61).into()), "`model`"),
        (with("sentiment", "angry".into()), "angry"),
        (with("version", (-1).into()), "-1"),
        (with("why", "".into()), "why"),
    ] {
        let (status, problem) = send(&body, "").await;
        assert_eq!(status, 422, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{problem}");
    }
    // As many as there may be, with the longest names, fit.
    let longest = json!({"id": id(1), "version": u64::MAX, "sentiment": "negative", "score": -0.123_456_79,
                         "confidence": 0.123_456_79, "model": "+".repeat(60)});
    assert_eq!(server.give(&vec![longest; 200]).await, (0, 1));

    for (role, brands) in [(Role::Manager, &[][..]), (Role::Admin, &["acme"])] {
        let token = server.token(role, brands).await;
        assert_eq!(send(&with("version", 0.into()), &token).await.0, 403);
        assert_eq!(server.get_as(WANTED, &token).await.0.as_u16(), 403);
    }
    assert_eq!(send(&with("version", 0.into()), "").await.0, 401);
}
