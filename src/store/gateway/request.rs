//! What a request asks for, read from its URL, its headers and, for `multipart/form-data`, its fields.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::header::{AUTHORIZATION, HeaderMap};

use super::exception::Exception;

/// Parameters of ClickHouse's HTTP interface. Any other parameter is a setting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// SQL text; the body is appended to it.
    pub(super) query: String,
    /// Current database.
    pub(super) database: Option<String>,
    /// Format where the statement names none.
    pub(super) default_format: Option<String>,
    /// Id that the client gave.
    pub(super) query_id: Option<String>,
    /// Answer in ClickHouse's compressed blocks.
    pub(super) compress: bool,
    /// The body is in ClickHouse's compressed blocks.
    pub(super) decompress: bool,
    /// Answer in the encoding that `Accept-Encoding` names.
    pub(super) http_compression: bool,
    /// Send nothing before the statement has ended.
    pub(super) wait_end_of_query: bool,
    /// Bytes of the result to hold before the headers are sent.
    pub(super) buffer_size: usize,
    /// User and password, as parameters.
    pub(super) user: Option<String>,
    /// See `user`.
    pub(super) password: Option<String>,
    /// Settings by name, in order.
    pub(super) settings: Vec<(String, String)>,
    /// Values for `{name:Type}`.
    pub(super) parameters: Vec<(String, String)>,
}

impl Parameters {
    /// Reads the query part of a URL.
    pub(super) fn from_url(query: &str) -> Result<Self, Exception> {
        let mut parameters = Self { http_compression: true, ..Self::default() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            parameters.set(&name, value.into_owned())?;
        }
        Ok(parameters)
    }

    /// Takes one parameter.
    pub(super) fn set(&mut self, name: &str, value: String) -> Result<(), Exception> {
        match name {
            "query" => self.query.push_str(&value),
            "database" => self.database = Some(value).filter(|database| !database.is_empty()),
            "default_format" => self.default_format = Some(value),
            "query_id" => self.query_id = Some(value),
            "compress" => self.compress = flag(name, &value)?,
            "decompress" => self.decompress = flag(name, &value)?,
            "enable_http_compression" => self.http_compression = flag(name, &value)?,
            "wait_end_of_query" => self.wait_end_of_query = flag(name, &value)?,
            "buffer_size" => {
                self.buffer_size = value.parse().map_err(|_| {
                    Exception::new(Exception::BAD_ARGUMENTS, format!("`buffer_size` is no number: '{value}'"))
                })?;
            }
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            "role" => {
                let message = format!("Role {value} should be granted to set as a current");
                return Err(Exception::new(Exception::SET_NON_GRANTED_ROLE, message));
            }
            // A session would keep settings and temporary tables between requests. Clients send an id without
            // needing one, so it is not refused.
            "session_id" | "session_timeout" | "session_check" | "close_session" => {}
            // Taken for the gateway's own tag.
            "log_comment" => {}
            "quota_key" | "stacktrace" | "client_protocol_version" | "" => {}
            _ => match name.strip_prefix("param_") {
                Some(name) => self.parameters.push((name.to_owned(), value)),
                None => self.settings.push((name.to_owned(), value)),
            },
        }
        Ok(())
    }
}

fn flag(name: &str, value: &str) -> Result<bool, Exception> {
    match value {
        "1" | "true" => Ok(true),
        "0" | "false" | "" => Ok(false),
        _ => Err(Exception::new(Exception::BAD_ARGUMENTS, format!("`{name}` is neither 0 nor 1: '{value}'"))),
    }
}

/// User and password of a request: the headers `X-ClickHouse-User` and `X-ClickHouse-Key`, HTTP basic
/// authentication, or the parameters `user` and `password`.
pub(super) fn credentials(headers: &HeaderMap, parameters: &Parameters) -> (String, String) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let basic = header(AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, encoded) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("basic").then_some(())?;
        let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
        decoded.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
    });
    let named = header("x-clickhouse-user");
    match (named, basic) {
        (Some(user), _) => (user, header("x-clickhouse-key").unwrap_or_default()),
        (None, Some(basic)) => basic,
        (None, None) => (
            parameters.user.clone().unwrap_or_else(|| "default".to_owned()),
            parameters.password.clone().unwrap_or_default(),
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_interface_are_told_from_settings() {
        let parameters = Parameters::from_url(
            "query=SELECT+1&database=hearken&max_threads=1&param_a=x%20y&compress=1&wait_end_of_query=1&session_id=x",
        )
        .unwrap();
        assert_eq!(parameters.query, "SELECT 1");
        assert_eq!(parameters.database.as_deref(), Some("hearken"));
        assert_eq!(parameters.settings, [("max_threads".to_owned(), "1".to_owned())]);
        assert_eq!(parameters.parameters, [("a".to_owned(), "x y".to_owned())]);
        assert!(parameters.compress && parameters.wait_end_of_query && !parameters.decompress);
    }

    #[test]
    fn nonsense_is_refused() {
        for url in ["compress=2", "buffer_size=x", "role=owner"] {
            assert!(Parameters::from_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn credentials_come_from_header_basic_or_parameters() {
        let mut headers = HeaderMap::new();
        let parameters = Parameters::from_url("user=c&password=p3").unwrap();
        let pair = |user: &str, password: &str| (user.to_owned(), password.to_owned());
        assert_eq!(credentials(&headers, &Parameters::default()), pair("default", ""));
        assert_eq!(credentials(&headers, &parameters), pair("c", "p3"));
        headers.insert(AUTHORIZATION, "Basic YjpwOjI=".parse().unwrap());
        assert_eq!(credentials(&headers, &parameters), pair("b", "p:2"));
        headers.insert("X-ClickHouse-User", "a".parse().unwrap());
        headers.insert("X-ClickHouse-Key", "p1".parse().unwrap());
        assert_eq!(credentials(&headers, &parameters), pair("a", "p1"));
    }
}
