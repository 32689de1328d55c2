//! For tests of connectors: the conformance suite, a scripted HTTP server, a troubled way to a real
//! server, remotes that play documented APIs, and real servers.
#![allow(clippy::panic, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing)]

mod conformance;
mod dovecot;
mod mastodon;
mod matrix;
mod postfix;
mod proxy;
mod server;
mod smtp;
mod synapse;
mod telegram;

pub use conformance::{Scenario, conform};
pub use dovecot::{Dovecot, MAILBOX};
pub use mastodon::MastodonTimeline;
pub use matrix::MatrixRoom;
pub use postfix::Postfix;
pub use proxy::{Proxy, Trouble};
pub use server::{Answer, Request, Server};
pub use synapse::{MatrixUser, Synapse};
pub use telegram::{BotQueue, TelegramBot};
