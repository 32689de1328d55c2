//! The `imap` channel against a real Dovecot, and on a troubled way to it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::time::Duration;

use hearken_connectors::http;
use hearken_connectors::registry::{Context, channel};
use hearken_connectors::testing::{Dovecot, MAILBOX, Postfix, Proxy, Scenario, Trouble, conform};
use hearken_connectors::webhook::Hooks;
use hearken_connectors::{
    Batch, BuildError, Connector, Cursor, Direction, Fault, GapReason, Message, MessageId, Visibility,
};
use tokio::time::{Instant, timeout};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn build(settings: &str, cursor: Option<Cursor>) -> Result<Box<dyn Connector>, BuildError> {
    let http = http::Client::new(http::Settings::default()).unwrap();
    (channel("imap").unwrap().build)(
        settings.parse().unwrap(),
        Context { source: "care", http: &http, hooks: &Hooks::default(), cursor },
    )
}

/// Settings for the server on this port, without encryption.
fn plain(server: &Dovecot, port: u16) -> String {
    let secret = server.secret("password", MAILBOX.1);
    format!(
        "host = '127.0.0.1'\nport = {port}\nsecurity = 'none'\nuser = '{}'\npassword = 'file:{}'\npoll = '1s'\ntimeout = '2s'\n",
        MAILBOX.0,
        secret.display()
    )
}

fn connect(server: &Dovecot, rest: &str, cursor: Option<Cursor>) -> Box<dyn Connector> {
    build(&(plain(server, server.imap) + rest), cursor).unwrap()
}

fn mail(id: &str, text: &str) -> String {
    format!(
        "From: Ann Lee <ann@example.org>\nTo: care@acme.example\nSubject: About {id}\nMessage-ID: <{id}@example.org>\n\
         Date: Mon, 1 Jan 2024 10:00:00 +0000\n\n{text}\n"
    )
}

fn id(id: &str) -> MessageId {
    MessageId::of("imap", &format!("{id}@example.org"))
}

/// Everything until the connector has nothing more at hand.
async fn drain(connector: &mut dyn Connector) -> Batch {
    let mut all = Batch::default();
    loop {
        let batch = timeout(PATIENCE, connector.next_batch()).await.unwrap().unwrap();
        let more = batch.more;
        all.messages.extend(batch.messages);
        all.poison.extend(batch.poison);
        all.gaps.extend(batch.gaps);
        all.cursor = batch.cursor;
        if !more {
            return all;
        }
    }
}

/// The first batch that is not empty.
async fn news(connector: &mut dyn Connector) -> Batch {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let batch = drain(connector).await;
        if !batch.messages.is_empty() || !batch.gaps.is_empty() || !batch.poison.is_empty() {
            return batch;
        }
        assert!(Instant::now() < deadline, "nothing is heard");
    }
}

fn ids(messages: &[Message]) -> Vec<MessageId> {
    messages.iter().map(|message| message.id).collect()
}

struct Mailbox {
    server: Dovecot,
    proxy: Proxy,
    published: usize,
}

impl Scenario for Mailbox {
    fn connector(&self, cursor: Option<Cursor>) -> Box<dyn Connector> {
        build(&plain(&self.server, self.proxy.port), cursor).unwrap()
    }

    fn publish(&mut self, count: usize) -> Vec<MessageId> {
        let names: Vec<String> = (self.published..self.published + count).map(|number| format!("m{number}")).collect();
        self.published += count;
        let mails: Vec<String> = names.iter().map(|name| mail(name, "hello")).collect();
        self.server.deliver_all(mails.iter().map(String::as_str));
        names.iter().map(|name| id(name)).collect()
    }

    fn publish_garbage(&mut self) -> bool {
        self.server.deliver("X-Nothing: here\n\nnot a mail");
        true
    }

    fn faults(&self) -> Vec<&'static str> {
        vec!["refusal", "silence", "a web server", "a good-bye", "a cut", "a late cut"]
    }

    fn fail(&mut self, fault: &str) {
        self.proxy.fail(match fault {
            "refusal" => Trouble::Refusal,
            "silence" => Trouble::Silence,
            "a web server" => Trouble::Says("HTTP/1.1 400 Bad Request\r\n\r\n"),
            "a good-bye" => Trouble::Says("* BYE too busy\r\n"),
            "a cut" => Trouble::CutAfter(100),
            _ => Trouble::CutAfter(1200),
        });
    }

    fn heal(&mut self) {
        self.proxy.heal();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_kept() {
    if Dovecot::start().is_none() {
        return;
    }
    conform(async || {
        let server = Dovecot::start().unwrap();
        let proxy = Proxy::start(server.imap);
        Mailbox { server, proxy, published: 0 }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_delivered_is_heard_and_left_as_it_was() {
    let Some(server) = Dovecot::start() else { return };
    server.deliver(&mail("one", "The kettle is broken.\n\n> quoted"));
    let mut connector = connect(&server, "", None);
    let check = connector.check().await.unwrap();
    assert_eq!(check, "127.0.0.1: INBOX with 1 mails; new mail is announced (IDLE)");
    let batch = drain(connector.as_mut()).await;
    let [message] = batch.messages.as_slice() else { panic!("{batch:?}") };
    assert_eq!(message.text, "The kettle is broken.");
    assert_eq!((message.author.handle.as_str(), message.author.name.as_str()), ("ann@example.org", "Ann Lee"));
    assert_eq!((message.source.as_str(), message.visibility), ("care", Visibility::Private));
    assert_eq!((message.direction, message.id), (Direction::Inbound, id("one")));
    let flags = server.doveadm(&["fetch", "-u", MAILBOX.0, "flags", "mailbox", "INBOX", "all"]);
    assert!(flags.contains("\\Recent") && !flags.contains("\\Seen"), "{flags}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_wakes_up() {
    let Some(server) = Dovecot::start() else { return };
    let settings = plain(&server, server.imap).replace("poll = '1s'", "poll = '20m'");
    let mut connector = build(&settings, None).unwrap();
    drain(connector.as_mut()).await;
    for name in ["one", "two"] {
        let (batch, ()) = tokio::join!(news(connector.as_mut()), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            tokio::task::block_in_place(|| server.deliver(&mail(name, "now")));
        });
        assert_eq!(ids(&batch.messages), [id(name)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_are_heard_and_sent_mail_is_outbound() {
    let Some(server) = Dovecot::start() else { return };
    for folder in ["Beschwerden & Lob/Übrige", "日本語"] {
        server.doveadm(&["mailbox", "create", "-u", MAILBOX.0, folder]);
        server.save(folder, &mail("complaint", "in two folders"));
    }
    server.deliver(&mail("complaint", "in two folders"));
    server.save("Sent", &mail("answer", "We are sorry."));
    let rest = "folders = ['INBOX', 'Beschwerden & Lob/Übrige', '日本語']\nsent = ['Sent']";
    let mut connector = connect(&server, rest, None);
    let batch = drain(connector.as_mut()).await;
    let complaints: Vec<_> = batch.messages.iter().filter(|message| message.id == id("complaint")).collect();
    assert_eq!(complaints.len(), 3, "the same message, which counts once");
    assert!(complaints.iter().all(|message| message.direction == Direction::Inbound));
    let answer = batch.messages.iter().find(|message| message.id == id("answer")).unwrap();
    assert_eq!(answer.direction, Direction::Outbound);

    let error = connect(&server, "folders = ['Inbocks']", None).next_batch().await.unwrap_err();
    assert_eq!((error.fault, error.retry_after.is_some()), (Fault::Configuration, true));
    assert!(
        error.message.contains("`Inbocks`") && error.message.contains("Sent") && error.message.contains("日本語"),
        "{error}"
    );

    // One folder that is away does not stop the others, and is a gap.
    server.doveadm(&["mailbox", "delete", "-u", MAILBOX.0, "日本語"]);
    server.deliver(&mail("more", "x"));
    let batch = drain(connect(&server, rest, batch.cursor).as_mut()).await;
    assert_eq!(ids(&batch.messages), [id("more")]);
    assert_eq!(batch.gaps.iter().map(|gap| gap.reason).collect::<Vec<_>>(), [GapReason::Outage]);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_numbers_are_a_gap_and_nothing_counts_twice() {
    let Some(server) = Dovecot::start() else { return };
    for name in ["old", "one", "two"] {
        server.save("INBOX", &mail(name, name));
    }
    let batch = drain(connect(&server, "backfill = 2", None).as_mut()).await;
    assert_eq!(ids(&batch.messages), [id("one"), id("two")], "the newest two");

    server.doveadm(&["mailbox", "update", "--uid-validity", "77", "-u", MAILBOX.0, "INBOX"]);
    server.deliver(&mail("three", "x"));
    let again = drain(connect(&server, "backfill = 2", batch.cursor).as_mut()).await;
    let heard: BTreeSet<MessageId> = ids(&again.messages).into_iter().collect();
    assert!(heard.is_superset(&[id("one"), id("two"), id("three")].into()), "{again:?}");
    assert_eq!(again.gaps.iter().map(|gap| gap.reason).collect::<Vec<_>>(), [GapReason::CursorExpired]);

    // Made again by hand.
    server.doveadm(&["mailbox", "create", "-u", MAILBOX.0, "Team"]);
    server.save("Team", &mail("team", "x"));
    let batch = drain(connect(&server, "folders = ['Team']", None).as_mut()).await;
    server.doveadm(&["mailbox", "delete", "-u", MAILBOX.0, "Team"]);
    server.doveadm(&["mailbox", "create", "-u", MAILBOX.0, "Team"]);
    server.save("Team", &mail("again", "x"));
    let again = drain(connect(&server, "folders = ['Team']", batch.cursor).as_mut()).await;
    assert_eq!(ids(&again.messages), [id("again")]);
    assert_eq!(again.gaps.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_was_removed_unheard_is_a_gap() {
    let Some(server) = Dovecot::start() else { return };
    server.deliver(&mail("one", "x"));
    let batch = drain(connect(&server, "", None).as_mut()).await;
    server.deliver_all([mail("two", "x"), mail("three", "x"), mail("four", "x")].iter().map(String::as_str));
    server.doveadm(&["expunge", "-u", MAILBOX.0, "mailbox", "INBOX", "uid", "1:3"]);
    let batch = drain(connect(&server, "", batch.cursor).as_mut()).await;
    // One was heard before it was removed, and stays.
    assert_eq!(ids(&batch.messages), [id("four")]);
    let [gap] = batch.gaps.as_slice() else { panic!("{:?}", batch.gaps) };
    assert_eq!((gap.reason, gap.estimate), (GapReason::NotListening, Some(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_starttls_with_an_authority_of_ones_own() {
    let Some(server) = Dovecot::start() else { return };
    server.deliver(&mail("one", "x"));
    let secret = server.secret("password", MAILBOX.1);
    let settings = |rest: &str| {
        format!("user = '{}'\npassword = 'file:{}'\npoll = '1s'\ntimeout = '5s'\n{rest}", MAILBOX.0, secret.display())
    };
    let trusted = format!("ca_file = '{}'", server.ca_file().display());
    for host in ["localhost", "127.0.0.1"] {
        for way in [format!("port = {}", server.imaps), format!("port = {}\nsecurity = 'starttls'", server.imap)] {
            let mut connector = build(&settings(&format!("host = '{host}'\n{way}\n{trusted}")), None).unwrap();
            assert_eq!(ids(&drain(connector.as_mut()).await.messages), [id("one")], "{way}");
            let error = build(&settings(&format!("host = '{host}'\n{way}")), None).unwrap().check().await.unwrap_err();
            assert_eq!(error.fault, Fault::Configuration, "{error}");
            assert!(error.message.contains("ca_file"), "{error}");
        }
    }
    let plain_port = format!("host = 'localhost'\nport = {}\n{trusted}", server.imap);
    let error = build(&settings(&plain_port), None).unwrap().check().await.unwrap_err();
    assert!(error.message.contains("starttls"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_read_is_told_so() {
    let Some(server) = Dovecot::start() else { return };
    server.deliver(&mail("one", "x"));
    let wrong = server.secret("wrong", "hunter2");
    let login = |reference: &str| {
        let settings = plain(&server, server.imap);
        let kept: String =
            settings.lines().filter(|line| !line.starts_with("password")).map(|line| format!("{line}\n")).collect();
        build(&format!("{kept}{reference}"), None).unwrap()
    };
    let error = login(&format!("password = 'file:{}'", wrong.display())).next_batch().await.unwrap_err();
    assert_eq!((error.fault, error.retry_after), (Fault::Configuration, None));
    assert!(error.message.contains("`care`") && !error.message.contains("hunter2"), "{error}");

    // A token that was renewed in its file is used without a restart.
    let token = server.secret("token", "expired");
    let mut connector = login(&format!("token = 'file:{}'", token.display()));
    let error = connector.next_batch().await.unwrap_err();
    assert_eq!((error.fault, error.retry_after.is_some()), (Fault::Configuration, true), "{error}");
    server.secret("token", &server.token());
    assert_eq!(ids(&drain(connector.as_mut()).await.messages), [id("one")], "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_is_heard_again() {
    let Some(mut server) = Dovecot::start() else { return };
    server.deliver(&mail("one", "x"));
    let mut connector = connect(&server, "", None);
    assert_eq!(ids(&drain(connector.as_mut()).await.messages), [id("one")]);
    server.stop();
    // A worker of the server may say one more word.
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        match timeout(PATIENCE, connector.next_batch()).await.unwrap() {
            Ok(batch) => assert!(batch.messages.is_empty() && Instant::now() < deadline),
            Err(error) => break error,
        }
    };
    assert_eq!((error.fault, error.retry_after), (Fault::Network, Some(Duration::ZERO)), "{error}");
    server.launch();
    server.deliver(&mail("two", "x"));
    assert_eq!(ids(&news(connector.as_mut()).await.messages), [id("two")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_within_a_mail_loses_nothing() {
    let Some(server) = Dovecot::start() else { return };
    let proxy = Proxy::start(server.imap);
    server.deliver_all(
        [mail("small", "x"), mail("large", &"all work and no play\n".repeat(60_000)), mail("last", "x")]
            .iter()
            .map(String::as_str),
    );
    let mut connector = build(&plain(&server, proxy.port), None).unwrap();
    for bytes in [400, 900, 1500, 3000, 200_000, 1_000_000] {
        proxy.fail(Trouble::CutAfter(bytes));
        let error = timeout(PATIENCE, connector.next_batch()).await.unwrap().unwrap_err();
        assert_eq!(error.fault, Fault::Network, "{bytes}: {error}");
    }
    proxy.heal();
    let batch = drain(connector.as_mut()).await;
    assert_eq!(ids(&batch.messages), [id("small"), id("large"), id("last")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_and_many_mails() {
    let Some(server) = Dovecot::start() else { return };
    let attachment = "QUJD\n".repeat(1_000_000);
    let large = format!(
        "From: ann@example.org\nMessage-ID: <large@example.org>\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nSee the film.\n\
         --b\nContent-Type: video/mp4; name=film.mp4\nContent-Transfer-Encoding: base64\n\n{attachment}--b--\n"
    );
    server.deliver(&large);
    let whole = drain(connect(&server, "", None).as_mut()).await;
    let beginning = drain(connect(&server, "max_size = '2MB'", None).as_mut()).await;
    for batch in [&whole, &beginning] {
        let [message] = batch.messages.as_slice() else { panic!("{:?}", batch.poison) };
        assert_eq!((message.id, message.text.as_str()), (id("large"), "See the film."));
        assert_eq!(message.attachments, ["film.mp4"]);
    }

    let many: Vec<String> = (0..450).map(|number| mail(&format!("n{number}"), "hello")).collect();
    server.deliver_all(many.iter().map(String::as_str));
    let mut connector = connect(&server, "", whole.cursor);
    let first = connector.next_batch().await.unwrap();
    assert!(first.more && first.messages.len() == 200, "{}", first.messages.len());
    // Dropped in the middle and taken up again from the cursor: each once.
    let rest = drain(connect(&server, "", first.cursor).as_mut()).await;
    let heard: BTreeSet<MessageId> = ids(&first.messages).into_iter().chain(ids(&rest.messages)).collect();
    assert_eq!((heard.len(), rest.messages.len()), (450, 250));
    assert_eq!(rest.gaps, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_was_sent_is_heard() {
    let Some(server) = Dovecot::start() else { return };
    let Some(postfix) = Postfix::start(&server) else { return };
    let mut connector = connect(&server, "", None);
    drain(connector.as_mut()).await;
    tokio::task::block_in_place(|| {
        postfix.send("From: Ann <Ann@example.org>\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\n\nhello\n-- \nAnn")
    });
    let batch = news(connector.as_mut()).await;
    let [message] = batch.messages.as_slice() else { panic!("{batch:?}") };
    // Postfix gave it the Message-ID that it lacked.
    assert!(message.native_id.ends_with("@mail.acme.example"), "{}", message.native_id);
    assert_eq!((message.title.as_str(), message.text.as_str()), ("Grüße", "hello"));
    assert_eq!(message.author.handle, "ann@example.org");
}

#[test]
fn the_example_is_valid() {
    let example: toml::Table = include_str!("../../config/examples/imap.toml").parse().unwrap();
    let sources = example["source"].as_table().unwrap().values();
    assert!(sources.len() > 0);
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "s3cret").unwrap();
    for source in sources {
        let mut settings = source.as_table().unwrap().clone();
        assert_eq!(settings.remove("channel").unwrap().as_str(), Some("imap"));
        // The variable of the example is not set here.
        settings.insert("password".to_owned(), format!("file:{}", secret.path().display()).into());
        build(&settings.to_string(), None).unwrap();
    }
}
