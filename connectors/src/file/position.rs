//! The cursor: how far each file has been read.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::contract::{BuildError, Cursor};

/// Position in all files of a source; the JSON of this is the cursor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Version of the layout.
    version: u32,
    pub(super) files: Vec<FilePosition>,
}

/// Position in one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FilePosition {
    pub(super) path: String,
    pub(super) inode: u64,
    #[serde(flatten)]
    pub(super) place: Place,
    /// How the file looked when all of it had been read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) drained: Option<Look>,
    /// When it was last read.
    pub(super) read_at: Timestamp,
}

/// A place in the text of a file: decompressed, as UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Bytes before it.
    pub(super) offset: u64,
    /// Lines before it.
    pub(super) line: u64,
    /// Fingerprint of the text before it; see [`Stream::print`](super::stream::Stream::print).
    pub(super) print: String,
}

/// How a file looks from outside, to see whether it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Look {
    /// Size on disk, in bytes.
    pub(super) size: u64,
    /// Time of the last change, Unix milliseconds.
    pub(super) modified: i64,
}

const VERSION: u32 = 1;

impl Position {
    pub(super) fn of(files: Vec<FilePosition>) -> Self {
        Self { version: VERSION, files }
    }

    pub(super) fn read(cursor: Option<&Cursor>) -> Result<Self, BuildError> {
        cursor.map_or_else(|| Ok(Self::of(Vec::new())), |cursor| cursor.read_version(VERSION))
    }
}
