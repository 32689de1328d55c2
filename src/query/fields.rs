//! What is searched of a message, and where in it something was found.

use std::fmt;
use std::ops::Range;

use hearken_connectors::{Author, Country, Engagement, Kind, Message};
use jiff::Timestamp;

/// What is searched of a message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fields<'a> {
    /// Headline.
    pub title: &'a str,
    /// Text.
    pub text: &'a str,
    /// Handles that the source says are mentioned, without `@`.
    pub mentioned: &'a [String],
    /// Hashtags that the source says are there, without `#`.
    pub hashtags: &'a [String],
    /// Channel on which it was heard.
    pub channel: &'a str,
    /// Source that heard it.
    pub source: &'a str,
    /// What sort of message it is; `None` for a text that is no message.
    pub kind: Option<Kind>,
    /// Who said it.
    pub author: Option<&'a Author>,
    /// Where a person can read it.
    pub url: &'a str,
    /// Links in the text.
    pub links: &'a [String],
    /// Whether it answers another one.
    pub is_reply: bool,
    /// Whether a picture, video or sound came with it.
    pub has_media: bool,
    /// ISO 3166-1 alpha-2, upper case; empty where the source does not say.
    pub country: &'a str,
    /// BCP 47 primary tag of the language that was detected; empty where nobody looked.
    pub language: &'a str,
    /// Reactions.
    pub engagement: Engagement,
    /// When it was published.
    pub published_at: Option<Timestamp>,
}

impl<'a> From<&'a Message> for Fields<'a> {
    /// Everything but the language, which is detected and not said.
    fn from(message: &'a Message) -> Self {
        Self {
            title: &message.title,
            text: &message.text,
            mentioned: &message.mentioned,
            hashtags: &message.hashtags,
            channel: &message.channel,
            source: &message.source,
            kind: Some(message.kind),
            author: Some(&message.author),
            url: &message.url,
            links: &message.links,
            is_reply: message.in_reply_to.is_some() || message.kind == Kind::Reply,
            has_media: message.media,
            country: message.country.as_ref().map_or("", Country::as_str),
            language: "",
            engagement: message.engagement,
            published_at: Some(message.published_at),
        }
    }
}

impl<'a> From<&'a str> for Fields<'a> {
    fn from(text: &'a str) -> Self {
        Self { text, ..Self::default() }
    }
}

/// Part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The headline.
    Title,
    /// The text.
    Text,
    /// One of the handles that the source says are mentioned.
    Mentioned(usize),
    /// One of the hashtags that the source says are there.
    Hashtag(usize),
    /// The channel on which it was heard.
    Channel,
    /// The source that heard it.
    Source,
    /// The handle of the author.
    AuthorHandle,
    /// The id of the author.
    AuthorId,
    /// The display name of the author.
    AuthorName,
    /// The address of the message.
    Url,
    /// One of the links in the text.
    Link(usize),
}

/// Where something was found in the message as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Part of the message.
    pub field: Field,
    /// Characters of that part.
    pub span: Range<usize>,
}

impl<'a> Fields<'a> {
    /// A part of the message, as it was written; empty where there is none.
    pub fn get(&self, field: Field) -> &'a str {
        let nth = |list: &'a [String], index: usize| list.get(index).map_or("", String::as_str);
        match field {
            Field::Title => self.title,
            Field::Text => self.text,
            Field::Mentioned(index) => nth(self.mentioned, index),
            Field::Hashtag(index) => nth(self.hashtags, index),
            Field::Channel => self.channel,
            Field::Source => self.source,
            Field::AuthorHandle => self.author.map_or("", |author| &author.handle),
            Field::AuthorId => self.author.map_or("", |author| &author.id),
            Field::AuthorName => self.author.map_or("", |author| &author.name),
            Field::Url => self.url,
            Field::Link(index) => nth(self.links, index),
        }
    }
}

impl Field {
    /// The name of the part, as in the JSON form of a message.
    pub fn name(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Text => "text",
            Self::Mentioned(_) => "mentioned",
            Self::Hashtag(_) => "hashtags",
            Self::Channel => "channel",
            Self::Source => "source",
            Self::AuthorHandle => "author.handle",
            Self::AuthorId => "author.id",
            Self::AuthorName => "author.name",
            Self::Url => "url",
            Self::Link(_) => "links",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}..{}", self.field.name(), self.span.start, self.span.end)
    }
}
