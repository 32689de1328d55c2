//! The C interface of libchdb (`programs/local/chdb.h` of chdb-core 26.7), made safe.
//!
//! This is the project's only `unsafe` code. The rules of the C side that the types below keep:
//!
//! - a result, a stream and a connection are each destroyed exactly once, streams before their connection;
//! - a connection runs one statement at a time, so every call takes `&mut Connection`;
//! - an open stream borrows its connection, so nothing else can run on it meanwhile;
//! - the library is never unloaded: the engine's threads run inside it until the process ends.

#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString, OsString, c_char, c_int, c_void},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    ptr::NonNull,
    sync::Arc,
};

use bytes::Bytes;

use super::exception::Exception;

/// File name of the library.
pub(super) const LIBRARY: &str = "libchdb.so";

/// Why libchdb could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// It is nowhere.
    #[error(
        "libchdb, the engine of the embedded store, is not installed (looked at {}): \
         run `script/bootstrap`, or set HEARKEN_LIBCHDB to its path",
        list(.0)
    )]
    Missing(Vec<PathBuf>),
    /// It is there, but it cannot be loaded.
    #[error("cannot load `{path}`: {reason}: run `script/bootstrap` to get the version that this build needs")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ")
}

/// Where libchdb is looked for, in this order: `setting`, the environment variable
/// `HEARKEN_LIBCHDB`, beside the executable, `$HEARKEN_HOME/lib` (by default
/// `~/.local/share/hearken/lib`), `/usr/local/lib/hearken`, `/usr/lib/hearken`.
///
/// A path that was named explicitly is the only one tried.
pub fn find_library(
    setting: Option<&Path>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, LibraryError> {
    let explicit = setting.map(Path::to_owned).or_else(|| environment("HEARKEN_LIBCHDB").map(PathBuf::from));
    let candidates = match explicit {
        Some(path) => vec![path],
        None => {
            let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(|dir| dir.join(LIBRARY)));
            let home = environment("HEARKEN_HOME")
                .map(PathBuf::from)
                .or_else(|| environment("HOME").map(|home| Path::new(&home).join(".local/share/hearken")));
            let system = ["/usr/local/lib/hearken", "/usr/lib/hearken"].map(|dir| Path::new(dir).join(LIBRARY));
            beside.into_iter().chain(home.map(|home| home.join("lib").join(LIBRARY))).chain(system).collect()
        }
    };
    candidates.iter().find(|path| path.is_file()).cloned().ok_or(LibraryError::Missing(candidates))
}

#[repr(C)]
struct RawResult {
    internal_data: *mut c_void,
}

#[repr(C)]
struct RawConnectionData {
    internal_data: *mut c_void,
}

/// `chdb_connection`: the handle that the calls take.
type RawConnection = *mut RawConnectionData;

#[repr(C)]
struct RawInsertData {
    internal_data: *mut c_void,
}

type RawInsert = *mut RawInsertData;

#[repr(C)]
struct RawAnalysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

const SUCCESS: c_int = 0;
const READ_ONLY: u32 = 0;

type StatementFn<T> = unsafe extern "C" fn(
    RawConnection,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> T;

/// The functions of the library that are used here.
struct Api {
    version: unsafe extern "C" fn() -> *const c_char,
    set_signal_handlers_enabled: unsafe extern "C" fn(c_int),
    shutdown: unsafe extern "C" fn() -> c_int,
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut RawConnection,
    close: unsafe extern "C" fn(*mut RawConnection),
    classify:
        unsafe extern "C" fn(RawConnection, *const c_char, usize, *const c_char, usize, *mut RawAnalysis) -> c_int,
    query: StatementFn<*mut RawResult>,
    stream: StatementFn<*mut RawResult>,
    fetch: unsafe extern "C" fn(RawConnection, *mut RawResult) -> *mut RawResult,
    cancel: unsafe extern "C" fn(RawConnection, *mut RawResult),
    insert: StatementFn<RawInsert>,
    append: unsafe extern "C" fn(RawInsert, *const c_void, usize) -> c_int,
    done: unsafe extern "C" fn(RawInsert) -> *mut RawResult,
    cancel_insert: unsafe extern "C" fn(RawInsert),
    insert_error: unsafe extern "C" fn(RawInsert) -> *const c_char,
    destroy_insert: unsafe extern "C" fn(RawInsert),
    buffer: unsafe extern "C" fn(*mut RawResult) -> *mut c_char,
    length: unsafe extern "C" fn(*mut RawResult) -> usize,
    error: unsafe extern "C" fn(*mut RawResult) -> *const c_char,
    elapsed: unsafe extern "C" fn(*mut RawResult) -> f64,
    rows: unsafe extern "C" fn(*mut RawResult) -> u64,
    bytes: unsafe extern "C" fn(*mut RawResult) -> u64,
    rows_read: unsafe extern "C" fn(*mut RawResult) -> u64,
    bytes_read: unsafe extern "C" fn(*mut RawResult) -> u64,
    rows_written: unsafe extern "C" fn(*mut RawResult) -> u64,
    bytes_written: unsafe extern "C" fn(*mut RawResult) -> u64,
    destroy: unsafe extern "C" fn(*mut RawResult),
}

impl Api {
    fn load(library: &libloading::Library) -> Result<Self, libloading::Error> {
        macro_rules! symbol {
            ($name:literal) => {
                // SAFETY: the field's type repeats the declaration of this function in chdb.h.
                *unsafe { library.get($name)? }
            };
        }
        Ok(Self {
            version: symbol!(b"chdb_version"),
            set_signal_handlers_enabled: symbol!(b"chdb_set_signal_handlers_enabled"),
            shutdown: symbol!(b"chdb_shutdown"),
            connect: symbol!(b"chdb_connect"),
            close: symbol!(b"chdb_close_conn"),
            classify: symbol!(b"chdb_classify_query_n"),
            query: symbol!(b"chdb_query_with_params_n"),
            stream: symbol!(b"chdb_stream_query_with_params_n"),
            fetch: symbol!(b"chdb_stream_fetch_result"),
            cancel: symbol!(b"chdb_stream_cancel_query"),
            insert: symbol!(b"chdb_stream_insert_with_params_n"),
            append: symbol!(b"chdb_stream_append"),
            done: symbol!(b"chdb_stream_done"),
            cancel_insert: symbol!(b"chdb_stream_cancel_insert"),
            insert_error: symbol!(b"chdb_stream_insert_error"),
            destroy_insert: symbol!(b"chdb_destroy_insert_stream"),
            buffer: symbol!(b"chdb_result_buffer"),
            length: symbol!(b"chdb_result_length"),
            error: symbol!(b"chdb_result_error"),
            elapsed: symbol!(b"chdb_result_elapsed"),
            rows: symbol!(b"chdb_result_rows_read"),
            bytes: symbol!(b"chdb_result_bytes_read"),
            rows_read: symbol!(b"chdb_result_storage_rows_read"),
            bytes_read: symbol!(b"chdb_result_storage_bytes_read"),
            rows_written: symbol!(b"chdb_result_rows_written"),
            bytes_written: symbol!(b"chdb_result_bytes_written"),
            destroy: symbol!(b"chdb_destroy_query_result"),
        })
    }
}

/// The loaded library. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Library(Arc<Api>);

impl Library {
    /// Loads the library from `path` and keeps it loaded until the process ends. The engine is told to
    /// leave the process's signal handlers alone.
    pub(super) fn open(path: &Path) -> Result<Self, LibraryError> {
        let unusable =
            |error: libloading::Error| LibraryError::Unusable { path: path.to_owned(), reason: error.to_string() };
        // SAFETY: libchdb's initialisers only set up its own globals; nothing of it runs before this.
        let library = unsafe { libloading::Library::new(path) }.map_err(unusable)?;
        let api = Api::load(&library).map_err(unusable)?;
        // Engine threads outlive any handle, so the code must stay mapped.
        std::mem::forget(library);
        // SAFETY: takes an int, and is called before the first connection as chdb.h asks.
        unsafe { (api.set_signal_handlers_enabled)(0) };
        Ok(Self(Arc::new(api)))
    }

    /// Version of libchdb, for example `26.7.3`.
    pub(super) fn version(&self) -> String {
        // SAFETY: returns a static, NUL-terminated string.
        unsafe { text((self.0.version)()) }.unwrap_or_default()
    }

    /// Opens a connection. The first one starts the engine; its arguments name the data directory and the
    /// configuration. An argument `--SETTING=VALUE` sets a query setting on this connection only.
    ///
    /// `None` where the engine refused: it says why on standard error only.
    pub(super) fn connect(&self, arguments: &[String]) -> Option<Connection> {
        let mut arguments: Vec<CString> = std::iter::once("clickhouse")
            .chain(arguments.iter().map(String::as_str))
            .map(CString::new)
            .collect::<Result<_, _>>()
            .ok()?;
        let mut pointers: Vec<*mut c_char> =
            arguments.iter_mut().map(|argument| argument.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `pointers` holds `count` NUL-terminated strings that live across the call; the engine copies
        // what it keeps.
        let handle = NonNull::new(unsafe { (self.0.connect)(count, pointers.as_mut_ptr()) })?;
        // SAFETY: a handle that is not null points to the connection until `chdb_close_conn`.
        let raw = unsafe { *handle.as_ptr() };
        Some(Connection { api: Arc::clone(&self.0), handle, raw })
    }

    /// Stops the engine's threads. Every connection has to be closed before; false where that is not so.
    pub(super) fn shutdown(&self) -> bool {
        // SAFETY: safe from any thread, in any state, any number of times, as chdb.h says.
        unsafe { (self.0.shutdown)() == SUCCESS }
    }
}

/// One session of the engine: its settings, roles and current database are its own.
pub(super) struct Connection {
    api: Arc<Api>,
    handle: NonNull<RawConnection>,
    raw: RawConnection,
}

// SAFETY: chdb.h lets any thread call as long as calls on one connection do not overlap, and every call below
// takes `&mut self`.
unsafe impl Send for Connection {}

/// Values for the `{name:Type}` placeholders of a statement.
pub(super) type Parameters = [(String, String)];

/// What a statement would do, as the engine's own parser sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Analysis {
    /// Executable statements; 0 where the text does not parse.
    pub(super) statements: u32,
    /// It changes nothing that outlives it: no write, no session change, no file.
    pub(super) read_only: bool,
}

/// What a statement read and wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Progress {
    /// Rows in the result.
    pub(super) result_rows: u64,
    /// Their size in the engine's memory.
    pub(super) result_bytes: u64,
    /// Rows read from tables.
    pub(super) read_rows: u64,
    /// Bytes read from tables.
    pub(super) read_bytes: u64,
    /// Rows written, those of materialised views included.
    pub(super) written_rows: u64,
    /// Bytes written.
    pub(super) written_bytes: u64,
    /// Seconds.
    pub(super) elapsed: f64,
}

impl Connection {
    /// Says what `sql` would do, without running it.
    pub(super) fn analyse(&mut self, sql: &str) -> Analysis {
        let mut analysis = RawAnalysis {
            struct_size: size_of::<RawAnalysis>() as u32,
            statement_count: 0,
            flags: 0,
            query_class: u32::MAX,
        };
        // SAFETY: `sql` and its length belong together; no target database; `analysis` says its own size.
        let state = unsafe {
            (self.api.classify)(self.raw, sql.as_ptr().cast(), sql.len(), std::ptr::null(), 0, &mut analysis)
        };
        let known = state == SUCCESS;
        Analysis {
            statements: if known { analysis.statement_count } else { 0 },
            read_only: known && analysis.query_class == READ_ONLY,
        }
    }

    /// Runs `sql` and returns its whole result in `format`.
    pub(super) fn query(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &Parameters,
    ) -> Result<(Bytes, Progress), Exception> {
        let result = RawParameters::new(parameters).call(self.api.query, self.raw, sql, format);
        let result = QueryResult::new(&self.api, result)?;
        Ok((result.data(), result.progress()))
    }

    /// Runs `sql`, a SELECT, and returns its result in `format` piece by piece. Most errors of the
    /// statement come with the first piece.
    pub(super) fn stream(&mut self, sql: &str, format: &str, parameters: &Parameters) -> Result<Chunks<'_>, Exception> {
        let result = RawParameters::new(parameters).call(self.api.stream, self.raw, sql, format);
        let stream = QueryResult::new(&self.api, result)?;
        Ok(Chunks { connection: self, stream, finished: false })
    }

    /// Starts `INSERT INTO ...` (without FORMAT and data); the data follows in `format`.
    pub(super) fn insert(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &Parameters,
    ) -> Result<InsertStream<'_>, Exception> {
        let raw = RawParameters::new(parameters).call(self.api.insert, self.raw, sql, format);
        let stream = InsertStream { connection: self, raw };
        match stream.error() {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: streams borrow the connection, so none is open; the handle is not used again.
        unsafe { (self.api.close)(self.handle.as_ptr()) };
    }
}

/// A result that comes piece by piece. Dropping it before its end cancels the query.
pub(super) struct Chunks<'a> {
    connection: &'a mut Connection,
    stream: QueryResult,
    finished: bool,
}

impl Chunks<'_> {
    /// Waits for the next piece; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(Bytes, Progress)>, Exception> {
        if self.finished {
            return Ok(None);
        }
        let api = &self.connection.api;
        // SAFETY: both belong together and are open; `&mut self` keeps calls from overlapping.
        let chunk = unsafe { (api.fetch)(self.connection.raw, self.stream.raw.as_ptr()) };
        let chunk = QueryResult::new(api, chunk).inspect_err(|_| self.finished = true)?;
        let data = chunk.data();
        if data.is_empty() {
            self.finished = true;
            return Ok(None);
        }
        Ok(Some((data, chunk.progress())))
    }
}

impl Drop for Chunks<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // SAFETY: both belong together and are open.
            unsafe { (self.connection.api.cancel)(self.connection.raw, self.stream.raw.as_ptr()) };
        }
    }
}

/// An INSERT whose data is being sent. Dropping it before [`InsertStream::finish`] cancels it.
pub(super) struct InsertStream<'a> {
    connection: &'a mut Connection,
    raw: RawInsert,
}

impl InsertStream<'_> {
    /// Sends the next bytes; waits while the engine is behind.
    ///
    /// An error only says that the engine has stopped reading: [`InsertStream::finish`] says why.
    pub(super) fn append(&mut self, data: &[u8]) -> Result<(), Stopped> {
        // SAFETY: `data` and its length belong together; the engine copies it.
        let state = unsafe { (self.connection.api.append)(self.raw, data.as_ptr().cast(), data.len()) };
        if state == SUCCESS { Ok(()) } else { Err(Stopped) }
    }

    /// Ends the data and waits until it is stored.
    pub(super) fn finish(self) -> Result<Progress, Exception> {
        let api = &self.connection.api;
        // SAFETY: the stream is open and is destroyed when `self` is dropped.
        let result = unsafe { (api.done)(self.raw) };
        Ok(QueryResult::new(api, result)?.progress())
    }

    /// Gives the insert up. What the engine has already written as whole blocks stays.
    pub(super) fn cancel(self) {
        // SAFETY: the stream is open and is destroyed when `self` is dropped.
        unsafe { (self.connection.api.cancel_insert)(self.raw) };
    }

    fn error(&self) -> Option<Exception> {
        // SAFETY: the message belongs to the stream, which outlives this call.
        unsafe { text((self.connection.api.insert_error)(self.raw)) }.map(Exception::from_engine)
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        // SAFETY: required once for every stream; cancels it where it was not finished.
        unsafe { (self.connection.api.destroy_insert)(self.raw) };
    }
}

/// The engine has stopped reading the data of an insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped;

/// A result of the engine, freed when dropped.
struct QueryResult {
    api: Arc<Api>,
    raw: NonNull<RawResult>,
}

impl QueryResult {
    fn new(api: &Arc<Api>, raw: *mut RawResult) -> Result<Self, Exception> {
        let Some(raw) = NonNull::new(raw) else {
            return Err(Exception::new(Exception::LOGICAL_ERROR, "the engine returned no result"));
        };
        let result = Self { api: Arc::clone(api), raw };
        // SAFETY: the message belongs to the result, which outlives this call.
        match unsafe { text((api.error)(raw.as_ptr())) } {
            Some(error) => Err(Exception::from_engine(error)),
            None => Ok(result),
        }
    }

    fn data(&self) -> Bytes {
        // SAFETY: the result is alive.
        let (buffer, length) = unsafe { ((self.api.buffer)(self.raw.as_ptr()), (self.api.length)(self.raw.as_ptr())) };
        if buffer.is_null() || length == 0 {
            return Bytes::new();
        }
        // SAFETY: the buffer holds `length` bytes until the result is destroyed, and they are copied before that.
        Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(buffer.cast::<u8>(), length) })
    }

    fn progress(&self) -> Progress {
        let raw = self.raw.as_ptr();
        // SAFETY: the result is alive; these calls only read numbers from it.
        unsafe {
            Progress {
                result_rows: (self.api.rows)(raw),
                result_bytes: (self.api.bytes)(raw),
                read_rows: (self.api.rows_read)(raw),
                read_bytes: (self.api.bytes_read)(raw),
                written_rows: (self.api.rows_written)(raw),
                written_bytes: (self.api.bytes_written)(raw),
                elapsed: (self.api.elapsed)(raw),
            }
        }
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        // SAFETY: the result is alive and is not used again.
        unsafe { (self.api.destroy)(self.raw.as_ptr()) };
    }
}

/// Parameters as the C side wants them: four arrays of equal length that point into the strings.
struct RawParameters {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
}

impl RawParameters {
    fn new(parameters: &Parameters) -> Self {
        Self {
            names: parameters.iter().map(|(name, _)| name.as_ptr().cast()).collect(),
            name_lengths: parameters.iter().map(|(name, _)| name.len()).collect(),
            values: parameters.iter().map(|(_, value)| value.as_ptr().cast()).collect(),
            value_lengths: parameters.iter().map(|(_, value)| value.len()).collect(),
        }
    }

    fn call<T>(&self, function: StatementFn<T>, connection: RawConnection, sql: &str, format: &str) -> T {
        // SAFETY: every pointer is valid for the length beside it, and the callers hold both the open connection
        // and the parameters across the call; the engine copies what it keeps.
        unsafe {
            function(
                connection,
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                self.names.as_ptr(),
                self.name_lengths.as_ptr(),
                self.values.as_ptr(),
                self.value_lengths.as_ptr(),
                self.names.len(),
            )
        }
    }
}

/// Copies a C string; `None` for null.
///
/// # Safety
/// `pointer` is null or points to a NUL-terminated string.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: as above.
    let bytes = unsafe { CStr::from_ptr(pointer) };
    Some(String::from_utf8_lossy(bytes.to_bytes()).into_owned())
}

/// An argument `--name=path` for [`Library::connect`]; `None` where the path is not text.
pub(super) fn path_argument(name: &str, path: &Path) -> Option<String> {
    std::str::from_utf8(path.as_os_str().as_bytes()).ok().map(|path| format!("--{name}={path}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_names_the_places_and_the_command() {
        let home = tempfile::tempdir().unwrap();
        let environment = |name: &str| (name == "HEARKEN_HOME").then(|| home.path().as_os_str().to_owned());
        if let Err(error) = find_library(None, environment) {
            let message = error.to_string();
            assert!(message.contains("script/bootstrap"), "{message}");
            assert!(message.contains(&format!("{}/lib/libchdb.so", home.path().display())), "{message}");
        }
    }

    #[test]
    fn a_named_library_is_the_only_one_tried() {
        let error = find_library(Some(Path::new("/nonexistent/libchdb.so")), |_| None).unwrap_err();
        assert!(matches!(error, LibraryError::Missing(paths) if paths == [Path::new("/nonexistent/libchdb.so")]));
    }

    #[test]
    fn a_file_that_is_no_library_is_unusable() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = find_library(None, |name| (name == "HEARKEN_LIBCHDB").then(|| file.path().into())).unwrap();
        assert!(matches!(Library::open(&found), Err(LibraryError::Unusable { .. })));
    }
}
