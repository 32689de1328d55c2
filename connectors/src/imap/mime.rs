//! The parts of a mail (MIME, RFC 2045 to 2049): its text, and the names of its attachments; pure.
//!
//! Headers and character sets are read by `mail-parser`. The tree of parts is walked here, because
//! senders choose how deep it is and how many parts it has: every bound is a constant below, what is
//! beyond it is left out, and a part is never looked at more often than it is deep.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::{ContentType, Header, HeaderName, HeaderValue, MessageParser};
use memchr::memmem;

use crate::text::{from_mail_html, is_media_type, push_once};

/// Parts within parts, at most.
const DEEPEST: usize = 24;
/// Parts of a mail, at most.
const MOST_PARTS: usize = 500;
/// Bytes of a header, and of an encoded text, that are read.
const LONGEST_HEADER: usize = 2 << 20;
const LONGEST_TEXT: usize = 4 << 20;
/// Characters of an attachment's name that are kept.
const LONGEST_NAME: usize = 255;

/// What a mail holds.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// The text as a person reads it, quotations and signature included: lines of others begin with
    /// `>`, whether the mail was plain text or HTML.
    pub(super) text: String,
    /// Where the links of an HTML text lead.
    pub(super) links: Vec<String>,
    /// Names of attachments; the media type of one that has no name.
    pub(super) attachments: Vec<String>,
    /// A part is a picture, video or sound, attached or within the text.
    pub(super) media: bool,
}

/// The header block of a mail or part, and what follows its first empty line.
pub(super) fn split(raw: &[u8]) -> (&[u8], &[u8]) {
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', raw) {
        let line = raw.get(start..end).unwrap_or_default();
        if line.iter().all(u8::is_ascii_whitespace) {
            return raw.split_at_checked(end + 1).unwrap_or((raw, &[]));
        }
        start = end + 1;
    }
    (raw, &[])
}

/// The fields of a header block, decoded.
pub(super) fn fields(head: &[u8]) -> Vec<Header<'_>> {
    let head = head.get(..LONGEST_HEADER.min(head.len())).unwrap_or_default();
    let mail = MessageParser::default().parse_headers(head);
    mail.and_then(|mail| mail.parts.into_iter().next()).map(|part| part.headers).unwrap_or_default()
}

/// The first field of this name.
pub(super) fn value<'f, 'm>(fields: &'f [Header<'m>], name: &HeaderName<'_>) -> Option<&'f HeaderValue<'m>> {
    fields.iter().find(|field| field.name == *name).map(|field| &field.value)
}

/// Reads the content of a mail whose header fields are known.
pub(super) fn content(fields: &[Header<'_>], body: &[u8]) -> Content {
    let mut walk = Walk::default();
    walk.part(fields, body, Inside::Mail, 0);
    let mut content = Content { attachments: walk.attachments, media: walk.media, ..Content::default() };
    for text in walk.texts {
        if !content.text.is_empty() {
            content.text.push_str("\n\n");
        }
        if text.is_html {
            let plain = from_mail_html(&text.text);
            content.text.push_str(&plain.text);
            plain.links.into_iter().for_each(|link| push_once(&mut content.links, link));
        } else {
            content.text.push_str(&text.text);
        }
    }
    content
}

/// True for a report about another mail: a failed delivery, a receipt (RFC 6522).
pub(super) fn is_report(fields: &[Header<'_>]) -> bool {
    media_type(fields).is_some_and(|media| is(media, "multipart", "report"))
}

/// What a part is inside of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Inside {
    Mail,
    Digest,
    /// A page and its pictures (RFC 2387).
    Related,
    Multipart,
}

struct Text {
    text: String,
    is_html: bool,
}

#[derive(Default)]
struct Walk {
    parts: usize,
    texts: Vec<Text>,
    attachments: Vec<String>,
    media: bool,
}

impl Walk {
    fn part(&mut self, fields: &[Header<'_>], body: &[u8], inside: Inside, depth: usize) {
        self.parts += 1;
        let media = media_type(fields);
        if let Some(media) = media.filter(|media| media.ctype().eq_ignore_ascii_case("multipart")) {
            let pieces = pieces(body, media.attribute("boundary").unwrap_or_default());
            if !pieces.is_empty() {
                return self.multipart(media, &pieces, depth);
            }
        }
        let is_mail = match media {
            Some(media) => is(media, "message", "rfc822") || is(media, "message", "global"),
            None => inside == Inside::Digest,
        };
        let name = name(fields, media);
        if is_mail {
            // A mail in a mail is somebody else's words.
            let (head, _) = split(body);
            let subject = value(&self::fields(head), &HeaderName::Subject)
                .and_then(|subject| subject.as_text().map(|subject| format!("{}.eml", subject.trim())));
            return self.attach(name.or(subject).unwrap_or_else(|| "message/rfc822".to_owned()));
        }
        self.media |= media.is_some_and(|media| is_media_type(&type_name(media)));
        let disposition = value(fields, &HeaderName::ContentDisposition).and_then(|it| it.as_content_type());
        let is_attached = disposition.is_some_and(ContentType::is_attachment);
        let text = match media {
            None => Some(false),
            Some(media) if is(media, "text", "html") || is(media, "application", "xhtml+xml") => Some(true),
            Some(media) if is(media, "text", "plain") || media.ctype().eq_ignore_ascii_case("multipart") => Some(false),
            // Without a subtype it is what mails are by default.
            Some(media) if media.subtype().is_none() => Some(false),
            _ => None,
        };
        match (text, name) {
            (Some(is_html), name) if !is_attached && (name.is_none() || self.texts.is_empty()) => {
                self.texts.push(Text { text: text_of(fields, media, body, is_html), is_html });
            }
            (_, Some(name)) if is_attached || inside != Inside::Related => self.attach(name),
            (_, None) if is_attached => self.attach(media.map_or_else(|| "text/plain".to_owned(), type_name)),
            _ => {}
        }
    }

    fn multipart(&mut self, media: &ContentType<'_>, pieces: &[&[u8]], depth: usize) {
        let inside = match media.subtype().unwrap_or_default().to_ascii_lowercase().as_str() {
            "digest" => Inside::Digest,
            "related" => Inside::Related,
            _ => Inside::Multipart,
        };
        let before = self.texts.len();
        for piece in pieces {
            if depth >= DEEPEST || self.parts >= MOST_PARTS {
                break;
            }
            let (head, body) = split(piece);
            self.part(&fields(head), body, inside, depth + 1);
        }
        if is(media, "multipart", "alternative") {
            // The same words in several forms: plain text if there is some, else the richest.
            let forms = self.texts.split_off(before.min(self.texts.len()));
            let plain = forms.iter().position(|form| !form.is_html && !form.text.trim().is_empty());
            let chosen = plain.or_else(|| forms.iter().rposition(|form| !form.text.trim().is_empty()));
            self.texts.extend(chosen.and_then(|chosen| forms.into_iter().nth(chosen)));
        }
    }

    fn attach(&mut self, name: String) {
        let name: String = name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        push_once(&mut self.attachments, name);
    }
}

fn media_type<'f>(fields: &'f [Header<'_>]) -> Option<&'f ContentType<'f>> {
    value(fields, &HeaderName::ContentType).and_then(|value| value.as_content_type())
}

fn is(media: &ContentType<'_>, main: &str, sub: &str) -> bool {
    media.ctype().eq_ignore_ascii_case(main) && media.subtype().is_some_and(|it| it.eq_ignore_ascii_case(sub))
}

fn type_name(media: &ContentType<'_>) -> String {
    format!("{}/{}", media.ctype(), media.subtype().unwrap_or("*")).to_ascii_lowercase()
}

fn name(fields: &[Header<'_>], media: Option<&ContentType<'_>>) -> Option<String> {
    let disposition = value(fields, &HeaderName::ContentDisposition).and_then(|it| it.as_content_type());
    let name = disposition.and_then(|it| it.attribute("filename")).or_else(|| media?.attribute("name"))?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The parts between the lines `--boundary`, whose own line break belongs to them (RFC 2046, section
/// 5.1.1). The last one may lack its end.
fn pieces<'m>(body: &'m [u8], boundary: &str) -> Vec<&'m [u8]> {
    let mut pieces = Vec::new();
    if boundary.is_empty() {
        return pieces;
    }
    let delimiter = format!("--{boundary}");
    let mut start: Option<usize> = None;
    for at in memmem::find_iter(body, delimiter.as_bytes()) {
        let starts_line = at.checked_sub(1).is_none_or(|before| body.get(before) == Some(&b'\n'));
        let after = body.get(at + delimiter.len()..).unwrap_or_default();
        let line_end = memchr::memchr(b'\n', after).unwrap_or(after.len());
        let rest = after.get(..line_end).unwrap_or_default();
        let (is_last, rest) = rest.strip_prefix(b"--").map_or((false, rest), |rest| (true, rest));
        if !starts_line || !rest.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        pieces.extend(start.and_then(|start| body.get(start..at)).map(without_line_break));
        start = Some((at + delimiter.len() + line_end + 1 + if is_last { 2 } else { 0 }).min(body.len()));
        if is_last || pieces.len() >= MOST_PARTS {
            return pieces;
        }
    }
    pieces.extend(start.and_then(|start| body.get(start..)));
    pieces
}

fn without_line_break(piece: &[u8]) -> &[u8] {
    let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
    piece.strip_suffix(b"\r").unwrap_or(piece)
}

/// The text of a part: transfer encoding, character set, line breaks.
fn text_of(fields: &[Header<'_>], media: Option<&ContentType<'_>>, body: &[u8], is_html: bool) -> String {
    let body = body.get(..LONGEST_TEXT.min(body.len())).unwrap_or_default();
    let encoding = value(fields, &HeaderName::ContentTransferEncoding).and_then(|value| value.as_text());
    let bytes = match encoding.map(|encoding| encoding.trim().to_ascii_lowercase()).as_deref() {
        Some("base64") => Cow::Owned(base64(body)),
        Some("quoted-printable") => Cow::Owned(quoted_printable(body)),
        _ => Cow::Borrowed(body),
    };
    let parameter = |name: &str| media.and_then(|media| media.attribute(name));
    let text = decode(&bytes, parameter("charset"));
    let text: String = text
        .replace("\r\n", "\n")
        .chars()
        .map(|c| if c == '\r' { '\n' } else { c })
        .filter(|&c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    if !is_html && parameter("format").is_some_and(|format| format.eq_ignore_ascii_case("flowed")) {
        unfold(&text, parameter("delsp").is_some_and(|delsp| delsp.eq_ignore_ascii_case("yes")))
    } else {
        text
    }
}

/// Base64 as it is found: with other characters in between, cut off, not padded.
fn base64(body: &[u8]) -> Vec<u8> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let mut digits: Vec<u8> =
        body.iter().copied().filter(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/')).collect();
    if digits.len() % 4 == 1 {
        digits.pop();
    }
    ENGINE.decode(digits).unwrap_or_default()
}

/// Quoted-printable (RFC 2045, section 6.7); a `=` that means nothing stays.
fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let hex = |digit: Option<&u8>| digit.and_then(|digit| char::from(*digit).to_digit(16));
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = memchr::memchr(b'=', rest) {
        bytes.extend_from_slice(rest.get(..at).unwrap_or_default());
        let after = rest.get(at + 1..).unwrap_or_default();
        let line_end = memchr::memchr(b'\n', after.get(..after.len().min(64)).unwrap_or_default());
        let soft = line_end.filter(|&end| after.get(..end).is_some_and(|it| it.iter().all(u8::is_ascii_whitespace)));
        let byte = hex(after.first()).zip(hex(after.get(1))).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        let used = match (soft, byte) {
            (Some(end), _) => end + 1,
            (None, Some(byte)) => {
                bytes.push(byte);
                2
            }
            (None, None) => {
                bytes.push(b'=');
                0
            }
        };
        rest = after.get(used..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest);
    bytes
}

/// Bytes to text. The declared character set is believed unless the bytes say otherwise: text that is
/// valid UTF-8 beyond ASCII is not in a one-byte set, and text that is not valid is not UTF-8.
fn decode(bytes: &[u8], charset: Option<&str>) -> String {
    let label = charset.unwrap_or_default().trim().trim_matches(['"', '\'']);
    let declared = Encoding::for_label(label.as_bytes());
    let is_utf_8 = !bytes.is_ascii() && std::str::from_utf8(bytes).is_ok();
    let encoding = match declared {
        Some(encoding) if encoding == UTF_8 && !is_utf_8 && mostly_one_byte(bytes) => WINDOWS_1252,
        Some(encoding) if is_utf_8 && encoding.is_single_byte() => UTF_8,
        Some(encoding) => encoding,
        None if is_utf_8 => UTF_8,
        None => match charset_decoder(label.as_bytes()).filter(|_| !label.is_empty()) {
            Some(decoder) => return decoder(bytes),
            None => WINDOWS_1252,
        },
    };
    encoding.decode(bytes).0.into_owned()
}

/// True where UTF-8 is broken more often than not: it is not UTF-8 with damage.
fn mostly_one_byte(bytes: &[u8]) -> bool {
    let (mut whole, mut broken) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        whole += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    broken > whole
}

/// Joins the lines of `format=flowed` (RFC 3676, section 4.2): one that ends with a space goes on in
/// the next one, if that is as deeply quoted.
fn unfold(text: &str, deletes_space: bool) -> String {
    let mut unfolded = String::with_capacity(text.len());
    let mut flowing: Option<usize> = None;
    for line in text.lines() {
        let depth = line.len() - line.trim_start_matches('>').len();
        let words = line.get(depth..).unwrap_or_default();
        let words = words.strip_prefix(' ').unwrap_or(words);
        let is_signature = words == "-- ";
        if flowing == Some(depth) && !is_signature {
            unfolded.push_str(words);
        } else {
            if !unfolded.is_empty() || flowing.is_some() {
                unfolded.push('\n');
            }
            unfolded.push_str(line.get(..depth).unwrap_or_default());
            if depth > 0 {
                unfolded.push(' ');
            }
            unfolded.push_str(words);
        }
        let flows = words.ends_with(' ') && !is_signature;
        if flows && deletes_space {
            unfolded.pop();
        }
        flowing = flows.then_some(depth);
    }
    unfolded
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn read(raw: &[u8]) -> Content {
        let (head, body) = split(raw);
        content(&fields(head), body)
    }

    #[test]
    fn parts_end_where_the_outer_boundary_says() {
        let mail = b"Content-Type: multipart/mixed; boundary=ab\n\npreamble --ab\n--ab\n\nfirst\n--abc\nnot a boundary\r\n--ab \n\
            Content-Type: multipart/alternative; boundary=in\n\n--in\nContent-Type: text/html\n\n<p>second<p>html\n--in\n\nsecond\n\
            --ab\nContent-Type: application/pdf; name*=utf-8''%e2%82%ac.pdf\n\nx\n--ab--\nepilogue\n";
        let content = read(mail);
        assert_eq!(content.text, "first\n--abc\nnot a boundary\n\nsecond");
        assert_eq!(content.attachments, ["€.pdf"]);
        assert!(!content.media);
    }

    #[test]
    fn pictures_of_a_page_are_no_attachments() {
        let mail = b"Content-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html\n\n<b>hi</b>\n--b\n\
            Content-Type: image/png; name=logo.png\n\n..\n--b\nContent-Type: message/rfc822\n\nSubject: an old one\n\nx\n--b--";
        let content = read(mail);
        assert_eq!((content.text.as_str(), &content.attachments), ("hi", &vec!["an old one.eml".to_owned()]));
        assert!(content.media);
    }

    #[test]
    fn encodings_are_read_as_they_are_found() {
        assert_eq!(base64(b"aGVs\r\n bG8=!"), b"hello");
        assert_eq!(base64(b"aGVsbG8gd"), b"hello ");
        assert_eq!(quoted_printable(b"caf=C3=A9 =\r\nx=3D= \n=zz =3"), "café x==zz =3".as_bytes());
        assert_eq!(decode("Straße".as_bytes(), Some("iso-8859-1")), "Straße");
        assert_eq!(decode(b"caf\xe9", Some("utf-8")), "café");
        assert_eq!(decode("наïve \u{20ac}".as_bytes(), None), "наïve €");
        assert_eq!(decode(b"\xcf\xf0\xe8\xe2\xe5\xf2", Some("\"windows-1251\"")), "Привет");
        assert_eq!(decode(b"Hi Mom +Jjo-!", Some("UTF-7")), "Hi Mom ☺!");
        assert_eq!(decode(b"\x1b$B$3$s\x1b(B", Some("iso-2022-jp")), "こん");
    }

    #[test]
    fn flowed_lines_are_joined() {
        let text = "one \ntwo\nthree \n> four \n> five\n-- \nme \n";
        assert_eq!(unfold(text, false), "one two\nthree \n> four five\n-- \nme ");
        assert_eq!(unfold("全 \n角", true), "全角");
    }

    #[test]
    fn depth_and_number_of_parts_are_bounded() {
        let mut deep = String::new();
        for depth in 0..1000 {
            deep += &format!("Content-Type: multipart/mixed; boundary=b{depth}\n\n--b{depth}\n");
        }
        assert_eq!(read(deep.as_bytes()).text, "");
        let many = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(100_000));
        assert!(read(many.as_bytes()).text.len() < 3 * MOST_PARTS);
        let nested = "Content-Type: message/rfc822\n\n".repeat(100_000);
        assert_eq!(read(nested.as_bytes()).attachments, ["message/rfc822"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            lines in prop::collection::vec("(--b(--)?|Content-Type: (multipart/(mixed|alternative|digest); boundary=b|text/(plain|html); charset=[a-z0-9-]{0,8}|message/rfc822)|Content-Transfer-Encoding: (base64|quoted-printable)||\\PC{0,20}|[ -~]{0,20})", 0..30)
        ) {
            let content = read(lines.join("\r\n").as_bytes());
            prop_assert!(!content.text.contains(['\0', '\r']));
        }
    }
}
