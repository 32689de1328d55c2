//! XML as feeds really write it: a lenient reader that keeps every whole item.
//!
//! Unclosed and mismatched tags, bare ampersands, undeclared entities and prefixes, junk before the
//! document and control characters are put up with. An item that cannot be read or is cut off is
//! [`Broken`]; reading goes on at the next one. No entity is ever expanded from a DTD.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::decode::is_text;
use crate::text::entity;

/// Elements nested deeper than this are read as if their tags were not there.
const DEEPEST: usize = 100;

/// After so many broken items the rest of the document is one broken piece.
const MOST_BROKEN: usize = 100;

/// An element with everything in it.
#[derive(Debug, Default)]
pub(super) struct Element {
    /// Local name, after the usual prefix of its name space where that is not the feed's own:
    /// `title`, `dc:creator`, `slash:comments`.
    pub(super) name: String,
    attributes: Vec<(String, String)>,
    content: Vec<Node>,
}

#[derive(Debug)]
enum Node {
    Text(String),
    Element(Element),
}

impl Element {
    /// The value of an attribute, whose name is given without prefix except `xml:`.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The elements directly in this one.
    pub(super) fn children(&self) -> impl Iterator<Item = &Element> {
        self.content.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first element directly in this one that has the name.
    pub(super) fn child(&self, name: &str) -> Option<&Element> {
        self.children().find(|element| element.name == name)
    }

    /// The first non-empty text of the elements directly in this one that have one of the names.
    pub(super) fn text_of(&self, names: &[&str]) -> Option<String> {
        let texts = names.iter().flat_map(|name| self.children().filter(move |element| element.name == *name));
        texts.map(Element::text).find(|text| !text.is_empty())
    }

    /// All text in this element, trimmed, its tags left out.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.collect_text(&mut text);
        text.trim().to_owned()
    }

    fn collect_text(&self, out: &mut String) {
        for node in &self.content {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Element(element) => element.collect_text(out),
            }
        }
    }

    /// What is in this element as HTML, given that its tags are HTML (an XHTML construct).
    pub(super) fn inner_html(&self) -> String {
        let mut html = String::new();
        self.collect_html(&mut html);
        html
    }

    fn collect_html(&self, out: &mut String) {
        for node in &self.content {
            match node {
                Node::Text(text) => out.push_str(&quick_xml::escape::escape(text.as_str())),
                Node::Element(element) => {
                    let name = element.name.rsplit(':').next().unwrap_or_default();
                    out.push_str(&format!("<{name}"));
                    for (key, value) in &element.attributes {
                        out.push_str(&format!(" {key}=\"{}\"", quick_xml::escape::escape(value.as_str())));
                    }
                    out.push('>');
                    element.collect_html(out);
                    if name != "br" && name != "img" && name != "hr" {
                        out.push_str(&format!("</{name}>"));
                    }
                }
            }
        }
    }

    /// True when there are tags in this element.
    pub(super) fn has_children(&self) -> bool {
        self.children().next().is_some()
    }
}

/// A feed document, taken apart.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// The root with everything but the items.
    pub(super) root: Element,
    /// Name space of the root, empty where none is declared.
    pub(super) name_space: String,
    /// The whole items, in the order of the document.
    pub(super) items: Vec<Element>,
    /// The items that could not be read.
    pub(super) broken: Vec<Broken>,
}

/// A piece of the document that could not be read.
#[derive(Debug)]
pub(super) struct Broken {
    /// Where it starts, in bytes of the decoded document.
    pub(super) offset: usize,
    /// Why it could not be read.
    pub(super) reason: String,
    /// The piece itself.
    pub(super) payload: String,
}

/// Reads a document; `None` when it holds no root element of a feed.
pub(super) fn read(text: &str) -> Option<Document> {
    let start = tags(text, 0).find(|(_, name)| ["rss", "feed", "RDF"].contains(name)).map(|(at, _)| at)?;
    let mut builder = Builder::default();
    let mut from = start;
    while let Err(mut broken) = builder.read(text, from) {
        let next = next_item(text, broken.offset + 1).filter(|_| builder.broken.len() < MOST_BROKEN);
        broken.payload = text.get(broken.offset..next.unwrap_or(text.len())).unwrap_or_default().to_owned();
        builder.abandon_item();
        builder.broken.push(broken);
        match next {
            Some(next) => from = next,
            None => break,
        }
    }
    Some(builder.finish())
}

/// The start tags of a text: where they begin, and their local names.
fn tags(text: &str, from: usize) -> impl Iterator<Item = (usize, &str)> {
    let rest = text.get(from..).unwrap_or_default();
    rest.match_indices('<').map(move |(at, _)| {
        let name = rest.get(at + 1..).unwrap_or_default();
        let length = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == ':')).unwrap_or(name.len());
        let name = name.get(..length).unwrap_or_default();
        (from + at, name.rsplit(':').next().unwrap_or_default())
    })
}

fn next_item(text: &str, from: usize) -> Option<usize> {
    // A broken piece may start within a character only if its offset was no character boundary.
    let from = (from..=text.len()).find(|&at| text.is_char_boundary(at))?;
    tags(text, from).find(|(_, name)| is_item(name)).map(|(at, _)| at)
}

fn is_item(name: &str) -> bool {
    matches!(name, "item" | "entry")
}

#[derive(Default)]
struct Builder {
    /// The elements that are open, the root first.
    open: Vec<Element>,
    /// How many more are open below those, too deep to be kept.
    too_deep: usize,
    /// Where the open item is in `open`, and where it starts in the text.
    item: Option<(usize, usize)>,
    /// Usual prefixes by the document's own.
    prefixes: HashMap<String, &'static str>,
    name_space: String,
    root: Option<Element>,
    items: Vec<Element>,
    broken: Vec<Broken>,
}

impl Builder {
    /// Reads up to the end, or to the first piece that cannot be read.
    fn read(&mut self, text: &str, from: usize) -> Result<(), Broken> {
        let mut reader = Reader::from_str(text.get(from..).unwrap_or_default());
        let config = reader.config_mut();
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.allow_dangling_amp = true;
        loop {
            let at = from + usize::try_from(reader.buffer_position()).unwrap_or_default();
            let event = reader.read_event().map_err(|error| self.broken(at, &error.to_string()))?;
            match event {
                Event::Start(tag) => self.start(&tag, at)?,
                Event::Empty(tag) => {
                    self.start(&tag, at)?;
                    self.end_innermost();
                }
                Event::End(tag) => self.end(tag.name().as_ref(), at)?,
                Event::Text(text) => self.text(&text),
                Event::CData(text) => self.text(&text),
                Event::GeneralRef(reference) => self.reference(&reference),
                Event::Eof if self.item.is_some() => return Err(self.broken(at, "the document ends within it")),
                Event::Eof => return Ok(()),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
            if self.root.is_some() {
                // What sites append to their feeds is no business of ours.
                return Ok(());
            }
        }
    }

    fn unclosed(&self) -> String {
        format!("the element `{}` is not closed", self.open.last().map_or("", |element| &element.name))
    }

    /// The open item, or what is at `at` where none is open.
    fn broken(&self, at: usize, reason: &str) -> Broken {
        let offset = self.item.map_or(at, |(_, start)| start);
        Broken { offset, reason: reason.to_owned(), payload: String::new() }
    }

    fn start(&mut self, tag: &BytesStart<'_>, at: usize) -> Result<(), Broken> {
        let mut attributes = Vec::new();
        for attribute in tag.html_attributes().with_checks(false).flatten() {
            let key: &str = attribute.key.as_ref();
            let value = unescape(&attribute.value);
            if let Some(prefix) = key.strip_prefix("xmlns") {
                self.declare(prefix.trim_start_matches(':'), &value);
            } else {
                let local = if key.starts_with("xml:") { key } else { key.rsplit(':').next().unwrap_or_default() };
                attributes.push((local.to_owned(), value));
            }
        }
        let name = self.usual_name(tag.name().as_ref());
        if is_item(&name) {
            if let Some((depth, _)) = self.item {
                // An item whose end tag is missing is whole if all in it is.
                if self.open.len() > depth + 1 {
                    return Err(self.broken(at, &self.unclosed()));
                }
                self.end_innermost();
            }
            self.item = Some((self.open.len(), at));
        }
        if self.open.len() >= DEEPEST {
            self.too_deep += 1;
        } else {
            self.open.push(Element { name, attributes, content: Vec::new() });
        }
        Ok(())
    }

    /// Closes the innermost open element of this name and all in it; an end tag without one is ignored.
    fn end(&mut self, name: &str, at: usize) -> Result<(), Broken> {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return Ok(());
        }
        let name = self.usual_name(name);
        let Some(depth) = self.open.iter().rposition(|element| element.name == name) else { return Ok(()) };
        if let Some((item, _)) = self.item
            && depth <= item
            && self.open.len() > item + 1
        {
            return Err(self.broken(at, &self.unclosed()));
        }
        while self.open.len() > depth {
            self.end_innermost();
        }
        Ok(())
    }

    fn end_innermost(&mut self) {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return;
        }
        let Some(element) = self.open.pop() else { return };
        if self.item.is_some_and(|(depth, _)| depth == self.open.len()) {
            self.item = None;
            self.items.push(element);
        } else if let Some(parent) = self.open.last_mut() {
            parent.content.push(Node::Element(element));
        } else if self.root.is_none() {
            self.root = Some(element);
        }
    }

    /// Forgets the open item, so that reading can go on behind it.
    fn abandon_item(&mut self) {
        if let Some((depth, _)) = self.item.take() {
            self.open.truncate(depth);
            self.too_deep = 0;
        }
    }

    fn text(&mut self, text: &str) {
        let Some(element) = self.open.last_mut() else { return };
        match element.content.last_mut() {
            Some(Node::Text(so_far)) => so_far.push_str(text),
            _ => element.content.push(Node::Text(text.to_owned())),
        }
    }

    fn reference(&mut self, name: &str) {
        let resolved = resolve(name).unwrap_or_else(|| format!("&{name};"));
        self.text(&resolved);
    }

    fn declare(&mut self, prefix: &str, name_space: &str) {
        if prefix.is_empty() && self.open.is_empty() {
            self.name_space = name_space.to_owned();
        }
        if let Some(usual) = usual_prefix(name_space)
            && !prefix.is_empty()
        {
            self.prefixes.insert(prefix.to_owned(), usual);
        }
    }

    /// The name with the usual prefix of its name space; an undeclared prefix is taken as the usual one.
    fn usual_name(&self, name: &str) -> String {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        let usual = self.prefixes.get(prefix).copied().unwrap_or(prefix);
        // The feed's own name space may have a prefix too; then it has that of the root, or is RSS 1.0.
        let own = usual == "rss" || usual == "atom" && self.open.first().is_none_or(|root| root.name == "feed");
        if usual.is_empty() || own { local.to_owned() } else { format!("{usual}:{local}") }
    }

    fn finish(mut self) -> Document {
        self.abandon_item();
        while !self.open.is_empty() {
            self.end_innermost();
        }
        Document {
            root: self.root.unwrap_or_default(),
            name_space: self.name_space,
            items: self.items,
            broken: self.broken,
        }
    }
}

fn usual_prefix(name_space: &str) -> Option<&'static str> {
    Some(match name_space.trim_end_matches(['/', '#']) {
        "http://www.w3.org/2005/Atom" | "http://purl.org/atom/ns" => "atom",
        "http://purl.org/rss/1.0" | "http://my.netscape.com/rdf/simple/0.9" | "http://backend.userland.com/rss2" => {
            "rss"
        }
        "http://www.w3.org/1999/02/22-rdf-syntax-ns" => "rdf",
        "http://purl.org/dc/elements/1.1" => "dc",
        "http://purl.org/dc/terms" => "dcterms",
        "http://purl.org/rss/1.0/modules/content" => "content",
        "http://purl.org/rss/1.0/modules/slash" => "slash",
        "http://purl.org/syndication/thread/1.0" => "thr",
        "http://search.yahoo.com/mrss" => "media",
        "http://www.itunes.com/dtds/podcast-1.0.dtd" | "http://www.itunes.com/DTDs/PodCast-1.0.dtd" => "itunes",
        "http://www.w3.org/1999/xhtml" => "xhtml",
        _ => return None,
    })
}

fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let name: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '#').take(32).collect();
        let resolved = after.get(name.len()..).filter(|tail| tail.starts_with(';')).and_then(|_| resolve(&name));
        match resolved {
            Some(resolved) => {
                out.push_str(&resolved);
                rest = after.get(name.len() + 1..).unwrap_or_default();
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// What a reference stands for: a character by number, or an entity of XML or HTML.
fn resolve(name: &str) -> Option<String> {
    let Some(number) = name.strip_prefix('#') else { return entity(name) };
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
        None => number.parse().ok()?,
    };
    match code {
        // As browsers do: numbers from windows-1252.
        0x80..=0x9f => {
            let byte = [u8::try_from(code).ok()?];
            Some(encoding_rs::WINDOWS_1252.decode_without_bom_handling(&byte).0.into_owned())
        }
        code => char::from_u32(code).filter(|&c| is_text(c)).map(String::from),
    }
}
