//! A feed document, as bytes, to messages; pure.

use std::collections::HashMap;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use url::{Position, Url};

use super::item::{Feed, Item};
use super::{NAME, decode, item, json, xml};
use crate::contract::Poison;
use crate::http::redacted;
use crate::message::{Author, Engagement, Kind, Message, MessageId};
use crate::text;

/// The largest piece of a document that is kept as poison, in bytes.
const LONGEST_POISON: usize = 64 << 10;

/// Where a document comes from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Name of the configured source.
    pub source: &'a str,
    /// The feed's configured address, which scopes the ids that are unique only in one feed;
    /// `None` where it is unknown, and then the source's name does.
    pub url: Option<&'a Url>,
    /// When the document was fetched.
    pub observed_at: Timestamp,
}

/// What a document holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The format, for people: `RSS 2.0`, `Atom 1.0`.
    pub format: String,
    /// The items that were understood, oldest first.
    pub items: Vec<Heard>,
    /// The pieces that were not.
    pub poison: Vec<Poison>,
}

/// An item as a message in version 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// The message.
    pub message: Message,
    /// When the feed says that the item was changed.
    pub updated: Option<Timestamp>,
    /// Fingerprint of what a reader sees and of the reactions: another one means another version.
    pub hash: String,
}

/// The document is no feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAFeed {
    /// A page for people.
    #[error("the answer is an HTML page, not a feed")]
    Html,
    /// Something else, or nothing.
    #[error("the answer is no feed of a known format")]
    Unknown,
}

/// Reads RSS, RDF, Atom or JSON Feed, told apart by the document itself.
///
/// `content_type` is the HTTP header, used for its `charset` only.
pub fn parse(bytes: &[u8], content_type: Option<&str>, origin: Origin<'_>) -> Result<Page, NotAFeed> {
    let document = decode::decode(bytes, content_type);
    let base = origin.url.and_then(|url| url.join(url.path()).ok()).map(|mut base| {
        // Neither fails for http and https.
        let _ = base.set_username("");
        let _ = base.set_password(None);
        base
    });
    let (feed, broken) = if document.trim_start().starts_with('{') {
        json::read(document.trim_start(), base.as_ref()).ok_or(NotAFeed::Unknown)?
    } else {
        let read = xml::read(&document).ok_or_else(|| not_a_feed(&document))?;
        (item::read(&read, base.as_ref()), read.broken)
    };
    let mut items: Vec<Heard> = heard(&feed, origin);
    // Feeds show the newest first; where dates are equal or missing that order is kept, reversed.
    items.reverse();
    items.sort_by_key(|heard| heard.message.published_at);
    let poison = broken.into_iter().map(|broken| poison(broken, origin)).collect();
    Ok(Page { format: feed.format, items, poison })
}

fn not_a_feed(document: &str) -> NotAFeed {
    let head: String = document.chars().take(4096).collect::<String>().to_ascii_lowercase();
    if head.contains("<html") || head.contains("<!doctype html") { NotAFeed::Html } else { NotAFeed::Unknown }
}

fn poison(broken: xml::Broken, origin: Origin<'_>) -> Poison {
    let place = origin.url.map_or_else(|| origin.source.to_owned(), redacted);
    let mut payload = broken.payload.into_bytes();
    payload.truncate(LONGEST_POISON);
    Poison { origin: format!("{place} byte {}", broken.offset), reason: broken.reason, payload }
}

fn heard(feed: &Feed, origin: Origin<'_>) -> Vec<Heard> {
    // Some feeds give every item the same id, say the site's address.
    let mut urls_of_id: HashMap<&str, Option<&Url>> = HashMap::new();
    let mut shared_ids = Vec::new();
    for item in &feed.items {
        let Some(id) = item.id.as_deref() else { continue };
        if *urls_of_id.entry(id).or_insert(item.url.as_ref()) != item.url.as_ref() {
            shared_ids.push(id);
        }
    }
    shared_ids.sort_unstable();
    let mut seen = std::collections::HashSet::new();
    feed.items
        .iter()
        .map(|item| {
            let id = item.id.as_deref().filter(|id| shared_ids.binary_search(id).is_err());
            let message = message(item, id, feed, origin);
            Heard { updated: item.updated, hash: content_hash(&message), message }
        })
        .filter(|heard| seen.insert(heard.message.id))
        .collect()
}

fn message(item: &Item, id: Option<&str>, feed: &Feed, origin: Origin<'_>) -> Message {
    let published = item.published.or(item.updated).unwrap_or(origin.observed_at);
    // Nothing is heard before it is said: a date in the future is a wrong one, or a plan.
    let published = published.min(origin.observed_at);
    let native_id = native_id(item, id, origin);
    let mut message = Message::new(NAME, origin.source, &native_id, published, origin.observed_at);
    message.kind = kind(item);
    message.author = author(item, feed, origin);
    message.title.clone_from(&item.title);
    message.text.clone_from(&item.body.text);
    message.links.clone_from(&item.body.links);
    message.media = item.media;
    message.hashtags = text::hashtags(&message.text);
    // A category is an editor's drawer, not a word of the author, except in microblogs and where it says so.
    for category in &item.categories {
        let tag = category.strip_prefix('#').or(Some(category.as_str()).filter(|_| message.kind == Kind::Post));
        if let Some(tag) = tag.filter(|tag| !tag.contains(char::is_whitespace)) {
            text::push_once(&mut message.hashtags, tag.to_owned());
        }
    }
    message.mentioned = text::mentions(&message.text);
    if let Some(url) = &item.url {
        message.url = url.to_string();
        let mut thread = url.clone();
        thread.set_fragment(None);
        message.conversation = thread.into();
    }
    message.in_reply_to = item.answers.as_deref().filter(|id| is_global(id)).map(|id| MessageId::of(NAME, id));
    message.engagement = Engagement { replies: item.replies, views: item.views, ..Engagement::default() };
    message.language = item.language.as_ref().or(feed.language.as_ref()).and_then(|tag| language_tag(tag));
    message
}

/// The feed's id where it is unique everywhere, else put behind the feed's address; without one the
/// link, and without that a fingerprint of the content.
fn native_id(item: &Item, id: Option<&str>, origin: Origin<'_>) -> String {
    let scope = || origin.url.map_or_else(|| origin.source.to_owned(), scope);
    match (id, &item.url) {
        (Some(id), _) if is_global(id) => id.to_owned(),
        (Some(id), _) => format!("{} {id}", scope()),
        (None, Some(url)) => url.to_string(),
        (None, None) => format!("{} {}", scope(), fingerprint([item.title.as_str(), &item.body.text])),
    }
}

/// A feed's address as it may be shown and stored: its query, which may hold a secret and may tell
/// feeds apart, as a fingerprint; without scheme, because feeds move to https.
pub(super) fn scope(url: &Url) -> String {
    let place = format!("{}{}", &url[Position::BeforeHost..Position::AfterPort], url.path());
    url.query().map_or_else(|| place.clone(), |query| format!("{place}?{}", fingerprint([query])))
}

/// True for a web address, a tag URI (RFC 4151) and a URN.
fn is_global(id: &str) -> bool {
    ["http://", "https://", "tag:", "urn:"].iter().any(|scheme| id.starts_with(scheme))
}

fn kind(item: &Item) -> Kind {
    let fragment = item.url.as_ref().and_then(Url::fragment).unwrap_or_default();
    if item.answers.is_some() || fragment.starts_with("comment") {
        Kind::Comment
    } else if item.title.is_empty() {
        // Microblogs have no headlines.
        Kind::Post
    } else {
        Kind::Article
    }
}

/// Whom the item names, else whom the feed names, else the feed itself.
fn author(item: &Item, feed: &Feed, origin: Origin<'_>) -> Author {
    let Some(person) = item.author.as_ref().or(feed.author.as_ref()) else {
        let url = feed.site.as_ref().map(Url::to_string).unwrap_or_default();
        let id = if url.is_empty() { origin.url.map(scope).unwrap_or_default() } else { url.clone() };
        return Author { id, name: feed.title.clone(), url, ..Author::default() };
    };
    // Names are unique on one site at best.
    let host = feed.site.as_ref().or(origin.url).or(item.url.as_ref()).and_then(Url::host_str).unwrap_or(origin.source);
    let id = match person {
        person if !person.url.is_empty() => person.url.clone(),
        person if !person.name.is_empty() => format!("{host}/{}", person.name),
        person => person.email.clone(),
    };
    let name = if person.name.is_empty() { person.email.clone() } else { person.name.clone() };
    Author { id, name, url: person.url.clone(), ..Author::default() }
}

fn language_tag(claimed: &str) -> Option<String> {
    let tag = claimed.trim().replace('_', "-");
    let valid = tag.len() <= 35
        && tag.split('-').all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric()));
    valid.then_some(tag)
}

fn content_hash(message: &Message) -> String {
    let replies = format!("{:?} {:?}", message.engagement.replies, message.engagement.views);
    fingerprint([message.title.as_str(), &message.text, &message.url, &message.author.id, &replies])
}

/// 64 bits of SHA-256 over texts, as hexadecimal digits.
pub(super) fn fingerprint<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
