//! The `feed` connector against servers: the contract, the faults of single feeds, and a real nginx.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hearken_connectors::http::{Client, Settings};
use hearken_connectors::registry::{self, Context};
use hearken_connectors::testing::{Answer, Scenario, Server, conform};
use hearken_connectors::webhook::Hooks;
use hearken_connectors::{Batch, Connector, Cursor, Fault, GapReason, MessageId};
use url::Url;

fn http() -> Client {
    client(Duration::from_secs(30))
}

fn client(patience: Duration) -> Client {
    Client::new(Settings {
        contact: Some("mailto:ops@example.org".to_owned()),
        connect_timeout: patience,
        read_timeout: patience,
        timeout: patience * 2,
        max_body: 1 << 20,
    })
    .unwrap()
}

fn connector(http: &Client, urls: &[Url], cursor: Option<Cursor>) -> Box<dyn Connector> {
    let urls: Vec<&str> = urls.iter().map(Url::as_str).collect();
    let settings = toml::Table::from_iter([("urls".to_owned(), urls.into()), ("poll".to_owned(), "1s".into())]);
    (registry::channel("feed").unwrap().build)(
        settings,
        Context { source: "news", http, hooks: &Hooks::default(), cursor },
    )
    .unwrap()
}

fn item(number: usize, text: &str) -> String {
    format!(
        "<item><guid>https://a.example/{number}</guid><title>{text}</title>\
         <pubDate>Fri, 21 Nov 2025 10:{:02}:{:02} GMT</pubDate></item>",
        number / 60 % 60,
        number % 60
    )
}

fn rss(items: &[String]) -> String {
    format!("<rss version=\"2.0\"><channel><title>Test</title>{}</channel></rss>", items.concat())
}

struct FeedScenario {
    server: Server,
    http: Client,
    items: Vec<String>,
    published: usize,
}

impl FeedScenario {
    async fn fresh() -> Self {
        let scenario = Self {
            server: Server::start().await,
            http: client(Duration::from_secs(2)),
            items: Vec::new(),
            published: 0,
        };
        scenario.show();
        scenario
    }

    fn show(&self) {
        let document = rss(&self.items);
        let etag = format!("\"{}\"", document.len());
        self.server.answer("/feed", Answer::ok(document).header("etag", &etag));
    }
}

impl Scenario for FeedScenario {
    fn server(&self) -> Option<&Server> {
        Some(&self.server)
    }

    fn connector(&self, cursor: Option<Cursor>) -> Box<dyn Connector> {
        connector(&self.http, &[self.server.url("/feed")], cursor)
    }

    fn publish(&mut self, count: usize) -> Vec<MessageId> {
        let new = self.published..self.published + count;
        self.published = new.end;
        for number in new.clone() {
            self.items.insert(0, item(number, "news"));
        }
        self.show();
        new.map(|number| MessageId::of("feed", &format!("https://a.example/{number}"))).collect()
    }

    fn publish_garbage(&mut self) -> bool {
        self.items.insert(0, "<item><title>broken</description></item>".to_owned());
        self.show();
        true
    }

    fn edit(&mut self) -> Option<MessageId> {
        self.items[0] = item(self.published - 1, "corrected");
        self.show();
        Some(MessageId::of("feed", &format!("https://a.example/{}", self.published - 1)))
    }
}

#[tokio::test]
async fn the_contract_is_kept() {
    conform(FeedScenario::fresh).await;
}

fn texts(batch: &Batch) -> Vec<&str> {
    batch.messages.iter().map(|message| message.title.as_str()).collect()
}

#[tokio::test]
async fn a_feed_that_fails_does_not_stop_the_others() {
    let (server, http) = (Server::start().await, http());
    server.answer("/good", Answer::ok(rss(&[item(1, "good")])));
    server.answer("/bad", Answer::ok(rss(&[item(2, "before")])));
    let urls = [server.url("/good"), server.url("/bad")];
    let mut feeds = connector(&http, &urls, None);
    assert_eq!(texts(&feeds.next_batch().await.unwrap()), ["good", "before"]);

    server.answer("/bad", Answer::status(500));
    let first = feeds.next_batch().await.unwrap();
    let second = connector(&http, &urls, first.cursor.clone()).next_batch().await.unwrap();
    let (first, second) = (&first.gaps[0], &second.gaps[0]);
    assert_eq!((first.reason, second.reason), (GapReason::Outage, GapReason::Outage));
    assert_eq!(first.from, second.from, "one outage that grows, over restarts too");
    assert!(second.until > first.until && first.until > first.from);
    assert!(first.detail.contains("/bad: answered 500"), "{}", first.detail);

    server.answer("/bad", Answer::ok(rss(&[item(2, "before"), item(3, "after")])));
    let batch = feeds.next_batch().await.unwrap();
    assert_eq!((texts(&batch), batch.gaps.len()), (vec!["after"], 0));
}

#[tokio::test]
async fn a_limited_feed_rests_as_long_as_it_was_told() {
    let (server, http) = (Server::start().await, http());
    server.answer("/good", Answer::ok(rss(&[item(1, "good")])));
    let other = Server::start().await;
    other.fail(Answer::status(429).header("retry-after", "3600"));
    // Another host name, because limits hold for a host.
    let limited = Url::parse(&other.url("/feed").as_str().replace("127.0.0.1", "localhost")).unwrap();
    let mut feeds = connector(&http, &[server.url("/good"), limited], None);
    let batch = feeds.next_batch().await.unwrap();
    assert_eq!(texts(&batch), ["good"]);
    let asked = other.requests().len();
    feeds.next_batch().await.unwrap();
    feeds.next_batch().await.unwrap();
    assert_eq!(other.requests().len(), asked);
    let cursor = batch.cursor.unwrap();
    assert!(cursor.0.to_string().contains("not_before"), "the rest outlives a restart: {cursor:?}");
}

#[tokio::test]
async fn what_has_moved_for_good_is_asked_at_its_new_address() {
    let (server, http) = (Server::start().await, http());
    server.answer("/old", Answer::redirect(301, "/newer"));
    server.answer("/newer", Answer::redirect(308, "/new?token=hidden"));
    server.answer("/new", Answer::ok(rss(&[item(1, "moved")])));
    let urls = [server.url("/old")];
    let first = connector(&http, &urls, None).next_batch().await.unwrap();
    let mut feeds = connector(&http, &urls, first.cursor);
    feeds.next_batch().await.unwrap();
    let paths: Vec<_> = server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/old", "/newer", "/new?token=hidden", "/new?token=hidden"]);

    // The new address is no good any more: the old one is asked again.
    server.answer("/new", Answer::status(404));
    let error = feeds.next_batch().await.unwrap_err();
    assert!(error.message.contains("/new") && !error.message.contains("hidden"), "{error}");
    server.answer("/old", Answer::ok(rss(&[item(1, "moved"), item(2, "back")])));
    assert_eq!(texts(&feeds.next_batch().await.unwrap()), ["back"]);
}

#[tokio::test]
async fn what_has_moved_for_a_while_is_asked_at_its_own_address() {
    let (server, http) = (Server::start().await, http());
    server.answer("/own", Answer::redirect(302, "/other"));
    server.answer("/other", Answer::redirect(301, "/new"));
    server.answer("/new", Answer::ok(rss(&[item(1, "elsewhere")])));
    let mut feeds = connector(&http, &[server.url("/own")], None);
    feeds.next_batch().await.unwrap();
    feeds.next_batch().await.unwrap();
    let asked = server.requests().into_iter().filter(|request| request.path == "/own").count();
    assert_eq!(asked, 2);
}

#[tokio::test]
async fn what_is_gone_is_reported_once_and_left_alone() {
    let (server, http) = (Server::start().await, http());
    server.answer("/good", Answer::ok(rss(&[item(1, "good")])));
    server.answer("/gone", Answer::status(410));
    let urls = [server.url("/good"), server.url("/gone")];
    let batch = connector(&http, &urls, None).next_batch().await.unwrap();
    assert!(batch.gaps[0].detail.contains("/gone: gone for good (410)"), "{:?}", batch.gaps);
    let mut feeds = connector(&http, &urls, batch.cursor);
    assert_eq!(feeds.next_batch().await.unwrap().gaps, []);
    assert_eq!(server.requests().into_iter().filter(|request| request.path == "/gone").count(), 1);

    let error = connector(&http, &urls[1..], None).next_batch().await.unwrap_err();
    assert_eq!((error.fault, error.retry_after), (Fault::Configuration, None));
}

#[tokio::test]
async fn a_check_says_what_was_reached_and_consumes_nothing() {
    let (server, http) = (Server::start().await, http());
    server.answer("/rss", Answer::ok(rss(&[item(1, "one")])));
    server.answer("/atom", Answer::ok("<feed xmlns='http://www.w3.org/2005/Atom'/>"));
    server.answer("/gone", Answer::status(410));
    server.answer("/moved", Answer::redirect(301, "/rss"));
    let urls = ["/rss", "/atom", "/gone", "/moved", "/missing"].map(|path| server.url(path));
    let mut feeds = connector(&http, &urls, None);
    let line = feeds.check().await.unwrap();
    let host = server.url("");
    let host = host.as_str().trim_end_matches('/');
    assert_eq!(
        line,
        format!(
            "5 feeds, reachable: 2 as RSS 2.0, 1 as Atom 1.0; {host}/gone is gone for good (410), remove it from `urls`; \
             {host}/moved has moved for good to {host}/rss; {host}/missing: answered 404 Not Found"
        )
    );
    assert_eq!(feeds.next_batch().await.unwrap().messages[0].title, "one");
    let agent = &server.requests()[0].headers["user-agent"];
    assert!(agent.starts_with("hearken/") && agent.ends_with("(+mailto:ops@example.org)"), "{agent}");
    assert!(connector(&http, &urls[4..], None).check().await.is_err());
}

#[tokio::test]
async fn an_answer_that_unpacks_to_too_much_is_refused() {
    let (server, http) = (Server::start().await, http());
    let gzip = |bytes: &[u8]| {
        let mut gzip = Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut gzip.stdin.take().unwrap(), bytes).unwrap();
        gzip.wait_with_output().unwrap().stdout
    };
    let bomb = gzip(&vec![b' '; 8 << 20]);
    assert!(bomb.len() < 1 << 16);
    server.answer("/bomb", Answer::ok(bomb).header("content-encoding", "gzip"));
    let error = connector(&http, &[server.url("/bomb")], None).next_batch().await.unwrap_err();
    assert!(error.message.contains("larger than 1 MiB"), "{error}");
    server.answer("/small", Answer::ok(gzip(rss(&[item(1, "packed")]).as_bytes())).header("content-encoding", "gzip"));
    let batch = connector(&http, &[server.url("/small")], None).next_batch().await.unwrap();
    assert_eq!(texts(&batch), ["packed"]);
}

#[test]
fn wrong_settings_are_answered_with_what_would_be_right() {
    let http = http();
    let build = registry::channel("feed").unwrap().build;
    for (settings, expected) in [
        ("", "urls: at least one address is needed"),
        ("url = 'x'", "url: unknown key (did you mean `urls`?); the keys are urls, poll"),
        ("urls = ['example.org/feed']", "urls[0]: relative URL without a base; a full address is wanted"),
        ("urls = ['ftp://example.org/feed']", "urls[0]: `ftp` is neither http nor https"),
        ("urls = ['http://a.b/?k=s', 'http://a.b/?k=s']", "urls[1]: http://a.b/?… is there twice"),
        ("urls = ['http://a.b/']\npoll = 'often'", "poll: `often` is no duration; write `5m` or `1h 30m`"),
        ("urls = ['http://a.b/']\npoll = '10ms'", "poll: 10ms is too often; at least 1s"),
    ] {
        let context = Context { source: "news", http: &http, hooks: &Hooks::default(), cursor: None };
        let error = build(settings.parse().unwrap(), context).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(expected), "{settings}");
    }
}

#[test]
fn the_example_configuration_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples/feed.toml");
    let mut example: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let http = http();
    let Some(toml::Value::Table(sources)) = example.remove("source") else { panic!("no sources") };
    for (name, source) in sources {
        let toml::Value::Table(mut settings) = source else { panic!("{name} is no table") };
        let channel = settings.remove("channel").unwrap();
        let build = registry::channel(channel.as_str().unwrap()).unwrap().build;
        build(settings, Context { source: &name, http: &http, hooks: &Hooks::default(), cursor: None })
            .map(drop)
            .unwrap();
    }
}

/// A real nginx that serves a folder.
struct Nginx {
    child: Child,
    port: u16,
}

impl Nginx {
    fn start(folder: &Path) -> Option<Self> {
        let binary = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists());
        let binary = require("nginx", binary, "apt-get install nginx-light")?;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let here = folder.display();
        let config = format!(
            "daemon off; master_process off; pid {here}/pid; error_log {here}/error.log; events {{}}
             http {{
               access_log {here}/access.log; types {{ application/rss+xml xml; application/feed+json json; }}
               client_body_temp_path {here}/t; proxy_temp_path {here}/t; fastcgi_temp_path {here}/t; uwsgi_temp_path {here}/t; scgi_temp_path {here}/t;
               gzip on; gzip_types *; gzip_min_length 1;
               server {{
                 listen 127.0.0.1:{port}; root {here}/www;
                 location = /moved.xml {{ return 301 /a.xml; }}
                 location = /gone.xml {{ return 410; }}
               }}
             }}"
        );
        std::fs::write(folder.join("nginx.conf"), config).unwrap();
        let child = Command::new(binary)
            .arg("-e")
            .arg(folder.join("error.log"))
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .spawn()
            .unwrap();
        let nginx = Self { child, port };
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(nginx);
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("nginx does not start: {}", std::fs::read_to_string(folder.join("error.log")).unwrap_or_default());
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}{path}", self.port)).unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_real_server_is_asked_politely() {
    let folder = tempfile::tempdir().unwrap();
    let www = folder.path().join("www");
    std::fs::create_dir(&www).unwrap();
    std::fs::write(www.join("a.xml"), rss(&[item(1, "one"), item(2, "two")])).unwrap();
    let Some(nginx) = Nginx::start(folder.path()) else { return };
    let http = http();
    let urls = ["/a.xml", "/gone.xml"].map(|path| nginx.url(path));
    let mut feeds = connector(&http, &urls, None);
    assert_eq!(texts(&feeds.next_batch().await.unwrap()), ["one", "two"]);
    assert_eq!(texts(&feeds.next_batch().await.unwrap()), Vec::<&str>::new());
    std::fs::write(www.join("a.xml"), rss(&[item(1, "one"), item(2, "two"), item(3, "three")])).unwrap();
    let batch = feeds.next_batch().await.unwrap();
    assert_eq!(texts(&batch), ["three"]);

    let moved = [nginx.url("/moved.xml")];
    let mut feeds = connector(&http, &moved, None);
    let batch = feeds.next_batch().await.unwrap();
    assert_eq!(batch.messages.len(), 3);
    feeds.next_batch().await.unwrap();

    // nginx logs a request after it has answered.
    let read_log = || std::fs::read_to_string(folder.path().join("access.log")).unwrap();
    for _ in 0..200 {
        if read_log().lines().count() == 7 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let log = read_log();
    let statuses: Vec<String> = log
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            format!("{} {}", words[6], words[8])
        })
        .collect();
    let count = |wanted: &str| statuses.iter().filter(|status| *status == wanted).count();
    assert_eq!(count("/gone.xml 410"), 1, "{statuses:?}");
    assert_eq!(count("/moved.xml 301"), 1, "{statuses:?}");
    assert_eq!((count("/a.xml 200"), count("/a.xml 304")), (3, 2), "{statuses:?}");
}

#[tokio::test]
async fn real_feeds_are_heard_from_a_real_server() {
    let Some(data) = require("the real feeds", std::env::var_os("HEARKEN_TEST_DATA"), "set HEARKEN_TEST_DATA") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(Path::new(&data).join("real/feeds"), folder.path().join("www")).unwrap();
    let Some(nginx) = Nginx::start(folder.path()) else { return };
    let mut urls: Vec<Url> = std::fs::read_dir(folder.path().join("www"))
        .unwrap()
        .map(|entry| nginx.url(&format!("/{}", entry.unwrap().file_name().to_string_lossy())))
        .collect();
    urls.sort();
    let http = http();
    let check = connector(&http, &urls, None).check().await.unwrap();
    assert_eq!(check, "18 feeds, reachable: 3 as Atom 1.0, 1 as JSON Feed 1.1, 1 as RSS 1.0, 13 as RSS 2.0");
    let batch = connector(&http, &urls, None).next_batch().await.unwrap();
    assert_eq!((batch.poison.len(), batch.gaps.len()), (0, 0));
    assert!(batch.messages.len() >= 42, "{}", batch.messages.len());
}

/// The same rule as in the root package's `tests/support`: absent is a notice, on CI a failure.
fn require<T>(what: &str, found: Option<T>, how: &str) -> Option<T> {
    if found.is_none() {
        let line = format!("not run: {what}: not found, {how}");
        assert!(std::env::var_os("CI").is_none(), "{line}");
        println!("{line}");
    }
    found
}
