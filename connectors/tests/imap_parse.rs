//! From mails to messages: written examples, real mails, and mails that nobody should send.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

use std::collections::{HashMap, HashSet};
use std::path::Path;

use hearken_connectors::registry::{Parsed, channel};
use hearken_connectors::{Direction, Kind, Message, MessageId, Noise, Visibility};
use jiff::Timestamp;
use serde_json::json;

fn parse(payload: &[u8]) -> Parsed {
    (channel("imap").unwrap().parse)(toml::Table::new(), "test", payload).unwrap()
}

/// The one message of a mail.
fn read(payload: &[u8]) -> Message {
    let parsed = parse(payload);
    assert_eq!((parsed.messages.len(), parsed.poison.len()), (1, 0));
    parsed.messages.into_iter().next().unwrap()
}

fn mail(fields: &str, body: &str) -> Vec<u8> {
    format!("From: ann@example.org\r\nMessage-ID: <m@example.org>\r\n{fields}\r\n{body}").into_bytes()
}

#[test]
fn written_mails() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/imap/fixtures");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    paths.sort();
    assert!(paths.len() > 10);
    for path in paths {
        let parsed = parse(&std::fs::read(&path).unwrap());
        let known = |time: Timestamp| {
            if Timestamp::now().duration_since(time).as_secs() < 3600 { Timestamp::UNIX_EPOCH } else { time }
        };
        let messages: Vec<Message> = parsed
            .messages
            .into_iter()
            .map(|message| Message {
                observed_at: Timestamp::UNIX_EPOCH,
                published_at: known(message.published_at),
                ..message
            })
            .collect();
        let poison: Vec<_> = parsed.poison.iter().map(|poison| (&poison.origin, &poison.reason)).collect();
        let name = path.file_stem().unwrap().to_str().unwrap();
        insta::assert_json_snapshot!(name, json!({"messages": messages, "poison": poison}));
    }
}

#[test]
fn a_file_of_mails() {
    let mbox = "From ann@example.org Mon Jan  1 10:00:00 2024\nFrom: ann@example.org\nMessage-ID: <1@example.org>\n\n>From me\n\n\
                From x\nnothing: here\n\nFrom bo@example.org Mon Jan  1 10:00:00 2024\nFrom: bo@example.org\nMessage-ID: <2@example.org>\n\ntwo\n";
    let parsed = parse(mbox.as_bytes());
    let texts: Vec<_> = parsed.messages.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, ["From me", "two"]);
    assert_eq!(parsed.poison[0].origin, "test:2");
    assert_eq!(parse(b"").poison.len(), 1);
    assert_eq!(parse(&[0; 1000]).poison.len(), 1);
}

#[test]
fn what_the_own_address_says_is_outbound() {
    let settings = "user = 'Ann@example.org'".parse().unwrap();
    let parsed = (channel("imap").unwrap().parse)(settings, "test", &mail("", "hi")).unwrap();
    assert_eq!(parsed.messages[0].direction, Direction::Outbound);
    assert_eq!(read(&mail("", "hi")).direction, Direction::Inbound);
}

#[test]
fn a_thread_holds_together() {
    let with = |id: &str, rest: &str| read(format!("From: a@example.org\nMessage-ID: <{id}>\n{rest}\n\nx").as_bytes());
    let root = with("1@x", "");
    let answer = with("2@x", "In-Reply-To: <1@x>\nReferences: <1@x>");
    let last = with("3@x", "References: <1@x>\n\t<2@x>");
    let stray = with("4@x", "In-Reply-To: Your message of Monday <3@x> \"hi\"");
    assert_eq!([&root, &answer, &last].map(|message| message.conversation.as_str()), ["1@x"; 3]);
    assert_eq!((root.in_reply_to, answer.in_reply_to, last.in_reply_to), (None, Some(root.id), Some(answer.id)));
    assert_eq!(stray.in_reply_to, Some(last.id));
    assert_eq!(with("5@x", "In-Reply-To: <5@x>").in_reply_to, None);
}

#[test]
fn a_mail_without_an_id_is_known_by_its_bytes() {
    let first = read(b"From: ann@example.org\nSubject: hi\n\none");
    assert_eq!(first.id, read(b"From: ann@example.org\nSubject: hi\n\none").id);
    assert_ne!(first.id, read(b"From: ann@example.org\nSubject: hi\n\ntwo").id);
    let long = format!("From: ann@example.org\nMessage-ID: <{}@x>\n\none", "a".repeat(5000));
    assert!(read(long.as_bytes()).native_id.len() < 100);
}

/// Each has a clear answer, in bounded time and memory.
#[test]
fn mails_that_nobody_should_send() {
    let recipients =
        (0..10_000).map(|number| format!("Recipient {number} <r{number}@example.org>")).collect::<Vec<_>>();
    let message = read(&mail(&format!("To: {}\r\n", recipients.join(",\r\n ")), "hi"));
    assert_eq!((message.mentioned.len(), message.text.as_str()), (1000, "hi"));

    let large = read(&mail("Subject: large\r\n", &"all work and no play\n".repeat(2_500_000)));
    assert_eq!((large.title.as_str(), large.text.chars().count()), ("large", 100_000));

    let mut deep = String::new();
    for depth in 0..1000 {
        deep += &format!("Content-Type: multipart/mixed; boundary=b{depth}\r\n\r\nabove {depth}\r\n--b{depth}\r\n");
    }
    assert_eq!(read(&mail(&deep, "Content-Type: text/plain\r\n\r\nfar below")).text, "");
    let matryoshka = "Content-Type: message/rfc822\r\n\r\n".repeat(200_000);
    assert_eq!(read(&mail(&matryoshka, "x")).attachments, ["message/rfc822"]);
    let in_base64 = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n".to_owned();
    read(&mail(&in_base64, &"Q29udGVudC1UeXBlOiBtZXNzYWdlL3JmYzgyMgoK\r\n".repeat(100_000)));
    let fans = "--b\r\nContent-Type: multipart/mixed; boundary=nowhere\r\n\r\n".repeat(100_000);
    read(&mail("Content-Type: multipart/mixed; boundary=b\r\n", &format!("\r\n{fans}")));
    read(&mail(&format!("Subject: {}\r\n", "=?utf-8?B?".repeat(50_000)), &"<div>".repeat(200_000)));
    read(&mail(&format!("To: {}\r\n", "(".repeat(200_000)), "x"));
    read(&mail("Content-Type: text/html\r\n", &"<blockquote>".repeat(200_000)));

    let nul = read(b"From: a\0nn@example.org\nSubject: a\0b\nMessage-ID: <x\0y@z>\n\none\0two");
    assert!(![&nul.text, &nul.title, &nul.native_id, &nul.author.handle].into_iter().any(|text| text.contains('\0')));
    assert_eq!(nul.text, "onetwo");
    let nothing = read(b"From: ann@example.org\nMessage-ID: \0\0 <x@z\n\nhello");
    assert!(nothing.native_id.starts_with("sha256:") && !nothing.conversation.is_empty(), "{}", nothing.native_id);
}

#[test]
fn absurd_dates_become_the_arrival() {
    let now = Timestamp::now();
    for date in [
        "",
        "Date: never\r\n",
        "Date: Fri, 31 Dec 9999 23:59:59 +0000\r\n",
        "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n",
        "Date: 99 Foo 2024 99:99:99\r\n",
    ] {
        let message = read(&mail(date, "x"));
        assert!(message.published_at >= now && message.published_at <= message.observed_at, "{date}");
    }
    let message = read(&mail("Date: Mon, 1 Jan 2024 10:00:00 -0500\r\n", "x"));
    assert_eq!(message.published_at, "2024-01-01T15:00:00Z".parse().unwrap());
}

#[test]
fn real_mails() {
    let found = std::env::var_os("HEARKEN_TEST_DATA")
        .map(|data| Path::new(&data).join("real/mail"))
        .filter(|path| path.is_dir());
    let Some(folder) = found else {
        assert!(std::env::var_os("CI").is_none(), "set HEARKEN_TEST_DATA");
        println!("not run: the real mails: not found, set HEARKEN_TEST_DATA");
        return;
    };
    let mut mails: Vec<Message> = Vec::new();
    let (mut quiet, mut count) = (Vec::new(), 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let parsed = parse(&std::fs::read(path).unwrap());
        assert!(parsed.poison.is_empty() && !parsed.messages.is_empty(), "{name}");
        quiet.extend(parsed.messages.iter().filter(|mail| mail.text.is_empty()).map(|_| name.clone()));
        mails.extend(parsed.messages);
        count += 1;
    }
    quiet.sort();
    let with_files = mails.iter().filter(|mail| !mail.attachments.is_empty()).count();
    let authors: HashSet<_> = mails.iter().map(|mail| &mail.author.handle).collect();
    println!("{} mails, {with_files} with attachments, {} authors; without text {quiet:?}", mails.len(), authors.len());
    assert!(count >= 80 && mails.len() >= count, "{count} files, {} mails", mails.len());
    assert!(with_files >= 30 && authors.len() >= 15);
    // Python's reader finds no text in 8 of them.
    assert!(quiet.len() <= 10, "{quiet:?}");
    let by_id: HashMap<MessageId, &Message> = mails.iter().map(|mail| (mail.id, mail)).collect();
    for mail in &mails {
        assert_eq!((mail.kind, mail.visibility, mail.channel.as_str()), (Kind::Email, Visibility::Private, "imap"));
        assert_eq!(mail.id, MessageId::of("imap", &mail.native_id));
        assert!(!mail.conversation.is_empty() && mail.in_reply_to != Some(mail.id));
        assert!(mail.published_at <= mail.observed_at);
        // A mail whose parent is here is in its conversation.
        if let Some(parent) = mail.in_reply_to.and_then(|parent| by_id.get(&parent)) {
            assert_eq!(mail.conversation, parent.conversation);
        }
        let copy: Message = serde_json::from_str(&serde_json::to_string(mail).unwrap()).unwrap();
        assert_eq!(copy, *mail);
    }
    assert!(mails.iter().any(|mail| mail.noise == Noise::Bulk));
}
