//! What RSS, RDF and Atom say about a feed and its items, in one shape.
//!
//! Formats: RSS 0.9x and 2.0 (rssboard.org/rss-specification), RSS 1.0 (web.resource.org/rss/1.0),
//! Atom 1.0 (RFC 4287) and 0.3, with the modules dc, content, slash, media, itunes and thr (RFC 4685).

use jiff::Timestamp;
use url::Url;

use super::date;
use super::xml::{Document, Element};
use crate::text::{self, Plain};

/// A feed, whatever its format.
#[derive(Debug, Default)]
pub(super) struct Feed {
    /// For people: `RSS 2.0`, `Atom 1.0`.
    pub(super) format: String,
    pub(super) title: String,
    /// The site that the feed belongs to.
    pub(super) site: Option<Url>,
    pub(super) author: Option<Person>,
    pub(super) language: Option<String>,
    pub(super) items: Vec<Item>,
}

/// An item of a feed, whatever its format.
#[derive(Debug, Default)]
pub(super) struct Item {
    /// The identity that the feed gives it: `guid`, `id` or `rdf:about`.
    pub(super) id: Option<String>,
    pub(super) url: Option<Url>,
    pub(super) title: String,
    pub(super) body: Plain,
    pub(super) author: Option<Person>,
    pub(super) published: Option<Timestamp>,
    pub(super) updated: Option<Timestamp>,
    pub(super) language: Option<String>,
    pub(super) categories: Vec<String>,
    /// Pictures, video or sound come with it.
    pub(super) media: bool,
    /// The id of the item that it answers (RFC 4685).
    pub(super) answers: Option<String>,
    pub(super) replies: Option<u64>,
    pub(super) views: Option<u64>,
}

/// Somebody whom a feed names.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) email: String,
}

/// Reads the head and the items of a document.
pub(super) fn read(document: &Document, feed_url: Option<&Url>) -> Feed {
    let root = &document.root;
    let atom = root.name == "feed";
    let channel = root.child("channel").unwrap_or(root);
    let base = base(root, base(channel, feed_url.cloned()));
    let site = link(channel, base.as_ref());
    let base = base.or_else(|| site.clone());
    Feed {
        format: format_name(document),
        title: title(channel, atom),
        author: author(channel, &["author", "itunes:author", "dc:creator", "dc:publisher"]),
        language: language(channel).or_else(|| language(root)),
        items: document.items.iter().map(|element| item(element, atom, base.clone())).collect(),
        site,
    }
}

fn format_name(document: &Document) -> String {
    let root = &document.root;
    match root.name.as_str() {
        "feed" if document.name_space.contains("purl.org/atom") => "Atom 0.3".to_owned(),
        "feed" => "Atom 1.0".to_owned(),
        "rss" => format!("RSS {}", root.attribute("version").unwrap_or("2.0")),
        _ if document.name_space.contains("netscape.com") => "RSS 0.90".to_owned(),
        _ => "RSS 1.0".to_owned(),
    }
}

fn item(element: &Element, atom: bool, feed_base: Option<Url>) -> Item {
    let base = base(element, feed_base);
    let url = link(element, base.as_ref());
    Item {
        id: element.text_of(&["guid", "id", "atom:id"]).or_else(|| element.attribute("about").map(str::to_owned)),
        title: title(element, atom),
        body: body(element, atom, url.as_ref().or(base.as_ref())),
        url,
        author: author(element, &["author", "dc:creator", "itunes:author", "atom:author"])
            .or_else(|| author(element.child("source")?, &["author"])),
        published: date(
            element,
            &["pubDate", "published", "issued", "dc:date", "dcterms:issued", "created", "dcterms:created"],
        ),
        updated: date(element, &["updated", "atom:updated", "modified", "dcterms:modified"]),
        language: language(element),
        categories: categories(element),
        media: has_media(element),
        answers: element.child("thr:in-reply-to").and_then(|reply| reply.attribute("ref")).map(str::to_owned),
        replies: element
            .text_of(&["slash:comments", "thr:total"])
            .or_else(|| links(element, "replies").find_map(|link| link.attribute("count")).map(str::to_owned))
            .and_then(|count| count.parse().ok()),
        views: views(element),
    }
}

fn base(element: &Element, outer: Option<Url>) -> Option<Url> {
    let Some(base) = element.attribute("xml:base") else { return outer };
    resolve(base, outer.as_ref()).or(outer)
}

fn resolve(url: &str, base: Option<&Url>) -> Option<Url> {
    let url = url.trim();
    let resolved = match base {
        Some(base) => base.join(url).ok()?,
        None => Url::parse(url).ok()?,
    };
    matches!(resolved.scheme(), "http" | "https").then_some(resolved)
}

/// Where a person can read it.
fn link(element: &Element, base: Option<&Url>) -> Option<Url> {
    // Feedburner counts clicks through links of its own and keeps the original beside them.
    let text = element.text_of(&["feedburner:origLink", "link"]);
    let reference = || links(element, "alternate").find_map(|link| link.attribute("href")).map(str::to_owned);
    let permalink = || {
        let guid = element.child("guid")?;
        let text = guid.text();
        (guid.attribute("isPermaLink") != Some("false") && text.starts_with("http")).then_some(text)
    };
    let enclosure = || element.child("enclosure")?.attribute("url").map(str::to_owned);
    resolve(&text.or_else(reference).or_else(permalink).or_else(enclosure)?, base)
}

/// Atom's links of this relation; one without a relation is an alternate.
fn links<'e>(element: &'e Element, relation: &'e str) -> impl Iterator<Item = &'e Element> {
    element.children().filter(move |link| {
        matches!(link.name.as_str(), "link" | "atom:link") && link.attribute("rel").unwrap_or("alternate") == relation
    })
}

fn title(element: &Element, atom: bool) -> String {
    let title = ["title", "media:title", "dc:title", "itunes:title"]
        .iter()
        .filter_map(|name| element.child(name))
        .map(|title| construct(title, atom, None).text)
        .find(|title| !title.is_empty());
    one_line(&title.unwrap_or_default())
}

/// The fullest text that the item has.
fn body(element: &Element, atom: bool, base: Option<&Url>) -> Plain {
    let media = element.child("media:group").unwrap_or(element);
    let whole = [
        "content:encoded",
        "content",
        "atom:content",
        "description",
        "summary",
        "atom:summary",
        "dc:description",
        "itunes:summary",
        "itunes:subtitle",
    ];
    let texts = whole.iter().filter_map(|name| element.child(name)).chain(media.child("media:description"));
    texts.map(|text| construct(text, atom, base)).find(|plain| !plain.text.is_empty()).unwrap_or_default()
}

/// A text that may be plain, HTML or XHTML. Atom says which; RSS does not, so it is told by its looks.
fn construct(element: &Element, atom: bool, base: Option<&Url>) -> Plain {
    let media_type = element.attribute("type").unwrap_or_default();
    if element.has_children() {
        return text::from_html(&element.inner_html(), base);
    }
    let content = element.text();
    let html = match media_type {
        "html" | "text/html" | "xhtml" | "application/xhtml+xml" => true,
        "text" | "text/plain" => false,
        "" | "plain" => (!atom || element.name.contains(':')) && text::looks_like_html(&content),
        // A picture or the like, not text.
        _ => return Plain::default(),
    };
    if html { text::from_html(&content, base) } else { plain(&content) }
}

/// A plain text as it is, white space at the ends of lines aside.
pub(super) fn plain(content: &str) -> Plain {
    let lines: Vec<&str> = content.trim().lines().map(str::trim).collect();
    Plain { text: lines.join("\n"), links: text::links(content) }
}

/// A text on one line.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn author(element: &Element, names: &[&str]) -> Option<Person> {
    names.iter().flat_map(|name| element.children().filter(move |child| child.name == *name)).find_map(|author| {
        let part = |names: &[&str]| author.text_of(names).unwrap_or_default();
        let person = if author.has_children() {
            Person {
                name: one_line(&part(&["name", "atom:name"])),
                url: part(&["uri", "url", "atom:uri"]),
                email: part(&["email", "atom:email"]),
            }
        } else {
            person(&author.text())
        };
        (person != Person::default()).then_some(person)
    })
}

/// Somebody in one line: `name`, `mail`, `mail (name)` or `name <mail>`.
fn person(text: &str) -> Person {
    let name_and_mail = |mail: &str, name: &str| Person {
        name: one_line(name.trim_matches(['"', ' '])),
        email: mail.trim().to_owned(),
        ..Person::default()
    };
    if let Some((mail, name)) = text.strip_suffix(')').and_then(|text| text.split_once('('))
        && mail.contains('@')
    {
        return name_and_mail(mail, name);
    }
    if let Some((name, mail)) = text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        return name_and_mail(mail, name);
    }
    if text.contains('@') && !text.contains(char::is_whitespace) {
        return name_and_mail(text, "");
    }
    Person { name: one_line(&text::from_html(text, None).text), ..Person::default() }
}

fn date(element: &Element, names: &[&str]) -> Option<Timestamp> {
    names
        .iter()
        .flat_map(|name| element.children().filter(move |child| child.name == *name))
        .find_map(|child| date::parse(&child.text()))
}

fn language(element: &Element) -> Option<String> {
    element.attribute("xml:lang").map(str::to_owned).or_else(|| element.text_of(&["dc:language", "language"]))
}

fn categories(element: &Element) -> Vec<String> {
    element
        .children()
        .filter(|child| matches!(child.name.as_str(), "category" | "dc:subject"))
        .map(|category| category.attribute("term").map_or_else(|| category.text(), str::to_owned))
        .collect()
}

/// An enclosure of RSS or Atom, or a `media:content` (rssboard.org/media-rss), that is seen or heard.
fn has_media(element: &Element) -> bool {
    let named = |parent: &'_ Element, name: &str| parent.children().filter(|child| child.name == name).any(is_media);
    let group = element.child("media:group");
    named(element, "enclosure")
        || links(element, "enclosure").any(is_media)
        || named(element, "media:content")
        || group.is_some_and(|group| named(group, "media:content"))
}

fn is_media(element: &Element) -> bool {
    // YouTube still calls its videos by the player of old.
    let is_media_type = |name: &str| text::is_media_type(name) || name == "application/x-shockwave-flash";
    matches!(element.attribute("medium"), Some("image" | "video" | "audio"))
        || element.attribute("type").is_some_and(is_media_type)
}

fn views(element: &Element) -> Option<u64> {
    let media = element.child("media:group").unwrap_or(element);
    media.child("media:community")?.child("media:statistics")?.attribute("views")?.parse().ok()
}
