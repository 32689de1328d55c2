//! Any bytes as an export, in each format: never a panic, and no unbounded poison.
#![no_main]

use hearken_connectors::registry::channel;
use libfuzzer_sys::fuzz_target;

const SETTINGS: [&str; 4] = [
    "format = 'jsonl'",
    "format = 'jsonl'\nfields.text = 'full_text'\nfields.id = 'id_str'\nfields.hashtags = 'entities.hashtags.text'",
    "format = 'csv'",
    "format = 'csv'\nencoding = 'utf-16le'\ndelimiter = ';'",
];

fuzz_target!(|bytes: &[u8]| {
    let file = channel("file").expect("a channel");
    for settings in SETTINGS {
        let settings = settings.parse().expect("TOML");
        if let Ok(parsed) = (file.parse)(settings, "fuzz", bytes) {
            assert!(parsed.poison.iter().all(|poison| poison.payload.len() <= 64 * 1024));
        }
    }
});
