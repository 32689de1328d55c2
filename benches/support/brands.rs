//! Brand queries as PR teams write them, made by chance out of what people really say:
//! `("brand name" OR @handle OR #tag) AND (context OR context) NOT ("noise phrase" OR other)`.
//!
//! Names are words, pairs of words, handles and hashtags of the texts, few of them frequent and most of them rare; one
//! in four is invented and never said.

use std::collections::{BTreeMap, HashMap};

use hearken::query::BrandQuery;
use hearken::query::parser::parse;

use super::chance::Chance;

/// So many of the most frequent words are no names: articles, pronouns, the verbs of everybody.
const EVERYDAY: usize = 300;
/// So many words stand around names.
const CONTEXT: usize = 3_000;
/// Texts out of which names are taken.
const READ: usize = 50_000;

/// Parts that a share of the queries has, in percent; a query with a part that the language does not know is dropped.
const PARTS: [(&str, u32, Part); 9] = [
    ("context", 50, |words, chance, _| format!(" AND ({})", words.some_context(chance, 3).join(" OR "))),
    ("NOT", 60, |words, chance, _| {
        format!(" NOT (\"{}\" OR {})", chance.ranked(&words.pairs), words.a_context(chance))
    }),
    ("NEAR/n", 6, |words, chance, name| format!(" AND (\"{name}\" NEAR/5 {})", words.a_context(chance))),
    ("\"a b\"~n", 4, |words, chance, _| format!(" AND NOT \"{}\"~3", chance.ranked(&words.pairs))),
    ("wildcard", 8, |words, chance, _| format!(" AND NOT {}*", chance.ranked(&words.context))),
    ("lang:", 10, |_, _, _| " AND lang:en".to_owned()),
    ("followers:", 3, |_, _, _| " AND followers:>1000".to_owned()),
    ("-is:repost", 10, |_, _, _| " -is:repost".to_owned()),
    ("has:link", 3, |_, _, _| " AND has:link".to_owned()),
];

/// Writes a part for the brand of this name.
type Part = fn(&Words, &mut Chance, &str) -> String;

/// A query, and what any message that it matches has to hold at least one of.
#[derive(Debug, Clone)]
pub(crate) struct Brand {
    pub(crate) query: BrandQuery,
    /// The brand's name, handle, hashtag and emoji, as they are written in messages.
    pub(crate) names: Vec<String>,
}

/// What the texts are made of, the most frequent first.
struct Words {
    names: Vec<String>,
    context: Vec<String>,
    /// Two words, the second behind the first.
    pairs: Vec<String>,
    /// Words in another script than the Latin one; of scripts without spaces, two characters.
    foreign: Vec<String>,
    handles: Vec<String>,
    hashtags: Vec<String>,
    emoji: Vec<String>,
}

/// So many queries that the language takes; prints what they are like, and what was dropped.
pub(crate) fn brands(texts: &[String], count: usize) -> Vec<Brand> {
    let words = Words::of(texts.iter().take(READ));
    let mut chance = Chance(0x0b5e_55ed);
    let mut brands = Vec::with_capacity(count);
    let mut sorts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut dropped: BTreeMap<String, usize> = BTreeMap::new();
    while brands.len() < count {
        let (brand, sort) = brand(&words, &mut chance, brands.len());
        match parse(&brand.query.query) {
            Ok(_) => {
                sort.into_iter().for_each(|sort| *sorts.entry(sort).or_default() += 1);
                brands.push(brand);
            }
            Err(error) => *dropped.entry(error.reason).or_default() += 1,
        }
    }
    let share = |(sort, number): (&&str, &usize)| format!("{sort} {:.0} %", 100.0 * *number as f64 / count as f64);
    println!("{count} queries: {}", sorts.iter().map(share).collect::<Vec<_>>().join(", "));
    println!("dropped, because the language does not take them: {}", dropped.values().sum::<usize>());
    let mut reasons: Vec<(String, usize)> = dropped.into_iter().collect();
    reasons.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    reasons.iter().take(8).for_each(|(reason, number)| println!("  {number:>6}  {reason}"));
    brands
}

/// A brand, and of what sorts its query is.
fn brand(words: &Words, chance: &mut Chance, number: usize) -> (Brand, Vec<&'static str>) {
    let (sort, name) = match chance.below(100) {
        0..35 => ("a word", chance.ranked(&words.names).clone()),
        35..65 => ("two words", chance.ranked(&words.pairs).clone()),
        65..75 => ("another script", chance.ranked(&words.foreign).clone()),
        _ => ("invented", invented(chance)),
    };
    let mut sorts = vec![sort];
    let compact: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
    let mut names = vec![name.clone()];
    let mut alternatives = format!("\"{name}\"");
    let mut also = |sort: &'static str, sign: &str, own: &String| {
        sorts.push(sort);
        names.push(format!("{sign}{own}"));
        alternatives += &format!(" OR {sign}{own}");
    };
    if chance.percent(60) {
        let known = chance.percent(50);
        also("a handle", "@", if known { chance.ranked(&words.handles) } else { &compact });
    }
    if chance.percent(50) {
        let known = chance.percent(50);
        also("a hashtag", "#", if known { chance.ranked(&words.hashtags) } else { &compact });
    }
    if chance.percent(4) {
        also("an emoji", "", chance.ranked(&words.emoji));
    }
    let mut query = format!("({alternatives})");
    for (sort, percent, part) in PARTS {
        if chance.percent(percent) {
            sorts.push(sort);
            query += &part(words, chance, &name);
        }
    }
    (Brand { query: BrandQuery { brand: format!("brand {number}"), query }, names }, sorts)
}

/// A name that nobody says.
fn invented(chance: &mut Chance) -> String {
    const SYLLABLES: [&str; 16] =
        ["zen", "tri", "vo", "quo", "lux", "bra", "nex", "ori", "pha", "kel", "dyn", "xor", "umi", "tas", "gre", "wiz"];
    (0..4).map(|_| SYLLABLES[chance.below(16) as usize]).collect()
}

impl Words {
    fn of<'t>(texts: impl Iterator<Item = &'t String>) -> Self {
        let (mut words, mut pairs, mut foreign) = (HashMap::new(), HashMap::new(), HashMap::new());
        let (mut handles, mut hashtags, mut emoji) = (HashMap::new(), HashMap::new(), HashMap::new());
        let count = |counts: &mut HashMap<String, usize>, what: String| *counts.entry(what).or_default() += 1;
        for text in texts {
            let mut before = String::new();
            for piece in text.split_whitespace() {
                let word = piece.trim_matches(|c: char| !c.is_alphanumeric());
                let is_name = word.len() > 2 && word.chars().all(char::is_alphanumeric);
                if let Some(name) = piece.strip_prefix('@').filter(|_| is_name && word.is_ascii()) {
                    count(&mut handles, name.trim_end_matches(|c: char| !c.is_alphanumeric()).to_owned());
                } else if let Some(name) = piece.strip_prefix('#').filter(|_| is_name) {
                    count(&mut hashtags, name.trim_end_matches(|c: char| !c.is_alphanumeric()).to_owned());
                } else if is_name && word.chars().all(is_latin) {
                    let word = word.to_lowercase();
                    if !before.is_empty() {
                        count(&mut pairs, format!("{before} {word}"));
                    }
                    count(&mut words, word);
                } else if is_name {
                    let spaceless =
                        word.chars().all(|c| matches!(c, '\u{3040}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}'));
                    let name = if spaceless { word.chars().take(2).collect() } else { word.to_owned() };
                    count(&mut foreign, name);
                }
                // A comma, a link, a name: what follows is no pair.
                let goes_on = piece == word && is_name && word.chars().all(is_latin);
                before = if goes_on { word.to_lowercase() } else { String::new() };
                for sign in piece.chars().filter(|c| matches!(c, '\u{1f300}'..='\u{1faff}')) {
                    count(&mut emoji, sign.to_string());
                }
            }
        }
        let words = ranked(words);
        Self {
            names: words[EVERYDAY.min(words.len() / 2)..].to_vec(),
            context: words[..CONTEXT.min(words.len())].to_vec(),
            pairs: ranked(pairs).into_iter().skip(EVERYDAY).collect(),
            foreign: ranked(foreign),
            handles: ranked(handles),
            hashtags: ranked(hashtags),
            emoji: ranked(emoji),
        }
    }

    fn a_context(&self, chance: &mut Chance) -> String {
        format!("\"{}\"", chance.ranked(&self.context))
    }

    fn some_context(&self, chance: &mut Chance, count: usize) -> Vec<String> {
        (0..count).map(|_| self.a_context(chance)).collect()
    }
}

/// Letters and digits of English, German, Polish, Turkish, Vietnamese ...
fn is_latin(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}')
}

fn ranked(counts: HashMap<String, usize>) -> Vec<String> {
    let mut words: Vec<(usize, String)> = counts.into_iter().map(|(word, count)| (count, word)).collect();
    words.sort_by(|(a_count, a), (b_count, b)| b_count.cmp(a_count).then(a.cmp(b)));
    words.into_iter().map(|(_, word)| word).collect()
}
