//! The engine: libchdb on a data directory, and the statements that run on it.
//!
//! Every statement gets a connection of its own (0.2 ms), so that no setting, role or current database of one
//! request is ever seen by the next, and a thread of its own, because the engine's calls block. A connection
//! that is busy cannot be told to stop, so one more connection, the control connection, stops statements with
//! `KILL QUERY`; it finds them by the tag that they carry in the setting `log_comment`.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc as blocking,
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::{
    config,
    document::Document,
    exception::Exception,
    ffi::{Connection, Library, Progress, path_argument},
    sql,
};

/// Statements that run at once; others wait.
const SLOTS: usize = 16;

/// How long a statement waits for a slot.
const SLOT_WAIT: Duration = Duration::from_secs(10);

/// Stack of a statement's thread: the engine's parser recurses, and it measures what it has.
const STACK: usize = 8 << 20;

/// Pieces of a result or of an insert's data that wait between the network and the engine.
const PIECES: usize = 4;

/// How often a statement that has to stop is told so, until it has stopped.
const KILL_EVERY: Duration = Duration::from_millis(100);

/// How often the engine is asked to stop its threads, [`KILL_EVERY`] apart.
const STOP_TRIES: usize = 20;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Everything.
    Owner,
    /// Read tables, nothing else.
    Reader,
}

/// What a statement runs under.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// Who runs it.
    pub(super) role: Role,
    /// Current database; `default` where there is none.
    pub(super) database: Option<String>,
    /// Settings by name, applied in order.
    pub(super) settings: Vec<(String, String)>,
    /// Values for `{name:Type}`.
    pub(super) parameters: Vec<(String, String)>,
    /// Refuse to write although the role may.
    pub(super) read_only: bool,
}

/// A running engine.
pub(super) struct Engine {
    library: Library,
    /// Of every connection: data directory and configuration.
    arguments: Vec<String>,
    slots: Arc<Semaphore>,
    running: TaskTracker,
    control: blocking::SyncSender<Control>,
    controller: Mutex<Option<thread::JoinHandle<()>>>,
    statements: AtomicU64,
    /// Version of ClickHouse, for example `26.7.2.1`.
    pub(super) version: String,
    /// Its time zone.
    pub(super) timezone: String,
}

/// What the control connection is asked for.
enum Control {
    /// Stop one statement.
    Cancel(Tag),
    /// Stop all of them.
    CancelAll,
    /// Close.
    Close,
}

/// Marks one statement.
#[derive(Clone)]
struct Tag {
    comment: String,
    ended: Arc<AtomicBool>,
}

impl Engine {
    /// Starts the engine on `data`, which is created where it does not exist.
    pub(super) fn start(library: Library, data: &Path) -> io::Result<Self> {
        let config = config::write(data)?;
        fs::create_dir_all(&config.database)?;
        let arguments = [("path", &config.database), ("config-file", &config.engine)]
            .map(|(name, path)| path_argument(name, path))
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| io::Error::other(format!("the path `{}` is not text", data.display())))?;
        let mut connection = library.connect(&arguments).ok_or_else(|| {
            io::Error::other("the engine did not start; is another process using this data directory?")
        })?;
        let mut ask = |sql: &str| match connection.query(sql, "TSVRaw", &[]) {
            Ok((answer, _)) => Ok(String::from_utf8_lossy(&answer).trim().to_owned()),
            Err(error) => Err(io::Error::other(error)),
        };
        let version = ask("SELECT version()")?;
        let timezone = ask("SELECT timezone()")?;
        let (control, requests) = blocking::sync_channel(SLOTS * 2);
        let controller = thread::Builder::new()
            .name("gateway-control".to_owned())
            .stack_size(STACK)
            .spawn(move || run_control(connection, &requests))?;
        Ok(Self {
            library,
            arguments,
            slots: Arc::new(Semaphore::new(SLOTS)),
            running: TaskTracker::new(),
            control,
            controller: Mutex::new(Some(controller)),
            statements: AtomicU64::new(0),
            version,
            timezone,
        })
    }

    /// Runs a statement. Its result comes in `format` piece by piece, or, with `whole`, as one piece, so that
    /// an error can only come before the first byte. Dropping the result stops a SELECT; a statement that
    /// writes goes on to its end.
    pub(super) async fn query(
        &self,
        session: Session,
        sql: String,
        format: String,
        whole: bool,
    ) -> Result<Rows, Exception> {
        let slot = self.slot().await?;
        let tag = self.tag();
        let cancel = sql::is_select(&sql).then(|| CancelOnDrop { tag: tag.clone(), control: self.control.clone() });
        let (sender, receiver) = mpsc::channel(PIECES);
        self.spawn(slot, session, tag, move |connection, session| {
            let connection = match connection {
                Ok(connection) => connection,
                Err(error) => {
                    let _ = sender.blocking_send(Err(error));
                    return;
                }
            };
            let send = |piece| sender.blocking_send(Ok(piece)).is_ok();
            if let Err(error) = run_query(connection, session, &sql, &format, whole, send) {
                // Nobody waits any more where this fails.
                let _ = sender.blocking_send(Err(error));
            }
        })?;
        Ok(Rows { receiver, _cancel: cancel })
    }

    /// Starts an INSERT whose data follows in `format`. Dropping it before its end gives it up.
    pub(super) async fn insert(
        &self,
        session: Session,
        statement: String,
        format: String,
    ) -> Result<Insert, Exception> {
        let slot = self.slot().await?;
        let (data, mut pieces) = mpsc::channel(PIECES);
        let (sender, result) = oneshot::channel();
        self.spawn(slot, session, self.tag(), move |connection, session| {
            let run = || {
                let connection = connection?;
                if session.role == Role::Reader {
                    return Err(Exception::new(Exception::READONLY, "Cannot execute query in readonly mode"));
                }
                let mut insert = connection.insert(&statement, &format, &session.parameters)?;
                while let Some(piece) = pieces.blocking_recv() {
                    match piece {
                        Piece::Data(data) if insert.append(&data).is_ok() => {}
                        // The end, or the engine has stopped reading, and `finish` says why.
                        Piece::Data(_) | Piece::End => return insert.finish(),
                    }
                }
                insert.cancel();
                Err(Exception::new(Exception::ABORTED, "the insert ended before its data"))
            };
            // Nobody waits any more where this fails.
            let _ = sender.send(run());
        })?;
        Ok(Insert { data, result })
    }

    /// Waits for what runs, at most `grace`, stops what still runs, and closes the engine.
    ///
    /// False where it could not be closed: a statement does not stop.
    pub(super) async fn shutdown(&self, grace: Duration) -> bool {
        self.slots.close();
        self.running.close();
        if tokio::time::timeout(grace, self.running.wait()).await.is_err() {
            let _ = self.control.try_send(Control::CancelAll);
            if tokio::time::timeout(grace, self.running.wait()).await.is_err() {
                return false;
            }
        }
        let controller = self.controller.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (library, control) = (self.library.clone(), self.control.clone());
        tokio::task::spawn_blocking(move || {
            let _ = control.send(Control::Close);
            let closed = controller.is_none_or(|controller| controller.join().is_ok());
            // The data is released with the last connection. The engine's threads may need a moment longer; those
            // that are left end with the process.
            let threads = (0..STOP_TRIES).any(|_| {
                let stopped = library.shutdown();
                if !stopped {
                    thread::sleep(KILL_EVERY);
                }
                stopped
            });
            tracing::debug!(threads, "the engine is closed");
            closed
        })
        .await
        .unwrap_or(false)
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, Exception> {
        match tokio::time::timeout(SLOT_WAIT, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_closed)) => Err(Exception::new(Exception::ABORTED, "the server is shutting down")),
            Err(_elapsed) => {
                let message = format!("Too many simultaneous queries. Maximum: {SLOTS}");
                Err(Exception::new(Exception::TOO_MANY_SIMULTANEOUS_QUERIES, message))
            }
        }
    }

    fn tag(&self) -> Tag {
        let number = self.statements.fetch_add(1, Ordering::Relaxed);
        Tag { comment: format!("{TAG}{number}"), ended: Arc::default() }
    }

    fn spawn(
        &self,
        slot: OwnedSemaphorePermit,
        session: Session,
        tag: Tag,
        work: impl FnOnce(Result<&mut Connection, Exception>, &Session) + Send + 'static,
    ) -> Result<(), Exception> {
        let library = self.library.clone();
        let arguments = self.arguments.clone();
        let token = self.running.token();
        let run = move || {
            let mut connection = connect(&library, arguments, &session, &tag);
            work(connection.as_mut().map_err(|error| error.clone()), &session);
            drop(connection);
            tag.ended.store(true, Ordering::Release);
            drop((slot, token));
        };
        let thread = thread::Builder::new().name("gateway-query".to_owned()).stack_size(STACK).spawn(run);
        match thread {
            Ok(_detached) => Ok(()),
            Err(error) => Err(Exception::new(Exception::LOGICAL_ERROR, format!("cannot start a thread: {error}"))),
        }
    }
}

const TAG: &str = "hearken-gateway:";

/// Opens a connection and gives it the session's role, database and settings, each with the engine's own
/// check and error.
fn connect(
    library: &Library,
    mut arguments: Vec<String>,
    session: &Session,
    tag: &Tag,
) -> Result<Connection, Exception> {
    arguments.push(format!("--log_comment={}", tag.comment));
    if session.role == Role::Reader || session.read_only {
        arguments.push("--readonly=2".to_owned());
    }
    let mut connection = library
        .connect(&arguments)
        .ok_or_else(|| Exception::new(Exception::LOGICAL_ERROR, "the engine refused a connection"))?;
    if session.role == Role::Reader {
        connection.query(config::SET_READER, "Null", &[])?;
    }
    if let Some(database) = &session.database {
        connection.query(&format!("USE {}", quoted(database, '`')), "Null", &[])?;
    }
    if !session.settings.is_empty() {
        let settings =
            session.settings.iter().map(|(name, value)| setting(name, value)).collect::<Result<Vec<_>, _>>()?;
        connection.query(&format!("SET {}", settings.join(", ")), "Null", &[])?;
    }
    Ok(connection)
}

fn setting(name: &str, value: &str) -> Result<String, Exception> {
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !valid {
        return Err(Exception::new(Exception::UNKNOWN_SETTING, format!("Unknown setting '{name}'")));
    }
    Ok(format!("{name} = {}", quoted(value, '\'')))
}

/// `text` as a ClickHouse string or name.
fn quoted(text: &str, quote: char) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for character in text.chars() {
        if character == quote || character == '\\' {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push(quote);
    quoted
}

/// A piece of a result, and what the statement has done up to it.
pub(super) type Rowset = (Bytes, Progress);

fn run_query(
    connection: &mut Connection,
    session: &Session,
    sql: &str,
    format: &str,
    whole: bool,
    mut send: impl FnMut(Rowset) -> bool,
) -> Result<(), Exception> {
    if session.role == Role::Reader {
        check_reader(connection, sql, &session.parameters)?;
    }
    if let Some(mut document) = document(session, sql, format).filter(|_| !whole) {
        match connection.stream(sql, format, &session.parameters) {
            Ok(mut chunks) => {
                while let Some((piece, progress)) = chunks.next()? {
                    if !send((document.join(piece), progress)) {
                        break;
                    }
                }
                return Ok(());
            }
            // `WITH ... INSERT`, for one, begins like a SELECT.
            Err(error) if error.to_string().contains("Streaming query is not supported") => {}
            Err(error) => return Err(error),
        }
    }
    let piece = connection.query(sql, format, &session.parameters)?;
    send(piece);
    Ok(())
}

/// How the pieces of the result become one document; `None` where the engine has to make it as a whole.
fn document(session: &Session, sql: &str, format: &str) -> Option<Document> {
    const AS_ARRAY: &str = "output_format_json_array_of_rows";
    let as_array = sql.contains(AS_ARRAY) || session.settings.iter().any(|(name, _)| name == AS_ARRAY);
    if as_array || !sql::is_select(sql) {
        return None;
    }
    Document::of(sql::output_format(sql).unwrap_or(format))
}

/// Lets a reader run one reading statement. The role's missing grants and `readonly = 2` already keep it from
/// writing and from other sources; this keeps it from leaving the role, from output files, and from the few
/// functions that need no grant.
fn check_reader(connection: &mut Connection, sql: &str, parameters: &[(String, String)]) -> Result<(), Exception> {
    if let Some(name) = sql::unsafe_name(sql, parameters) {
        let message = format!("the read-only user may not use `{name}`");
        return Err(Exception::new(Exception::ACCESS_DENIED, message));
    }
    let analysis = connection.analyse(sql);
    // What does not parse goes on to the engine for its error.
    if analysis.statements != 0 && !(analysis.statements == 1 && analysis.read_only) {
        return Err(Exception::new(Exception::READONLY, "Cannot execute query in readonly mode"));
    }
    Ok(())
}

/// The result of a statement.
pub(super) struct Rows {
    receiver: mpsc::Receiver<Result<Rowset, Exception>>,
    _cancel: Option<CancelOnDrop>,
}

impl Rows {
    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Rowset, Exception>> {
        self.receiver.recv().await
    }
}

struct CancelOnDrop {
    tag: Tag,
    control: blocking::SyncSender<Control>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if !self.tag.ended.load(Ordering::Acquire) {
            // The queue holds more than can run; should it be full, the statement still ends with its next piece.
            let _ = self.control.try_send(Control::Cancel(self.tag.clone()));
        }
    }
}

enum Piece {
    Data(Bytes),
    End,
}

/// An INSERT that waits for its data.
pub(super) struct Insert {
    data: mpsc::Sender<Piece>,
    result: oneshot::Receiver<Result<Progress, Exception>>,
}

impl Insert {
    /// Sends the next bytes. False where the engine has stopped reading: [`Insert::finish`] says why.
    pub(super) async fn send(&self, data: Bytes) -> bool {
        self.data.send(Piece::Data(data)).await.is_ok()
    }

    /// Ends the data and waits until it is stored.
    pub(super) async fn finish(self) -> Result<Progress, Exception> {
        let _ = self.data.send(Piece::End).await;
        self.result
            .await
            .unwrap_or_else(|_| Err(Exception::new(Exception::LOGICAL_ERROR, "the insert ended without a result")))
    }
}

/// The control connection's thread.
fn run_control(mut connection: Connection, requests: &blocking::Receiver<Control>) {
    let mut pending: Vec<Tag> = Vec::new();
    loop {
        let request = if pending.is_empty() {
            requests.recv().map_err(|_| blocking::RecvTimeoutError::Disconnected)
        } else {
            requests.recv_timeout(KILL_EVERY)
        };
        let condition = match request {
            Ok(Control::Cancel(tag)) => {
                pending.push(tag);
                None
            }
            Ok(Control::CancelAll) => Some(format!("startsWith(Settings['log_comment'], '{TAG}')")),
            Ok(Control::Close) | Err(blocking::RecvTimeoutError::Disconnected) => return,
            Err(blocking::RecvTimeoutError::Timeout) => None,
        };
        pending.retain(|tag| !tag.ended.load(Ordering::Acquire));
        let tags = || pending.iter().map(|tag| quoted(&tag.comment, '\'')).collect::<Vec<_>>().join(", ");
        let condition =
            condition.or_else(|| (!pending.is_empty()).then(|| format!("Settings['log_comment'] IN ({})", tags())));
        let Some(condition) = condition else { continue };
        if let Err(error) = connection.query(&format!("KILL QUERY WHERE {condition} ASYNC"), "Null", &[]) {
            tracing::warn!(%error, "cannot stop a statement whose client has gone away");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_quoted() {
        assert_eq!(quoted("a`b\\", '`'), "`a\\`b\\\\`");
        assert_eq!(setting("max_threads", "1'").as_deref(), Ok("max_threads = '1\\''"));
        for name in ["", "1a", "a b", "a=1,b", "ä"] {
            assert!(setting(name, "1").is_err(), "{name}");
        }
    }
}
