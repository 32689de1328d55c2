//! What the tests share.
#![allow(dead_code, clippy::unwrap_used, reason = "not every test uses everything, and all may panic")]

use std::path::PathBuf;

/// Directory of a small checkpoint.
pub(crate) fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// 200 texts of all lengths in many languages.
pub(crate) fn texts() -> Vec<String> {
    serde_json::from_str(&std::fs::read_to_string(fixture("texts.json")).unwrap()).unwrap()
}

/// What PyTorch made of them, as `tests/fixtures/make.py` wrote it.
pub(crate) fn reference_logits(file: &str) -> Vec<Vec<f32>> {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The checkpoint that `script/bootstrap --bert` installs. Without it, a test that needs it says so, and fails where
/// `CI` is set.
pub(crate) fn installed_checkpoint() -> Option<String> {
    let home = std::env::var_os("HEARKEN_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share/hearken")));
    let directory = home.map(|home| home.join("bert/e5-small-sentiment-1")).filter(|directory| directory.is_dir());
    if directory.is_none() {
        let reason = "not run: the checkpoint is not installed (script/bootstrap --bert)";
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        println!("{reason}");
    }
    directory.map(|directory| directory.to_string_lossy().into_owned())
}
