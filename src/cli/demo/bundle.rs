//! The bundled messages: templates (see `config/demo/README.md`) that are filled with current times
//! and written where the demo's sources read them.

use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::feeds;
use crate::cli::exit::Failure;

/// Files that sources read from the directory.
const FILES: [(&str, &str); 4] = [
    ("hearken.toml", include_str!("../../../config/demo/hearken.toml")),
    ("posts.jsonl", include_str!("../../../config/demo/posts.jsonl")),
    ("forum.jsonl", include_str!("../../../config/demo/forum.jsonl")),
    ("reviews.csv", include_str!("../../../config/demo/reviews.csv")),
];

/// Feeds that are served over HTTP.
const FEEDS: [(&str, &str); 4] = [
    ("kanne-und-kueche.xml", include_str!("../../../config/demo/feeds/kanne-und-kueche.xml")),
    ("slow-pour.xml", include_str!("../../../config/demo/feeds/slow-pour.xml")),
    ("tuketici-gundemi.xml", include_str!("../../../config/demo/feeds/tuketici-gundemi.xml")),
    ("kavovyi-visnyk.json", include_str!("../../../config/demo/feeds/kavovyi-visnyk.json")),
];

/// Posts that are made while the demo listens.
const LIVE: &str = include_str!("../../../config/demo/live.jsonl");

/// Live public sources.
const LIVE_CONFIG: &str = include_str!("../../../config/demo/live.toml");

/// What the placeholders stand for.
struct Values<'a> {
    now: Timestamp,
    here: &'a Path,
    address: &'a str,
}

/// Fills the templates, serves the feeds until `stop`, and returns the configuration's path.
pub(super) async fn write(dir: &Path, stop: &CancellationToken) -> Result<PathBuf, Failure> {
    let listener = feeds::bind().await?;
    let address = listener.local_addr().map_err(Failure::unavailable)?.to_string();
    let values = Values { now: Timestamp::now(), here: dir, address: &address };
    for (name, template) in FILES {
        write_file(dir, name, &fill(template, &values)?)?;
    }
    let feeds = FEEDS.iter().map(|(name, template)| Ok((*name, fill(template, &values)?)));
    feeds::serve(listener, feeds.collect::<Result<_, Failure>>()?, stop.clone());
    Ok(dir.join("hearken.toml"))
}

/// Writes the configuration of the live sources and returns its path.
pub(super) fn write_live(dir: &Path) -> Result<PathBuf, Failure> {
    let values = Values { now: Timestamp::now(), here: dir, address: "" };
    write_file(dir, "hearken.toml", &fill(LIVE_CONFIG, &values)?)?;
    Ok(dir.join("hearken.toml"))
}

/// The posts that are made while the demo listens, in order.
pub(super) fn live_posts() -> impl Iterator<Item = &'static str> {
    LIVE.lines()
}

/// Makes a post now: appends it to the file that a source follows.
pub(super) fn append(dir: &Path, post: &str) -> Result<(), Failure> {
    let line = fill(post, &Values { now: Timestamp::now(), here: dir, address: "" })? + "\n";
    let file = std::fs::OpenOptions::new().append(true).open(dir.join("posts.jsonl"));
    file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(Failure::unavailable)
}

fn write_file(dir: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let path = dir.join(name);
    std::fs::write(&path, text)
        .map_err(|error| Failure::unavailable(format!("cannot write {}: {error}", path.display())))
}

/// Replaces every placeholder; an unknown one is a bug of the bundled set.
fn fill(template: &str, values: &Values<'_>) -> Result<String, Failure> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or_else(|| Failure::bug("a placeholder is not closed"))?;
        filled.push_str(before);
        filled.push_str(&value(name, values).ok_or_else(|| Failure::bug(format!("unknown placeholder `{name}`")))?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn value(name: &str, values: &Values<'_>) -> Option<String> {
    match name {
        "here" => Some(values.here.display().to_string()),
        "address" => Some(values.address.to_owned()),
        _ => {
            let (minutes, format) = name.strip_prefix("minutes_ago:")?.split_once('|')?;
            let at = values.now.checked_sub(SignedDuration::from_mins(minutes.parse().ok()?)).ok()?;
            match format {
                "rfc3339" => Some(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
                "rfc2822" => Some(at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn fills_every_placeholder_of_the_bundled_set() {
        let values =
            Values { now: "2031-05-04T10:00:00Z".parse().unwrap(), here: Path::new("/tmp/x"), address: "127.0.0.1:1" };
        for (name, template) in FILES.iter().chain(&FEEDS).chain(&[("live.jsonl", LIVE), ("live.toml", LIVE_CONFIG)]) {
            assert!(!fill(template, &values).unwrap().contains("{{"), "{name}");
        }
    }

    #[test]
    fn counts_back_from_now() {
        let values = Values { now: "2031-05-04T10:00:00Z".parse().unwrap(), here: Path::new("/"), address: "" };
        assert_eq!(fill("a{{minutes_ago:39|rfc3339}}b", &values).unwrap(), "a2031-05-04T09:21:00Zb");
        assert_eq!(fill("{{minutes_ago:39|rfc2822}}", &values).unwrap(), "Sun, 04 May 2031 09:21:00 +0000");
        assert!(fill("{{minutes_ago:x|rfc3339}}", &values).is_err());
    }
}
