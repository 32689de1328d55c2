//! Any text as the parameters of a request to the API: never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|query: &str| hearken::api::fuzz(query));
