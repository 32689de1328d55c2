//! From the fields of somebody else's records to a message: the settings `fields`, `set` and `time_format`.

mod json;
mod record;
mod time;

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use memchr::memchr;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::error::Category;
use sha2::{Digest, Sha256};

use self::json::Node;
pub(crate) use self::json::steps;
use self::record::Unfit;
pub(crate) use self::record::Value;
use self::time::TimeFormat;
use crate::contract::BuildError;
use crate::message::{Author, Country, Direction, Engagement, Kind, Message, MessageId, Visibility};
use crate::settings::unknown_key;
use crate::text;

type Map = serde_json::Map<String, serde_json::Value>;

/// Declares the message fields that can be mapped, in one place with their names.
macro_rules! fields {
    ($($field:ident => $name:literal),+ $(,)?) => {
        /// A field of a message that a record can fill.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Field { $($field),+ }

        impl Field {
            const ALL: &'static [Self] = &[$(Self::$field),+];
            /// The names used in `fields` and `set`, in the order of [`Field::ALL`].
            const NAMES: &'static [&'static str] = &[$($name),+];

            fn name(self) -> &'static str {
                match self { $(Self::$field => $name),+ }
            }
        }
    };
}

fields! {
    Id => "id",
    Version => "version",
    Deleted => "deleted",
    Kind => "kind",
    Direction => "direction",
    Visibility => "visibility",
    AuthorId => "author.id",
    AuthorHandle => "author.handle",
    AuthorName => "author.name",
    AuthorUrl => "author.url",
    AuthorFollowers => "author.followers",
    AuthorFollowing => "author.following",
    AuthorPosts => "author.posts",
    AuthorVerified => "author.verified",
    AuthorBot => "author.bot",
    AuthorCreated => "author.created",
    Title => "title",
    Text => "text",
    Url => "url",
    Hashtags => "hashtags",
    Mentioned => "mentioned",
    InReplyTo => "in_reply_to",
    RepostOf => "repost_of",
    Conversation => "conversation",
    Media => "media",
    Likes => "engagement.likes",
    Reposts => "engagement.reposts",
    Replies => "engagement.replies",
    Quotes => "engagement.quotes",
    Views => "engagement.views",
    Rating => "engagement.rating",
    Language => "language",
    Country => "country",
    PublishedAt => "published_at",
}

const FIELD_COUNT: usize = Field::ALL.len();

/// The mapped values of one record, by field.
#[derive(Debug)]
pub(crate) struct Record<'a>([Value<'a>; FIELD_COUNT]);

impl<'a> Record<'a> {
    /// Takes a value; a later one replaces it.
    pub(crate) fn put(&mut self, field: Field, value: Value<'a>) {
        if let Some(slot) = self.0.get_mut(field as usize) {
            *slot = value;
        }
    }

    /// Adds a value to the field's list.
    pub(crate) fn push(&mut self, field: Field, value: Value<'a>) {
        match self.0.get_mut(field as usize) {
            Some(Value::List(values)) => values.push(value),
            Some(slot) => *slot = Value::List(vec![value]),
            None => {}
        }
    }

    fn take(&mut self, field: Field) -> Value<'a> {
        self.0.get_mut(field as usize).map(std::mem::take).unwrap_or_default()
    }
}

/// Which field of a record fills which field of a message.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Where each field comes from, as written in the settings.
    paths: Vec<(Field, String)>,
    /// The same as a tree, for walking a JSON object once.
    tree: Node,
    constants: Vec<(Field, Value<'static>)>,
    channel: String,
    source: String,
    time_format: TimeFormat,
}

impl Mapping {
    /// Checks the tables `fields` and `set`, in which nested tables mean the same as dotted keys, and the pattern
    /// `time_format`. Messages are of `channel` unless `set` names another.
    pub(crate) fn new(
        fields: &toml::Table,
        set: &toml::Table,
        time_format: Option<&str>,
        channel: &str,
        source: &str,
    ) -> Result<Self, BuildError> {
        let time_format = match time_format {
            Some(pattern) => TimeFormat::pattern(pattern)
                .map_err(|error| BuildError::setting("time_format", &format!("is not a strptime pattern: {error}")))?,
            None => TimeFormat::Detect,
        };
        let mut paths = Vec::new();
        for (key, value) in flatten(fields) {
            let field = field(&key).ok_or_else(|| unknown_key(&key, "fields", Field::NAMES))?;
            let toml::Value::String(path) = value else {
                return Err(BuildError::setting(
                    &format!("fields.{key}"),
                    "takes the name of a record's field, as a string",
                ));
            };
            paths.push((field, path.clone()));
        }

        let mut mapping = Self {
            tree: Node::of(&paths),
            paths,
            constants: Vec::new(),
            channel: channel.to_owned(),
            source: source.to_owned(),
            time_format,
        };
        for (key, value) in flatten(set) {
            mapping.set(&key, value)?;
        }
        Ok(mapping)
    }

    fn set(&mut self, key: &str, value: &toml::Value) -> Result<(), BuildError> {
        let wrong = |reason: &str| BuildError::setting(&format!("set.{key}"), reason);
        if key == "channel" {
            let channel = value.as_str().filter(|name| !name.is_empty()).ok_or_else(|| wrong("takes a name"))?;
            channel.clone_into(&mut self.channel);
            return Ok(());
        }
        let field = field(key).ok_or_else(|| unknown_key(key, "set", &constants()))?;
        if field == Field::Id {
            return Err(wrong("a constant id would make all records one message"));
        }
        if self.path(field).is_some() {
            return Err(wrong(&format!("`fields.{key}` fills this field already")));
        }
        let value = match value {
            toml::Value::String(text) => Value::Text(text.clone().into()),
            toml::Value::Integer(number) => Value::Int(*number),
            toml::Value::Float(number) => Value::Float(*number),
            toml::Value::Boolean(flag) => Value::Bool(*flag),
            toml::Value::Datetime(datetime) => Value::Text(datetime.to_string().into()),
            _ => return Err(wrong("takes a plain value")),
        };
        // A constant that does not fit is found here, not at each record. A deletion is the record
        // that needs nothing but its id.
        let mut probe = self.record();
        probe.put(Field::Deleted, Value::Bool(true));
        probe.put(Field::Id, Value::Int(0));
        probe.put(field, value.clone());
        self.message(probe, b"", Timestamp::UNIX_EPOCH).map_err(|reason| wrong(&reason))?;
        self.constants.push((field, value));
        Ok(())
    }

    /// Also checks what records in JSON need, which are Hearken messages where no field is mapped; `set` is the table
    /// that this was made from.
    pub(crate) fn for_json(self, set: &toml::Table) -> Result<Self, BuildError> {
        let says_something = [Field::Text, Field::Title].iter().any(|field| self.path(*field).is_some());
        if !self.is_empty() && !says_something {
            return Err(BuildError::setting("fields.text", "is missing: which field of a record holds the text?"));
        }
        if self.is_empty() && !set.is_empty() {
            let reason = "needs `fields`: without them each record is a Hearken message, taken as it is";
            return Err(BuildError::setting("set", reason));
        }
        Ok(self)
    }

    /// True when no field is mapped: records in JSON are Hearken messages, CSV columns go by name.
    fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The fields that come out of a CSV file with these column names, by column. Fails with the
    /// setting and the name of a column that is not there.
    pub(crate) fn columns(&self, names: &[&str]) -> Result<Vec<Vec<Field>>, String> {
        let mut columns = vec![Vec::new(); names.len()];
        let by_name: Vec<(Field, &str)> = if self.is_empty() {
            Field::ALL.iter().map(|field| (*field, field.name())).filter(|(_, name)| names.contains(name)).collect()
        } else {
            self.paths.iter().map(|(field, path)| (*field, path.as_str())).collect()
        };
        for (field, path) in &by_name {
            let column = names.iter().position(|name| name.trim() == *path).and_then(|index| columns.get_mut(index));
            let Some(column) = column else {
                let hint = crate::settings::nearest(path, names);
                let hint = hint.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
                let known = names.join(", ");
                return Err(format!("no column `{path}` for fields.{}{hint}; the columns are {known}", field.name()));
            };
            column.push(*field);
        }
        if !by_name.iter().any(|(field, _)| matches!(field, Field::Text | Field::Title)) {
            return Err(format!(
                "no column is named `text`: map one with fields.text; the columns are {}",
                names.join(", ")
            ));
        }
        Ok(columns)
    }

    /// A record that holds the constants only.
    pub(crate) fn record(&self) -> Record<'_> {
        let mut record = Record(std::array::from_fn(|_| Value::Absent));
        for (field, value) in &self.constants {
            record.put(*field, value.clone());
        }
        record
    }

    /// The message of a record in JSON. `id` stands in for one that is not mapped; without it, a hash of the record
    /// does. Fails with a reason that quotes nothing of the record.
    pub(crate) fn json(&self, text: &str, id: Option<String>, observed_at: Timestamp) -> Result<Message, String> {
        if self.is_empty() {
            return serde_json::from_str(text).map_err(|error| json_reason(&error, "a Hearken message"));
        }
        let mut record = self.record();
        if let (Some(id), None) = (id, self.path(Field::Id)) {
            record.put(Field::Id, Value::Text(id.into()));
        }
        self.tree.read(text, &mut record).map_err(|error| json_reason(&error, "a JSON object"))?;
        self.message(record, text.as_bytes(), observed_at)
    }

    /// The message of a record. `bytes` is the record as it came, which stands in for a missing id.
    /// Fails with a reason that names the record's field, never its value.
    pub(crate) fn message(
        &self,
        mut record: Record<'_>,
        bytes: &[u8],
        observed_at: Timestamp,
    ) -> Result<Message, String> {
        let r = &mut record;
        let deleted = self.get(r, Field::Deleted, Value::flag)?;
        let native_id = match self.get(r, Field::Id, Value::text)? {
            Some(id) => id.trim().to_owned(),
            None if self.path(Field::Id).is_some() => return Err(self.reason(Field::Id, "is missing")),
            None => content_id(bytes),
        };
        let published_at = match self.time(r, Field::PublishedAt)? {
            Some(time) => time,
            None if self.path(Field::PublishedAt).is_some() && !deleted => {
                return Err(self.reason(Field::PublishedAt, "is missing"));
            }
            None => observed_at,
        };

        let mut message = Message::new(&self.channel, &self.source, &native_id, published_at, observed_at);
        message.version = self.version(r)?;
        message.deleted = deleted;
        message.author = self.author(r)?;
        message.title = self.text(r, Field::Title)?;
        message.text = self.text(r, Field::Text)?;
        message.url = self.url(r, Field::Url)?;
        message.in_reply_to = self.reference(r, Field::InReplyTo)?;
        message.repost_of = self.reference(r, Field::RepostOf)?;
        message.conversation = self.text(r, Field::Conversation)?;
        message.engagement = self.engagement(r)?;
        message.media = self.get(r, Field::Media, Value::presence)?;
        message.language = self.get(r, Field::Language, Value::text)?.map(Cow::into_owned);
        message.country = self.country(r)?;
        message.direction = self.named(r, Field::Direction, Direction::ALL, Direction::as_str)?.unwrap_or_default();
        message.visibility = self.named(r, Field::Visibility, Visibility::ALL, Visibility::as_str)?.unwrap_or_default();
        message.kind = match self.named(r, Field::Kind, Kind::ALL, Kind::as_str)? {
            Some(kind) => kind,
            None if message.repost_of.is_some() => Kind::Repost,
            None if message.in_reply_to.is_some() => Kind::Reply,
            None => Kind::Post,
        };
        message.hashtags = self.get(r, Field::Hashtags, |value| value.names('#'))?;
        message.mentioned = self.get(r, Field::Mentioned, |value| value.names('@'))?;
        self.read_text(&mut message);

        let says_nothing = message.text.is_empty() && message.title.is_empty();
        if says_nothing && !deleted && message.kind != Kind::Repost {
            return Err(self.reason(Field::Text, "is missing"));
        }
        Ok(message)
    }

    /// What the text itself says, unless the export says it.
    fn read_text(&self, message: &mut Message) {
        let text = message.text.as_str();
        // Most texts hold none of these signs; a full-width one starts with the byte EF.
        let full_width = memchr(0xef, text.as_bytes()).is_some();
        let holds = |sign: u8| full_width || memchr(sign, text.as_bytes()).is_some();
        if self.path(Field::Hashtags).is_none() && holds(b'#') {
            message.hashtags = text::hashtags(text);
        }
        if self.path(Field::Mentioned).is_none() && holds(b'@') {
            message.mentioned = text::mentions(text);
        }
        if memchr(b':', text.as_bytes()).is_some() {
            message.links = text::links(text);
        }
    }

    fn author(&self, r: &mut Record<'_>) -> Result<Author, String> {
        let handle = self.text(r, Field::AuthorHandle)?.trim().trim_start_matches('@').to_owned();
        let id = self.get(r, Field::AuthorId, Value::text)?;
        Ok(Author {
            // An export without ids identifies its authors by handle.
            id: id.map_or_else(|| handle.clone(), Cow::into_owned),
            handle,
            name: self.text(r, Field::AuthorName)?,
            url: self.url(r, Field::AuthorUrl)?,
            followers: self.get(r, Field::AuthorFollowers, Value::count)?,
            following: self.get(r, Field::AuthorFollowing, Value::count)?,
            posts: self.get(r, Field::AuthorPosts, Value::count)?,
            verified: self.get(r, Field::AuthorVerified, Value::flag)?,
            bot: self.get(r, Field::AuthorBot, Value::flag)?,
            created: self.time(r, Field::AuthorCreated)?,
        })
    }

    fn engagement(&self, r: &mut Record<'_>) -> Result<Engagement, String> {
        let rating = self.get(r, Field::Rating, Value::number)?;
        if rating.is_some_and(|stars| !(1.0..=5.0).contains(&stars)) {
            return Err(self.reason(Field::Rating, "is not between 1 and 5"));
        }
        Ok(Engagement {
            likes: self.get(r, Field::Likes, Value::count)?,
            reposts: self.get(r, Field::Reposts, Value::count)?,
            replies: self.get(r, Field::Replies, Value::count)?,
            quotes: self.get(r, Field::Quotes, Value::count)?,
            views: self.get(r, Field::Views, Value::count)?,
            rating,
        })
    }

    /// A revision number, or the time of the edit.
    fn version(&self, r: &mut Record<'_>) -> Result<u64, String> {
        let value = r.take(Field::Version);
        if let Ok(number) = value.clone().count() {
            return Ok(number.unwrap_or(0));
        }
        let edited = self.time_format.read(&value).or_else(|| TimeFormat::Detect.read(&value));
        edited
            .and_then(|time| u64::try_from(time.as_millisecond()).ok())
            .ok_or_else(|| self.reason(Field::Version, "is neither a number nor a date"))
    }

    fn text(&self, r: &mut Record<'_>, field: Field) -> Result<String, String> {
        Ok(self.get(r, field, Value::text)?.map(Cow::into_owned).unwrap_or_default())
    }

    /// A web address; anything else would become a link that nobody may click on.
    fn url(&self, r: &mut Record<'_>, field: Field) -> Result<String, String> {
        let url = self.text(r, field)?;
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        let is_web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
        Ok(if is_web { url } else { String::new() })
    }

    fn country(&self, r: &mut Record<'_>) -> Result<Option<Country>, String> {
        let code = self.get(r, Field::Country, Value::text)?;
        let country = code.map(|code| Country::try_from(code.into_owned())).transpose();
        country.map_err(|error| self.reason(Field::Country, &error.to_string()))
    }

    fn reference(&self, r: &mut Record<'_>, field: Field) -> Result<Option<MessageId>, String> {
        let native_id = self.get(r, field, Value::text)?;
        Ok(native_id.map(|native_id| MessageId::of(&self.channel, native_id.trim())))
    }

    fn time(&self, r: &mut Record<'_>, field: Field) -> Result<Option<Timestamp>, String> {
        let value = r.take(field);
        if value.clone().text().is_ok_and(|text| text.is_none()) {
            return Ok(None);
        }
        let time = self.time_format.read(&value).ok_or_else(|| self.reason(field, "is not a date that can be read"))?;
        Ok(Some(time))
    }

    fn named<T: Copy>(
        &self,
        r: &mut Record<'_>,
        field: Field,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Result<Option<T>, String> {
        let Some(text) = self.get(r, field, Value::text)? else { return Ok(None) };
        let found = all.iter().copied().find(|one| name(*one).eq_ignore_ascii_case(text.trim()));
        found.map(Some).ok_or_else(|| {
            let known = all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ");
            self.reason(field, &format!("is none of {known}"))
        })
    }

    fn get<'a, T>(
        &self,
        r: &mut Record<'a>,
        field: Field,
        read: impl FnOnce(Value<'a>) -> Result<T, Unfit>,
    ) -> Result<T, String> {
        read(r.take(field)).map_err(|Unfit(what)| self.reason(field, what))
    }

    fn path(&self, field: Field) -> Option<&str> {
        self.paths.iter().find(|(mapped, _)| *mapped == field).map(|(_, path)| path.as_str())
    }

    fn reason(&self, field: Field, what: &str) -> String {
        match self.path(field) {
            Some(path) => format!("`{path}` (fields.{}) {what}", field.name()),
            None => format!("{} {what}", field.name()),
        }
    }
}

/// An id for a record that has none: a hash of its bytes, so that it stays the same wherever the
/// record stands, and so that two equal records are one message.
fn content_id(bytes: &[u8]) -> String {
    Sha256::digest(bytes.trim_ascii()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// What is wrong with a JSON record; quotes nothing of it.
pub(crate) fn json_reason(error: &serde_json::Error, expected: &str) -> String {
    let shown = error.to_string();
    match error.classify() {
        // A value of the wrong type would be quoted in the error.
        Category::Data if !shown.starts_with("missing field") => format!("is not {expected}"),
        Category::Data => {
            format!("is not {expected}: {}", shown.split_once(" at line").map_or(shown.as_str(), |(what, _)| what))
        }
        _ => format!("is not JSON: {}", shown.replace(" at line 1 column", " at column")),
    }
}

/// Describes the table `fields`.
pub(crate) fn fields_schema(_: &mut SchemaGenerator) -> Schema {
    table_schema(Field::NAMES, &json_schema!({ "type": "string" }))
}

/// Describes the table `set`.
pub(crate) fn set_schema(_: &mut SchemaGenerator) -> Schema {
    table_schema(&constants(), &json_schema!({ "type": ["string", "number", "boolean"] }))
}

/// The names used in `set`: the channel, and every field but the id.
fn constants() -> Vec<&'static str> {
    let names = Field::NAMES.iter().copied().filter(|name| *name != Field::Id.name());
    std::iter::once("channel").chain(names).collect()
}

/// Describes a table that holds `value` under each of these names; one with a dot is in a table within.
fn table_schema(names: &[&str], value: &Schema) -> Schema {
    let table =
        |properties: Map| json_schema!({ "type": "object", "properties": properties, "additionalProperties": false });
    let (mut outer, mut inner) = (Map::new(), BTreeMap::<&str, Map>::new());
    for name in names {
        let (properties, key) = match name.split_once('.') {
            None => (&mut outer, *name),
            Some((table, key)) => (inner.entry(table).or_default(), key),
        };
        properties.insert(key.to_owned(), value.clone().to_value());
    }
    outer.extend(inner.into_iter().map(|(name, properties)| (name.to_owned(), table(properties).to_value())));
    table(outer)
}

fn field(key: &str) -> Option<Field> {
    Field::ALL.iter().copied().find(|field| field.name() == key)
}

/// The leaves of nested tables, by dotted key.
fn flatten(table: &toml::Table) -> Vec<(String, &toml::Value)> {
    let mut leaves = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => {
                leaves.extend(flatten(inner).into_iter().map(|(below, leaf)| (format!("{key}.{below}"), leaf)));
            }
            leaf => leaves.push((key.clone(), leaf)),
        }
    }
    leaves
}
