//! The texts that a query is tried on, read one by one.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use hearken::analyst;
use hearken_connectors::Message;
use jiff::Timestamp;

use super::super::exit::Failure;

/// The longest line, in bytes.
const LONGEST_LINE: usize = 1 << 20;

/// Gives every line of the file (or of standard input, where there is none, or `-`) with its number from 1, as a
/// message. Empty lines are left out.
pub(super) fn each_message(
    file: Option<&Path>,
    give: impl FnMut(u64, &Message) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match file.filter(|file| *file != Path::new("-")) {
        None => read(std::io::stdin().lock(), "standard input", give),
        Some(path) => {
            let name = path.display().to_string();
            let file = File::open(path).map_err(|error| Failure::data(format!("cannot read {name}: {error}")))?;
            read(BufReader::new(file), &name, give)
        }
    }
}

fn read(
    mut input: impl BufRead,
    name: &str,
    mut give: impl FnMut(u64, &Message) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let now = Timestamp::now();
    let mut line = Vec::new();
    let (mut number, mut given) = (0, 0_u64);
    loop {
        line.clear();
        let read = input.by_ref().take(LONGEST_LINE as u64 + 2).read_until(b'\n', &mut line);
        if read.map_err(|error| Failure::data(format!("cannot read {name}: {error}")))? == 0 {
            break;
        }
        number += 1;
        let wrong = |what: &str| Failure::data(format!("{name}, line {number}: {what}"));
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.len() > LONGEST_LINE {
            return Err(wrong(&format!("it is longer than {LONGEST_LINE} bytes")));
        }
        // A text that is not UTF-8 is still a text: what cannot be read becomes U+FFFD.
        let text = String::from_utf8_lossy(text);
        if text.trim().is_empty() {
            continue;
        }
        let message = analyst::message(&text, now).map_err(|error| wrong(&error))?;
        give(number, &message)?;
        given += 1;
    }
    if given == 0 { Err(Failure::data(format!("there are no texts in {name}"))) } else { Ok(()) }
}
