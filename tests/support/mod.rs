//! What the tests need from the machine, and helpers that several of them use.
#![allow(dead_code, unreachable_pub, unused_imports, clippy::panic, clippy::expect_used, clippy::print_stdout)]

pub mod airlines;
pub mod kafka;
pub mod machine;
pub mod nginx;
pub mod site;
pub mod webhook;

use std::path::{Path, PathBuf};

pub use machine::{free_port, hearken_home, real_data, require};

/// The engine of the embedded store.
pub fn libchdb() -> Option<()> {
    let found = hearken::store::gateway::find_library(None, |name| std::env::var_os(name)).ok();
    require("tests on the embedded store", found.map(drop), "run: script/bootstrap")
}

/// The program that is tested.
pub fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_hearken").into()
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
