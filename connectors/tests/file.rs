//! The `file` connector, from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

use std::path::{Path, PathBuf};

use hearken_connectors::registry::{Context, channel};
use hearken_connectors::{Batch, BuildError, Connector, ConnectorError, Cursor, Fault, Kind, Message, Poison, http};

/// The mapping of the airline tweets, as in `config/examples/file.toml`.
const AIRLINE: &str = r#"
    set.channel = "twitter"
    fields.id = "id"
    fields.author.handle = "author"
    fields.text = "text"
    fields.published_at = "created_at"
    fields.engagement.reposts = "retweet_count"
"#;

fn try_build(settings: &str, cursor: Option<Cursor>) -> Result<Box<dyn Connector>, BuildError> {
    let client = http::Client::new(http::Settings::default()).unwrap();
    let context = Context { source: "export", http: &client, cursor };
    (channel("file")?.build)(settings.parse().unwrap(), context)
}

fn build(settings: &str, cursor: Option<Cursor>) -> Box<dyn Connector> {
    try_build(settings, cursor).unwrap()
}

/// Everything that a source gave until its end.
#[derive(Default)]
struct Drained {
    messages: Vec<Message>,
    poison: Vec<Poison>,
    cursor: Option<Cursor>,
}

async fn drain(connector: &mut dyn Connector) -> Result<Drained, ConnectorError> {
    let mut drained = Drained::default();
    loop {
        let batch: Batch = connector.next_batch().await?;
        drained.messages.extend(batch.messages);
        drained.poison.extend(batch.poison);
        drained.cursor = batch.cursor.or(drained.cursor);
        if batch.end {
            return Ok(drained);
        }
    }
}

fn real(name: &str) -> Option<PathBuf> {
    let found = std::env::var_os("HEARKEN_TEST_DATA").map(|data| Path::new(&data).join("real").join(name));
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is missing: set HEARKEN_TEST_DATA");
        println!("not run: real data: HEARKEN_TEST_DATA is not set, point it at a directory with real/{name}");
    }
    found
}

fn settings(path: &Path, rest: &str) -> String {
    format!("path = {:?}\n{rest}", path.to_str().unwrap())
}

#[tokio::test]
async fn the_airline_tweets_are_all_there() {
    let Some(path) = real("airline_tweets.jsonl") else { return };
    let mut connector = build(&settings(&path, AIRLINE), None);
    assert!(connector.check().await.unwrap().ends_with("the first record reads well"));
    let Drained { messages, poison, cursor } = drain(&mut *connector).await.unwrap();
    assert_eq!((messages.len(), poison.len()), (7313, 0));
    assert_eq!(messages[0].author.handle, "yvonnalynn");
    assert_eq!(messages[0].published_at.to_string(), "2015-02-24T19:15:00Z");
    assert_eq!(messages[0].kind, Kind::Post);

    let mut again = build(&settings(&path, AIRLINE), cursor);
    assert_eq!(drain(&mut *again).await.unwrap().messages.len(), 0);
}

#[tokio::test]
async fn a_missing_file_is_the_operators_fault() {
    let mut connector = build("path = \"/nowhere/at/all.jsonl\"", None);
    assert_eq!(connector.next_batch().await.unwrap_err().fault, Fault::Configuration);
    assert_eq!(connector.check().await.unwrap_err().fault, Fault::Configuration);
}
