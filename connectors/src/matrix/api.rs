//! The requests: <https://spec.matrix.org/latest/client-server-api/>.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::event::TYPES;
use super::settings::Login;
use crate::contract::{ConnectorError, Fault};
use crate::http::{Client, Limits, Quota, Request, Response, redacted};
use crate::secret::Secret;

/// Events of a room in one answer: the most that Synapse gives.
pub(super) const PAGE: usize = 100;
/// Homeservers limit what is sent, not what is read; this is to be polite.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// Requests in a row before that rate applies.
const BURST: NonZeroU32 = NonZeroU32::new(50).unwrap();
/// Pages of reactions that are counted.
const MAX_REACTION_PAGES: usize = 10;

/// A homeserver, asked as one user.
pub(super) struct Api {
    http: Client,
    limits: Limits,
    server: Url,
    login: Login,
    /// Name of this device at the homeserver, where a password is used.
    device: String,
    session: Option<Session>,
    /// The session's token was refused; the next call logs in again.
    has_ended: AtomicBool,
}

/// What has been found out about the server and the user.
struct Session {
    /// `v3` or `r0`.
    version: &'static str,
    token: Secret,
    user: String,
}

/// A refusal by the API itself.
#[derive(Debug)]
pub(super) struct Refusal {
    /// `M_FORBIDDEN`, `M_NOT_FOUND`, ...
    pub(super) code: String,
    error: ConnectorError,
}

impl Refusal {
    /// True for what is not there, or not for us to see.
    pub(super) fn is_hidden(&self) -> bool {
        matches!(self.code.as_str(), "M_NOT_FOUND" | "M_FORBIDDEN")
    }
}

impl From<Refusal> for ConnectorError {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

/// An answer, or a refusal that may mean something to the caller.
pub(super) type Answer = Result<Value, Refusal>;

impl Api {
    pub(super) fn new(http: Client, server: Url, login: Login, source: &str) -> Self {
        // Sources that listen as the same user share their limits.
        let who = match &login {
            Login::Token(token) => {
                Sha256::digest(token.expose()).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
            }
            Login::Password { user, .. } => user.clone(),
        };
        let key = format!("matrix {} {who}", server.authority());
        let limits = http.limits(&key, Quota::per_second(PER_SECOND).allow_burst(BURST));
        Self {
            http,
            limits,
            server,
            login,
            device: format!("hearken-{source}"),
            session: None,
            has_ended: AtomicBool::new(false),
        }
    }

    /// The address of the server, for errors.
    pub(super) fn name(&self) -> String {
        redacted(&self.server)
    }

    /// Our own user, `@user:server`; logs in where that is needed.
    pub(super) async fn user(&mut self) -> Result<String, ConnectorError> {
        if self.has_ended.swap(false, Ordering::Relaxed) {
            self.session = None;
        }
        if let Some(session) = &self.session {
            return Ok(session.user.clone());
        }
        let version = self.version().await?;
        let token = match self.login.clone() {
            Login::Token(token) => token,
            Login::Password { user, password } => self.log_in(version, &user, &password).await?,
        };
        let url = self.url(version, &["account", "whoami"], &[]);
        let answer = self.ask(self.http.get(&url, &self.limits).bearer(&token), &url).await??;
        let user = answer.get("user_id").and_then(Value::as_str).ok_or_else(|| self.unusable("whoami"))?.to_owned();
        self.session = Some(Session { version, token, user: user.clone() });
        Ok(user)
    }

    /// From Matrix 1.1 on, paths begin with `v3`.
    async fn version(&self) -> Result<&'static str, ConnectorError> {
        let mut url = self.server.clone();
        url.set_path("/_matrix/client/versions");
        let answer = self.ask(self.http.get(&url, &self.limits), &url).await??;
        let versions = answer.get("versions").and_then(Value::as_array).ok_or_else(|| self.unusable("versions"))?;
        let is_later = |version: &Value| version.as_str().is_some_and(|version| version.starts_with('v'));
        Ok(if versions.iter().any(is_later) { "v3" } else { "r0" })
    }

    /// Each source is one device, however often it logs in.
    async fn log_in(&self, version: &str, user: &str, password: &Secret) -> Result<Secret, ConnectorError> {
        let url = self.url(version, &["login"], &[]);
        let login = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": user },
            "password": password.expose(),
            "device_id": self.device,
            "initial_device_display_name": "Hearken",
        });
        match self.ask(self.http.post(&url, &login, &self.limits), &url).await? {
            Ok(answer) => {
                let token = answer.get("access_token").and_then(Value::as_str).ok_or_else(|| self.unusable("login"))?;
                Ok(Secret::generated(token.to_owned()))
            }
            Err(refusal) if refusal.code == "M_FORBIDDEN" => Err(ConnectorError::configuration(format!(
                "{}: the password of {user} was refused: set `user` and `password`",
                self.name()
            ))),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The id of a room, given as id or alias.
    pub(super) async fn room_id(&self, room: &str) -> Result<String, ConnectorError> {
        if room.starts_with('!') {
            return Ok(room.to_owned());
        }
        match self.get(&["directory", "room", room], &[]).await? {
            Ok(answer) => {
                let id = answer.get("room_id").and_then(Value::as_str);
                id.map(str::to_owned).ok_or_else(|| self.unusable("directory"))
            }
            Err(refusal) if refusal.is_hidden() => Err(ConnectorError {
                message: format!("{}: knows no room {room}: is it spelled right in `rooms`?", self.name()),
                ..refusal.error
            }),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The ids of the rooms that our user has joined.
    pub(super) async fn joined_rooms(&self) -> Result<Vec<String>, ConnectorError> {
        let answer = self.get(&["joined_rooms"], &[]).await??;
        let rooms =
            answer.get("joined_rooms").and_then(Value::as_array).ok_or_else(|| self.unusable("joined_rooms"))?;
        Ok(rooms.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Joins a room, given as id or alias: only an alias says through which server.
    pub(super) async fn join(&self, room: &str) -> Result<(), ConnectorError> {
        match self.post(&["join", room], &json!({})).await? {
            Ok(_) => Ok(()),
            Err(refusal) => Err(ConnectorError {
                message: format!("{}: the room {room} cannot be joined: invite the user to it", self.name()),
                ..refusal.error
            }),
        }
    }

    /// Whether everybody may join a room and read what was said before.
    pub(super) async fn access(&self, room: &str) -> Result<Access, ConnectorError> {
        let mut access = Access::default();
        for kind in ["m.room.join_rules", "m.room.history_visibility"] {
            match self.get(&["rooms", room, "state", kind, ""], &[]).await? {
                Ok(content) => access.learn(kind, &content),
                Err(refusal) if refusal.is_hidden() => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Ok(access)
    }

    /// Whether a room's messages are encrypted.
    pub(super) async fn is_encrypted(&self, room: &str) -> Result<bool, ConnectorError> {
        match self.get(&["rooms", room, "state", "m.room.encryption", ""], &[]).await? {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.is_hidden() => Ok(false),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Leaves a filter for [`sync`](Self::sync) at the server: these rooms, and what matters in them.
    pub(super) async fn filter(&mut self, rooms: &[String]) -> Result<String, ConnectorError> {
        let user = self.user().await?;
        let nothing = json!({ "not_types": ["*"] });
        let filter = json!({
            "presence": nothing,
            "account_data": nothing,
            "room": {
                "rooms": rooms,
                "ephemeral": nothing,
                "account_data": nothing,
                "timeline": { "limit": PAGE, "types": TYPES },
                // The names of those who speak.
                "state": {
                    "types": ["m.room.member"], "lazy_load_members": true, "include_redundant_members": true,
                },
            },
        });
        let answer = self.post(&["user", &user, "filter"], &filter).await??;
        let id = answer.get("filter_id").and_then(Value::as_str);
        id.map(str::to_owned).ok_or_else(|| self.unusable("filter"))
    }

    /// What is new since a token; waits for it as long as a long poll lasts, if asked to.
    pub(super) async fn sync(&self, filter: &str, since: Option<&str>, wait: bool) -> Result<Answer, ConnectorError> {
        let timeout = if wait { self.http.long_poll().as_millis().to_string() } else { "0".to_owned() };
        let mut query = vec![("filter", filter), ("timeout", &timeout), ("set_presence", "offline")];
        query.extend(since.map(|since| ("since", since)));
        self.get(&["sync"], &query).await
    }

    /// A page of a room's history before a token, newest first.
    pub(super) async fn messages(&self, room: &str, from: &str, to: Option<&str>) -> Result<Answer, ConnectorError> {
        let limit = PAGE.to_string();
        let filter = json!({ "types": TYPES, "lazy_load_members": true }).to_string();
        let mut query = vec![("dir", "b"), ("from", from), ("limit", &limit), ("filter", &filter)];
        query.extend(to.map(|to| ("to", to)));
        self.get(&["rooms", room, "messages"], &query).await
    }

    /// An event with its last edit, and its sender's name.
    pub(super) async fn event(&self, room: &str, event: &str) -> Result<Answer, ConnectorError> {
        let filter = json!({ "types": ["m.room.member"], "lazy_load_members": true }).to_string();
        self.get(&["rooms", room, "context", event], &[("limit", "0"), ("filter", &filter)]).await
    }

    /// How many reactions an event has; `None` where the server does not tell.
    pub(super) async fn reactions(&self, room: &str, event: &str) -> Result<Option<u64>, ConnectorError> {
        let limit = PAGE.to_string();
        let mut count = 0;
        let mut from: Option<String> = None;
        for _ in 0..MAX_REACTION_PAGES {
            let mut query = vec![("limit", limit.as_str())];
            query.extend(from.as_deref().map(|from| ("from", from)));
            let path = ["rooms", room, "relations", event, "m.annotation", "m.reaction"];
            // Part of the API since Matrix 1.3.
            let Ok(answer) = self.get_at("v1", &path, &query).await? else { return Ok(None) };
            let Some(page) = answer.get("chunk").and_then(Value::as_array) else { return Ok(None) };
            count += page.len() as u64;
            from = answer.get("next_batch").and_then(Value::as_str).map(str::to_owned);
            if from.is_none() || page.is_empty() {
                break;
            }
        }
        Ok(Some(count))
    }

    /// An answer that is not what the API documents.
    pub(super) fn unusable(&self, what: &str) -> ConnectorError {
        ConnectorError::remote(format!(
            "{}: answers, but not as a homeserver ({what}): is `server` right?",
            self.name()
        ))
    }

    async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, ConnectorError> {
        self.get_at(self.session()?.version, path, query).await
    }

    async fn get_at(&self, version: &str, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, ConnectorError> {
        let url = self.url(version, path, query);
        self.ask(self.http.get(&url, &self.limits).bearer(&self.session()?.token), &url).await
    }

    async fn post(&self, path: &[&str], body: &Value) -> Result<Answer, ConnectorError> {
        let session = self.session()?;
        let url = self.url(session.version, path, &[]);
        self.ask(self.http.post(&url, body, &self.limits).bearer(&session.token), &url).await
    }

    fn session(&self) -> Result<&Session, ConnectorError> {
        self.session.as_ref().ok_or_else(|| ConnectorError::bug("asked before logging in"))
    }

    fn url(&self, version: &str, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.server.clone();
        if let Ok(mut steps) = url.path_segments_mut() {
            steps.clear().extend(["_matrix", "client", version]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn ask(&self, request: Request<'_>, url: &Url) -> Result<Answer, ConnectorError> {
        let response = request.accept("application/json").wait_in_body(retry_after).send().await?;
        let status = response.status;
        let answer: Option<Value> = serde_json::from_slice(&response.body).ok();
        let code = answer.as_ref().and_then(|answer| answer.get("errcode")).and_then(Value::as_str);
        match (status, code) {
            (401, Some(_)) => Err(self.token_refused()),
            (400..=499, Some(code)) if status != 429 => {
                let code = checked(code);
                let error = refused(response, &code);
                Ok(Err(Refusal { code, error }))
            }
            _ => {
                response.success()?;
                let answer = answer.filter(Value::is_object);
                answer.map(Ok).ok_or_else(|| self.unusable(&redacted(url)))
            }
        }
    }

    fn token_refused(&self) -> ConnectorError {
        if matches!(self.login, Login::Password { .. }) {
            self.has_ended.store(true, Ordering::Relaxed);
            ConnectorError::remote(format!("{}: the session has ended, it is logged in again", self.name()))
        } else {
            ConnectorError::configuration(format!("{}: the access token was refused: renew `token`", self.name()))
        }
    }
}

/// Who may join a room and read it.
#[derive(Debug, Clone, Default)]
pub(super) struct Access {
    join_rule: String,
    history: String,
}

impl Access {
    /// Takes over the content of `m.room.join_rules` or `m.room.history_visibility`.
    pub(super) fn learn(&mut self, kind: &str, content: &Value) {
        let text = |key: &str| content.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match kind {
            "m.room.join_rules" => self.join_rule = text("join_rule"),
            "m.room.history_visibility" => self.history = text("history_visibility"),
            _ => {}
        }
    }

    /// Whether everybody can read what is said; a room without rules is invite-only and its history
    /// is for all members.
    pub(super) fn is_public(&self) -> bool {
        let all_history = matches!(self.history.as_str(), "shared" | "");
        self.history == "world_readable" || (self.join_rule == "public" && all_history)
    }
}

/// The error of a refusal, with its code.
fn refused(response: Response, code: &str) -> ConnectorError {
    match response.success() {
        Err(error) => ConnectorError { message: format!("{} ({code})", error.message), ..error },
        Ok(_) => ConnectorError { fault: Fault::Configuration, ..ConnectorError::remote(code) },
    }
}

/// A code is shown, so it must be one.
fn checked(code: &str) -> String {
    code.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')).take(60).collect()
}

/// `retry_after_ms` of `M_LIMIT_EXCEEDED`, for servers that do not say it in a header.
fn retry_after(body: &[u8]) -> Option<Duration> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    answer.get("retry_after_ms")?.as_u64().map(Duration::from_millis)
}
