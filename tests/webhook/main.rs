//! The webhook source from its senders to the store: a daemon, senders that sign with a library, a shell that signs
//! as the guide says, and those who cannot sign.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::site::Site;

const PATIENCE: Duration = Duration::from_secs(120);
const STANDARD_SECRET: &str = support::webhook::SECRET;
const GITHUB_SECRET: &str = "It's a Secret to Everybody";
const BRANDS: &str =
    "[[brand]]\nname = \"Acme\"\nnames = [\"Acme\"]\n[[brand]]\nname = \"Octo\"\nnames = [\"totally right\"]\n";
const GUIDE: &str = include_str!("../../docs/sources/webhook.md");

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What is in the guide between these lines.
fn from_guide(language: &str, with: &str) -> String {
    let fence = format!("```{language}\n");
    let mut blocks = GUIDE.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.find(|block| block.contains(with)).expect("a block of the guide").to_owned()
}

/// The sources of the guide, `forum` and `code`.
fn sources() -> String {
    format!("{BRANDS}{}{}", from_guide("toml", "[source.forum]"), from_guide("toml", "[source.code]"))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A daemon that takes posts; killed when dropped.
struct Daemon {
    child: Child,
    url: String,
    log: PathBuf,
}

impl Daemon {
    fn start(site: &Site, dir: &Path, arguments: &[&str]) -> Self {
        let (address, log) = (format!("127.0.0.1:{}", support::free_port()), dir.join("daemon.log"));
        let mut command = site.hearken(arguments);
        command.env("HEARKEN_SERVE__LISTEN", &address).env("HEARKEN_LOG", "debug").stdout(Stdio::null());
        command.env("FORUM_SECRET", STANDARD_SECRET).env("GITHUB_SECRET", GITHUB_SECRET);
        let child = command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        let daemon = Self { child, url: format!("http://{address}"), log };
        wait_until("the source listens", || daemon.curl("/hooks/forum", &["--data", "{}"]).0 == 401);
        daemon
    }

    /// Status and body of what curl is answered.
    fn curl(&self, path: &str, arguments: &[&str]) -> (u16, Value) {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "60", "--write-out", "\n%{http_code} %{content_type}"]).args(arguments);
        self.answer(command.arg(format!("{}{path}", self.url)))
    }

    /// Posts as the guide says, with a body, an id and a time of one's own.
    fn post(&self, id: &str, time: &str, body: &str) -> (u16, Value) {
        let guide = from_guide("sh", "/hooks/forum");
        let (_, signing) = guide.split_once("time=$(date +%s)\n").unwrap();
        let options = "curl --silent --max-time 60 --write-out '\\n%{http_code} %{content_type}'";
        let script = format!("time=${{TIME:-$(date +%s)}}\n{signing}").replace("curl --fail-with-body", options);
        let mut command = Command::new("sh");
        command.args(["-c", &script]).env("id", id).env("TIME", time).env("body", body);
        self.answer(command.env("FORUM_SECRET", STANDARD_SECRET).env("HEARKEN", &self.url))
    }

    fn answer(&self, command: &mut Command) -> (u16, Value) {
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, last) = text.rsplit_once('\n').unwrap_or_default();
        let (status, kind) = last.split_once(' ').unwrap_or_default();
        let status = status.parse().unwrap_or(0);
        assert!(status < 400 || kind == "application/problem+json", "{status} is {kind}: {body}");
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    /// Posts a file as a sender in Python; `None` where its library is missing.
    fn send(&self, python: &Path, scheme: &str, source: &str, delivery: &str, file: &Path) -> String {
        let secret = if scheme == "standard" { STANDARD_SECRET } else { GITHUB_SECRET };
        let mut command = Command::new(python);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/webhook/sender.py"));
        let url = format!("{}/hooks/{source}", self.url);
        let output = command.args([scheme, &url, secret, delivery]).arg(file).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        text(&output).trim().to_owned()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Programs without which there is no sender.
fn programs() -> Option<PathBuf> {
    for program in ["curl", "openssl"] {
        let found = Command::new(program).arg("--version").output().ok();
        support::require(program, found, "run `script/bootstrap --test`")?;
    }
    support::webhook::python()
}

/// The site's own questions need the secrets, too.
fn sql(site: &Site, sql: &str) -> String {
    let mut command = site.hearken(&["sql", sql]);
    let output = command.env("FORUM_SECRET", STANDARD_SECRET).env("GITHUB_SECRET", GITHUB_SECRET).output().unwrap();
    assert!(output.status.success(), "{sql}: {}", text(&output));
    text(&output)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("connectors/src/webhook/fixtures").join(name)
}

#[test]
fn what_is_signed_is_heard_once_and_nothing_else_is() {
    let (Some(()), Some(python)) = (support::libchdb(), programs()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let site = Site::embedded(|_| sources());
    let daemon = Daemon::start(&site, dir.path(), &["run"]);
    let taken = r#"200 {"accepted":1,"rejected":[]}"#;

    // A library signs and sends; a delivery that is sent again is taken again, and counts once.
    let quote = dir.path().join("quote.json");
    std::fs::write(&quote, json!({"text": "Acme, quoted \u{1f600}", "author": "ada", "id": "q"}).to_string()).unwrap();
    for _ in 0..2 {
        assert_eq!(daemon.send(&python, "standard", "forum", "msg_quote", &quote), taken);
    }
    for (delivery, file) in [("d1", "created"), ("d2", "edited"), ("d2", "edited"), ("d1", "created")] {
        let file = fixture(&format!("github_issue_comment_{file}.json"));
        assert_eq!(daemon.send(&python, "github", "code", delivery, &file), taken);
    }
    let wrong = daemon.send(&python, "github", "forum", "d3", &quote);
    assert!(wrong.starts_with("401 "), "{wrong}");

    // The example of the guide, and bodies of other shapes in its way.
    let mut example = Command::new("sh");
    example.args(["-c", &from_guide("sh", "/hooks/forum")]).env("HEARKEN", &daemon.url);
    let output = example.env("FORUM_SECRET", STANDARD_SECRET).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let two = r#"[{"id": "a", "text": "Acme a"}, {"id": "b", "txt": "Acme b"}]"#;
    let rejected = json!([{"index": 1, "reason": "`text` (fields.text) is missing"}]);
    for _ in 0..2 {
        assert_eq!(daemon.post("msg_two", "", two), (200, json!({"accepted": 1, "rejected": rejected})));
    }

    // What is no post, or nobody's.
    let now = daemon.post("msg_text", "", "Acme as text");
    assert_eq!((now.0, &now.1["status"]), (422, &json!(422)));
    for (time, body) in [("1772323200", "{}"), ("99999999999", "{}"), ("soon", "{}")] {
        assert_eq!(daemon.post("msg_old", time, body).0, 401);
    }
    let signature = ["-H", "webhook-id: m", "-H", "webhook-signature: v1,AAAA", "-H", "webhook-timestamp: 1"];
    let forged = daemon.curl("/hooks/forum", &[&signature[..], &["--data", "{}"]].concat());
    assert_eq!(forged, daemon.curl("/hooks/forum", &["--data", "{}"]), "nobody is told what is wrong");
    assert_eq!(daemon.curl("/hooks/nobody", &["--data", "{}"]).0, 404);
    assert_eq!(daemon.curl("/hooks/forum", &[]).0, 405);
    for nowhere in ["/hooks/forum/", "/hooks/", "/hooks/%ff"] {
        assert_eq!(daemon.curl(nowhere, &["--data", "{}"]).0, 404, "{nowhere}");
    }
    let large = dir.path().join("large");
    std::fs::write(&large, vec![b' '; (1 << 20) + 1]).unwrap();
    let large = format!("@{}", large.display());
    assert_eq!(daemon.curl("/hooks/forum", &["--data-binary", &large]).0, 413);
    assert_eq!(daemon.curl("/hooks/forum", &["-H", "Transfer-Encoding: chunked", "--data-binary", &large]).0, 413);
    let mut slow = TcpStream::connect(daemon.url.strip_prefix("http://").unwrap()).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(slow, "POST /hooks/forum HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");

    wait_until("everything is stored", || sql(&site, "SELECT count() FROM mentions").trim() == "4");
    wait_until("so are dead letters", || sql(&site, "SELECT count() FROM dead_letters").trim() == "2");
    let mentions = "SELECT brand, channel, source, native_id, author_handle FROM mentions ORDER BY native_id";
    let github = "Octo\tgithub\tcode\tMDEyOklzc3VlQ29tbWVudDQ5MjcwMDQwMA==\tCodertocat\n";
    let forum = |id: &str, author: &str| format!("Acme\twebhook\tforum\t{id}\t{author}\n");
    assert_eq!(
        sql(&site, mentions),
        [forum("17", "ada"), github.to_owned(), forum("a", ""), forum("q", "ada")].concat()
    );
    let dead_letters = "SELECT origin, reason FROM dead_letters WHERE source = 'forum' ORDER BY origin";
    let not_json = "msg_text\tthe body is not JSON: expected value at column 1\n";
    assert_eq!(sql(&site, dead_letters), format!("{not_json}msg_two:1\t`text` (fields.text) is missing\n"));

    // A reload: one source goes, another comes.
    let other = from_guide("toml", "[source.forum]").replace("source.forum", "source.shop");
    site.configure(&format!("{BRANDS}{}{other}", from_guide("toml", "[source.forum]")));
    daemon.signal("-HUP");
    wait_until("the new source listens", || daemon.curl("/hooks/shop", &["--data", "{}"]).0 == 401);
    assert_eq!(daemon.curl("/hooks/code", &["--data", "{}"]).0, 404);
    assert_eq!(daemon.post("msg_late", "", r#"{"id": "late", "text": "Acme"}"#).0, 200);

    let log = std::fs::read_to_string(&daemon.log).unwrap();
    assert!(log.contains("\"level\":\"DEBUG\""), "the log is as chatty as it can be");
    for secret in ["quoted", STANDARD_SECRET.strip_prefix("whsec_").unwrap(), GITHUB_SECRET] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn a_process_that_only_listens_takes_posts_and_what_it_took_survives_its_end() {
    let (Some(()), Some(_)) = (support::libchdb(), programs()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let site = Site::embedded(|_| sources());
    let daemon = Daemon::start(&site, dir.path(), &["run", "--role", "listen"]);
    assert_eq!(daemon.curl("/", &[]).0, 404);
    assert_eq!(daemon.curl("/api/v1/status", &[]).0, 404);
    for id in 0..20 {
        let body = json!({"id": id.to_string(), "text": format!("Acme {id}")});
        assert_eq!(daemon.post(&format!("msg_{id}"), "", &body.to_string()).0, 200);
    }
    daemon.signal("-KILL");
    drop(daemon);
    let mut rest = site.hearken(&["run", "--until-idle"]);
    let output = rest.env("FORUM_SECRET", STANDARD_SECRET).env("GITHUB_SECRET", GITHUB_SECRET).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(sql(&site, "SELECT count(), uniqExact(text) FROM mentions"), "20\t20\n");
}

#[test]
fn a_payload_can_be_tried_without_a_daemon() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearken"));
    command.args(["parse", "webhook"]).arg(fixture("github_issue_comment_created.json"));
    let output = command.args(["--set", "fields.text = 'comment.body'"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let message: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(message["text"], "You are totally right! I'll get this fixed right away.");
}
