//! What somebody writes down to try a query, as a message.

use hearken_connectors::{Message, text};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Fields that say which message it is: no query asks for them, and other people's records have other ids.
const IDENTITY: [&str; 4] = ["id", "native_id", "version", "raw"];

/// The message that a line stands for: a JSON object where it begins with `{`, else a text. `now` is when it was
/// published, unless it says so itself.
pub fn message(line: &str, now: Timestamp) -> Result<Message, String> {
    if !line.trim_start().starts_with('{') {
        return Ok(message_of_text(line, now));
    }
    let object =
        serde_json::from_str(line).map_err(|error| format!("this begins with `{{` and is no JSON: {error}"))?;
    message_of(object, now)
}

/// The message that a text alone stands for.
pub fn message_of_text(text: &str, now: Timestamp) -> Message {
    Message { text: text.to_owned(), links: text::links(text), ..nothing(now) }
}

/// The message that a JSON object stands for: at least `title` or `text`, and whatever else it says of a message. What
/// it does not say is as in a message of which nothing more is known; the links are those in the text, and an author that
/// is a text is a handle. Other fields are ignored, and so are those that are `null`.
pub fn message_of(mut object: Map<String, Value>, now: Timestamp) -> Result<Message, String> {
    object.retain(|name, value| !value.is_null() && !IDENTITY.contains(&name.as_str()));
    if !["title", "text"].iter().any(|name| object.contains_key(*name)) {
        return Err("it has neither `text` nor `title`".to_owned());
    }
    if let Some(author) = object.get_mut("author")
        && let Value::String(handle) = author
    {
        *author = json!({ "handle": handle.trim_start_matches('@') });
    }
    let says_links = object.contains_key("links");
    let mut message = laid_over(object.clone(), now).map_err(|error| wrong_field(object, now).unwrap_or(error))?;
    if !says_links {
        message.links = text::links(&message.text);
    }
    Ok(message)
}

/// These fields, over those of a message of which nothing is known.
fn laid_over(object: Map<String, Value>, now: Timestamp) -> Result<Message, String> {
    let mut all = serde_json::to_value(nothing(now)).map_err(|error| error.to_string())?;
    if let Value::Object(all) = &mut all {
        all.extend(object);
    }
    // What serde says of a value that does not fit may hold it, and so what somebody wrote.
    serde_json::from_value(all).map_err(|error| match error.to_string().rsplit_once("expected ") {
        Some((_, expected)) if expected.starts_with("struct ") => "expected an object".to_owned(),
        Some((_, expected)) => format!("expected {expected}"),
        None => "it cannot be read".to_owned(),
    })
}

/// The first field that is wrong by itself, and how.
fn wrong_field(object: Map<String, Value>, now: Timestamp) -> Option<String> {
    object.into_iter().find_map(|(name, value)| {
        let is_time = name.ends_with("_at");
        let error = laid_over(Map::from_iter([(name.clone(), value)]), now).err()?;
        let error =
            if is_time { "expected a time of RFC 3339, such as `2026-03-01T12:00:00Z`".to_owned() } else { error };
        Some(format!("`{name}`: {error}"))
    })
}

fn nothing(now: Timestamp) -> Message {
    Message::new("", "", "", now, now)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(line: &str) -> Result<Message, String> {
        message(line, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_line_is_a_text_and_an_object_a_message() {
        let said = read("see https://acme.example/a \"now\"").unwrap();
        assert_eq!(
            (said.text.as_str(), said.links.as_slice()),
            ("see https://acme.example/a \"now\"", &["https://acme.example/a".to_owned()][..])
        );
        let line = r#"{"text": "hi", "author": {"handle": "x", "followers": 12}, "kind": "reply", "id": 7, "mood": 1,
                       "engagement": {"likes": 3}, "published_at": "2026-03-01T12:00:00Z", "language": null}"#;
        let said = read(line).unwrap();
        assert_eq!((said.author.handle.as_str(), said.author.followers), ("x", Some(12)));
        assert_eq!((said.kind.as_str(), said.engagement.likes, said.language), ("reply", Some(3), None));
        assert_eq!(said.published_at.to_string(), "2026-03-01T12:00:00Z");
        let said = read(r#"{"title": "only this", "author": "@ada"}"#).unwrap();
        assert_eq!((said.title.as_str(), said.author.handle.as_str()), ("only this", "ada"));
    }

    #[test]
    fn a_whole_message_is_read_as_it_is_but_for_its_identity() {
        let mut whole = Message::new("feed", "news", "7", Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        whole.text = "see https://acme.example".to_owned();
        whole.links = vec!["https://other.example".to_owned()];
        let again = read(&serde_json::to_string(&whole).unwrap()).unwrap();
        assert_eq!((&again.text, &again.links, &again.channel), (&whole.text, &whole.links, &whole.channel));
    }

    #[test]
    fn what_is_wrong_names_the_field_and_not_what_is_in_it() {
        let wrong = [
            (r#"{"text": "#, "no JSON"),
            (r#"{"author": {}}"#, "neither `text` nor `title`"),
            (r#"{"text": 7}"#, "`text`: expected a string"),
            (r#"{"text": "a", "author": ["private", 7]}"#, "`author`: expected"),
            (r#"{"text": "a", "author": {"followers": "private"}}"#, "`author`: expected u64"),
            (r#"{"text": "a", "kind": "private"}"#, "`kind`: expected one of `post`"),
            (r#"{"text": "a", "published_at": "private"}"#, "`published_at`: expected a time"),
        ];
        for (line, told) in wrong {
            let error = read(line).unwrap_err();
            assert!(error.contains(told) && !error.contains("private"), "{line}: {error}");
        }
    }
}
