//! Formats whose result can be sent while it is made.
//!
//! libchdb formats each piece of a streamed result as a document of its own, with a head and a foot. Pieces of a
//! format without either can be sent one after another; of a format with a head, the later pieces lose theirs.
//! Any other format (JSON, Parquet, Pretty, ...) has to be made as a whole.

use bytes::Bytes;

/// Formats without head and foot.
const ROWS: [&str; 15] = [
    "csv",
    "jsoncompacteachrow",
    "jsoncompactstringseachrow",
    "jsoneachrow",
    "jsonlines",
    "jsonstringseachrow",
    "lineasstring",
    "msgpack",
    "native",
    "ndjson",
    "null",
    "rowbinary",
    "tabseparated",
    "tskv",
    "tsv",
];

/// Formats that also come as `...WithNames` and `...WithNamesAndTypes`.
const WITH_HEAD: [&str; 8] = [
    "csv",
    "jsoncompacteachrow",
    "jsoncompactstringseachrow",
    "rowbinary",
    "tabseparated",
    "tabseparatedraw",
    "tsv",
    "tsvraw",
];

/// Makes one document of pieces.
#[derive(Debug)]
pub(super) struct Document {
    head: Head,
    /// The first piece's head.
    first: Option<Bytes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    None,
    /// Lines; a quoted value may hold line ends.
    Lines {
        count: usize,
        quoted: bool,
    },
    /// The number of columns, their names, and perhaps their types; each text with its length before it.
    Binary {
        types: bool,
    },
}

impl Document {
    /// `None` where `format` has to be made as a whole.
    pub(super) fn of(format: &str) -> Option<Self> {
        let format = format.to_ascii_lowercase();
        let head = |format: &str, types: bool| {
            let count = 1 + usize::from(types);
            match format {
                "rowbinary" => Some(Head::Binary { types }),
                "csv" => Some(Head::Lines { count, quoted: true }),
                _ if WITH_HEAD.contains(&format) => Some(Head::Lines { count, quoted: false }),
                _ => None,
            }
        };
        let head = if let Some(format) = format.strip_suffix("withnamesandtypes") {
            head(format, true)?
        } else if let Some(format) = format.strip_suffix("withnames") {
            head(format, false)?
        } else if ROWS.contains(&format.as_str()) || matches!(format.as_str(), "tabseparatedraw" | "tsvraw" | "raw") {
            Head::None
        } else {
            return None;
        };
        Some(Self { head, first: None })
    }

    /// The part of `piece` that belongs into the document.
    pub(super) fn join(&mut self, piece: Bytes) -> Bytes {
        match &self.first {
            None => {
                self.first = Some(piece.slice(..self.head.length(&piece)));
                piece
            }
            Some(head) if piece.starts_with(head) => piece.slice(head.len()..),
            Some(_) => piece,
        }
    }
}

impl Head {
    /// Length of the head at the beginning of `piece`; all of it where the head does not end.
    fn length(self, piece: &[u8]) -> usize {
        let length = match self {
            Self::None => Some(0),
            Self::Lines { count, quoted } => lines(piece, count, quoted),
            Self::Binary { types } => binary(piece, types),
        };
        length.unwrap_or(piece.len())
    }
}

fn lines(piece: &[u8], count: usize, quoted: bool) -> Option<usize> {
    let mut inside = false;
    let ends = piece.iter().enumerate().filter(|(_, byte)| {
        // A quote within a quoted value is doubled, so it changes nothing.
        inside ^= quoted && **byte == b'"';
        **byte == b'\n' && !inside
    });
    ends.map(|(at, _)| at + 1).nth(count.checked_sub(1)?)
}

fn binary(piece: &[u8], types: bool) -> Option<usize> {
    let mut at = 0;
    let columns = number(piece, &mut at)?;
    let texts = columns.checked_mul(1 + usize::from(types))?;
    for _ in 0..texts {
        let length = number(piece, &mut at)?;
        at = at.checked_add(length).filter(|at| *at <= piece.len())?;
    }
    Some(at)
}

/// Reads a LEB128 number at `at`.
fn number(piece: &[u8], at: &mut usize) -> Option<usize> {
    let mut number = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = *piece.get(*at)?;
        *at += 1;
        number |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn join(format: &str, pieces: &[&[u8]]) -> Vec<u8> {
        let mut document = Document::of(format).unwrap();
        pieces.iter().flat_map(|piece| document.join(Bytes::copy_from_slice(piece))).collect()
    }

    #[test]
    fn later_pieces_lose_their_head() {
        type Case = (&'static str, [&'static [u8]; 3], &'static [u8]);
        let cases: [Case; 5] = [
            ("CSV", [b"1\n", b"2\n", b"1\n"], b"1\n2\n1\n"),
            ("CSVWithNames", [b"\"a\n\"\"b\"\n1\n", b"\"a\n\"\"b\"\n2\n", b"\"a\n\"\"b\"\n"], b"\"a\n\"\"b\"\n1\n2\n"),
            ("TSVWithNamesAndTypes", [b"a\nUInt8\n1\n", b"a\nUInt8\n2\n", b"\n3\n"], b"a\nUInt8\n1\n2\n\n3\n"),
            ("rowbinarywithnames", [b"\x01\x01a\x07", b"\x01\x01a\x08", b"\x01\x01a\x09"], b"\x01\x01a\x07\x08\x09"),
            (
                "RowBinaryWithNamesAndTypes",
                [b"\x01\x01a\x05UInt8\x07", b"\x01\x01a\x05UInt8\x08", b""],
                b"\x01\x01a\x05UInt8\x07\x08",
            ),
        ];
        for (format, pieces, whole) in cases {
            assert_eq!(join(format, &pieces), whole, "{format}");
        }
    }

    #[test]
    fn a_format_with_a_foot_is_made_as_a_whole() {
        for format in ["JSON", "Parquet", "PrettyCompact", "Values", "XML", "CustomSeparatedWithNames", "JSONWithNames"]
        {
            assert!(Document::of(format).is_none(), "{format}");
        }
    }

    proptest! {
        #[test]
        fn any_pieces_are_joined_without_panic(first: Vec<u8>, second: Vec<u8>) {
            for format in ["CSVWithNames", "TSVWithNamesAndTypes", "RowBinaryWithNames", "RowBinaryWithNamesAndTypes"] {
                prop_assert!(join(format, &[&first, &second]).starts_with(&first));
            }
        }
    }
}
