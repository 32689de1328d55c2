//! ClickHouse's own compression of request (`decompress=1`) and response (`compress=1`) bodies.
//!
//! A body is a row of blocks. A block is a 16-byte CityHash128 (version 1.0.2) of what follows, one byte for the
//! method (0x02 none, 0x82 LZ4, 0x90 ZSTD), the size of the block without the checksum (u32, little endian, 9
//! bytes of header included), the size of its content (u32), and the compressed content.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use cityhash_rs::cityhash_102_128;
use tokio_util::codec::Decoder;

use super::exception::Exception;

const CHECKSUM: usize = 16;
const HEADER: usize = 9;
const NONE: u8 = 0x02;
const LZ4: u8 = 0x82;
const ZSTD: u8 = 0x90;

/// Largest block accepted, compressed or not. ClickHouse writes blocks of 1 MiB and takes up to 1 GiB; here a
/// lying header must not cost memory.
const MAX_BLOCK: usize = 64 << 20;

/// Content of a block that is written.
const CHUNK: usize = 1 << 20;

/// Reads blocks one after another.
#[derive(Debug, Default)]
pub(super) struct BlockDecoder;

/// What is wrong with a body.
pub(super) fn invalid(exception: Exception) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, exception)
}

/// A block's header, checked against the limits.
struct Header {
    method: u8,
    /// Of the whole block, without the checksum.
    size: usize,
    content: usize,
}

impl Header {
    fn read(bytes: &[u8; HEADER]) -> Result<Self, Exception> {
        let [method, a, b, c, d, e, f, g, h] = *bytes;
        let size = u32::from_le_bytes([a, b, c, d]) as usize;
        let content = u32::from_le_bytes([e, f, g, h]) as usize;
        if size > MAX_BLOCK || content > MAX_BLOCK {
            let message = format!("a compressed block claims {size} bytes for {content}, the limit is {MAX_BLOCK}");
            return Err(Exception::new(Exception::TOO_LARGE_SIZE_COMPRESSED, message));
        }
        if size < HEADER || !matches!(method, NONE | LZ4 | ZSTD) {
            let message = format!("no compressed block: method {method:#04x}, size {size}");
            return Err(Exception::new(Exception::CANNOT_DECOMPRESS, message));
        }
        // No LZ4 data grows more than this, so a larger claim is a lie.
        if method == LZ4 && content > size.saturating_mul(255) {
            let message = format!("{size} bytes of LZ4 data cannot hold {content}");
            return Err(Exception::new(Exception::CANNOT_DECOMPRESS, message));
        }
        Ok(Self { method, size, content })
    }
}

impl Decoder for BlockDecoder {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, source: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let Some((checksum, rest)) = source.split_first_chunk::<CHECKSUM>() else { return Ok(None) };
        let Some((header, _)) = rest.split_first_chunk::<HEADER>() else { return Ok(None) };
        let checksum = u128::from_le_bytes(*checksum);
        let header = Header::read(header).map_err(invalid)?;
        let Some(block) = rest.get(..header.size) else {
            // Grow with what arrives, not with what was claimed.
            return Ok(None);
        };
        if hash(block) != checksum {
            let message = "the checksum of a compressed block does not match: the data was damaged on its way";
            return Err(invalid(Exception::new(Exception::CHECKSUM_DOESNT_MATCH, message)));
        }
        let content = decompress(&header, block.get(HEADER..).unwrap_or_default()).map_err(invalid)?;
        let _ = source.split_to(CHECKSUM + header.size);
        Ok(Some(content))
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> io::Result<Option<Bytes>> {
        match self.decode(source)? {
            None if !source.is_empty() => {
                let message = "the body ends in the middle of a compressed block";
                Err(invalid(Exception::new(Exception::CANNOT_READ_ALL_DATA, message)))
            }
            decoded => Ok(decoded),
        }
    }
}

/// The checksum as it stands in the block: low half first.
fn hash(block: &[u8]) -> u128 {
    cityhash_102_128(block).rotate_left(64)
}

fn decompress(header: &Header, compressed: &[u8]) -> Result<Bytes, Exception> {
    let wrong = |why: &dyn std::fmt::Display| {
        Exception::new(Exception::CANNOT_DECOMPRESS, format!("cannot decompress a block: {why}"))
    };
    let content = match header.method {
        NONE => Bytes::copy_from_slice(compressed),
        LZ4 => lz4_flex::block::decompress(compressed, header.content).map(Bytes::from).map_err(|e| wrong(&e))?,
        _ => zstd::bulk::decompress(compressed, header.content).map(Bytes::from).map_err(|e| wrong(&e))?,
    };
    if content.len() != header.content {
        return Err(wrong(&format!("{} bytes instead of the {} that it claims", content.len(), header.content)));
    }
    Ok(content)
}

/// Writes `content` as LZ4 blocks.
pub(super) fn encode(content: &[u8]) -> Bytes {
    let mut blocks = BytesMut::new();
    for chunk in content.chunks(CHUNK) {
        let compressed = lz4_flex::block::compress(chunk);
        let size = HEADER + compressed.len();
        let mut block = Vec::with_capacity(size);
        block.put_u8(LZ4);
        // Both are at most a little over CHUNK.
        block.put_u32_le(size as u32);
        block.put_u32_le(chunk.len() as u32);
        block.put_slice(&compressed);
        blocks.put_u128_le(hash(&block));
        blocks.put_slice(&block);
    }
    blocks.freeze()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut source = BytesMut::from(bytes);
        let mut content = Vec::new();
        while let Some(block) = BlockDecoder.decode_eof(&mut source)? {
            content.extend_from_slice(&block);
        }
        Ok(content)
    }

    fn block(method: u8, content: usize, compressed: &[u8]) -> Vec<u8> {
        let mut block = vec![method];
        block.put_u32_le((HEADER + compressed.len()) as u32);
        block.put_u32_le(content as u32);
        block.put_slice(compressed);
        let mut bytes = hash(&block).to_le_bytes().to_vec();
        bytes.extend(block);
        bytes
    }

    #[test]
    fn a_block_of_clickhouse_itself_is_read() {
        // Column files of ClickHouse 26.7 with the codecs LZ4, ZSTD(1) and NONE.
        let files = [
            "03bf6b5204384ca18847177dbb47a706821a0000002a0000007f686561726b656e07000b5061726b656e",
            "d95ec62736a7ac4d57bc365e4dc1c264901f0000002a00000028b52ffd202a6d000038686561726b656e0100441623",
            "14c6579a1c6e5ca209d1af50130383d102330000002a000000686561726b656e686561726b656e686561726b656e\
             686561726b656e686561726b656e686561726b656e",
        ];
        for file in files {
            let bytes: Vec<u8> =
                (0..file.len()).step_by(2).map(|at| u8::from_str_radix(&file[at..at + 2], 16).unwrap()).collect();
            assert_eq!(decode(&bytes).unwrap(), b"hearken".repeat(6));
        }
    }

    #[test]
    fn every_method_is_read() {
        let content = b"Hello, hello, hello, hello!".repeat(20);
        let zstd = zstd::bulk::compress(&content, 1).unwrap();
        assert_eq!(decode(&block(ZSTD, content.len(), &zstd)).unwrap(), content);
        assert_eq!(decode(&block(NONE, content.len(), &content)).unwrap(), content);
        assert_eq!(decode(&block(LZ4, content.len(), &lz4_flex::block::compress(&content))).unwrap(), content);
    }

    #[test]
    fn damage_is_an_error() {
        let good = encode(b"some text that is long enough to be compressed, compressed, compressed");
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            assert!(decode(&bad).is_err(), "byte {at}");
            assert!(decode(&good[..at]).is_err() || at == 0, "cut at {at}");
        }
    }

    #[test]
    fn a_lying_size_is_refused_before_anything_is_allocated() {
        let mut lie = vec![0; CHECKSUM];
        lie.put_u8(LZ4);
        lie.put_u32_le(2 << 30);
        lie.put_u32_le(10);
        let mut source = BytesMut::from(&lie[..]);
        let error = BlockDecoder.decode(&mut source).unwrap_err();
        assert!(error.to_string().contains("TOO_LARGE_SIZE_COMPRESSED"), "{error}");
        // A content size that the data cannot fill is an error of the method, not a huge buffer.
        for method in [NONE, LZ4, ZSTD] {
            assert!(decode(&block(method, MAX_BLOCK, b"x")).is_err());
            assert!(decode(&block(method, MAX_BLOCK + 1, b"x")).is_err());
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(content in prop::collection::vec(any::<u8>(), 0..3000), repeat in 0_usize..900) {
            let content = content.repeat(repeat);
            prop_assert_eq!(decode(&encode(&content)).unwrap(), content);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), method in prop::sample::select(vec![NONE, LZ4, ZSTD]), size in 0_usize..4000) {
            let _ = decode(&bytes);
            let _ = decode(&block(method, size, &bytes));
        }
    }
}
