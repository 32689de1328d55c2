//! People's corrections of the model.

use hearken::api::Role;
use hearken::store::rows::{CorrectionRow, MentionRow, revision};

use crate::clickhouse::{MARCH, id, mention, sql};
use crate::server::{ids, server, talk};

#[tokio::test]
async fn the_last_word_of_a_person_counts_and_the_models_is_kept() {
    let Some(server) = server("api_corrections").await else { return };
    server.store.insert_mentions(&talk()).await.unwrap();
    let token = server.token(Role::Analyst, &[]).await;
    let (status, corrected) = server.correct(id(2), "acme", "positive", &token).await;
    assert_eq!(status.as_u16(), 200, "{corrected}");
    assert_eq!(server.correct(id(2), "acme", "neutral", &token).await.0.as_u16(), 200);

    let found = server.get(&format!("/api/v1/mentions/{}", id(2)), &token).await;
    let (acme, globex) = (&found["mentions"][0], &found["mentions"][1]);
    assert_eq!((&acme["sentiment"], &acme["sentiment_by_model"]), (&"neutral".into(), &"negative".into()));
    assert_eq!((&acme["sentiment_score"], &acme["corrected_by"]), (&(-0.9).into(), &"analyst-".into()));
    assert!(acme["corrected_at"].is_string());
    assert_eq!((&globex["sentiment"], &globex["corrected_by"]), (&"neutral".into(), &serde_json::Value::Null));

    // It counts in lists and figures, here and for any client of the store.
    assert!(ids(&server.get("/api/v1/mentions?sentiment=negative", &token).await).is_empty());
    let brands = server.get("/api/v1/brands?brand=acme", &token).await;
    assert_eq!((&brands["brands"][0]["negative"], &brands["brands"][0]["neutral"]), (&0.into(), &1.into()));
    let counts = sql(
        &server.store,
        "SELECT countIf(sentiment = 'negative'), countIf(sentiment_by_model = 'negative') FROM mentions",
    )
    .await;
    assert_eq!(counts, "1\t2");

    let list = server.get("/api/v1/corrections", &token).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let mut first = list["items"][0].clone();
    first["corrected_at"] = "when".into();
    insta::assert_json_snapshot!("a_correction", first);
}

#[tokio::test]
async fn a_correction_outlives_edits_and_rescoring_and_ends_with_the_mention() {
    let Some(server) = server("api_correction_stays").await else { return };
    let row = mention("acme", 1, "fine");
    server.store.insert_mentions(std::slice::from_ref(&row)).await.unwrap();
    assert_eq!(server.correct(id(1), "acme", "negative", "").await.0.as_u16(), 200);
    let edited = MentionRow { revision: revision(1, MARCH, 0), text: "very fine", sentiment: "positive", ..row };
    server.store.insert_mentions(std::slice::from_ref(&edited)).await.unwrap();
    let found = server.get("/api/v1/mentions", "").await;
    assert_eq!(
        (&found["items"][0]["text"], &found["items"][0]["sentiment"]),
        (&"very fine".into(), &"negative".into())
    );
    assert_eq!(found["items"][0]["corrected_by"], "local");
    let gone = MentionRow { revision: revision(2, MARCH, 0), deleted: true, ..edited };
    server.store.insert_mentions(&[gone]).await.unwrap();
    assert!(ids(&server.get("/api/v1/corrections", "").await).is_empty());
    assert_eq!(server.correct(id(1), "acme", "positive", "").await.0.as_u16(), 404);
}

#[tokio::test]
async fn corrections_are_idempotent_and_the_latest_wins_in_any_order() {
    let Some(server) = server("api_correction_order").await else { return };
    server.store.insert_mentions(&[mention("acme", 1, ""), mention("acme", 2, "")]).await.unwrap();
    let row = |number, sentiment, at| CorrectionRow {
        brand: "acme",
        message_id: id(number),
        sentiment,
        corrected_by: "ada",
        corrected_at: MARCH + at,
    };
    let rows = [
        row(1, "positive", 3),
        row(1, "negative", 1),
        row(2, "unsure", 2),
        row(1, "positive", 3),
        row(2, "neutral", 1),
    ];
    for row in &rows {
        server.store.insert_corrections(std::slice::from_ref(row)).await.unwrap();
    }
    server.store.insert_corrections(&rows).await.unwrap();
    let list = server.get("/api/v1/corrections?limit=1", "").await;
    assert_eq!(
        (&list["items"][0]["id"], &list["items"][0]["sentiment"]),
        (&id(1).to_string().into(), &"positive".into())
    );
    let next = list["next"].as_str().unwrap();
    let list = server.get(&format!("/api/v1/corrections?limit=1&cursor={next}"), "").await;
    assert_eq!((&list["items"][0]["sentiment"], &list["next"]), (&"unsure".into(), &serde_json::Value::Null));
    // A cursor of one list is none of another.
    assert_eq!(server.get_as(&format!("/api/v1/mentions?cursor={next}"), "").await.0.as_u16(), 400);
}
