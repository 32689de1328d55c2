//! How the embedded log stores records: many at once, compressed, with a checksum.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version of this format: 1 |
//! | 8 | XXH3 of everything that follows |
//! | 4 | how many records |
//! | 8 | when they were appended, milliseconds since 1970 |
//! | 4 | length of the records before compression |
//! | rest | LZ4 block of the records: length of key, length of value, key, value |
//!
//! All integers are little-endian. The offset of the first record is in the key under which a batch
//! is stored, so that batches are encoded before their offsets are known.

use jiff::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use crate::eventlog::Record;

const VERSION: u8 = 1;
/// No batch is longer than this, whatever its header says: bounds what a corrupt one can allocate.
const MAX_RAW: usize = 64 << 20;

/// Why bytes are not a batch.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum BatchError {
    #[error("it ends too early")]
    Truncated,
    #[error("it has format version {0}, this program knows version {VERSION}")]
    Version(u8),
    #[error("its checksum is wrong")]
    Checksum,
    #[error("it cannot be decompressed: {0}")]
    Compression(String),
}

/// What is known of a batch without decompressing it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) count: u32,
    pub(super) appended_at: Timestamp,
    raw_len: usize,
}

/// Encodes records whose keys and values together are far below [`MAX_RAW`].
pub(super) fn encode(records: &[Record], appended_at: Timestamp) -> Result<Vec<u8>, BatchError> {
    let raw_len = records.iter().map(|record| 8 + record.key.len() + record.value.len()).sum();
    let mut raw = Vec::with_capacity(raw_len);
    for record in records {
        raw.extend(length(record.key.len())?);
        raw.extend(length(record.value.len())?);
        raw.extend_from_slice(&record.key);
        raw.extend_from_slice(&record.value);
    }
    let block = lz4_flex::block::compress(&raw);

    let mut batch = Vec::with_capacity(25 + block.len());
    batch.push(VERSION);
    batch.extend([0; 8]);
    batch.extend(length(records.len())?);
    batch.extend(appended_at.as_millisecond().to_le_bytes());
    batch.extend(length(raw.len())?);
    batch.extend(block);
    if let Some((head, checked)) = batch.split_at_mut_checked(9) {
        let checksum = xxh3_64(checked).to_le_bytes();
        head.iter_mut().skip(1).zip(checksum).for_each(|(byte, sum)| *byte = sum);
    }
    Ok(batch)
}

/// Decodes a batch.
pub(super) fn decode(batch: &[u8]) -> Result<Vec<Record>, BatchError> {
    let (header, block) = parse(batch)?;
    let raw = lz4_flex::block::decompress(block, header.raw_len)
        .map_err(|error| BatchError::Compression(error.to_string()))?;
    let mut rest = raw.as_slice();
    (0..header.count)
        .map(|_| {
            let key_len = u32::from_le_bytes(take(&mut rest)?);
            let value_len = u32::from_le_bytes(take(&mut rest)?);
            Ok(Record { key: bytes(&mut rest, key_len)?, value: bytes(&mut rest, value_len)? })
        })
        .collect()
}

/// Decodes the header of a batch.
pub(super) fn header(batch: &[u8]) -> Result<Header, BatchError> {
    parse(batch).map(|(header, _)| header)
}

fn parse(batch: &[u8]) -> Result<(Header, &[u8]), BatchError> {
    let mut rest = batch;
    let [version] = take(&mut rest)?;
    if version != VERSION {
        return Err(BatchError::Version(version));
    }
    let checksum = u64::from_le_bytes(take(&mut rest)?);
    if checksum != xxh3_64(rest) {
        return Err(BatchError::Checksum);
    }
    let count = u32::from_le_bytes(take(&mut rest)?);
    let appended_at = i64::from_le_bytes(take(&mut rest)?);
    let raw_len = u32::from_le_bytes(take(&mut rest)?) as usize;
    if raw_len > MAX_RAW {
        return Err(BatchError::Compression(format!("{raw_len} bytes is more than {MAX_RAW}")));
    }
    let appended_at = Timestamp::from_millisecond(appended_at).unwrap_or(Timestamp::UNIX_EPOCH);
    Ok((Header { count, appended_at, raw_len }, rest))
}

fn length(len: usize) -> Result<[u8; 4], BatchError> {
    let len = u32::try_from(len).map_err(|_| BatchError::Compression(format!("{len} bytes is more than {MAX_RAW}")))?;
    Ok(len.to_le_bytes())
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], BatchError> {
    let (taken, left) = rest.split_first_chunk().ok_or(BatchError::Truncated)?;
    *rest = left;
    Ok(*taken)
}

fn bytes(rest: &mut &[u8], len: u32) -> Result<Vec<u8>, BatchError> {
    let (taken, left) = rest.split_at_checked(len as usize).ok_or(BatchError::Truncated)?;
    *rest = left;
    Ok(taken.to_vec())
}

/// For the fuzz target `log`: whatever is on disk is refused or can be stored as well, also behind a version and a
/// checksum that are right.
#[cfg(fuzzing)]
pub(super) fn fuzz(bytes: &[u8]) {
    let _ = decode(bytes);
    let batch = [[VERSION].as_slice(), &xxh3_64(bytes).to_le_bytes(), bytes].concat();
    if let (Ok(records), Ok(header)) = (decode(&batch), header(&batch)) {
        let again = encode(&records, header.appended_at).and_then(|batch| decode(&batch));
        assert_eq!(again, Ok(records));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn records() -> impl Strategy<Value = Vec<Record>> {
        let record = (vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..400));
        vec(record.prop_map(|(key, value)| Record { key, value }), 0..50)
    }

    /// A batch with a right checksum over whatever these bytes are.
    fn with_checksum(checked: &[u8]) -> Vec<u8> {
        [&[VERSION], xxh3_64(checked).to_le_bytes().as_slice(), checked].concat()
    }

    proptest! {
        #[test]
        fn round_trip(records in records(), millis in 0_i64..4_000_000_000_000) {
            let appended_at = Timestamp::from_millisecond(millis).unwrap();
            let batch = encode(&records, appended_at).unwrap();
            prop_assert_eq!(header(&batch).unwrap().count as usize, records.len());
            prop_assert_eq!(header(&batch).unwrap().appended_at, appended_at);
            prop_assert_eq!(decode(&batch).unwrap(), records);
        }

        #[test]
        fn any_change_is_noticed(records in records(), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let mut batch = encode(&records, Timestamp::UNIX_EPOCH).unwrap();
            let at = at.index(batch.len());
            *batch.get_mut(at).unwrap() ^= 1 << bit;
            prop_assert!(decode(&batch).is_err());
        }

        #[test]
        fn any_cut_is_noticed(records in records(), at in any::<prop::sample::Index>()) {
            let batch = encode(&records, Timestamp::UNIX_EPOCH).unwrap();
            prop_assert!(decode(batch.get(..at.index(batch.len())).unwrap()).is_err());
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let _ = decode(&with_checksum(&bytes));
            let block = lz4_flex::block::compress(&bytes);
            let _ = decode(&with_checksum(&[&[3, 0, 0, 0], [0; 8].as_slice(), &[200, 0, 0, 0], &block].concat()));
        }
    }
}
