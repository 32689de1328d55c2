//! What the tests need from the machine, and helpers that several of them use.
#![allow(dead_code, unreachable_pub, clippy::panic, clippy::expect_used, clippy::print_stdout)]

pub mod airlines;
pub mod kafka;
pub mod nginx;
pub mod site;
pub mod webhook;

use std::net::TcpListener;
use std::path::{Path, PathBuf};

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

/// The engine of the embedded store.
pub fn libchdb() -> Option<()> {
    let found = hearken::store::gateway::find_library(None, |name| std::env::var_os(name)).ok();
    require("tests on the embedded store", found.map(drop), "run: script/bootstrap")
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

/// Every configuration that is shipped.
pub fn shipped_configurations() -> Vec<PathBuf> {
    let mut directories = ["config", "deploy"].map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).to_vec();
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory of this repository") {
            let path = entry.expect("a directory of this repository").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
        }
    }
    files
}
