//! Parts of a text with a meaning: <https://core.telegram.org/bots/api#messageentity>.

use serde::Deserialize;

/// A part of a text. Offset and length count UTF-16 code units.
#[derive(Debug, Deserialize)]
pub(super) struct Entity {
    #[serde(rename = "type")]
    kind: String,
    offset: usize,
    length: usize,
    /// Where a part leads that is a link behind other words.
    url: Option<String>,
}

/// What the entities of a text say, in order, each once.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Marked {
    pub(super) links: Vec<String>,
    pub(super) hashtags: Vec<String>,
    pub(super) mentioned: Vec<String>,
}

impl Marked {
    /// Reads the entities of a text; those that lie outside of it or cut a character are passed over.
    pub(super) fn read(text: &str, entities: &[Entity]) -> Self {
        let units: Vec<u16> = text.encode_utf16().collect();
        let mut marked = Self::default();
        for entity in entities {
            let end = entity.offset.checked_add(entity.length);
            let part = end.and_then(|end| units.get(entity.offset..end)).map(String::from_utf16);
            let Some(Ok(part)) = part else { continue };
            match entity.kind.as_str() {
                "url" => push_once(&mut marked.links, absolute(&part)),
                "text_link" => push_once(&mut marked.links, entity.url.clone().unwrap_or_default()),
                // `#tag@channel` looks for the tag in one channel.
                "hashtag" => {
                    let tag = part.trim_start_matches(['#', '＃']).split('@').next().unwrap_or_default();
                    push_once(&mut marked.hashtags, tag.to_owned());
                }
                "mention" => push_once(&mut marked.mentioned, part.trim_start_matches('@').to_owned()),
                _ => {}
            }
        }
        marked
    }
}

/// Telegram makes links of addresses without a scheme, too.
fn absolute(link: &str) -> String {
    if link.contains("://") { link.to_owned() } else { format!("https://{link}") }
}

fn push_once(list: &mut Vec<String>, item: String) {
    if !item.is_empty() && !list.contains(&item) {
        list.push(item);
    }
}
