//! `[[brand]]`: a brand, what speaks of it, and whom it is compared with.

use std::collections::HashMap;

use crate::query::{self, BrandQuery};

use super::diagnostic::suggest;
use super::tree::{Document, Setting, Table};

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
    pub must_match: Vec<String>,
    /// Texts that the query must not match.
    pub must_not_match: Vec<String>,
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
    let names: Vec<Option<Setting<String>>> =
        tables.iter().map(|table| table.required_text("name", "how the brand is called: `name = \"Acme\"`")).collect();
    let known: Vec<&str> = names.iter().flatten().map(|name| name.value.as_str()).collect();

    let mut first: HashMap<String, &str> = HashMap::new();
    for name in names.iter().flatten() {
        if name.value.trim().is_empty() {
            name.report(document, "the name is empty", None, None);
        } else if let Some(key) = first.insert(name.value.to_lowercase(), &name.key) {
            name.report(document, format!("two brands have this name; the other one is `{key}`"), None, None);
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
            competitor.report(document, "a brand is no competitor of its own", None, None);
        } else if !known.contains(&competitor.value.as_str()) {
            let help = suggest(&competitor.value, known, "brands");
            let message = format!("there is no brand `{}`", competitor.value);
            competitor.report(document, message, Some(help), None);
        }
    }
    let brand = Brand {
        name: query.brand.clone(),
        query,
        accounts,
        competitors: values(competitors),
        must_match: values(table.texts("must_match")),
        must_not_match: values(table.texts("must_not_match")),
    };
    table.finish();
    brand
}

fn values(settings: Vec<Setting<String>>) -> Vec<String> {
    settings.into_iter().map(|setting| setting.value).collect()
}

/// Makes one query of everything that says what speaks of the brand:
/// `((query) OR "name" OR @handle OR #hashtag) NOT "exclude"`.
fn query(table: &Table<'_>, document: &Document) -> String {
    let mut alternatives = Vec::new();
    if let Some(written) = table.text("query") {
        match query::parser::parse(&written.value) {
            Ok(_) => alternatives.push(format!("({})", written.value.trim())),
            Err(error) => written.report(document, error.reason, error.suggestion, Some(error.span)),
        }
    }
    let clauses = |name: &'static str, sigil: &[char], written: &dyn Fn(&str) -> String| {
        let mut valid = Vec::new();
        for text in table.texts(name) {
            let clause = written(text.value.trim().trim_start_matches(sigil));
            match query::parser::parse(&clause) {
                Ok(_) => valid.push(clause),
                Err(error) => text.report(document, error.reason, error.suggestion, None),
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

fn account(text: &Setting<String>, document: &Document) -> Option<Account> {
    let account = text.value.split_once(':').and_then(|(channel, handle)| {
        let handle = handle.trim().trim_start_matches('@');
        let is_channel = !channel.is_empty() && channel.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let is_handle = !handle.is_empty() && !handle.contains(char::is_whitespace);
        (is_channel && is_handle).then(|| Account { channel: channel.to_owned(), handle: handle.to_owned() })
    });
    if account.is_none() {
        let help = "for example `mastodon:@acme@example.social`".to_owned();
        text.report(document, "an account is written as channel and handle", Some(help), None);
    }
    account
}
