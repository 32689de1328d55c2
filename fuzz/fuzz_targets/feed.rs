//! Any bytes as a feed document: never a panic, and no message without identity.
#![no_main]

use hearken_connectors::feed::parse::{Origin, parse};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let origin = Origin { source: "fuzz", url: None, observed_at: Timestamp::UNIX_EPOCH };
    if let Ok(page) = parse(bytes, None, origin) {
        assert!(page.items.iter().all(|heard| !heard.message.native_id.is_empty()));
    }
});
