//! The structure that ARCHITECTURE.md promises: dependencies point one way, `unsafe` is in one place,
//! and every place that the code map names exists.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            files.push((path, text));
        }
    }
    files
}

#[test]
fn log_store_score_and_query_do_not_know_each_other() {
    let parts = ["eventlog", "store", "score", "query"];
    for part in parts {
        for (path, text) in sources(&root().join("src").join(part)) {
            for other in parts.iter().filter(|other| **other != part) {
                let import = format!("crate::{other}");
                assert!(!text.contains(&import), "{} imports {import}", path.display());
            }
        }
    }
}

#[test]
fn what_is_shown_depends_on_views_and_not_the_other_way() {
    let edges: [(&str, &[&str]); 5] = [
        ("analyst", &["api", "web", "report", "app", "config", "cli", "store", "views"]),
        ("views", &["api", "web", "report", "app", "config", "cli"]),
        ("report", &["api", "web", "app", "config", "cli"]),
        ("api", &["web", "report", "app", "config", "cli", "score", "query", "ingest"]),
        ("web", &["app", "config", "cli", "score", "query", "ingest"]),
    ];
    for (part, forbidden) in edges {
        for (path, text) in sources(&root().join("src").join(part)) {
            for other in forbidden {
                let import = format!("crate::{other}");
                let imports = text.contains(&format!("{import}::")) || text.contains(&format!("{import};"));
                assert!(!imports, "{} imports {import}", path.display());
            }
        }
    }
}

#[test]
fn the_api_asks_the_store_through_views_save_for_tokens() {
    for (path, text) in sources(&root().join("src/api")) {
        let is_tokens = path.ends_with("token.rs");
        assert!(is_tokens || !text.contains("SELECT "), "{} has SQL of its own", path.display());
        assert!(is_tokens || !text.contains(".query(&"), "{} asks the store itself", path.display());
    }
}

#[test]
fn only_the_composition_root_names_concrete_backends() {
    for (path, text) in sources(&root().join("src")) {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        if name == "src/app.rs" || name.starts_with("src/eventlog") || name.starts_with("src/store") {
            continue;
        }
        for backend in ["EmbeddedLog", "KafkaLog", "ClickHouseChild"] {
            assert!(!text.contains(&format!("{backend}::")), "{name} names {backend}");
        }
    }
}

#[test]
fn connectors_know_no_log_store_or_server() {
    let manifest = std::fs::read_to_string(root().join("connectors/Cargo.toml")).unwrap();
    for forbidden in ["rdkafka", "clickhouse", "fjall", "axum", "hyper ="] {
        assert!(!manifest.contains(forbidden), "connectors depend on {forbidden}");
    }
}

#[test]
fn unsafe_is_in_one_module() {
    let all = sources(&root().join("src")).into_iter().chain(sources(&root().join("connectors/src")));
    for (path, text) in all.filter(|(path, _)| !path.ends_with("src/store/gateway/ffi.rs")) {
        assert!(
            !text.contains("unsafe {") && !text.contains("allow(unsafe_code)"),
            "{} has unsafe code",
            path.display()
        );
    }
}

#[test]
fn the_code_map_names_what_exists() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rows = map.lines().filter(|line| line.starts_with("| `"));
    let mut named = 0;
    for row in rows {
        let places = row.split('|').nth(1).unwrap();
        let mut base = PathBuf::new();
        for place in places.split('`').skip(1).step_by(2).filter(|place| place.contains('/') || place.contains('.')) {
            // Later places of a row may be given relative to the folder of the first.
            let path = if root().join(place).exists() { PathBuf::from(place) } else { base.join(place) };
            assert!(root().join(&path).exists(), "{place} of the code map does not exist");
            base = path.parent().unwrap().to_path_buf();
            named += 1;
        }
    }
    assert!(named > 20, "the code map was not read");
}
