//! Where one record of a text ends and the next begins.

use csv_core::ReadRecordResult;
use memchr::{memchr, memchr_iter};

/// The longest record that is read, in bytes.
pub(super) const MAX_RECORD: usize = 1024 * 1024;

/// What stands at the start of the unread text.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// A record: the bytes that it takes with its line end, and the lines.
    Record { length: usize, lines: u64 },
    /// Empty lines, to be passed over.
    Blank { length: usize, lines: u64 },
    /// The rest of the record is still to come.
    Incomplete,
    /// A record that is longer than [`MAX_RECORD`] or never ends: its first line is lost, the text
    /// after that line may be good.
    Broken(&'static str),
    /// The end of the text.
    End,
}

/// How records are told apart.
pub(super) trait Records: Send {
    /// Looks at the unread text. `last` says that no more will come.
    fn next(&mut self, unread: &[u8], last: bool) -> Next;

    /// The fields of the record that was found last; empty for JSON lines.
    fn fields(&self) -> Fields<'_>;

    /// Tells the number of columns, once the header is known.
    fn expect_columns(&mut self, columns: usize);
}

/// The fields of a CSV record.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fields<'r> {
    bytes: &'r [u8],
    ends: &'r [usize],
}

impl<'r> Fields<'r> {
    /// How many there are.
    pub(super) fn len(self) -> usize {
        self.ends.len()
    }

    /// The fields in order; `None` for one that is not UTF-8.
    pub(super) fn iter(self) -> impl Iterator<Item = Option<&'r str>> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let field = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            std::str::from_utf8(field).ok()
        })
    }
}

/// One JSON value a line.
pub(super) struct JsonLines;

impl Records for JsonLines {
    fn next(&mut self, unread: &[u8], last: bool) -> Next {
        let length = match memchr(b'\n', unread) {
            Some(end) => end + 1,
            None if unread.len() > MAX_RECORD => return Next::Broken("the line is longer than 1 MiB"),
            None if !last => return Next::Incomplete,
            None if unread.is_empty() => return Next::End,
            None => unread.len(),
        };
        if length > MAX_RECORD + 1 {
            return Next::Broken("the line is longer than 1 MiB");
        }
        let line = unread.get(..length).unwrap_or_default();
        if line.trim_ascii().is_empty() { Next::Blank { length, lines: 1 } } else { Next::Record { length, lines: 1 } }
    }

    fn fields(&self) -> Fields<'_> {
        Fields::default()
    }

    fn expect_columns(&mut self, _: usize) {}
}

/// Comma-separated values (RFC 4180): quoted fields may hold line ends.
pub(super) struct Csv {
    reader: csv_core::Reader,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    found: usize,
    /// Number of columns: tells a record with a stray quote from one that spans lines.
    columns: Option<usize>,
}

impl Csv {
    pub(super) fn new(delimiter: u8) -> Self {
        let reader = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        Self { reader, bytes: vec![0; 64 * 1024], ends: vec![0; 64], found: 0, columns: None }
    }
}

impl Records for Csv {
    fn next(&mut self, unread: &[u8], last: bool) -> Next {
        // To the reader, empty input is the end of the text.
        if unread.is_empty() {
            return if last { Next::End } else { Next::Incomplete };
        }
        let blank = unread.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if blank > 0 {
            return Next::Blank { length: blank, lines: count_lines(unread.get(..blank).unwrap_or_default()) };
        }
        let window = unread.get(..MAX_RECORD).unwrap_or(unread);
        let (mut read, mut written, mut found) = (0, 0, 0);
        let mut flushed = false;
        self.reader.reset();
        loop {
            let input = window.get(read..).unwrap_or_default();
            let output = self.bytes.get_mut(written..).unwrap_or_default();
            let ends = self.ends.get_mut(found..).unwrap_or_default();
            let (result, took, wrote, ended) = self.reader.read_record(input, output, ends);
            read += took;
            written += wrote;
            found += ended;
            match result {
                ReadRecordResult::OutputFull => self.bytes.resize(self.bytes.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty if unread.len() > MAX_RECORD => {
                    return Next::Broken("the record is longer than 1 MiB; a quote may be left open");
                }
                ReadRecordResult::InputEmpty if !last => return Next::Incomplete,
                // With empty input the reader ends the record that it is in.
                ReadRecordResult::InputEmpty => flushed = true,
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Next::End,
            }
        }
        self.found = found;
        if !last && read == window.len() && window.ends_with(b"\r") {
            return Next::Incomplete;
        }
        if window.get(..read).is_some_and(|record| record.ends_with(b"\r")) && window.get(read) == Some(&b'\n') {
            read += 1;
        }

        let record = window.get(..read).unwrap_or_default();
        let lines = count_lines(record);
        let spans_lines = memchr(b'\n', record).is_some_and(|end| end + 1 < record.len());
        let open_quote = flushed && memchr_iter(b'"', record).count() % 2 == 1;
        let ragged = self.columns.is_some_and(|columns| columns != found);
        if spans_lines && (open_quote || ragged) {
            return Next::Broken("a quote is left open, or the number of fields is not the header's");
        }
        Next::Record { length: read, lines: lines.max(1) }
    }

    fn fields(&self) -> Fields<'_> {
        Fields { bytes: &self.bytes, ends: self.ends.get(..self.found).unwrap_or_default() }
    }

    fn expect_columns(&mut self, columns: usize) {
        self.columns = Some(columns);
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}
