//! `[[brand]]`: a brand, what speaks of it, and whom it is compared with.

use std::collections::HashMap;

use crate::query::ast::Expr;
use crate::query::{BrandQuery, Matcher, parser};

use super::diagnostic::{Diagnostic, Place, suggest};
use super::reader::{Table, Text};
use super::tree::Document;

/// `[[brand]]`: one brand.
#[derive(Debug, Clone, PartialEq)]
pub struct Brand {
    /// Unique, also without regard to case.
    pub name: String,
    /// `query`, `names`, `handles`, `hashtags` and `exclude` as one query.
    pub query: BrandQuery,
    /// Names of the brands that it is compared with.
    pub competitors: Vec<String>,
    /// The brand's own accounts: what they say is outbound.
    pub accounts: Vec<Account>,
    /// Texts that the query has to match.
    pub must_match: Vec<Example>,
    /// Texts that the query must not match.
    pub must_not_match: Vec<Example>,
}

/// A text that says what a query is meant to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The text.
    pub text: String,
    key: String,
    place: Place,
}

/// An example that a query gets wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongExample {
    /// The brand.
    pub brand: String,
    /// The text.
    pub text: String,
    /// Whether the query has to match it, and does not; else it must not, and does.
    pub must_match: bool,
    /// What keeps the query from matching, or what it finds.
    pub why: String,
    /// The same, with its place in the configuration.
    pub diagnostic: Diagnostic,
}

/// An account of the brand's own, written `channel:@handle`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Channel.
    pub channel: String,
    /// Handle without `@` in front; with the server where the channel is federated.
    pub handle: String,
}

/// Reads all brands and what they say about each other.
pub(super) fn read_all(tables: Vec<Table<'_>>, document: &Document) -> Vec<Brand> {
    let names: Vec<Option<Text>> =
        tables.iter().map(|table| table.required_text("name", "how the brand is called: `name = \"Acme\"`")).collect();
    let known: Vec<&str> = names.iter().flatten().map(|name| name.value.as_str()).collect();

    let mut first: HashMap<String, &str> = HashMap::new();
    for name in names.iter().flatten() {
        if name.value.trim().is_empty() {
            name.report(document, "the name is empty", None);
        } else if let Some(key) = first.insert(name.value.to_lowercase(), &name.key) {
            name.report(document, format!("two brands have this name; the other one is `{key}`"), None);
        }
    }

    let mut brands = Vec::new();
    for (table, name) in tables.into_iter().zip(&names) {
        let name = name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
        brands.push(read(table, name, &known, document));
    }
    brands
}

fn read(table: Table<'_>, name: String, known: &[&str], document: &Document) -> Brand {
    let query = BrandQuery { query: query(&table, document), brand: name };
    let accounts = table.texts("accounts").iter().filter_map(|text| account(text, document)).collect();
    let competitors = table.texts("competitors");
    for competitor in &competitors {
        if competitor.value == query.brand {
            competitor.report(document, "a brand is no competitor of its own", None);
        } else if !known.contains(&competitor.value.as_str()) {
            let help = suggest(&competitor.value, known, "brands");
            let message = format!("there is no brand `{}`", competitor.value);
            competitor.report(document, message, Some(help));
        }
    }
    let brand = Brand {
        name: query.brand.clone(),
        query,
        accounts,
        competitors: competitors.into_iter().map(|competitor| competitor.value).collect(),
        must_match: examples(&table, "must_match", document),
        must_not_match: examples(&table, "must_not_match", document),
    };
    table.finish();
    brand
}

fn examples(table: &Table<'_>, name: &'static str, document: &Document) -> Vec<Example> {
    let example = |text: Text| Example { place: text.place(document), key: text.key, text: text.value };
    table.texts(name).into_iter().map(example).collect()
}

impl Brand {
    /// The examples that the compiled query gets wrong, and why; `index` is the brand's place in the configuration.
    pub(super) fn wrong_examples(&self, index: usize, matcher: &Matcher) -> Vec<WrongExample> {
        let wanted = self.must_match.iter().map(|example| (example, true));
        let unwanted = self.must_not_match.iter().map(|example| (example, false));
        let wrong = |(example, wanted): (&Example, bool)| {
            let explanation = matcher.explain_brand(index, example.text.as_str())?;
            if explanation.matched == wanted {
                return None;
            }
            let found = explanation.clauses.iter().filter(|clause| clause.matched);
            let why = if wanted {
                explanation.why_not.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            } else {
                let found: Vec<&str> = found.map(|clause| clause.clause.as_str()).collect();
                format!("it finds {}", found.join(", "))
            };
            let verb = if wanted { "does not match" } else { "matches" };
            let message = format!("the query of `{}` {verb} this example: {why}", self.name);
            let diagnostic = Diagnostic { key: example.key.clone(), message, help: None, place: example.place.clone() };
            let (brand, text) = (self.name.clone(), example.text.clone());
            Some(WrongExample { brand, text, must_match: wanted, why, diagnostic })
        };
        wanted.chain(unwanted).filter_map(wrong).collect()
    }
}

/// Makes one query of everything that says what speaks of the brand:
/// `((query) OR "name" OR @handle OR #hashtag) NOT "exclude"`.
fn query(table: &Table<'_>, document: &Document) -> String {
    let mut alternatives = Vec::new();
    if let Some(written) = table.text("query") {
        match parser::parse(&written.value).map(|query| query.unbounded_part().map(Expr::span)) {
            Ok(None) => alternatives.push(format!("({})", written.value.trim())),
            Ok(Some(span)) => {
                let reason = "this only excludes: it would match every message in which the excluded words are missing";
                let help = "say what has to be there as well: `acme NOT publishing`, `(acme OR globex) NOT jobs`";
                written.report_part(document, span, reason.to_owned(), Some(help.to_owned()));
            }
            Err(error) => written.report_part(document, error.span, error.reason, error.suggestion),
        }
    }
    let clauses = |name: &'static str, sigil: &[char], written: &dyn Fn(&str) -> String| {
        let mut valid = Vec::new();
        for text in table.texts(name) {
            let clause = written(text.value.trim().trim_start_matches(sigil));
            match parser::parse(&clause) {
                Ok(Expr::Clause(_)) => valid.push(clause),
                // Only a handle or hashtag can be more than one clause: it is not in quotation marks.
                Ok(_) => text.report(document, format!("`{clause}` has more than one word"), None),
                Err(error) => text.report(document, error.reason, error.suggestion),
            }
        }
        valid
    };
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let names = clauses("names", &[], &quoted);
    let handles = clauses("handles", &['@'], &|handle| format!("@{handle}"));
    let hashtags = clauses("hashtags", &['#'], &|hashtag| format!("#{hashtag}"));
    let exclude = clauses("exclude", &[], &quoted);

    let is_empty = !["query", "names", "handles", "hashtags"].iter().any(|name| table.says(name));
    alternatives.extend(names.into_iter().chain(handles).chain(hashtags));
    if is_empty {
        let help = "give it `query`, `names`, `handles` or `hashtags`";
        table.report("nothing says what speaks of this brand", Some(help.to_owned()));
    }
    let mut query = alternatives.join(" OR ");
    if !exclude.is_empty() {
        query = format!("({query})");
    }
    for clause in exclude {
        query.push_str(" NOT ");
        query.push_str(&clause);
    }
    query
}

fn account(text: &Text, document: &Document) -> Option<Account> {
    let account = text.value.split_once(':').and_then(|(channel, handle)| {
        let handle = handle.trim().trim_start_matches('@');
        let is_channel = !channel.is_empty() && channel.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let is_handle = !handle.is_empty() && !handle.contains(char::is_whitespace);
        (is_channel && is_handle).then(|| Account { channel: channel.to_owned(), handle: handle.to_owned() })
    });
    if account.is_none() {
        let help = "for example `mastodon:@acme@example.social`".to_owned();
        text.report(document, "an account is written as channel and handle", Some(help));
    }
    account
}
