//! Any bytes as events of a Matrix room: never a panic.
#![no_main]

use hearken_connectors::registry::channel;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let matrix = channel("matrix").expect("a channel");
    if let Ok(parsed) = (matrix.parse)(Default::default(), "fuzz", bytes) {
        assert!(parsed.messages.iter().all(|message| message.channel == "matrix"));
        assert!(parsed.poison.iter().all(|poison| poison.payload.len() <= 64 * 1024));
    }
});
