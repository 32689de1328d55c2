//! Searching mentions, page by page.

use std::collections::BTreeMap;

use hearken::store::rows::{MentionRow, StoryRow};
use proptest::prelude::*;
use serde_json::Value;

use crate::clickhouse::{MARCH, id, mention, sql, store};
use crate::server::{Server, ids, serve, server, talk};

#[tokio::test]
async fn every_filter_narrows_the_list() {
    let Some(server) = server("api_filters").await else { return };
    server.store.insert_mentions(&talk()).await.unwrap();
    let told = |number| StoryRow { message_id: id(number), story: id(1), found_at: MARCH };
    server.store.insert_stories(&[told(1), told(2)]).await.unwrap();
    let all = [5, 4, 3, 2, 2, 1];
    for (query, expected) in [
        ("", &all[..]),
        ("brand=acme", &[4, 2, 1]),
        ("brand=acme&brand=globex", &all),
        ("brand=nobody", &[]),
        ("channel=feed", &[3]),
        ("language=de", &[3]),
        ("source=news", &[3]),
        ("sentiment=negative", &[4, 2]),
        ("sentiment=neutral&sentiment=positive", &[5, 3, 2, 1]),
        ("score_from=0.5", &[5, 1]),
        ("score_until=-0.8", &[2]),
        ("score_from=-0.75&score_until=0.05", &[4, 3]),
        ("author=bOB", &[2, 2]),
        ("author=b2", &[2, 2]),
        ("author=ada", &[5, 4, 3, 1]),
        ("text=acme", &[2, 2, 1]),
        ("text=GR%C3%96SSE", &[]),
        ("text=gr%C3%B6%C3%9Fe", &[3]),
        ("text=%27%20OR%201%3D1%20--", &[]),
        ("kind=article", &[3]),
        ("kind=article&kind=chat", &[5, 3]),
        ("country=de", &[3]),
        ("country=DE&country=FR", &[3]),
        ("country=FR", &[]),
        ("direction=outbound", &[]),
        ("direction=inbound&brand=globex", &[5, 3, 2]),
        ("intent=complaint", &[2]),
        ("intent=complaint&intent=praise", &[2, 1]),
        ("story=50000000-0000-4000-8000-000000000001", &[2, 2, 1]),
        ("story=50000000-0000-4000-8000-000000000002", &[]),
        ("noise=true", &[4]),
        ("noise=false", &[5, 3, 2, 2, 1]),
        ("from=2026-03-01T03:00:00Z", &[5, 4, 3]),
        ("until=2026-03-01T03:00:00Z", &[2, 2, 1]),
        ("from=0001-01-01T00:00:00Z&until=9999-12-30T00:00:00Z", &all),
        ("brand=acme&sentiment=negative&text=again&from=2026-03-01T00:00:00Z", &[2]),
    ] {
        let found = ids(&server.get(&format!("/api/v1/mentions?{query}"), "").await);
        let expected: Vec<String> = expected.iter().map(|number| id(*number).to_string()).collect();
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn a_mention_is_told_whole() {
    let Some(server) = server("api_whole").await else { return };
    let links = ["https://example.org/".to_owned()];
    let matched = ["\"acme\"".to_owned()];
    let attachments = ["bill.pdf".to_owned(), "фото.jpg".to_owned()];
    let row = MentionRow {
        title: "Ünïcode ' \" \\ \n",
        links: &links,
        matched: &matched,
        attachments: &attachments,
        has_media: true,
        country: "CH",
        noise: "bulk",
        intents: vec!["question", "praise"],
        in_reply_to: id(9),
        views: Some(u64::MAX),
        rating: Some(4.5),
        ..mention("acme", 1, "👩‍👩‍👧 שלום")
    };
    server.store.insert_mentions(&[row.clone(), MentionRow { brand: "globex", ..row }]).await.unwrap();
    let mut found = server.get(&format!("/api/v1/mentions/{}", id(1)), "").await;
    assert_eq!(found["mentions"].as_array().unwrap().len(), 2);
    let stored_at = found["mentions"][0]["stored_at"].take();
    assert!(stored_at.as_str().unwrap().ends_with('Z'), "{stored_at}");
    insta::assert_json_snapshot!("a_mention", found["mentions"][0]);
    let page = server.get("/api/v1/mentions?brand=globex", "").await;
    assert_eq!(page["items"][0]["text"], "👩‍👩‍👧 שלום");
    assert_eq!(page["next"], Value::Null);
    let (status, problem) = server.get_as(&format!("/api/v1/mentions/{}", id(2)), "").await;
    assert_eq!((status.as_u16(), &problem["type"]), (404, &"urn:hearken:problem:not-found".into()));
}

/// Reads all pages; between two of them, `meanwhile` may do something.
async fn read_all(server: &Server, query: &str, mut meanwhile: impl AsyncFnMut(usize)) -> Vec<(String, String)> {
    let (mut read, mut cursor) = (Vec::new(), String::new());
    for page in 0.. {
        assert!(page < 1000, "the pages do not end");
        let found = server.get(&format!("/api/v1/mentions?{query}{cursor}"), "").await;
        for item in found["items"].as_array().unwrap() {
            read.push((item["id"].as_str().unwrap().to_owned(), item["brand"].as_str().unwrap().to_owned()));
        }
        let Some(next) = found["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
        meanwhile(page).await;
    }
    read
}

#[test]
fn every_mention_comes_exactly_once_while_others_arrive() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(store) = runtime.block_on(store("api_pages")) else { return };
    let server = {
        let _guard = runtime.enter();
        let limits = hearken::api::Limits { requests_per_second: 10_000, burst: 10_000, ..Default::default() };
        serve(store, limits)
    };
    let config = ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
    // Few moments, so that many mentions share one; and mentions that arrive between two pages, before and after it.
    let moments = prop::collection::vec((0..6_i64, 0..2_usize), 1..60);
    let arriving = prop::collection::vec((0..6_i64, 0..2_usize), 0..20);
    proptest!(config, |(moments in moments, arriving in arriving, limit in 1..9_usize)| {
        runtime.block_on(async {
            sql(&server.store, "TRUNCATE TABLE mention_revisions").await;
            let row = |number: usize, (moment, brand): (i64, usize)| MentionRow {
                published_at: MARCH + moment,
                ..mention(["acme", "globex"][brand], number as u64, "")
            };
            let there: Vec<_> = moments.iter().enumerate().map(|(number, at)| row(number, *at)).collect();
            server.store.insert_mentions(&there).await.unwrap();
            let mut late = arriving.iter().enumerate().map(|(number, at)| row(1000 + number, *at));
            let meanwhile = async |_| {
                if let Some(row) = late.next() {
                    server.store.insert_mentions(&[row]).await.unwrap();
                }
            };
            let read = read_all(&server, &format!("limit={limit}"), meanwhile).await;
            let mut times: BTreeMap<_, usize> = BTreeMap::new();
            for one in &read {
                *times.entry(one.clone()).or_default() += 1;
            }
            for (one, times) in &times {
                assert_eq!(*times, 1, "{one:?} came twice");
            }
            for row in &there {
                let one = (row.message_id.to_string(), row.brand.to_owned());
                assert!(times.contains_key(&one), "{one:?} did not come");
            }
        });
    });
}

#[tokio::test]
async fn pages_go_on_where_a_brands_name_is_odd() {
    let Some(server) = server("api_odd").await else { return };
    let brand = "Ø'\"\\ 株式会社 {x:String}";
    let rows: Vec<_> = (0..5).map(|number| mention(brand, number, "")).collect();
    server.store.insert_mentions(&rows).await.unwrap();
    let query = format!("brand={}&limit=2", form_urlencoded::byte_serialize(brand.as_bytes()).collect::<String>());
    assert_eq!(read_all(&server, &query, async |_| {}).await.len(), 5);
}
