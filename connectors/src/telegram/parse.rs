//! From the objects of the Bot API to messages; pure.
//!
//! The objects are documented at <https://core.telegram.org/bots/api#available-types>.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::entities::{Entity, Marked};
use crate::contract::Poison;
use crate::message::{Author, Kind, Message, MessageId, Visibility};

/// Platform name of all messages.
pub(super) const CHANNEL: &str = "telegram";

/// Bytes of a record that poison keeps.
const POISON_PAYLOAD: usize = 64 * 1024;

/// What an update is read with.
pub(super) struct Reading<'a> {
    /// Name of the source.
    pub(super) source: &'a str,
    /// User id of the bot; empty where it is not known.
    pub(super) bot: &'a str,
    pub(super) observed_at: Timestamp,
}

/// An update.
pub(super) struct Item {
    pub(super) id: i64,
    pub(super) heard: Result<Heard, Poison>,
}

/// What an update says.
pub(super) enum Heard {
    Post(Box<Post>),
    Reactions(Reactions),
    /// Something that is not listened to.
    Other,
}

/// Reads an update; `None` when it has no id, and so no place in the queue.
pub(super) fn item(update: &Value) -> Option<Item> {
    let id = update.get("update_id").and_then(Value::as_i64)?;
    let heard = heard(update).map_err(|error| {
        let shown = error.to_string();
        // A value of the wrong type would be quoted.
        let reason = if shown.starts_with("missing field") { &shown } else { "a field is not what the API documents" };
        let mut payload = update.to_string().into_bytes();
        payload.truncate(POISON_PAYLOAD);
        Poison { origin: format!("update {id}"), reason: format!("is not understood: {reason}"), payload }
    });
    Some(Item { id, heard })
}

fn heard(update: &Value) -> Result<Heard, serde_json::Error> {
    for (name, edited) in
        [("message", false), ("channel_post", false), ("edited_message", true), ("edited_channel_post", true)]
    {
        if let Some(value) = update.get(name) {
            let mut post = Box::new(Post::deserialize(value)?);
            post.edited = edited;
            return Ok(Heard::Post(post));
        }
    }
    match update.get("message_reaction_count") {
        Some(value) => Reactions::deserialize(value).map(Heard::Reactions),
        None => Ok(Heard::Other),
    }
}

/// How often people reacted to a message.
#[derive(Debug, Deserialize)]
pub(super) struct Reactions {
    chat: Chat,
    message_id: i64,
    reactions: Vec<ReactionCount>,
}

#[derive(Debug, Deserialize)]
struct ReactionCount {
    total_count: u64,
}

impl Reactions {
    pub(super) fn target(&self, reading: &Reading<'_>) -> MessageId {
        self.chat.message(self.message_id, reading)
    }

    /// Reactions of all sorts.
    pub(super) fn count(&self) -> u64 {
        self.reactions.iter().fold(0, |sum, reaction| sum.saturating_add(reaction.total_count))
    }
}

/// A message, as far as it is used here.
#[derive(Debug, Deserialize)]
pub(super) struct Post {
    message_id: i64,
    /// Unix time in seconds.
    date: i64,
    edit_date: Option<i64>,
    /// Whether the update brought a new version of a message.
    #[serde(skip)]
    edited: bool,
    chat: Chat,
    from: Option<User>,
    sender_chat: Option<Chat>,
    message_thread_id: Option<i64>,
    forward_origin: Option<Origin>,
    reply_to_message: Option<Answered>,
    external_reply: Option<External>,
    text: Option<String>,
    #[serde(default)]
    entities: Vec<Entity>,
    caption: Option<String>,
    #[serde(default)]
    caption_entities: Vec<Entity>,
    #[serde(flatten)]
    media: super::media::Media,
}

#[derive(Debug, Deserialize)]
struct Chat {
    id: i64,
    #[serde(rename = "type")]
    kind: Option<String>,
    title: Option<String>,
    username: Option<String>,
}

#[derive(Debug, Deserialize)]
struct User {
    id: i64,
    #[serde(default)]
    is_bot: bool,
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    last_name: String,
    username: Option<String>,
    language_code: Option<String>,
}

/// Where a forwarded message comes from; only channels name the message itself.
#[derive(Debug, Deserialize)]
struct Origin {
    chat: Option<Chat>,
    message_id: Option<i64>,
}

/// The message of the same chat that is answered.
#[derive(Debug, Deserialize)]
struct Answered {
    message_id: i64,
    /// A channel's post that Telegram itself brought into the group where it is discussed.
    #[serde(default)]
    is_automatic_forward: bool,
    forward_origin: Option<Origin>,
}

/// The message of another chat that is answered.
#[derive(Debug, Deserialize)]
struct External {
    chat: Option<Chat>,
    message_id: Option<i64>,
}

impl Post {
    /// The message; `None` for a service message, which nobody said.
    pub(super) fn message(&self, reading: &Reading<'_>) -> Option<Message> {
        let (text, entities) = match (&self.text, &self.caption) {
            (Some(text), _) => (text.as_str(), &self.entities),
            (None, Some(caption)) => (caption.as_str(), &self.caption_entities),
            (None, None) => ("", &self.entities),
        };
        let media = self.media.name();
        if text.is_empty() && media.is_none() {
            return None;
        }
        let published_at = Timestamp::from_second(self.date).unwrap_or(reading.observed_at);
        let native_id = self.chat.native_id(self.message_id, reading);
        let mut message = Message::new(CHANNEL, reading.source, &native_id, published_at, reading.observed_at);
        if self.edited {
            message.version = milliseconds(self.edit_date.unwrap_or(self.date));
        }
        message.visibility = if self.chat.public_name().is_some() { Visibility::Public } else { Visibility::Private };
        message.author = self.author();
        message.language = self.from.as_ref().and_then(|user| user.language_code.clone());
        message.url = self.web_address();
        self.relate(&mut message, reading);

        let marked = Marked::read(text, entities);
        message.text = match media {
            Some(media) if text.is_empty() => media,
            Some(media) => format!("{text}\n\n{media}"),
            None => text.to_owned(),
        };
        message.media = self.media.is_seen_or_heard();
        message.links = marked.links;
        message.hashtags = marked.hashtags;
        message.mentioned = marked.mentioned;
        Some(message)
    }

    /// What sort of message it is and which others it belongs to.
    fn relate(&self, message: &mut Message, reading: &Reading<'_>) {
        let is_of_channel = self.chat.kind.as_deref() == Some("channel");
        message.kind = if is_of_channel { Kind::Post } else { Kind::Chat };
        if !is_of_channel {
            let thread = self.message_thread_id.map(|thread| format!("/{thread}")).unwrap_or_default();
            message.conversation = format!("{}{thread}", self.chat.id);
        }
        if let Some(origin) = &self.forward_origin {
            message.kind = Kind::Repost;
            message.repost_of = origin.message(reading);
        } else if let Some(external) = &self.external_reply {
            message.kind = Kind::Quote;
            message.repost_of = named(external.chat.as_ref(), external.message_id, reading);
        }
        if let Some(answered) = &self.reply_to_message {
            let channel_post = answered.forward_origin.as_ref().filter(|_| answered.is_automatic_forward);
            if channel_post.is_some() && message.kind == Kind::Chat {
                message.kind = Kind::Comment;
            }
            let original = channel_post.and_then(|origin| origin.message(reading));
            message.in_reply_to = original.or_else(|| Some(self.chat.message(answered.message_id, reading)));
        }
    }

    /// Who said it: the chat for which somebody speaks, or a user.
    fn author(&self) -> Author {
        match (&self.sender_chat, &self.from) {
            (Some(chat), _) => chat.author(),
            (None, Some(user)) => user.author(),
            (None, None) => self.chat.author(),
        }
    }

    fn web_address(&self) -> String {
        let id = self.message_id;
        // Private supergroups and channels have addresses for their members.
        match (self.chat.public_name(), self.chat.id.to_string().strip_prefix("-100")) {
            (Some(name), _) => format!("https://t.me/{name}/{id}"),
            (None, Some(chat)) if self.chat.is_numbered_for_all() => format!("https://t.me/c/{chat}/{id}"),
            (None, _) => String::new(),
        }
    }
}

impl Chat {
    /// In channels and supergroups a message has the same number for everybody; elsewhere it is one
    /// of the bot's own.
    fn is_numbered_for_all(&self) -> bool {
        matches!(self.kind.as_deref(), Some("channel" | "supergroup"))
    }

    fn native_id(&self, message_id: i64, reading: &Reading<'_>) -> String {
        if self.is_numbered_for_all() || reading.bot.is_empty() {
            format!("{}/{message_id}", self.id)
        } else {
            format!("{}/{}/{message_id}", reading.bot, self.id)
        }
    }

    fn message(&self, message_id: i64, reading: &Reading<'_>) -> MessageId {
        MessageId::of(CHANNEL, &self.native_id(message_id, reading))
    }

    /// The name under which everybody finds the chat; a private chat's is the other person's.
    fn public_name(&self) -> Option<&str> {
        self.username.as_deref().filter(|_| self.kind.as_deref() != Some("private"))
    }

    fn author(&self) -> Author {
        let handle = self.username.clone().unwrap_or_default();
        let name = self.title.clone().unwrap_or_default();
        Author { id: self.id.to_string(), url: profile(&handle), handle, name, ..Author::default() }
    }
}

impl User {
    fn author(&self) -> Author {
        let handle = self.username.clone().unwrap_or_default();
        let name = format!("{} {}", self.first_name, self.last_name).trim().to_owned();
        Author { id: self.id.to_string(), url: profile(&handle), handle, name, bot: self.is_bot, ..Author::default() }
    }
}

impl Origin {
    fn message(&self, reading: &Reading<'_>) -> Option<MessageId> {
        named(self.chat.as_ref(), self.message_id, reading)
    }
}

fn named(chat: Option<&Chat>, message_id: Option<i64>, reading: &Reading<'_>) -> Option<MessageId> {
    Some(chat?.message(message_id?, reading))
}

fn profile(handle: &str) -> String {
    if handle.is_empty() { String::new() } else { format!("https://t.me/{handle}") }
}

fn milliseconds(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)
}
