//! `hearken parse CHANNEL FILE`: what a connector would hear in a native payload.

use std::io::{Read, Write};
use std::path::PathBuf;

use clap::Args;
use hearken_connectors::registry;

use super::exit::Failure;
use super::output;

/// Most bytes of a payload that are read.
const LARGEST_PAYLOAD: u64 = 256 << 20;

/// Arguments of `hearken parse`.
#[derive(Args)]
pub(super) struct Parse {
    /// Channel whose native format the payload is in: feed, file, imap, mastodon, matrix, telegram, webhook.
    channel: String,
    /// File with the payload; `-` is standard input.
    file: PathBuf,
    /// Settings of the source, as in the configuration, for example 'fields.text = "body"'.
    #[arg(long = "set", value_name = "TOML")]
    settings: Vec<String>,
}

impl Parse {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let channel = registry::channel(&self.channel).map_err(Failure::configuration)?;
        let settings = self.settings.join("\n");
        let settings = settings.parse::<toml::Table>().map_err(|error| Failure::configuration(error.message()))?;
        let payload = self.payload()?;
        let parsed = (channel.parse)(settings, "parse", &payload).map_err(Failure::configuration)?;
        for message in &parsed.messages {
            output::json_line(message)?;
        }
        for poison in &parsed.poison {
            let _ = writeln!(std::io::stderr(), "{}: {}", poison.origin, poison.reason);
        }
        match parsed.poison.len() {
            0 => Ok(()),
            bad => Err(Failure::data(format!("{bad} of the payload's records could not be understood"))),
        }
    }

    fn payload(&self) -> Result<Vec<u8>, Failure> {
        let path = self.file.display();
        let cannot_read = |error: std::io::Error| Failure::data(format!("cannot read {path}: {error}"));
        let mut payload = Vec::new();
        if self.file.as_os_str() == "-" {
            std::io::stdin().take(LARGEST_PAYLOAD).read_to_end(&mut payload).map_err(cannot_read)?;
        } else {
            let file = std::fs::File::open(&self.file).map_err(cannot_read)?;
            file.take(LARGEST_PAYLOAD).read_to_end(&mut payload).map_err(cannot_read)?;
        }
        Ok(payload)
    }
}
