//! Text helpers that channels share: HTML to plain text; links, hashtags and handles in plain text.

use std::cell::RefCell;
use std::ops::Range;

use html5ever::data::NAMED_ENTITIES;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use unicode_normalization::char::is_combining_mark;
use url::Url;

/// No text holds more links, hashtags or handles that anybody needs.
const MOST_WORDS: usize = 1000;

/// A longer link is cut here, in characters.
const LONGEST_LINK: usize = 2048;

/// The longest name of an HTML character reference, in characters.
const LONGEST_REFERENCE: usize = 32;

/// What a person reads in a piece of HTML.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plain {
    /// The text: paragraphs apart by an empty line, other blocks and `<br>` by a newline, runs of
    /// white space as one space. Scripts, styles and comments are dropped.
    pub text: String,
    /// Where its links (`<a href>`, http and https only) lead, in order, each once.
    pub links: Vec<String>,
}

/// Reads HTML, however broken; relative links are resolved against `base` and dropped without one.
///
/// Linear in the size of the input. Only the tokens are read, no tree is built.
pub fn from_html(html: &str, base: Option<&Url>) -> Plain {
    read_html(html, base, PlainState::default())
}

/// Reads the HTML of a mail as [`from_html`] does, and keeps what tells whose words they are: lines
/// of a `<blockquote>` begin with `> `, and a line `--` stands before what is marked as a signature.
pub fn from_mail_html(html: &str) -> Plain {
    read_html(html, None, PlainState { is_mail: true, ..PlainState::default() })
}

fn read_html(html: &str, base: Option<&Url>, state: PlainState) -> Plain {
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(html));
    let tokenizer = Tokenizer::new(PlainSink { base, state: state.into() }, TokenizerOpts::default());
    // The sink never asks to pause at a script, so one call reads everything.
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    let mut plain = tokenizer.sink.state.into_inner().plain;
    plain.text.truncate(plain.text.trim_end().len());
    plain
}

/// True when a text that may be plain or HTML holds a tag or a character reference.
pub fn looks_like_html(text: &str) -> bool {
    let last_bracket = text.rfind('>').unwrap_or_default();
    let tag = |rest: &str| {
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!')
    };
    let reference = |rest: &str| {
        let name: String =
            rest.chars().take(LONGEST_REFERENCE).take_while(|&c| c.is_ascii_alphanumeric() || c == '#').collect();
        rest.get(name.len()..).is_some_and(|rest| rest.starts_with(';'))
            && match name.strip_prefix('#') {
                Some(number) => !number.is_empty(),
                None => entity(&name).is_some(),
            }
    };
    text.match_indices(['<', '&']).any(|(at, sign)| {
        let rest = text.get(at + 1..).unwrap_or_default();
        if sign == "<" { at < last_bracket && tag(rest) } else { reference(rest) }
    })
}

/// The characters that an HTML character reference (`nbsp`, without `&` and `;`) stands for.
pub fn entity(name: &str) -> Option<String> {
    let &(first, second) = NAMED_ENTITIES.get(&format!("{name};"))?;
    Some([first, second].into_iter().filter(|&code| code != 0).filter_map(char::from_u32).collect())
}

#[derive(Default)]
struct PlainState {
    plain: Plain,
    /// Newlines owed before the next word.
    newlines: usize,
    space: bool,
    /// The element whose text is not for reading, while inside it.
    skipping: Option<StrTendril>,
    /// Whether quotations and signatures are marked.
    is_mail: bool,
    /// Quotations of a mail that are open.
    quotes: usize,
}

struct PlainSink<'a> {
    base: Option<&'a Url>,
    state: RefCell<PlainState>,
}

impl TokenSink for PlainSink<'_> {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut state = self.state.borrow_mut();
        match token {
            Token::CharacterTokens(text) if state.skipping.is_none() => state.push(&text),
            Token::TagToken(tag) => return state.tag(&tag, self.base),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

impl PlainState {
    fn push(&mut self, text: &str) {
        for c in text.chars() {
            if c.is_whitespace() {
                self.space = true;
                continue;
            }
            if c.is_control() {
                continue;
            }
            let text = &mut self.plain.text;
            if !text.is_empty() {
                match self.newlines {
                    0 if self.space => text.push(' '),
                    newlines => text.extend(std::iter::repeat_n('\n', newlines)),
                }
            }
            (self.newlines, self.space) = (0, false);
            if self.quotes > 0 && (text.is_empty() || text.ends_with('\n')) {
                text.push_str("> ");
            }
            text.push(c);
        }
    }

    fn tag(&mut self, tag: &Tag, base: Option<&Url>) -> TokenSinkResult<()> {
        let name: &str = &tag.name;
        if let Some(skipping) = &self.skipping {
            if tag.kind == TagKind::EndTag && **skipping == *name {
                self.skipping = None;
            }
            return TokenSinkResult::Continue;
        }
        match name {
            "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "blockquote" | "ul" | "ol" | "pre" | "table" | "figure" => {
                self.newlines = self.newlines.max(2);
            }
            "br" if self.newlines < 2 => self.newlines += 1,
            "div" | "li" | "tr" | "dt" | "dd" | "hr" | "section" | "article" | "header" | "footer" | "figcaption"
            | "title" => {
                self.newlines = self.newlines.max(1);
            }
            "td" | "th" => self.space = true,
            _ => {}
        }
        if self.is_mail {
            self.mail_tag(tag);
        }
        if tag.kind == TagKind::EndTag {
            return TokenSinkResult::Continue;
        }
        match name {
            "script" | "style" | "iframe" | "noframes" | "xmp" if !tag.self_closing => {
                self.skipping = Some(StrTendril::from_slice(name));
                return TokenSinkResult::RawData(RawKind::Rawtext);
            }
            "a" => {
                let target = attribute(tag, "href").and_then(|href| match base {
                    Some(base) => base.join(href.trim()).ok(),
                    None => Url::parse(href.trim()).ok(),
                });
                if let Some(target) = target.filter(|target| matches!(target.scheme(), "http" | "https")) {
                    push_once(&mut self.plain.links, target.into());
                }
            }
            // Sites replace emoji by pictures of them.
            "img" if attribute(tag, "class").is_some_and(|class| class.contains("emoji")) => {
                self.push(attribute(tag, "alt").unwrap_or_default());
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

impl PlainState {
    fn mail_tag(&mut self, tag: &Tag) {
        let is_start = tag.kind == TagKind::StartTag;
        let has = |name: &str, word: &str| attribute(tag, name).is_some_and(|it| it.to_lowercase().contains(word));
        if *tag.name == *"blockquote" {
            // One without a border is how some programs indent.
            let is_quote = !has("style", "border:none") && !has("style", "border: none");
            self.quotes = if is_start { self.quotes + usize::from(is_quote) } else { self.quotes.saturating_sub(1) };
        } else if is_start && self.quotes == 0 && (has("class", "signature") || has("id", "signature")) {
            self.newlines = self.newlines.max(1);
            self.push("--");
            self.newlines = 1;
        }
    }
}

fn attribute<'t>(tag: &'t Tag, name: &str) -> Option<&'t str> {
    tag.attrs.iter().find(|attribute| &*attribute.name.local == name).map(|attribute| &*attribute.value)
}

/// The `http` and `https` links in a plain text, in order, each once.
pub fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for link in link_ranges(text).into_iter().filter_map(|range| text.get(range)) {
        push_once(&mut links, link.to_owned());
    }
    links
}

/// The hashtags in a plain text, without `#`, as written, in order, each once.
///
/// A hashtag is a `#` (or full-width `＃`) at the start of a word, followed by letters, marks, digits
/// and underscores of any script, not digits alone. Links are left out.
pub fn hashtags(text: &str) -> Vec<String> {
    words_after(text, ['#', '＃'], |rest| {
        let mut end = 0;
        for (at, c) in rest.char_indices() {
            // The zero-width non-joiner is part of Persian words.
            if !(c.is_alphanumeric() || c == '_' || is_combining_mark(c) || c == '\u{200c}') {
                break;
            }
            end = at + c.len_utf8();
        }
        let tag = rest.get(..end)?.trim_end_matches('\u{200c}');
        tag.chars().any(char::is_alphabetic).then_some(tag)
    })
}

/// The handles that a plain text mentions, without `@`, as written, in order, each once.
///
/// Handles may be names (`@ann`), domains (`@ann.example.org`) and name and server
/// (`@ann@example.org`). A handle that starts with an ASCII letter ends at the first other letter,
/// because scripts without spaces write on right after it. Mail addresses and links are left out.
pub fn mentions(text: &str) -> Vec<String> {
    words_after(text, ['@', '＠'], |rest| {
        let ascii = rest.starts_with(|c: char| c.is_ascii());
        let letter = |c: char| c == '_' || if ascii { c.is_ascii_alphanumeric() } else { c.is_alphanumeric() };
        let mut end = 0;
        let mut chars = rest.char_indices().peekable();
        let mut server = false;
        while let Some((at, c)) = chars.next() {
            let inner = match c {
                '.' | '-' => end > 0,
                '@' => end > 0 && !std::mem::replace(&mut server, true),
                _ => false,
            };
            let goes_on = chars.peek().is_some_and(|&(_, next)| letter(next));
            if !(letter(c) || inner && goes_on) {
                break;
            }
            end = at + c.len_utf8();
        }
        rest.get(..end).filter(|handle| !handle.is_empty())
    })
}

/// The words that `read` finds after one of two signs that start a word outside links.
fn words_after<'t>(text: &'t str, signs: [char; 2], read: impl Fn(&'t str) -> Option<&'t str>) -> Vec<String> {
    let links = link_ranges(text);
    let mut words = Vec::new();
    for (at, sign) in text.match_indices(signs) {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        // In scripts without spaces a hashtag follows a letter directly; after a Latin letter it is no hashtag.
        let in_word = before.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '&' | '/' | '@' | '#'));
        if in_word || in_ranges(&links, at) {
            continue;
        }
        if let Some(word) = text.get(at + sign.len()..).and_then(&read) {
            push_once(&mut words, word.to_owned());
        }
    }
    words
}

fn in_ranges(sorted: &[Range<usize>], at: usize) -> bool {
    sorted.get(sorted.partition_point(|range| range.end <= at)).is_some_and(|range| range.contains(&at))
}

fn link_ranges(text: &str) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices("://") {
        let before = text.get(..at).unwrap_or_default();
        let scheme = ["https", "http"].into_iter().find(|scheme| {
            before
                .len()
                .checked_sub(scheme.len())
                .and_then(|start| before.get(start..))
                .is_some_and(|end| end.eq_ignore_ascii_case(scheme))
        });
        let Some(start) = scheme.map(|scheme| at - scheme.len()) else { continue };
        if ranges.last().is_some_and(|last| last.contains(&start)) {
            continue;
        }
        let Some(rest) = text.get(start..) else { continue };
        let end = rest.char_indices().take(LONGEST_LINK).take_while(|&(_, c)| !ends_link(c)).last();
        let link = rest.get(..end.map_or(0, |(at, c)| at + c.len_utf8())).unwrap_or_default();
        let link = without_closing_punctuation(link);
        if link.len() > at + "://".len() - start {
            ranges.push(start..start + link.len());
        }
    }
    ranges
}

/// White space, quotes, brackets, and the scripts that are written without spaces.
fn ends_link(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '<' | '>' | '"' | '«' | '»' | '“' | '”' | '„' | '`' | '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{ff00}'..='\u{ffef}')
}

fn without_closing_punctuation(mut link: &str) -> &str {
    loop {
        let Some(last) = link.chars().next_back() else { return link };
        let closing = match last {
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '…' | '’' | '*' | '|' => true,
            ')' => link.matches(')').count() > link.matches('(').count(),
            ']' => link.matches(']').count() > link.matches('[').count(),
            '}' => link.matches('}').count() > link.matches('{').count(),
            _ => false,
        };
        if !closing {
            return link;
        }
        link = link.strip_suffix(last).unwrap_or_default();
    }
}

/// Whether a media type (RFC 6838) is of pictures, video or sound.
pub(crate) fn is_media_type(name: &str) -> bool {
    let main = name.trim().split('/').next().unwrap_or_default();
    ["image", "video", "audio"].iter().any(|media| main.eq_ignore_ascii_case(media))
}

pub(crate) fn push_once(list: &mut Vec<String>, item: String) {
    if !item.is_empty() && list.len() < MOST_WORDS && !list.contains(&item) {
        list.push(item);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn html_becomes_what_a_person_reads() {
        let html = "<style>p{}</style><p>Fish &amp; <b>chips</b>&nbsp;now<br>or\n  later</p><script>if (a<b) x()</script>\
                    <ul><li>one<li>two</ul><!-- no --><p>caf&eacute; <img class='wp-emoji' alt='🙂'> &unknown; 1 < 2";
        assert_eq!(from_html(html, None).text, "Fish & chips now\nor later\n\none\ntwo\n\ncafé 🙂 &unknown; 1 < 2");
    }

    #[test]
    fn links_of_html_are_resolved_and_kept_once() {
        let base = Url::parse("https://example.org/a/b").unwrap();
        let html = "<a href='c?x=1&amp;y=2'>1</a><a href=c?x=1&y=2>2</a><a href='mailto:a@b.c'>3</a><a href='HTTP://other.example'>4</a>";
        assert_eq!(from_html(html, Some(&base)).links, ["https://example.org/a/c?x=1&y=2", "http://other.example/"]);
        assert_eq!(from_html(html, None).links, ["http://other.example/"]);
    }

    #[test]
    fn the_html_of_a_mail_says_whose_words_they_are() {
        let html = "<div>No.<div class='gmail_signature'>Ann<br>Acme</div></div><div class=gmail_attr>On Monday Bo wrote:</div>\
                    <blockquote class=gmail_quote>Yes?<br>Or no?<blockquote>Hm</blockquote></blockquote>\
                    <blockquote style='margin: 0 0 0 40px; border: none'>indented</blockquote>";
        assert_eq!(
            from_mail_html(html).text,
            "No.\n--\nAnn\nAcme\nOn Monday Bo wrote:\n\n> Yes?\n> Or no?\n\n> Hm\n\nindented"
        );
    }

    #[test]
    fn plain_text_is_told_from_html() {
        for html in ["a <b>b</b>", "AT&amp;T", "it&#8217;s", "x<br/>", "</p>", "<!-- -->"] {
            assert!(looks_like_html(html), "{html}");
        }
        for plain in ["1 < 2 > 0", "AT&T; and more", "R&D", "<3 you", "", "a & b; c", "if a<b then"] {
            assert!(!looks_like_html(plain), "{plain}");
        }
    }

    #[test]
    fn links_end_where_a_person_would_end_them() {
        let text = "see (https://en.wikipedia.org/wiki/A_(b)), HTTP://x.org/a?b=c#d. 请看https://t.cn/abc查看 ftp://no https:// \
                    <https://z.org/~a_b/>! https://x.org/r?to=https://y.org/";
        assert_eq!(
            links(text),
            [
                "https://en.wikipedia.org/wiki/A_(b)",
                "HTTP://x.org/a?b=c#d",
                "https://t.cn/abc",
                "https://z.org/~a_b/",
                "https://x.org/r?to=https://y.org/"
            ]
        );
    }

    #[test]
    fn hashtags_in_all_scripts() {
        let text =
            "#Rust, #ünïcode_1 #123 a#b #हिन्दी #ไทยแลนด์ #کتاب‌ها ＃全角 今日は#天気 https://x.org/#frag &#39; #Rust ##";
        assert_eq!(hashtags(text), ["Rust", "ünïcode_1", "हिन्दी", "ไทยแลนด์", "کتاب‌ها", "全角", "天気"]);
    }

    #[test]
    fn mentions_but_not_mail_addresses() {
        let text = "@ann, .@bob! mail me@example.org @carl.bsky.social. @dora@social.example: https://medium.com/@eve \
                    @小明 @frank你好 (@gus) @ann @";
        assert_eq!(mentions(text), ["ann", "bob", "carl.bsky.social", "dora@social.example", "小明", "frank", "gus"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(<[a-z/]{0,6}|&#?[a-z0-9]{0,5};?|[@#]|https?://|\\PC){0,60}") {
            let plain = from_html(&text, None);
            prop_assert!(!plain.text.chars().any(|c| c.is_control() && c != '\n'));
            let found = links(&text);
            prop_assert!(found.iter().all(|link| text.contains(link.as_str())));
            prop_assert!(hashtags(&text).iter().chain(&mentions(&text)).all(|word| text.contains(word.as_str())));
            looks_like_html(&text);
        }
    }
}
