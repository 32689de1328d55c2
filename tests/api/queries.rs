//! Queries, tried over the API: what is explained, what is odd, what is refused.

use hearken::api::Role;
use serde_json::{Value, json};

use crate::server::{Server, read, server};

impl Server {
    async fn ask(&self, what: &str, body: &Value, token: &str) -> (u16, Value) {
        let request = self.request("POST", &format!("/api/v1/queries/{what}"), token).json(body);
        let (status, answer) = read(request.send().await.unwrap()).await;
        (status.as_u16(), answer)
    }
}

#[tokio::test]
async fn a_query_is_explained_on_texts_and_messages() {
    let Some(server) = server("queries_explain").await else { return };
    let body = json!({
        "query": "acme -publishing",
        "texts": ["My Straße, Acme's kettle", "Acme Publishing", "nothing"],
        "messages": [{"title": "ACME", "text": "said @acme", "mentioned": ["acme"], "author": {"handle": "x"}, "mood": 7}],
    });
    let (status, answer) = server.ask("explain", &body, "").await;
    assert_eq!(status, 200, "{answer}");
    insta::assert_json_snapshot!("an_explanation", answer);
    assert_eq!(server.ask("explain", &json!({"brand": "acme"}), "").await, (200, json!({"items": []})));
}

#[tokio::test]
async fn what_is_odd_about_a_query_is_told_by_itself_and_on_texts() {
    let Some(server) = server("queries_lint").await else { return };
    let query = "acme OR \"acme corp\" OR source:cars";
    let (status, answer) = server.ask("lint", &json!({ "query": query }), "").await;
    assert_eq!(status, 200, "{answer}");
    insta::assert_json_snapshot!("what_is_odd", answer);
    let texts = ["my Orange sim lost its network", "We drink orange juice", "it rains here today", "the bus is late"];
    let texts: Vec<&str> = texts.into_iter().cycle().take(200).collect();
    let (_, answer) = server.ask("lint", &json!({"query": "orange", "texts": texts}), "").await;
    let told = answer["items"][0]["suggestion"].as_str().unwrap();
    assert!(told.contains("juice"), "{answer}");
}

#[tokio::test]
async fn a_wrong_query_is_refused_with_its_place_and_what_would_be_right() {
    let Some(server) = server("queries_wrong").await else { return };
    for what in ["explain", "lint"] {
        let (status, problem) = server.ask(what, &json!({"query": "acme or globex"}), "").await;
        assert_eq!(status, 422, "{problem}");
        insta::allow_duplicates! { insta::assert_json_snapshot!("a_wrong_query", problem) };
    }
    for (body, told) in [
        (json!({}), "either `query` or `brand`"),
        (json!({"query": "acme", "brand": "acme"}), "either `query` or `brand`"),
        (json!({"query": "acme", "texts": vec![""; 201]}), "200 entries"),
        (json!({"query": "acme", "messages": vec![json!({"text": "a"}); 201]}), "200 entries"),
        (json!({"query": "acme", "messages": [{"text": "a"}, {"kind": "post"}]}), "message 2: it has neither"),
        (json!({"query": "acme", "messages": [{"text": "a", "kind": "private"}]}), "message 1: `kind`"),
        (json!({"query": "acme", "text": []}), "unknown field"),
    ] {
        let (status, problem) = server.ask("explain", &body, "").await;
        assert_eq!(status, 422, "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(told) && !detail.contains("private"), "{problem}");
    }
    let long = json!({"query": "acme", "texts": ["a".repeat(64 << 10)]});
    assert_eq!(server.ask("explain", &long, "").await.0, 413);
}

#[tokio::test]
async fn whoever_may_read_may_try_queries_and_those_of_the_brands_they_see() {
    let Some(server) = server("queries_roles").await else { return };
    let viewer = server.token(Role::Viewer, &["acme"]).await;
    let own = json!({"brand": "acme", "texts": ["Acme"]});
    let (status, answer) = server.ask("explain", &own, &viewer).await;
    assert_eq!((status, &answer["items"][0]["matched"]), (200, &true.into()));
    assert_eq!(server.ask("explain", &json!({"query": "globex"}), &viewer).await.0, 200);
    assert_eq!(server.ask("lint", &json!({"query": "globex"}), &viewer).await.0, 200);
    for (brand, status) in [("globex", 403), ("initech", 403)] {
        assert_eq!(server.ask("explain", &json!({ "brand": brand }), &viewer).await.0, status, "{brand}");
    }
    let everybody = server.token(Role::Viewer, &[]).await;
    assert_eq!(server.ask("explain", &json!({"brand": "initech"}), &everybody).await.0, 404);
    for what in ["explain", "lint"] {
        assert_eq!(server.ask(what, &json!({"query": "acme"}), "").await.0, 401);
    }
}
