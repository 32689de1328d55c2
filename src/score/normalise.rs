//! Text as it was written -> folded characters, with what the folding took away.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::compose;

use super::chars::{Class, Glyph, NON_JOINER, Script};

/// Only this many characters of a text are read; the rest of a longer one changes nothing. It bounds
/// the time of one text, and a long article's beginning says what the whole says.
pub const MAX_CHARS: usize = 4_096;

/// A normalised text. The buffer is meant to be used again.
#[derive(Default)]
pub(crate) struct Text {
    glyphs: Vec<Glyph>,
    capitals: u32,
    elongations: u32,
    chars: usize,
}

impl Text {
    /// Forgets everything but the memory.
    pub(crate) fn clear(&mut self) {
        self.glyphs.clear();
        self.capitals = 0;
        self.elongations = 0;
        self.chars = 0;
    }

    /// The folded characters.
    pub(crate) fn glyphs(&self) -> &[Glyph] {
        &self.glyphs
    }

    /// How many letters were capitals, links and mentions left out.
    pub(crate) fn capitals(&self) -> u32 {
        self.capitals
    }

    /// A character was repeated three times or more, as in "sooo" and "!!!".
    pub(crate) fn is_elongated(&self) -> bool {
        self.elongations > 0
    }

    /// Adds a text after those that were added before.
    pub(crate) fn push(&mut self, text: &str) {
        self.glyphs.push(Glyph::SPACE);
        let table = Glyph::table();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if self.chars >= MAX_CHARS {
                break;
            }
            self.chars += 1;
            let glyph = Glyph::of(table, c);
            if glyph.is_plain() {
                self.add(glyph);
                continue;
            }
            match stand_in(c, chars.as_str(), self.at_word_start()) {
                Some((stand_in, length)) => {
                    self.glyphs.push(stand_in);
                    self.chars += length;
                    chars = chars.as_str().get(length..).unwrap_or_default().chars();
                }
                None => self.add_unusual(glyph, c),
            }
        }
    }

    #[inline]
    fn add(&mut self, glyph: Glyph) {
        if self.glyphs.last().is_some_and(|last| last.code() == glyph.code()) && self.is_too_many(glyph) {
            return;
        }
        self.glyphs.push(glyph);
        self.capitals += glyph.capitals();
    }

    /// A run of digits is one number, and a third of the same character is one too many. The
    /// character before is the same.
    fn is_too_many(&mut self, glyph: Glyph) -> bool {
        if glyph == Glyph::NUMBER {
            return true;
        }
        let is_third = matches!(self.glyphs.as_slice(), [.., before, _] if before.code() == glyph.code());
        let is_elongation = is_third && glyph.class() != Class::Space;
        self.elongations += u32::from(is_elongation);
        is_elongation
    }

    fn add_unusual(&mut self, glyph: Glyph, c: char) {
        match glyph.class() {
            Class::Dropped if c == NON_JOINER => self.half_space(),
            Class::Dropped => {}
            Class::Joins => self.join(glyph, c),
            Class::Expands => self.expand(c),
            _ => self.add(glyph),
        }
    }

    fn at_word_start(&self) -> bool {
        self.glyphs.last().is_none_or(|last| last.class() != Class::Word)
    }

    /// A mark joins the letter before it where Unicode has one letter for both; a dot over an i is
    /// nothing (the rest of a lower-cased İ); anything else stands as it is.
    fn join(&mut self, mark: Glyph, c: char) {
        let Some(last) = self.glyphs.last_mut() else { return };
        if last.char() == 'i' && c == '\u{307}' {
            return;
        }
        match compose(last.char(), c) {
            Some(both) => *last = Glyph::of(Glyph::table(), both),
            None if last.class() == Class::Word => self.glyphs.push(mark.as_letter()),
            None => {}
        }
    }

    fn expand(&mut self, c: char) {
        for part in std::iter::once(c).nfkc() {
            let glyph = Glyph::of(Glyph::table(), part);
            if !matches!(glyph.class(), Class::Dropped | Class::Joins | Class::Expands) {
                self.add(glyph);
            }
        }
    }

    /// Between the parts of a Persian word; nothing in other scripts.
    fn half_space(&mut self) {
        if self.glyphs.last().is_some_and(|last| last.script() == Script::Arabic as usize) {
            self.glyphs.push(Glyph::SPACE);
        }
    }
}

/// What stands for a link, a mention or an entity that begins with `c`, and how many bytes of the
/// rest belong to it.
fn stand_in(c: char, rest: &str, at_word_start: bool) -> Option<(Glyph, usize)> {
    match c {
        'h' | 'H' | 'w' | 'W' if at_word_start => link(c, rest).map(|length| (Glyph::LINK, length)),
        '@' | '＠' if at_word_start => {
            let length = rest.find(|d: char| !d.is_alphanumeric() && d != '_').unwrap_or(rest.len());
            (length > 0).then_some((Glyph::MENTION, length))
        }
        '&' => entity(rest),
        _ => None,
    }
}

/// A link, or the word `http` that stands for one in some collections.
fn link(c: char, rest: &str) -> Option<usize> {
    let after = if c.eq_ignore_ascii_case(&'h') { after_ignoring_case(rest, "ttp")? } else { rest };
    let is_link = if c.eq_ignore_ascii_case(&'h') {
        after.starts_with("://")
            || after_ignoring_case(after, "s://").is_some()
            || !after.starts_with(char::is_alphanumeric)
    } else {
        after_ignoring_case(rest, "ww.").is_some()
    };
    let length = || rest.find(|d: char| d.is_whitespace() || !d.is_ascii()).unwrap_or(rest.len());
    is_link.then(length)
}

fn after_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, tail) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(tail)
}

/// The HTML entities that exports leave in texts.
fn entity(rest: &str) -> Option<(Glyph, usize)> {
    const ENTITIES: [(&str, char); 7] =
        [("amp;", '&'), ("lt;", '<'), ("gt;", '>'), ("quot;", '"'), ("#39;", '\''), ("apos;", '\''), ("nbsp;", ' ')];
    ENTITIES
        .iter()
        .find(|(name, _)| rest.starts_with(name))
        .map(|(name, c)| (Glyph::of(Glyph::table(), *c), name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(text: &str) -> String {
        let mut buffer = Text::default();
        buffer.push(text);
        let readable = |glyph: &Glyph| match *glyph {
            Glyph::LINK => '⟨',
            Glyph::MENTION => '@',
            glyph => glyph.char(),
        };
        buffer.glyphs().iter().skip(1).map(readable).collect()
    }

    #[test]
    fn links_and_mentions_become_stand_ins() {
        assert_eq!(normalised("see https://t.co/aBc?x=1 now"), "see ⟨ now");
        assert_eq!(normalised("HTTP://X.Y www.example.org"), "⟨ ⟨");
        assert_eq!(normalised("看http://t.cn/zYx好"), "看⟨好");
        assert_eq!(normalised("@Air_Berlin: hi"), "@: hi");
        assert_eq!(normalised("thanks @user"), "thanks @");
        assert_eq!(normalised("a@b.c @ home"), "a@b.c @ home");
        assert_eq!(normalised("http httpd"), "⟨ httpd");
    }

    #[test]
    fn spelling_variants_become_one() {
        assert_eq!(normalised("İYİ ıyı"), "iyi iyi");
        assert_eq!(normalised("i\u{307}yi"), "iyi");
        assert_eq!(normalised("cafe\u{301}"), "café");
        assert_eq!(normalised("می\u{200c}خواهم"), "می خواهم");
        assert_eq!(normalised("كتابي"), "کتابی");
        assert_eq!(normalised("ＧＲＥＡＴ！"), "great!");
        assert_eq!(normalised("h\u{200b}ate"), "hate");
        assert_eq!(normalised("❤\u{fe0f} 👍\u{1f3fd}"), "❤ 👍");
        assert_eq!(normalised("cool\u{fffd}\u{fffd}story"), "cool  story");
        assert_eq!(normalised("&lt;3 R&amp;B"), "<0 r&b");
    }

    #[test]
    fn repetitions_and_numbers_are_shortened() {
        assert_eq!(normalised("soooooo good!!!!"), "soo good!!");
        assert_eq!(normalised("1,234,567 at 10:30"), "0,0,0 at 0:0");
        assert_eq!(normalised("哈哈哈哈哈"), "哈哈");
    }

    #[test]
    fn what_folding_takes_is_remembered() {
        let mut text = Text::default();
        text.push("WORST FLIGHT EVER https://AIR.EXAMPLE");
        assert_eq!(text.capitals(), 15);
        text.clear();
        text.push("çok kırıcı");
        assert!(text.capitals() == 0 && !text.is_elongated());
        text.clear();
        text.push("nooo");
        assert!(text.is_elongated());
    }

    #[test]
    fn only_the_beginning_of_a_long_text_is_read() {
        let mut text = Text::default();
        text.push(&"ab ".repeat(500_000));
        assert!(text.glyphs().len() <= MAX_CHARS + 1);
    }
}
