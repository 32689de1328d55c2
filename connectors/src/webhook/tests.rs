#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use proptest::prelude::*;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use sha2::Sha256;

use super::body::{self, Heard};
use super::settings::{self, Reading};
use super::signature::{Forged, Scheme, Verifier};
use crate::secret::Secret;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn now() -> Timestamp {
    Timestamp::from_second(1_772_323_200).unwrap()
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let header = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    pairs.iter().map(header).collect()
}

fn hmac(key: &[u8], signed: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(signed).finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn verifier(scheme: Scheme, secret: &str) -> Verifier {
    Verifier::new(scheme, &Secret::generated(secret.to_owned())).unwrap()
}

/// The signature of Standard Webhooks, made apart from what is tested.
fn standard_signature(id: &str, time: i64, body: &[u8]) -> String {
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let signed = [format!("{id}.{time}.").as_bytes(), body].concat();
    format!("v1,{}", STANDARD.encode(hmac(&key, &signed)))
}

fn standard(id: &str, time: &str, signature: &str, body: &[u8]) -> Result<Option<String>, Forged> {
    let headers = headers(&[("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)]);
    verifier(Scheme::Standard, SECRET).verify(&headers, body, now())
}

#[test]
fn the_example_of_the_specification_is_genuine() {
    // The signature of the libraries' own tests.
    let headers = headers(&[
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ]);
    let body = br#"{"test": 2432232314}"#;
    let then = Timestamp::from_second(1_614_265_330).unwrap();
    let id = verifier(Scheme::Standard, SECRET).verify(&headers, body, then);
    assert_eq!(id, Ok(Some("msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned())));
}

#[test]
fn the_example_of_github_is_genuine() {
    // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let verifier = verifier(Scheme::Github, "It's a Secret to Everybody");
    let signed = |more: &[(&'static str, &str)]| {
        let pairs = [&[("x-hub-signature-256", signature)], more].concat();
        verifier.verify(&headers(&pairs), b"Hello, World!", now())
    };
    assert_eq!(signed(&[]), Ok(None));
    assert_eq!(signed(&[("x-github-delivery", "72d3162e")]), Ok(Some("72d3162e".to_owned())));
    assert_eq!(signed(&[("idempotency-key", "8e03978e")]), Ok(Some("8e03978e".to_owned())));
    assert_eq!(verifier.verify(&HeaderMap::new(), b"Hello, World!", now()), Err(Forged));
}

#[test]
fn one_good_signature_of_several_is_enough_and_no_other_version_counts() {
    let time = now().as_second();
    let good = standard_signature("msg_1", time, b"{}");
    let several = format!("v1a,AAAA v1,AAAA {good}");
    assert!(standard("msg_1", &time.to_string(), &several, b"{}").is_ok());
    assert!(standard("msg_1", &time.to_string(), good.trim_end_matches('='), b"{}").is_ok());
    for bad in ["", "v1", "v1,", "v1,****", &good.replace("v1,", "v2,"), &good.replace("v1,", ""), "v1,AAAA v1a,AAAA"] {
        assert_eq!(standard("msg_1", &time.to_string(), bad, b"{}"), Err(Forged), "{bad}");
    }
}

#[test]
fn a_post_counts_for_five_minutes_both_ways() {
    for (apart, expected) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
        let time = now().as_second() + apart;
        let verdict = standard("msg_1", &time.to_string(), &standard_signature("msg_1", time, b"{}"), b"{}");
        assert_eq!(verdict.is_ok(), expected, "{apart} s");
    }
    for odd in ["", "now", "1e9", "99999999999999999999", "-9223372036854775808"] {
        assert_eq!(standard("msg_1", odd, &standard_signature("msg_1", 0, b"{}"), b"{}"), Err(Forged), "{odd}");
    }
}

#[test]
fn secrets_are_checked_and_not_shown() {
    let refused = |secret: &str| Verifier::new(Scheme::Standard, &Secret::generated(secret.to_owned())).err().unwrap();
    assert_eq!(refused("whsec_hunter2!"), "is not `whsec_` and Base64");
    assert!(refused("whsec_c2hvcnQ=").starts_with("is too short"));
}

#[derive(Debug, Clone)]
enum Part {
    Id,
    Time,
    Body,
    Signature,
}

proptest! {
    #[test]
    fn what_is_signed_is_genuine_and_no_flipped_bit_is(
        id in "[!-~]{1,256}", apart in -300_i64..=300, body in any::<Vec<u8>>(),
        part in prop_oneof![Just(Part::Id), Just(Part::Time), Just(Part::Body), Just(Part::Signature)],
        at in any::<prop::sample::Index>(), bit in 0_u32..7,
    ) {
        let time = now().as_second() + apart;
        let signature = standard_signature(&id, time, &body);
        prop_assert_eq!(standard(&id, &time.to_string(), &signature, &body), Ok(Some(id.clone())));

        let mut parts = [id.into_bytes(), time.to_string().into_bytes(), body, signature.into_bytes()];
        let flipped = &mut parts[part.clone() as usize];
        prop_assume!(!flipped.is_empty());
        let index = at.index(flipped.len());
        flipped[index] ^= 1_u8 << bit;
        // What cannot stand in a header does not come here. The last digit of Base64 has bits that mean nothing,
        // and a blank before it starts another signature.
        let [id, time, body, signature] = &parts;
        prop_assume!([id, time, signature].iter().all(|value| value.iter().all(|byte| (b'!'..=b'~').contains(byte))));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        prop_assert_eq!(standard(&text(id), &text(time), &text(signature), body), Err(Forged));
    }

    #[test]
    fn no_headers_whatever_are_genuine(
        id in "[ -~]{0,30}", time in "-?[0-9]{0,20}|[ -~]{0,9}", signature in "(v1a?,[ -~]{0,50} ?){0,4}|[ -~\u{80}-\u{ff}]{0,50}",
        hex in "(sha256=)?([0-9a-fA-F]{0,70}|[ -~\u{80}-\u{ff}]{0,70})",
    ) {
        let all = headers(&[
            ("webhook-id", &id), ("webhook-timestamp", &time), ("webhook-signature", &signature),
            ("x-hub-signature-256", &hex), ("x-github-delivery", &id),
        ]);
        for scheme in [Scheme::Standard, Scheme::Github] {
            prop_assert_eq!(verifier(scheme, SECRET).verify(&all, b"{}", now()), Err(Forged));
        }
    }

    #[test]
    fn the_same_holds_for_github(secret in "[ -~]{1,80}", body in any::<Vec<u8>>(), at in any::<prop::sample::Index>()) {
        let verifier = verifier(Scheme::Github, &secret);
        let signature = hmac(secret.as_bytes(), &body);
        let verdict = |signature: &[u8], body: &[u8]| {
            let value = format!("sha256={}", hex(signature));
            verifier.verify(&headers(&[("x-hub-signature-256", &value)]), body, now())
        };
        prop_assert_eq!(verdict(&signature, &body), Ok(None));
        let mut forged = signature.clone();
        forged[at.index(signature.len())] ^= 1;
        prop_assert_eq!(verdict(&forged, &body), Err(Forged));
        prop_assert_eq!(verdict(&signature[..31], &body), Err(Forged));
        prop_assert_eq!(verdict(&signature, &[body.as_slice(), b" "].concat()), Err(Forged));
    }

    #[test]
    fn any_body_is_read_without_loss(body in "[\\[\\]{}:,\"a-z0-9\\n ]{0,80}", lines in any::<bool>()) {
        for settings in ["", "fields.text = 'a'", "records = 'a'\nfields.text = 'b'"] {
            let heard = read(&reading(settings), body.as_bytes(), lines);
            let kept = heard.parsed.messages.len() + heard.parsed.poison.len();
            let told = heard.receipt.map_or(1, |receipt| receipt.accepted + receipt.rejected.len());
            prop_assert_eq!(kept, told);
        }
    }

    #[test]
    fn a_delivery_that_is_sent_again_has_the_same_ids(texts in prop::collection::vec("[a-z]{1,9}", 1..9), wrapped in any::<bool>()) {
        let records: Vec<Value> = texts.iter().map(|text| json!({"text": text})).collect();
        let (settings, body) = match wrapped {
            true => ("records = 'data.items'\nfields.text = 'text'", json!({"data": {"items": records}})),
            false => ("fields.text = 'text'", json!(records)),
        };
        let ids = |delivery: &str| -> Vec<_> {
            let heard = body::read(&reading(settings), body.to_string().as_bytes(), false, delivery, now());
            heard.parsed.messages.iter().map(|message| message.id).collect()
        };
        let first = ids("msg_1");
        prop_assert_eq!(first.len(), texts.len());
        prop_assert_eq!(&ids("msg_1"), &first);
        prop_assert!(ids("msg_2").iter().all(|id| !first.contains(id)));
        let mut distinct = first.clone();
        distinct.sort();
        distinct.dedup();
        prop_assert_eq!(distinct.len(), first.len(), "equal records of one delivery are several");
    }
}

fn reading(settings: &str) -> Reading {
    settings::reading(settings.parse().unwrap(), "forum").unwrap()
}

fn read(reading: &Reading, body: &[u8], lines: bool) -> Heard {
    body::read(reading, body, lines, "msg_1", now())
}

const GITHUB: &str = r#"
    set.channel = "github"
    set.kind = "comment"
    [fields]
    id = "comment.node_id"
    version = "comment.updated_at"
    text = "comment.body"
    title = "issue.title"
    url = "comment.html_url"
    conversation = "issue.html_url"
    published_at = "comment.created_at"
    [fields.author]
    id = "comment.user.id"
    handle = "comment.user.login"
    url = "comment.user.html_url"
"#;

#[test]
fn a_comment_on_github_and_its_edit() {
    let reading = reading(GITHUB);
    let heard = |payload: &[u8]| {
        let heard = read(&reading, payload, false);
        assert_eq!(heard.parsed.poison, []);
        heard.parsed.messages
    };
    let created = heard(include_bytes!("fixtures/github_issue_comment_created.json"));
    insta::assert_json_snapshot!("github_issue_comment_created", created);
    let edited = heard(include_bytes!("fixtures/github_issue_comment_edited.json"));
    assert_eq!(edited[0].id, created[0].id);
    assert!(edited[0].version > created[0].version);
}

#[test]
fn what_is_said_of_records_that_are_not_understood() {
    let told = |settings: &str, body: &str, lines: bool| {
        let heard = read(&reading(settings), body.as_bytes(), lines);
        let origins: Vec<_> = heard.parsed.poison.into_iter().map(|poison| poison.origin).collect();
        (heard.receipt, origins)
    };
    let text = "fields.text = 'text'";
    let wrapped = "records = 'data.items'\nfields.text = 'text'";
    let bodies = [
        told(text, r#"[{"text": "a"}, {"txt": "b"}, 7, {"text": "c"}]"#, false),
        told(text, "{\"text\": \"a\"}\n\n{\"text\": \"b\n{\"text\": \"c\"}\n", true),
        told(wrapped, r#"{"data": {"items": [{"text": "a"}, {"text": ["b"]}, null]}}"#, false),
        told(wrapped, r#"{"data": {"item": []}}"#, false),
        told(text, r#"payload=%7B%22text%22%3A1%7D"#, false),
        told(text, "", false),
        told(text, "[]", false),
        told("", r#"{"id": "secret words"}"#, false),
        told(text, &format!("[{}1]", "1,".repeat(4_000)), false),
    ];
    insta::assert_debug_snapshot!(bodies);
    let latin = read(&reading(text), b"{\"text\": \"caf\xe9\"}", false);
    assert_eq!(latin.receipt, Err("the body is not UTF-8 from byte 14 on".to_owned()));
    assert_eq!(latin.parsed.poison[0].payload, b"{\"text\": \"caf\xe9\"}");
}

#[test]
fn records_without_a_mapping_are_hearken_messages() {
    let message = crate::Message::new("forum", "elsewhere", "7", now(), now());
    let body = serde_json::to_vec(&[&message]).unwrap();
    assert_eq!(read(&reading(""), &body, false).parsed.messages, [message]);
}

#[test]
fn wrong_settings_say_what_would_be_right() {
    let errors = ["signature = 'sha1'", "records = ''", "records = 'a..b'", "set.kind = 'post'", "secret = 'hunter2'"];
    let error = |text: &&str| settings::reading(text.parse().unwrap(), "forum").err().unwrap().to_string();
    let missing = settings::Settings::new(toml::Table::new(), "forum").err().unwrap().to_string();
    let errors: Vec<_> = errors.iter().map(error).chain([missing]).collect();
    insta::assert_snapshot!(errors.join("\n"));
}
