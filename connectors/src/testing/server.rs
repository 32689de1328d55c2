//! A tiny HTTP/1.1 server on 127.0.0.1 that answers by script and misbehaves on command.

use std::collections::HashMap;
use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use url::Url;

/// What the server says, and how badly.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    length: Option<usize>,
    cut_after: Option<usize>,
    drip: Option<Duration>,
    silent: bool,
}

impl Answer {
    /// 200 with this body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { status: 200, headers: Vec::new(), body, length: None, cut_after: None, drip: None, silent: false }
    }

    /// This status with an empty body.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::ok("") }
    }

    /// The connection is accepted and nothing is ever said.
    pub fn silence() -> Self {
        Self { silent: true, ..Self::ok("") }
    }

    /// A redirect.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::status(status).header("location", location)
    }

    /// Adds a header. With an `etag`, a request whose `If-None-Match` equals it is answered with 304.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// This body instead.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Claims this `Content-Length`, whatever the body's.
    pub fn claiming_length(mut self, length: usize) -> Self {
        self.length = Some(length);
        self
    }

    /// Closes the connection after so many bytes of the body.
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.cut_after = Some(bytes);
        self
    }

    /// Sends the body byte by byte with this pause between two.
    pub fn drip(mut self, pause: Duration) -> Self {
        self.drip = Some(pause);
        self
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
    /// When it came.
    pub at: Instant,
}

/// How a path is answered: a function of the request, which may hold the answer back.
type Handler = Arc<dyn Fn(&Request) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

#[derive(Default)]
struct Script {
    handlers: HashMap<String, Handler>,
    fault: Option<Answer>,
    requests: Vec<Request>,
}

/// The server; stops when dropped.
pub struct Server {
    address: std::net::SocketAddr,
    script: Arc<Mutex<Script>>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Starts on a free port; every path is 404 until it is given an answer.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind a loopback port");
        let address = listener.local_addr().expect("a bound address");
        let script = Arc::<Mutex<Script>>::default();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&script)));
        Self { address, script, accepting }
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).expect("a path")
    }

    /// From now on, requests for this path (without query) are answered so.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.handle(path, move |_| answer.clone());
    }

    /// From now on, requests for this path (without query) are answered by a function.
    pub fn handle(&self, path: &str, handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
        self.handle_later(path, move |request| ready(handler(request)));
    }

    /// From now on, requests for this path (without query) are answered when a future says so: a long
    /// poll.
    pub fn handle_later<F>(&self, path: &str, handler: impl Fn(&Request) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        lock(&self.script).handlers.insert(path.to_owned(), handler);
    }

    /// From now on, every request is answered so.
    pub fn fail(&self, fault: Answer) {
        lock(&self.script).fault = Some(fault);
    }

    /// Back to the script.
    pub fn heal(&self) {
        lock(&self.script).fault = None;
    }

    /// All requests so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.script).requests.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, script: Arc<Mutex<Script>>) {
    // Dropped with this task, which ends the connections too.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&script)));
    }
}

async fn serve(stream: TcpStream, script: Arc<Mutex<Script>>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let Some(request) = read_request(&mut stream).await? else { return Ok(()) };
    let (fault, handler) = {
        let mut script = lock(&script);
        script.requests.push(request.clone());
        let path = request.path.split('?').next().unwrap_or_default();
        (script.fault.clone(), script.handlers.get(path).cloned())
    };
    let answer = match (fault, handler) {
        (Some(fault), _) => fault,
        (None, Some(handler)) => handler(&request).await,
        (None, None) => Answer::status(404),
    };
    if answer.silent {
        std::future::pending::<()>().await;
    }
    write_answer(stream.get_mut(), &answer, &request).await
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = HashMap::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 || line.trim().is_empty() {
            let length = headers.get("content-length").and_then(|length: &String| length.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).await?;
            return Ok(Some(Request { path, headers, body, at: Instant::now() }));
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

async fn write_answer(stream: &mut TcpStream, answer: &Answer, request: &Request) -> io::Result<()> {
    let etag = answer.headers.iter().find(|(name, _)| name == "etag").map(|(_, value)| value);
    let unchanged = etag.is_some() && request.headers.get("if-none-match") == etag;
    let (status, body) = if unchanged { (304, &[][..]) } else { (answer.status, answer.body.as_slice()) };
    let mut head = format!("HTTP/1.1 {status} Scripted\r\nconnection: close\r\n");
    if !unchanged {
        head.push_str(&format!("content-length: {}\r\n", answer.length.unwrap_or(body.len())));
    }
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await?;
    let body = body.get(..answer.cut_after.unwrap_or(body.len())).unwrap_or(body);
    match answer.drip {
        None => stream.write_all(body).await?,
        Some(pause) => {
            for byte in body {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(pause).await;
            }
        }
    }
    stream.shutdown().await
}
