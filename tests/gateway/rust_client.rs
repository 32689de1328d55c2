//! The `clickhouse` crate, which the store uses.

use clickhouse::{Client, Compression, Row, error::Error};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::gateway;

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Mention {
    #[serde(with = "clickhouse::serde::uuid")]
    id: Uuid,
    revision: u128,
    deleted: bool,
    brand: String,
    followers: Option<u64>,
    links: Vec<String>,
    score: f32,
    published_at: i64,
}

fn mention(number: u64) -> Mention {
    Mention {
        id: Uuid::from_u64_pair(7, number),
        revision: (u128::from(number) << 64) | 1,
        deleted: number.is_multiple_of(10),
        brand: format!("brand {} \u{1f442}\t\n\\'", number % 3),
        followers: number.is_multiple_of(2).then_some(number),
        links: (0..number % 4).map(|link| format!("https://example.org/{link}")).collect(),
        score: number as f32 / 1000.0,
        published_at: 1_700_000_000_000 + number as i64,
    }
}

async fn client(table: &str, compression: Compression) -> Option<Client> {
    let client = gateway()?.client();
    client.query("CREATE DATABASE IF NOT EXISTS rust_client").execute().await.unwrap();
    let client = client.with_database("rust_client").with_compression(compression);
    let columns = "id UUID, revision UInt128, deleted Bool, brand LowCardinality(String), followers Nullable(UInt64),
        links Array(String), score Float32, published_at DateTime64(3, 'UTC')";
    let create = format!("CREATE TABLE {table} ({columns}) ENGINE = ReplacingMergeTree(revision) ORDER BY (brand, id)");
    client.query(&create).execute().await.unwrap();
    Some(client)
}

async fn insert_and_read_back(table: &str, compression: Compression) {
    let Some(client) = client(table, compression).await else { return };
    let rows: Vec<Mention> = (0..100_000).map(mention).collect();
    for batch in rows.chunks(25_000) {
        let mut insert = client.insert::<Mention>(table).await.unwrap();
        for row in batch {
            insert.write(row).await.unwrap();
        }
        insert.end().await.unwrap();
    }
    let sql = format!("SELECT ?fields FROM {table} FINAL ORDER BY published_at");
    let read: Vec<Mention> = client.query(&sql).fetch_all().await.unwrap();
    assert!(read == rows);
    let half = format!(
        "SELECT count() FROM {table} WHERE published_at >= fromUnixTimestamp64Milli({{from:Int64}}) AND brand LIKE ?"
    );
    let half = client.query(&half).param("from", 1_700_000_050_000_i64).bind("brand%").fetch_one::<u64>().await;
    assert_eq!(half.unwrap(), 50_000);
}

#[tokio::test]
async fn rows_come_back_as_they_were_written() {
    insert_and_read_back("plain", Compression::None).await;
}

#[tokio::test]
async fn rows_come_back_as_they_were_written_with_lz4() {
    insert_and_read_back("compressed", Compression::Lz4).await;
}

#[tokio::test]
async fn errors_are_clickhouses() {
    let Some(client) = client("errors", Compression::Lz4).await else { return };
    let message = |error: Error| match error {
        Error::BadResponse(message) => message,
        error => panic!("{error:?}"),
    };
    let error = client.query("SELECT nosuch").fetch_one::<u8>().await.unwrap_err();
    assert!(message(error).starts_with("Code: 47."));
    let error = client.insert::<Mention>("nosuch").await.err().expect("no such table");
    assert!(message(error).starts_with("Code: 60."));
    let wrong = client.clone().with_password("wrong").query("SELECT 1").fetch_one::<u8>().await.unwrap_err();
    assert!(message(wrong).starts_with("Code: 516."));
}

#[tokio::test]
async fn an_error_behind_the_first_rows_is_an_error_and_no_end() {
    for compression in [Compression::None, Compression::Lz4] {
        let Some(gateway) = gateway() else { return };
        let client = gateway.client().with_compression(compression);
        let sql = "SELECT number + throwIf(number = 3000000) FROM numbers(5000000)";
        let mut cursor = client.query(sql).fetch::<u64>().unwrap();
        let mut rows = 0;
        let error = loop {
            match cursor.next().await {
                Ok(Some(row)) => {
                    assert_eq!(row, rows);
                    rows += 1;
                }
                Ok(None) => panic!("the result seems complete after {rows} rows"),
                Err(error) => break error,
            }
        };
        assert!(rows > 0);
        assert!(error.to_string().contains("Code: 395."), "{compression:?}: {error}");
    }
}

#[tokio::test]
async fn an_insert_that_is_not_ended_stores_nothing() {
    let Some(client) = client("not_ended", Compression::None).await else { return };
    let mut insert = client.insert::<Mention>("not_ended").await.unwrap();
    for number in 0..100_000 {
        insert.write(&mention(number)).await.unwrap();
    }
    drop(insert);
    // Its data is read before it is refused, so a second insert comes after it.
    let mut insert = client.insert::<Mention>("not_ended").await.unwrap();
    insert.write(&mention(1)).await.unwrap();
    insert.end().await.unwrap();
    assert_eq!(client.query("SELECT count() FROM not_ended").fetch_one::<u64>().await.unwrap(), 1);
}
