//! The reader over files that grow, rotate and break, with restarts anywhere.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::position::{Look, Place, Position};
use super::reader::Reader;
use super::settings::Settings;
use super::stream::{Resumed, Stream};
use super::{check, parse};
use crate::contract::{Batch, Cursor, GapReason};

/// A source over `pattern`, from a cursor on.
fn reader(pattern: &Path, rest: &str, cursor: Option<&Cursor>) -> Reader {
    let settings = format!("path = {:?}\n{rest}", pattern.to_str().unwrap()).parse().unwrap();
    Reader::new(Arc::new(Settings::new(settings, "test").unwrap()), Position::read(cursor).unwrap())
}

const FOLLOWED: &str = "follow = true\nfields.text = 'text'\nfields.id = 'id'";

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// Everything that there is right now.
fn look(reader: &mut Reader) -> Batch {
    let mut all = Batch::default();
    loop {
        let looked = reader.look().unwrap();
        all.messages.extend(looked.messages);
        all.poison.extend(looked.poison);
        all.gaps.extend(looked.gaps);
        all.cursor = looked.cursor.or(all.cursor);
        if !looked.more {
            return all;
        }
    }
}

fn ids(batch: &Batch) -> Vec<&str> {
    batch.messages.iter().map(|message| message.native_id.as_str()).collect()
}

fn line(id: usize) -> String {
    format!("{{\"id\": {id}, \"text\": \"line {id} ✓\"}}\n")
}

/// What may happen to a file between two looks.
#[derive(Debug, Clone)]
enum Event {
    Append(usize),
    Look,
    /// A restart from one of the cursors so far, counted from the last one back.
    Restart(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![4 => (1..200_usize).prop_map(Event::Append), 3 => Just(Event::Look), 1 => (0..4_usize).prop_map(Event::Restart)];
    vec(event, 0..60)
}

/// The text of some records, and the ids in order.
fn text(format: &str, sizes: &[usize]) -> (Vec<u8>, Vec<String>) {
    let mut text = if format == "csv" { "\u{feff}id,text\r\n".to_owned() } else { String::new() };
    for (id, size) in sizes.iter().enumerate() {
        let filler = "ş".repeat(*size);
        match (format, id % 3) {
            ("csv", 0) => text += &format!("{id},\"a \"\"quoted\"\" {filler}\r\nsecond, line\"\r\n"),
            ("csv", _) => text += &format!("{id},plain {filler}\n"),
            (_, 0) => text += &format!("{{\"text\":\"one {filler}\",\"id\":\"{id}\"}}\r\n\n"),
            _ => text += &format!("{{\"id\":{id},\"text\":\"two \\n {filler}\"}}\n"),
        }
    }
    (text.into_bytes(), (0..sizes.len()).map(|id| id.to_string()).collect())
}

proptest! {
    #[test]
    fn each_record_once_and_in_order(
        csv in any::<bool>(),
        sizes in vec(0..400_usize, 1..60),
        events in events(),
    ) {
        let format = if csv { "csv" } else { "jsonl" };
        let (text, expected) = text(format, &sizes);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(format!("export.{format}"));
        let mut reader_now = reader(&path, FOLLOWED, None);
        let mut written = 0;
        let mut heard: Vec<String> = Vec::new();
        let mut cursors: Vec<(Option<Cursor>, usize)> = vec![(None, 0)];

        for event in events {
            match event {
                Event::Append(length) => {
                    let end = text.len().min(written + length);
                    append(&path, &text[written..end]);
                    written = end;
                }
                Event::Look => {
                    let batch = reader_now.look().unwrap();
                    prop_assert!(batch.poison.is_empty() && batch.gaps.is_empty(), "{batch:?}");
                    heard.extend(ids(&batch).into_iter().map(str::to_owned));
                    if batch.cursor.is_some() {
                        cursors.push((batch.cursor, heard.len()));
                    }
                }
                Event::Restart(back) => {
                    cursors.truncate(cursors.len().saturating_sub(back).max(1));
                    let (cursor, count) = cursors.last().unwrap();
                    heard.truncate(*count);
                    reader_now = reader(&path, FOLLOWED, cursor.as_ref());
                }
            }
        }
        append(&path, &text[written..]);
        // What was being read when the file grew is finished first.
        for _ in 0..2 {
            heard.extend(ids(&look(&mut reader_now)).into_iter().map(str::to_owned));
        }
        prop_assert_eq!(heard, expected);
    }

    #[test]
    fn a_restart_anywhere_in_a_compressed_file_loses_nothing(
        csv in any::<bool>(),
        zstd in any::<bool>(),
        sizes in vec(0..400_usize, 1..60),
        restarts in vec(any::<bool>(), 0..12),
    ) {
        let format = if csv { "csv" } else { "jsonl" };
        let (text, expected) = text(format, &sizes);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(format!("export.{format}.gz"));
        fs::write(&path, if zstd { zstd_of(&text) } else { gzip_of(&text) }).unwrap();
        let settings = "fields.text = 'text'\nfields.id = 'id'";
        let mut reader_now = reader(&path, settings, None);
        let mut heard: Vec<String> = Vec::new();
        let mut restarts = restarts.into_iter();
        loop {
            let looked = reader_now.look().unwrap();
            prop_assert!(looked.poison.is_empty());
            heard.extend(ids(&looked).into_iter().map(str::to_owned));
            if looked.end {
                break;
            }
            if restarts.next() == Some(true) {
                reader_now = reader(&path, settings, looked.cursor.as_ref());
            }
        }
        prop_assert_eq!(heard, expected);
    }

    #[test]
    fn a_stream_resumes_at_any_offset(text in "\\PC{0,700}", at in 0..2000_usize, other in any::<u8>()) {
        let directory = tempfile::tempdir().unwrap();
        for packed in [text.clone().into_bytes(), gzip_of(text.as_bytes()), zstd_of(text.as_bytes())] {
            let path = directory.path().join("text");
            fs::write(&path, packed).unwrap();
            let file = Arc::new(fs::File::open(&path).unwrap());
            let mut stream = Stream::open(Arc::clone(&file), None).unwrap();
            stream.fill().unwrap();
            stream.consume(at);
            let (offset, print) = (stream.offset(), stream.print());
            let Resumed::Same(mut resumed) = Stream::resume(&file, None, offset, &print).unwrap() else {
                panic!("not recognised")
            };
            resumed.fill().unwrap();
            prop_assert_eq!(resumed.unread(), stream.unread());
            prop_assert_eq!(resumed.print(), print.clone());
            if offset > 0 {
                prop_assert!(matches!(Stream::resume(&file, None, offset + 10_000, &print).unwrap(), Resumed::Changed));
                let mut bytes = text.clone().into_bytes();
                bytes[0] = if bytes[0] == other { !other } else { other };
                fs::write(&path, bytes).unwrap();
                let file = Arc::new(fs::File::open(&path).unwrap());
                let resumed = Stream::resume(&file, None, offset, &print);
                prop_assert!(!matches!(resumed, Ok(Resumed::Same(_))));
            }
        }
    }

    #[test]
    fn garbage_never_panics(
        bytes in prop_oneof![
            vec(any::<u8>(), 0..2000),
            "[{}\\[\\]\",:a-z0-9\\n\\\\]{0,400}".prop_map(String::into_bytes),
            "[\",;a-c\\n\\r\u{feff}]{0,400}".prop_map(String::into_bytes),
        ],
        cut in 0..100_usize,
        damage in any::<u8>(),
        csv in any::<bool>(),
    ) {
        let settings = if csv { "format = 'csv'" } else { "fields.text = 'a'\nfields.hashtags = 'b.c'\nformat = 'jsonl'" };
        let mut gzip = gzip_of(&bytes);
        gzip.truncate(gzip.len().saturating_sub(cut));
        let mut zstd = zstd_of(&bytes);
        let middle = zstd.len() / 2;
        zstd[middle] ^= damage;
        for payload in [bytes, gzip, zstd] {
            // An error is an answer; a panic is not.
            if let Ok(parsed) = parse(settings.parse().unwrap(), "test", &payload) {
                prop_assert!(parsed.poison.iter().all(|poison| poison.payload.len() <= 64 * 1024));
            }
        }
    }
}

fn gzip_of(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

#[test]
fn the_golden_cursor_is_read_and_written() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("fixtures/cursor_v1.json")).unwrap();
    let position = Position::read(Some(&Cursor(golden.clone()))).unwrap();
    assert_eq!(position.files[0].place, Place { offset: 2_595_619, line: 7313, print: "0f1e2d3c4b5a6978".to_owned() });
    assert_eq!(position.files[0].drained, Some(Look { size: 2_595_619, modified: 1_424_805_300_000 }));
    assert_eq!(Cursor::of(&position).unwrap().0, golden);
    let newer = Cursor(serde_json::json!({"version": 2, "files": []}));
    assert!(Position::read(Some(&newer)).unwrap_err().to_string().contains("version 2"));
}

#[test]
fn a_half_written_line_waits_for_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl");
    let mut reader = reader(&path, FOLLOWED, None);
    assert_eq!(look(&mut reader), Batch::default());
    append(&path, b"{\"id\": 1, \"text\": \"on");
    assert!(look(&mut reader).messages.is_empty());
    append(&path, b"e\"}");
    assert!(look(&mut reader).messages.is_empty());
    append(&path, b"\n");
    assert_eq!(ids(&look(&mut reader)), ["1"]);
    assert_eq!(look(&mut reader), Batch::default());
}

#[test]
fn a_rotation_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl");
    let mut follower = reader(&path, FOLLOWED, None);
    append(&path, line(1).as_bytes());
    assert_eq!(ids(&look(&mut follower)), ["1"]);

    // Written just before the rotation, and to the old file after it.
    let rotated = directory.path().join("a.jsonl.1");
    append(&path, line(2).as_bytes());
    fs::rename(&path, &rotated).unwrap();
    append(&path, line(4).as_bytes());
    append(&rotated, line(3).as_bytes());
    assert_eq!(ids(&look(&mut follower)), ["2", "3", "4"]);

    // Rotated away and removed: the open file still has it.
    append(&path, line(5).as_bytes());
    fs::remove_file(&path).unwrap();
    append(&path, line(6).as_bytes());
    let batch = look(&mut follower);
    assert_eq!(ids(&batch), ["5", "6"]);
    assert!(batch.gaps.is_empty());
}

#[test]
fn a_rotation_while_nobody_listens_is_followed_by_inode() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl");
    append(&path, (line(1) + &line(2)).as_bytes());
    let cursor = look(&mut reader(&path, FOLLOWED, None)).cursor.unwrap();

    append(&path, line(3).as_bytes());
    fs::rename(&path, directory.path().join("a.jsonl.1")).unwrap();
    append(&path, line(4).as_bytes());
    let batch = look(&mut reader(&path, FOLLOWED, Some(&cursor)));
    assert_eq!((ids(&batch), batch.gaps.len()), (vec!["3", "4"], 0));

    // Gone for good: what may have been missed is admitted.
    fs::rename(directory.path().join("a.jsonl.1"), directory.path().join("elsewhere")).unwrap();
    fs::remove_file(directory.path().join("elsewhere")).unwrap();
    append(&path, line(5).as_bytes());
    let batch = look(&mut reader(&path, FOLLOWED, Some(&cursor)));
    assert_eq!(ids(&batch), ["4", "5"]);
    assert_eq!(batch.gaps.iter().map(|gap| gap.reason).collect::<Vec<_>>(), [GapReason::NotListening]);
}

#[test]
fn a_truncated_file_is_read_from_its_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl");
    append(&path, (line(1) + &line(2)).as_bytes());
    let mut follower = reader(&path, FOLLOWED, None);
    look(&mut follower);
    fs::write(&path, line(3)).unwrap();
    assert_eq!(ids(&look(&mut follower)), ["3"]);
    // Truncated and grown past the old position between two looks.
    fs::write(&path, line(4) + &line(5) + &line(6)).unwrap();
    assert_eq!(ids(&look(&mut follower)), ["4", "5", "6"]);
}

#[test]
fn a_copy_in_place_is_the_same_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl");
    append(&path, line(1).as_bytes());
    let mut follower = reader(&path, FOLLOWED, None);
    look(&mut follower);
    let copy = directory.path().join("copy");
    fs::write(&copy, line(1) + &line(2)).unwrap();
    fs::rename(&copy, &path).unwrap();
    assert_eq!(ids(&look(&mut follower)), ["2"]);
}

#[test]
fn new_files_of_a_pattern_are_read_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let pattern = directory.path().join("*.jsonl");
    append(&directory.path().join("b.jsonl"), line(2).as_bytes());
    append(&directory.path().join("a.jsonl"), line(1).as_bytes());
    append(&directory.path().join("c.txt"), b"not this one\n");
    let mut follower = reader(&pattern, FOLLOWED, None);
    assert_eq!(ids(&look(&mut follower)), ["1", "2"]);
    append(&directory.path().join("c.jsonl"), line(3).as_bytes());
    append(&directory.path().join("a.jsonl"), line(4).as_bytes());
    assert_eq!(ids(&look(&mut follower)), ["4", "3"]);
}

#[test]
fn once_read_files_are_read_on_when_they_grew_and_again_when_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl");
    let once = "fields.text = 'text'\nfields.id = 'id'";
    fs::write(&path, line(1) + line(2).trim_end()).unwrap();
    let first = look(&mut reader(&path, once, None));
    assert_eq!(ids(&first), ["1", "2"]);
    let again = look(&mut reader(&path, once, first.cursor.as_ref()));
    assert_eq!((again.messages.len(), again.cursor), (0, None));

    append(&path, ("\n".to_owned() + &line(3)).as_bytes());
    let grown = look(&mut reader(&path, once, first.cursor.as_ref()));
    assert_eq!(ids(&grown), ["3"]);

    fs::write(&path, line(7) + &line(8)).unwrap();
    let replaced = look(&mut reader(&path, once, grown.cursor.as_ref()));
    assert_eq!(ids(&replaced), ["7", "8"]);

    // Drained and tidied away: nothing to do. Half read and gone: an error.
    fs::remove_file(&path).unwrap();
    assert!(reader(&path, once, replaced.cursor.as_ref()).look().unwrap().end);
    fs::write(&path, (0..50).map(line).collect::<String>()).unwrap();
    let part = reader(&path, once, None).look().unwrap();
    fs::remove_file(&path).unwrap();
    let error = reader(&path, once, part.cursor.as_ref()).look().err().unwrap();
    assert!(error.message.starts_with("no file matches"), "{error}");

    let pattern = directory.path().join("*.jsonl");
    append(&directory.path().join("b.jsonl"), line(9).as_bytes());
    let error = reader(&pattern, once, part.cursor.as_ref()).look().err().unwrap();
    assert!(error.message.contains("is gone after 7 of its lines were read"), "{error}");
    fs::write(directory.path().join("new"), line(10)).unwrap();
    fs::rename(directory.path().join("new"), &path).unwrap();
    assert_eq!(ids(&look(&mut reader(&pattern, once, part.cursor.as_ref()))), ["10", "9"]);
}

#[test]
fn a_giant_line_is_poison_and_the_rest_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl");
    let giant = format!("{{\"id\": 2, \"text\": \"{}\"}}\n", "x".repeat(5 << 20));
    fs::write(&path, line(1) + &giant + &line(3)).unwrap();
    let batch = look(&mut reader(&path, "fields.text = 'text'\nfields.id = 'id'", None));
    assert_eq!(ids(&batch), ["1", "3"]);
    assert!(batch.poison[0].origin.ends_with("a.jsonl:2"));
    assert_eq!(batch.poison[0].payload.len(), 64 * 1024);

    // Followed, it is poison only once its end is there.
    let path = directory.path().join("b.jsonl");
    let mut follower = reader(&path, FOLLOWED, None);
    append(&path, (line(1) + &giant[..3 << 20]).as_bytes());
    let batch = look(&mut follower);
    assert_eq!((ids(&batch), batch.poison.len()), (vec!["1"], 0));
    let mut restarted = reader(&path, FOLLOWED, batch.cursor.as_ref());
    append(&path, (giant[3 << 20..].to_owned() + &line(3)).as_bytes());
    let batch = look(&mut restarted);
    assert_eq!((ids(&batch), batch.poison.len()), (vec!["3"], 1));
}

#[test]
fn a_cut_gzip_file_keeps_what_was_readable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl.gz");
    let text: String = (0..20_000).map(line).collect();
    let packed = gzip_of(text.as_bytes());
    fs::write(&path, &packed[..packed.len() / 2]).unwrap();
    let once = "fields.text = 'text'\nfields.id = 'id'";
    let batch = look(&mut reader(&path, once, None));
    assert!(batch.messages.len() > 5_000);
    assert_eq!(batch.poison.len(), 1);
    assert!(batch.poison[0].reason.contains("cut or damaged"));
    // Not said again as long as the file stays as it is; read on when it is complete.
    assert!(look(&mut reader(&path, once, batch.cursor.as_ref())).poison.is_empty());
    fs::write(&path, &packed).unwrap();
    let rest = look(&mut reader(&path, once, batch.cursor.as_ref()));
    assert_eq!(batch.messages.len() + rest.messages.len(), 20_000);
    assert_eq!(rest.messages.last().unwrap().native_id, "19999");
}

#[test]
fn check_tries_the_settings_on_the_first_record() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl");
    let settings = |rest: &str| {
        let settings = format!("path = {:?}\n{rest}", path.to_str().unwrap()).parse().unwrap();
        Arc::new(Settings::new(settings, "test").unwrap())
    };
    let error = |rest: &str| check(&settings(rest)).unwrap_err().message;
    assert!(error("fields.text = 'text'").starts_with("no file matches"));
    assert!(check(&settings(FOLLOWED)).unwrap().starts_with("waiting for"));
    fs::write(&path, "\n").unwrap();
    assert_eq!(check(&settings(FOLLOWED)).unwrap(), "1 file, 1 bytes; still empty");
    fs::write(&path, line(1)).unwrap();
    assert_eq!(check(&settings(FOLLOWED)).unwrap(), "1 file, 32 bytes; the first record reads well");
    assert!(error("fields.text = 'tweet'").ends_with("a.jsonl:1: the first record `tweet` (fields.text) is missing"));
}
