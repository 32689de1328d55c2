//! One HTTP request: ClickHouse's HTTP interface in front of the [`Engine`].

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::{FromRequest, Multipart},
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue},
};
use subtle::ConstantTimeEq;

use super::{
    Credentials, blocks,
    encoding::{self, Bodied, Encoding},
    engine::{Engine, Role, Rows, Session},
    exception::Exception,
    ffi::Progress,
    request::{Parameters, credentials},
    sql,
};

/// Largest statement, without the data of an INSERT.
const MAX_STATEMENT: usize = 1 << 20;

/// Most of a result that `buffer_size` can hold back.
const MAX_BUFFER: usize = 16 << 20;

/// How long a client may pause within a request's body.
const BODY_IDLE: Duration = Duration::from_secs(60);

/// What is read and thrown away of a refused insert, so that a client that first writes everything gets to the
/// answer.
const MAX_DRAIN: usize = 64 << 20;

/// How long the last bytes before a broken end get to leave.
const LINGER: Duration = Duration::from_millis(50);

/// Answers requests.
pub(super) struct Handler {
    pub(super) engine: Engine,
    pub(super) owner: Credentials,
    pub(super) reader: Option<Credentials>,
}

/// What an answer needs to know of its request.
struct Answer {
    query_id: String,
    blocks: bool,
}

impl Handler {
    /// Answers one request.
    pub(super) async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        match (request.method(), request.uri().path()) {
            (_, "/ping" | "/replicas_status") => return plain(StatusCode::OK, "Ok.\n".to_owned()),
            (&Method::GET | &Method::HEAD | &Method::POST, "/") => {}
            (_, "/") => return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and POST are answered\n".to_owned()),
            (_, path) => return plain(StatusCode::NOT_FOUND, format!("There is no handle {path}\n")),
        }
        let mut answer = Answer { query_id: random_uuid(), blocks: false };
        match self.run(request, &mut answer).await {
            Ok(response) => response,
            Err(exception) => self.refuse(&exception, &answer),
        }
    }

    async fn run(&self, request: Request<Incoming>, answer: &mut Answer) -> Result<Response<Body>, Exception> {
        let mut parameters = Parameters::from_url(request.uri().query().unwrap_or_default())?;
        if let Some(query_id) = parameters.query_id.take().filter(|id| HeaderValue::from_str(id).is_ok()) {
            answer.query_id = query_id;
        }
        let role = self.authenticate(request.headers(), &parameters)?;
        let safe_method = request.method() != Method::POST;
        let headers = request.headers().clone();
        let request = request.map(Body::new);
        let body = if is_multipart(&headers) {
            read_fields(request, &mut parameters).await?;
            Box::pin(stream::empty())
        } else {
            let encoding = Encoding::of_content(text(&headers, CONTENT_ENCODING.as_str()))?;
            let decompress = parameters.decompress && !safe_method;
            encoding::decode(data(request.into_body()), encoding, decompress)
        };
        answer.blocks = parameters.compress;

        let asks_nothing = parameters.query.is_empty() && safe_method;
        let statement = read_statement(&parameters.query, body).await?;
        let has_readonly = parameters.settings.iter().any(|(name, value)| name == "readonly" && value != "0");
        let session = Session {
            role,
            database: parameters.database.take(),
            settings: std::mem::take(&mut parameters.settings),
            parameters: std::mem::take(&mut parameters.parameters),
            // As ClickHouse does: a link that somebody follows must not be able to write.
            read_only: safe_method && !has_readonly,
        };
        match statement {
            Statement::Text(sql) if sql.trim().is_empty() && asks_nothing => {
                Ok(plain(StatusCode::OK, "Ok.\n".to_owned()))
            }
            Statement::Text(sql) => self.query(session, sql, &parameters, &headers, answer).await,
            Statement::Insert { statement, format, first, rest } => {
                let written = self.insert(session, statement, format, first, rest).await?;
                let mut response = plain(StatusCode::OK, String::new());
                self.add_headers(response.headers_mut(), answer, None, &written);
                Ok(response)
            }
        }
    }

    fn authenticate(&self, headers: &HeaderMap, parameters: &Parameters) -> Result<Role, Exception> {
        let (user, password) = credentials(headers, parameters);
        let is = |known: &Credentials| {
            let same_user = user.as_bytes().ct_eq(known.user.as_bytes());
            let same_password = password.as_bytes().ct_eq(known.password.expose().as_bytes());
            bool::from(same_user & same_password)
        };
        if is(&self.owner) {
            Ok(Role::Owner)
        } else if self.reader.as_ref().is_some_and(is) {
            Ok(Role::Reader)
        } else {
            let message =
                format!("{user}: Authentication failed: password is incorrect, or there is no user with such name");
            Err(Exception::new(Exception::AUTHENTICATION_FAILED, message))
        }
    }

    async fn query(
        &self,
        session: Session,
        sql: String,
        parameters: &Parameters,
        headers: &HeaderMap,
        answer: &Answer,
    ) -> Result<Response<Body>, Exception> {
        if sql.trim().is_empty() {
            return Err(Exception::new(Exception::SYNTAX_ERROR, "Syntax error: Empty query"));
        }
        if sql::has_second_statement(&sql) {
            let message = "Syntax error (Multi-statements are not allowed)";
            return Err(Exception::new(Exception::SYNTAX_ERROR, message));
        }
        let default = parameters.default_format.as_deref().unwrap_or_else(|| text(headers, "x-clickhouse-format"));
        let default = if default.is_empty() { "TabSeparated" } else { default };
        let format = sql::output_format(&sql).unwrap_or(default).to_owned();
        let mut rows = self.engine.query(session, sql, default.to_owned(), parameters.wait_end_of_query).await?;

        let mut held = Vec::new();
        let mut progress = Progress::default();
        let enough = parameters.buffer_size.clamp(1, MAX_BUFFER);
        while held.iter().map(Bytes::len).sum::<usize>() < enough {
            let Some(piece) = rows.next().await.transpose()? else { break };
            held.push(piece.0);
            progress = piece.1;
        }

        let tag = random_tag();
        let broken = Arc::new(AtomicBool::new(false));
        let result = result(held, rows, self.engine.version.clone(), tag.clone(), Arc::clone(&broken));
        let result: Bodied = match parameters.compress {
            true => Box::pin(result.map_ok(|piece| blocks::encode(&piece))),
            false => Box::pin(result),
        };
        let accepted = parameters.http_compression.then(|| Encoding::accepted(text(headers, ACCEPT_ENCODING.as_str())));
        let encoding = accepted.flatten();
        let body = encoding::encode(result, encoding).chain(break_off(broken));

        let mut response = Response::new(Body::from_stream(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(&format)));
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        }
        insert_header(headers, "x-clickhouse-exception-tag", &tag);
        self.add_headers(headers, answer, Some(&format), &progress);
        Ok(response)
    }

    async fn insert(
        &self,
        session: Session,
        statement: String,
        format: String,
        first: Bytes,
        mut rest: Bodied,
    ) -> Result<Progress, Exception> {
        let inserted = async {
            let insert = self.engine.insert(session, statement, format).await?;
            let mut open = first.is_empty() || insert.send(first).await;
            while open && let Some(data) = rest.next().await {
                open = insert.send(data.map_err(unreadable)?).await;
            }
            insert.finish().await
        }
        .await;
        if inserted.is_err() {
            drain(rest).await;
        }
        inserted
    }

    fn add_headers(&self, headers: &mut HeaderMap, answer: &Answer, format: Option<&str>, progress: &Progress) {
        insert_header(headers, "x-clickhouse-server-display-name", "hearken");
        insert_header(headers, "x-clickhouse-query-id", &answer.query_id);
        insert_header(headers, "x-clickhouse-timezone", &self.engine.timezone);
        insert_header(headers, "x-clickhouse-summary", &summary(progress));
        if let Some(format) = format {
            insert_header(headers, "x-clickhouse-format", format);
        }
    }

    fn refuse(&self, exception: &Exception, answer: &Answer) -> Response<Body> {
        let line = exception.line(&self.engine.version);
        let body = if answer.blocks { Body::from(blocks::encode(line.as_bytes())) } else { Body::from(line) };
        let mut response = Response::new(body);
        *response.status_mut() = exception.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
        insert_header(headers, "x-clickhouse-exception-code", &exception.code.to_string());
        self.add_headers(headers, answer, None, &Progress::default());
        response
    }
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    response
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Adds a header; a value that cannot stand in one is left out.
fn insert_header(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // The ids made of these name things and guard nothing: without entropy they repeat.
    let _ = getrandom::fill(&mut bytes);
    bytes
}

fn random_uuid() -> String {
    uuid::Builder::from_random_bytes(random()).into_uuid().to_string()
}

/// Sixteen lower-case letters, as ClickHouse makes them.
fn random_tag() -> String {
    random().iter().map(|byte| char::from(b'a' + byte % 26)).collect()
}

fn is_multipart(headers: &HeaderMap) -> bool {
    text(headers, CONTENT_TYPE.as_str()).starts_with("multipart/form-data")
}

/// Reads the fields of a form: `query`, `param_*`, and anything else that could be in the URL.
async fn read_fields(request: Request<Body>, parameters: &mut Parameters) -> Result<(), Exception> {
    let invalid = |error: &dyn std::fmt::Display| {
        Exception::new(Exception::BAD_ARGUMENTS, format!("cannot read the multipart form: {error}"))
    };
    let mut form = Multipart::from_request(request, &()).await.map_err(|error| invalid(&error))?;
    while let Some(field) = form.next_field().await.map_err(|error| invalid(&error))? {
        if field.file_name().is_some() {
            let message = "external tables are not supported by the embedded ClickHouse";
            return Err(Exception::new(Exception::NOT_IMPLEMENTED, message));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let value = field.text().await.map_err(|error| invalid(&error))?;
        parameters.set(&name, value)?;
    }
    Ok(())
}

/// The bytes of a request's body; a client that pauses for too long ends it.
fn data(body: Body) -> Bodied {
    Box::pin(stream::unfold(body.into_data_stream(), |mut body| async move {
        match tokio::time::timeout(BODY_IDLE, body.next()).await {
            Ok(piece) => piece.map(|piece| (piece.map_err(io::Error::other), body)),
            Err(_elapsed) => Some((Err(io::Error::from(io::ErrorKind::TimedOut)), body)),
        }
    }))
}

/// Why a body could not be read, in ClickHouse's words.
fn unreadable(error: io::Error) -> Exception {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Exception>()) {
        Some(exception) => exception.clone(),
        None => Exception::new(Exception::CANNOT_READ_ALL_DATA, format!("cannot read the request's body: {error}")),
    }
}

async fn drain(mut body: Bodied) {
    let drain = async {
        let mut left = MAX_DRAIN;
        while left > 0
            && let Some(Ok(piece)) = body.next().await
        {
            left = left.saturating_sub(piece.len());
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), drain).await;
}

enum Statement {
    Text(String),
    Insert { statement: String, format: String, first: Bytes, rest: Bodied },
}

/// Puts the statement together from the URL and the body, and finds where the data of an INSERT begins.
async fn read_statement(query: &str, body: Bodied) -> Result<Statement, Exception> {
    let mut body: Bodied = Box::pin(body.fuse());
    let mut head = BytesMut::from(query);
    let mut complete = false;
    while !complete {
        match body.next().await.transpose().map_err(unreadable)? {
            Some(piece) => {
                if head.len() == query.len() && !query.is_empty() {
                    head.extend_from_slice(b"\n");
                }
                head.extend_from_slice(&piece);
            }
            None => complete = true,
        }
        if starts_insert(&head)
            && let sql::Insert::Data { statement, format, at } = sql::split_insert(&head, complete)
        {
            let first = head.freeze().slice(at..);
            return Ok(Statement::Insert { statement, format, first, rest: body });
        }
        if head.len() > MAX_STATEMENT {
            let message = format!("the statement is larger than {MAX_STATEMENT} bytes");
            return Err(Exception::new(Exception::QUERY_IS_TOO_LARGE, message));
        }
    }
    match String::from_utf8(head.into()) {
        Ok(text) => Ok(Statement::Text(text)),
        Err(_) => Err(Exception::new(Exception::SYNTAX_ERROR, "the statement is not UTF-8")),
    }
}

fn starts_insert(head: &[u8]) -> bool {
    // Binary data may follow; the statement's beginning is what is valid.
    head.utf8_chunks().next().is_some_and(|chunk| sql::is_insert(chunk.valid()))
}

/// For the fuzz target `gateway`: a request as lines (the URL's parameters, `Authorization`, `Content-Encoding`) and a
/// body.
#[cfg(fuzzing)]
pub fn fuzz(request: &[u8]) {
    use futures::FutureExt;

    let mut lines = request.splitn(4, |byte| *byte == b'\n');
    let mut line = || std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    let (query, authorization, encoding) = (line(), line(), line());
    let body = Bytes::copy_from_slice(lines.next().unwrap_or_default());

    let Ok(parameters) = Parameters::from_url(query) else { return };
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(authorization) {
        headers.insert(hyper::header::AUTHORIZATION, value);
    }
    let _ = credentials(&headers, &parameters);
    let Ok(encoding) = Encoding::of_content(encoding) else { return };
    let body = encoding::decode(Box::pin(stream::iter([Ok(body)])), encoding, parameters.decompress);
    let statement = read_statement(&parameters.query, body).now_or_never().expect("a body that is there");
    match statement {
        Ok(Statement::Text(sql)) => {
            sql::has_second_statement(&sql);
            let _ = sql::output_format(&sql);
            let _ = sql::unsafe_name(&sql, &parameters.parameters);
        }
        Ok(Statement::Insert { statement, format, rest, .. }) => {
            assert!(sql::is_insert(&statement) && !format.is_empty());
            rest.take(16).for_each(|_| std::future::ready(())).now_or_never().expect("a body that is there");
        }
        Err(exception) => drop(exception.line("1")),
    }
}

/// The result as a body. An exception after the first byte becomes a tagged frame at the end, as ClickHouse
/// writes it since 25.11, and sets `broken`.
fn result(
    held: Vec<Bytes>,
    rows: Rows,
    version: String,
    tag: String,
    broken: Arc<AtomicBool>,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let rest = stream::unfold(Some(rows), move |rows| {
        let (version, tag, broken) = (version.clone(), tag.clone(), Arc::clone(&broken));
        async move {
            let mut rows = rows?;
            match rows.next().await? {
                Ok((piece, _)) => Some((Ok(piece), Some(rows))),
                Err(exception) => {
                    broken.store(true, Ordering::Release);
                    Some((Ok(exception_frame(&exception.line(&version), &tag)), None))
                }
            }
        }
    });
    stream::iter(held.into_iter().map(Ok)).chain(rest)
}

fn exception_frame(line: &str, tag: &str) -> Bytes {
    let frame = format!("\r\n__exception__\r\n{tag}\r\n{line}{} {tag}\r\n__exception__\r\n", line.len());
    Bytes::from(frame)
}

/// Ends a body without its last chunk where it is `broken`, so that no client takes it for complete.
fn break_off(broken: Arc<AtomicBool>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::once(async move {
        if !broken.load(Ordering::Acquire) {
            return None;
        }
        // What came before is still in the connection's buffer.
        tokio::time::sleep(LINGER).await;
        Some(Err(io::Error::other("the statement failed after the first part of its result")))
    })
    .filter_map(std::future::ready)
}

fn summary(progress: &Progress) -> String {
    format!(
        r#"{{"read_rows":"{}","read_bytes":"{}","written_rows":"{}","written_bytes":"{}","total_rows_to_read":"0","result_rows":"{}","result_bytes":"{}","elapsed_ns":"{:.0}"}}"#,
        progress.read_rows,
        progress.read_bytes,
        progress.written_rows,
        progress.written_bytes,
        progress.result_rows,
        progress.result_bytes,
        progress.elapsed * 1e9,
    )
}

/// Content type that ClickHouse gives a format.
fn content_type(format: &str) -> &'static str {
    const JSON: &str = "application/json; charset=UTF-8";
    match format {
        "JSONEachRow" | "JSONLines" | "NDJSON" | "JSONStringsEachRow" => "application/x-ndjson; charset=UTF-8",
        _ if format.starts_with("JSON") => JSON,
        "GeoJSON" => JSON,
        _ if format.starts_with("CSV") => "text/csv; charset=UTF-8",
        _ if format.starts_with("TSV") || format.starts_with("TabSeparated") => {
            "text/tab-separated-values; charset=UTF-8"
        }
        _ if format.starts_with("Pretty") => "text/plain; charset=UTF-8",
        "Values" | "Vertical" | "Markdown" | "LineAsString" | "SQLInsert" => "text/plain; charset=UTF-8",
        "XML" => "application/xml; charset=UTF-8",
        _ => "application/octet-stream",
    }
}
