//! Any bytes as the body of a post: never a panic, and no unbounded poison. The first byte chooses the settings.
//! Start from `connectors/src/webhook/fixtures` as the corpus.
#![no_main]

use hearken_connectors::registry::channel;
use libfuzzer_sys::fuzz_target;

const SETTINGS: [&str; 3] = ["", "fields.text = 'comment.body'", "records = 'data.items'\nfields.text = 'text'"];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, payload)) = bytes.split_first() else { return };
    let settings = SETTINGS[usize::from(*choice) % SETTINGS.len()].parse().expect("TOML");
    let webhook = channel("webhook").expect("a channel");
    let parsed = (webhook.parse)(settings, "fuzz", payload).expect("settings that are valid");
    assert!(parsed.messages.len() + parsed.poison.len() <= 4_000);
    assert!(parsed.poison.iter().all(|poison| poison.payload.len() <= 64 * 1024));
});
