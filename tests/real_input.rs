//! The main job on real input: the airlines' tweets through `file` and real feeds, served by nginx,
//! through `feed`, into one store; on the embedded profile and again on Kafka, with equal figures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use support::kafka::Broker;
use support::nginx::Nginx;
use support::site::Site;
use support::{airlines, libchdb, real_data};

/// Tweets in the data, and what their column `airline` calls JetBlue.
const TWEETS: u64 = 7_313;
/// Items in all feeds: `grep -oE '<(item|entry)[ >]|"date_published"'` over the files.
const FEED_ITEMS: u64 = 44;

#[tokio::test(flavor = "multi_thread")]
async fn both_profiles_agree_and_every_tweet_is_stored_under_its_airline() {
    let (Some(data), Some(())) = (real_data(), libchdb()) else { return };
    let Some(nginx) = Nginx::start(&data.join("real/feeds")) else { return };
    let Some(broker) = Broker::shared().await else { return };
    let config = |_: &Path| sources(&data, &nginx);

    let embedded = Site::embedded(config);
    embedded.run_until_idle();
    let figures = embedded.figures();
    assert_each_tweet_is_under_its_airline(&embedded, &data.join("real/airline_tweets.jsonl"));
    let heard = embedded.sql("SELECT sum(messages) FROM source_polls WHERE source = 'feeds'");
    assert_eq!(heard.trim(), FEED_ITEMS.to_string());
    assert_eq!(figures["dead letters"], "");

    let cluster = Site::with(&format!("[log]\nkind = \"kafka\"\nbrokers = \"{}\"", broker.bootstrap), config);
    cluster.run_until_idle();
    assert_eq!(cluster.figures(), figures);
}

/// The tweets, the feeds, the airlines as brands, and a brand that the feeds speak of.
fn sources(data: &Path, nginx: &Nginx) -> String {
    let feeds = std::fs::read_dir(data.join("real/feeds")).unwrap().map(|file| file.unwrap().file_name());
    let mut urls: Vec<String> = feeds.map(|name| nginx.url(name.to_str().unwrap())).collect();
    urls.sort();
    format!(
        "{}[[brand]]\nname = \"Cloudflare\"\nnames = [\"Cloudflare\"]\n{}[source.feeds]\nchannel = \"feed\"\nurls = {urls:?}\n",
        airlines::brands(),
        airlines::tweets(&data.join("real/airline_tweets.jsonl"), ""),
    )
}

fn assert_each_tweet_is_under_its_airline(site: &Site, tweets: &Path) {
    let stored = site.sql("SELECT native_id, groupArray(brand) FROM mentions WHERE channel = 'twitter' GROUP BY ALL");
    let stored: BTreeMap<&str, &str> = stored.lines().map(|line| line.split_once('\t').unwrap()).collect();
    let mut count = 0;
    for line in std::fs::read_to_string(tweets).unwrap().lines() {
        let tweet: serde_json::Value = serde_json::from_str(line).unwrap();
        let (id, airline) = (tweet["id"].as_str().unwrap(), tweet["airline"].as_str().unwrap());
        // The data calls JetBlue's tweets Delta's; their text says whom they are for.
        let airline = if airline == "Delta" { "JetBlue" } else { airline };
        let brands = stored.get(id).unwrap_or_else(|| panic!("tweet {id} is not stored"));
        assert_eq!(brands.matches(&format!("'{airline}'")).count(), 1, "tweet {id} of {airline} is under {brands}");
        count += 1;
    }
    assert_eq!((count, stored.len() as u64), (TWEETS, TWEETS));
}
