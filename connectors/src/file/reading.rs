//! One file being read: its text in, messages and poison out.

use std::fs::File;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use memchr::memchr;

use super::position::Place;
use super::records::{Csv, JsonLines, Next, Records};
use super::settings::{Format, Settings};
use super::stream::{Resumed, Stream};
use crate::contract::Poison;
use crate::mapping::{Field, Value};
use crate::message::Message;
use crate::registry::Parsed;

/// Messages and poison of one batch; few in unit tests, so that batches end everywhere.
const BATCH_RECORDS: usize = if cfg!(test) { 7 } else { 4_000 };
/// Bytes of text of one batch.
const BATCH_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of a record that poison keeps.
const POISON_PAYLOAD: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The batch is full.
    Full,
    /// Everything that can be read has been; for a tailed file perhaps but half a record.
    Drained {
        /// The last record waits for its line end.
        half_written: bool,
    },
}

/// Why reading failed.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The file itself could not be read.
    Io(io::Error),
    /// The header does not fit the settings.
    Header(String),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One file being read.
pub(super) struct Reading {
    settings: Arc<Settings>,
    /// Where records come from, for poison.
    origin: String,
    stream: Stream,
    records: Box<dyn Records>,
    /// The fields that each CSV column fills; `None` until the header is read.
    columns: Option<Vec<Vec<Field>>>,
    /// Lines before the position.
    line: u64,
    /// The end of the last whole record, where reading goes on after a restart.
    place: Place,
    /// Why the rest of a compressed file cannot be read.
    corrupt: Option<String>,
}

impl Reading {
    /// Reads `file` from `place` on, or from its start when what lies before `place` is no longer
    /// what was read.
    pub(super) fn resume(
        settings: &Arc<Settings>,
        file: &Arc<File>,
        origin: &str,
        place: &Place,
    ) -> Result<Self, ReadError> {
        let mut reading = Self::start(settings, Stream::open(Arc::clone(file), settings.encoding)?, origin);
        if place.offset == 0 {
            return Ok(reading);
        }
        reading.header()?;
        match Stream::resume(file, settings.encoding, place.offset, &place.print) {
            Ok(Resumed::Same(stream)) => {
                Ok(Self { stream, line: place.line, place: place.clone(), corrupt: None, ..reading })
            }
            Err(error) if !is_corruption(&error) => Err(error.into()),
            _ => Ok(Self::start(settings, Stream::open(Arc::clone(file), settings.encoding)?, origin)),
        }
    }

    /// Reads a text from its start.
    pub(super) fn start(settings: &Arc<Settings>, stream: Stream, origin: &str) -> Self {
        Self {
            settings: Arc::clone(settings),
            origin: origin.to_owned(),
            stream,
            records: match settings.format {
                Format::Jsonl => Box::new(JsonLines),
                Format::Csv => Box::new(Csv::new(settings.delimiter)),
            },
            columns: None,
            line: 0,
            place: Place::default(),
            corrupt: None,
        }
    }

    /// The end of the last whole record that was read.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Reads records into `out` until it is a full batch or nothing more can be read.
    pub(super) fn read(&mut self, out: &mut Parsed, observed_at: Timestamp) -> Result<Stop, ReadError> {
        let end = self.stream.offset() + BATCH_BYTES;
        self.read_until(observed_at, out, |reading, out| {
            out.messages.len() + out.poison.len() >= BATCH_RECORDS || reading.stream.offset() >= end
        })
    }

    /// Reads up to the first message or poison: enough to see whether the settings fit.
    pub(super) fn first(&mut self, observed_at: Timestamp) -> Result<Parsed, ReadError> {
        let mut out = Parsed::default();
        self.read_until(observed_at, &mut out, |_, out| !out.messages.is_empty() || !out.poison.is_empty())?;
        Ok(out)
    }

    /// Reads the header, where there is one.
    fn header(&mut self) -> Result<(), ReadError> {
        if self.settings.format == Format::Csv {
            self.read_until(Timestamp::UNIX_EPOCH, &mut Parsed::default(), |reading, _| reading.columns.is_some())?;
        }
        Ok(())
    }

    fn read_until(
        &mut self,
        observed_at: Timestamp,
        out: &mut Parsed,
        enough: impl Fn(&Self, &Parsed) -> bool,
    ) -> Result<Stop, ReadError> {
        while !enough(self, out) {
            // Only the end of the text makes half a record a whole one.
            let last = self.stream.ended() && !self.settings.follow && self.corrupt.is_none();
            match self.next(last) {
                Next::Record { length, lines } => {
                    self.take_record(length, observed_at, out)?;
                    self.consume(length, lines);
                }
                Next::Blank { length, lines } => self.consume(length, lines),
                Next::Broken(reason) => {
                    if !self.pass_broken_line(reason, out)? {
                        return Ok(Stop::Drained { half_written: true });
                    }
                }
                Next::End => break,
                Next::Incomplete if self.stream.ended() => return Ok(self.end_in_a_record(out)),
                Next::Incomplete => {
                    self.mark();
                    self.fill()?;
                }
            }
        }
        self.mark();
        Ok(if enough(self, out) { Stop::Full } else { Stop::Drained { half_written: false } })
    }

    fn next(&mut self, last: bool) -> Next {
        let unread = self.stream.unread();
        if self.stream.offset() == 0 && unread.starts_with(BYTE_ORDER_MARK) {
            return Next::Blank { length: BYTE_ORDER_MARK.len(), lines: 0 };
        }
        self.records.next(unread, last)
    }

    fn consume(&mut self, length: usize, lines: u64) {
        self.stream.consume(length);
        self.line += lines;
    }

    /// Notes that everything before the position has been handed out. A header is not: it is read
    /// again with the first record.
    fn mark(&mut self) {
        let in_header = self.settings.format == Format::Csv && self.columns.is_none();
        if !in_header && self.place.offset != self.stream.offset() {
            self.place = Place { offset: self.stream.offset(), line: self.line, print: self.stream.print() };
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        match self.stream.fill() {
            Err(error) if is_corruption(&error) => {
                let still_written = self.settings.follow && error.kind() == io::ErrorKind::UnexpectedEof;
                self.corrupt = (!still_written).then(|| format!("the compressed file is cut or damaged here: {error}"));
                self.stream.stop();
                Ok(())
            }
            result => result,
        }
    }

    /// The text ends within a record: it is damaged, or still being written.
    fn end_in_a_record(&mut self, out: &mut Parsed) -> Stop {
        self.mark();
        let half_written = !self.stream.unread().is_empty();
        let Some(reason) = self.corrupt.take() else { return Stop::Drained { half_written } };
        out.poison.push(self.poison(self.stream.unread(), reason));
        Stop::Drained { half_written: false }
    }

    /// Passes over a line that cannot be a record; false when its end has not been written yet.
    fn pass_broken_line(&mut self, reason: &str, out: &mut Parsed) -> Result<bool, ReadError> {
        self.mark();
        let unread = self.stream.unread();
        let line_end = memchr(b'\n', unread);
        let poison = self.poison(unread.get(..line_end.unwrap_or(unread.len())).unwrap_or_default(), reason.to_owned());
        loop {
            let unread = self.stream.unread();
            match memchr(b'\n', unread) {
                Some(end) => {
                    self.consume(end + 1, 1);
                    break;
                }
                None => self.stream.consume(unread.len()),
            }
            if self.stream.ended() {
                if self.settings.follow {
                    return Ok(false);
                }
                break;
            }
            self.fill()?;
        }
        out.poison.push(poison);
        Ok(true)
    }

    /// Turns the record at the position into a message, poison, or the header.
    fn take_record(&mut self, length: usize, observed_at: Timestamp, out: &mut Parsed) -> Result<(), ReadError> {
        let bytes = self.stream.unread().get(..length).unwrap_or_default();
        if self.settings.format == Format::Csv && self.columns.is_none() {
            let columns = self.columns_of_header(bytes).map_err(ReadError::Header)?;
            self.records.expect_columns(columns.len());
            self.columns = Some(columns);
            return Ok(());
        }
        match self.message(bytes, observed_at) {
            Ok(message) => out.messages.push(message),
            Err(reason) => out.poison.push(self.poison(bytes.trim_ascii_end(), reason)),
        }
        Ok(())
    }

    fn columns_of_header(&self, header: &[u8]) -> Result<Vec<Vec<Field>>, String> {
        std::str::from_utf8(header).map_err(|_| "the header is not UTF-8: set `encoding`".to_owned())?;
        let names: Vec<&str> = self.records.fields().iter().flatten().collect();
        self.settings.mapping.columns(&names)
    }

    fn message(&self, bytes: &[u8], observed_at: Timestamp) -> Result<Message, String> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| format!("not UTF-8 from byte {} of the record on", error.valid_up_to() + 1))?;
        let text = text.trim_ascii();
        let mapping = &self.settings.mapping;
        let Some(columns) = &self.columns else { return mapping.json(text, None, observed_at) };
        let fields = self.records.fields();
        if fields.len() != columns.len() {
            return Err(format!("has {} fields, the header has {}", fields.len(), columns.len()));
        }
        let mut record = mapping.record();
        for (value, filled) in fields.iter().zip(columns) {
            for field in filled {
                record.put(*field, Value::Text(value.unwrap_or_default().into()));
            }
        }
        mapping.message(record, bytes, observed_at)
    }

    fn poison(&self, payload: &[u8], reason: String) -> Poison {
        Poison {
            origin: format!("{}:{}", self.origin, self.line + 1),
            reason,
            payload: payload.get(..POISON_PAYLOAD).unwrap_or(payload).to_vec(),
        }
    }
}

/// True for an error of a decompressor about its input, as opposed to one of the file system.
fn is_corruption(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}
