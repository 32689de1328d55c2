//! Bytes to text: which encoding a feed is really in.
//!
//! Three places may name the encoding (byte order mark, `charset` of the HTTP header, XML
//! declaration), and all of them lie at times. The bytes themselves are asked first: text that is
//! valid UTF-8 beyond ASCII is UTF-8, because other encodings practically never look like it.

use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Decodes a feed; what cannot be decoded becomes U+FFFD, and control characters are dropped.
///
/// In this order: a byte order mark; UTF-16 by its zero bytes; UTF-8 if the bytes are; the encoding
/// that the XML declaration names; the one that `content_type` names; windows-1252.
pub(super) fn decode(bytes: &[u8], content_type: Option<&str>) -> String {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return lossy(encoding, bytes.get(length..).unwrap_or_default());
    }
    if let Some(encoding) = utf_16_by_zeros(bytes) {
        return lossy(encoding, bytes);
    }
    let declared = declared(bytes);
    // An escape-based encoding is ASCII to the eye: only the declaration tells.
    if declared == Some(ISO_2022_JP) {
        return lossy(ISO_2022_JP, bytes);
    }
    if mostly_utf_8(bytes) {
        return lossy(UTF_8, bytes);
    }
    // They are not UTF-8, whoever says so.
    let legacy = |encoding: &&'static Encoding| !std::ptr::eq(*encoding, UTF_8) && encoding.is_ascii_compatible();
    let encoding = declared.filter(legacy).or_else(|| charset(content_type?).filter(legacy)).unwrap_or(WINDOWS_1252);
    lossy(encoding, bytes)
}

fn lossy(encoding: &'static Encoding, bytes: &[u8]) -> String {
    encoding.decode_without_bom_handling(bytes).0.chars().filter(|&c| is_text(c)).collect()
}

/// False for the control characters that neither XML nor JSON allows and that feeds still hold.
pub(super) fn is_text(c: char) -> bool {
    !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{85}')
}

/// UTF-16 without a byte order mark: every second byte of `<?` or `<r` is zero.
fn utf_16_by_zeros(bytes: &[u8]) -> Option<&'static Encoding> {
    match bytes {
        [b'<' | b'{', 0, ..] => Some(UTF_16LE),
        [0, b'<' | b'{', ..] => Some(UTF_16BE),
        _ => None,
    }
}

/// True when damage is the exception: a byte broken or cut off here and there.
fn mostly_utf_8(bytes: &[u8]) -> bool {
    let (mut characters, mut broken) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        characters += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    // A feed cut within its last character has one broken sequence and maybe no other.
    let cut = std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none());
    broken == 0 || cut || characters >= 4 * broken
}

/// The encoding that the XML declaration names.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(bytes.get(..1024.min(bytes.len()))?);
    let declaration = head.split_once("<?xml")?.1.split_once("?>")?.0;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    Encoding::for_label(value.get(1..)?.split(quote).next()?.as_bytes())
}

/// The `charset` parameter of a media type.
fn charset(content_type: &str) -> Option<&'static Encoding> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| Encoding::for_label(value.trim().trim_matches('"').as_bytes()))?
    })
}

#[cfg(test)]
mod tests {
    use encoding_rs::{GB18030, SHIFT_JIS, WINDOWS_1251, WINDOWS_1254};

    use super::*;

    fn encoded(encoding: &'static Encoding, label: &str, text: &str) -> Vec<u8> {
        encoding.encode(&format!("<?xml version='1.0' encoding = '{label}'?><t>{text}</t>")).0.into_owned()
    }

    #[test]
    fn the_declaration_names_a_legacy_encoding() {
        for (encoding, text) in [
            (WINDOWS_1251, "Привет, мир"),
            (WINDOWS_1254, "Güneşli bir gün, ağaç"),
            (SHIFT_JIS, "こんにちは世界"),
            (GB18030, "你好，世界"),
            (ISO_2022_JP, "こんにちは"),
        ] {
            assert!(decode(&encoded(encoding, encoding.name(), text), Some("text/xml; charset=utf-8")).contains(text));
        }
    }

    #[test]
    fn http_names_it_where_the_document_does_not() {
        let bytes = WINDOWS_1251.encode("<rss>Привет</rss>").0;
        assert_eq!(decode(&bytes, Some(r#"text/xml; Charset="windows-1251""#)), "<rss>Привет</rss>");
    }

    #[test]
    fn bytes_that_are_utf_8_are_read_as_such_whatever_is_declared() {
        let bytes = encoded(UTF_8, "windows-1251", "Привет");
        assert!(decode(&bytes, Some("text/xml; charset=iso-8859-1")).contains("Привет"));
    }

    #[test]
    fn utf_16_with_and_without_a_mark() {
        let wide: Vec<u8> = "<rss>Ünï</rss>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decode(&wide, None), "<rss>Ünï</rss>");
        let marked: Vec<u8> = "\u{feff}<rss>é</rss>".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(decode(&marked, None), "<rss>é</rss>");
        assert_eq!(decode("\u{feff}<rss/>".as_bytes(), None), "<rss/>");
    }

    #[test]
    fn a_broken_byte_does_not_change_the_encoding() {
        let mut bytes = "<rss>ünïcödé</rss>".as_bytes().to_vec();
        bytes.insert(5, 0xff);
        assert_eq!(decode(&bytes, None), "<rss>\u{fffd}ünïcödé</rss>");
        assert_eq!(
            decode("<rss>a\u{e9}".as_bytes().split_last().map_or(&[][..], |(_, rest)| rest), None),
            "<rss>a\u{fffd}"
        );
        assert_eq!(decode(b"<rss>caf\xe9</rss>", None), "<rss>café</rss>");
    }
}
