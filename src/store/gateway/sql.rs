//! The little that the gateway has to know about a statement's text: where the data of an INSERT begins,
//! whether a second statement follows, which output format it names, and whether a read-only user names
//! something that reads files. Everything else is the engine's.

/// A token of ClickHouse's lexer, as far as it matters here. Comments and white space are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    /// A bare word: keyword, name or number.
    Word(&'a str),
    /// `` `name` `` or `"name"`, without the quotes, escapes left as they are.
    Name(&'a str),
    /// `'text'` or `$tag$text$tag$`.
    Text,
    /// Any other character.
    Mark(char),
    /// A quote or comment that does not end.
    Unfinished,
}

/// Tokens with the byte offset of their end.
struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Skips to behind `end`; false where there is none.
    fn skip_past(&mut self, end: &str) -> bool {
        let found = self.rest().find(end);
        self.at = found.map_or(self.text.len(), |offset| self.at + offset + end.len());
        found.is_some()
    }

    /// Skips white space and comments; false where a comment does not end.
    fn skip_blank(&mut self) -> bool {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '\0' | '\u{feff}'));
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("--") || trimmed.starts_with("#!") || trimmed.starts_with("# ") {
                self.skip_past("\n");
            } else if trimmed.starts_with("/*") {
                if !self.skip_past("*/") {
                    return false;
                }
            } else {
                return true;
            }
        }
    }

    /// The inside of a quoted token whose opening quote has been taken; a quote is escaped by a backslash or by
    /// being doubled.
    fn quoted(&mut self, quote: char) -> Option<&'a str> {
        let start = self.at;
        let mut characters = self.rest().char_indices();
        while let Some((offset, character)) = characters.next() {
            if character == '\\' {
                characters.next();
            } else if character == quote {
                let end = start + offset;
                self.at = end + 1;
                if !self.rest().starts_with(quote) {
                    return self.text.get(start..end);
                }
                characters.next();
            }
        }
        self.at = self.text.len();
        None
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if !self.skip_blank() {
            return Some(Token::Unfinished);
        }
        let rest = self.rest();
        let first = rest.chars().next()?;
        if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            self.at += length;
            return rest.get(..length).map(Token::Word);
        }
        self.at += first.len_utf8();
        Some(match first {
            '\'' => self.quoted('\'').map_or(Token::Unfinished, |_| Token::Text),
            '`' | '"' => self.quoted(first).map_or(Token::Unfinished, Token::Name),
            '$' => {
                let tag = self.rest().find(|c| !is_word(c)).unwrap_or(0);
                match rest.get(..tag + 2) {
                    Some(tag) if tag.ends_with('$') => {
                        self.at += tag.len() - 1;
                        if self.skip_past(tag) { Token::Text } else { Token::Unfinished }
                    }
                    _ => Token::Mark('$'),
                }
            }
            other => Token::Mark(other),
        })
    }
}

/// Whether `text` begins with one of these words.
fn begins_with(text: &str, words: &[&str]) -> bool {
    match Tokens::new(text).find(|token| *token != Token::Mark('(')) {
        Some(Token::Word(first)) => words.iter().any(|word| first.eq_ignore_ascii_case(word)),
        _ => false,
    }
}

/// Whether the statement may be a SELECT, the only one whose result the engine streams.
pub(super) fn is_select(text: &str) -> bool {
    begins_with(text, &["select", "with", "from"])
}

/// Whether the statement is an INSERT, so that data may follow its text.
pub(super) fn is_insert(text: &str) -> bool {
    begins_with(text, &["insert"])
}

/// Where an INSERT statement ends and its data begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Insert {
    /// The text ends before that is known.
    Incomplete,
    /// No data follows: `INSERT ... SELECT`, or a form that only the engine can judge.
    NoData,
    /// Data follows.
    Data {
        /// The statement without FORMAT.
        statement: String,
        /// Its input format.
        format: String,
        /// Offset of the first byte of the data.
        at: usize,
    },
}

/// Splits `head`, the beginning of an INSERT: text, then perhaps data that is no text. `complete` says that
/// nothing follows `head`.
///
/// ClickHouse takes as data what follows `VALUES`, or what follows the format's name, blanks and one line end.
pub(super) fn split_insert(head: &[u8], complete: bool) -> Insert {
    let unknown = if complete { Insert::NoData } else { Insert::Incomplete };
    // Binary data may follow the text, so the text is what is valid up to there.
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => match head.get(..error.valid_up_to()).map(std::str::from_utf8) {
            Some(Ok(text)) => text,
            _ => return unknown,
        },
    };
    let mut tokens = Tokens::new(text);
    let mut next = || tokens.next().map(|token| (token, tokens.at));
    // INSERT [INTO] [TABLE] name: the name is whatever stands there, `format` and `values` included.
    let mut name = false;
    while !name {
        match next() {
            Some((Token::Word(word), _)) => {
                name = !["insert", "into", "table", "function"].iter().any(|w| word.eq_ignore_ascii_case(w));
            }
            Some((Token::Name(_) | Token::Mark('{'), _)) => name = true,
            Some((Token::Unfinished, _)) | None => return unknown,
            Some(_) => return Insert::NoData,
        }
    }
    let mut depth = 0_usize;
    let mut before = 0;
    let mut after_dot = false;
    loop {
        let start = before;
        let Some((token, end)) = next() else { return unknown };
        before = end;
        let is_member = std::mem::replace(&mut after_dot, token == Token::Mark('.'));
        match token {
            Token::Mark('(' | '{' | '[') => depth += 1,
            Token::Mark(')' | '}' | ']') => depth = depth.saturating_sub(1),
            Token::Unfinished => return unknown,
            Token::Word(word) if depth == 0 && !is_member => {
                // At the very end of the text a longer word may still be coming.
                let whole = end < head.len() || complete;
                if word.eq_ignore_ascii_case("values") {
                    if !whole {
                        return Insert::Incomplete;
                    }
                    let statement = text.get(..end - word.len()).unwrap_or_default();
                    return Insert::Data { statement: statement.to_owned(), format: "Values".to_owned(), at: end };
                }
                if word.eq_ignore_ascii_case("format") {
                    let statement = text.get(..end - word.len()).unwrap_or_default();
                    let Some((Token::Word(format), end)) = next() else { return unknown };
                    return match skip_to_data(head, end, complete) {
                        Some(at) => Insert::Data { statement: statement.to_owned(), format: format.to_owned(), at },
                        None => Insert::Incomplete,
                    };
                }
                if ["select", "with", "from", "watch"].iter().any(|keyword| word.eq_ignore_ascii_case(keyword)) {
                    return if whole { Insert::NoData } else { Insert::Incomplete };
                }
            }
            _ => {}
        }
        if end == start {
            return unknown;
        }
    }
}

/// Skips the blanks and the one line end between the format's name and the data.
fn skip_to_data(head: &[u8], mut at: usize, complete: bool) -> Option<usize> {
    let byte = |at: usize| head.get(at).copied();
    while matches!(byte(at), Some(b' ' | b'\t' | 0x0c)) {
        at += 1;
    }
    if byte(at) == Some(b'\r') {
        at += 1;
    }
    match byte(at) {
        Some(b'\n') => Some(at + 1),
        Some(_) => Some(at),
        None => complete.then_some(at),
    }
}

/// Whether a second statement follows the first.
pub(super) fn has_second_statement(text: &str) -> bool {
    Tokens::new(text).skip_while(|token| *token != Token::Mark(';')).any(|token| token != Token::Mark(';'))
}

/// The output format that the statement names itself: `... FORMAT JSON [SETTINGS ...]`.
pub(super) fn output_format(text: &str) -> Option<&str> {
    let mut tokens = Tokens::new(text).peekable();
    let mut format = None;
    while let Some(token) = tokens.next() {
        let Token::Word(word) = token else { continue };
        if !word.eq_ignore_ascii_case("format") {
            continue;
        }
        if let Some(&Token::Word(name)) = tokens.peek() {
            tokens.next();
            format = match tokens.peek() {
                None | Some(Token::Mark(';')) => Some(name),
                Some(Token::Word(word)) if word.eq_ignore_ascii_case("settings") => Some(name),
                _ => format,
            };
        }
    }
    format
}

/// Functions that reach files, other hosts or hidden statements without a privilege that the engine checks:
/// everything else of that kind needs a grant that the read-only role has not.
const UNSAFE_FUNCTIONS: [&str; 9] = [
    "file",
    "eval",
    "catboostEvaluate",
    "reverseDNSQuery",
    "aiClassify",
    "aiEmbed",
    "aiExtract",
    "aiGenerate",
    "aiTranslate",
];

fn is_unsafe(name: &str) -> Option<&'static str> {
    UNSAFE_FUNCTIONS.into_iter().find(|function| name.trim().eq_ignore_ascii_case(function))
}

/// The name in `text` or in a parameter that a read-only user may not use, if there is one.
///
/// Names are refused wherever they stand, because a function's name is also an argument
/// (`arrayMap(file, ...)`, `APPLY file`). Strings and comments may hold them.
pub(super) fn unsafe_name(text: &str, parameters: &[(String, String)]) -> Option<&'static str> {
    let in_parameter = parameters.iter().find_map(|(_, value)| is_unsafe(value));
    in_parameter.or_else(|| {
        Tokens::new(text).find_map(|token| match token {
            Token::Word(word) => is_unsafe(word),
            // An escape could spell anything.
            Token::Name(name) if name.contains('\\') => Some("a name with an escape in it"),
            Token::Name(name) => is_unsafe(name),
            Token::Unfinished => Some("text that does not end"),
            Token::Text | Token::Mark(_) => None,
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data(statement: &str, format: &str, at: usize) -> Insert {
        Insert::Data { statement: statement.to_owned(), format: format.to_owned(), at }
    }

    #[test]
    fn data_follows_the_format_and_one_line_end() {
        let cases: [(&[u8], Insert); 12] = [
            (b"INSERT INTO t FORMAT Native\n\x01\xff", data("INSERT INTO t ", "Native", 28)),
            (b"INSERT INTO t FORMAT Native\r\n\n", data("INSERT INTO t ", "Native", 29)),
            (
                b"insert into `a`.`b` (x, `y`) format RowBinary \n\xfe",
                data("insert into `a`.`b` (x, `y`) ", "RowBinary", 47),
            ),
            (b"INSERT INTO t VALUES (1)", data("INSERT INTO t ", "Values", 20)),
            (b"INSERT INTO t(a)VALUES(1)", data("INSERT INTO t(a)", "Values", 22)),
            (b"INSERT INTO values FORMAT TSV 1", data("INSERT INTO values ", "TSV", 30)),
            (b"INSERT INTO x.format FORMAT TSV 1", data("INSERT INTO x.format ", "TSV", 32)),
            (
                b"/* FORMAT x */ INSERT INTO t -- VALUES\n FORMAT CSV\n1",
                data("/* FORMAT x */ INSERT INTO t -- VALUES\n ", "CSV", 51),
            ),
            (
                b"INSERT INTO t SETTINGS a = 'FORMAT x' FORMAT CSV\n1",
                data("INSERT INTO t SETTINGS a = 'FORMAT x' ", "CSV", 49),
            ),
            (b"INSERT INTO t SELECT * FROM x FORMAT CSV\n", Insert::NoData),
            (b"INSERT INTO FUNCTION file('values') SELECT 1", Insert::NoData),
            (b"INSERT INTO t (SELECT 1)", Insert::NoData),
        ];
        for (head, expected) in cases {
            assert_eq!(split_insert(head, true), expected, "{}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn a_head_that_may_go_on_is_incomplete() {
        for head in [
            "INSERT",
            "INSERT INTO t",
            "INSERT INTO t VAL",
            "INSERT INTO t VALUES",
            "INSERT INTO t FORMAT",
            "INSERT INTO t FORMAT Nati",
            "INSERT INTO t FORMAT Native \r",
            "INSERT INTO t (a, 'FORMAT",
            "INSERT INTO t SELECT",
        ] {
            assert_eq!(split_insert(head.as_bytes(), false), Insert::Incomplete, "{head}");
        }
    }

    #[test]
    fn a_second_statement_is_seen_but_not_in_strings_and_comments() {
        for text in ["select 1; select 2", "select 1;;x", "select $a$;$b$;$a$; x"] {
            assert!(has_second_statement(text), "{text}");
        }
        for text in
            ["select 1;", "select ';x'", "select 1 -- ; x", "select 1; /* x */ ;\n", "select `a;b`", "select $$;x$$"]
        {
            assert!(!has_second_statement(text), "{text}");
        }
    }

    #[test]
    fn the_output_format_is_the_last_clause() {
        let cases = [
            ("select 1 format JSON", Some("JSON")),
            ("select 1 FORMAT CSV settings a = 1", Some("CSV")),
            ("select 1 format CSV;", Some("CSV")),
            ("select format from t", None),
            ("select format x from t", None),
            ("select 'x format CSV'", None),
        ];
        for (text, expected) in cases {
            assert_eq!(output_format(text), expected, "{text}");
        }
    }

    #[test]
    fn unsafe_names_are_found_wherever_a_name_can_stand() {
        for text in [
            "select file('/etc/passwd')",
            "select FILE ('x')",
            "select `file`('x')",
            "select \"file\"('x')",
            "select f/**/ile, file/* */('x')",
            "select * apply(file) from t",
            "select arrayMap(file, ['x'])",
            r"select `fi\x6ce`('x')",
            "select 'a\\'', file('x')",
            "select 'a''', file('x')",
            "select $a$ ' $a$, file('x')",
            "select 1 # comment\n, file('x')",
            "select 'unfinished",
        ] {
            assert!(unsafe_name(text, &[]).is_some(), "{text}");
        }
        assert!(unsafe_name("select arrayMap({f:Identifier}, ['x'])", &[("f".into(), " File".into())]).is_some());
        for text in ["select 'file(''x'')'", "select profile, file_name from t -- file", "select $$file$$"] {
            assert_eq!(unsafe_name(text, &[]), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_without_panic(head in prop::collection::vec(any::<u8>(), 0..200), complete: bool) {
            for prefix in [&b""[..], b"INSERT INTO t ", b"insert into t format X "] {
                let head = [prefix, &head].concat();
                if let Insert::Data { at, .. } = split_insert(&head, complete) {
                    prop_assert!(at <= head.len());
                }
            }
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,80}", quotes in "['\"`$;/*\\\\ -]{0,20}") {
            let text = format!("{text}{quotes}{text}");
            let _ = (has_second_statement(&text), output_format(&text), unsafe_name(&text, &[]), is_select(&text));
        }

        #[test]
        fn data_is_found_the_same_however_the_head_is_cut(cut in 0_usize..60) {
            let head = b"INSERT INTO `a`.`b` (x, y) FORMAT RowBinary\n\x00\xff\n\n";
            let whole = split_insert(head, true);
            let part = split_insert(&head[..cut.min(head.len())], false);
            prop_assert!(part == whole || part == Insert::Incomplete, "{part:?}");
        }
    }
}
