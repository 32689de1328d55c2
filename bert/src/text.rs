//! Texts as the model reads them: links and accounts replaced by the words that models of tweets learnt instead.
//!
//! Models that learnt from tweets saw `http` for a link and `@user` for an account (TweetEval, Barbieri and others
//! 2020); to all others the two say as little as the originals. `train/texts.py` does the same.

/// At most so many characters are read: what a model looks at ends long before.
const MAX_CHARS: usize = 4_096;

/// The title and the text of a message as one text.
pub fn joined(title: &str, text: &str) -> String {
    match (title.trim(), text.trim()) {
        ("", text) => text.to_owned(),
        (title, "") => title.to_owned(),
        // A source that has no titles may repeat the beginning of the text.
        (title, text) if text.starts_with(title) => text.to_owned(),
        (title, text) => format!("{title}\n{text}"),
    }
}

/// A text with `http` for each link and `@user` for each account.
pub fn plain(text: &str) -> String {
    let end = text.char_indices().nth(MAX_CHARS).map_or(text.len(), |(at, _)| at);
    let mut rest = text.get(..end).unwrap_or(text);
    let mut result = String::with_capacity(rest.len());
    let mut before = None;
    while let Some(next) = rest.chars().next() {
        let (stands_for, length) = if let Some(length) = link(rest) {
            ("http", length)
        } else if let Some(length) = account(rest).filter(|_| !before.is_some_and(is_word)) {
            ("@user", length)
        } else {
            ("", next.len_utf8())
        };
        let (taken, left) = rest.split_at(length);
        result.push_str(if stands_for.is_empty() { taken } else { stands_for });
        before = taken.chars().next_back();
        rest = left;
    }
    result
}

/// True where a text that is [`plain`] has a letter, an emoji or an emoticon beside its links and accounts. Of other texts
/// a model says something too, and it means nothing.
pub fn says_something(plain: &str) -> bool {
    let is_emoji = |c: char| matches!(c, '\u{203c}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}');
    let is_emoticon = |word: &str| word.starts_with([':', ';', '=']) && word.ends_with(['(', ')', '/', '|']);
    let words = plain.split_whitespace().filter(|word| !matches!(*word, "http" | "@user"));
    let mut words = words.map(|word| word.replace("@user", ""));
    words.any(|word| word.chars().any(|c| c.is_alphabetic() || is_emoji(c)) || is_emoticon(&word))
}

/// Length of the link that the text begins with.
fn link(text: &str) -> Option<usize> {
    let start = ["https://", "http://", "www."].into_iter().find(|start| text.starts_with(start))?;
    let length = text.find(char::is_whitespace).unwrap_or(text.len());
    (length > start.len()).then_some(length)
}

/// Length of the account that the text begins with.
fn account(text: &str) -> Option<usize> {
    let name = text.strip_prefix('@')?;
    let length = name.find(|c| !is_word(c)).unwrap_or(name.len());
    (length > 0).then_some(length + 1)
}

/// What may stand in the name of an account.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_accounts_become_words() {
        for (text, expected) in [
            ("", ""),
            ("@ana_b: see https://t.co/x?y=1, ok", "@user: see http ok"),
            ("www.acme.example\nnow", "http\nnow"),
            ("(@ana)", "(@user)"),
            ("write to ana@acme.example", "write to ana@acme.example"),
            ("@ alone, https:// alone, www. alone", "@ alone, https:// alone, www. alone"),
            ("şu @kullanıcı iyi", "şu @user iyi"),
            ("a😀@b", "a😀@user"),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_is_said_without_a_letter_an_emoji_or_an_emoticon() {
        for nothing in [
            "",
            " \n\t\u{a0}\u{3000}",
            "https://a.example www.b.example",
            "@ana @bob",
            "1234 !!! ??",
            "\u{fffd}",
            "(@ana)",
        ] {
            assert!(!says_something(&plain(nothing)), "{nothing:?}");
        }
        for something in ["no", "@ana ok", "😡", "❤", ":)", "见", "https://a.example wow", "1st"] {
            assert!(says_something(&plain(something)), "{something:?}");
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "é".repeat(MAX_CHARS + 10);
        assert_eq!(plain(&long).chars().count(), MAX_CHARS);
    }

    #[test]
    fn a_title_is_read_before_the_text_and_once() {
        assert_eq!(joined("Broken", "It broke."), "Broken\nIt broke.");
        assert_eq!(joined("It broke", "It broke again."), "It broke again.");
        assert_eq!(joined("", " x "), "x");
        assert_eq!(joined("x", ""), "x");
    }
}
