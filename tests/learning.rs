//! What people correct, the next model has learnt.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::io::Write;
use std::process::Stdio;

use support::site::Site;

/// The label of a text by a model in a file, or by the built-in one.
fn label(site: &Site, model: &[&str], text: &str) -> String {
    let mut scoring = site.hearken(&[&["score"], model].concat());
    let mut scoring = scoring.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(scoring.stdin.take().unwrap(), "{text}").unwrap();
    let answer = scoring.wait_with_output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    answer["label"].as_str().unwrap().to_owned()
}

#[test]
fn a_model_learns_from_corrections_and_forgets_nothing() {
    if support::libchdb().is_none() {
        return;
    }
    let site = Site::embedded(|dir| {
        let mut messages = String::new();
        for number in 0..60 {
            let text = format!("acme update {number}: this slaps, no cap");
            messages += &format!("{{\"id\":\"{number}\",\"text\":\"{text}\",\"at\":\"2026-03-01T00:00:00Z\"}}\n");
        }
        let file = dir.join("messages.jsonl");
        std::fs::write(&file, messages).unwrap();
        format!(
            "[source.heard]\nchannel = \"file\"\npath = {file:?}\n\
             fields = {{ id = \"id\", text = \"text\", published_at = \"at\" }}\n\
             [[brand]]\nname = \"acme\"\nquery = \"acme\"\n"
        )
    });
    site.run_until_idle();
    let train = ["train", "--with-corrections", "--name", "ours-1", "--output"];
    let model = site.path("ours.bin").to_string_lossy().into_owned();
    let nothing = site.hearken(&[&train[..], &[&model]].concat()).output().unwrap();
    assert_eq!(nothing.status.code(), Some(65));
    let reason = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert!(reason.contains("nothing to learn from"), "{reason}");

    let said = "this slaps, no cap";
    assert_ne!(label(&site, &[], said), "positive");
    site.sql(
        "INSERT INTO sentiment_correction_revisions (brand, message_id, sentiment, corrected_by, corrected_at) \
         SELECT brand, message_id, 'positive', 'ada', now64(3) FROM mentions",
    );
    let learning = site.hearken(&[&train[..], &[&model]].concat()).output().unwrap();
    assert!(learning.status.success(), "{}", String::from_utf8_lossy(&learning.stderr));
    let told = String::from_utf8_lossy(&learning.stdout).into_owned();
    assert!(told.contains("before") && told.contains("after") && told.contains("en_corrections"), "{told}");

    let ours = ["--model", model.as_str()];
    assert_eq!(label(&site, &ours, said), "positive");
    for (text, before) in [
        ("my flight was cancelled, what a terrible airline", "negative"),
        ("hizmet çok kötüydü, bir daha asla", "negative"),
        ("thank you for the wonderful service", "positive"),
    ] {
        assert_eq!((label(&site, &[], text).as_str(), label(&site, &ours, text).as_str()), (before, before), "{text}");
    }
    // The same corrections teach the same.
    let again = site.path("again.bin").to_string_lossy().into_owned();
    assert!(site.hearken(&[&train[..], &[&again]].concat()).output().unwrap().status.success());
    assert!(std::fs::read(&model).unwrap() == std::fs::read(&again).unwrap());
}
