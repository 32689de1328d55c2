//! For tests of connectors: the conformance suite that every connector over HTTP passes, a scripted
//! HTTP server, remotes that speak documented APIs on it, and real servers.
#![allow(clippy::panic, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing)]

mod conformance;
mod mastodon;
mod matrix;
mod server;
mod synapse;
mod telegram;

pub use conformance::{Scenario, conform};
pub use mastodon::MastodonTimeline;
pub use matrix::MatrixRoom;
pub use server::{Answer, Request, Server};
pub use synapse::{MatrixUser, Synapse};
pub use telegram::{BotQueue, TelegramBot};
