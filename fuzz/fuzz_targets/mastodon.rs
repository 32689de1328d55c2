//! Any bytes as an answer of the API: never a panic.
#![no_main]

use hearken_connectors::registry::channel;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mastodon = channel("mastodon").expect("a channel");
    if let Ok(parsed) = (mastodon.parse)(Default::default(), "fuzz", bytes) {
        assert!(parsed.messages.iter().all(|message| message.channel == "mastodon"));
    }
});
