//! The commands of IMAP (RFC 3501) that listening takes; none of them changes anything.
//!
//! Every wait has an end. An answer other than `OK` is an error, also in the middle of a list; what
//! the server says in one goes to the operator only where it cannot hold a secret or a mail's text.

use std::collections::{BTreeMap, HashMap};
use std::io;

use async_imap::error::Error;
use async_imap::imap_proto::{
    AttributeValue, Capability, MailboxDatum, RequestId as Tag, Response, ResponseCode, Status,
};
use async_imap::types::Uid;
use async_imap::{Authenticator, Client};
use jiff::Timestamp;
use tokio::time::{Instant, timeout, timeout_at};

use super::names;
use super::settings::{Login, Security, Settings};
use super::wire::{Bounded, CHUNK, connect, encrypt};
use crate::contract::ConnectorError;
use crate::secret::Secret;

/// Names of folders that an error lists.
const NAMES: usize = 40;
/// Responses to a command, at most.
const MOST_RESPONSES: usize = 10_000_000;
/// Characters of the server's own words that an error repeats.
const WORDS: usize = 200;

/// A logged-in connection.
pub(super) struct Session {
    inner: async_imap::Session<Bounded>,
    settings: Settings,
    /// Whether the server says when mail comes in (RFC 2177).
    pub(super) has_idle: bool,
}

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server said `NO`, in these words; the connection is as good as before.
    Refused(String),
    /// The connection is of no more use.
    Broken(ConnectorError),
}

/// An opened folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) mails: u32,
    pub(super) uid_validity: u32,
    pub(super) uid_next: u32,
}

/// A mail that the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) uid: Uid,
    /// Bytes; servers are not always exact.
    pub(super) size: usize,
    pub(super) received_at: Option<Timestamp>,
}

impl Session {
    /// Connects and logs in.
    pub(super) async fn open(settings: &Settings) -> Result<Self, ConnectorError> {
        let opened = timeout(settings.timeout, Self::opened(settings)).await;
        opened.unwrap_or_else(|_| Err(silent(settings)))
    }

    async fn opened(settings: &Settings) -> Result<Self, ConnectorError> {
        let mut client = Client::new(connect(settings).await?);
        let greets = client.read_response().await.map_err(|error| lost(settings, &error))?;
        greeting(settings, greets.as_ref().map(|response| response.parsed()))?;
        if settings.security == Security::Starttls {
            client.run_command_and_check_ok("STARTTLS", None).await.map_err(|error| match error {
                Error::No(_) | Error::Bad(_) => ConnectorError::configuration(format!(
                    "{}:{} offers no STARTTLS: set `security = \"tls\"` and the port for it",
                    settings.host, settings.port
                )),
                error => broken(settings, &error),
            })?;
            // What came before the encryption is thrown away with the old client.
            client = Client::new(encrypt(settings, client.into_inner().into_way()).await?);
        }
        let inner = login(settings, client).await?;
        let mut session = Self { inner, settings: settings.clone(), has_idle: false };
        let mut has_idle = false;
        let capabilities = session.command("CAPABILITY", |response| {
            if let Response::Capabilities(list) = response {
                let idle = |capability: &Capability<'_>| matches!(capability, Capability::Atom(name) if name.eq_ignore_ascii_case("IDLE"));
                has_idle = list.iter().any(idle);
            }
        });
        capabilities.await.map_err(|failure| failure.or_remote(settings, "said what it can do"))?;
        session.has_idle = has_idle;
        Ok(session)
    }

    /// Opens a folder for reading only (`EXAMINE`).
    pub(super) async fn examine(&mut self, folder: &str) -> Result<Opened, Failure> {
        let (mut mails, mut uid_validity, mut uid_next) = (0, None, None);
        let command = format!("EXAMINE {}", quoted(&names::encode(folder)));
        self.command(&command, |response| match response {
            Response::MailboxData(MailboxDatum::Exists(exists)) => mails = *exists,
            Response::Data { status: Status::Ok, outcome } => match outcome.code {
                Some(ResponseCode::UidValidity(validity)) => uid_validity = Some(validity),
                Some(ResponseCode::UidNext(next)) => uid_next = Some(next),
                _ => {}
            },
            _ => {}
        })
        .await?;
        match (uid_validity, uid_next) {
            (Some(uid_validity), Some(uid_next)) => Ok(Opened { mails, uid_validity, uid_next }),
            _ => Err(Failure::Broken(ConnectorError::remote(format!(
                "{} does not number its mails (no UIDVALIDITY or UIDNEXT): it cannot be listened to",
                self.settings.host
            )))),
        }
    }

    /// The number of the mail at this place in the opened folder, from 1; `None` if there is none.
    pub(super) async fn uid_at(&mut self, place: u32) -> Result<Option<Uid>, Failure> {
        let mut found = None;
        self.command(&format!("FETCH {place} (UID)"), |response| {
            if let Response::Fetch(_, attributes) = response {
                found = found.or(uid(attributes));
            }
        })
        .await?;
        Ok(found)
    }

    /// The mails with these numbers, the first `most` of them.
    pub(super) async fn rows(&mut self, from: Uid, to: Uid, most: usize) -> Result<Vec<Row>, Failure> {
        let mut rows = BTreeMap::new();
        self.command(&format!("UID FETCH {from}:{to} (UID RFC822.SIZE INTERNALDATE)"), |response| {
            let Response::Fetch(_, attributes) = response else { return };
            let Some(uid) = uid(attributes).filter(|uid| (from..=to).contains(uid)) else { return };
            let mut row = Row { uid, size: 0, received_at: None };
            for attribute in attributes {
                match attribute {
                    AttributeValue::Rfc822Size(size) => row.size = usize::try_from(*size).unwrap_or(usize::MAX),
                    AttributeValue::InternalDate(date) => {
                        row.received_at = Timestamp::strptime("%d-%b-%Y %H:%M:%S %z", date.trim()).ok();
                    }
                    _ => {}
                }
            }
            rows.insert(uid, row);
            if rows.len() > most {
                rows.pop_last();
            }
        })
        .await?;
        Ok(rows.into_values().collect())
    }

    /// A chunk of each of these mails, without marking them as seen (`BODY.PEEK`).
    pub(super) async fn chunks(&mut self, uids: &[Uid], from: usize) -> Result<HashMap<Uid, Vec<u8>>, Failure> {
        let set = uids.iter().map(Uid::to_string).collect::<Vec<_>>().join(",");
        let mut chunks = HashMap::new();
        self.command(&format!("UID FETCH {set} (UID BODY.PEEK[]<{from}.{CHUNK}>)"), |response| {
            let Response::Fetch(_, attributes) = response else { return };
            let Some(uid) = uid(attributes).filter(|uid| uids.contains(uid)) else { return };
            let bytes = attributes.iter().find_map(|attribute| match attribute {
                AttributeValue::BodySection { section: None, data, .. } => Some(data.as_deref().unwrap_or_default()),
                _ => None,
            });
            if let Some(bytes) = bytes {
                chunks.insert(uid, bytes.to_vec());
            }
        })
        .await?;
        Ok(chunks)
    }

    /// The names of the folders, some of them.
    pub(super) async fn folders(&mut self) -> Result<Vec<String>, Failure> {
        let mut folders = Vec::new();
        self.command("LIST \"\" \"*\"", |response| {
            if let Response::MailboxData(MailboxDatum::List(folder)) = response
                && folders.len() < NAMES
            {
                folders.push(names::decode(&folder.name));
            }
        })
        .await?;
        Ok(folders)
    }

    /// Waits until mail comes into the opened folder, at most until `until`.
    pub(super) async fn idle(&mut self, until: Instant) -> Result<(), ConnectorError> {
        let refused = |failure: Failure, settings: &Settings| failure.or_remote(settings, "waited for mail (IDLE)");
        let tag = self.send("IDLE").await?;
        let waits = |response: &Response<'_>| match response {
            Response::Continue(_) => Some(true),
            Response::Done { .. } => Some(false),
            _ => None,
        };
        let waits = loop {
            if let Some(waits) = self.read(waits).await.map_err(|failure| refused(failure, &self.settings))? {
                break waits;
            }
        };
        if !waits {
            let words = "says that it announces new mail (IDLE), but does not";
            return Err(ConnectorError::remote(format!("{} {words}", self.settings.host)));
        }
        loop {
            // Other responses are keep-alives, flags that somebody set, mails that somebody removed.
            let has_mail = |response: &Response<'_>| matches!(response, Response::MailboxData(MailboxDatum::Exists(_)));
            match self.read_until(until, has_mail).await.map_err(|failure| refused(failure, &self.settings))? {
                Some(false) => {}
                Some(true) | None => break,
            }
        }
        let done = timeout(self.settings.timeout, self.inner.run_command_untagged("DONE")).await;
        done.map_err(|_| silent(&self.settings))?.map_err(|error| broken(&self.settings, &error))?;
        self.finish(&tag, |_| {}).await.map_err(|failure| refused(failure, &self.settings))
    }

    /// Says good-bye; what comes of it does not matter.
    pub(super) async fn close(mut self) {
        let _ = timeout(self.settings.timeout, self.inner.logout()).await;
    }

    async fn command(&mut self, command: &str, on: impl FnMut(&Response<'_>)) -> Result<(), Failure> {
        let tag = self.send(command).await.map_err(Failure::Broken)?;
        self.finish(&tag, on).await
    }

    async fn send(&mut self, command: &str) -> Result<Tag, ConnectorError> {
        let sent = timeout(self.settings.timeout, self.inner.run_command(command)).await;
        sent.map_err(|_| silent(&self.settings))?.map_err(|error| broken(&self.settings, &error))
    }

    /// Reads to the end of a command.
    async fn finish(&mut self, tag: &Tag, mut on: impl FnMut(&Response<'_>)) -> Result<(), Failure> {
        let host = self.settings.host.clone();
        for _ in 0..MOST_RESPONSES {
            let end = self.read(|response| match response {
                Response::Done { tag: done, status, outcome } if done == tag => {
                    let words = printable(outcome.information.as_deref().unwrap_or_default());
                    Some(match status {
                        Status::Ok => Ok(()),
                        Status::No => Err(Failure::Refused(words)),
                        _ => {
                            let message = format!("{host} did not understand a command: {words}");
                            Err(Failure::Broken(ConnectorError::remote(message)))
                        }
                    })
                }
                response => {
                    on(response);
                    None
                }
            });
            if let Some(end) = end.await? {
                return end;
            }
        }
        Err(Failure::Broken(ConnectorError::remote(format!("{host} talks without end"))))
    }

    async fn read<R>(&mut self, on: impl FnOnce(&Response<'_>) -> R) -> Result<R, Failure> {
        let until = Instant::now() + self.settings.timeout;
        self.read_until(until, on).await?.ok_or_else(|| Failure::Broken(silent(&self.settings)))
    }

    /// Reads a response; `None` when the time is over. Nothing is lost then.
    async fn read_until<R>(
        &mut self,
        until: Instant,
        on: impl FnOnce(&Response<'_>) -> R,
    ) -> Result<Option<R>, Failure> {
        let Ok(response) = timeout_at(until, self.inner.read_response()).await else { return Ok(None) };
        let response = response.map_err(|error| Failure::Broken(lost(&self.settings, &error)))?;
        match response.as_ref().map(|response| response.parsed()) {
            None | Some(Response::Data { status: Status::Bye, .. }) => Err(Failure::Broken(closed(&self.settings))),
            Some(response) => Ok(Some(on(response))),
        }
    }
}

impl Failure {
    /// The error, where the server may not refuse.
    pub(super) fn or_remote(self, settings: &Settings, what: &str) -> ConnectorError {
        match self {
            Self::Refused(words) => ConnectorError::remote(format!("{} has not {what}: {words}", settings.host)),
            Self::Broken(error) => error,
        }
    }
}

fn greeting(settings: &Settings, greeting: Option<&Response<'_>>) -> Result<(), ConnectorError> {
    let Settings { host, port, .. } = settings;
    match greeting {
        Some(Response::Data { status: Status::Ok, .. }) => Ok(()),
        Some(Response::Data { status: Status::Bye, outcome }) => Err(ConnectorError::remote(format!(
            "{host}:{port} turns us away: {}",
            printable(outcome.information.as_deref().unwrap_or_default())
        ))),
        Some(_) => Err(ConnectorError::remote(format!(
            "{host}:{port} does not greet as an IMAP server does: is `port` right?"
        ))),
        None => Err(closed(settings)),
    }
}

async fn login(settings: &Settings, client: Client<Bounded>) -> Result<async_imap::Session<Bounded>, ConnectorError> {
    let user = &settings.user;
    let resolved = |key: &str, reference: &str| {
        Secret::resolve(reference).map_err(|reason| ConnectorError::configuration(format!("`{key}`: {reason}")))
    };
    let result = match &settings.login {
        Login::Password(reference) => {
            let password = resolved("password", reference)?;
            if user.is_ascii() && password.expose().is_ascii() {
                client.login(user, password.expose()).await
            } else {
                // LOGIN is ASCII only; PLAIN is UTF-8 (RFC 4616).
                client.authenticate("PLAIN", Once(format!("\0{user}\0{}", password.expose()))).await
            }
        }
        Login::Token(reference) => {
            let token = resolved("token", reference)?;
            client.authenticate("XOAUTH2", Once(format!("user={user}\x01auth=Bearer {}\x01\x01", token.expose()))).await
        }
    };
    result.map_err(|(error, _)| login_error(settings, &error))
}

/// Says its response once. Asked again, it says nothing: with XOAUTH2 the server explains a failure
/// first and waits for that.
struct Once(String);

impl Authenticator for Once {
    type Response = String;

    fn process(&mut self, _challenge: &[u8]) -> String {
        std::mem::take(&mut self.0)
    }
}

/// The server's own words are not repeated: some repeat what was sent.
fn login_error(settings: &Settings, error: &Error) -> ConnectorError {
    /// Response codes of a failure that passes (RFC 5530, and what Gmail and Yahoo say).
    const PASSING: [&str; 8] =
        ["[UNAVAILABLE]", "[INUSE]", "[LIMIT]", "[OVERQUOTA]", "[THROTTLED]", "[SERVERBUG]", "TOO MANY", "TRY AGAIN"];
    let Settings { host, port, user, .. } = settings;
    let words = match error {
        Error::No(words) | Error::Bad(words) => words.to_uppercase(),
        Error::Validate(_) => {
            return ConnectorError::configuration("`user` or `password` holds a line break".to_owned());
        }
        error => return broken(settings, error),
    };
    if PASSING.iter().any(|code| words.contains(code)) {
        return ConnectorError::remote(format!("{host}:{port} does not let `{user}` in for now"));
    }
    if words.contains("PRIVACYREQUIRED") || words.contains("PLAINTEXT") || words.contains("LOGINDISABLED") {
        let todo = "set `security` to \"tls\" or \"starttls\"";
        return ConnectorError::configuration(format!("{host}:{port} wants encryption before a login: {todo}"));
    }
    match settings.login {
        Login::Password(_) => ConnectorError::configuration(format!(
            "{host}:{port} refused the login of `{user}`: check `user` and `password`; some services want an app \
             password, or `token`"
        )),
        // Whoever renews the token does so without a restart.
        Login::Token(_) => ConnectorError {
            retry_after: Some(std::time::Duration::from_secs(60)),
            ..ConnectorError::configuration(format!(
                "{host}:{port} refused the token of `{user}`: renew what `token` refers to"
            ))
        },
    }
}

/// Never the library's own words: they quote what was read.
fn broken(settings: &Settings, error: &Error) -> ConnectorError {
    match error {
        Error::Io(error) => lost(settings, error),
        Error::ConnectionLost => closed(settings),
        _ => garbage(settings),
    }
}

fn lost(settings: &Settings, error: &io::Error) -> ConnectorError {
    let Settings { host, port, .. } = settings;
    match error.kind() {
        io::ErrorKind::Other => garbage(settings),
        io::ErrorKind::FileTooLarge => ConnectorError::remote(format!("{host}:{port}: {error}")),
        kind => ConnectorError::network(format!("the connection to {host}:{port} was lost: {kind}")),
    }
}

fn garbage(settings: &Settings) -> ConnectorError {
    let Settings { host, port, .. } = settings;
    ConnectorError::remote(format!("{host}:{port} says what is not IMAP: are `port` and `security` right?"))
}

fn closed(settings: &Settings) -> ConnectorError {
    ConnectorError::network(format!("{}:{} closed the connection", settings.host, settings.port))
}

fn silent(settings: &Settings) -> ConnectorError {
    let Settings { host, port, timeout, .. } = settings;
    ConnectorError::network(format!("{host}:{port} did not answer within {timeout:?}"))
}

fn uid(attributes: &[AttributeValue<'_>]) -> Option<Uid> {
    attributes.iter().find_map(|attribute| match attribute {
        AttributeValue::Uid(uid) => Some(*uid),
        _ => None,
    })
}

/// A quoted string (RFC 3501, section 4.3); names were checked for line breaks.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn printable(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(WORDS).collect()
}
