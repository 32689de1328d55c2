//! For tests of connectors: a scripted HTTP server, and the conformance suite that every connector
//! over HTTP passes.
#![allow(clippy::panic, clippy::expect_used)]

mod conformance;
mod server;

pub use conformance::{Scenario, conform};
pub use server::{Answer, Request, Server};
