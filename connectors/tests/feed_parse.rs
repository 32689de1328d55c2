//! Feed documents to messages: every format and oddity, real feeds, and damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::path::Path;

use hearken_connectors::Kind;
use hearken_connectors::feed::parse::{NotAFeed, Origin, Page, parse};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;
use url::Url;

fn read(bytes: &[u8]) -> Result<Page, NotAFeed> {
    let url = Url::parse("https://user:password@feeds.example/all?token=secret").unwrap();
    let observed_at: Timestamp = "2025-11-21T12:00:00Z".parse().unwrap();
    parse(bytes, None, Origin { source: "news", url: Some(&url), observed_at })
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/feed/fixtures").join(name)).unwrap()
}

fn fixtures() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/feed/fixtures");
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_fixture_is_read_as_recorded() {
    for name in fixtures() {
        let page = read(&fixture(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let items: Vec<_> =
            page.items.iter().map(|heard| json!({"message": heard.message, "updated": heard.updated})).collect();
        let poison: Vec<_> = page
            .poison
            .iter()
            .map(|poison| json!({"origin": poison.origin, "reason": poison.reason, "payload": String::from_utf8_lossy(&poison.payload)}))
            .collect();
        insta::assert_json_snapshot!(name, json!({"format": page.format, "items": items, "poison": poison}));
    }
}

#[test]
fn pictures_video_and_sound_of_an_item_are_known() {
    let rss = |item: &str| {
        let item = format!("<item><title>t</title>{item}</item>");
        format!("<rss xmlns:media='http://search.yahoo.com/mrss/'><channel>{item}</channel></rss>")
    };
    let atom = |entry: &str| {
        format!("<feed xmlns='http://www.w3.org/2005/Atom'><entry><title>t</title>{entry}</entry></feed>")
    };
    let json =
        |item: serde_json::Value| json!({"version": "https://jsonfeed.org/version/1.1", "items": [item]}).to_string();
    for (feed, media) in [
        (rss("<enclosure url='https://a.example/1.mp3' type='audio/mpeg'/>"), true),
        (rss("<enclosure url='https://a.example/1.pdf' type='application/pdf'/>"), false),
        (rss("<media:content url='https://a.example/1' medium='image'/>"), true),
        (rss("<media:group><media:content url='https://a.example/1' type='video/mp4'/></media:group>"), true),
        (rss("<media:group><media:content type='application/x-shockwave-flash'/></media:group>"), true),
        (rss("<media:content url='https://a.example/1' medium='document'/>"), false),
        (rss("<description>a text</description>"), false),
        (atom("<link rel='enclosure' type='image/png' href='https://a.example/1.png'/>"), true),
        (atom("<link rel='enclosure' type='text/plain' href='https://a.example/1.txt'/>"), false),
        (atom("<link rel='alternate' type='image/png' href='https://a.example/1.png'/>"), false),
        (json(json!({"id": "1", "attachments": [{"url": "https://a.example/1", "mime_type": "audio/mpeg"}]})), true),
        (json(json!({"id": "1", "image": "https://a.example/1.png"})), true),
        (json(json!({"id": "1", "attachments": [{"url": "https://a.example/1", "mime_type": "text/csv"}]})), false),
    ] {
        let page = read(feed.as_bytes()).unwrap();
        assert_eq!(page.items.iter().map(|item| item.message.media).collect::<Vec<_>>(), [media], "{feed}");
    }
}

#[test]
fn a_page_for_people_is_no_feed() {
    assert_eq!(read(b"<!DOCTYPE html><html><body>Please sign in</body></html>"), Err(NotAFeed::Html));
    for other in ["", "{}", "[1]", "{\"items\":[]}", "%PDF-1.7", "<svg/>", "\u{0}\u{1}"] {
        assert_eq!(read(other.as_bytes()), Err(NotAFeed::Unknown), "{other}");
    }
}

#[test]
fn an_empty_feed_is_a_feed() {
    let page = read(b"<rss version='2.0'><channel><title>Quiet</title></channel></rss>").unwrap();
    assert_eq!((page.items.len(), page.poison.len()), (0, 0));
}

#[test]
fn secrets_of_the_address_are_shown_nowhere() {
    for name in fixtures() {
        let page = read(&fixture(&name)).unwrap();
        let shown = format!("{page:?}");
        assert!(!shown.contains("token") && !shown.contains("password"), "{name}: {shown}");
    }
}

#[test]
fn absurd_documents_are_read_in_bounded_time_and_memory() {
    let nested = format!("<rss><channel><item><title>a</title>{}", "<b>".repeat(1 << 20));
    assert_eq!(read(nested.as_bytes()).unwrap().items.len(), 0);
    let unclosed = format!("<rss><channel>{}", "<item><![CDATA[".repeat(1 << 16));
    assert!(read(unclosed.as_bytes()).unwrap().poison.len() <= 101);
    let references = format!("<rss><channel><item><title>{}</title></item></channel></rss>", "&".repeat(1 << 20));
    assert_eq!(read(references.as_bytes()).unwrap().items.len(), 1);
    let bomb = "<!DOCTYPE rss [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><rss><channel><item><title>&b;</title></item></channel></rss>";
    assert_eq!(read(bomb.as_bytes()).unwrap().items[0].message.title, "&b;");
}

#[test]
fn real_feeds_are_read_whole() {
    let Some(data) = require("the real feeds", std::env::var_os("HEARKEN_TEST_DATA"), "set HEARKEN_TEST_DATA") else {
        return;
    };
    let folder = Path::new(&data).join("real/feeds");
    let mut feeds = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let page = read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let items: Vec<String> = if path.extension().is_some_and(|extension| extension == "json") {
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            value["items"].as_array().unwrap().iter().map(ToString::to_string).collect()
        } else {
            let text = text.replace("<entry", "<item").replace("<items", "").replace("<item ", "<item>");
            text.split("<item>").skip(1).map(str::to_owned).collect()
        };
        assert_eq!(page.items.len(), items.len(), "{}", path.display());
        let dates = ["pubDate", "published", "updated", "date"];
        let undated = items.iter().filter(|item| !dates.iter().any(|date| item.contains(date))).count();
        let taken_as_now = page.items.iter().filter(|heard| heard.message.published_at == heard.message.observed_at);
        assert_eq!(taken_as_now.count(), undated, "{}", path.display());
        assert_eq!(page.poison, [], "{}", path.display());
        for heard in &page.items {
            let message = &heard.message;
            assert!(!message.text.is_empty() || !message.title.is_empty(), "{}: {message:?}", path.display());
            let oldest: Timestamp = "2005-01-01T00:00:00Z".parse().unwrap();
            assert!(message.published_at > oldest, "{}: {message:?}", path.display());
            assert!(
                !message.text.contains("</") && !message.title.contains("&amp;"),
                "{}: {message:?}",
                path.display()
            );
            assert!(matches!(message.kind, Kind::Article | Kind::Post), "{}: {message:?}", path.display());
        }
        feeds += 1;
    }
    assert_eq!(feeds, 18);
}

fn native_ids(page: &Page) -> BTreeSet<String> {
    page.items.iter().map(|heard| heard.message.native_id.clone()).collect()
}

proptest! {
    /// What is cut off takes nothing else with it, and adds nothing.
    #[test]
    fn a_cut_feed_gives_its_whole_items(cut in 0usize..4000) {
        let whole = fixture("rss_2.0.xml");
        let all = native_ids(&read(&whole).unwrap());
        let cut = cut % whole.len();
        let Ok(page) = read(&whole[..cut]) else { return Ok(()) };
        let whole_items = String::from_utf8_lossy(&whole[..cut]).matches("</item>").count();
        prop_assert!(native_ids(&page).is_subset(&all));
        prop_assert_eq!(page.items.len(), whole_items);
    }

    /// One damaged byte costs one item at most (two if it was what kept them apart), and makes none up.
    #[test]
    fn a_damaged_byte_harms_the_item_that_it_is_in(at in 0usize..4000, byte: u8) {
        let mut bytes = fixture("rss_2.0.xml");
        let at = at % bytes.len();
        let in_item = String::from_utf8_lossy(&bytes[..at]).contains("<item>");
        let all = native_ids(&read(&bytes).unwrap());
        bytes[at] = byte;
        let Ok(page) = read(&bytes) else {
            prop_assert!(!in_item);
            return Ok(());
        };
        let ids = native_ids(&page);
        prop_assert!(ids.difference(&all).count() <= 1, "{:?}", ids);
        prop_assert!(!in_item || ids.intersection(&all).count() >= all.len() - 2, "{:?}", ids);
    }

    /// Any rubbish made of a feed's pieces is survived.
    #[test]
    fn rubbish_is_survived(
        name in proptest::sample::select(fixtures()),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..40, ".{0,6}|<item>|</item>|<!\\[CDATA\\[|<!--|&#[0-9]{1,9};"), 1..12),
    ) {
        let mut bytes = fixture(&name);
        for (at, remove, insert) in edits {
            let at = at.index(bytes.len());
            let end = (at + remove).min(bytes.len());
            bytes.splice(at..end, insert.into_bytes());
            prop_assume!(!bytes.is_empty());
        }
        let _ = read(&bytes);
    }
}

/// The same rule as in the root package's `tests/support`: absent is a notice, on CI a failure.
fn require<T>(what: &str, found: Option<T>, how: &str) -> Option<T> {
    if found.is_none() {
        let line = format!("not run: {what}: not found, {how}");
        assert!(std::env::var_os("CI").is_none(), "{line}");
        println!("{line}");
    }
    found
}
