//! Any bytes as updates of the Bot API: never a panic.
#![no_main]

use hearken_connectors::registry::channel;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let telegram = channel("telegram").expect("a channel");
    if let Ok(parsed) = (telegram.parse)(Default::default(), "fuzz", bytes) {
        assert!(parsed.messages.iter().all(|message| message.channel == "telegram"));
        assert!(parsed.poison.iter().all(|poison| poison.payload.len() <= 64 * 1024));
    }
});
