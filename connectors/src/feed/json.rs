//! JSON Feed 1.0 and 1.1 (jsonfeed.org).

use serde_json::Value;
use url::Url;

use super::date;
use super::item::{Feed, Item, Person, one_line, plain};
use super::xml::Broken;
use crate::text;

/// Reads a JSON feed; `None` when it is none. A document that is damaged or cut off gives its whole items.
pub(super) fn read(document: &str, feed_url: Option<&Url>) -> Option<(Feed, Vec<Broken>)> {
    let mut broken = Vec::new();
    let head: Value = match serde_json::from_str(document) {
        Ok(whole) => whole,
        Err(_) => whole_items(document, &mut broken)?,
    };
    let items = head.get("items")?.as_array()?;
    let version = string(&head, "version")?;
    let number = version.rsplit_once("jsonfeed.org/version/").map(|(_, number)| number)?;
    let site = string(&head, "home_page_url").and_then(|url| Url::parse(&url).ok());
    let base = site.clone().or_else(|| feed_url.cloned());
    let mut feed = Feed {
        format: format!("JSON Feed {number}"),
        title: title(&head),
        author: author(&head),
        language: string(&head, "language"),
        site,
        items: Vec::new(),
    };
    for value in items {
        if value.is_object() {
            feed.items.push(item(value, base.as_ref()));
        } else {
            broken.push(Broken { offset: 0, reason: "an item is no object".to_owned(), payload: value.to_string() });
        }
    }
    Some((feed, broken))
}

/// The head of a damaged document, as far as it comes before the items, with the items up to the damage.
fn whole_items(document: &str, broken: &mut Vec<Broken>) -> Option<Value> {
    let key = document.find("\"items\"")?;
    let start = key + document.get(key..)?.find('[')? + 1;
    let head = document.get(..key)?.trim_end().trim_end_matches(',');
    let mut head: Value = serde_json::from_str(&format!("{head}}}")).ok()?;
    let mut items = Vec::new();
    let mut at = start;
    loop {
        at += document.get(at..)?.find(|c: char| !(c.is_whitespace() || c == ',')).unwrap_or_default();
        let rest = document.get(at..)?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match values.next() {
            Some(Ok(item)) => {
                items.push(item);
                at += values.byte_offset();
            }
            Some(Err(error)) if !rest.starts_with(']') => {
                // The error's own text says what and where, and quotes nothing.
                broken.push(Broken { offset: at, reason: error.to_string(), payload: rest.to_owned() });
                break;
            }
            _ => break,
        }
    }
    head.as_object_mut()?.insert("items".to_owned(), Value::Array(items));
    Some(head)
}

fn item(value: &Value, base: Option<&Url>) -> Item {
    let url = string(value, "url").or_else(|| string(value, "external_url"));
    let url = url.and_then(|url| base.map_or_else(|| Url::parse(&url), |base| base.join(&url)).ok());
    let html = string(value, "content_html").map(|html| text::from_html(&html, url.as_ref().or(base)));
    let body = html
        .filter(|plain| !plain.text.is_empty())
        .or_else(|| string(value, "content_text").map(|text| plain(&text)))
        .or_else(|| string(value, "summary").map(|text| plain(&text)));
    Item {
        id: string(value, "id"),
        title: title(value),
        body: body.unwrap_or_default(),
        author: author(value),
        published: string(value, "date_published").and_then(|date| date::parse(&date)),
        updated: string(value, "date_modified").and_then(|date| date::parse(&date)),
        language: string(value, "language"),
        categories: list(value, "tags").filter_map(Value::as_str).map(str::to_owned).collect(),
        media: value.get("image").is_some_and(Value::is_string)
            || list(value, "attachments")
                .filter_map(|file| string(file, "mime_type"))
                .any(|name| text::is_media_type(&name)),
        url,
        ..Item::default()
    }
}

fn title(value: &Value) -> String {
    let title = string(value, "title").unwrap_or_default();
    // Plain text by the specification, HTML by the looks of many.
    one_line(&if text::looks_like_html(&title) { text::from_html(&title, None).text } else { title })
}

fn author(value: &Value) -> Option<Person> {
    let author = list(value, "authors").next().or_else(|| value.get("author"))?;
    let part = |key| string(author, key).unwrap_or_default();
    let person = Person { name: one_line(&part("name")), url: part("url"), email: String::new() };
    (person != Person::default()).then_some(person)
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// A text, or a number where the specification wants a text (ids, mostly).
fn string(value: &Value, key: &str) -> Option<String> {
    match value.get(key)? {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
