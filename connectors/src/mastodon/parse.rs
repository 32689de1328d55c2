//! From the entities of Mastodon's API to messages; pure.
//!
//! The entities are documented at <https://docs.joinmastodon.org/entities/Status/>.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use url::Url;

use crate::contract::Poison;
use crate::message::{Author, Direction, Engagement, Kind, Message, MessageId, Visibility};
use crate::text::from_html;

/// Platform name of all messages, whatever software the server runs.
pub(super) const CHANNEL: &str = "mastodon";

/// Bytes of a record that poison keeps.
const POISON_PAYLOAD: usize = 64 * 1024;

/// A post, as far as it is used here.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Status {
    pub(super) id: String,
    /// ActivityPub id, the same on every server.
    pub(super) uri: String,
    #[serde(default, deserialize_with = "or_default")]
    url: String,
    pub(super) created_at: Timestamp,
    #[serde(default)]
    edited_at: Option<Timestamp>,
    account: Account,
    #[serde(default, deserialize_with = "or_default")]
    content: String,
    #[serde(default, deserialize_with = "or_default")]
    spoiler_text: String,
    #[serde(default, deserialize_with = "or_default")]
    visibility: String,
    #[serde(default)]
    language: Option<String>,
    #[serde(default)]
    pub(super) in_reply_to_id: Option<String>,
    #[serde(default)]
    reblog: Option<Box<Status>>,
    #[serde(default)]
    quote: Option<Quote>,
    #[serde(default, deserialize_with = "or_default")]
    favourites_count: i64,
    #[serde(default, deserialize_with = "or_default")]
    reblogs_count: i64,
    #[serde(default, deserialize_with = "or_default")]
    replies_count: i64,
    #[serde(default)]
    quotes_count: Option<i64>,
    #[serde(default, deserialize_with = "or_default")]
    media_attachments: Vec<Media>,
    #[serde(default, deserialize_with = "or_default")]
    mentions: Vec<Mention>,
    #[serde(default, deserialize_with = "or_default")]
    tags: Vec<Tag>,
    #[serde(default)]
    poll: Option<Poll>,
}

#[derive(Debug, Clone, Deserialize)]
struct Account {
    /// `user`, or `user@server` where the server is another one.
    acct: String,
    #[serde(default, deserialize_with = "or_default")]
    username: String,
    #[serde(default, deserialize_with = "or_default")]
    display_name: String,
    #[serde(default, deserialize_with = "or_default")]
    url: String,
    #[serde(default)]
    followers_count: Option<i64>,
    #[serde(default)]
    following_count: Option<i64>,
    #[serde(default)]
    statuses_count: Option<i64>,
    #[serde(default, deserialize_with = "or_default")]
    bot: bool,
    #[serde(default)]
    created_at: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Quote {
    #[serde(default)]
    quoted_status: Option<Box<Status>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Media {
    #[serde(default, deserialize_with = "or_default")]
    description: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Mention {
    acct: String,
    #[serde(default, deserialize_with = "or_default")]
    url: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Tag {
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Poll {
    #[serde(default, deserialize_with = "or_default")]
    options: Vec<PollOption>,
}

#[derive(Debug, Clone, Deserialize)]
struct PollOption {
    #[serde(default, deserialize_with = "or_default")]
    title: String,
}

/// Servers send null where others send nothing.
fn or_default<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// What a status is read with.
pub(super) struct Reading<'a> {
    /// Name of the source.
    pub(super) source: &'a str,
    /// The server's domain in handles; `None` where it is to be taken from the accounts' addresses.
    pub(super) domain: Option<&'a str>,
    /// The brand's own accounts: what they say is outbound.
    pub(super) own: &'a [String],
    pub(super) observed_at: Timestamp,
}

/// An element of a page: a status, or a notification about one.
pub(super) struct Item {
    /// Id that orders the page: the notification's or the status's.
    pub(super) at: String,
    pub(super) status: Result<Status, Poison>,
}

/// Reads an element of a page; `None` when it has no id, and so no place in the timeline. `origin`
/// is where the page came from.
pub(super) fn item(value: &Value, origin: &str) -> Option<Item> {
    let at = value.get("id").and_then(Value::as_str)?.to_owned();
    let is_notification = value.get("type").is_some() && value.get("content").is_none();
    let entity = if is_notification { value.get("status").unwrap_or(&Value::Null) } else { value };
    let status = Status::deserialize(entity).map_err(|error| poison(value, &at, origin, &error));
    Some(Item { at, status })
}

/// The poison for an element that is not a status.
fn poison(value: &Value, at: &str, origin: &str, error: &serde_json::Error) -> Poison {
    let shown = error.to_string();
    // A value of the wrong type would be quoted.
    let reason =
        if shown.starts_with("missing field") { shown } else { "a field is not what the API documents".to_owned() };
    let mut payload = value.to_string().into_bytes();
    payload.truncate(POISON_PAYLOAD);
    Poison { origin: format!("{origin} {at}"), reason: format!("is not a status: {reason}"), payload }
}

impl Status {
    /// Revision: 0, or the time of the last edit in Unix milliseconds.
    pub(super) fn version(&self) -> u64 {
        self.edited_at.and_then(|edited| u64::try_from(edited.as_millisecond()).ok()).unwrap_or(0)
    }

    /// Favourites, boosts, replies.
    pub(super) fn counts(&self) -> [u64; 3] {
        [count(self.favourites_count), count(self.reblogs_count), count(self.replies_count)]
    }

    /// The message; `parent` is the ActivityPub id of the status that it answers, where known.
    pub(super) fn message(&self, reading: &Reading<'_>, parent: Option<&str>) -> Message {
        let mut message = Message::new(CHANNEL, reading.source, &self.uri, self.created_at, reading.observed_at);
        message.version = self.version();
        message.author = self.account.author(reading.domain);
        let is_own = |own: &String| own.eq_ignore_ascii_case(&message.author.handle) || *own == self.account.acct;
        if reading.own.iter().any(is_own) {
            message.direction = Direction::Outbound;
        }
        if matches!(self.visibility.as_str(), "private" | "direct") {
            message.visibility = Visibility::Private;
        }
        message.url = self.web_address();
        message.in_reply_to = parent.map(|uri| MessageId::of(CHANNEL, uri));
        message.kind = if self.in_reply_to_id.is_some() { Kind::Reply } else { Kind::Post };

        let quoted = self.quote.as_ref().and_then(|quote| quote.quoted_status.as_deref());
        if let Some(repeated) = self.reblog.as_deref().or(quoted) {
            message.kind = if self.reblog.is_some() { Kind::Repost } else { Kind::Quote };
            message.repost_of = Some(MessageId::of(CHANNEL, &repeated.uri));
        }
        // A boost repeats the words of another status; its reactions are that status's, too.
        let words = self.reblog.as_deref().unwrap_or(self);
        words.fill_words(&mut message, reading.domain);
        if self.reblog.is_none() {
            let [likes, reposts, replies] = self.counts();
            message.engagement = Engagement {
                likes: Some(likes),
                reposts: Some(reposts),
                replies: Some(replies),
                quotes: self.quotes_count.map(count),
                ..Engagement::default()
            };
        }
        message
    }

    fn fill_words(&self, message: &mut Message, domain: Option<&str>) {
        let plain = from_html(&self.content, None);
        let tags: Vec<&str> = self.tags.iter().map(|tag| tag.name.as_str()).collect();
        let is_of_the_platform =
            |link: &str| self.mentions.iter().any(|mention| mention.url == link) || leads_to_tag(link, &tags);
        message.links = plain.links.into_iter().filter(|link| !is_of_the_platform(link)).collect();
        message.title.clone_from(&self.spoiler_text);
        message.text = plain.text;
        for option in self.poll.iter().flat_map(|poll| &poll.options) {
            push_paragraph(&mut message.text, &format!("- {}", option.title), "\n");
        }
        message.media = !self.media_attachments.is_empty();
        for media in self.media_attachments.iter().filter(|media| !media.description.trim().is_empty()) {
            push_paragraph(&mut message.text, media.description.trim(), "\n\n");
        }
        message.hashtags = tags.into_iter().map(str::to_owned).collect();
        let home = domain.map(str::to_owned).or_else(|| self.account.domain());
        message.mentioned = self.mentions.iter().map(|mention| full_handle(&mention.acct, home.as_deref())).collect();
        message.language.clone_from(&self.language);
    }

    fn web_address(&self) -> String {
        let address = if self.url.is_empty() { &self.uri } else { &self.url };
        let is_web = address.starts_with("https://") || address.starts_with("http://");
        if is_web { address.clone() } else { String::new() }
    }
}

impl Account {
    fn author(&self, domain: Option<&str>) -> Author {
        let own_domain = self.domain();
        let handle = full_handle(&self.acct, domain.or(own_domain.as_deref()));
        let name = if self.display_name.trim().is_empty() { &self.username } else { &self.display_name };
        let is_web = self.url.starts_with("https://") || self.url.starts_with("http://");
        Author {
            // The handle is what all servers agree on; its case is not significant.
            id: handle.to_lowercase(),
            handle,
            name: name.clone(),
            url: if is_web { self.url.clone() } else { String::new() },
            // Accounts can hide these; some servers then say -1.
            followers: self.followers_count.and_then(|number| number.try_into().ok()),
            following: self.following_count.and_then(|number| number.try_into().ok()),
            posts: self.statuses_count.and_then(|number| number.try_into().ok()),
            verified: false,
            bot: self.bot,
            // Some servers give a date only.
            created: self.created_at.as_deref().and_then(|time| {
                let date = || time.get(..10)?.parse::<jiff::civil::Date>().ok();
                time.parse().ok().or_else(|| Some(date()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()))
            }),
        }
    }

    /// The host of the profile page: mostly the domain in handles.
    fn domain(&self) -> Option<String> {
        Url::parse(&self.url).ok()?.host_str().map(str::to_owned)
    }
}

/// `user@server`, also for accounts of the server itself.
fn full_handle(acct: &str, domain: Option<&str>) -> String {
    match domain {
        Some(domain) if !acct.contains('@') => format!("{acct}@{domain}"),
        _ => acct.to_owned(),
    }
}

/// True for the page of one of the status's own hashtags, on whatever server.
fn leads_to_tag(link: &str, tags: &[&str]) -> bool {
    let Ok(url) = Url::parse(link) else { return false };
    let mut steps = url.path().trim_end_matches('/').rsplit('/');
    let Some(last) = steps.next() else { return false };
    let is_tag_page = steps.next().is_some_and(|step| matches!(step, "tags" | "tag" | "hashtag"));
    // An address writes other letters as percent signs, which a tag does not have.
    is_tag_page && (last.contains('%') || tags.iter().any(|tag| tag.to_lowercase() == last.to_lowercase()))
}

fn push_paragraph(text: &mut String, paragraph: &str, between: &str) {
    if !text.is_empty() {
        text.push_str(between);
    }
    text.push_str(paragraph);
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
