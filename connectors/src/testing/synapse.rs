//! A Synapse, the Matrix homeserver, and its users.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::OnceCell;
use url::Url;

/// How long Synapse may take to come up on a busy machine.
const STARTUP: Duration = Duration::from_secs(120);

/// Runs Synapse until standard input ends, which it also does when the test process is killed. `keep`
/// on standard input ends Synapse only, and leaves its data.
const KEEPER: &str = r#"
dir=$1; shift
"$@" >>"$dir/synapse.log" 2>&1 </dev/null & synapse=$!
read -r word
kill -9 $synapse; wait $synapse 2>/dev/null
[ "$word" = keep ] || rm -rf "$dir"
"#;

/// Its name in the ids of users and rooms.
const SERVER_NAME: &str = "hearken.test";

/// A running Synapse on loopback, with SQLite; stopped, and its data removed, when it is dropped or
/// when the test process ends.
pub struct Synapse {
    /// Address of its API.
    pub url: Url,
    python: PathBuf,
    dir: PathBuf,
    keeper: Mutex<Option<Child>>,
}

impl Synapse {
    /// The server that all tests of this process share; `None` where Synapse is not installed, which
    /// is said, and fails with `CI` set.
    pub async fn shared() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<Synapse>> = OnceCell::const_new();
        SHARED.get_or_init(async || Self::start(&json!({})).await).await.as_ref()
    }

    /// A server of one's own, with settings in place of the usual ones, which limit no rates.
    pub async fn start(settings: &Value) -> Option<Self> {
        let python = home().join("synapse/bin/python");
        if !python.exists() {
            let line = "not run: tests on Synapse: not found, run: script/bootstrap --test";
            assert!(std::env::var_os("CI").is_none(), "{line}");
            println!("{line}");
            return None;
        }
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("hearken-synapse-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory for Synapse");
        let port = free_port();
        write_config(&dir, port, settings);
        let url = Url::parse(&format!("http://127.0.0.1:{port}")).expect("an address");
        let synapse = Self { url, python, dir, keeper: Mutex::default() };
        synapse.run().await;
        Some(synapse)
    }

    /// Kills the server with SIGKILL; its data stay.
    pub fn kill9(&self) {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut keeper = keeper.expect("a running Synapse");
        keeper.stdin.take().expect("a pipe").write_all(b"keep\n").expect("the keeper listens");
        keeper.wait().expect("the keeper ends");
    }

    /// Starts the killed server again, on the same port and data.
    pub async fn restart(&self) {
        self.run().await;
    }

    async fn run(&self) {
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper"]).arg(&self.dir).arg(&self.python);
        command.args(["-m", "synapse.app.homeserver", "--config-path"]).arg(self.dir.join("homeserver.yaml"));
        let keeper = command.current_dir(&self.dir).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = keeper.spawn().expect("start Synapse");
        *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        let versions = self.url.join("/_matrix/client/versions").expect("an address");
        let http = client();
        let deadline = Instant::now() + STARTUP;
        while !http.get(versions.clone()).send().await.is_ok_and(|response| response.status().is_success()) {
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(self.dir.join("synapse.log")).unwrap_or_default();
                panic!("Synapse did not come up in {STARTUP:?}:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Registers a user whose name begins so, and whose password is `secret-` and its name.
    pub async fn user(&self, name: &str) -> MatrixUser {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{name}{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut user = MatrixUser {
            http: client(),
            server: self.url.clone(),
            token: String::new(),
            id: format!("@{name}:{SERVER_NAME}"),
            transactions: AtomicU32::new(0),
        };
        let answer = user
            .ask(
                "POST",
                "register",
                &json!({
                    "username": name, "password": format!("secret-{name}"), "auth": { "type": "m.login.dummy" },
                    "initial_device_display_name": "test",
                }),
            )
            .await;
        text(&answer, "access_token").clone_into(&mut user.token);
        user
    }
}

impl Drop for Synapse {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        match keeper {
            Some(mut keeper) => {
                drop(keeper.stdin.take());
                let _ = keeper.wait();
            }
            None => drop(std::fs::remove_dir_all(&self.dir)),
        }
    }
}

/// Where `script/bootstrap` installs what only this project uses.
fn home() -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    std::env::var_os("HEARKEN_HOME").map_or_else(|| home.join(".local/share/hearken"), PathBuf::from)
}

/// A port that nobody listened on a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind a loopback port");
    listener.local_addr().expect("a bound address").port()
}

fn client() -> reqwest::Client {
    // Sets up the cryptography that even plain HTTP wants to know.
    let _ = crate::http::Client::new(crate::http::Settings::default());
    reqwest::Client::builder().timeout(Duration::from_secs(30)).build().expect("an HTTP client")
}

/// JSON is YAML, too.
fn write_config(dir: &Path, port: u16, settings: &Value) {
    let unlimited = json!({ "per_second": 100_000, "burst_count": 100_000 });
    let mut config = json!({
        "server_name": SERVER_NAME,
        "listeners": [{
            "port": port, "bind_addresses": ["127.0.0.1"], "type": "http",
            "resources": [{ "names": ["client"], "compress": false }],
        }],
        "database": { "name": "sqlite3", "args": { "database": dir.join("homeserver.db") } },
        "signing_key_path": dir.join("signing.key"),
        "media_store_path": dir.join("media"),
        "pid_file": dir.join("homeserver.pid"),
        "macaroon_secret_key": "only for tests",
        "form_secret": "only for tests",
        "report_stats": false,
        "trusted_key_servers": [],
        "enable_registration": true,
        "enable_registration_without_verification": true,
        "bcrypt_rounds": 4,
        "presence": { "enabled": false },
        "rc_message": unlimited,
        "rc_registration": unlimited,
        "rc_login": { "address": unlimited, "account": unlimited, "failed_attempts": unlimited },
        "rc_joins": { "local": unlimited, "remote": unlimited },
        "rc_joins_per_room": unlimited,
        "rc_invites": { "per_room": unlimited, "per_user": unlimited, "per_issuer": unlimited },
        "rc_room_creation": unlimited,
    });
    for (key, value) in settings.as_object().expect("settings").clone() {
        config[key] = value;
    }
    // An Ed25519 seed of 32 zero bytes, with which nothing of worth is signed.
    std::fs::write(dir.join("signing.key"), format!("ed25519 a_test {}\n", "A".repeat(43))).expect("a signing key");
    std::fs::write(dir.join("homeserver.yaml"), config.to_string()).expect("a configuration");
}

/// A user of the server, who writes into rooms.
pub struct MatrixUser {
    http: reqwest::Client,
    server: Url,
    /// The access token.
    pub token: String,
    /// `@name:server`.
    pub id: String,
    transactions: AtomicU32,
}

impl MatrixUser {
    /// The password that it was registered with.
    pub fn password(&self) -> String {
        let name = self.id.trim_start_matches('@').split(':').next().unwrap_or_default();
        format!("secret-{name}")
    }

    /// Makes a room; its id.
    pub async fn create_room(&self, settings: Value) -> String {
        text(&self.ask("POST", "createRoom", &settings).await, "room_id").to_owned()
    }

    /// Makes a room that everybody may join and read, with this alias, `#name:server`; its id.
    pub async fn create_public_room(&self, name: &str) -> String {
        self.create_room(json!({ "preset": "public_chat", "room_alias_name": name })).await
    }

    /// Joins a room.
    pub async fn join(&self, room: &str) {
        self.ask("POST", &format!("join/{}", escaped(room)), &json!({})).await;
    }

    /// Sends an event; its id.
    pub async fn send(&self, room: &str, kind: &str, content: Value) -> String {
        let transaction = self.transactions.fetch_add(1, Ordering::Relaxed);
        let path = format!("rooms/{}/send/{kind}/t{transaction}", escaped(room));
        text(&self.ask("PUT", &path, &content).await, "event_id").to_owned()
    }

    /// Says something; the event's id.
    pub async fn say(&self, room: &str, words: &str) -> String {
        self.send(room, "m.room.message", json!({ "msgtype": "m.text", "body": words })).await
    }

    /// Edits a message; the edit's id.
    pub async fn edit(&self, room: &str, event: &str, words: &str) -> String {
        let content = json!({
            "msgtype": "m.text", "body": format!("* {words}"),
            "m.new_content": { "msgtype": "m.text", "body": words },
            "m.relates_to": { "rel_type": "m.replace", "event_id": event },
        });
        self.send(room, "m.room.message", content).await
    }

    /// Reacts to a message; the reaction's id.
    pub async fn react(&self, room: &str, event: &str, emoji: &str) -> String {
        let relation = json!({ "rel_type": "m.annotation", "event_id": event, "key": emoji });
        self.send(room, "m.reaction", json!({ "m.relates_to": relation })).await
    }

    /// Takes an event back.
    pub async fn redact(&self, room: &str, event: &str) {
        let transaction = self.transactions.fetch_add(1, Ordering::Relaxed);
        let path = format!("rooms/{}/redact/{}/t{transaction}", escaped(room), escaped(event));
        self.ask("PUT", &path, &json!({})).await;
    }

    /// Sets a state event of a room.
    pub async fn set_state(&self, room: &str, kind: &str, content: Value) {
        self.ask("PUT", &format!("rooms/{}/state/{kind}/", escaped(room)), &content).await;
    }

    /// Any other request: `path` follows `/_matrix/client/v3/`.
    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = self.server.join(&format!("/_matrix/client/v3/{path}")).expect("an address");
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, url).json(body);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        let status = response.status();
        let answer: Value = response.json().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }
}

fn text<'v>(answer: &'v Value, key: &str) -> &'v str {
    answer.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("no `{key}` in {answer}"))
}

fn escaped(part: &str) -> String {
    url::form_urlencoded::byte_serialize(part.as_bytes()).collect()
}
