//! How a query is written: what is refused, how it is read, and that it reads back as it was printed.

use std::ops::Range;

use hearken::query::ast::Expr;
use hearken::query::parser::parse;
use proptest::prelude::*;

use crate::generate::expr;

#[test]
fn what_is_wrong_with_a_query_and_where() {
    let wrong = [
        // Nothing, or not all of it.
        "",
        "  ",
        "()",
        "acme ()",
        "(acme",
        "acme)",
        "((acme)",
        "acme OR",
        "OR acme",
        "acme AND OR globex",
        "AND",
        "NOT",
        "acme NOT",
        "acme -",
        "acme - globex",
        "(NOT)",
        "\"acme",
        "“acme",
        "\"\"",
        "acme \"  \"",
        "-",
        "--",
        "acme –",
        // No operators.
        "acme and globex",
        "Not acme",
        "acme | globex",
        "acme && globex",
        "acme / globex",
        "!acme",
        "acme, globex",
        "\"acme\", globex",
        "acme、 globex",
        "~5",
        "\"acme corp\" ~5",
        "acme~2",
        // Near.
        "NEAR/5",
        "acme NEAR/5",
        "NEAR/5 acme",
        "acme AND NEAR/5 globex",
        "acme ONEAR/2 OR globex",
        "(NEAR/5)",
        "acme NEAR globex",
        "acme ONEAR globex",
        "acme near/5 globex",
        "acme NEAR5 globex",
        "acme NEAR:5 globex",
        "acme NEAR/x globex",
        "acme NEAR/ globex",
        "acme NEAR/-1 globex",
        "acme NEAR/500 globex",
        "acme NEAR/99999999999999999999999 globex",
        "acme NEAR/3 lang:en",
        "title:acme ONEAR/3 globex",
        "acme NEAR/3 raw:\"AT&T\"",
        "/acme/ NEAR/3 globex",
        "acme NEAR/3 (globex OR kind:review)",
        "acme NEAR/3 (tea kettle)",
        "acme NEAR/3 -globex",
        "acme NEAR/3 (NOT globex)",
        "a NEAR/1 b NEAR/1 c NEAR/1 d NEAR/1 e NEAR/1 f NEAR/1 g NEAR/1 h NEAR/1 i",
        "((a NEAR/1 b) NEAR/1 (c NEAR/1 d)) NEAR/1 ((e NEAR/1 f) NEAR/1 (g NEAR/1 (h NEAR/1 i)))",
        // Words in any order.
        "\"acme corp\"~",
        "\"acme corp\"~x",
        "\"acme corp\"~~5",
        "\"acme corp\"~101",
        "\"acme\"~5",
        "title:\"acme\"~5",
        // Wildcards.
        "*",
        "?",
        "a*",
        "a?",
        "**",
        "小米*",
        "*米?",
        "👍*",
        "co-op*",
        "acme!*",
        "*'ять",
        "https://example.com/?q=acme",
        "삼*tv",
        "\"acme*\"",
        "\"acme corp*\"",
        "\"flight * delayed\"",
        "author:\"Jane*\"",
        "@acme*",
        "#acme*",
        // Signs.
        "C++",
        "\"C++\"",
        "&",
        "???",
        "raw:\"\"",
        "raw:\"  \"",
        "raw:",
        "raw: acme",
        "raw:a,",
        // Names.
        "@",
        "#",
        "@acme!",
        "@!acme",
        "#acme-corp",
        "@acme@x@y",
        "$",
        "$ACMECORP",
        "$ACME.CORP",
        "$ACME!",
        "$é",
        // Modifiers.
        "title:",
        "title: acme",
        "fold:title:",
        "title:title:acme",
        "fold:title:fold:acme",
        "title:@acme",
        "fold:#acme",
        "title:$ACME",
        "title:/acme/",
        "title:lang:en",
        "fold:raw:acme",
        "title:(acme OR globex)",
        "title:-acme",
        "title:NOT",
        "title:NEAR/5",
        "title:acme,",
        // Regular expressions.
        "/acme",
        "//",
        "/shop/kettles",
        "/acme/x",
        "/acme/i, globex",
        "/acme/ii",
        "acme /(a|b/",
        "/a|b)/",
        r"/\/\/(a|b/",
        "/[z-a]/",
        "/a{3,1}/",
        r"/\p{Klingon}/",
        "/(?=acme)/",
        r"/(a)\1/",
        "/a*/",
        "/^$/",
        r"/\b/",
        "/[a&&b]/",
        r"/(\w{100}){100}/",
        // Filters.
        "source:",
        "source: care",
        "source:*",
        "source:\"!\"",
        "channel:(imap OR feed)",
        "lang:>en",
        "kind:=review",
        "kind:tweet",
        "kind:reviews",
        "kind:review,",
        "has:video",
        "has:links",
        "is:verifed",
        "lang:english",
        "lang:pt-BR",
        "lang:t",
        "country:GBR",
        "country:Türkiye",
        "author:",
        "author:!",
        "author:\"!\"",
        "site:https://www.example.com/shop",
        "site:example.com:8080",
        "site:*.example.com",
        "site:example.com/shop",
        "site:\"my site\"",
        "url:",
        "url:\"\"",
        "url:example.com/*",
        "followers:many",
        "followers:",
        "followers:>",
        "followers:> 1000",
        "followers:=>1000",
        "followers:>1,000",
        "followers:1.5k",
        "followers:-1",
        "followers:10..20",
        "followers:99999999999999999999",
        "followers:99999999999999999m",
        "rating:6",
        "rating:5.01",
        "rating:3.125",
        "rating:3.",
        "rating:<3,5",
        "published:yesterday",
        "published:2026-02-30",
        "published:2026-01",
        "published:>2026-01-01T12:00:00",
        "published:>9999-12-31",
        // What looks like a filter.
        "followers>1000",
        "kind=review",
        "langauge:en",
        "Lang:en",
        "from:acme",
        "since:2026-01-01",
        "min_faves:10",
        "folowers:>1000",
        "titel:acme",
        "titel:\"acme corp\"",
    ];
    let told: Vec<String> = wrong
        .iter()
        .map(|query| {
            let error = parse(query).expect_err(query);
            let characters = query.chars().count();
            assert!(error.span.start < error.span.end || error.span.start == characters, "{query}: {error:?}");
            assert!(error.span.end <= characters, "{query}: {error:?}");
            let carets = " ".repeat(error.span.start) + &"^".repeat(error.span.len().max(1));
            format!("{query}\n{carets} {error}\n")
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn nesting_is_limited_and_never_overflows() {
    let deep = |depth: usize| format!("{}acme{}", "(".repeat(depth), ")".repeat(depth));
    let is_too_deep = |query: &str| parse(query).unwrap_err().reason.contains("nested deeper");
    assert!(parse(&deep(64)).is_ok());
    assert!(is_too_deep(&deep(65)));
    assert!(is_too_deep(&deep(49_000)));
    assert!(is_too_deep(&format!("acme {}globex", "NOT ".repeat(20_000))));
    assert!(is_too_deep(&format!("{}acme", "-".repeat(50_000))));
    assert!(is_too_deep(&"acme NEAR/1 (".repeat(7_000)));
    let wide = vec!["acme"; 12_000].join(" OR ");
    assert_eq!(parse(&wide).unwrap().clauses().len(), 12_000);
    assert!(parse(&format!("acme{}", " ".repeat(99_996))).is_ok());
    assert!(parse(&format!("acme{}", " ".repeat(99_997))).unwrap_err().reason.contains("longer than"));
    assert!(parse(&format!("/{}/", "a".repeat(1_000))).is_ok());
    assert!(parse(&format!("/{}/", "a".repeat(1_001))).unwrap_err().reason.contains("longer than"));
    let chain = |things: usize| vec!["acme"; things].join(" NEAR/1 ");
    assert!(parse(&chain(8)).is_ok());
    assert!(parse(&chain(20_000)[..99_998]).unwrap_err().reason.contains("more than 8 things"));
}

#[test]
fn operators_bind_as_written() {
    for (query, printed) in [
        ("a b OR c", "a AND b OR c"),
        ("a (b OR c)", "a AND (b OR c)"),
        ("a AND b c", "a AND b AND c"),
        ("(a b) c", "(a AND b) AND c"),
        ("a -(b OR c)", "a AND NOT (b OR c)"),
        ("NOT NOT a", "NOT NOT a"),
        ("NOT a", "NOT a"),
        ("-a OR -b", "NOT a OR NOT b"),
        ("a NEAR/2 b c", "a NEAR/2 b AND c"),
        ("c a NEAR/2 b OR d", "c AND a NEAR/2 b OR d"),
        ("-a ONEAR/2 b", "NOT a ONEAR/2 b"),
        ("(NOT a) b", "NOT a AND b"),
        ("a NEAR/1 b ONEAR/002 c", "a NEAR/1 b ONEAR/2 c"),
        ("(a NEAR/1 b) NEAR/0 c", "a NEAR/1 b NEAR/0 c"),
        ("a NEAR/1 (b NEAR/100 c)", "a NEAR/1 (b NEAR/100 c)"),
        ("(a OR bc*) NEAR/1 (@c OR #d OR $E)", "(a OR bc*) NEAR/1 (@c OR #d OR $E)"),
        ("((a NEAR/1 b) OR c) NEAR/2 \"d e\"~1", "(a NEAR/1 b OR c) NEAR/2 \"d e\"~1"),
    ] {
        assert_eq!(parse(query).unwrap().to_string(), printed);
    }
}

#[test]
fn clauses_are_read_as_written() {
    for (query, printed) in [
        ("“a b” (#c)（@d）", "\"a b\" AND #c AND @d"),
        ("„a b“ c", "\"a b\" AND c"),
        ("\"a “b” c\"", "\"a “b” c\""),
        (r#""say \"hi\"""#, r#""say \"hi\"""#),
        ("near w?ld", "near AND w?ld"),
        ("ac***me* *phone", "ac*me* AND *phone"),
        ("п'ят* 삼성* دیجی*", "п'ят* AND 삼성* AND دیجی*"),
        ("👍 ✈️", "👍 AND ✈️"),
        ("$acme $BRK.B $100 US$x", "$acme AND $BRK.B AND $100 AND US$x"),
        ("＠acme ＃acme", "@acme AND #acme"),
        ("raw:C++ raw:“AT&T” raw:\"a \\\"b\\\"\"", "raw:\"C++\" AND raw:\"AT&T\" AND raw:\"a \\\"b\\\"\""),
        ("raw:a*", "raw:\"a*\""),
        (
            "fold:title:cafe title:fold:\"crème café\"~2 fold:caf*",
            "title:fold:cafe AND title:fold:\"crème café\"~2 AND fold:caf*",
        ),
        ("-title:acme title:\"AND\"", "NOT title:acme AND title:\"AND\""),
        (r"/a (b|c)\/\\/i x", r"/a (b|c)\/\\/i AND x"),
        (r"(/a[)]/)", r"/a[)]/"),
        ("https://x 12:30 Star:Wars and/or", "https://x AND 12:30 AND Star:Wars AND and/or"),
        ("source:care source:\"my care\" channel：imap", "source:care AND source:\"my care\" AND channel:imap"),
        ("kind:Review has:\"link\" is:reply", "kind:review AND has:link AND is:reply"),
        ("lang:TR country:tr", "lang:tr AND country:TR"),
        (
            "author:@Acme author:acme@example.social author:\"Jane Doe\"",
            "author:Acme AND author:acme@example.social AND author:\"Jane Doe\"",
        ),
        ("author:@acme:example.org", "author:acme:example.org"),
        ("site:WWW.Example.com url:Example.com/?a=1", "site:www.example.com AND url:Example.com/?a=1"),
        ("url:example.com/~12 raw:a~2", "url:example.com/~12 AND raw:\"a~2\""),
        ("url:\"a b\" url:\">c\" url:\"d,\"", "url:\"a b\" AND url:\">c\" AND url:\"d,\""),
        ("followers:>1_000 followers:=5 engagement:>=10k", "followers:>1000 AND followers:5 AND engagement:>=10000"),
        ("followers:\">1000\" engagement:2M", "followers:>1000 AND engagement:2000000"),
        ("rating:<3.50 rating:0 rating:>=4.05 rating:5.0", "rating:<3.5 AND rating:0 AND rating:>=4.05 AND rating:5"),
        (
            "published:>2026-01-01 published:<=2026-01-01T12:00:00+03:00",
            "published:>2026-01-01 AND published:<=2026-01-01T09:00:00Z",
        ),
    ] {
        assert_eq!(parse(query).map(|expr| expr.to_string()).as_deref(), Ok(printed));
    }
}

#[test]
fn a_clause_knows_where_it_stands() {
    let query = "“a b” -title:fold:cd* (raw:\"e f\" OR /g h/i) author:\"I j\" NOT \"k l\"~5 @m NEAR/2 #n";
    let written = |span: Range<usize>| query.chars().skip(span.start).take(span.len()).collect::<String>();
    let expr = parse(query).unwrap();
    assert_eq!(expr.span(), 0..query.chars().count());
    let clauses: Vec<String> = expr.clauses().iter().map(|clause| written(clause.span.clone())).collect();
    assert_eq!(
        clauses,
        ["“a b”", "title:fold:cd*", "raw:\"e f\"", "/g h/i", "author:\"I j\"", "\"k l\"~5", "@m", "#n"]
    );
}

/// Parts that queries are made of, and parts that break them.
const PARTS: &[&str] = &[
    "acme",
    " ",
    " ",
    "\"",
    "“",
    "(",
    ")",
    "-",
    "~",
    "~5",
    "NEAR/3",
    "ONEAR/",
    " OR ",
    " AND ",
    "NOT ",
    "*",
    "?",
    "/",
    "/i",
    "\\",
    "\\/",
    "title:",
    "fold:",
    "raw:",
    "@",
    "#",
    "$",
    "lang:",
    "author:",
    "site:",
    "url:",
    "kind:review",
    "followers:",
    ">=",
    "10k",
    ",",
    ":",
    "小米",
    "👍",
    "é",
    "[",
    "{",
    "+",
    ".",
    "has:",
    "published:",
    "2026-01-01",
    "T00:00Z",
    "\u{301}",
    "\u{200b}",
    "（",
    "İ",
];

fn check(query: &str) -> Result<(), TestCaseError> {
    let characters = query.chars().count();
    match parse(query) {
        Ok(expr) => {
            for clause in expr.clauses() {
                prop_assert!(clause.span.start < clause.span.end && clause.span.end <= characters);
            }
            let printed = expr.to_string();
            let again =
                parse(&printed).map_err(|error| TestCaseError::fail(format!("{query} as {printed}: {error}")))?;
            prop_assert_eq!(again, expr);
        }
        Err(error) => {
            let span = &error.span;
            prop_assert!(span.start < span.end || span.start == characters, "{}: {:?}", query, error);
            prop_assert!(span.end <= characters, "{}: {:?}", query, error);
            prop_assert!(!error.reason.is_empty() && !error.reason.starts_with(char::is_uppercase), "{}", error);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn printing_and_parsing_agree(query in expr()) {
        let printed = query.to_string();
        let read = parse(&printed);
        prop_assert_eq!(read.as_ref(), Ok(&query), "{}", printed);
        prop_assert_eq!(read.map(|expr: Expr| expr.to_string()), Ok(printed));
    }

    #[test]
    fn nothing_panics_in_the_parser(
        any in any::<String>(), parts in proptest::collection::vec(proptest::sample::select(PARTS), 0..12)
    ) {
        check(&any)?;
        check(&parts.concat())?;
    }
}
