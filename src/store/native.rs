//! Rows in ClickHouse's Native format, column by column.
//!
//! Native costs ClickHouse a third less processor time for a mention than RowBinary does, and the client half:
//! nothing is parsed, each column arrives as it lies in memory.
//!
//! Format: <https://clickhouse.com/docs/en/interfaces/formats/Native>. A block is the number of columns and of
//! rows (LEB128), then for each column its name, its type, and its values one after another. Integers are
//! little-endian, strings have a LEB128 length in front, nullable columns a byte for each row in front that is 1
//! for NULL, arrays the running total of their lengths in front of the elements.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// A row that can be inserted.
pub(super) trait Columns: Sized {
    /// Table that it is inserted into.
    const TABLE: &'static str;

    /// Writes every column of the block's rows; always the same columns.
    fn write(block: &mut Block<'_, Self>);
}

/// One block of rows, as it is written.
pub(super) struct Block<'r, T> {
    rows: &'r [T],
    columns: Vec<&'static str>,
    data: BytesMut,
}

impl<'r, T: Columns> Block<'r, T> {
    /// These rows as one block.
    pub(super) fn of(rows: &'r [T]) -> Self {
        let mut block = Self { rows, columns: Vec::new(), data: BytesMut::with_capacity(rows.len() * 512) };
        T::write(&mut block);
        block
    }

    /// Names of the columns.
    pub(super) fn columns(&self) -> &[&'static str] {
        &self.columns
    }

    /// The block as it goes over the wire: its head, and its columns.
    pub(super) fn into_bytes(self) -> [Bytes; 2] {
        let mut head = BytesMut::new();
        put_varint(&mut head, self.columns.len());
        put_varint(&mut head, self.rows.len());
        [head.freeze(), self.data.freeze()]
    }

    /// Any text or bytes.
    pub(super) fn string(&mut self, column: &'static str, value: impl Fn(&'r T) -> &'r [u8]) {
        self.header(column, "String");
        self.rows.iter().for_each(|row| self.bytes(value(row)));
    }

    /// Text with few distinct values: a dictionary of them, and an index for each row.
    pub(super) fn name(&mut self, column: &'static str, value: impl Fn(&'r T) -> &'r str) {
        /// Version of the serialisation: dictionaries shared by granules, with keys of their own.
        const VERSION: u64 = 1;
        /// The keys follow, and there is no shared dictionary to look them up in; indices are 32 bits wide.
        const OWN_KEYS_INDEX_U32: u64 = (1 << 9) | (1 << 10) | 2;
        self.header(column, "LowCardinality(String)");
        // The first key stands for the default value.
        let mut keys = vec![""];
        let mut known = HashMap::from([("", 0_u32)]);
        let mut last = ("", 0_u32);
        let mut indices = BytesMut::with_capacity(self.rows.len() * 4);
        for value in self.rows.iter().map(value) {
            if last.0 != value {
                let next = keys.len() as u32;
                let index = *known.entry(value).or_insert(next);
                if index == next {
                    keys.push(value);
                }
                last = (value, index);
            }
            indices.put_u32_le(last.1);
        }
        self.data.put_u64_le(VERSION);
        self.data.put_u64_le(OWN_KEYS_INDEX_U32);
        self.data.put_u64_le(keys.len() as u64);
        keys.iter().for_each(|key| self.bytes(key.as_bytes()));
        self.data.put_u64_le(self.rows.len() as u64);
        self.data.put(indices);
    }

    /// Lists of texts.
    pub(super) fn strings<S>(&mut self, column: &'static str, value: impl Fn(&'r T) -> &'r [S])
    where
        S: AsRef<str> + 'r,
    {
        self.header(column, "Array(String)");
        self.lengths(&value);
        self.rows.iter().flat_map(value).for_each(|text| self.bytes(text.as_ref().as_bytes()));
    }

    /// Lists of small numbers.
    pub(super) fn u16s(&mut self, column: &'static str, value: impl Fn(&'r T) -> &'r [u16]) {
        self.header(column, "Array(UInt16)");
        self.lengths(&value);
        self.rows.iter().flat_map(value).for_each(|number| self.data.put_u16_le(*number));
    }

    /// Where each row's list ends.
    fn lengths<I: 'r>(&mut self, value: impl Fn(&'r T) -> &'r [I]) {
        let mut total = 0;
        for list in self.rows.iter().map(value) {
            total += list.len() as u64;
            self.data.put_u64_le(total);
        }
    }

    /// Truth values.
    pub(super) fn bool(&mut self, column: &'static str, value: impl Fn(&'r T) -> bool) {
        self.header(column, "Bool");
        self.data.extend(self.rows.iter().map(|row| u8::from(value(row))));
    }

    /// Small numbers.
    pub(super) fn u8(&mut self, column: &'static str, value: impl Fn(&'r T) -> u8) {
        self.header(column, "UInt8");
        self.data.extend(self.rows.iter().map(value));
    }

    /// 64-bit counts.
    pub(super) fn u64(&mut self, column: &'static str, value: impl Fn(&'r T) -> u64) {
        self.header(column, "UInt64");
        self.rows.iter().for_each(|row| self.data.put_u64_le(value(row)));
    }

    /// 64-bit counts that may be unknown.
    pub(super) fn optional_u64(&mut self, column: &'static str, value: impl Fn(&'r T) -> Option<u64>) {
        self.header(column, "Nullable(UInt64)");
        self.data.extend(self.rows.iter().map(|row| u8::from(value(row).is_none())));
        self.rows.iter().for_each(|row| self.data.put_u64_le(value(row).unwrap_or_default()));
    }

    /// 128-bit numbers.
    pub(super) fn u128(&mut self, column: &'static str, value: impl Fn(&'r T) -> u128) {
        self.header(column, "UInt128");
        self.rows.iter().for_each(|row| self.data.put_u128_le(value(row)));
    }

    /// Single-precision numbers.
    pub(super) fn f32(&mut self, column: &'static str, value: impl Fn(&'r T) -> f32) {
        self.header(column, "Float32");
        self.rows.iter().for_each(|row| self.data.put_f32_le(value(row)));
    }

    /// Single-precision numbers that may be unknown.
    pub(super) fn optional_f32(&mut self, column: &'static str, value: impl Fn(&'r T) -> Option<f32>) {
        self.header(column, "Nullable(Float32)");
        self.data.extend(self.rows.iter().map(|row| u8::from(value(row).is_none())));
        self.rows.iter().for_each(|row| self.data.put_f32_le(value(row).unwrap_or_default()));
    }

    /// Unix milliseconds.
    pub(super) fn millis(&mut self, column: &'static str, value: impl Fn(&'r T) -> i64) {
        self.header(column, "DateTime64(3, 'UTC')");
        self.rows.iter().for_each(|row| self.data.put_i64_le(value(row)));
    }

    /// Unix milliseconds that may be absent.
    pub(super) fn optional_millis(&mut self, column: &'static str, value: impl Fn(&'r T) -> Option<i64>) {
        self.header(column, "Nullable(DateTime64(3, 'UTC'))");
        self.data.extend(self.rows.iter().map(|row| u8::from(value(row).is_none())));
        self.rows.iter().for_each(|row| self.data.put_i64_le(value(row).unwrap_or_default()));
    }

    /// Ids: two little-endian halves, the high one first.
    pub(super) fn uuid(&mut self, column: &'static str, value: impl Fn(&'r T) -> Uuid) {
        self.header(column, "UUID");
        for (high, low) in self.rows.iter().map(|row| value(row).as_u64_pair()) {
            self.data.put_u64_le(high);
            self.data.put_u64_le(low);
        }
    }

    fn header(&mut self, column: &'static str, kind: &str) {
        self.columns.push(column);
        self.bytes(column.as_bytes());
        self.bytes(kind.as_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        put_varint(&mut self.data, value.len());
        self.data.extend_from_slice(value);
    }
}

/// LEB128.
fn put_varint(data: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        data.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    data.put_u8(value as u8);
}
