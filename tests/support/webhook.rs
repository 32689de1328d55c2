//! A sender of webhooks that signs with a library and does not give up.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{hearken_home, require};

/// What deliveries are signed with.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A Python that has `standardwebhooks`; `None` where there is none.
pub fn python() -> Option<PathBuf> {
    let python = hearken_home().join("python/bin/python");
    let has_library = Command::new(&python).args(["-c", "import standardwebhooks"]).output();
    let found = has_library.ok().filter(|output| output.status.success()).map(|_| python);
    require("Python's standardwebhooks", found, "run `script/bootstrap --test`")
}

/// A source that takes what [`post`] sends; `secret` is a file that holds [`SECRET`].
pub fn source(name: &str, secret: &Path) -> String {
    format!(
        "[source.{name}]\nchannel = \"webhook\"\nsecret = \"file:{}\"\n[source.{name}.set]\nchannel = \"{name}\"\n\
         [source.{name}.fields]\nid = \"id\"\ntext = \"text\"\nauthor.handle = \"author\"\nconversation = \"thread\"\n\
         published_at = \"at\"\n",
        secret.display()
    )
}

/// Posts so many deliveries of so many records to the source `shop` at this port of 127.0.0.1, one each `pause`, each until it is
/// taken and every fifth twice. Returns how many records were taken, each counted once.
pub async fn post(python: &Path, port: u16, deliveries: usize, records: usize, pause: Duration) -> usize {
    let mut command = tokio::process::Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/webhook.py"));
    command.args([
        format!("http://127.0.0.1:{port}/hooks/shop"),
        SECRET.to_owned(),
        deliveries.to_string(),
        records.to_string(),
    ]);
    command.arg(pause.as_secs_f64().to_string()).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "the sender: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
