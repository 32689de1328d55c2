//! Feeds.
mod date;
mod decode;
mod item;
mod json;
pub mod parse;
mod xml;
/// Name.
const CHANNEL: &str = "feed";
