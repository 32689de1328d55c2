//! A query as a tree, and the tree as text: `parse(tree.to_string())` is the tree again.

use std::fmt::{self, Display, Formatter, Write};
use std::ops::Range;

use hearken_connectors::Kind;
use jiff::Timestamp;
use jiff::civil::Date;

/// A query, in the shape in which it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// All of them, two or more.
    And(Vec<Expr>),
    /// At least one of them, two or more.
    Or(Vec<Expr>),
    /// Not this one.
    Not(Box<Expr>),
    /// Two things close to each other.
    Near(Near),
    /// Something to find.
    Clause(Clause),
}

/// `left NEAR/n right` or `left ONEAR/n right`. The sides are clauses that are made of words
/// ([`Find::has_place`]), alternatives of such, or two more things that are near each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Near {
    /// One side; with `ordered`, the one that comes first.
    pub left: Box<Expr>,
    /// The other side.
    pub right: Box<Expr>,
    /// At most this many words stand between them.
    pub distance: usize,
    /// Whether they stand in this order.
    pub ordered: bool,
}

/// The smallest part of a query: something to find in a message.
///
/// Two clauses are equal when they say the same, wherever they stand. `Display` shows a clause as
/// it is written in a query.
#[derive(Debug, Clone, Eq)]
pub struct Clause {
    /// What is looked for.
    pub find: Find,
    /// Where it stands in the query, in characters.
    pub span: Range<usize>,
}

impl PartialEq for Clause {
    fn eq(&self, other: &Self) -> bool {
        self.find == other.find
    }
}

/// What a clause looks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Find {
    /// Words of title or text.
    Text(Text),
    /// `@handle`, in the text or among the handles that the source says are mentioned.
    Handle(String),
    /// `#hashtag`, in the text or among the hashtags that the source says are there.
    Hashtag(String),
    /// `$CASH`, a ticker symbol in the text.
    Cashtag(String),
    /// `raw:"Exact!"`: these characters as they are, in title or text.
    Raw(String),
    /// `/regular expression/`, in title or text as they are.
    Regex(Regex),
    /// `author:handle`: said by the account with this handle, with or without its server, or with this id.
    Author(String),
    /// `author:"Jane Doe"`: these words in the display name of who said it.
    AuthorName(String),
    /// `site:example.com`: the message is on this host, or on one below it.
    Site(String),
    /// `url:example.com/shop`: part of the message's address or of a link in it.
    Url(String),
    /// `lang:tr`: the detected language, a BCP 47 primary tag.
    Language(String),
    /// `channel:imap`: heard on this channel.
    Channel(String),
    /// `source:care`: heard by this source of the configuration.
    Source(String),
    /// `kind:review`.
    Kind(Kind),
    /// `country:TR`: ISO 3166-1 alpha-2, where the source says so.
    Country(String),
    /// `has:link`.
    Has(Has),
    /// `is:reply`.
    Is(Is),
    /// `followers:>1000`: how many follow the author.
    Followers(Comparison<u64>),
    /// `engagement:>=10`: likes, reposts, replies and quotes together.
    Engagement(Comparison<u64>),
    /// `rating:<3`: stars of a review, in hundredths.
    Rating(Comparison<u64>),
    /// `published:>2026-01-01`.
    Published(Comparison<When>),
}

impl Find {
    /// Whether it stands at some place among the words, so that something can be near it.
    pub fn has_place(&self) -> bool {
        match self {
            Self::Text(text) => !text.in_title,
            Self::Handle(_) | Self::Hashtag(_) | Self::Cashtag(_) => true,
            _ => false,
        }
    }
}

/// Words of a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Text {
    /// How the words stand together.
    pub form: Form,
    /// `title:`: only in the title.
    pub in_title: bool,
    /// `fold:`: accents do not count.
    pub is_folded: bool,
}

impl Text {
    /// What is looked for, without quotation marks.
    pub fn words(&self) -> &str {
        match &self.form {
            Form::Word(words) | Form::Phrase(words) | Form::Within(words, _) | Form::Wildcard(words) => words,
        }
    }
}

/// How words stand together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Form {
    /// `word`.
    Word(String),
    /// `"one after the other"`.
    Phrase(String),
    /// `"in any order"~5`: with at most this many other words among them.
    Within(String, usize),
    /// `wild*`, `w?ld`, `*suffix`: `*` is any letters or none, `?` is one.
    Wildcard(String),
}

/// A regular expression in the syntax of the crate `regex`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Regex {
    /// The expression, without its slashes.
    pub pattern: String,
    /// `/.../i`: upper and lower case are one.
    pub ignores_case: bool,
}

/// What comes with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Has {
    /// A link.
    Link,
    /// A picture, video or sound.
    Media,
    /// An emoji in title or text.
    Emoji,
}

impl Has {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Link, Self::Media, Self::Emoji];

    /// The name in a query.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Media => "media",
            Self::Emoji => "emoji",
        }
    }
}

/// What a message, or its author, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Is {
    /// It answers another one.
    Reply,
    /// It repeats another one without words of its own.
    Repost,
    /// The platform vouches for its author.
    Verified,
}

impl Is {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Reply, Self::Repost, Self::Verified];

    /// The name in a query.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Repost => "repost",
            Self::Verified => "verified",
        }
    }
}

/// `>1000`, `>=10`, `<3`, `<=3`, or `3` for exactly that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Comparison<T> {
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub value: T,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=`, or nothing.
    Equal,
    /// `<`.
    Less,
    /// `<=`.
    AtMost,
    /// `>`.
    Greater,
    /// `>=`.
    AtLeast,
}

/// A moment, or a whole day (UTC): later than a day is after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum When {
    /// `2026-01-01`.
    Day(Date),
    /// `2026-01-01T12:00:00Z`.
    Moment(Timestamp),
}

impl Expr {
    /// All clauses, from left to right.
    pub fn clauses(&self) -> Vec<&Clause> {
        match self {
            Self::Clause(clause) => vec![clause],
            Self::Not(item) => item.clauses(),
            Self::Near(near) => near.left.clauses().into_iter().chain(near.right.clauses()).collect(),
            Self::And(items) | Self::Or(items) => items.iter().flat_map(Self::clauses).collect(),
        }
    }

    /// From its first clause to its last, in characters of the query.
    pub fn span(&self) -> Range<usize> {
        let clauses = self.clauses();
        let start = clauses.first().map_or(0, |clause| clause.span.start);
        start..clauses.last().map_or(start, |clause| clause.span.end)
    }

    /// The alternative that is true of a message in which nothing is found: it would claim all that
    /// was ever said.
    pub fn unbounded_part(&self) -> Option<&Self> {
        match self {
            Self::Clause(_) | Self::Near(_) => None,
            Self::Not(item) => item.unbounded_part().is_none().then_some(self),
            Self::And(items) => items.iter().all(|item| item.unbounded_part().is_some()).then_some(self),
            Self::Or(items) => items.iter().find_map(Self::unbounded_part),
        }
    }

    /// An operand, in parentheses where it would be read otherwise without them.
    fn fmt_operand(&self, f: &mut Formatter<'_>, binds_tighter: bool) -> fmt::Result {
        match self {
            Self::Clause(_) | Self::Not(_) => self.fmt(f),
            _ if binds_tighter => self.fmt(f),
            _ => write!(f, "({self})"),
        }
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let list = |f: &mut Formatter<'_>, items: &[Self], operator: &str| {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    f.write_str(operator)?;
                }
                // NEAR binds tighter than AND, AND tighter than OR; equal operators keep the grouping
                // they came with.
                let binds_tighter = matches!((self, item), (Self::Or(_), Self::And(_)) | (_, Self::Near(_)));
                item.fmt_operand(f, binds_tighter)?;
            }
            Ok(())
        };
        match self {
            Self::Clause(clause) => clause.fmt(f),
            Self::And(items) => list(f, items, " AND "),
            Self::Or(items) => list(f, items, " OR "),
            Self::Not(item) => {
                f.write_str("NOT ")?;
                item.fmt_operand(f, matches!(**item, Self::Near(_)))
            }
            Self::Near(Near { left, right, distance, ordered }) => {
                left.fmt_operand(f, matches!(**left, Self::Near(_)))?;
                write!(f, " {}NEAR/{distance} ", if *ordered { "O" } else { "" })?;
                right.fmt_operand(f, false)
            }
        }
    }
}

impl Display for Clause {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.find.fmt(f)
    }
}

impl Display for Find {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.fmt(f),
            Self::Handle(handle) => write!(f, "@{handle}"),
            Self::Hashtag(hashtag) => write!(f, "#{hashtag}"),
            Self::Cashtag(cashtag) => write!(f, "${cashtag}"),
            Self::Raw(text) => write!(f, "raw:{}", Quoted(text)),
            Self::Regex(regex) => regex.fmt(f),
            Self::Author(handle) => write!(f, "author:{handle}"),
            Self::AuthorName(name) => write!(f, "author:{}", Quoted(name)),
            Self::Site(host) => write!(f, "site:{}", Bare(host)),
            Self::Url(part) => write!(f, "url:{}", Bare(part)),
            Self::Language(tag) => write!(f, "lang:{}", Bare(tag)),
            Self::Channel(channel) => write!(f, "channel:{}", Bare(channel)),
            Self::Source(source) => write!(f, "source:{}", Bare(source)),
            Self::Kind(kind) => write!(f, "kind:{}", kind.as_str()),
            Self::Country(code) => write!(f, "country:{code}"),
            Self::Has(has) => write!(f, "has:{}", has.as_str()),
            Self::Is(is) => write!(f, "is:{}", is.as_str()),
            Self::Followers(Comparison { operator, value }) => write!(f, "followers:{operator}{value}"),
            Self::Engagement(Comparison { operator, value }) => write!(f, "engagement:{operator}{value}"),
            Self::Rating(Comparison { operator, value }) => write!(f, "rating:{operator}{}", Hundredths(*value)),
            Self::Published(Comparison { operator, value }) => write!(f, "published:{operator}{value}"),
        }
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.in_title { "title:" } else { "" })?;
        f.write_str(if self.is_folded { "fold:" } else { "" })?;
        match &self.form {
            Form::Word(word) | Form::Wildcard(word) => f.write_str(word),
            Form::Phrase(phrase) => Quoted(phrase).fmt(f),
            Form::Within(phrase, distance) => write!(f, "{}~{distance}", Quoted(phrase)),
        }
    }
}

impl Display for Regex {
    /// A slash inside is written `\/`, unless it is already.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('/')?;
        let mut is_escaped = false;
        for c in self.pattern.chars() {
            if c == '/' && !is_escaped {
                f.write_char('\\')?;
            }
            f.write_char(c)?;
            is_escaped = c == '\\' && !is_escaped;
        }
        f.write_str(if self.ignores_case { "/i" } else { "/" })
    }
}

impl Display for Operator {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        })
    }
}

impl Display for When {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::Moment(moment) => moment.fmt(f),
        }
    }
}

/// In quotation marks; inside, `\"` is a quotation mark and `\\` a backslash.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// As it is where that can be read back; else in quotation marks.
struct Bare<'a>(&'a str);

impl Display for Bare<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if super::lexer::is_bare(self.0) { f.write_str(self.0) } else { Quoted(self.0).fmt(f) }
    }
}

struct Hundredths(u64);

impl Display for Hundredths {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let digits = format!("{}.{:02}", self.0 / 100, self.0 % 100);
        f.write_str(digits.trim_end_matches('0').trim_end_matches('.'))
    }
}
