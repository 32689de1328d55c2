//! The embedded ClickHouse as its clients see it: curl, the `clickhouse` crate, Python's `clickhouse-connect`,
//! and some that misbehave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod http;
mod lifecycle;
mod python_client;
mod reader;
mod rust_client;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    thread,
    time::Duration,
};

use hearken::store::{
    child::{ChildOptions, ClickHouseChild},
    gateway::{Credentials, find_library},
};
use tokio::runtime::Runtime;

/// A gateway that answers.
struct Gateway {
    url: String,
    owner: Credentials,
    reader: Credentials,
}

/// Where libchdb is, if this machine has it.
fn library() -> Option<PathBuf> {
    let found = find_library(None, |name| std::env::var_os(name)).ok();
    support::require("the embedded ClickHouse (libchdb)", found, "run `script/bootstrap`")
}

/// An empty directory of this test run.
fn scratch(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gateway-{name}"));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

fn options(data: &Path, library: &Path) -> ChildOptions {
    ChildOptions {
        executable: PathBuf::from(env!("CARGO_BIN_EXE_hearken")),
        data: data.to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        library: Some(library.to_owned()),
    }
}

impl Gateway {
    fn of(child: &ClickHouseChild) -> Self {
        let access = child.access();
        Self { url: child.url(), owner: access.owner.clone(), reader: access.reader.clone() }
    }

    /// The owner's client.
    fn client(&self) -> clickhouse::Client {
        clickhouse::Client::default()
            .with_url(&self.url)
            .with_user(&self.owner.user)
            .with_password(self.owner.password.expose())
    }

    /// A request of the owner.
    fn owner(&self) -> Curl {
        Curl::new(&self.url).user(&self.owner)
    }

    /// A request of the reader.
    fn reader(&self) -> Curl {
        Curl::new(&self.url).user(&self.reader)
    }

    /// Runs a statement that has to succeed; its result, trimmed.
    fn run(&self, sql: &str) -> String {
        let reply = self.owner().body(sql).send();
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
        reply.text().trim_end().to_owned()
    }
}

/// The gateway that most tests share; it ends with the test process.
fn gateway() -> Option<&'static Gateway> {
    static SHARED: LazyLock<Option<Gateway>> = LazyLock::new(|| {
        let library = library()?;
        let start = || {
            let runtime: &'static Runtime = Box::leak(Box::new(Runtime::new().unwrap()));
            let child = runtime.block_on(ClickHouseChild::open(options(&scratch("shared"), &library))).unwrap();
            let gateway = Gateway::of(&child);
            // It is watched as long as this process lives.
            std::mem::forget(child);
            gateway
        };
        // A thread of its own: the test that comes first may already be in a runtime.
        let gateway = thread::scope(|scope| scope.spawn(start).join()).unwrap();
        Some(gateway)
    });
    support::require("curl", Command::new("curl").arg("--version").output().ok(), "install curl")?;
    SHARED.as_ref()
}

/// One request with curl.
struct Curl {
    url: String,
    parameters: Vec<String>,
    arguments: Vec<String>,
    body: Option<Vec<u8>>,
}

struct Reply {
    status: u16,
    headers: String,
    body: Vec<u8>,
    /// curl's exit status: 18 is a body that broke off.
    exit: i32,
}

impl Curl {
    fn new(url: &str) -> Self {
        Self { url: url.to_owned(), parameters: Vec::new(), arguments: Vec::new(), body: None }
    }

    fn user(self, credentials: &Credentials) -> Self {
        self.argument("--user").argument(&format!("{}:{}", credentials.user, credentials.password.expose()))
    }

    fn path(mut self, path: &str) -> Self {
        self.url.push_str(path);
        self
    }

    /// A URL parameter, encoded here.
    fn parameter(mut self, name: &str, value: &str) -> Self {
        let encoded: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        self.parameters.push(format!("{name}={encoded}"));
        self
    }

    fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    fn header(self, header: &str) -> Self {
        self.argument("--header").argument(header)
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Starts curl; its output comes with [`Curl::send`] only.
    fn command(&self) -> Command {
        let mut url = self.url.clone();
        if url.matches('/').count() == 2 {
            url.push('/');
        }
        if !self.parameters.is_empty() {
            url = format!("{url}?{}", self.parameters.join("&"));
        }
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "120", "--globoff"]).args(&self.arguments);
        if self.body.is_some() {
            command.args(["--data-binary", "@-"]);
        }
        command.arg(url);
        command
    }

    /// Starts the request and leaves it running; its output is thrown away.
    fn start(self) -> Child {
        let mut child = self.command().stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(self.body.as_deref().unwrap_or_default()).unwrap();
        child
    }

    fn send(self) -> Reply {
        let headers = tempfile::NamedTempFile::new().unwrap();
        let mut command = self.command();
        command.arg("--dump-header").arg(headers.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let body = self.body.unwrap_or_default();
        // Beside the reading, so that neither waits for the other; curl may end before it has read everything.
        let writer = thread::spawn(move || {
            let _ = stdin.write_all(&body);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let headers = fs::read_to_string(headers.path()).unwrap().to_lowercase();
        let status = headers.rsplit("http/1.1 ").next().and_then(|line| line.get(..3)?.parse().ok());
        let exit = output.status.code().unwrap_or(-1);
        let status = status.unwrap_or_else(|| panic!("curl: {exit}: {}", String::from_utf8_lossy(&output.stderr)));
        Reply { status, headers, body: output.stdout, exit }
    }
}

impl Reply {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).map(str::trim)
    }

    /// ClickHouse's code of the exception, 0 where there is none.
    fn code(&self) -> u16 {
        self.header("x-clickhouse-exception-code").map_or(0, |code| code.parse().unwrap())
    }
}

/// Waits until `done`, at most a minute.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("waited a minute for {what}");
}
