//! The `matrix` connector against a real Synapse, and against a server that misbehaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hearken_connectors::registry::{Context, channel};
use hearken_connectors::testing::{Answer, MatrixRoom, MatrixUser, Scenario, Server, Synapse, conform};
use hearken_connectors::webhook::Hooks;
use hearken_connectors::{
    Batch, Connector, ConnectorError, Cursor, Direction, Fault, Gap, GapReason, Message, MessageId, Visibility, http,
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// A client whose long polls last two thirds of this.
fn client(read_timeout: Duration) -> http::Client {
    let settings = http::Settings { read_timeout, timeout: 4 * read_timeout, ..http::Settings::default() };
    http::Client::new(settings).unwrap()
}

fn secret(value: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), value).unwrap();
    file
}

fn build(settings: &str, http: &http::Client, cursor: Option<Cursor>) -> Box<dyn Connector> {
    (channel("matrix").unwrap().build)(
        settings.parse().unwrap(),
        Context { source: "test", http, hooks: &Hooks::default(), cursor },
    )
    .unwrap()
}

/// A listener at a Synapse, and what it has heard.
struct Listener {
    http: http::Client,
    settings: String,
    _secret: tempfile::NamedTempFile,
    connector: Box<dyn Connector>,
    cursor: Option<Cursor>,
    /// All messages, in the order in which they were heard.
    heard: Vec<Message>,
    gaps: Vec<Gap>,
    poison: usize,
}

impl Listener {
    /// Listens as this user, by its token.
    fn new(synapse: &Synapse, user: &MatrixUser, rooms: &[&str], more: &str) -> Self {
        let token = secret(&user.token);
        let settings =
            format!("server = '{}'\nrooms = {rooms:?}\ntoken = 'file:{}'\n{more}", synapse.url, token.path().display());
        Self::with(settings, token)
    }

    fn with(settings: String, secret: tempfile::NamedTempFile) -> Self {
        let http = client(Duration::from_secs(6));
        let connector = build(&settings, &http, None);
        let (cursor, heard, gaps) = (None, Vec::new(), Vec::new());
        Self { http, settings, _secret: secret, connector, cursor, heard, gaps, poison: 0 }
    }

    /// A new process, from the stored cursor.
    fn restart(&mut self) {
        self.connector = build(&self.settings, &self.http, self.cursor.clone());
    }

    async fn poll(&mut self) -> Result<Batch, ConnectorError> {
        let batch = self.connector.next_batch().await?;
        self.heard.extend(batch.messages.clone());
        self.gaps.extend(batch.gaps.clone());
        self.poison += batch.poison.len();
        self.cursor = batch.cursor.clone().or(self.cursor.take());
        Ok(batch)
    }

    /// Polls until something holds of what was heard.
    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds(self) {
            assert!(Instant::now() < deadline, "{what}: not in what was heard: {:?}", self.texts());
            if let Err(error) = self.poll().await {
                assert!(error.retry_after.is_some(), "{error}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    /// Polls until this was the last thing said.
    async fn until_said(&mut self, words: &str) {
        self.until(words, |listener| listener.texts().contains(&words)).await;
    }

    /// Polls until nothing more is at hand.
    async fn settle(&mut self) {
        while self.poll().await.unwrap().more {}
    }

    fn texts(&self) -> Vec<&str> {
        self.heard.iter().map(|message| message.text.as_str()).collect()
    }

    /// The last state of a message, as the store keeps it.
    fn last(&self, room: &str, event: &str) -> Option<&Message> {
        let id = id(room, event);
        self.heard
            .iter()
            .filter(|message| message.id == id)
            .max_by_key(|message| (message.version, message.observed_at))
    }
}

fn id(room: &str, event: &str) -> MessageId {
    MessageId::of("matrix", &format!("{room}/{event}"))
}

#[tokio::test]
async fn a_conversation_is_heard() {
    let Some(synapse) = Synapse::shared().await else { return };
    let (ann, bo, own) = (synapse.user("ann").await, synapse.user("bo").await, synapse.user("acme").await);
    let room = ann.create_public_room("kettles").await;
    bo.join(&room).await;
    bo.ask("PUT", &format!("profile/{}/displayname", bo.id), &json!({"displayname": "Bo Ek"})).await;
    ann.say(&room, "before Hearken came").await;

    let mut listener = Listener::new(synapse, &own, &["#kettles:hearken.test"], "backfill = 0");
    let said = listener.connector.check().await.unwrap();
    assert_eq!(said, format!("{}: in 0 of 1 rooms; will join #kettles:hearken.test", own.id));
    listener.settle().await;
    assert_eq!(listener.texts(), [""; 0]);
    assert_eq!(listener.connector.check().await.unwrap(), format!("{}: in 1 of 1 rooms", own.id));

    let started = Timestamp::now();
    let broken = ann.say(&room, "my #Acme kettle broke").await;
    let content = json!({
        "msgtype": "m.text", "body": format!("> <{}> my #Acme kettle broke\n\nmine too, https://blog.example/k", ann.id),
        "m.relates_to": {"m.in_reply_to": {"event_id": broken}}, "m.mentions": {"user_ids": [ann.id]},
    });
    let reply = bo.send(&room, "m.room.message", content).await;
    let content = json!({
        "msgtype": "m.text", "body": "which one?",
        "m.relates_to": {"rel_type": "m.thread", "event_id": broken, "is_falling_back": true,
            "m.in_reply_to": {"event_id": reply}},
    });
    let threaded = own.send(&room, "m.room.message", content).await;
    let robot = bo.send(&room, "m.room.message", json!({"msgtype": "m.notice", "body": "weather: rain"})).await;
    let image = json!({"msgtype": "m.image", "body": "kettle.jpg", "url": "mxc://hearken.test/abc"});
    ann.send(&room, "m.room.message", image).await;
    // Types that are not listened to, and content that nobody knows.
    ann.send(&room, "org.example.unknown", json!({"body": "unknown"})).await;
    ann.set_state(&room, "m.room.topic", json!({"topic": "kettles"})).await;
    ann.send(&room, "m.room.message", json!({"msgtype": "org.example.new", "body": "a new sort"})).await;
    listener.until_said("a new sort").await;
    listener.settle().await;

    let texts = [
        "my #Acme kettle broke",
        "mine too, https://blog.example/k",
        "which one?",
        "weather: rain",
        "[image kettle.jpg]",
        "a new sort",
        // Again, as the start of a thread.
        "my #Acme kettle broke",
    ];
    assert_eq!(listener.texts(), texts);
    let message = listener.last(&room, &broken).unwrap();
    assert_eq!((&message.conversation, message.engagement.replies), (&broken, Some(1)), "a thread and its start");
    assert_eq!((message.visibility, message.direction), (Visibility::Public, Direction::Inbound));
    assert_eq!((message.hashtags.as_slice(), message.author.id.as_str()), (&["Acme".to_owned()][..], ann.id.as_str()));
    assert!(message.published_at.as_millisecond() >= started.as_millisecond());
    let message = listener.last(&room, &reply).unwrap();
    assert_eq!((message.in_reply_to, message.author.name.as_str()), (Some(id(&room, &broken)), "Bo Ek"));
    assert_eq!(message.links, ["https://blog.example/k"]);
    assert_eq!(message.mentioned, [ann.id.trim_start_matches('@')]);
    let message = listener.last(&room, &threaded).unwrap();
    assert_eq!((message.in_reply_to, &message.conversation), (Some(id(&room, &broken)), &broken));
    assert_eq!(message.direction, Direction::Outbound);
    assert!(listener.last(&room, &robot).unwrap().author.bot);
    assert_eq!((listener.poison, listener.gaps.len()), (0, 0));

    ann.set_state(&room, "m.room.join_rules", json!({"join_rule": "invite"})).await;
    let private = ann.say(&room, "among ourselves").await;
    listener.until_said("among ourselves").await;
    assert_eq!(listener.last(&room, &private).unwrap().visibility, Visibility::Private);
}

#[tokio::test]
async fn what_changes_is_heard() {
    let Some(synapse) = Synapse::shared().await else { return };
    let (ann, bo, own) = (synapse.user("ann").await, synapse.user("bo").await, synapse.user("acme").await);
    let room = ann.create_room(json!({"preset": "private_chat", "invite": [bo.id, own.id]})).await;
    bo.join(&room).await;
    let mut listener = Listener::new(synapse, &own, &[&room], "");
    let said = ann.say(&room, "frist").await;
    let gone = ann.say(&room, "too much said").await;
    listener.until_said("too much said").await;
    assert_eq!(listener.last(&room, &said).unwrap().visibility, Visibility::Private);
    assert_eq!(listener.last(&room, &said).unwrap().version, 0);

    let published_at = listener.last(&room, &said).unwrap().published_at;
    let edit = ann.edit(&room, &said, "first").await;
    listener.until_said("first").await;
    let message = listener.last(&room, &said).unwrap();
    assert!(message.version > 0 && message.text == "first" && message.published_at == published_at, "{message:?}");

    let thumb = bo.react(&room, &said, "👍").await;
    ann.react(&room, &said, "🎉").await;
    let likes = |listener: &Listener| listener.last(&room, &said).and_then(|message| message.engagement.likes);
    listener.until("two reactions", |listener| likes(listener) == Some(2)).await;
    assert_eq!(listener.last(&room, &said).unwrap().text, "first");
    listener.restart();
    bo.redact(&room, &thumb).await;
    listener.until("one reaction", |listener| likes(listener) == Some(1)).await;

    ann.redact(&room, &gone).await;
    listener.until("a deletion", |listener| listener.last(&room, &gone).unwrap().deleted).await;
    assert!(listener.last(&room, &gone).unwrap().text.is_empty());

    // An edit taken back brings the first words back, as a newer version.
    listener.restart();
    ann.redact(&room, &edit).await;
    listener.until("the first version", |listener| listener.last(&room, &said).unwrap().text == "frist").await;
    assert!(!listener.last(&room, &said).unwrap().deleted);
    assert_eq!(likes(&listener), Some(1));
    assert_eq!(listener.poison, 0);
    let ids: Vec<&str> = listener.heard.iter().map(|message| message.native_id.as_str()).collect();
    assert!(ids.iter().all(|id| *id == format!("{room}/{said}") || *id == format!("{room}/{gone}")), "{ids:?}");
}

#[tokio::test]
async fn what_was_said_while_nobody_listened_is_paged_back() {
    let Some(synapse) = Synapse::shared().await else { return };
    let (ann, own) = (synapse.user("ann").await, synapse.user("acme").await);
    let (loud, quiet) = (ann.create_public_room("loud").await, ann.create_public_room("quiet").await);
    let mut listener = Listener::new(synapse, &own, &[&loud, &quiet], "backfill = 10");
    for number in 0..30 {
        ann.say(&loud, &format!("old {number}")).await;
    }
    listener.until_said("old 29").await;
    listener.settle().await;
    let known = ann.say(&loud, "known").await;
    listener.until_said("known").await;
    let backfilled = listener.heard.len();
    assert!(backfilled <= 11, "{:?}", listener.texts());

    let (away, mut wanted) = (250, Vec::new());
    for number in 0..away {
        wanted.push(ann.say(&loud, &format!("away {number}")).await);
        if number == 20 {
            ann.edit(&loud, &known, "edited meanwhile").await;
            ann.redact(&loud, &wanted[5]).await;
        }
    }
    wanted.push(ann.say(&quiet, "quiet").await);
    // The process dies after each batch, once it is stored.
    listener.restart();
    while listener.poll().await.unwrap().more {
        listener.restart();
    }
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for message in listener.heard.iter().skip(backfilled).filter(|message| !message.deleted) {
        *times.entry(message.native_id.as_str()).or_default() += 1;
    }
    let deleted = listener.last(&loud, &wanted[5]).unwrap();
    assert!(deleted.deleted);
    for event in wanted.iter().enumerate().filter(|(number, _)| *number != 5).map(|(_, event)| event) {
        let room = if event == wanted.last().unwrap() { &quiet } else { &loud };
        assert_eq!(times.remove(format!("{room}/{event}").as_str()), Some(1), "{event} is heard once");
    }
    assert_eq!(times, BTreeMap::from([(format!("{loud}/{known}").as_str(), 1)]), "and nothing else but the edit");
    assert_eq!(listener.last(&loud, &known).unwrap().text, "edited meanwhile");
    assert_eq!((listener.gaps.len(), listener.poison), (0, 0));

    // A token of another life of the server.
    let mut cursor = listener.cursor.clone().unwrap();
    cursor.0["since"] = json!("s0_forgotten");
    listener.cursor = Some(cursor);
    let heard = listener.heard.len();
    for number in 0..120 {
        ann.say(&loud, &format!("later {number}")).await;
    }
    listener.restart();
    listener.until_said("later 0").await;
    listener.settle().await;
    assert_eq!(listener.heard.len(), heard + 120, "{:?}", listener.texts());
}

#[tokio::test]
async fn a_killed_server_is_survived() {
    let Some(synapse) = Synapse::start(&json!({})).await else { return };
    let (ann, own) = (synapse.user("ann").await, synapse.user("acme").await);
    let room = ann.create_public_room("kettles").await;
    let mut listener = Listener::new(&synapse, &own, &[&room], "");
    ann.say(&room, "one").await;
    listener.until_said("one").await;

    let (killed, ()) = tokio::join!(
        async {
            loop {
                if let Err(error) = listener.poll().await {
                    break error;
                }
            }
        },
        async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            synapse.kill9();
        }
    );
    assert!(matches!(killed.fault, Fault::Network | Fault::Remote), "{killed:?}");
    assert!(listener.poll().await.unwrap_err().retry_after.is_some());
    synapse.restart().await;
    ann.say(&room, "two").await;
    listener.until_said("two").await;
    assert_eq!(listener.texts(), ["one", "two"]);
}

#[tokio::test]
async fn a_password_is_enough_and_a_lost_session_is_renewed() {
    let Some(synapse) = Synapse::shared().await else { return };
    let (ann, own) = (synapse.user("ann").await, synapse.user("acme").await);
    let room = ann.create_public_room("password").await;
    let settings = |file: &tempfile::NamedTempFile| {
        let (user, path) = (&own.id, file.path().display());
        format!("server = '{}'\nrooms = ['{room}']\nuser = '{user}'\npassword = 'file:{path}'", synapse.url)
    };
    let password = secret(&own.password());
    let mut listener = Listener::with(settings(&password), password);
    ann.say(&room, "one").await;
    listener.until_said("one").await;
    // Logs out all devices.
    own.ask("POST", "logout/all", &json!({})).await;
    ann.say(&room, "two").await;
    listener.until_said("two").await;

    let wrong = secret("wrong");
    let error = Listener::with(settings(&wrong), wrong).poll().await.unwrap_err();
    assert!(error.message.contains("was refused: set `user` and `password`"), "{error}");
    assert_eq!((error.fault, error.retry_after), (Fault::Configuration, None));
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let Some(synapse) = Synapse::shared().await else { return };
    let (ann, own) = (synapse.user("ann").await, synapse.user("acme").await);
    let room = ann.create_room(json!({"preset": "private_chat"})).await;

    let token = secret("s3cret");
    let settings = format!("server = '{}'\nrooms = ['{room}']\ntoken = 'file:{}'", synapse.url, token.path().display());
    let mut listener = Listener::with(settings, token);
    let error = listener.poll().await.unwrap_err();
    assert!(error.message.ends_with("the access token was refused: renew `token`"), "{error}");
    assert_eq!((error.fault, error.retry_after), (Fault::Configuration, None));
    assert!(!format!("{error:?}").contains("s3cret"));

    let error = Listener::new(synapse, &own, &["#nowhere:hearken.test"], "").connector.check().await.unwrap_err();
    assert!(error.message.contains("knows no room #nowhere:hearken.test"), "{error}");
    let mut listener = Listener::new(synapse, &own, &[&room], "");
    let error = listener.poll().await.unwrap_err();
    assert!(error.message.ends_with("cannot be joined: invite the user to it"), "{error}");
    assert_eq!((error.fault, error.retry_after), (Fault::Configuration, Some(Duration::ZERO)));

    ann.ask("POST", &format!("rooms/{room}/invite"), &json!({"user_id": own.id})).await;
    ann.say(&room, "welcome").await;
    listener.until_said("welcome").await;
    ann.say(&room, "and good-bye").await;
    ann.ask("POST", &format!("rooms/{room}/ban"), &json!({"user_id": own.id})).await;
    listener.until_said("and good-bye").await;
    let error = loop {
        if let Err(error) = listener.poll().await {
            break error;
        }
    };
    assert!(error.message.contains("cannot be joined"), "{error}");
}

#[tokio::test]
async fn the_servers_limits_are_kept() {
    let limit = json!({"per_second": 0.5, "burst_count": 1});
    let settings = json!({"rc_joins": {"local": limit, "remote": limit}});
    let Some(synapse) = Synapse::start(&settings).await else { return };
    let (ann, own) = (synapse.user("ann").await, synapse.user("acme").await);
    let mut rooms = Vec::new();
    for number in 0..3 {
        rooms.push(ann.create_room(json!({"preset": "public_chat", "name": number.to_string()})).await);
    }
    let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
    let mut listener = Listener::new(&synapse, &own, &rooms, "");
    let error = listener.poll().await.unwrap_err();
    assert!(error.rate_limited, "{error:?}");
    let wait = error.retry_after.unwrap();
    assert!(wait > Duration::ZERO && wait < Duration::from_secs(10), "{error:?}");
    // Each try waits for its turn and joins one room more.
    for _ in 0..10 {
        if listener.poll().await.is_ok() {
            break;
        }
    }
    assert_eq!(listener.connector.check().await.unwrap(), format!("{}: in 3 of 3 rooms", own.id));
    ann.say(rooms[2], "here we are").await;
    listener.until_said("here we are").await;
}

#[tokio::test]
async fn an_encrypted_room_is_admitted_once() {
    let Some(synapse) = Synapse::shared().await else { return };
    let (ann, own) = (synapse.user("ann").await, synapse.user("acme").await);
    let room = ann.create_public_room("secrets").await;
    let mut listener = Listener::new(synapse, &own, &[&room], "");
    ann.say(&room, "in the open").await;
    listener.until_said("in the open").await;
    ann.set_state(&room, "m.room.encryption", json!({"algorithm": "m.megolm.v1.aes-sha2"})).await;
    let encrypted = json!({"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgAEnAC", "sender_key": "x",
        "device_id": "X", "session_id": "y"});
    ann.send(&room, "m.room.encrypted", encrypted.clone()).await;
    listener.until("a gap", |listener| !listener.gaps.is_empty()).await;
    listener.restart();
    ann.send(&room, "m.room.encrypted", encrypted).await;
    ann.say(&room, "in the open again").await;
    listener.until_said("in the open again").await;
    let [gap] = listener.gaps.as_slice() else { panic!("one gap, not {:?}", listener.gaps) };
    assert!(gap.detail.contains("encrypted") && gap.from <= gap.until, "{gap:?}");
    assert_eq!(listener.poison, 0);
    let said = listener.connector.check().await.unwrap();
    assert_eq!(said, format!("{}: in 1 of 1 rooms; encrypted, cannot be read: {room}", own.id));
}

/// A homeserver with one room, played by a script.
struct Remote {
    server: Server,
    room: Arc<Mutex<MatrixRoom>>,
    http: http::Client,
    token: tempfile::NamedTempFile,
}

const ROOM: &str = "!room:hs";

fn json_answer(value: &Value) -> Answer {
    Answer::ok(value.to_string()).header("content-type", "application/json")
}

fn asked(path_and_query: &str, key: &str) -> Option<String> {
    let url = url::Url::parse("http://hs").unwrap().join(path_and_query).unwrap();
    url.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value.into_owned())
}

impl Remote {
    async fn start() -> Self {
        let server = Server::start().await;
        let room = Arc::new(Mutex::new(MatrixRoom::new(ROOM)));
        let v3 = "/_matrix/client/v3";
        server.answer("/_matrix/client/versions", json_answer(&json!({"versions": ["r0.6.1", "v1.11"]})));
        server.answer(&format!("{v3}/account/whoami"), json_answer(&json!({"user_id": "@acme:hs"})));
        server.answer(&format!("{v3}/joined_rooms"), json_answer(&json!({"joined_rooms": [ROOM]})));
        server.answer(&format!("{v3}/user/@acme:hs/filter"), json_answer(&json!({"filter_id": "1"})));
        let rule = json!({"join_rule": "public"});
        server.answer(&format!("{v3}/rooms/{ROOM}/state/m.room.join_rules/"), json_answer(&rule));
        let error = json!({"errcode": "M_NOT_FOUND", "error": "no such event"});
        let visibility = format!("{v3}/rooms/{ROOM}/state/m.room.history_visibility/");
        server.answer(&visibility, Answer::status(404).body(error.to_string()));
        let syncing = Arc::clone(&room);
        server.handle_later(&format!("{v3}/sync"), move |request| {
            let (room, path) = (Arc::clone(&syncing), request.path.clone());
            async move {
                let since = asked(&path, "since");
                let wait = Duration::from_millis(asked(&path, "timeout").unwrap().parse().unwrap());
                let deadline = Instant::now() + wait;
                loop {
                    let answer = room.lock().unwrap().sync(since.as_deref());
                    if answer["rooms"]["join"] != json!({}) || Instant::now() >= deadline {
                        return json_answer(&answer);
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
        let paged = Arc::clone(&room);
        server.handle(&format!("{v3}/rooms/{ROOM}/messages"), move |request| {
            let (from, to) = (asked(&request.path, "from").unwrap(), asked(&request.path, "to"));
            json_answer(&paged.lock().unwrap().messages(&from, to.as_deref()))
        });
        Self { server, room, http: client(Duration::from_millis(600)), token: secret("s3cret") }
    }

    /// What is asked about a single event.
    fn serve(&self, event: &str) {
        let (room, id) = (Arc::clone(&self.room), event.to_owned());
        let path = format!("/_matrix/client/v3/rooms/{ROOM}/context/{event}");
        self.server.handle(&path, move |_| json_answer(&room.lock().unwrap().context(&id).unwrap()));
        let (room, id) = (Arc::clone(&self.room), event.to_owned());
        let path = format!("/_matrix/client/v1/rooms/{ROOM}/relations/{event}/m.annotation/m.reaction");
        self.server.handle(&path, move |_| json_answer(&room.lock().unwrap().reactions(&id)));
    }
}

impl Scenario for Remote {
    fn server(&self) -> Option<&Server> {
        Some(&self.server)
    }

    fn connector(&self, cursor: Option<Cursor>) -> Box<dyn Connector> {
        let (server, token) = (self.server.url(""), self.token.path().display());
        let settings = format!("server = '{server}'\nrooms = ['{ROOM}']\ntoken = 'file:{token}'");
        build(&settings, &self.http, cursor)
    }

    fn publish(&mut self, count: usize) -> Vec<MessageId> {
        let say = |_| {
            let event = self.room.lock().unwrap().say("hello");
            self.serve(&event);
            id(ROOM, &event)
        };
        (0..count).map(say).collect()
    }

    fn publish_garbage(&mut self) -> bool {
        self.room.lock().unwrap().send("m.room.message", json!({"msgtype": "m.text", "body": 7}));
        true
    }

    fn edit(&mut self) -> Option<MessageId> {
        self.room.lock().unwrap().edit("$e0", "edited");
        Some(id(ROOM, "$e0"))
    }

    fn delete(&mut self) -> Option<MessageId> {
        self.room.lock().unwrap().redact("$e1");
        Some(id(ROOM, "$e1"))
    }
}

#[tokio::test]
async fn the_contract_is_kept() {
    conform(Remote::start).await;
}

#[tokio::test]
async fn a_limit_in_the_body_is_kept() {
    let remote = Remote::start().await;
    let body = json!({"errcode": "M_LIMIT_EXCEEDED", "error": "slow down", "retry_after_ms": 90_000});
    remote.server.fail(Answer::status(429).body(body.to_string()));
    let error = remote.connector(None).next_batch().await.unwrap_err();
    assert_eq!((error.rate_limited, error.retry_after), (true, Some(Duration::from_secs(90))), "{error:?}");
}

#[tokio::test]
async fn a_room_that_is_no_longer_answered_for_does_not_stop_the_others() {
    let mut remote = Remote::start().await;
    remote.publish(1);
    let mut connector = remote.connector(None);
    let cursor = connector.next_batch().await.unwrap().cursor;
    remote.room.lock().unwrap().limit = 2;
    remote.publish(5);
    let error = json!({"errcode": "M_UNKNOWN", "error": "what token?"}).to_string();
    let path = format!("/_matrix/client/v3/rooms/{ROOM}/messages");
    remote.server.answer(&path, Answer::status(400).body(error));
    let mut connector = remote.connector(cursor);
    let batch = connector.next_batch().await.unwrap();
    assert_eq!((batch.messages.len(), batch.more), (2, true));
    let batch = connector.next_batch().await.unwrap();
    let [gap] = batch.gaps.as_slice() else { panic!("one gap, not {:?}", batch.gaps) };
    assert_eq!((gap.reason, batch.more), (GapReason::CursorExpired, false));
}

#[tokio::test]
async fn another_site_is_no_homeserver() {
    let remote = Remote::start().await;
    for answer in [Answer::ok("<html>hello</html>"), Answer::ok("{\"hello\": \"world\"}"), Answer::ok("[]")] {
        remote.server.fail(answer);
        let error = remote.connector(None).check().await.unwrap_err();
        assert!(error.message.contains("answers, but not as a homeserver"), "{error}");
    }
}

#[test]
fn events_become_messages() {
    let parse = channel("matrix").unwrap().parse;
    let payload = include_bytes!("../src/matrix/fixtures/events.json");
    let parsed = parse(toml::Table::new(), "test", payload).unwrap();
    let messages: Vec<Message> =
        parsed.messages.into_iter().map(|message| Message { observed_at: Timestamp::UNIX_EPOCH, ..message }).collect();
    insta::assert_json_snapshot!(messages);
    let poison: Vec<_> = parsed.poison.into_iter().map(|poison| (poison.origin, poison.reason)).collect();
    assert!(poison.iter().all(|(_, reason)| !reason.contains("secret")));
    insta::assert_debug_snapshot!(poison);

    assert!(parse(toml::Table::new(), "test", b"<html>").is_err());
    let sync = json!({"next_batch": "s1", "rooms": {"join": {"!r": {"timeline": {"events": [
        {"event_id": "$1", "type": "m.room.message", "sender": "@a:hs", "origin_server_ts": 1, "content": {"msgtype": "m.text", "body": "hi"}},
    ]}}}}});
    let parsed = parse(toml::Table::new(), "test", sync.to_string().as_bytes()).unwrap();
    assert_eq!(parsed.messages[0].native_id, "!r/$1");
}

#[test]
fn the_example_is_valid() {
    let example: toml::Table = include_str!("../../config/examples/matrix.toml").parse().unwrap();
    let token = secret("s3cret");
    let sources = example["source"].as_table().unwrap().values();
    assert!(sources.len() > 0);
    for source in sources {
        let mut settings = source.as_table().unwrap().clone();
        assert_eq!(settings.remove("channel").unwrap().as_str(), Some("matrix"));
        assert_eq!(settings["token"].as_str(), Some("env:MATRIX_TOKEN"));
        settings.insert("token".to_owned(), format!("file:{}", token.path().display()).into());
        build(&settings.to_string(), &client(Duration::from_secs(1)), None);
    }
}
