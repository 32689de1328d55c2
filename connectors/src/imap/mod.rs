//! `imap`: the mails of a mailbox (IMAP4rev1, RFC 3501), what customers write and what is answered.
//!
//! # What becomes of a mail
//!
//! - Its identity is its Message-ID, or a hash of it as it is: a mail in two folders, or heard again,
//!   counts once.
//! - The text is what its author said: quotations, the mail that is answered, and the signature are
//!   left out, unless nothing else is there. HTML becomes plain text; of several forms, plain text
//!   is taken.
//! - The author is the address in `From`, in lower case. To whom it went (`To`, `Cc`) is `mentioned`.
//!   The conversation is the first mail of the thread, `in_reply_to` the one that is answered.
//! - Attachments are named, not kept. Absence notes, failed deliveries, newsletters and lists are
//!   marked as noise, by what the mail says about itself.
//! - What the mailbox's own address says is outbound, too. All mails are private.
//! - A `Date` that is missing, impossible or in the future is replaced by when the mail came in.
//!
//! # What is promised
//!
//! - Nothing is changed on the server: folders are opened read-only, no mail is marked as seen.
//! - Where the server can wait for mail (IDLE), the first folder is heard at once, and renewed at
//!   every poll; otherwise it is polled.
//! - When a folder's mails get new numbers (UIDVALIDITY), it is read again, and a gap says so. A
//!   mail that was removed before it was heard is a gap, too. A removed mail that was heard stays:
//!   tidying up a mailbox takes nothing back.
//! - A folder that cannot be opened does not stop the others: its outage is a gap that grows.
//! - A record that is not a mail is poison; the others are heard. Memory is bounded, whatever a
//!   sender or the server does.

mod folder;
mod mail;
mod mime;
mod names;
mod phrases;
mod position;
mod said;
mod session;
mod settings;
mod wire;

use std::collections::VecDeque;
use std::io::BufReader;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use mail_parser::mailbox::mbox::MessageIterator;
use tokio::time::{Instant, sleep_until};

use self::folder::{Look, Looking};
use self::mail::Reading;
use self::position::{Place, Position};
use self::session::{Failure, Session};
use self::settings::{Folder, Settings};
use crate::contract::{Batch, BuildError, Connector, ConnectorError, Cursor, Fault, Gap, GapReason, Poison};
use crate::registry::{Channel, Context, Parsed};

/// The `imap` channel.
pub(crate) const CHANNEL: Channel = Channel {
    name: mail::CHANNEL,
    summary: "the mails of a mailbox over IMAP",
    settings: settings::schema,
    build,
    parse: parse_payload,
};

/// A batch with this many messages is handed over before the remaining folders are looked into.
const ENOUGH_MESSAGES: usize = 200;
/// How soon to try again when a setting is wrong that somebody may put right on the server.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// Bytes of a record that poison keeps.
const POISON_PAYLOAD: usize = 64 * 1024;

fn build(settings: toml::Table, context: Context<'_>) -> Result<Box<dyn Connector>, BuildError> {
    let settings = Settings::new(settings)?;
    let mailbox = format!("{}@{}:{}", settings.user, settings.host, settings.port);
    let folders = settings.folders.iter().map(|folder| folder.name.as_str());
    let position = Position::read(context.cursor.as_ref(), &mailbox, folders)?;
    Ok(Box::new(ImapConnector {
        source: context.source.to_owned(),
        state: State { position, due: settings.folders.iter().cloned().collect(), next_round: Instant::now() },
        settings,
        session: None,
    }))
}

/// Reads a mail (`.eml`), or a file of mails (`mbox`, RFC 4155).
fn parse_payload(settings: toml::Table, source: &str, payload: &[u8]) -> Result<Parsed, BuildError> {
    let reading = Reading {
        source: source.to_owned(),
        is_sent: false,
        own: settings::own_address(settings)?,
        received_at: None,
        observed_at: Timestamp::now(),
    };
    let mut parsed = Parsed::default();
    let mut add = |origin: String, raw: &[u8]| match mail::message(raw, &reading) {
        Ok(message) => parsed.messages.push(message),
        Err(reason) => {
            let payload = raw.get(..raw.len().min(POISON_PAYLOAD)).unwrap_or_default().to_vec();
            parsed.poison.push(Poison { origin, reason: reason.to_owned(), payload });
        }
    };
    if payload.starts_with(b"From ") {
        // Reading from memory cannot fail.
        for (index, mail) in MessageIterator::new(BufReader::new(payload)).flatten().enumerate() {
            add(format!("{source}:{}", index + 1), mail.contents());
        }
    } else {
        add(source.to_owned(), payload);
    }
    Ok(parsed)
}

struct ImapConnector {
    source: String,
    settings: Settings,
    state: State,
    /// Owned by a call while it lasts: a dropped call drops the connection, with all that was under
    /// way in it.
    session: Option<Session>,
}

/// Where listening is; replaced as a whole when a call is over.
#[derive(Clone)]
struct State {
    position: Position,
    /// The folders that are still to be looked into in this round.
    due: VecDeque<Folder>,
    next_round: Instant,
}

impl ImapConnector {
    /// One turn: waits for mail or the next round, and hears what is new.
    async fn turn(&self, session: &mut Session) -> Result<(State, Batch), ConnectorError> {
        let mut state = self.state.clone();
        if state.due.is_empty() {
            self.wait(session, &state).await?;
            state.due = self.settings.folders.iter().cloned().collect();
        }
        let (mut batch, mut refusals, mut heard) = (Batch::default(), Vec::new(), 0);
        while let Some(folder) = state.due.pop_front() {
            let mut looking =
                Looking { settings: &self.settings, source: &self.source, folder: &folder, session: &mut *session };
            let place = state.position.folders.get(&folder.name);
            match looking.look(place, &mut batch).await {
                Ok(Look { place, more }) => {
                    heard += 1;
                    state.position.folders.insert(folder.name.clone(), place);
                    if more {
                        state.due.push_back(folder);
                    }
                }
                Err(Failure::Refused(words)) => {
                    batch.gaps.push(self.outage(&folder, place, &words));
                    refusals.push(format!("cannot open folder `{}`: {words}", folder.name));
                }
                Err(Failure::Broken(error)) => return Err(error),
            }
            if batch.messages.len() >= ENOUGH_MESSAGES {
                break;
            }
        }
        if let (0, Some(refusal)) = (heard, refusals.first()) {
            return Err(self.no_folder(session, refusal).await);
        }
        batch.more = !state.due.is_empty();
        state.next_round = Instant::now() + self.settings.poll;
        let cursor = Cursor::of(&state.position);
        batch.cursor = Some(cursor.map_err(|error| ConnectorError::bug(format!("cannot write the cursor: {error}")))?);
        Ok((state, batch))
    }

    /// Waits for the next round, or until mail comes into the first folder.
    async fn wait(&self, session: &mut Session, state: &State) -> Result<(), ConnectorError> {
        let watched = self.settings.folders.first().filter(|_| session.has_idle);
        if let Some(folder) = watched
            && let Some(place) = state.position.folders.get(&folder.name)
        {
            match session.examine(&folder.name).await {
                // What came since the last look would not be announced any more.
                Ok(opened) if opened.uid_next == place.next_uid && opened.uid_validity == place.uid_validity => {
                    return session.idle(state.next_round).await;
                }
                Ok(_) => return Ok(()),
                Err(Failure::Refused(_)) => {}
                Err(Failure::Broken(error)) => return Err(error),
            }
        }
        sleep_until(state.next_round).await;
        Ok(())
    }

    fn outage(&self, folder: &Folder, place: Option<&Place>, words: &str) -> Gap {
        let until = Timestamp::now();
        let detail = format!("folder `{}` of {} cannot be opened: {words}", folder.name, self.settings.host);
        let from = place.map_or(until, |place| place.heard_until.min(until));
        Gap { from, until, reason: GapReason::Outage, estimate: None, detail }
    }

    /// The error when no folder can be opened; says which there are.
    async fn no_folder(&self, session: &mut Session, refusal: &str) -> ConnectorError {
        let folders = session.folders().await.unwrap_or_default();
        let there = if folders.is_empty() { String::new() } else { format!("; there are {}", folders.join(", ")) };
        ConnectorError {
            retry_after: Some(PATIENCE),
            ..ConnectorError::configuration(format!("{}: {refusal}{there}", self.settings.host))
        }
    }
}

#[async_trait]
impl Connector for ImapConnector {
    async fn check(&mut self) -> Result<String, ConnectorError> {
        let mut session = Session::open(&self.settings).await?;
        let mut folders = Vec::new();
        for folder in &self.settings.folders {
            match session.examine(&folder.name).await {
                Ok(opened) => folders.push(format!("{} with {} mails", folder.name, opened.mails)),
                Err(Failure::Refused(words)) => {
                    let refusal = format!("cannot open folder `{}`: {words}", folder.name);
                    return Err(self.no_folder(&mut session, &refusal).await);
                }
                Err(Failure::Broken(error)) => return Err(error),
            }
        }
        let how = if session.has_idle { "new mail is announced (IDLE)" } else { "polled, the server has no IDLE" };
        session.close().await;
        Ok(format!("{}: {}; {how}", self.settings.host, folders.join(", ")))
    }

    async fn next_batch(&mut self) -> Result<Batch, ConnectorError> {
        loop {
            let kept = self.session.take();
            let was_kept = kept.is_some();
            let mut session = match kept {
                Some(session) => session,
                None => Session::open(&self.settings).await?,
            };
            match self.turn(&mut session).await {
                Ok((state, batch)) => {
                    self.state = state;
                    self.session = Some(session);
                    return Ok(batch);
                }
                // Servers close connections that were idle for long; that alone is no outage.
                Err(error) if was_kept && error.fault == Fault::Network => {}
                Err(error) => return Err(error),
            }
        }
    }
}
