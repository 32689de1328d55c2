//! The text of a file, as a stream of UTF-8 bytes: decompressed, decoded, and resumed at an offset.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;
/// Bytes of the start, and bytes before the position, that tell a file from another one.
const PRINT: usize = 256;

/// The unread text of a file.
pub(super) struct Stream {
    input: Box<dyn Read + Send>,
    /// Up to [`PRINT`] bytes before the position, then the unread ones.
    buffer: Vec<u8>,
    /// Where the unread bytes start in the buffer.
    start: usize,
    /// Where they start in the text.
    offset: u64,
    /// The first [`PRINT`] bytes of the text, as far as they lie before the position.
    head: Vec<u8>,
    ended: bool,
}

/// What was found where a position was resumed.
pub(super) enum Resumed {
    /// The text before the position is the one that was read.
    Same(Stream),
    /// It is shorter or another one.
    Changed,
}

impl Stream {
    /// The text of `file` from its start. Compression is recognised by its magic bytes; `encoding`
    /// is the declared one, without which the text is UTF-8, or UTF-16 with a byte-order mark.
    pub(super) fn open(file: Arc<File>, encoding: Option<&'static Encoding>) -> io::Result<Self> {
        let mut file = file;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self::new(open_input(Box::new(file), encoding)?.input))
    }

    /// The text of some bytes, read in the same way.
    pub(super) fn of(bytes: &[u8], encoding: Option<&'static Encoding>) -> io::Result<Self> {
        Ok(Self::new(open_input(Box::new(Cursor::new(bytes.to_vec())), encoding)?.input))
    }

    /// The text of `file` from `offset` on, if what lies before still has this `print`.
    pub(super) fn resume(
        file: &Arc<File>,
        encoding: Option<&'static Encoding>,
        offset: u64,
        print: &str,
    ) -> io::Result<Resumed> {
        let mut raw = Arc::clone(file);
        raw.seek(SeekFrom::Start(0))?;
        let Input { mut input, plain } = open_input(Box::new(Arc::clone(file)), encoding)?;
        let head_length = offset.min(PRINT as u64);
        let mut head = Vec::with_capacity(PRINT);
        if input.by_ref().take(head_length).read_to_end(&mut head)? as u64 != head_length {
            return Ok(Resumed::Changed);
        }

        // Seeking is possible in plain UTF-8 only; everything else is read again up to the offset.
        let tail_at = offset - head_length;
        if plain {
            raw.seek(SeekFrom::Start(tail_at))?;
            input = Box::new(raw);
        } else if tail_at >= head_length {
            let between = tail_at - head_length;
            if io::copy(&mut input.by_ref().take(between), &mut io::sink())? != between {
                return Ok(Resumed::Changed);
            }
        } else {
            // Head and tail overlap.
            let overlap = head.get(usize::try_from(tail_at).unwrap_or(PRINT)..).unwrap_or_default().to_vec();
            input = Box::new(Cursor::new(overlap).chain(input));
        }
        let mut stream = Self { offset: tail_at, head, ..Self::new(input) };
        let tail_length = usize::try_from(head_length).unwrap_or(PRINT);
        stream.buffer.reserve(CHUNK);
        if stream.input.by_ref().take(head_length).read_to_end(&mut stream.buffer)? != tail_length {
            return Ok(Resumed::Changed);
        }
        stream.start = tail_length;
        stream.offset = offset;
        Ok(if stream.print() == print { Resumed::Same(stream) } else { Resumed::Changed })
    }

    fn new(input: Box<dyn Read + Send>) -> Self {
        Self { input, buffer: Vec::new(), start: 0, offset: 0, head: Vec::new(), ended: false }
    }

    /// What has been read but not consumed.
    pub(super) fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Position in the text, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// True once the input has ended: nothing will come after [`Stream::unread`].
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Treats what has been read as all there is.
    pub(super) fn stop(&mut self) {
        self.ended = true;
    }

    /// Reads another chunk. What came before an error is kept.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        let history = self.start.min(PRINT);
        self.buffer.drain(..self.start - history);
        self.start = history;
        let read = self.input.by_ref().take(CHUNK as u64).read_to_end(&mut self.buffer)?;
        self.ended = read < CHUNK;
        Ok(())
    }

    /// Moves the position forward over `length` bytes of what is unread.
    pub(super) fn consume(&mut self, length: usize) {
        let length = length.min(self.unread().len());
        if self.head.len() < PRINT {
            let missing = PRINT - self.head.len();
            let consumed = self.buffer.get(self.start..self.start + length.min(missing)).unwrap_or_default();
            self.head.extend_from_slice(consumed);
        }
        self.start += length;
        self.offset += length as u64;
    }

    /// Fingerprint of the text before the position: of its first bytes and of its last ones.
    pub(super) fn print(&self) -> String {
        let tail = self.buffer.get(self.start.saturating_sub(PRINT)..self.start).unwrap_or_default();
        let hash = Sha256::new().chain_update(&self.head).chain_update(tail).finalize();
        hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// An opened input, and whether its bytes are the file's own.
struct Input {
    input: Box<dyn Read + Send>,
    plain: bool,
}

fn open_input(raw: Box<dyn Read + Send>, encoding: Option<&'static Encoding>) -> io::Result<Input> {
    let mut raw = BufReader::with_capacity(CHUNK, raw);
    let mut plain = true;
    let mut text: Box<dyn BufRead + Send> = match raw.fill_buf()? {
        [0x1f, 0x8b, ..] => {
            plain = false;
            Box::new(BufReader::with_capacity(CHUNK, MultiGzDecoder::new(raw)))
        }
        // A frame, or a skippable frame as parallel compressors write it.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            plain = false;
            Box::new(BufReader::with_capacity(CHUNK, zstd::stream::read::Decoder::with_buffer(raw)?))
        }
        _ => Box::new(raw),
    };
    let encoding = match (encoding, text.fill_buf()) {
        (Some(declared), _) => declared,
        (None, Ok([0xff, 0xfe, ..])) => UTF_16LE,
        (None, Ok([0xfe, 0xff, ..])) => UTF_16BE,
        _ => UTF_8,
    };
    if encoding == UTF_8 {
        return Ok(Input { input: text, plain });
    }
    Ok(Input { input: Box::new(Decoded::new(text, encoding)), plain: false })
}

/// Decodes another encoding to UTF-8 as it is read. What the encoding does not have becomes U+FFFD.
struct Decoded {
    input: Box<dyn BufRead + Send>,
    decoder: Decoder,
    decoded: Vec<u8>,
    start: usize,
    finished: bool,
}

impl Decoded {
    fn new(input: Box<dyn BufRead + Send>, encoding: &'static Encoding) -> Self {
        Self { input, decoder: encoding.new_decoder(), decoded: Vec::new(), start: 0, finished: false }
    }
}

impl Read for Decoded {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.start == self.decoded.len() && !self.finished {
            let encoded = self.input.fill_buf()?;
            let last = encoded.is_empty();
            self.decoded.resize(CHUNK, 0);
            let (result, read, written, _) = self.decoder.decode_to_utf8(encoded, &mut self.decoded, last);
            self.decoded.truncate(written);
            self.start = 0;
            self.input.consume(read);
            self.finished = last && matches!(result, CoderResult::InputEmpty);
        }
        let ready = self.decoded.get(self.start..).unwrap_or_default();
        let length = ready.len().min(out.len());
        if let (Some(out), Some(ready)) = (out.get_mut(..length), ready.get(..length)) {
            out.copy_from_slice(ready);
        }
        self.start += length;
        Ok(length)
    }
}
