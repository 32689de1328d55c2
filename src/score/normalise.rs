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
    /// Letters seen by number of [`Script`].
    scripts: [u32; Script::ALL.len()],
    cues: u32,
    capitals: u32,
    elongations: u32,
    chars: usize,
}

impl Text {
    /// Forgets everything but the memory.
    pub(crate) fn clear(&mut self) {
        self.glyphs.clear();
        self.scripts = [0; Script::ALL.len()];
        self.cues = 0;
        self.capitals = 0;
        self.elongations = 0;
        self.chars = 0;
    }

    /// The folded characters.
    pub(crate) fn glyphs(&self) -> &[Glyph] {
        &self.glyphs
    }

    /// How many letters of a script there are, links and mentions left out.
    pub(crate) fn letters(&self, script: Script) -> u32 {
        self.scripts.get(script as usize).copied().unwrap_or(0)
    }

    /// How many letters there are.
    pub(crate) fn all_letters(&self) -> u32 {
        self.scripts.iter().skip(1).sum()
    }

    /// It holds letters that only some of a script's languages use and that folding made equal to
    /// others: dotless and dotted i, Arabic or Persian yeh and kaf, half-spaces.
    pub(crate) fn has_cues(&self) -> bool {
        self.cues > 0
    }

    /// More than half of the letters are capitals, and they are more than an acronym.
    pub(crate) fn is_shouted(&self) -> bool {
        self.capitals > 5 && self.capitals * 2 > self.all_letters()
    }

    /// A character was repeated three times or more, as in "sooo" and "!!!".
    pub(crate) fn is_elongated(&self) -> bool {
        self.elongations > 0
    }

    /// Adds a text after those that were added before.
    pub(crate) fn push(&mut self, text: &str) {
        self.glyphs.push(Glyph::SPACE);
        let mut run = Run::default();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if self.chars >= MAX_CHARS {
                break;
            }
            self.chars += 1;
            let glyph = Glyph::of(c);
            if glyph.is_notable() {
                if let Some((stand_in, length)) = stand_in(c, chars.as_str(), self.at_word_start()) {
                    self.glyphs.push(stand_in);
                    let rest = chars.as_str();
                    chars = rest.get(length..).unwrap_or_default().chars();
                    self.chars += length;
                    continue;
                }
            }
            match glyph.class() {
                Class::Dropped if c == NON_JOINER => self.half_space(),
                Class::Dropped => {}
                Class::Joins => self.join(glyph, c),
                Class::Expands => self.expand(c),
                _ => self.add(glyph, &mut run),
            }
        }
        self.count(run);
    }

    #[inline]
    fn add(&mut self, glyph: Glyph, run: &mut Run) {
        if glyph == Glyph::NUMBER && self.glyphs.last() == Some(&glyph) {
            return;
        }
        if let [.., before, last] = self.glyphs.as_slice()
            && last.code() == glyph.code()
            && before.code() == glyph.code()
            && glyph.class() != Class::Space
        {
            self.elongations += 1;
            return;
        }
        self.glyphs.push(glyph);
        self.capitals += u32::from(glyph.is_capital());
        self.cues += u32::from(glyph.is_cue());
        if glyph.script() == run.script {
            run.length += 1;
        } else {
            self.count(std::mem::replace(run, Run { script: glyph.script(), length: 1 }));
        }
    }

    fn count(&mut self, run: Run) {
        if let Some(letters) = self.scripts.get_mut(run.script) {
            *letters += run.length;
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
            Some(both) => *last = Glyph::of(both),
            None if last.class() == Class::Word => self.glyphs.push(mark.as_letter()),
            None => {}
        }
    }

    fn expand(&mut self, c: char) {
        let mut run = Run::default();
        for part in std::iter::once(c).nfkc() {
            let glyph = Glyph::of(part);
            if !matches!(glyph.class(), Class::Dropped | Class::Joins | Class::Expands) {
                self.add(glyph, &mut run);
            }
        }
        self.count(run);
    }

    fn half_space(&mut self) {
        if self.glyphs.last().is_some_and(|last| last.script() == Script::Arabic as usize) {
            self.glyphs.push(Glyph::SPACE);
            self.cues += 1;
        }
    }
}

/// Letters of one script in a row.
#[derive(Default)]
struct Run {
    script: usize,
    length: u32,
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
    ENTITIES.iter().find(|(name, _)| rest.starts_with(name)).map(|(name, c)| (Glyph::of(*c), name.len()))
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
        assert!(text.is_shouted());
        assert!(!text.has_cues());
        assert_eq!(text.letters(Script::Latin), 15);
        text.clear();
        text.push("çok kırıcı");
        assert!(text.has_cues() && !text.is_shouted() && !text.is_elongated());
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
