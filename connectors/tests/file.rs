//! The `file` connector, from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hearken_connectors::registry::{Context, Parsed, channel};
use hearken_connectors::webhook::Hooks;
use hearken_connectors::{
    Batch, BuildError, Connector, ConnectorError, Country, Cursor, Fault, Kind, Message, Poison, http,
};
use jiff::Timestamp;

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
    let context = Context { source: "export", http: &client, hooks: &Hooks::default(), cursor };
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

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A message without the time at which it was heard.
fn timeless(mut message: Message) -> Message {
    message.observed_at = Timestamp::UNIX_EPOCH;
    message
}

#[tokio::test]
async fn the_airline_tweets_are_the_same_in_every_form() {
    let Some(path) = real("airline_tweets.jsonl") else { return };
    let jsonl = std::fs::read(&path).unwrap();
    let mut csv = String::from("\u{feff}airline,id,author,text,created_at,retweet_count\r\n");
    for line in jsonl.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let tweet: serde_json::Value = serde_json::from_slice(line).unwrap();
        let cells = ["airline", "id", "author", "text", "created_at", "retweet_count"].map(|key| match &tweet[key] {
            serde_json::Value::String(text) => format!("\"{}\"", text.replace('"', "\"\"")),
            other => other.to_string(),
        });
        csv += &(cells.join(",") + "\r\n");
    }
    let directory = tempfile::tempdir().unwrap();
    let forms = [
        ("a.jsonl", jsonl.clone()),
        ("a.jsonl.gz", gzip(&jsonl)),
        ("a.jsonl.zst", zstd::encode_all(&jsonl[..], 1).unwrap()),
        ("a.csv", csv.clone().into_bytes()),
        ("a.csv.gz", gzip(csv.as_bytes())),
    ];
    let mut all = Vec::new();
    for (name, bytes) in forms {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let drained = drain(&mut *build(&settings(&path, AIRLINE), None)).await.unwrap();
        assert_eq!((drained.messages.len(), drained.poison), (7313, vec![]), "{name}");
        all.push(drained.messages.into_iter().map(timeless).collect::<Vec<_>>());
    }
    for (index, line) in jsonl.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        let tweet: serde_json::Value = serde_json::from_slice(line).unwrap();
        let message = &all[0][index];
        assert_eq!(tweet["id"], message.native_id);
        assert_eq!(tweet["author"], message.author.handle);
        assert_eq!(tweet["text"], message.text);
        let created: Timestamp = tweet["created_at"].as_str().unwrap().parse().unwrap();
        assert_eq!(message.published_at, created);
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
}

fn parse(settings: &str, payload: &[u8]) -> Parsed {
    (channel("file").unwrap().parse)(settings.parse().unwrap(), "export", payload).unwrap()
}

fn snapshot(settings: &str, payload: &[u8]) -> serde_json::Value {
    let Parsed { messages, poison } = parse(settings, payload);
    let poison: Vec<_> = poison
        .into_iter()
        .map(|poison| (poison.origin, poison.reason, String::from_utf8_lossy(&poison.payload).into_owned()))
        .collect();
    serde_json::json!({ "messages": messages.into_iter().map(timeless).collect::<Vec<_>>(), "poison": poison })
}

#[test]
fn json_lines_are_mapped() {
    let settings = r#"
        format = "jsonl"
        set.channel = "twitter"
        [fields]
        id = "id_str"
        version = "edited_at"
        deleted = "gone"
        published_at = "created_at"
        text = "full_text"
        author.id = "user.id"
        author.handle = "user.screen_name"
        author.followers = "/user/followers_count"
        author.verified = "user.verified"
        author.created = "user.created_at"
        hashtags = "entities.hashtags.text"
        in_reply_to = "in_reply_to_status_id_str"
        engagement.likes = "favorite_count"
        engagement.views = "/metrics/1"
        language = "lang"
        country = "place.country_code"
        media = "extended_entities.media"
    "#;
    insta::assert_json_snapshot!(snapshot(settings, include_bytes!("../src/file/fixtures/tweets.jsonl")));
}

#[test]
fn spreadsheets_are_mapped() {
    let settings = r#"
        format = "csv"
        delimiter = ";"
        encoding = "windows-1254"
        time_format = "%d.%m.%Y %H:%M"
        set = { channel = "reviews", kind = "review", language = "tr" }
        [fields]
        id = "No"
        author.name = "Müşteri"
        text = "Yorum"
        engagement.rating = "Puan"
        published_at = "Tarih"
    "#;
    let text = "No;Müşteri;Puan;Tarih;Yorum\r\n\
                1;Ayşe Yılmaz;5;24.02.2015 11:15;\"Çok güzel;\r\n\"\"harika\"\" bir ürün\"\r\n\
                2;Çağrı;9;24.02.2015 11:15;Puan yanlış\r\n\
                3;Işık;1;2015;Tarih yanlış\r\n\
                4;eksik\r\n\
                5;İnci;2;25.02.2015 09:00;Kötü";
    let (bytes, _, _) = encoding_rs::WINDOWS_1254.encode(text);
    insta::assert_json_snapshot!(snapshot(settings, &bytes));
}

#[test]
fn a_stray_quote_costs_one_line() {
    let text = "id,text\n1,a\n2,\"never closed\n3,c\n4,d\n";
    let Parsed { messages, poison } = parse("format = 'csv'", text.as_bytes());
    let ids: Vec<_> = messages.iter().map(|message| message.native_id.as_str()).collect();
    assert_eq!(ids, ["1", "3", "4"]);
    assert_eq!(poison.iter().map(|poison| poison.origin.as_str()).collect::<Vec<_>>(), ["export:3"]);
}

#[test]
fn what_is_not_utf8_is_poison_and_utf16_is_read() {
    let Parsed { messages, poison } =
        parse("format = 'jsonl'\nfields.text = 't'", b"{\"t\": \"a\xff\"}\n{\"t\": \"b\"}\n");
    assert_eq!((messages.len(), poison[0].reason.as_str()), (1, "not UTF-8 from byte 9 of the record on"));
    let utf16: Vec<u8> = "\u{feff}id\ttext\n1\tçok\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let Parsed { messages, .. } = parse("format = 'csv'\ndelimiter = \"\\t\"", &utf16);
    assert_eq!(messages[0].text, "çok");
}

#[test]
fn hearken_messages_are_taken_as_they_are() {
    let message =
        timeless(parse("format = 'jsonl'\nfields.text = 't'", b"{\"t\": \"hello #world\"}").messages.remove(0));
    assert_eq!(message.hashtags, ["world"]);
    let line = serde_json::to_vec(&message).unwrap();
    assert_eq!(parse("", &line).messages, std::slice::from_ref(&message));
    // Also what it says of its country is checked.
    let from = |country: &str| {
        let mut record = serde_json::to_value(&message).unwrap();
        record["country"] = country.into();
        parse("", record.to_string().as_bytes()).messages
    };
    assert_eq!(from("tr")[0].country.as_ref().map(Country::as_str), Some("TR"));
    assert!(from("Turkey").is_empty());
    let poison = parse("", b"{\"text\": \"secret words\"}\n{\"id\": \"secret words\"}\nsecret words\n").poison;
    assert_eq!(poison.len(), 3);
    assert!(poison.iter().all(|poison| !poison.reason.contains("secret")), "{poison:?}");
}

#[test]
fn equal_records_without_an_id_are_one_message() {
    let settings = "format = 'jsonl'\nfields.text = 't'";
    let messages = parse(settings, b"{\"t\": \"a\"}\n{\"t\": \"b\"}\n {\"t\": \"a\"} \r\n").messages;
    assert_eq!(messages[0].id, messages[2].id);
    assert_ne!(messages[0].id, messages[1].id);
}

#[test]
fn wrong_settings_say_what_would_be_right() {
    let error = |settings: &str| try_build(settings, None).err().unwrap().to_string();
    let errors = [
        "",
        "path = 'a.jsonl'\nfolow = true",
        "path = 'a.jsonl'\nfollow = 'yes'",
        "path = 'a.txt'",
        "path = 'a.jsonl'\nformat = 'xml'",
        "path = 'a.jsonl'\ndelimiter = ';'",
        "path = 'a.csv'\ndelimiter = 'ß'",
        "path = 'a.csv'\nencoding = 'windows-9'",
        "path = 'a.csv'\ntime_format = '%!'",
        "path = 'a.jsonl'\nfields.txt = 'a'",
        "path = 'a.jsonl'\nfields.author.handel = 'a'",
        "path = 'a.jsonl'\nfields.id = 'a'",
        "path = 'a.jsonl'\nfields.text = 3",
        "path = 'a.jsonl'\nset.channel = 'x'",
        "path = 'a.jsonl'\nfields.text = 'a'\nset.kind = 'tweet'",
        "path = 'a.jsonl'\nfields.text = 'a'\nset.text = 'b'",
        "path = 'a.jsonl'\nfields.text = 'a'\nset.id = 'b'",
        "path = 'a.jsonl'\nfields.text = 'a'\nset.chanel = 'b'",
        "path = '[a.jsonl'",
    ];
    insta::assert_snapshot!(errors.map(error).join(
        "
"
    ));
    assert!(try_build("path = 'a.jsonl'", Some(Cursor(serde_json::json!({"version": 9, "files": []})))).is_err());
}

#[tokio::test]
async fn a_column_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.csv");
    std::fs::write(&path, "id,tweet\n1,a\n").unwrap();
    let mut connector = build(&settings(&path, "fields.text = 'tweets'"), None);
    let error = connector.check().await.unwrap_err();
    assert!(
        error
            .message
            .ends_with("no column `tweets` for fields.text (did you mean `tweet`?); the columns are id, tweet")
    );
    assert_eq!(connector.next_batch().await.unwrap_err(), error);
}

#[tokio::test]
async fn a_dropped_call_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl");
    let lines: String = (0..50_000).map(|id| format!("{{\"id\": {id}, \"text\": \"x\"}}\n")).collect();
    std::fs::write(&path, lines).unwrap();
    let mut connector = build(&settings(&path, "fields.text = 'text'\nfields.id = 'id'"), None);
    let mut heard = Vec::new();
    loop {
        let call = tokio::time::timeout(Duration::from_micros(200), connector.next_batch()).await;
        let Ok(batch) = call else { continue };
        let batch = batch.unwrap();
        heard.extend(batch.messages.into_iter().map(|message| message.native_id));
        if batch.end {
            break;
        }
    }
    assert_eq!(heard, (0..50_000).map(|id| id.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_followed_file_is_heard_soon() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl");
    let mut connector = build(&settings(&path, "follow = true\nfields.text = 'text'"), None);
    let writer = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        std::fs::write(&path, "{\"text\": \"a\"}\n").unwrap();
    });
    let batch = connector.next_batch().await.unwrap();
    writer.await.unwrap();
    assert_eq!((batch.messages.len(), batch.end), (1, false));
    assert!(batch.cursor.is_some());
}

#[test]
fn the_example_is_valid() {
    let example: toml::Table = include_str!("../../config/examples/file.toml").parse().unwrap();
    let sources = example["source"].as_table().unwrap().values();
    assert!(sources.len() > 0);
    for source in sources {
        let mut settings = source.as_table().unwrap().clone();
        assert_eq!(settings.remove("channel").unwrap().as_str(), Some("file"));
        try_build(&settings.to_string(), None).unwrap();
    }
}
