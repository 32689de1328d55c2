//! The `telegram` connector against a server with the documented behaviour of the Bot API.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::time::Duration;

use hearken_connectors::registry::{Context, channel};
use hearken_connectors::testing::{Answer, Scenario, Server, TelegramBot, conform};
use hearken_connectors::webhook::Hooks;
use hearken_connectors::{
    Batch, Connector, ConnectorError, Cursor, Fault, GapReason, Message, MessageId, Visibility, http,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

fn client() -> http::Client {
    // Long polls last two thirds of the read timeout, in whole seconds.
    let settings = http::Settings {
        read_timeout: Duration::from_millis(1500),
        timeout: Duration::from_secs(3),
        ..http::Settings::default()
    };
    http::Client::new(settings).unwrap()
}

/// A bot in one supergroup.
struct Remote {
    bot: TelegramBot,
    http: http::Client,
    token: tempfile::NamedTempFile,
    newest: i64,
}

impl Remote {
    async fn start() -> Self {
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), TelegramBot::TOKEN).unwrap();
        Self { bot: TelegramBot::start().await, http: client(), token, newest: 0 }
    }

    fn settings(&self) -> toml::Table {
        let server = self.bot.server.url("");
        format!("server = '{server}'\ntoken = 'file:{}'", self.token.path().display()).parse().unwrap()
    }

    fn say(&mut self, text: &str) -> MessageId {
        self.newest += 1;
        self.bot.publish(json!({"message": post(self.newest, text)}));
        message_id(self.newest)
    }
}

fn post(message_id: i64, text: &str) -> Value {
    json!({
        "message_id": message_id, "date": Timestamp::now().as_second(), "text": text,
        "chat": {"id": -1007, "title": "Talk", "type": "supergroup"},
        "from": {"id": 42, "is_bot": false, "first_name": "Ann", "username": "ann"},
    })
}

fn message_id(number: i64) -> MessageId {
    MessageId::of("telegram", &format!("-1007/{number}"))
}

impl Scenario for Remote {
    fn server(&self) -> Option<&Server> {
        Some(&self.bot.server)
    }

    fn connector(&self, cursor: Option<Cursor>) -> Box<dyn Connector> {
        let context = Context { source: "test", http: &self.http, hooks: &Hooks::default(), cursor };
        (channel("telegram").unwrap().build)(self.settings(), context).unwrap()
    }

    fn publish(&mut self, count: usize) -> Vec<MessageId> {
        (0..count).map(|_| self.say("hello")).collect()
    }

    fn publish_garbage(&mut self) -> bool {
        self.bot.publish(json!({"message": {"message_id": "seven", "text": "secret"}}));
        true
    }

    fn edit(&mut self) -> Option<MessageId> {
        let mut edited = post(1, "edited");
        edited["edit_date"] = json!(Timestamp::now().as_second());
        self.bot.publish(json!({"edited_message": edited}));
        Some(message_id(1))
    }

    fn remembers(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn the_contract_is_kept() {
    conform(Remote::start).await;
}

async fn first_batch(remote: &Remote) -> Result<Batch, ConnectorError> {
    remote.connector(None).next_batch().await
}

fn texts(batch: &Batch) -> Vec<&str> {
    batch.messages.iter().map(|message| message.text.as_str()).collect()
}

#[tokio::test]
async fn only_what_was_acknowledged_is_confirmed() {
    let mut remote = Remote::start().await;
    remote.say("one");
    let mut connector = remote.connector(None);
    let batch = connector.next_batch().await.unwrap();
    assert_eq!(texts(&batch), ["one"]);
    // The process dies before the batch is stored.
    drop(connector);
    assert_eq!(remote.bot.waiting(), 1, "nothing is confirmed by hearing it");
    remote.say("two");
    let mut connector = remote.connector(None);
    let again = connector.next_batch().await.unwrap();
    assert_eq!(texts(&again), ["one", "two"]);

    // The process dies after it.
    drop(connector);
    remote.say("three");
    let mut connector = remote.connector(again.cursor);
    assert_eq!(texts(&connector.next_batch().await.unwrap()), ["three"]);
    assert_eq!(remote.bot.waiting(), 1, "what the cursor covers is confirmed, and no more");
    assert_eq!(connector.next_batch().await.unwrap().messages, []);
    assert_eq!(remote.bot.waiting(), 0);
}

#[tokio::test]
async fn many_updates_come_a_hundred_at_a_time() {
    let mut remote = Remote::start().await;
    let ids = remote.publish(250);
    let mut connector = remote.connector(None);
    let mut heard = Vec::new();
    for more in [true, true, false] {
        let batch = connector.next_batch().await.unwrap();
        assert_eq!(batch.more, more);
        heard.extend(batch.messages.into_iter().map(|message| message.id));
    }
    assert_eq!(heard, ids);
}

#[tokio::test]
async fn a_second_poller_is_said() {
    let remote = Remote::start().await;
    let (mut first, mut second) = (remote.connector(None), remote.connector(None));
    let late = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        second.next_batch().await
    };
    let (first, second) = tokio::join!(first.next_batch(), late);
    let error = first.unwrap_err();
    assert!(error.message.ends_with("another program polls for this bot: stop it, or use another bot"), "{error}");
    assert_eq!((error.fault, error.retry_after), (Fault::Configuration, Some(Duration::ZERO)));
    assert_eq!(second.unwrap().messages, []);
}

#[tokio::test]
async fn a_webhook_is_said() {
    let mut remote = Remote::start().await;
    remote.say("one");
    remote.bot.set_webhook("https://hook.example/");
    let error = first_batch(&remote).await.unwrap_err();
    assert!(error.message.contains("the bot's updates go to a webhook"), "{error}");
    assert_eq!((error.fault, error.retry_after), (Fault::Configuration, Some(Duration::ZERO)));
    assert!(remote.connector(None).check().await.unwrap_err().message.contains("webhook"));
    remote.bot.set_webhook("");
    assert_eq!(texts(&first_batch(&remote).await.unwrap()), ["one"]);
}

#[tokio::test]
async fn a_day_of_absence_is_a_gap() {
    let mut remote = Remote::start().await;
    remote.say("new");
    let days_ago = |days: i64| Timestamp::now() - SignedDuration::from_hours(24 * days);
    let cursor = |complete_until: Timestamp| {
        let text = complete_until.to_string();
        Some(Cursor(json!({"version": 1, "offset": 5_000_000, "heard_at": text, "complete_until": text})))
    };
    let away = days_ago(9);
    let batch = remote.connector(cursor(away)).next_batch().await.unwrap();
    assert_eq!(texts(&batch), ["new"], "an old offset must not delete updates with lower numbers");
    let [gap] = batch.gaps.as_slice() else { panic!("one gap, not {:?}", batch.gaps) };
    assert_eq!((gap.from, gap.reason), (away, GapReason::CursorExpired));
    assert!(gap.until > days_ago(2) && gap.until < Timestamp::now() - SignedDuration::from_hours(23), "{gap:?}");

    let recently = Some(Cursor(
        json!({"version": 1, "complete_until": (days_ago(0) - SignedDuration::from_hours(20)).to_string()}),
    ));
    assert_eq!(remote.connector(recently).next_batch().await.unwrap().gaps, []);
}

#[tokio::test]
async fn the_limit_in_the_body_is_kept() {
    let mut remote = Remote::start().await;
    remote.say("one");
    let body = json!({"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 100",
        "parameters": {"retry_after": 100}});
    remote.bot.server.fail(Answer::status(429).body(body.to_string()));
    let mut connector = remote.connector(None);
    let error = connector.next_batch().await.unwrap_err();
    assert_eq!((error.rate_limited, error.retry_after), (true, Some(Duration::from_secs(100))), "{error:?}");
    remote.bot.server.heal();
    let asked = remote.bot.server.requests().len();
    assert!(connector.next_batch().await.unwrap_err().rate_limited);
    assert_eq!(remote.bot.server.requests().len(), asked, "nothing is asked while the limit holds");
}

#[tokio::test]
async fn what_is_wrong_is_said_without_the_token() {
    let secret = TelegramBot::TOKEN.split_once(':').unwrap().1;
    let remote = Remote::start().await;
    let wrong_token = [TelegramBot::error(401, "Unauthorized"), TelegramBot::error(404, "Not Found")];
    let mut errors = Vec::new();
    for answer in wrong_token {
        remote.bot.server.fail(answer);
        let error = first_batch(&remote).await.unwrap_err();
        assert!(error.message.contains("the token was refused"), "{error}");
        assert_eq!((error.fault, error.retry_after), (Fault::Configuration, None));
        errors.push(error);
    }
    for fault in [
        TelegramBot::error(500, "Internal Server Error"),
        Answer::status(404).body("<html>not here</html>"),
        Answer::ok("<html>hello</html>"),
        Answer::ok("{\"ok\": true, \"result\": 7}"),
        Answer::ok("{\"ok\": true, \"result\": [{\"no\": \"id\"}]}"),
        Answer::redirect(302, "ftp://elsewhere/"),
        Answer::redirect(302, "/again"),
        Answer::ok(vec![b'<'; 4096]).cut_after(10),
        Answer::silence(),
        Answer::ok("x".repeat(100)).header("content-encoding", "gzip"),
    ] {
        remote.bot.server.fail(fault);
        let error = first_batch(&remote).await.unwrap_err();
        assert!(error.retry_after.is_some(), "{error:?}");
        errors.push(error);
    }
    let settings: toml::Table =
        format!("server = 'http://127.0.0.1:9'\ntoken = 'file:{}'", remote.token.path().display()).parse().unwrap();
    let context = Context { source: "test", http: &remote.http, hooks: &Hooks::default(), cursor: None };
    let mut nobody = (channel("telegram").unwrap().build)(settings, context).unwrap();
    errors.push(nobody.next_batch().await.unwrap_err());
    for error in errors {
        assert!(!format!("{error:?}").contains(secret), "the token is in {error}");
    }
}

#[tokio::test]
async fn check_says_what_the_bot_can_hear() {
    let mut remote = Remote::start().await;
    remote.say("one");
    let said = remote.connector(None).check().await.unwrap();
    assert!(said.starts_with("bot @acme_bot: 1 updates wait; in groups it hears only commands"), "{said}");
    assert_eq!(remote.bot.waiting(), 1, "nothing is consumed");
}

#[tokio::test]
async fn reactions_are_counted_on_messages_heard_before() {
    let mut remote = Remote::start().await;
    let id = remote.say("one");
    let mut connector = remote.connector(None);
    connector.next_batch().await.unwrap();
    let react = |message_id: i64, count: u64| {
        json!({"message_reaction_count": {"chat": {"id": -1007, "type": "supergroup"}, "message_id": message_id,
            "date": 1, "reactions": [{"type": {"type": "emoji", "emoji": "👍"}, "total_count": count}]}})
    };
    remote.bot.publish(react(1, 3));
    remote.bot.publish(react(999, 3));
    let batch = connector.next_batch().await.unwrap();
    let [message] = batch.messages.as_slice() else { panic!("one message, not {:?}", batch.messages) };
    assert_eq!((message.id, message.version, message.engagement.likes), (id, 0, Some(3)));
    assert_eq!(message.text, "one");

    let mut edited = post(1, "two");
    edited["edit_date"] = json!(1_900_000_000);
    remote.bot.publish(json!({"edited_message": edited}));
    let batch = connector.next_batch().await.unwrap();
    let message = &batch.messages[0];
    assert_eq!((message.version, message.engagement.likes, texts(&batch)), (1_900_000_000_000, Some(3), vec!["two"]));
}

#[test]
fn updates_become_messages() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), TelegramBot::TOKEN).unwrap();
    let settings = format!("token = 'file:{}'", token.path().display());
    let payload = include_bytes!("../src/telegram/fixtures/updates.json");
    let parse = channel("telegram").unwrap().parse;
    let parsed = parse(settings.parse().unwrap(), "test", payload).unwrap();
    let messages: Vec<Message> =
        parsed.messages.into_iter().map(|message| Message { observed_at: Timestamp::UNIX_EPOCH, ..message }).collect();
    assert!(messages.iter().any(|message| message.visibility == Visibility::Private));
    insta::assert_json_snapshot!(messages);
    let poison: Vec<_> = parsed.poison.into_iter().map(|poison| (poison.origin, poison.reason)).collect();
    assert!(poison.iter().all(|(_, reason)| !reason.contains("secret")));
    insta::assert_debug_snapshot!(poison);

    assert!(parse(toml::Table::new(), "test", b"<html>").is_err());
    let one = br#"{"update_id":1,"message":{"message_id":2,"date":3,"chat":{"id":4,"type":"private"},"text":"hi"}}"#;
    assert_eq!(parse(toml::Table::new(), "test", one).unwrap().messages[0].native_id, "4/2");
}

#[test]
fn settings_are_checked() {
    let file = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    };
    let http = client();
    let error = |settings: &str| {
        let context = Context { source: "test", http: &http, hooks: &Hooks::default(), cursor: None };
        let built = (channel("telegram").unwrap().build)(settings.parse().unwrap(), context);
        built.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let (good, bad) = (file(TelegramBot::TOKEN), file("s3cret"));
    let (good, bad) = (good.path().display(), bad.path().display());
    let errors = [
        error(""),
        error("tokn = 'x'"),
        error("token = '123:abc'"),
        error(&format!("token = 'file:{bad}'")),
        error(&format!("token = 'file:{good}'\nserver = 'telegram.example'")),
        error(&format!("token = 'file:{good}'\nserver = 'ftp://telegram.example'")),
    ];
    assert!(errors.iter().all(|error| !error.contains("s3cret")));
    insta::assert_snapshot!(errors.join("\n"));
    assert_eq!(error(&format!("token = 'file:{good}'")), "");
}

#[test]
fn the_example_is_valid() {
    let example: toml::Table = include_str!("../../config/examples/telegram.toml").parse().unwrap();
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), TelegramBot::TOKEN).unwrap();
    for source in example["source"].as_table().unwrap().values() {
        let mut settings = source.as_table().unwrap().clone();
        assert_eq!(settings.remove("channel").unwrap().as_str(), Some("telegram"));
        assert_eq!(settings["token"].as_str(), Some("env:TELEGRAM_TOKEN"));
        settings.insert("token".to_owned(), format!("file:{}", token.path().display()).into());
        let context = Context { source: "test", http: &client(), hooks: &Hooks::default(), cursor: None };
        (channel("telegram").unwrap().build)(settings, context).unwrap();
    }
}
