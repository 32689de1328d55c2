//! Any bytes as a mail, or as a file of mails: never a panic, and nothing unbounded.
#![no_main]

use hearken_connectors::registry::channel;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let imap = channel("imap").expect("a channel");
    let parsed = (imap.parse)(Default::default(), "fuzz", bytes).expect("settings that are valid");
    assert!(parsed.poison.iter().all(|poison| poison.payload.len() <= 64 * 1024));
    for message in &parsed.messages {
        assert!(!message.native_id.is_empty() && !message.conversation.is_empty());
        assert!(message.text.chars().count() <= 100_000 && message.mentioned.len() <= 1000);
        assert!(message.published_at <= message.observed_at);
    }
});
