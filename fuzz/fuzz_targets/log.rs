//! Any bytes as what the embedded event log finds on its disk: never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hearken::eventlog::embedded::fuzz(bytes));
