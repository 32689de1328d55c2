//! From events to messages; pure.
//!
//! <https://spec.matrix.org/latest/client-server-api/#instant-messaging>

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;

use super::event::{Event, Meaning};
use crate::message::{Author, Direction, Kind, Message, MessageId, Visibility};
use crate::text::{from_html, hashtags, is_media_type, links};

/// Platform name of all messages.
pub(super) const CHANNEL: &str = "matrix";

/// Addresses that lead to users, rooms and events.
const MATRIX_TO: &str = "https://matrix.to/#/";

/// What a room's events are read with.
pub(super) struct Reading<'a> {
    /// Name of the source.
    pub(super) source: &'a str,
    pub(super) room: &'a str,
    /// Whether everybody can read the room.
    pub(super) public: bool,
    /// Our own user: what it says is outbound. Empty where there is none.
    pub(super) own: &'a str,
    /// Display names of users, where known.
    pub(super) names: &'a HashMap<String, String>,
    pub(super) observed_at: Timestamp,
}

impl Reading<'_> {
    /// The message as it is: with the last edit, where there is one. The error says what is wrong
    /// with the event.
    pub(super) fn message(&self, event: &Event, edit: Option<&Event>) -> Result<Message, &'static str> {
        let edit = edit.filter(|edit| edit.sender == event.sender && edit.redacted_at().is_none());
        let new_content = edit.and_then(|edit| edit.content.get("m.new_content"));
        let words = Words::read(&event.kind, new_content.unwrap_or(&event.content), event)?;
        let mut message = self.bare(&event.id, event.at());
        if let Some(edit) = edit.filter(|_| new_content.is_some()) {
            message.version = edit.version();
        }
        message.author = self.author(&event.sender);
        message.author.bot = words.is_notice;
        if event.sender == self.own {
            message.direction = Direction::Outbound;
        }
        message.text = words.text;
        message.media = words.media;
        message.links = words.links;
        message.hashtags = hashtags(&message.text);
        message.mentioned = words.mentioned;
        message.url = format!("{MATRIX_TO}{}/{}", self.room, event.id);
        message.engagement.replies = event.thread_replies();

        let root = event.thread_root();
        let answered = event.text("/m.relates_to/m.in_reply_to/event_id");
        // Clients that know no threads are shown a reply to the thread's last message.
        let is_fallback = event.content.pointer("/m.relates_to/is_falling_back") == Some(&Value::Bool(true));
        let parent = if is_fallback { root } else { answered.or(root) };
        message.in_reply_to = parent.map(|id| MessageId::of(CHANNEL, &self.native_id(id)));
        let starts_thread = message.engagement.replies.is_some_and(|replies| replies > 0);
        let own_thread = Some(event.id.as_str()).filter(|_| starts_thread);
        message.conversation = root.or(own_thread).unwrap_or(self.room).to_owned();
        Ok(message)
    }

    /// The message that an edit makes, where the original is not known; `None` where it is no edit any
    /// more.
    pub(super) fn edit_alone(&self, edit: &Event) -> Result<Option<Message>, &'static str> {
        let Meaning::Edit(target) = edit.meaning() else { return Ok(None) };
        let mut original = edit.clone();
        target.clone_into(&mut original.id);
        self.message(&original, Some(edit)).map(Some)
    }

    /// What remains of a message that was taken back.
    pub(super) fn tombstone(&self, event: &str, published_at: Timestamp, version: u64) -> Message {
        let mut message = self.bare(event, published_at);
        message.version = version;
        message.deleted = true;
        message
    }

    fn bare(&self, event: &str, published_at: Timestamp) -> Message {
        let mut message = Message::new(CHANNEL, self.source, &self.native_id(event), published_at, self.observed_at);
        message.kind = Kind::Chat;
        message.visibility = if self.public { Visibility::Public } else { Visibility::Private };
        message
    }

    /// Ids of events are unique in their room only.
    fn native_id(&self, event: &str) -> String {
        format!("{}/{event}", self.room)
    }

    fn author(&self, user: &str) -> Author {
        Author {
            id: user.to_owned(),
            handle: user.trim_start_matches('@').to_owned(),
            name: self.names.get(user).cloned().unwrap_or_default(),
            url: format!("{MATRIX_TO}{user}"),
            ..Author::default()
        }
    }
}

/// What the content of a message says.
struct Words {
    text: String,
    links: Vec<String>,
    mentioned: Vec<String>,
    /// Said by a program.
    is_notice: bool,
    /// A picture, video or sound came with it.
    media: bool,
}

impl Words {
    fn read(kind: &str, content: &Value, event: &Event) -> Result<Self, &'static str> {
        let field = |name: &str| content.get(name).and_then(Value::as_str);
        let body = field("body").ok_or("is a message without `body`")?;
        let sort = if kind == "m.sticker" { Some("m.sticker") } else { field("msgtype") };
        let sort = sort.ok_or("is a message without `msgtype`")?;
        let is_seen_or_heard = matches!(sort, "m.image" | "m.video" | "m.audio" | "m.sticker");
        let is_file = is_seen_or_heard || sort == "m.file";
        let file_type = content.pointer("/info/mimetype").and_then(Value::as_str).filter(|_| is_file);
        // With a `filename`, the body is a caption; without, it is the name.
        let file_name = field("filename").unwrap_or(body);
        let has_words = !is_file || file_name != body;
        let is_reply = event.text("/m.relates_to/m.in_reply_to/event_id").is_some();

        let mut words = Self {
            text: String::new(),
            links: Vec::new(),
            mentioned: Vec::new(),
            is_notice: sort == "m.notice",
            media: is_seen_or_heard || file_type.is_some_and(is_media_type),
        };
        if has_words {
            let html = field("formatted_body").filter(|_| field("format") == Some("org.matrix.custom.html"));
            let plain = html.map(|html| from_html(&without_quoted_html(html), None)).unwrap_or_default();
            words.text = plain.text;
            if words.text.is_empty() {
                words.text = if is_reply { without_quoted_text(body) } else { body }.to_owned();
            }
            words.sort_links(plain.links);
        }
        if is_file {
            let name = format!("[{} {file_name}]", sort.trim_start_matches("m."));
            let between = if words.text.is_empty() { "" } else { "\n\n" };
            words.text = format!("{}{between}{name}", words.text);
        }
        let named = content.pointer("/m.mentions/user_ids").and_then(Value::as_array);
        for user in named.into_iter().flatten().filter_map(Value::as_str) {
            words.mention(user);
        }
        Ok(words)
    }

    /// Links to users are mentions, links to rooms are the platform's own, the rest are links.
    fn sort_links(&mut self, in_html: Vec<String>) {
        let in_text = links(&self.text);
        for link in in_html.into_iter().chain(in_text) {
            match link.strip_prefix(MATRIX_TO) {
                Some(place) => {
                    let place = place.split('?').next().unwrap_or_default().replace("%40", "@").replace("%3A", ":");
                    if place.starts_with('@') {
                        self.mention(&place);
                    }
                }
                None if !self.links.contains(&link) => self.links.push(link),
                None => {}
            }
        }
    }

    fn mention(&mut self, user: &str) {
        let handle = user.trim_start_matches('@');
        if !handle.is_empty() && !self.mentioned.iter().any(|known| known == handle) {
            self.mentioned.push(handle.to_owned());
        }
    }
}

/// Leaves out the message that a reply quotes for old clients, in HTML.
fn without_quoted_html(html: &str) -> String {
    match (html.find("<mx-reply>"), html.find("</mx-reply>")) {
        (Some(start), Some(end)) if start < end => {
            let before = html.get(..start).unwrap_or_default();
            let after = html.get(end..).and_then(|rest| rest.strip_prefix("</mx-reply>")).unwrap_or_default();
            format!("{before}{after}")
        }
        _ => html.to_owned(),
    }
}

/// The same in plain text: lines that begin with `> `, the first of which names the author.
fn without_quoted_text(body: &str) -> &str {
    if !body.starts_with("> <@") && !body.starts_with("> * <@") {
        return body;
    }
    let mut rest = body;
    while rest.starts_with('>') {
        rest = rest.split_once('\n').map_or("", |(_, after)| after);
    }
    let words = rest.strip_prefix('\n').unwrap_or(rest);
    if words.is_empty() { body } else { words }
}
