//! Text as it is searched: what people write in many ways, in one.
//!
//! [`Normal`] turns text into words with one space on either side, so that a whole word or a
//! phrase is found by searching a string:
//!
//! ```text
//! "I ♥ Acme’s ACME-Corp!"   ->  " i ♥ acme s acme corp "
//! "我喜欢iPhone"              ->  " 我 喜 欢 iphone "
//! ```
//!
//! Scripts without spaces become words of one character each, an emoji is a word, an apostrophe
//! separates words (in Cyrillic it vanishes), Hangul is set apart from other scripts. Handles and
//! hashtags are words too, and besides are kept whole, in a text of their own:
//!
//! ```text
//! "thanks @JetBlue, #Great_Service"  ->  " thanks jetblue great service "
//!                                        "\x01jetblue\n\x02great_service\n"
//! ```
//!
//! Characters: NFKD with full case folding, and what [`script::fold`] says of single languages.
//! The result is compared only with other results, and never shown.

use std::ops::Range;

use unicode_normalization::char::canonical_combining_class;

use super::fields::{Field, Fields};
use super::names::{add_folded_name, cashtag_end, handle_end, hashtag_end, is_name_byte};
use super::script::{
    Class, Folding, class, fold, folded, is_apostrophe, is_cyrillic, is_ignorable, is_regional_indicator, is_skin_tone,
};

/// In front of a handle.
pub(super) const HANDLE: char = '\u{1}';
/// In front of a hashtag.
pub(super) const HASHTAG: char = '\u{2}';
/// In front of a channel.
pub(super) const CHANNEL: char = '\u{3}';
/// In front of a source.
pub(super) const SOURCE: char = '\u{4}';
/// In front of a ticker symbol.
pub(super) const CASHTAG: char = '\u{5}';
/// In front of the handle or id of the author.
pub(super) const AUTHOR: char = '\u{6}';
/// In front of each label of the host of the message's address.
pub(super) const LABEL: char = '\u{7}';
/// After a name, and after the words of a field: nothing is found across it.
pub(super) const END: char = '\n';

/// By byte: what ASCII folds to, a letter, a digit or a space; 0 for `@`, `#`, `$` and all beyond ASCII.
static ASCII: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        #[allow(clippy::indexing_slicing, reason = "a byte is less than 256")]
        let slot = &mut table[byte as usize];
        *slot = match byte {
            b'@' | b'#' | b'$' => 0,
            _ if byte.is_ascii_alphanumeric() => byte.to_ascii_lowercase(),
            _ => b' ',
        };
        byte += 1;
    }
    table
};

fn folded_ascii(byte: u8) -> u8 {
    ASCII.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Which bytes of the original one or more normalised bytes come from.
#[derive(Debug)]
struct Piece {
    /// First normalised byte.
    at: usize,
    field: Field,
    from: Range<usize>,
}

/// A name that stands in title or text.
#[derive(Debug)]
pub(super) struct NameInWords {
    /// First byte in the names.
    pub(super) name: usize,
    /// First byte in the words.
    pub(super) words: usize,
    /// Where it comes from.
    pub(super) field: Field,
    pub(super) from: Range<usize>,
}

/// A normalised string with the way back to where it came from.
#[derive(Debug, Default)]
pub(super) struct Folded {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
}

impl Folded {
    /// The normalised bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where normalised bytes come from: the field, and byte offsets in it. Needs
    /// [`Normal::with_origins`].
    pub(super) fn origin(&self, span: Range<usize>) -> Option<(Field, Range<usize>)> {
        let is_edge = |byte: &u8| *byte <= b' ';
        let inner = self.bytes.get(span.clone())?;
        let start = span.start + inner.iter().take_while(|byte| is_edge(byte)).count();
        let end = span.end - inner.iter().rev().take_while(|byte| is_edge(byte)).count();
        let first = self.pieces.get(self.pieces.partition_point(|piece| piece.at <= start).checked_sub(1)?)?;
        let last = self.pieces.get(self.pieces.partition_point(|piece| piece.at < end).checked_sub(1)?)?;
        Some((first.field, first.from.start..last.from.end))
    }

    /// What comes from the last piece comes from the one before it as well.
    fn join_pieces(&mut self) {
        if let Some(piece) = self.pieces.pop()
            && let Some(before) = self.pieces.last_mut()
        {
            before.from.end = piece.from.end;
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.pieces.clear();
    }

    pub(super) fn push(&mut self, c: char) {
        self.bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// Appends a combining mark where the canonical order puts it (Unicode 16, section 3.11).
    pub(super) fn push_mark(&mut self, mark: char) {
        let class = canonical_combining_class(mark);
        let mut at = self.bytes.len();
        let mark_before = |at: usize| self.bytes.get(..at).and_then(last_char).filter(|_| class != 0);
        while let Some(before) = mark_before(at).filter(|c| canonical_combining_class(*c) > class) {
            at -= before.len_utf8();
        }
        self.bytes.splice(at..at, mark.encode_utf8(&mut [0; 4]).bytes());
    }

    /// Puts a Hangul jamo into the syllable before it, where it fits (Unicode 16, section 3.12).
    pub(super) fn push_hangul(&mut self, c: char, previous: char) -> char {
        const LEAD: u32 = 0x1100;
        const VOWEL: u32 = 0x1161;
        const TAIL: u32 = 0x11a7;
        const SYLLABLE: u32 = 0xac00;
        let (first, second) = (u32::from(previous), u32::from(c));
        let syllable = match (first, second) {
            (LEAD..=0x1112, VOWEL..=0x1175) => Some(SYLLABLE + ((first - LEAD) * 21 + second - VOWEL) * 28),
            (SYLLABLE..=0xd7a3, 0x11a8..=0x11c2) if (first - SYLLABLE).is_multiple_of(28) => {
                Some(first + second - TAIL)
            }
            _ => None,
        };
        let is_next = || self.bytes.ends_with(previous.encode_utf8(&mut [0; 4]).as_bytes());
        match syllable.and_then(char::from_u32).filter(|_| is_next()) {
            Some(syllable) => {
                self.bytes.truncate(self.bytes.len() - previous.len_utf8());
                self.push(syllable);
                syllable
            }
            None => {
                self.push(c);
                c
            }
        }
    }
}

fn last_char(bytes: &[u8]) -> Option<char> {
    let is_start = |byte: &u8| byte & 0xc0 != 0x80;
    let start = bytes.iter().rposition(is_start)?;
    str::from_utf8(bytes.get(start..)?).ok()?.chars().next()
}

/// The word that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// None: the last character was a gap.
    Nothing,
    Letters,
    Hangul,
    Ideograph,
    Emoji,
    /// The first half of a flag.
    HalfFlag,
}

/// Normalises a message; reusable, so that it allocates only for texts longer than any before.
#[derive(Debug)]
pub(super) struct Normal {
    /// The words of all fields.
    pub(super) words: Folded,
    /// Where in them the title ends, and where the text does; then comes the author's name.
    pub(super) ends: [usize; 2],
    /// Handles, hashtags and ticker symbols; who said it, where it was heard, and on which host.
    pub(super) names: Folded,
    /// The message's address and its links, in lower case.
    pub(super) addresses: Folded,
    /// The names that stand in title or text, in order.
    pub(super) names_in_words: Vec<NameInWords>,
    /// Whether names are looked for in what is added.
    with_names: bool,
    with_origins: bool,
    open: Open,
    /// The last character of the open word that is no mark.
    base: char,
    /// An apostrophe stands after the open word.
    apostrophe: bool,
    /// A zero-width joiner stands after the open emoji.
    joiner: bool,
}

impl Default for Normal {
    fn default() -> Self {
        Self {
            words: Folded::default(),
            ends: [0; 2],
            names: Folded::default(),
            addresses: Folded::default(),
            names_in_words: Vec::new(),
            with_names: true,
            with_origins: false,
            open: Open::Nothing,
            base: ' ',
            apostrophe: false,
            joiner: false,
        }
    }
}

impl Normal {
    /// Keeps track of where everything comes from, at a price.
    pub(super) fn with_origins() -> Self {
        Self { with_origins: true, ..Self::default() }
    }

    /// Turns a message into what is searched of it.
    pub(super) fn read(&mut self, fields: Fields<'_>, wanted: Wanted) {
        self.words.clear();
        self.names.clear();
        self.addresses.clear();
        self.names_in_words.clear();
        self.with_names = true;
        self.add_text(Field::Title, fields.title);
        self.ends[0] = self.words.bytes.len();
        self.add_text(Field::Text, fields.text);
        self.ends[1] = self.words.bytes.len();
        for (index, handle) in fields.mentioned.iter().enumerate() {
            self.add_whole(Field::Mentioned(index), handle, HANDLE);
        }
        for (index, hashtag) in fields.hashtags.iter().enumerate() {
            self.add_whole(Field::Hashtag(index), hashtag, HASHTAG);
        }
        if wanted.origin {
            self.add_whole(Field::Channel, fields.channel, CHANNEL);
            self.add_whole(Field::Source, fields.source, SOURCE);
        }
        if let Some(author) = fields.author {
            if wanted.author {
                self.add_whole(Field::AuthorHandle, &author.handle, AUTHOR);
                self.add_whole(Field::AuthorId, &author.id, AUTHOR);
            }
            if wanted.author_name {
                self.with_names = false;
                self.add_text(Field::AuthorName, &author.name);
            }
        }
        if wanted.host {
            self.add_host(fields.url);
        }
        if wanted.addresses {
            self.add_address(Field::Url, fields.url);
            for (index, link) in fields.links.iter().enumerate() {
                self.add_address(Field::Link(index), link);
            }
        }
    }

    /// Adds a text as words.
    pub(super) fn add_text(&mut self, field: Field, text: &str) {
        if text.is_empty() {
            return;
        }
        self.words.bytes.reserve(text.len() + 16);
        self.words.bytes.push(b' ');
        self.open = Open::Nothing;
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            if matches!(byte, b'@' | b'#' | b'$') {
                at += 1;
                self.add_sigil(field, text, at, char::from(byte));
            } else if byte.is_ascii() && !self.is_inner_apostrophe(char::from(byte)) {
                let rest = bytes.get(at..).unwrap_or_default();
                let run = rest.iter().take_while(|byte| folded_ascii(**byte) != 0).count();
                self.add_ascii(field, bytes, at..at + run);
                at += run;
            } else {
                let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) else { break };
                self.add_char(field, text, at, c);
                at += c.len_utf8();
            }
        }
        self.close();
        self.words.push(END);
    }

    /// Adds what is a name as a whole.
    fn add_whole(&mut self, field: Field, name: &str, mark: char) {
        if !name.is_empty() {
            self.add_name(field, name, 0..name.len(), mark);
        }
    }

    /// Adds the labels of the host of an address, each after a mark: a host is found by its last ones.
    fn add_host(&mut self, url: &str) {
        let Some(host) = host(url) else { return };
        self.trace_name(Field::Url, 0..url.len());
        for label in host.split('.') {
            self.names.push(LABEL);
            self.names.bytes.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        self.names.push(END);
    }

    fn add_address(&mut self, field: Field, address: &str) {
        let addresses = &mut self.addresses;
        for (at, byte) in address.bytes().enumerate() {
            if self.with_origins {
                addresses.pieces.push(Piece { at: addresses.bytes.len(), field, from: at..at + 1 });
            }
            addresses.bytes.push(byte.to_ascii_lowercase());
        }
        addresses.push(END);
    }

    fn trace_name(&mut self, field: Field, from: Range<usize>) {
        if self.with_origins {
            self.names.pieces.push(Piece { at: self.names.bytes.len(), field, from });
        }
    }

    fn trace(&mut self, field: Field, from: Range<usize>) {
        if self.with_origins {
            self.words.pieces.push(Piece { at: self.words.bytes.len(), field, from });
        }
    }

    fn close(&mut self) {
        if self.open != Open::Nothing {
            self.words.bytes.push(b' ');
            self.open = Open::Nothing;
        }
        self.apostrophe = false;
        self.joiner = false;
    }

    /// Whether this is an apostrophe that vanishes, if the word goes on after it.
    fn is_inner_apostrophe(&self, c: char) -> bool {
        is_apostrophe(c) && self.open == Open::Letters && is_cyrillic(self.base)
    }

    /// Adds a run of ASCII without `@` and `#`: letters and digits in lower case, one space for any
    /// number of other characters. This is most of most texts, so the loop has no branches that
    /// depend on the text.
    fn add_ascii(&mut self, field: Field, bytes: &[u8], run: Range<usize>) {
        let goes_on = self.open == Open::Nothing || (self.open == Open::Letters && !self.apostrophe);
        if !goes_on {
            self.close();
        }
        let out = &mut self.words.bytes;
        let mut last = out.last().copied().unwrap_or(b' ');
        let mut length = out.len();
        out.resize(length + run.len(), 0);
        for (at, byte) in run.clone().zip(bytes.get(run).unwrap_or_default()) {
            let byte = folded_ascii(*byte);
            if let Some(slot) = out.get_mut(length) {
                *slot = byte;
            }
            if self.with_origins && byte != b' ' {
                self.words.pieces.push(Piece { at: length, field, from: at..at + 1 });
            }
            length += usize::from(byte != b' ' || last != b' ');
            last = byte;
        }
        out.truncate(length);
        self.open = if last == b' ' { Open::Nothing } else { Open::Letters };
        self.base = char::from(last);
        self.apostrophe = false;
        self.joiner = false;
    }

    fn add_char(&mut self, field: Field, text: &str, at: usize, c: char) {
        let after = at + c.len_utf8();
        match folded(c) {
            Folding::Nothing => {}
            Folding::One(c, class) => {
                self.trace(field, at..after);
                self.add_folded(c, class);
            }
            Folding::Two(both) => {
                for (c, class) in both {
                    self.trace(field, at..after);
                    self.add_folded(c, class);
                }
            }
            Folding::Special => self.add_special(field, text, at, c),
        }
    }

    fn add_special(&mut self, field: Field, text: &str, at: usize, c: char) {
        let after = at + c.len_utf8();
        match c {
            '＠' | '﹫' => self.add_sigil(field, text, after, '@'),
            '＃' | '﹟' => self.add_sigil(field, text, after, '#'),
            '\u{200d}' => self.joiner = self.open == Open::Emoji,
            // The tags of a regional flag (England, Scotland, Wales).
            '\u{e0020}'..='\u{e007f}' if self.open == Open::Emoji => {
                self.trace(field, at..after);
                self.words.push(c);
            }
            _ if is_ignorable(c) => {}
            _ if is_skin_tone(c) && self.open == Open::Emoji => {}
            _ if self.is_inner_apostrophe(c) => self.apostrophe = true,
            _ => {
                let previous = if self.open == Open::Nothing { ' ' } else { self.base };
                fold(c, previous, |folded| {
                    self.trace(field, at..after);
                    self.add_folded(folded, class(folded));
                });
            }
        }
    }

    fn add_folded(&mut self, c: char, class: Class) {
        let open = match class {
            Class::Gap => return self.close(),
            Class::Mark => {
                if self.open != Open::Nothing {
                    self.words.push_mark(c);
                }
                return;
            }
            Class::Letter => Open::Letters,
            Class::Hangul => Open::Hangul,
            Class::Ideograph => Open::Ideograph,
            Class::Emoji if is_regional_indicator(c) => Open::HalfFlag,
            Class::Emoji => Open::Emoji,
        };
        let goes_on = match (self.open, open) {
            (Open::Letters, Open::Letters) => !self.apostrophe || is_cyrillic(c),
            (Open::Hangul, Open::Hangul) | (Open::HalfFlag, Open::HalfFlag) => true,
            (Open::Emoji, Open::Emoji) => self.joiner,
            _ => false,
        };
        if !goes_on {
            self.close();
            self.base = ' ';
        }
        // A second half closes the flag; the next one begins another.
        let is_whole_flag = goes_on && open == Open::HalfFlag;
        self.open = if is_whole_flag { Open::Emoji } else { open };
        self.apostrophe = false;
        self.joiner = false;
        self.base = if open == Open::Hangul {
            let length = self.words.bytes.len();
            let syllable = self.words.push_hangul(c, self.base);
            if self.words.bytes.len() == length {
                self.words.join_pieces();
            }
            syllable
        } else {
            self.words.push(c);
            c
        };
    }

    /// An `@`, `#` or `$`: a gap between words, and the start of a name unless it stands inside a word
    /// (an e-mail address, a fragment of a link, a currency).
    fn add_sigil(&mut self, field: Field, text: &str, after: usize, sigil: char) {
        let is_inside_a_word = matches!(self.open, Open::Letters | Open::Hangul) && !self.apostrophe;
        self.close();
        let rest = text.get(after..).unwrap_or_default();
        let (length, mark) = match sigil {
            '@' => (handle_end(rest), HANDLE),
            '#' => (hashtag_end(rest), HASHTAG),
            _ if text.get(..after - 1).is_some_and(|before| before.ends_with('_')) => (0, CASHTAG),
            _ => (cashtag_end(rest), CASHTAG),
        };
        if length > 0 && !is_inside_a_word && self.with_names {
            let (name, words, from) = (self.names.bytes.len(), self.words.bytes.len(), after..after + length);
            self.names_in_words.push(NameInWords { name, words, field, from: from.clone() });
            self.add_name(field, text, from, mark);
        }
    }

    fn add_name(&mut self, field: Field, text: &str, range: Range<usize>, mark: char) {
        let name = text.get(range.clone()).unwrap_or_default();
        self.trace_name(field, range);
        let names = &mut self.names;
        names.push(mark);
        if name.is_ascii() {
            names.bytes.extend(name.bytes().filter(|byte| is_name_byte(*byte)).map(|byte| byte.to_ascii_lowercase()));
        } else {
            add_folded_name(names, name);
        }
        names.push(END);
    }
}

/// What the queries ask for beside words and names: reading the rest costs time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    /// Channel and source.
    pub(super) origin: bool,
    /// Handle and id of the author.
    pub(super) author: bool,
    /// Display name of the author.
    pub(super) author_name: bool,
    /// Host of the message's address.
    pub(super) host: bool,
    /// The message's address and its links.
    pub(super) addresses: bool,
    /// Words without accents.
    pub(super) plain: bool,
}

/// The host of an address (RFC 3986): what stands after `//`, without user and port.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("//")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    (!host.is_empty()).then_some(host)
}

/// The words of a text, as they are searched, with a space on either side of each.
pub(super) fn words(text: &str) -> String {
    let mut normal = Normal::default();
    normal.add_text(Field::Text, text);
    String::from_utf8(normal.words.bytes).unwrap_or_default().trim_end_matches(END).to_owned()
}
