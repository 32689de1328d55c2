//! Queries and messages that are made of the same few words, so that they often find each other.

use hearken::query::Fields;
use hearken::query::ast::{Clause, Comparison, Expr, Find, Form, Has, Is, Near, Operator, Regex, Text, When};
use hearken::query::parser::parse;
use hearken_connectors::{Author, Engagement, Kind};
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Words that a query and a message have in common: of one script each, several the same to a reader.
const THEMES: &[&[&str]] = &[
    &["acme", "ACME", "Acmé", "acme\u{301}", "ａｃｍｅ", "a\u{200b}cme", "acmes", "me"],
    &["good", "god", "so", "late", "united", "reunited", "AA", "A", "x1", "22"],
    &[
        "Straße",
        "STRASSE",
        "ﬁx",
        "fix",
        "Café",
        "cafe",
        "Łódź",
        "lodz",
        "œuvre",
        "ẞ",
        "e\u{301}\u{323}",
        "e\u{323}\u{301}",
    ],
    &["İzmir", "IZMIR", "ızmir", "i\u{307}zmir", "σοφός", "ΣΟΦΟΣ", "σοφοσ"],
    &["п'ять", "п’ять", "пʼять", "пять", "ять", "край", "КРАЙ", "и\u{306}"],
    &["دیجی", "ديجي", "کالا", "كالا", "دیجی\u{200c}کالا", "دیجیکالا", "کـالا", "دِیجی", "۱۲", "12"],
    &["小米", "米", "我爱小米", "スーパー", "が", "か", "ｶﾞ", "iPhone", "㈱"],
    &["ไทย", "กิน", "ก", "ລາວ", "မြန်မာ", "ខ្មែរ", "गोगोगो", "गो", "שָׁלוֹם", "שלום"],
    &["삼성", "삼성이", "인삼", "삼", "\u{1109}\u{1161}\u{11b7}", "한글", "TV", "폰을", "폰"],
    &[
        "👍",
        "👍🏽",
        "👩\u{200d}🚀",
        "👩🏽\u{200d}🚀",
        "🚀",
        "✈\u{fe0f}",
        "→",
        "🇺🇸",
        "🇸🇬",
        "🇺🇸🇬🇧",
        "🏴\u{e0067}\u{e007f}",
        "ok",
    ],
];
const GAPS: &[&str] = &[
    " ", " ", " ", " ", "", ", ", "-", "_", "'", "’", ".", "\u{200c}", "\u{200d}", "\n", " — ", "/", "(", "😀", "™",
    "&",
];
const SIGILS: &[&str] = &["@", "#", "$", "＠", "＃", "a@", " @", "$$", "'@", "\u{301}#"];
const HANDLES: &[&str] = &["acme", "ACME", "acme@x.example", "acme.b", "jet_blue", "un", "acme-fan", "_"];
const HASHTAGS: &[&str] = &["acme", "Acmé", "小米", "دیجی_کالا", "İzmir", "삼성", "un_ited", "x1"];
const CASHTAGS: &[&str] = &["ACME", "acme", "BRK.B", "brk", "A", "ACME_CO"];
const IDS: &[&str] = &["42", "did:plc:ab", "acme"];
const HOSTS: &[&str] = &["example.com", "shop.example.com", "x.example", "com"];
const URLS: &[&str] = &[
    "https://example.com/shop",
    "HTTPS://Shop.Example.com:8080/Shop/shop?x=example.com",
    "http://u:p@x.example",
    "https://notexample.com#shop.example.com",
    "mid:1@example.com",
    "",
];
const URL_PARTS: &[&str] = &["/shop", "SHOP", "e", "example.com/s", "ss", "://", "é"];
const REGEXES: &[&str] = &[
    r"\bacme\b",
    "a.?m",
    r"\d+",
    r"\p{Han}",
    r"o{3,}",
    r"^\w+",
    r"me$",
    r"(UA|AA) ?\d{1,4}",
    "[^a-z ]{2}",
    "ß|ss",
    r"(?s)x.y",
];
const RAWS: &[&str] = &["acme", "ACME", "AT&T", "++", "me", "米", "삼", "👍", " ", "a", "'", "é", "@acme"];
const NAMES: &[&str] = &["imap", "Imap", "matrix", "care", "CARE", "İmap"];
const LANGUAGES: &[&str] = &["tr", "en", "de"];
const COUNTRIES: &[&str] = &["TR", "US", "DE"];
const TIMES: &[&str] = &[
    "2026-01-01T00:00:00Z",
    "2026-01-01T23:59:59.999Z",
    "2026-01-02T00:00:00Z",
    "2026-01-02T12:00:00Z",
    "2026-01-03T00:00:00Z",
];
const DAYS: &[&str] = &["2026-01-01", "2026-01-02", "2026-01-03"];

type Words = &'static [&'static str];

/// Queries and messages of one theme.
pub(crate) fn queries_and_messages() -> impl Strategy<Value = (Vec<Expr>, Vec<Heard>)> {
    select(THEMES).prop_flat_map(|words| (vec(query(words), 1..20), vec(heard(words), 1..6)))
}

fn one_of(list: Words) -> impl Strategy<Value = String> + Clone {
    select(list).prop_map(str::to_owned)
}

/// A word as people write it: in capitals, drawn out, in wide letters, with marks and half-spaces inside.
fn written(words: Words) -> impl Strategy<Value = String> + Clone {
    let place = any::<prop::sample::Index>();
    let repeat = |word: String, place: prop::sample::Index, times: usize| {
        let chars: Vec<char> = word.chars().collect();
        let drawn = place.index(chars.len());
        let times = |at: usize| if at == drawn { times } else { 1 };
        chars.into_iter().enumerate().flat_map(|(at, c)| std::iter::repeat_n(c, times(at))).collect::<String>()
    };
    let insert = |word: String, place: prop::sample::Index, what: &str| {
        let at = word.char_indices().map(|(at, _)| at).nth(place.index(word.chars().count())).unwrap_or(0);
        format!("{}{what}{}", &word[..at], &word[at..])
    };
    let wide = |c: char| if c.is_ascii_graphic() { char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c) } else { c };
    let inside = select(&["\u{200c}", "\u{200b}", "\u{301}", "\u{64e}", "'", "."][..]);
    prop_oneof![
        6 => one_of(words),
        1 => one_of(words).prop_map(|word| word.to_uppercase()),
        2 => (one_of(words), place.clone(), 2..6_usize).prop_map(move |(word, place, times)| repeat(word, place, times)),
        1 => (one_of(words), place, inside).prop_map(move |(word, place, what)| insert(word, place, what)),
        1 => one_of(words).prop_map(move |word| word.chars().map(wide).collect()),
        1 => (one_of(words), one_of(words)).prop_map(|(one, other)| one + &other),
    ]
}

fn query(words: Words) -> impl Strategy<Value = Expr> {
    let clause = prop_oneof![6 => placed(words), 2 => text_clause(words), 2 => filter(words)];
    let leaf = prop_oneof![5 => clause.prop_map(expr), 2 => near(words)];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list = vec(inner.clone(), 2..4);
        prop_oneof![
            2 => list.clone().prop_map(Expr::And),
            2 => list.prop_map(Expr::Or),
            1 => inner.prop_map(|item| Expr::Not(Box::new(item))),
        ]
    })
}

fn expr(find: Find) -> Expr {
    Expr::Clause(Clause { find, span: 0..0 })
}

/// Two things near each other, each of them words or names, alternatives of such, or near each other.
fn near(words: Words) -> impl Strategy<Value = Expr> {
    let near = |side: BoxedStrategy<Expr>| {
        (side.clone(), side, 0..5_usize, any::<bool>()).prop_map(|(left, right, distance, ordered)| {
            Expr::Near(Near { left: Box::new(left), right: Box::new(right), distance, ordered })
        })
    };
    let clause = placed(words).prop_map(expr);
    let side = clause.clone().prop_recursive(2, 6, 3, move |inner| {
        prop_oneof![vec(inner.clone(), 2..4).prop_map(Expr::Or), near(inner.boxed())]
    });
    prop_oneof![3 => near(clause.boxed()), 1 => near(side.boxed())]
}

/// What has a place among the words.
fn placed(words: Words) -> impl Strategy<Value = Find> + Clone {
    prop_oneof![
        8 => text(words).prop_map(|text| Find::Text(Text { in_title: false, ..text })),
        1 => one_of(HANDLES).prop_map(Find::Handle),
        1 => prop_oneof![one_of(HASHTAGS), one_of(words)].prop_map(Find::Hashtag),
        1 => one_of(CASHTAGS).prop_map(Find::Cashtag),
    ]
    .prop_filter("refused", is_allowed)
}

fn is_allowed(find: &Find) -> bool {
    parse(&find.to_string()).is_ok()
}

fn text(words: Words) -> impl Strategy<Value = Text> + Clone {
    let phrase = |count| {
        let gap = select(&[" ", " ", "-", "\u{200c}", "’"][..]);
        vec((one_of(words), gap), count)
            .prop_map(|parts| parts.into_iter().map(|(word, gap)| word + gap).collect::<String>())
    };
    let form = prop_oneof![
        3 => one_of(words).prop_map(Form::Word),
        2 => phrase(1..4).prop_map(Form::Phrase),
        2 => (phrase(2..5), 0..4_usize).prop_map(|(phrase, distance)| Form::Within(phrase, distance)),
        2 => wildcard(words).prop_map(Form::Wildcard),
    ];
    (form, prop::bool::weighted(0.2), prop::bool::weighted(0.3)).prop_map(|(form, in_title, is_folded)| Text {
        form,
        in_title,
        is_folded,
    })
}

/// A word in which signs stand for some of its letters.
fn wildcard(words: Words) -> impl Strategy<Value = String> + Clone {
    let signs = vec(option::weighted(0.4, select(&['*', '?'][..])), 5);
    let pattern = (one_of(words), signs).prop_map(|(word, signs): (String, Vec<Option<char>>)| {
        let sign = |at: usize| signs.get(at).copied().flatten();
        let mut pattern: Vec<char> = word.chars().enumerate().map(|(at, c)| sign(at + 1).unwrap_or(c)).collect();
        pattern.extend(sign(0));
        pattern.dedup_by(|one, next| *one == '*' && *next == '*');
        String::from_iter(pattern)
    });
    pattern.prop_filter("no sign in it", |pattern| pattern.contains(['*', '?']))
}

fn text_clause(words: Words) -> impl Strategy<Value = Find> + Clone {
    prop_oneof![
        2 => text(words).prop_map(|text| Find::Text(Text { in_title: true, ..text })),
        2 => prop_oneof![one_of(RAWS), one_of(words), (one_of(words), select(GAPS)).prop_map(|(word, gap)| word + gap)]
            .prop_map(Find::Raw),
        1 => (one_of(REGEXES), any::<bool>())
            .prop_map(|(pattern, ignores_case)| Find::Regex(Regex { pattern, ignores_case })),
    ]
    .prop_filter("refused", is_allowed)
}

fn comparison<T: Clone + std::fmt::Debug>(
    value: impl Strategy<Value = T> + Clone,
) -> impl Strategy<Value = Comparison<T>> + Clone {
    use Operator::{AtLeast, AtMost, Equal, Greater, Less};
    (select(&[Equal, Less, AtMost, Greater, AtLeast][..]), value)
        .prop_map(|(operator, value)| Comparison { operator, value })
}

fn filter(words: Words) -> impl Strategy<Value = Find> + Clone {
    let moment = select(TIMES).prop_map(|at| When::Moment(at.parse().unwrap()));
    let day = select(DAYS).prop_map(|day| When::Day(day.parse().unwrap()));
    let clauses: Vec<BoxedStrategy<Find>> = vec![
        prop_oneof![one_of(HANDLES), one_of(IDS)].prop_map(Find::Author).boxed(),
        vec(one_of(words), 1..3).prop_map(|words| Find::AuthorName(words.join(" "))).boxed(),
        one_of(HOSTS).prop_map(Find::Site).boxed(),
        one_of(URL_PARTS).prop_map(Find::Url).boxed(),
        one_of(LANGUAGES).prop_map(Find::Language).boxed(),
        one_of(NAMES).prop_map(Find::Channel).boxed(),
        one_of(NAMES).prop_map(Find::Source).boxed(),
        select(Kind::ALL).prop_map(Find::Kind).boxed(),
        one_of(COUNTRIES).prop_map(Find::Country).boxed(),
        select(&Has::ALL[..]).prop_map(Find::Has).boxed(),
        select(&Is::ALL[..]).prop_map(Find::Is).boxed(),
        comparison(0..4_u64).prop_map(Find::Followers).boxed(),
        comparison(0..4_u64).prop_map(Find::Engagement).boxed(),
        comparison((2..10_u64).prop_map(|halves| halves * 50)).prop_map(Find::Rating).boxed(),
        comparison(prop_oneof![moment, day]).prop_map(Find::Published).boxed(),
    ];
    proptest::strategy::Union::new(clauses)
}

/// A message as it was heard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    title: String,
    text: String,
    mentioned: Vec<String>,
    hashtags: Vec<String>,
    channel: String,
    source: String,
    kind: Option<Kind>,
    author: Option<Author>,
    url: String,
    links: Vec<String>,
    is_reply: bool,
    has_media: bool,
    country: String,
    language: String,
    engagement: Engagement,
    published_at: Option<Timestamp>,
}

impl Heard {
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields {
            title: &self.title,
            text: &self.text,
            mentioned: &self.mentioned,
            hashtags: &self.hashtags,
            channel: &self.channel,
            source: &self.source,
            kind: self.kind,
            author: self.author.as_ref(),
            url: &self.url,
            links: &self.links,
            is_reply: self.is_reply,
            has_media: self.has_media,
            country: &self.country,
            language: &self.language,
            engagement: self.engagement,
            published_at: self.published_at,
        }
    }
}

fn or_empty(list: Words) -> impl Strategy<Value = String> {
    option::of(one_of(list)).prop_map(Option::unwrap_or_default)
}

fn heard(words: Words) -> impl Strategy<Value = Heard> {
    let said = (
        option::weighted(0.4, said(words, 5)),
        said(words, 12),
        vec(one_of(HANDLES), 0..3),
        vec(one_of(HASHTAGS), 0..3),
    );
    let place = (or_empty(NAMES), or_empty(NAMES), or_empty(URLS), vec(one_of(URLS), 0..3));
    let about = (option::of(select(Kind::ALL)), any::<bool>(), any::<bool>(), or_empty(COUNTRIES), or_empty(LANGUAGES));
    let time = option::of(select(TIMES).prop_map(|at| at.parse().unwrap()));
    (said, place, about, option::of(author(words)), engagement(), time).prop_map(
        |(said, place, about, author, engagement, published_at)| {
            let (title, text, mentioned, hashtags) = said;
            let (channel, source, url, links) = place;
            let (kind, is_reply, has_media, country, language) = about;
            let title = title.unwrap_or_default();
            Heard {
                title,
                text,
                mentioned,
                hashtags,
                channel,
                source,
                kind,
                author,
                url,
                links,
                is_reply,
                has_media,
                country,
                language,
                engagement,
                published_at,
            }
        },
    )
}

/// Title or text.
fn said(words: Words, most: usize) -> impl Strategy<Value = String> {
    let names = prop_oneof![one_of(HANDLES), one_of(HASHTAGS), one_of(CASHTAGS), one_of(words)];
    let part = prop_oneof![
        12 => written(words),
        2 => (select(SIGILS), names).prop_map(|(sigil, name)| format!("{sigil}{name}")),
        1 => prop_oneof![one_of(RAWS), one_of(URLS), one_of(&["UA 12", "www.x", "C++", "1\u{fe0f}\u{20e3}", "½"])],
    ];
    vec((select(GAPS), part), 0..most)
        .prop_map(|parts| parts.into_iter().map(|(gap, part)| format!("{gap}{part}")).collect())
}

fn author(words: Words) -> impl Strategy<Value = Author> {
    let name = vec(written(words), 0..4).prop_map(|words| words.join(" "));
    (or_empty(HANDLES), or_empty(IDS), name, option::of(0..4_u64), any::<bool>()).prop_map(
        |(handle, id, name, followers, verified)| Author { handle, id, name, followers, verified, ..Author::default() },
    )
}

fn engagement() -> impl Strategy<Value = Engagement> {
    let count = || option::weighted(0.3, 0..3_u64);
    let rating = option::of((2..10_u8).prop_map(|halves| f32::from(halves) / 2.0));
    (count(), count(), count(), count(), count(), rating).prop_map(
        |(likes, reposts, replies, quotes, views, rating)| Engagement {
            likes,
            reposts,
            replies,
            quotes,
            views,
            rating,
        },
    )
}
