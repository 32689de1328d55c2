//! Refusals: every error of the API is `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::analyst::WrongQuery;
use crate::store::StoreError;

/// What a refused request gets (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Which kind of problem: `urn:hearken:problem:` and a name that stays.
    #[serde(rename = "type")]
    #[schema(example = "urn:hearken:problem:bad-parameters")]
    pub kind: String,
    /// The same in words.
    pub title: &'static str,
    /// The HTTP status, again.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What is wrong with this request, and what to do.
    pub detail: String,
    /// The parameters that are wrong, all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub parameters: Vec<BadParameter>,
    /// What is wrong with a query, where that is the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub query: Option<Box<WrongQuery>>,
    #[serde(skip)]
    headers: Box<Headers>,
}

/// A parameter that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BadParameter {
    /// Its name, as it was given.
    pub name: String,
    /// What is wrong with it.
    pub detail: String,
}

/// What a refusal says beside its body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Headers {
    retry_after: Option<u32>,
    challenge: Option<&'static str>,
}

impl Problem {
    fn new(status: StatusCode, name: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:hearken:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            parameters: Vec::new(),
            query: None,
            headers: Box::default(),
        }
    }

    /// 400: parameters are wrong.
    pub(crate) fn bad_parameters(parameters: Vec<BadParameter>) -> Self {
        let list: Vec<String> = parameters.iter().map(|bad| format!("`{}`: {}", bad.name, bad.detail)).collect();
        let problem = Self::new(StatusCode::BAD_REQUEST, "bad-parameters", "parameters are wrong", list.join("; "));
        Self { parameters, ..problem }
    }

    /// 400: one parameter is wrong.
    pub(crate) fn bad_parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::bad_parameters(vec![BadParameter { name: name.to_owned(), detail: detail.into() }])
    }

    /// 400: the body cannot be read.
    fn bad_body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-body", "the body cannot be read", detail)
    }

    /// 401: nobody knows who asks.
    pub(crate) fn unauthenticated(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "a valid token is needed", detail);
        // RFC 9110, section 11.6.1. A browser asks its user for the second kind: the token is the password.
        let challenge = Some("Bearer realm=\"hearken\", Basic realm=\"hearken\", charset=\"UTF-8\"");
        Self { headers: Box::new(Headers { challenge, ..Headers::default() }), ..problem }
    }

    /// 401: nobody knows who posts.
    pub(crate) fn unsigned(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::UNAUTHORIZED, "unsigned", "a valid signature is needed", detail);
        Self { headers: Box::new(Headers { challenge: Some("Signature"), ..Headers::default() }), ..problem }
    }

    /// 403: who asks may not.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "this token may not do that", detail)
    }

    /// 404: nothing is there, or nothing that this token may see.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "there is nothing here", detail)
    }

    /// 405; axum adds `Allow`.
    pub(crate) fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "the method is not allowed here", detail)
    }

    /// 406: what comes out is not what is accepted.
    pub(crate) fn not_acceptable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", "nothing acceptable to send", detail)
    }

    /// 408: the request did not come in time.
    pub(crate) fn request_timeout(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", "the request took too long", detail)
    }

    /// 409: not while something else is as it is.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "not as things are now", detail)
    }

    /// 413: the body is too large.
    fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "the body is too large", detail)
    }

    /// 422: understood, and impossible.
    pub(crate) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "understood, but not possible", detail)
    }

    /// 429: too many requests.
    pub(crate) fn too_many_requests(after: Duration) -> Self {
        let seconds = u32::try_from(after.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        let detail = format!("too many requests; wait {seconds} s and ask again");
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "too many requests", detail);
        Self { headers: Box::new(Headers { retry_after: Some(seconds), ..Headers::default() }), ..problem }
    }

    /// 503: not now.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        const LATER: u32 = 5;
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "not possible at the moment", detail);
        Self { headers: Box::new(Headers { retry_after: Some(LATER), ..Headers::default() }), ..problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let Headers { retry_after, challenge } = *self.headers.clone();
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(challenge) = challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        // TOO_MANY_ROWS, TIMEOUT_EXCEEDED, MEMORY_LIMIT_EXCEEDED, TOO_MANY_ROWS_OR_BYTES
        if error.code().is_some_and(|code| [158, 159, 241, 396].contains(&code)) {
            return Self::unprocessable("the answer is too large to be worked out; ask for less time, or longer steps");
        }
        tracing::warn!(%error, "a question to the store failed");
        Self::unavailable(error.to_string())
    }
}

impl From<WrongQuery> for Problem {
    fn from(wrong: WrongQuery) -> Self {
        let help = wrong.suggestion.as_ref().map(|suggestion| format!(": {suggestion}")).unwrap_or_default();
        let detail = format!("character {}: {}{help}", wrong.span.start + 1, wrong.reason);
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong-query", "the query is wrong", detail);
        Self { query: Some(Box::new(wrong)), ..problem }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let detail = rejection.body_text();
        match rejection.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "the body is of the wrong type",
                "the body has to be JSON, and `Content-Type` has to say `application/json`",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large(detail),
            StatusCode::UNPROCESSABLE_ENTITY => Self::unprocessable(detail),
            _ => Self::bad_body(detail),
        }
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large(rejection.body_text()),
            _ => Self::bad_body(rejection.body_text()),
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::not_found(rejection.body_text())
    }
}
