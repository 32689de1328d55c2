//! What the tests of every workspace need from the machine.
#![allow(dead_code, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::net::TcpListener;
use std::path::PathBuf;

/// A service or data set that a test cannot run without.
///
/// Where it was not found, the test prints one line and is to return: `let Some(x) = require(..) else { return };`.
/// On CI (environment variable `CI` set) it fails instead: nothing may go untested there.
pub fn require<T>(what: &str, found: Option<T>, how: &str) -> Option<T> {
    if found.is_none() {
        let line = format!("not run: {what}: not found, {how}");
        assert!(std::env::var_os("CI").is_none(), "{line}");
        println!("{line}");
    }
    found
}

/// The directory of real data that `HEARKEN_TEST_DATA` names.
pub fn real_data() -> Option<PathBuf> {
    let found = std::env::var_os("HEARKEN_TEST_DATA").map(PathBuf::from).filter(|dir| dir.is_dir());
    require("tests on real data", found, "set HEARKEN_TEST_DATA to their directory")
}

/// Where Hearken keeps what it installs: `HEARKEN_HOME`, or `~/.local/share/hearken`.
pub fn hearken_home() -> PathBuf {
    match (std::env::var_os("HEARKEN_HOME"), std::env::var_os("HOME")) {
        (Some(home), _) => home.into(),
        (None, Some(home)) => PathBuf::from(home).join(".local/share/hearken"),
        (None, None) => PathBuf::from("/var/lib/hearken"),
    }
}

/// A port on 127.0.0.1 that nobody listened on a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind a loopback port");
    listener.local_addr().expect("a bound port").port()
}
