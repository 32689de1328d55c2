//! Any bytes as the contents of a model file: never a panic, and probabilities that are some.
#![no_main]

use hearken::score::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|plain: &[u8]| {
    let _ = Model::from_bytes(plain);
    let Ok(model) = Model::from_bytes(&file(plain)) else { return };
    for text in ["", "great service, thank you :)", "こんにちは、最高です", "ужасно!!!", "मस्त 👍"]
    {
        let prediction = model.predict(&[text], None);
        assert!(prediction.probabilities.iter().all(|share| (0.0..=1.0).contains(share)), "{prediction:?}");
    }
});

/// A model file with these contents: what begins it, its checksum and its compression are right, so that the
/// fuzzer gets behind them.
fn file(plain: &[u8]) -> Vec<u8> {
    let frame = zstd::bulk::compress(plain, 1).expect("compressed bytes");
    let fnv1a = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let checksum = frame.iter().fold(0xcbf2_9ce4_8422_2325, fnv1a);
    [b"HRKLIN\0\x01".as_slice(), &checksum.to_le_bytes(), &frame].concat()
}
