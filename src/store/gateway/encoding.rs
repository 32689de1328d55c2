//! Compression of bodies: `Content-Encoding` and `Accept-Encoding`, and ClickHouse's own blocks.

use std::{io, pin::Pin};

use async_compression::tokio::bufread::{
    BrotliDecoder, BrotliEncoder, GzipDecoder, GzipEncoder, Lz4Decoder, Lz4Encoder, ZlibDecoder, ZlibEncoder,
    ZstdDecoder, ZstdEncoder,
};
use bytes::Bytes;
use futures::Stream;
use tokio::io::AsyncRead;
use tokio_util::{
    codec::FramedRead,
    io::{ReaderStream, StreamReader},
};

use super::{blocks::BlockDecoder, exception::Exception};

/// A body as it is read or written.
pub(super) type Bodied = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Bytes read at a time.
const BUFFER: usize = 64 << 10;

/// An HTTP content encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
    /// Gzip.
    Gzip,
    /// Zlib, which HTTP calls `deflate`.
    Deflate,
    /// Brotli.
    Brotli,
}

impl Encoding {
    /// All of them, the cheapest first.
    const ALL: [Self; 5] = [Self::Lz4, Self::Zstd, Self::Gzip, Self::Deflate, Self::Brotli];

    /// As HTTP names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
        }
    }

    /// Reads `Content-Encoding`; `None` is no encoding.
    pub(super) fn of_content(header: &str) -> Result<Option<Self>, Exception> {
        let header = header.trim();
        if header.is_empty() || header.eq_ignore_ascii_case("identity") {
            return Ok(None);
        }
        let known = Self::ALL.into_iter().find(|encoding| header.eq_ignore_ascii_case(encoding.name()));
        known.map(Some).ok_or_else(|| {
            let message = format!("Unknown compression method {header}: gzip, deflate, br, zstd and lz4 are known");
            Exception::new(Exception::NOT_IMPLEMENTED, message)
        })
    }

    /// Chooses from `Accept-Encoding` the cheapest encoding that it takes.
    pub(super) fn accepted(header: &str) -> Option<Self> {
        let accepts = |encoding: &Self| {
            header.split(',').any(|item| {
                let mut parts = item.split(';').map(str::trim);
                let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding.name()));
                let refused = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
                named && !refused
            })
        };
        Self::ALL.into_iter().find(accepts)
    }
}

/// Decodes a request's body.
pub(super) fn decode(body: Bodied, encoding: Option<Encoding>, blocks: bool) -> Bodied {
    if encoding.is_none() && !blocks {
        return body;
    }
    let body = StreamReader::new(body);
    // A body may be made of several members, each closed by itself.
    macro_rules! members {
        ($decoder:ident) => {{
            let mut decoder = $decoder::new(body);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }};
    }
    let decoded: Pin<Box<dyn AsyncRead + Send>> = match encoding {
        None => Box::pin(body),
        Some(Encoding::Lz4) => members!(Lz4Decoder),
        Some(Encoding::Zstd) => members!(ZstdDecoder),
        Some(Encoding::Gzip) => members!(GzipDecoder),
        Some(Encoding::Deflate) => members!(ZlibDecoder),
        Some(Encoding::Brotli) => members!(BrotliDecoder),
    };
    if blocks {
        Box::pin(FramedRead::with_capacity(decoded, BlockDecoder, BUFFER))
    } else {
        Box::pin(ReaderStream::with_capacity(decoded, BUFFER))
    }
}

/// Encodes a response's body.
pub(super) fn encode(body: Bodied, encoding: Option<Encoding>) -> Bodied {
    let Some(encoding) = encoding else { return body };
    let body = StreamReader::new(body);
    let encoded: Pin<Box<dyn AsyncRead + Send>> = match encoding {
        Encoding::Lz4 => Box::pin(Lz4Encoder::new(body)),
        Encoding::Zstd => Box::pin(ZstdEncoder::new(body)),
        Encoding::Gzip => Box::pin(GzipEncoder::new(body)),
        Encoding::Deflate => Box::pin(ZlibEncoder::new(body)),
        Encoding::Brotli => Box::pin(BrotliEncoder::with_quality(body, async_compression::Level::Fastest)),
    };
    Box::pin(ReaderStream::with_capacity(encoded, BUFFER))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::{StreamExt, TryStreamExt, stream};

    use super::*;

    #[test]
    fn the_cheapest_accepted_encoding_is_chosen() {
        assert_eq!(Encoding::accepted("gzip, deflate, br, zstd"), Some(Encoding::Zstd));
        assert_eq!(Encoding::accepted("br;q=1.0, gzip;q=0"), Some(Encoding::Brotli));
        assert_eq!(Encoding::accepted("identity"), None);
        assert!(Encoding::of_content("snappy").is_err());
        assert_eq!(Encoding::of_content("identity"), Ok(None));
    }

    #[tokio::test]
    async fn every_encoding_is_read_back_also_in_several_members() {
        let content = Bytes::from("hearken ".repeat(50_000));
        for encoding in Encoding::ALL {
            let encoded = || {
                let body: Bodied = Box::pin(stream::iter([Ok(content.clone())]));
                encode(body, Some(encoding))
            };
            let members: Bodied = Box::pin(encoded().chain(encoded()));
            let decoded: Vec<Bytes> = decode(members, Some(encoding), false).try_collect().await.unwrap();
            assert!(decoded.concat() == content.repeat(2), "{}", encoding.name());
        }
    }
}
