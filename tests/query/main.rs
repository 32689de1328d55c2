//! Brand queries: what they find, what they refuse, and why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

mod agreement;
mod generate;
mod matching;
mod pairs;
mod reference;
mod syntax;
