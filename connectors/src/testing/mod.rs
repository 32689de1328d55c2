//! For tests of connectors: the conformance suite, a scripted HTTP server, a troubled way to a real
//! server, and real servers.
#![allow(clippy::panic, clippy::expect_used)]

mod conformance;
mod dovecot;
mod mastodon;
mod postfix;
mod proxy;
mod server;
mod smtp;

pub use conformance::{Remote, Scenario, conform, conform_remote};
pub use dovecot::{Dovecot, MAILBOX};
pub use mastodon::MastodonTimeline;
pub use postfix::Postfix;
pub use proxy::{Proxy, Trouble};
pub use server::{Answer, Request, Server};
