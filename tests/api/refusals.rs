//! What is refused, and how it is told.

use std::fmt::Write;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::clickhouse::{bare_store, id};
use crate::server::{read, serve, server};

#[tokio::test]
async fn a_bad_parameter_is_named_and_explained() {
    let Some(server) = server("api_bad").await else { return };
    let mut answers = String::new();
    for path in [
        "mentions?brnad=acme",
        "mentions?languages=en&nonsense=1",
        "mentions?limit=0",
        "mentions?limit=201",
        "mentions?limit=ten",
        "mentions?limit=1&limit=2",
        "mentions?cursor=nonsense",
        "mentions?cursor=eyJhIjoxfQ",
        "mentions?from=yesterday",
        "mentions?from=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z",
        "mentions?sentiment=negativ",
        "mentions?score_from=2",
        "mentions?score_from=NaN",
        "mentions?kind=tweet&direction=up",
        "mentions?brand=",
        "mentions?brand=%FF",
        "mentions?text=%00",
        "mentions?sentiment=bad&limit=0&unknown=1",
        "mentions/nonsense",
        "mentions/live?langauge=en",
        "volume?step=week&by=author",
        "trends",
        "trends?since=then",
        "authors?rank=fame",
        "sources?brand=acme",
        "coverage-gaps?brand=acme",
        "polls?source=",
        "openapi",
    ] {
        let response = server.answer(&format!("/api/v1/{path}"), "").await;
        let kind = response.headers().get(CONTENT_TYPE).cloned();
        let (status, problem) = read(response).await;
        assert_eq!(kind, Some(HeaderValue::from_static("application/problem+json")), "{path}");
        assert_eq!(problem["status"], status.as_u16(), "{path}");
        writeln!(answers, "{path}\n  {} {}\n  {}", status.as_u16(), problem["type"], problem["detail"]).unwrap();
    }
    insta::assert_snapshot!("refusals", answers);
    let long = "x".repeat(201);
    let (status, problem) = server.get_as(&format!("/api/v1/mentions?text={long}"), "").await;
    assert_eq!((status.as_u16(), &problem["parameters"][0]["name"]), (400, &"text".into()));
}

#[tokio::test]
async fn every_kind_of_refusal_is_a_problem() {
    let Some(server) = server("api_kinds").await else { return };
    let path = format!("/api/v1/mentions/{}/sentiment?brand=acme", id(1));
    let put = |kind: &'static str, body: String| server.request("PUT", &path, "").header(CONTENT_TYPE, kind).body(body);
    let json = "application/json";
    let large = format!("{{\"sentiment\": \"{}\"}}", "x".repeat(70_000));
    for (expected, request) in [
        (404, server.request("GET", "/nothing", "")),
        (404, server.request("GET", "/api/v2/mentions", "")),
        (405, server.request("DELETE", "/api/v1/mentions", "")),
        (405, server.request("POST", "/", "")),
        (405, server.request("POST", "/healthz", "")),
        (406, server.request("GET", "/api/v1/mentions", "").header(ACCEPT, "text/csv")),
        (406, server.request("GET", "/api/v1/mentions/live", "").header(ACCEPT, "application/json")),
        (400, put(json, "{".to_owned())),
        (413, put(json, large)),
        (415, put("text/plain", "{\"sentiment\": \"neutral\"}".to_owned())),
        (422, put(json, "{\"sentiment\": \"lovely\"}".to_owned())),
        (422, put(json, "{\"sentiment\": \"neutral\", \"score\": 1}".to_owned())),
        (404, put(json, "{\"sentiment\": \"neutral\"}".to_owned())),
        (401, server.request("GET", "/api/v1/mentions", "nonsense")),
    ] {
        let response = request.send().await.unwrap();
        let headers = response.headers().clone();
        let (status, problem) = read(response).await;
        assert_eq!(status.as_u16(), expected, "{problem}");
        assert_eq!(headers[CONTENT_TYPE], "application/problem+json", "{problem}");
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        match expected {
            401 => assert!(headers["www-authenticate"].to_str().unwrap().starts_with("Bearer")),
            405 => assert!(headers.contains_key("allow"), "{problem}"),
            _ => {}
        }
        is_secured(&headers);
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_said_so_and_the_process_lives() {
    let port = crate::support::free_port();
    let store = hearken::store::Store::connect(hearken::store::StoreOptions {
        url: format!("http://127.0.0.1:{port}"),
        user: "hearken".into(),
        password: None,
        database: "away".into(),
        durable: true,
        cluster: None,
    });
    let server = serve(store, hearken::api::Limits::default());
    let (status, problem) = server.get_as("/api/v1/mentions", "").await;
    assert_eq!((status.as_u16(), &problem["type"]), (503, &"urn:hearken:problem:unavailable".into()));
    assert_eq!(server.get("/healthz", "").await["status"], "ok");
    let (status, problem) = server.get_as("/readyz", "").await;
    assert_eq!((status.as_u16(), &problem["detail"]), (503, &"the store does not answer".into()));
}

#[tokio::test]
async fn a_process_whose_log_and_store_answer_is_ready() {
    let Some(server) = server("api_ready").await else { return };
    assert_eq!(server.get("/readyz", "").await["status"], "ok");
    assert_eq!(server.get("/healthz", "nonsense").await["status"], "ok");
}

#[tokio::test]
async fn a_store_without_a_schema_is_said_so() {
    let Some(store) = bare_store("api_no_schema") else { return };
    let server = serve(store, hearken::api::Limits::default());
    let (status, problem) = server.get_as("/api/v1/mentions", "").await;
    assert_eq!(status.as_u16(), 503, "{problem}");
}

#[tokio::test]
async fn answers_are_kept_from_other_sites() {
    let Some(server) = server("api_secured").await else { return };
    for path in ["/", "/report.json", "/api/v1/mentions", "/api/v1/openapi.json", "/healthz"] {
        let response = server.request("GET", path, "").header("origin", "https://evil.example").send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200, "{path}");
        is_secured(response.headers());
    }
    // A name that was made to point here (DNS rebinding).
    let rebound = server.request("GET", "/api/v1/mentions", "").header("host", "evil.example").send().await.unwrap();
    assert_eq!(read(rebound).await.0.as_u16(), 403);
}

fn is_secured(headers: &HeaderMap) {
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["cache-control"], "no-store");
    assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    assert!(!headers.keys().any(|name| name.as_str().starts_with("access-control-")));
}
