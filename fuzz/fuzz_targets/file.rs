//! Any bytes as an export, in each format: never a panic, and no unbounded poison.
//! The first byte chooses the format. Start from `connectors/src/file/fixtures` as the corpus.
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
    let Some((choice, payload)) = bytes.split_first() else { return };
    let settings = SETTINGS[usize::from(*choice) % SETTINGS.len()].parse().expect("TOML");
    let file = channel("file").expect("a channel");
    if let Ok(parsed) = (file.parse)(settings, "fuzz", payload) {
        assert!(parsed.poison.iter().all(|poison| poison.payload.len() <= 64 * 1024));
    }
});
