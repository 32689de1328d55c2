//! For tests of connectors: a scripted HTTP server, and the conformance suite that every connector
//! over HTTP passes.
#![allow(clippy::panic, clippy::expect_used)]

mod conformance;
mod mastodon;
mod server;
mod telegram;

pub use conformance::{Scenario, conform};
pub use mastodon::MastodonTimeline;
pub use server::{Answer, Request, Server};
pub use telegram::{BotQueue, TelegramBot};
