//! Any bytes as a request to the embedded ClickHouse, which its parameters, statement and blocks are read from:
//! never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hearken::store::gateway::fuzz(bytes));
