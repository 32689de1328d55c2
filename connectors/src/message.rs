//! What a connector hears: one message, in the same shape for every channel.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Name space of all message ids; never changes.
const ID_NAMESPACE: Uuid = Uuid::from_u128(0x4be0_6f0e_8d6f_5c0e_9d2f_3a41_7f66_11d7);

/// Deterministic id of a message: UUID version 5 (RFC 9562) of channel and native id, so that
/// hearing a message twice, on any machine, gives the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub Uuid);

impl MessageId {
    /// The id of the message that `channel` calls `native_id`.
    ///
    /// Native ids must be unique in the whole channel: where a platform's ids are unique only in
    /// one server or folder, the connector puts that server's or folder's name in front.
    pub fn of(channel: &str, native_id: &str) -> Self {
        let mut name = Vec::with_capacity(channel.len() + 1 + native_id.len());
        name.extend_from_slice(channel.as_bytes());
        name.push(0);
        name.extend_from_slice(native_id.as_bytes());
        Self(Uuid::new_v5(&ID_NAMESPACE, &name))
    }
}

/// One message as a source published it.
///
/// Absent and default values are left out of the JSON form; unknown fields are refused nowhere, so
/// that an older reader survives a newer writer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Deterministic id; see [`MessageId::of`].
    pub id: MessageId,
    /// 0 as first published; after an edit, the edit's time in Unix milliseconds (or a revision
    /// number where the source has no time). The higher version wins.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub version: u64,
    /// A tombstone: the source deleted the message. Only the identity and the times matter then;
    /// the version is the time of the deletion, or of its discovery, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "is_false")]
    pub deleted: bool,
    /// Platform: `mastodon`, `feed`, `twitter`, ...
    pub channel: String,
    /// Name of the configured source that heard it.
    pub source: String,
    /// The platform's own id.
    pub native_id: String,
    /// What sort of message it is.
    #[serde(default)]
    pub kind: Kind,
    /// Whether it was said to the brand or by it.
    #[serde(default, skip_serializing_if = "Direction::is_inbound")]
    pub direction: Direction,
    /// Who may see it.
    #[serde(default, skip_serializing_if = "Visibility::is_public")]
    pub visibility: Visibility,
    /// Who said it.
    #[serde(default)]
    pub author: Author,
    /// Headline or subject; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// What was said, as plain text.
    #[serde(default)]
    pub text: String,
    /// Where a person can read it; empty where there is no such place.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Links in the text, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Hashtags without `#`, as written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hashtags: Vec<String>,
    /// Handles that the text mentions, without `@`, as written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentioned: Vec<String>,
    /// The message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<MessageId>,
    /// The message that this one repeats or quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repost_of: Option<MessageId>,
    /// Thread that it belongs to, in the platform's own terms; empty where unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub conversation: String,
    /// Names of the files that came with it, as its author named them; the files are not kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<String>,
    /// Pictures, video or sound came with it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub media: bool,
    /// Whether a person wrote it to somebody.
    #[serde(default, skip_serializing_if = "Noise::is_none")]
    pub noise: Noise,
    /// Reactions, as far as the source counts them.
    #[serde(default, skip_serializing_if = "Engagement::is_empty")]
    pub engagement: Engagement,
    /// BCP 47 language tag that the source claims; a hint, often wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Where it was published, or where its author is, if the source says so; never guessed from language or text.
    /// Files and webhooks can say it; feeds, mails, Mastodon, Matrix and Telegram do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Country>,
    /// When the source says it was published.
    pub published_at: Timestamp,
    /// When this daemon heard it.
    pub observed_at: Timestamp,
    /// The source's own record; kept only where the configuration asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
}

impl Message {
    /// A message with nothing but its identity and times; connectors fill in the rest.
    pub fn new(channel: &str, source: &str, native_id: &str, published_at: Timestamp, observed_at: Timestamp) -> Self {
        Self {
            id: MessageId::of(channel, native_id),
            version: 0,
            deleted: false,
            channel: channel.to_owned(),
            source: source.to_owned(),
            native_id: native_id.to_owned(),
            kind: Kind::default(),
            direction: Direction::default(),
            visibility: Visibility::default(),
            author: Author::default(),
            title: String::new(),
            text: String::new(),
            url: String::new(),
            links: Vec::new(),
            hashtags: Vec::new(),
            mentioned: Vec::new(),
            in_reply_to: None,
            repost_of: None,
            conversation: String::new(),
            attachments: Vec::new(),
            media: false,
            noise: Noise::default(),
            engagement: Engagement::default(),
            language: None,
            country: None,
            published_at,
            observed_at,
            raw: None,
        }
    }
}

/// A country by its two letters (ISO 3166-1 alpha-2), in upper case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country(String);

/// What was given is not a country's two letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not the two letters of a country (ISO 3166-1 alpha-2)")]
pub struct NotACountry;

impl Country {
    /// The two letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Country {
    type Error = NotACountry;

    fn try_from(code: String) -> Result<Self, NotACountry> {
        let code = code.trim().to_ascii_uppercase();
        let is_code = code.len() == 2 && code.bytes().all(|letter| letter.is_ascii_uppercase());
        if is_code { Ok(Self(code)) } else { Err(NotACountry) }
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.0
    }
}

/// Who said something, as the source describes them at that moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Author {
    /// The platform's own id, unique in the channel; empty where the source names nobody.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Handle without `@`; with the server where the platform is federated.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub handle: String,
    /// Display name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Profile page.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// How many follow them; `None` when the source does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followers: Option<u64>,
    /// How many they follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub following: Option<u64>,
    /// How many posts they have made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posts: Option<u64>,
    /// The platform vouches for them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub verified: bool,
    /// The account says that it is automated.
    #[serde(default, skip_serializing_if = "is_false")]
    pub bot: bool,
    /// When the account was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
}

/// Reactions to a message; `None` means that the source does not count them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Engagement {
    /// Likes, favourites, upvotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likes: Option<u64>,
    /// Reposts, boosts, shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reposts: Option<u64>,
    /// Replies, comments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replies: Option<u64>,
    /// Quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotes: Option<u64>,
    /// Views, impressions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views: Option<u64>,
    /// Stars of a review, scaled to 1..=5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<f32>,
}

impl Engagement {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Declares an enum of lower-case names that are the same in JSON, SQL and queries.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }
        impl $name {
            /// All values, in order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The name used in JSON, SQL and queries.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

named! {
    /// What sort of message it is.
    Kind {
        /// A post that starts a thread.
        #[default] Post => "post",
        /// An answer to a post.
        Reply => "reply",
        /// A repetition without words of one's own.
        Repost => "repost",
        /// A repetition with words of one's own.
        Quote => "quote",
        /// A comment under an article, video or picture.
        Comment => "comment",
        /// A review with or without stars.
        Review => "review",
        /// A news item, blog entry or press release.
        Article => "article",
        /// An e-mail.
        Email => "email",
        /// A chat message.
        Chat => "chat",
    }
}

named! {
    /// Whether a message was said to (or about) the brand, or by it.
    Direction {
        /// Said by others.
        #[default] Inbound => "inbound",
        /// The brand's own words; needed for response times.
        Outbound => "outbound",
    }
}

named! {
    /// Who may see a message.
    Visibility {
        /// Everybody.
        #[default] Public => "public",
        /// Only its addressees: e-mail, chat, direct messages.
        Private => "private",
    }
}

named! {
    /// Whether a person wrote a message to somebody, as far as its source says so.
    Noise {
        /// A person's words, for all that is known.
        #[default] None => "none",
        /// Written by a program: an absence note, a receipt, a failed delivery.
        Automatic => "automatic",
        /// One text to many: a newsletter, a mailing list.
        Bulk => "bulk",
    }
}

impl Noise {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl Direction {
    fn is_inbound(&self) -> bool {
        *self == Self::Inbound
    }
}

impl Visibility {
    fn is_public(&self) -> bool {
        *self == Self::Public
    }
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !value
}
