//! The reference on small cases that a person can check.

use hearken::query::parser::parse;
use hearken::query::{Field, Fields, Place};
use hearken_connectors::{Author, Engagement, Kind, Message};
use jiff::Timestamp;

use super::explain;

fn of_message(query: &str, fields: &Fields<'_>) -> (bool, Vec<Place>) {
    let query = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let (is_true, reports) = explain(&query, fields);
    (is_true, reports.into_iter().flat_map(|(_, _, places)| places).collect())
}

/// What is found of the clauses, one after the other, each with where it begins.
fn found(query: &str, text: &str) -> Vec<String> {
    let (_, places) = of_message(query, &Fields::from(text));
    let cut = |place: &Place| text.chars().skip(place.span.start).take(place.span.len()).collect::<String>();
    places.iter().map(|place| format!("{} {}", place.span.start, cut(place))).collect()
}

fn is_true(query: &str, fields: Fields<'_>) -> bool {
    of_message(query, &fields).0
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_place_is_from_the_first_character_to_the_last() {
    assert_eq!(found("acme", "(ACME) acme's, reacme"), ["1 ACME", "7 acme"]);
    assert_eq!(found("\"tea kettle\"", "My Tea — kettle"), ["3 Tea — kettle"]);
    assert_eq!(found("\"a a\"", "a a a"), ["0 a a", "2 a a"]);
    assert_eq!(found("п'ять", "є п’'ять"), ["2 п’'ять"]);
    assert_eq!(found("café", "cafe\u{301}."), ["0 cafe\u{301}"]);
    assert_eq!(found("ﬁx", "xfix ＦＩＸ"), ["5 ＦＩＸ"]);
    assert_eq!(found("小米", "我小米米"), ["1 小米"]);
    assert_eq!(found("acme", "a\u{200b}cme\u{200b}"), ["0 a\u{200b}cme"]);
}

#[test]
fn korean_grows_at_the_end() {
    assert_eq!(found("삼성", "삼성이 인삼성"), ["0 삼성"]);
    assert_eq!(found("\"삼성 폰\"", "삼성 폰을, 삼성이 폰"), ["0 삼성 폰"]);
    assert_eq!(found("삼성", "\u{1109}\u{1161}\u{11b7}성이"), ["0 \u{1109}\u{1161}\u{11b7}성"]);
    assert_eq!(found("삼성*", "삼성이"), ["0 삼성이"]);
    assert_eq!(found("?삼성", "인삼성이 인삼성"), ["5 인삼성"]);
    assert_eq!(found("\"폰 삼성\"~0", "삼성이 폰을"), ["0 삼성이 폰을"]);
}

#[test]
fn half_spaces_are_written_in_three_ways() {
    for text in ["دیجی کالا", "دیجی\u{200c}کالا", "دیجیکالا"] {
        assert_eq!(found("دیجی\u{200c}کالا", text), [format!("0 {text}")]);
        assert_eq!(found("\"دیجی کالا\"", text), [format!("0 {text}")]);
    }
    assert_eq!(found("\"ا ب پ\"", "اب پ"), ["0 اب پ"]);
    assert_eq!(found("دیجیکالا", "دیجی کالا"), NOTHING);
}

#[test]
fn emoji_are_words() {
    assert_eq!(found("👍", "a👍🏿b"), ["1 👍"]);
    assert_eq!(found("🇺🇸", "🇺🇸🇬🇧🇺"), ["0 🇺🇸"]);
    assert_eq!(found("🇸🇬", "🇺🇸🇬🇧"), NOTHING);
    assert_eq!(found("🚀", "👩\u{200d}🚀"), NOTHING);
    assert_eq!(found("👩\u{200d}🚀", "👩🏽\u{200d}🚀"), ["0 👩🏽\u{200d}🚀"]);
    assert_eq!(found("✈", "✈\u{fe0f}is"), ["0 ✈"]);
}

#[test]
fn letters_may_be_drawn_out() {
    assert_eq!(
        found("good", "gooood goood good god ggood gggoooddd"),
        ["0 gooood", "7 goood", "13 good", "28 gggoooddd"]
    );
    assert_eq!(found("goood", "good goood gooood"), ["5 goood", "11 gooood"]);
    assert_eq!(found("AA", "AAA AA"), ["4 AA"]);
    assert_eq!(found("\"so so good\"", "sooo so goooood"), ["0 sooo so goooood"]);
    assert_eq!(found("a1", "aaa1 a111 aaa111"), ["0 aaa1"]);
    assert_eq!(found("गो", "गोगोगो गोगो"), NOTHING, "a unit is a letter with its marks");
    assert_eq!(found("कागो", "कागोगोगो"), ["0 कागोगोगो"]);
    assert_eq!(found("\"late so\"~0", "sooo laaate"), ["0 sooo laaate"]);
    assert_eq!(found("go*", "gooo"), ["0 gooo"]);
    assert_eq!(found("g?d", "goood god"), ["6 god"]);
    assert_eq!(found("@cool OR #cool OR raw:cool", "@coool #coool coool"), NOTHING);
}

#[test]
fn accents_may_not_count() {
    assert_eq!(found("fold:cafe", "Café cafe\u{301} cafés"), ["0 Café", "5 cafe\u{301}"]);
    assert_eq!(found("fold:café", "cafe"), ["0 cafe"]);
    assert_eq!(found("fold:oeuvre", "Œuvre"), ["0 Œuvre"]);
    assert_eq!(found("fold:Łæðþħŧø", "laedthhto"), ["0 laedthhto"]);
    assert_eq!(found("fold:שלום", "שָׁלוֹם"), ["0 שָׁלוֹם"]);
    assert_eq!(found("fold:caf?", "café cafes"), ["0 café"]);
    assert_eq!(found("fold:\"bar cafe\"~1", "Café au bár"), ["0 Café au bár"]);
    assert_eq!(found("cafe", "café"), NOTHING);
    assert_eq!(found("fold:god", "gòód"), NOTHING, "two letters are not three");
    assert_eq!(found("fold:god", "gòóöd goood"), ["0 gòóöd", "6 goood"]);
}

#[test]
fn a_wildcard_is_one_whole_word() {
    assert_eq!(found("deliver*", "deliver Delivery redeliver"), ["0 deliver", "8 Delivery"]);
    assert_eq!(found("*phone", "phone iPhone phones"), ["0 phone", "6 iPhone"]);
    assert_eq!(found("wom?n", "woman womn womaan wome\u{301}n"), ["0 woman", "18 wome\u{301}n"]);
    assert_eq!(found("cafe*", "cafés cafe's"), ["6 cafe"]);
    assert_eq!(found("a*b*c", "abc aXbXbXc acb"), ["0 abc", "4 aXbXbXc"]);
}

#[test]
fn words_in_any_order_are_in_a_small_window() {
    assert_eq!(found("\"b a\"~1", "a b"), ["0 a b"]);
    assert_eq!(found("\"b a\"~1", "a x b"), ["0 a x b"]);
    assert_eq!(found("\"b a\"~1", "a x x b"), NOTHING);
    assert_eq!(found("\"a b\"~3", "a b x a"), ["0 a b", "2 b x a"]);
    assert_eq!(found("\"a a\"~2", "a x a"), ["0 a x a"], "each needs its own word");
    assert_eq!(found("\"a b c\"~2", "a a b x c"), ["2 a b x c"]);
    assert_eq!(found("\"a b\"~5", "a, b"), ["0 a, b"]);
    let fields = Fields { title: "a", text: "b", ..Fields::default() };
    assert!(!is_true("\"a b\"~5", fields) && !is_true("\"a b\"", fields) && !is_true("a NEAR/5 b", fields));
}

#[test]
fn near_counts_the_words_between() {
    assert_eq!(found("a NEAR/0 b", "a b"), ["0 a", "2 b"]);
    assert_eq!(found("b NEAR/0 a", "a b"), ["2 b", "0 a"]);
    assert_eq!(found("b ONEAR/0 a", "a b"), NOTHING);
    assert_eq!(found("a NEAR/1 b", "a x b x x a"), ["0 a", "4 b"]);
    assert_eq!(found("a NEAR/1 a", "a"), NOTHING, "they do not overlap");
    assert_eq!(found("a NEAR/1 a", "a x a"), ["0 a", "4 a", "0 a", "4 a"], "each of the two clauses is found twice");
    assert_eq!(found("\"a b\" NEAR/9 \"b c\"", "a b c"), NOTHING);
    assert_eq!(found("(a OR b) NEAR/0 c", "a b c"), ["2 b", "4 c"]);
    assert_eq!(found("小 NEAR/1 米", "小x米 小手机米"), ["0 小", "4 小", "2 米"]);
}

#[test]
fn near_takes_the_hull_of_what_is_near() {
    assert_eq!(found("(a NEAR/2 b) NEAR/0 c", "a x b c"), ["0 a", "4 b", "6 c"]);
    assert_eq!(found("(a NEAR/2 b) NEAR/0 c", "a c b"), NOTHING, "the hull and `c` overlap");
    // The first pair is near, but has no part in what is found.
    assert_eq!(found("(a NEAR/0 b) NEAR/0 c", "a b x a b c"), ["6 a", "8 b", "10 c"]);
    assert_eq!(found("a NEAR/0 b NEAR/0 c", "b a c"), ["2 a", "0 b", "4 c"]);
    assert_eq!(found("NOT (a NEAR/0 b) OR a", "a x b"), ["0 a"]);
}

#[test]
fn names_have_the_words_that_they_are_written_with() {
    assert_eq!(found("late NEAR/0 @jet_blue", "@jet_blue late"), ["10 late", "1 jet_blue"]);
    assert_eq!(found("@jet NEAR/0 late", "@jet@blue.example late"), ["1 jet@blue.example", "18 late"]);
    assert_eq!(found("#a NEAR/0 b", "b,#a"), ["3 a", "0 b"]);
    assert_eq!(found("$A NEAR/0 b", "b $a"), ["3 a", "0 b"]);
    assert_eq!(found("@_ NEAR/5 b", "@_ b"), NOTHING, "no word, no place among the words");
    let hashtags = ["a".to_owned()];
    assert!(!is_true("#a NEAR/5 b", Fields { text: "b", hashtags: &hashtags, ..Fields::default() }));
}

#[test]
fn handles_end_where_those_of_platforms_end() {
    assert_eq!(
        found("@acme", ".@Acme, @acme's @acme-fan @acme.b @acme@x.y a@acme @acme는"),
        ["2 Acme", "9 acme", "27 acme.b", "35 acme@x.y", "52 acme"]
    );
    assert_eq!(found("@acme@x.y", "@acme @acme@X.y @acme@x.y.z"), ["7 acme@X.y"]);
    let mentioned = ["Acme@x.y".to_owned(), "acmes".to_owned()];
    let fields = Fields { mentioned: &mentioned, ..Fields::default() };
    assert_eq!(of_message("@acme", &fields), (true, vec![Place { field: Field::Mentioned(0), span: 0..8 }]));
}

#[test]
fn hashtags_are_of_any_script() {
    assert_eq!(found("#小米", "#小米 #小米手机 ＃小米! a#小米"), ["1 小米", "11 小米"]);
    let hashtags = ["b".to_owned(), "小米".to_owned()];
    let fields = Fields { hashtags: &hashtags, ..Fields::default() };
    assert_eq!(of_message("#小米", &fields), (true, vec![Place { field: Field::Hashtag(1), span: 0..2 }]));
}

#[test]
fn a_cashtag_is_as_long_as_it_can_be() {
    assert_eq!(
        found("$acme", "$ACME $acme. $acme.corp $acme,$acmex US$acme $acme1 $acme_ $acme_inc"),
        ["1 ACME", "7 acme", "14 acme", "25 acme"]
    );
    assert_eq!(found("$BRK.B", "$brk.b, $brk $brk.b2"), ["1 brk.b"]);
    assert_eq!(found("$BRK", "$brk.b2 $brk.b $brk_"), ["1 brk"]);
    assert_eq!(found("$ACMECO", "$acmeco $acmecorp"), ["1 acmeco"]);
    assert_eq!(found("$a", "$$a _$a 1$a a\u{301}$a"), ["2 a"]);
    assert_eq!(
        found("$acme", "买$acme吧 $acme는"),
        ["2 acme", "9 acme"],
        "scripts that do not separate words, and Korean"
    );
}

#[test]
fn raw_is_exact_and_no_part_of_a_word() {
    assert_eq!(found("raw:\"AT&T\"", "AT&T CAT&T AT&TX (AT&T's) at&t"), ["0 AT&T", "18 AT&T"]);
    assert_eq!(found("raw:\"++\"", "C+++"), ["1 ++", "2 ++"]);
    assert_eq!(found("raw:米", "小米 米x"), ["1 米", "3 米"]);
    assert_eq!(found("raw:C小", "C小米 aC小"), ["0 C小"]);
    assert_eq!(found("raw:\"a b\"", "a b a  b"), ["0 a b"]);
}

#[test]
fn a_regular_expression_finds_what_it_finds() {
    assert_eq!(found(r"/UA \d+/", "ÄUA 12 UA 3 ua 4"), ["1 UA 12", "7 UA 3"]);
    assert_eq!(found(r"/ua/i", "Ua uA"), ["0 Ua", "3 uA"]);
    assert_eq!(found("/^b/", "a\nb"), NOTHING);
    assert!(is_true("/^b$/", Fields { title: "b", text: "a", ..Fields::default() }));
}

#[test]
fn authors_are_known_by_handle_id_and_name() {
    let author =
        Author { id: "42".into(), handle: "Acme@x.y".into(), name: "Dr. Jaaane Doe".into(), ..Author::default() };
    let fields = Fields { author: Some(&author), ..Fields::default() };
    let place = |field, span| (true, vec![Place { field, span }]);
    assert_eq!(of_message("author:acme", &fields), place(Field::AuthorHandle, 0..8));
    assert_eq!(of_message("author:acme@X.y", &fields), place(Field::AuthorHandle, 0..8));
    assert_eq!(of_message("author:42", &fields), place(Field::AuthorId, 0..2));
    assert_eq!(of_message("author:\"jane doe\"", &fields), place(Field::AuthorName, 4..14));
    for other in ["author:acm", "author:x.y", "author:\"doe jane\"", "author:4", "jane", "author:acme@x"] {
        assert!(!is_true(other, fields), "{other}");
    }
}

#[test]
fn sites_and_addresses() {
    let links = ["http://a.b/Shop/shop".to_owned()];
    let on = |url: &'static str| Fields { url, links: &links, ..Fields::default() };
    for url in ["https://x.example", "https://u:p@X.example:80/", "http://w.x.example?q", "https://x.example#f"] {
        assert!(is_true("site:x.example", on(url)), "{url}");
    }
    for url in ["https://ax.example", "https://x.example.org", "https://a.b/x.example", "https://x.example@a.b", ""] {
        assert!(!is_true("site:x.example", on(url)), "{url}");
    }
    let places = of_message("url:/SHOP", &on("https://x/shop")).1;
    let place = |field, span| Place { field, span };
    assert_eq!(places, [place(Field::Url, 9..14), place(Field::Link(0), 10..15), place(Field::Link(0), 15..20)]);
    assert_eq!(of_message("site:x", &on("https://x/y")).1, [place(Field::Url, 0..11)]);
}

#[test]
fn what_comes_with_a_message() {
    let fields =
        Fields { channel: "imap", source: "Care", kind: Some(Kind::Repost), is_reply: true, ..Fields::default() };
    assert_eq!(of_message("channel:IMAP", &fields), (true, vec![Place { field: Field::Channel, span: 0..4 }]));
    assert_eq!(of_message("source:care", &fields), (true, vec![Place { field: Field::Source, span: 0..4 }]));
    assert!(is_true("kind:repost is:repost is:reply -kind:post -has:media", fields));
    assert!(!is_true("kind:post OR is:repost", Fields::default()));
    let fields = Fields { language: "tr", country: "TR", has_media: true, ..Fields::default() };
    assert!(is_true("lang:tr country:TR has:media -lang:en -country:DE -is:verified", fields));
    for (text, has) in [("see WWW.x", true), ("HTTP://", true), ("http:/", false)] {
        assert_eq!(is_true("has:link", text.into()), has, "{text}");
    }
    for (text, has) in
        [("👍", true), ("☀", true), ("→", false), ("→\u{fe0f}", true), ("1\u{fe0f}", false), ("©\u{fe0f}", false)]
    {
        assert_eq!(is_true("has:emoji", text.into()), has, "{text}");
    }
}

#[test]
fn numbers_and_times() {
    let author = Author { followers: Some(10), ..Author::default() };
    let engagement =
        Engagement { likes: Some(1), quotes: Some(2), views: Some(99), rating: Some(3.5), ..Engagement::default() };
    let published_at = Some("2026-01-02T00:00:00Z".parse().unwrap());
    let fields = Fields { author: Some(&author), engagement, published_at, ..Fields::default() };
    for query in [
        "followers:10",
        "followers:>9",
        "followers:>=10",
        "followers:<11",
        "followers:<=10",
        "engagement:3",
        "rating:3.5",
        "rating:<3.51",
        "rating:>3.49",
        "published:2026-01-02",
        "published:>=2026-01-02",
        "published:<=2026-01-02",
        "published:>2026-01-01",
        "published:<2026-01-03",
        "published:2026-01-02T00:00:00Z",
        "published:<2026-01-02T00:00:01Z",
    ] {
        assert!(is_true(query, fields), "{query}");
        assert!(!is_true(query, Fields::default()), "what is not known is not found: {query}");
    }
    for query in [
        "followers:9",
        "followers:>10",
        "followers:<10",
        "engagement:>3",
        "rating:<3.5",
        "published:<2026-01-02",
        "published:>2026-01-02",
        "published:>=2026-01-03",
        "published:<=2026-01-01",
        "published:>2026-01-02T00:00:00Z",
    ] {
        assert!(!is_true(query, fields), "{query}");
    }
    assert!(!is_true(
        "engagement:<5",
        Fields { engagement: Engagement { views: Some(1), ..Engagement::default() }, ..Fields::default() }
    ));
}

#[test]
fn every_clause_is_told_of() {
    let query = parse("-acme (globex OR title:acme)").unwrap();
    let (is_true, reports) = explain(&query, &Fields { title: "globex", text: "Acme", ..Fields::default() });
    assert!(!is_true);
    let told: Vec<(String, bool, usize)> =
        reports.iter().map(|(clause, is_found, places)| (clause.to_string(), *is_found, places.len())).collect();
    let report = |clause: &str, is_found, places| (clause.to_owned(), is_found, places);
    assert_eq!(told, [report("acme", true, 1), report("globex", true, 1), report("title:acme", false, 0)]);
}

#[test]
fn the_examples_of_the_page_are_true() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/queries.md")).unwrap();
    let mut examples = 0;
    for block in page.split("\n```").skip(1).step_by(2) {
        let (language, body) = block.split_once('\n').unwrap();
        let (query, lines) = body.split_once('\n').unwrap_or((body, ""));
        let is_example = matches!(language, "match" | "message");
        for (sign, line) in lines.lines().filter(|_| is_example).map(|line| line.split_once(' ').unwrap()) {
            let found = if language == "match" { is_true(query, line.into()) } else { is_true_of_json(query, line) };
            assert_eq!(found, sign == "+", "{query} on {line}");
            examples += 1;
        }
    }
    assert!(examples > 150, "{examples}");
}

fn is_true_of_json(query: &str, json: &str) -> bool {
    let nothing = Message::new("", "", "", Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    let mut message = serde_json::to_value(nothing).unwrap();
    let said: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
    let text = |name: &str| said.get(name).map_or("", |value| value.as_str().unwrap());
    let (language, country) = (text("language"), text("country"));
    let has_media = said.get("media").is_some_and(|media| media.as_bool().unwrap());
    message.as_object_mut().unwrap().extend(said.clone());
    let message: Message = serde_json::from_value(message).unwrap();
    is_true(query, Fields { language, country, has_media, ..Fields::from(&message) })
}
