//! From a mail as it was sent (RFC 5322) to a message; pure.

use std::fmt::Write as _;

use jiff::Timestamp;
use mail_parser::{Addr, Header, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::mime::{self, Content, value};
use super::said::said;
use crate::message::{Author, Direction, Kind, Message, MessageId, Noise, Visibility};
use crate::text::{hashtags, links, push_once};

/// Channel name of all mails, whatever server they come from.
pub(super) const CHANNEL: &str = "imap";

/// Characters of text and of a subject that are kept: more than any person writes.
const LONGEST_TEXT: usize = 100_000;
const LONGEST_SUBJECT: usize = 1000;
/// A longer identifier is replaced by its hash, in bytes.
const LONGEST_ID: usize = 512;
/// A `Date` before this is none: there was no e-mail worth listening to. 1990-01-01.
const EARLIEST: i64 = 631_152_000;

/// What a mail is read with.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// Name of the source.
    pub(super) source: String,
    /// The mail was in a folder of sent mails.
    pub(super) is_sent: bool,
    /// The mailbox's own address: what comes from it is outbound.
    pub(super) own: Option<String>,
    /// When the server took the mail in; `None` for a file.
    pub(super) received_at: Option<Timestamp>,
    pub(super) observed_at: Timestamp,
}

/// Reads a mail, or its beginning. The error says why it is none.
pub(super) fn message(raw: &[u8], reading: &Reading) -> Result<Message, &'static str> {
    let (head, body) = mime::split(raw);
    let fields = mime::fields(head);
    let known = [
        HeaderName::From,
        HeaderName::To,
        HeaderName::Date,
        HeaderName::Subject,
        HeaderName::MessageId,
        HeaderName::MimeVersion,
        HeaderName::ContentType,
    ];
    if !known.iter().any(|name| value(&fields, name).is_some()) {
        return Err("is not a mail: it has none of the fields From, To, Date, Subject, Message-ID and Content-Type");
    }
    let content = mime::content(&fields, body);
    let own_id = ids(&fields, &HeaderName::MessageId).next().map(str::to_owned);
    let native_id = own_id.unwrap_or_else(|| format!("sha256:{}", hash(raw)));
    let published_at = published_at(&fields, reading);
    let mut message = Message::new(CHANNEL, &reading.source, &bounded(&native_id), published_at, reading.observed_at);
    message.kind = Kind::Email;
    message.visibility = Visibility::Private;
    message.author = author(&fields);
    let is_own = reading.own.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(&message.author.handle));
    if reading.is_sent || is_own {
        message.direction = Direction::Outbound;
    }
    message.noise = noise(&fields);
    message.title = clean(text_of(&fields, &HeaderName::Subject).unwrap_or_default(), LONGEST_SUBJECT);
    for address in addresses(&fields, &HeaderName::To).chain(addresses(&fields, &HeaderName::Cc)) {
        push_once(&mut message.mentioned, handle(address));
    }
    thread(&fields, &mut message);
    message.language = value(&fields, &HeaderName::ContentLanguage).and_then(|value| match value {
        HeaderValue::TextList(tags) => tags.first().map(|tag| clean(tag, 35)),
        value => value.as_text().map(|tag| clean(tag, 35)),
    });
    fill_words(content, &mut message);
    Ok(message)
}

fn fill_words(content: Content, message: &mut Message) {
    message.attachments = content.attachments;
    message.media = content.media;
    let whole: usize = content.text.split_whitespace().map(str::len).sum();
    message.text = said(&content.text).chars().take(LONGEST_TEXT).collect();
    message.links = links(&message.text);
    // Links behind words cannot be told apart once a part of the words is gone.
    if whole == message.text.split_whitespace().map(str::len).sum::<usize>() {
        content.links.into_iter().for_each(|link| push_once(&mut message.links, link));
    }
    message.hashtags = hashtags(&message.text);
}

/// RFC 5322, section 3.6.4: the thread is named by the first mail in it, the parent comes last.
fn thread(fields: &[Header<'_>], message: &mut Message) {
    let root = ids(fields, &HeaderName::References).next();
    let parent = ids(fields, &HeaderName::InReplyTo).next().or_else(|| ids(fields, &HeaderName::References).last());
    let parent = parent.map(bounded).filter(|parent| *parent != message.native_id);
    message.in_reply_to = parent.as_ref().map(|parent| MessageId::of(CHANNEL, parent));
    message.conversation = root.map(bounded).or(parent).unwrap_or_else(|| message.native_id.clone());
}

/// Identifiers without angle brackets; words that are none are left out.
fn ids<'f>(fields: &'f [Header<'_>], name: &HeaderName<'_>) -> impl Iterator<Item = &'f str> {
    let listed: &[_] = match value(fields, name) {
        Some(HeaderValue::TextList(ids)) => ids,
        Some(HeaderValue::Text(id)) => std::slice::from_ref(id),
        _ => &[],
    };
    let is_id = |id: &&str| !id.chars().all(char::is_control) && !id.contains(char::is_whitespace);
    listed.iter().map(|id| id.trim()).filter(is_id)
}

fn bounded(id: &str) -> String {
    if id.len() <= LONGEST_ID {
        id.chars().filter(|c| !c.is_control()).collect()
    } else {
        format!("sha256:{}", hash(id.as_bytes()))
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The `Date`, unless it is missing, impossible or in the future: then when the mail came in.
fn published_at(fields: &[Header<'_>], reading: &Reading) -> Timestamp {
    let date = value(fields, &HeaderName::Date).and_then(|value| value.as_datetime());
    let seconds = date.filter(|date| date.is_valid()).map(mail_parser::DateTime::to_timestamp);
    let said = seconds.filter(|&seconds| seconds >= EARLIEST).and_then(|seconds| Timestamp::from_second(seconds).ok());
    let received_at = reading.received_at.unwrap_or(reading.observed_at).min(reading.observed_at);
    said.filter(|said| *said <= reading.observed_at).unwrap_or(received_at)
}

fn addresses<'f>(fields: &'f [Header<'_>], name: &HeaderName<'_>) -> impl Iterator<Item = &'f Addr<'f>> {
    value(fields, name).and_then(|value| value.as_address()).into_iter().flat_map(|list| list.iter())
}

fn author(fields: &[Header<'_>]) -> Author {
    let listed = |name: &HeaderName<'_>| addresses(fields, name).next();
    let from = [HeaderName::From, HeaderName::Sender, HeaderName::ReplyTo].iter().find_map(listed);
    let Some(from) = from else { return Author::default() };
    let words = from.name().unwrap_or_default();
    let handle = match handle(from) {
        // With a quotation mark too many, the address is taken for a part of the name.
        handle if handle.is_empty() => {
            let mut parts = words.split(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | ',' | ';'));
            parts.find(|part| part.contains('@')).map(|part| clean(part, 320).to_lowercase()).unwrap_or_default()
        }
        handle => handle,
    };
    let name = clean(words.split('<').next().unwrap_or_default(), 200);
    let name = if name.eq_ignore_ascii_case(&handle) { String::new() } else { name };
    Author { id: handle.clone(), handle, name, ..Author::default() }
}

fn handle(address: &Addr<'_>) -> String {
    clean(address.address().unwrap_or_default(), 320).to_lowercase()
}

/// What the mail itself says about how it was sent: RFC 3834 (`Auto-Submitted`), RFC 2919 and 2369
/// (lists), RFC 3464 (reports), and older customs.
fn noise(fields: &[Header<'_>]) -> Noise {
    let field = |name: &str| fields.iter().find(|field| field.name().eq_ignore_ascii_case(name));
    let text = |name: &str| {
        let text = field(name)?.value().as_text().unwrap_or_default();
        Some(text.trim().to_ascii_lowercase())
    };
    let precedence = text("Precedence").unwrap_or_default();
    let is_automatic = text("Auto-Submitted").is_some_and(|it| !it.is_empty() && it != "no" && !it.starts_with("no "))
        || ["X-Auto-Response-Suppress", "X-Autoreply", "X-Autorespond"].into_iter().any(|name| field(name).is_some())
        || matches!(precedence.as_str(), "auto_reply" | "auto-reply")
        || mime::is_report(fields)
        || addresses(fields, &HeaderName::From).any(|from| handle(from).starts_with("mailer-daemon@"));
    let is_bulk = matches!(precedence.as_str(), "bulk" | "list" | "junk")
        || ["List-Id", "List-Post", "List-Unsubscribe"].into_iter().any(|name| field(name).is_some());
    match (is_automatic, is_bulk) {
        (true, _) => Noise::Automatic,
        (false, true) => Noise::Bulk,
        (false, false) => Noise::None,
    }
}

fn text_of<'f>(fields: &'f [Header<'_>], name: &HeaderName<'_>) -> Option<&'f str> {
    value(fields, name).and_then(|value| value.as_text())
}

/// One line without control characters, cut.
fn clean(text: &str, longest: usize) -> String {
    let mut words = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
        if words.len() > 4 * longest {
            break;
        }
    }
    words.chars().take(longest).collect()
}
