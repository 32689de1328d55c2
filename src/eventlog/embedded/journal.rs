//! Repairs the journal of fjall after a power cut.
//!
//! The last write before a power cut may be on disk in part: pages reach the disk in any order. fjall
//! drops a last write whose end is missing, but does not open a journal whose last write has its end
//! and a hole before it. That write was never acknowledged, because its `fdatasync` never returned;
//! it is cut off here. A wrong checksum anywhere else is damage to acknowledged records, and stays
//! an error.
//!
//! The format is that of fjall 3 (journal entries `Start`, `Item`, `End`, `Clear`; little-endian),
//! which is stable within a major version.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

/// Cuts the last write off the newest journal in this directory if it has a wrong checksum and
/// nothing follows it. Returns whether it did.
pub(super) fn cut_torn_write(dir: &Path) -> io::Result<bool> {
    let Some(path) = newest(dir)? else { return Ok(false) };
    let journal = std::fs::read(&path)?;
    let Some(start) = torn_write(&journal) else { return Ok(false) };
    let file = OpenOptions::new().write(true).open(&path)?;
    file.set_len(start as u64)?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    tracing::warn!(journal = %path.display(), "cut off a write that a power cut had left incomplete");
    Ok(true)
}

/// The journal with the highest number.
fn newest(dir: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == "jnl")) {
            newest = newest.max(Some((number, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Where the last write starts, if it has a wrong checksum and only zeros follow it.
fn torn_write(journal: &[u8]) -> Option<usize> {
    let mut rest = journal;
    loop {
        let start = journal.len() - rest.len();
        let (is_valid, behind) = write(rest)?;
        if !is_valid {
            return behind.iter().all(|byte| *byte == 0).then_some(start);
        }
        rest = behind;
    }
}

/// For the fuzz target `log`: nothing is cut off that is not there.
#[cfg(fuzzing)]
pub(super) fn fuzz(journal: &[u8]) {
    assert!(torn_write(journal).is_none_or(|start| start < journal.len()));
}

/// Whether the checksum of the first write is right, and what comes behind that write.
fn write(journal: &[u8]) -> Option<(bool, &[u8])> {
    const START: u8 = 1;
    const ITEM: u8 = 2;
    const END: u8 = 3;
    const CLEAR: u8 = 4;
    const TRAILER: usize = 4;

    // Number of items, sequence number.
    let items = journal.strip_prefix(&[START])?.get(4 + 8..)?;
    let mut rest = items;
    loop {
        let (tag, behind) = rest.split_first()?;
        rest = match *tag {
            ITEM => {
                // Type, compression, keyspace; then the lengths of key, value and value as stored.
                let behind = behind.get(1 + 1 + 8..)?;
                let (key_len, behind) = behind.split_first_chunk()?;
                let (stored_len, behind) = behind.get(4..)?.split_first_chunk()?;
                behind
                    .get(usize::from(u16::from_le_bytes(*key_len))..)?
                    .get(u32::from_le_bytes(*stored_len) as usize..)?
            }
            CLEAR => behind.get(8..)?,
            END => {
                let checked = items.get(..items.len() - rest.len())?;
                let (checksum, behind) = behind.split_first_chunk()?;
                return Some((xxh3_64(checked) == u64::from_le_bytes(*checksum), behind.get(TRAILER..)?));
            }
            _ => return None,
        };
    }
}
