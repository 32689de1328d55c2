//! `file`: a team's export from anywhere, as JSON lines or CSV, plain or compressed, read once or
//! followed as it grows.
//!
//! # What becomes of a record
//!
//! Without `fields`, a JSON line is a Hearken message and taken as it is, and CSV columns go by
//! their names. Hashtags, mentions and links are taken from the text where they are not mapped.
//! In JSON a path is a key, keys with dots, or a JSON pointer. An id that is not mapped
//! is a hash of the record, so that a record counts once wherever it stands. A date without an
//! offset is UTC. Values that do not fit make the record poison, except addresses that are not
//! http or https, which are left out.
//!
//! # What is promised
//!
//! - Each record is handed over once and in order, whatever was appended, rotated or restarted in
//!   between. A file is known by its inode and by a fingerprint of what was read, so that renaming,
//!   copying back and rotating lose nothing; a file that was truncated or rewritten is read from
//!   its start again.
//! - A file that is read once and changes afterwards is read on when it has grown, and again from
//!   its start when it is another one. One that disappears half read is an error.
//! - A followed file's last line waits for its line end; one that is read once does not.
//! - A bad record is poison with `path:line` and does not stop the rest. So is the cut or damaged
//!   end of a compressed file. Records over 1 MiB are poison, and memory stays bounded.
//! - Following is meant for plain UTF-8 text: a compressed or re-encoded file that grows is
//!   decompressed from its start each time.

mod position;
mod reader;
mod reading;
mod records;
mod settings;
mod stream;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep};

use self::position::{Place, Position};
use self::reader::{Reader, find, missing, read_failed};
use self::reading::{ReadError, Reading, Stop};
use self::settings::Settings;
use self::stream::Stream;
use crate::contract::{Batch, BuildError, Connector, ConnectorError};
use crate::registry::{Channel, Context, Parsed};

/// The `file` channel.
pub(crate) const CHANNEL: Channel = Channel {
    name: "file",
    summary: "JSON lines or CSV from a file, once or followed",
    settings: settings::schema,
    build,
    parse,
};

/// How often followed files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How long a call waits for news before it answers that there is none.
const PATIENCE: Duration = Duration::from_secs(5);

fn build(settings: toml::Table, context: Context<'_>) -> Result<Box<dyn Connector>, BuildError> {
    let settings = Arc::new(Settings::new(settings, context.source)?);
    let position = Position::read(context.cursor.as_ref())?;
    let reader = Reader::new(Arc::clone(&settings), position);
    Ok(Box::new(FileConnector { settings, state: State::Idle(Box::new(reader)) }))
}

fn parse(settings: toml::Table, source: &str, payload: &[u8]) -> Result<Parsed, BuildError> {
    let unreadable = |reason: String| BuildError::Setting { path: "payload".to_owned(), reason };
    let settings = Arc::new(Settings::for_payload(settings, source, payload)?);
    let stream = Stream::of(payload, settings.encoding).map_err(|error| unreadable(error.to_string()))?;
    let mut reading = Reading::start(&settings, stream, source);
    let mut parsed = Parsed::default();
    loop {
        // A payload is read in parts of a batch each, which add up.
        let mut part = Parsed::default();
        let stop = reading.read(&mut part, Timestamp::now()).map_err(|error| match error {
            ReadError::Io(error) => unreadable(error.to_string()),
            ReadError::Header(reason) => unreadable(reason),
        })?;
        parsed.messages.append(&mut part.messages);
        parsed.poison.append(&mut part.poison);
        if stop != Stop::Full {
            return Ok(parsed);
        }
    }
}

struct FileConnector {
    settings: Arc<Settings>,
    state: State,
}

/// Where the reader is: here, or on a blocking thread, preparing the next batch.
enum State {
    Idle(Box<Reader>),
    Looking(JoinHandle<(Box<Reader>, Result<Batch, ConnectorError>)>),
    Lost,
}

impl FileConnector {
    /// Sends the reader to prepare the next batch, unless it is at it already.
    fn start_looking(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Lost) {
            State::Idle(mut reader) => State::Looking(spawn_blocking(move || {
                let looked = reader.look();
                (reader, looked)
            })),
            state => state,
        };
    }

    /// Waits for the batch that is being prepared. Dropped, it loses nothing: the reader goes on.
    async fn look(&mut self) -> Result<Batch, ConnectorError> {
        self.start_looking();
        let State::Looking(handle) = &mut self.state else {
            return Err(ConnectorError::bug(format!("the reader of `{}` is lost", self.settings.path)));
        };
        let (reader, looked) = handle.await.map_err(|error| {
            ConnectorError::bug(format!("reading `{}` ended unexpectedly: {error}", self.settings.path))
        })?;
        self.state = State::Idle(reader);
        looked
    }
}

#[async_trait]
impl Connector for FileConnector {
    async fn check(&mut self) -> Result<String, ConnectorError> {
        let settings = Arc::clone(&self.settings);
        let checked = spawn_blocking(move || check(&settings)).await;
        checked.map_err(|error| ConnectorError::bug(format!("the check ended unexpectedly: {error}")))?
    }

    async fn next_batch(&mut self) -> Result<Batch, ConnectorError> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let batch = self.look().await?;
            if batch.more {
                self.start_looking();
            }
            let news = batch.cursor.is_some() || batch.end;
            if news || batch.more || Instant::now() >= patience {
                return Ok(batch);
            }
            sleep(LOOK_INTERVAL).await;
        }
    }
}

/// Finds the files and tries the settings on the first record.
fn check(settings: &Arc<Settings>) -> Result<String, ConnectorError> {
    let found = find(&settings.path)?;
    let Some((path, _)) = found.first() else {
        return if settings.follow {
            Ok(format!("waiting for `{}`", settings.path))
        } else {
            Err(missing(&settings.path))
        };
    };
    let size: u64 = found.iter().map(|(_, metadata)| metadata.len()).sum();
    let name = path.display().to_string();

    let first = File::open(path)
        .map_err(ReadError::Io)
        .and_then(|file| Reading::resume(settings, &Arc::new(file), &name, &Place::default())?.first(Timestamp::now()))
        .map_err(|error| read_failed(path, error))?;
    if let Some(poison) = first.poison.first() {
        return Err(ConnectorError::configuration(format!("{}: the first record {}", poison.origin, poison.reason)));
    }
    let files = if found.len() == 1 { "1 file".to_owned() } else { format!("{} files", found.len()) };
    let tried = if first.messages.is_empty() { "still empty" } else { "the first record reads well" };
    Ok(format!("{files}, {size} bytes; {tried}"))
}
