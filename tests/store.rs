//! The store: migrations, inserts, statements, errors, against the embedded ClickHouse.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/clickhouse.rs"]
mod clickhouse;
mod support;

use clickhouse::{MARCH, bare_store, id, mention, sql, store, try_sql};
use hearken::store::rows::{DeadLetterRow, GapRow, MentionRow, PollRow, revision};
use hearken::store::{Store, StoreOptions};

#[tokio::test]
async fn migrations_are_applied_once_and_leave_what_is_stored() {
    let Some(store) = store("migrations").await else { return };
    store.insert_mentions(&[mention("acme", 1, "hello")]).await.unwrap();
    let applied = sql(&store, "SELECT number, name, applied_at FROM schema_migrations FINAL ORDER BY number").await;
    assert!(applied.starts_with("1\t0001_mentions.sql\t"), "{applied}");
    store.migrate().await.unwrap();
    assert_eq!(sql(&store, "SELECT number, name, applied_at FROM schema_migrations ORDER BY number").await, applied);
    assert_eq!(sql(&store, "SELECT count() FROM mentions").await, "1");
}

#[tokio::test]
async fn migrators_at_the_same_time_do_no_harm() {
    let Some(store) = bare_store("migrated at once") else { return };
    let (a, b, c) = tokio::join!(store.migrate(), store.migrate(), store.migrate());
    for outcome in [a, b, c] {
        outcome.unwrap();
    }
    store.insert_mentions(&[mention("acme", 1, "hello")]).await.unwrap();
    assert_eq!(sql(&store, "SELECT count() FROM mentions").await, "1");
    let twice = "SELECT count() FROM (SELECT number FROM schema_migrations FINAL GROUP BY number HAVING count() > 1)";
    assert_eq!(sql(&store, twice).await, "0");
}

#[tokio::test]
async fn a_half_applied_migration_is_run_again() {
    let Some(store) = store("half").await else { return };
    store.insert_mentions(&[mention("acme", 1, "hello")]).await.unwrap();
    // As if the daemon had been killed between the table and the view of the first migration.
    sql(&store, "DROP VIEW mentions").await;
    sql(&store, "TRUNCATE TABLE schema_migrations").await;
    store.migrate().await.unwrap();
    assert_eq!(sql(&store, "SELECT text FROM mentions").await, "hello");
}

#[tokio::test]
async fn what_was_stored_before_there_were_countries_and_media_reads_as_before() {
    let Some(store) = store("older").await else { return };
    sql(&store, "ALTER TABLE mention_revisions DROP COLUMN country, DROP COLUMN has_media").await;
    let older =
        "INSERT INTO mention_revisions (brand, message_id, revision, text) SELECT 'acme', generateUUIDv4(), 1, 'said'";
    sql(&store, older).await;
    sql(&store, "TRUNCATE TABLE schema_migrations").await;
    store.migrate().await.unwrap();
    assert_eq!(sql(&store, "SELECT text, country, has_media FROM mentions").await, "said\t\tfalse");
    store.insert_mentions(&[MentionRow { country: "TR", has_media: true, ..mention("acme", 1, "now") }]).await.unwrap();
    assert_eq!(sql(&store, "SELECT text FROM mentions WHERE country = 'TR' AND has_media").await, "now");
}

#[tokio::test]
async fn a_changed_migration_is_refused_by_name() {
    let Some(store) = store("changed").await else { return };
    let other = "INSERT INTO schema_migrations (number, name, checksum) SELECT 2, '0002_ledger.sql', generateUUIDv4()";
    sql(&store, other).await;
    let error = store.migrate().await.unwrap_err();
    assert!(!error.is_retryable());
    assert!(error.to_string().starts_with("migration `0002_ledger.sql` has changed"), "{error}");
}

#[tokio::test]
async fn a_newer_store_is_refused() {
    let Some(store) = store("newer").await else { return };
    let later =
        "INSERT INTO schema_migrations (number, name, checksum) SELECT 9000, '9000_later.sql', generateUUIDv4()";
    sql(&store, later).await;
    let error = store.migrate().await.unwrap_err();
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("newer than this release: it holds migration `9000_later.sql`"), "{error}");
}

#[tokio::test]
async fn what_is_acknowledged_is_fsynced_in_every_table() {
    let Some(store) = store("durable").await else { return };
    let without = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' \
                   AND name != 'schema_migrations' AND NOT (create_table_query LIKE '%fsync_after_insert = 1%' \
                   AND create_table_query LIKE '%fsync_part_directory = 1%')";
    assert_eq!(sql(&store, without).await, "");
}

#[tokio::test]
async fn every_column_comes_back_as_it_was_written() {
    let Some(store) = store("columns").await else { return };
    let links = ["https://example.org/?a=1&b='2'".to_owned(), String::new()];
    let tags = ["café".to_owned(), "日本".to_owned()];
    let row = MentionRow {
        revision: u128::MAX,
        author_followers: Some(u64::MAX),
        author_verified: true,
        author_bot: true,
        title: "\\ ' \" \t \n \0 end",
        links: &links,
        hashtags: &tags,
        in_reply_to: id(7),
        likes: u64::MAX,
        views: Some(0),
        rating: Some(4.5),
        matched: &tags,
        sentiment_score: -0.25,
        published_at: -1,
        ..mention("Ünïcode & Søns 株式会社", 1, "👩‍👩‍👧 שלום مرحبا\u{202e}")
    };
    let plain = mention("plain", 2, "");
    store.insert_mentions(&[row.clone(), plain]).await.unwrap();
    let columns = "SELECT brand, message_id, revision, author_followers, author_verified, author_bot, title, text, links, \
                   hashtags, in_reply_to, likes, views, rating, matched, sentiment_score, published_at, observed_at \
                   FROM mentions WHERE message_id = toUUID('{id}') FORMAT JSONCompactEachRow \
                   SETTINGS output_format_json_quote_64bit_integers = 1";
    let read = sql(&store, &columns.replace("{id}", &id(1).to_string())).await;
    let read: serde_json::Value = serde_json::from_str(&read).unwrap();
    let written = serde_json::json!([
        row.brand,
        id(1).to_string(),
        u128::MAX.to_string(),
        u64::MAX.to_string(),
        true,
        true,
        row.title,
        row.text,
        links,
        tags,
        id(7).to_string(),
        u64::MAX.to_string(),
        "0",
        4.5,
        tags,
        -0.25,
        "1969-12-31 23:59:59.999",
        "2026-03-01 00:01:00.000"
    ]);
    assert_eq!(read, written);
    let nothing =
        sql(&store, &format!("SELECT views, rating, links, text FROM mentions WHERE message_id = '{}'", id(2))).await;
    assert_eq!(nothing, "\\N\t\\N\t[]");
}

#[tokio::test]
async fn a_large_batch_with_repetitions_in_it_is_stored_once() {
    let Some(store) = store("large").await else { return };
    let texts: Vec<String> = (0..10_000).map(|number| format!("message {number}")).collect();
    let row = |number: u64| MentionRow {
        likes: number,
        ..mention("acme", number % 10_000, &texts[number as usize % 10_000])
    };
    let rows: Vec<MentionRow<'_>> = (0..20_000).map(row).collect();
    store.insert_mentions(&rows).await.unwrap();
    store.insert_mentions(&rows).await.unwrap();
    let read = sql(&store, "SELECT count(), uniqExact(text), sum(likes) FROM mentions").await;
    let likes: u64 = (10_000..20_000).sum();
    assert_eq!(read, format!("10000\t10000\t{likes}"));
}

#[tokio::test]
async fn the_ledger_counts_repetitions_once_and_lets_a_gap_grow() {
    let Some(store) = store("ledger").await else { return };
    let gap = |until| GapRow {
        id: id(1),
        source: "s",
        channel: "c",
        reason: "outage",
        from: MARCH,
        until,
        estimate: (until > MARCH + 5).then_some(3),
        detail: "it was away",
    };
    let poll = PollRow { source: "s", channel: "c", polled_at: MARCH, messages: 5, poison: 1, error: "" };
    let letter =
        DeadLetterRow { id: id(1), source: "s", origin: "o", reason: "r", payload: b"\xff\0'", refused_at: MARCH };
    for until in [MARCH + 1, MARCH + 9, MARCH + 4] {
        store.insert_gaps(&[gap(until)]).await.unwrap();
        store.insert_polls(&[poll.clone(), poll.clone()]).await.unwrap();
        store.insert_dead_letters(std::slice::from_ref(&letter)).await.unwrap();
    }
    let gaps = "SELECT toUnixTimestamp64Milli(until_at) - toUnixTimestamp64Milli(from_at), estimate FROM coverage_gaps";
    assert_eq!(sql(&store, gaps).await, "9\t3");
    assert_eq!(sql(&store, "SELECT count(), sum(messages), sum(poison) FROM source_polls").await, "1\t5\t1");
    assert_eq!(sql(&store, "SELECT count(), any(hex(payload)) FROM dead_letters").await, "1\tFF0027");
}

#[tokio::test]
async fn nothing_to_insert_asks_nobody() {
    let store = unreachable();
    store.insert_mentions(&[]).await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_away_is_worth_trying_again() {
    let store = unreachable();
    for error in [
        store.ping().await.unwrap_err(),
        store.migrate().await.unwrap_err(),
        store.insert_mentions(&[mention("acme", 1, "secret words")]).await.unwrap_err(),
    ] {
        assert!(error.is_retryable(), "{error}");
        assert!(error.to_string().contains("refused"), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_store_without_its_schema_is_not_ready() {
    let Some(store) = bare_store("ready") else { return };
    assert!(store.check_schema().await.is_err());
    store.migrate().await.unwrap();
    store.check_schema().await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_not() {
    let Some(store) = bare_store("any") else { return };
    assert!(store.ping().await.unwrap().starts_with(|c: char| c.is_ascii_digit()));
    let url = clickhouse::url().unwrap();
    let options = StoreOptions {
        url,
        user: "hearken".into(),
        password: None,
        database: "any".into(),
        durable: true,
        cluster: None,
    };
    let error = Store::connect(options).ping().await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    assert!(error.to_string().ends_with("check the store's user and password"), "{error}");
}

#[tokio::test]
async fn a_refused_insert_says_why_without_the_rows() {
    let Some(store) = bare_store("no schema") else { return };
    sql(&bare_store("system").unwrap(), "CREATE DATABASE IF NOT EXISTS `no schema`").await;
    let error = store.insert_mentions(&[mention("acme", 1, "secret words")]).await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    assert_eq!(error.code(), Some(60), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn statements_of_the_users_own_stream_in_any_format_and_explain_their_errors() {
    let Some(store) = store("statements").await else { return };
    store.insert_mentions(&[mention("acme", 1, "secret words")]).await.unwrap();
    assert_eq!(sql(&store, "SELECT 'what?', 1 AS n FORMAT JSONEachRow").await, r#"{"'what?'":"what?","n":1}"#);
    assert_eq!(sql(&store, "SELECT sum(number) FROM numbers(3000000)").await, "4499998500000");
    let long = sql(&store, "SELECT number FROM numbers(300000)").await;
    assert_eq!(long.lines().count(), 300_000);
    let error = try_sql(&store, "SELEKT 1").await.unwrap_err().to_string();
    assert!(error.contains("SYNTAX_ERROR") && error.ends_with("correct the query"), "{error}");
    let error = try_sql(&store, "SELECT nonsense FROM mentions").await.unwrap_err().to_string();
    assert!(error.contains("nonsense"), "{error}");
    // ClickHouse quotes the value that it cannot convert; we do not.
    let error = try_sql(&store, "SELECT toUInt8(text) FROM mentions").await.unwrap_err().to_string();
    assert!(error.contains("CANNOT_PARSE_TEXT") && !error.contains("secret"), "{error}");
}

#[test]
fn revisions_are_ordered_by_version_then_observation_then_pass() {
    let ordered = [
        revision(0, 5, 9),
        revision(0, 6, 0),
        revision(0, 6, 1),
        revision(1, 0, 0),
        revision(1, MARCH, 0),
        revision(u64::MAX, MARCH, u16::MAX),
    ];
    assert!(ordered.is_sorted());
}

fn unreachable() -> Store {
    let port = support::free_port();
    Store::connect(StoreOptions {
        url: format!("http://127.0.0.1:{port}"),
        user: "hearken".into(),
        password: None,
        database: "hearken".into(),
        durable: true,
        cluster: None,
    })
}
