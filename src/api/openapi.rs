//! The routes and the OpenAPI document that is made from them.

use std::sync::Arc;

use axum::{Json, Router};
use hearken_connectors::webhook::Hooks;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Document, Ref, ResponseBuilder};
use utoipa::{OpenApi, openapi::RefOr};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Problem;
use super::{Api, caller::Caller, corrections, daemon, figures, hooks, live, mentions, opinions, queries, rescores};

/// What no type says.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hearken",
        description = "What people say about your brands, as data. Every refusal is `application/problem+json`. \
                       Figures count mentions of others (inbound), and only what the token may see.",
    ),
    components(schemas(Problem)),
    tags(
        (name = "Monitoring", description = "What is said"),
        (name = "Mapping", description = "Who says it"),
        (name = "Management", description = "What waits for an answer"),
        (name = "Measurement", description = "How the brands compare, and how right the model is"),
        (name = "Middleware", description = "The sources, and what they missed"),
        (name = "Daemon", description = "How the daemon itself is doing"),
    ),
)]
struct Frame;

/// Name of the security scheme.
const TOKEN: &str = "token";

/// Refusals that any request may get.
const REFUSALS: [(&str, &str); 6] = [
    ("400", "A parameter or the body is wrong; `parameters` names which"),
    ("401", "A valid token is needed"),
    ("403", "The token may not do that"),
    ("406", "`Accept` does not allow what would be sent"),
    ("429", "Too many requests; `Retry-After` says when to ask again"),
    ("503", "Not possible at the moment; `Retry-After` says when to ask again"),
];

/// Refusals of a request with a body.
const BODY_REFUSALS: [(&str, &str); 3] = [
    ("413", "The body is too large"),
    ("415", "The body is not `application/json`"),
    ("422", "The body is JSON, but not what is expected"),
];

/// Refusals of a post to a webhook source.
const POST_REFUSALS: [(&str, &str); 6] = [
    ("401", "The post is not signed as the source wants it, or is too old"),
    ("404", "No webhook source has this name"),
    ("408", "The body did not come in time"),
    ("413", "The body is larger than 1 MiB"),
    ("422", "The body holds no records; it is kept as a dead letter"),
    ("503", "Not safe yet; `Retry-After` says when to send the post again"),
];

/// Refusals of what cannot be read as a request at all; they have no body.
const BARE_REFUSALS: [(&str, &str); 2] =
    [("414", "The URL is too long"), ("431", "The head of the request is too large, or has too many headers")];

/// The refusal of a question whose answer is too large to be worked out.
const TOO_MUCH: (&str, &str) = ("422", "The answer would be too large");

/// The routes of the API, and the document.
pub(super) fn routes() -> (Router<Api>, Document) {
    let v1 = OpenApiRouter::new()
        .routes(routes!(mentions::list))
        .routes(routes!(live::live))
        .routes(routes!(mentions::one))
        .routes(routes!(mentions::correct))
        .routes(routes!(corrections::list))
        .routes(routes!(figures::totals))
        .routes(routes!(figures::volume))
        .routes(routes!(figures::trends))
        .routes(routes!(figures::stories))
        .routes(routes!(figures::authors))
        .routes(routes!(figures::author))
        .routes(routes!(figures::interactions))
        .routes(routes!(figures::waiting))
        .routes(routes!(figures::brands))
        .routes(routes!(figures::sources))
        .routes(routes!(figures::gaps))
        .routes(routes!(figures::polls))
        .routes(routes!(figures::dead_letters))
        .routes(routes!(queries::explain))
        .routes(routes!(queries::lint))
        .routes(routes!(opinions::wanted))
        .routes(routes!(opinions::give))
        .routes(routes!(rescores::start))
        .routes(routes!(rescores::one, rescores::cancel))
        .routes(routes!(rescores::apply))
        .routes(routes!(daemon::status));
    let frame = OpenApiRouter::with_openapi(Frame::openapi());
    let (router, mut document) = frame.nest("/api/v1", v1).split_for_parts();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten() {
            complete(operation);
        }
    }
    document.merge(probes().1);
    document.merge(posts().1);
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("hkn_<id>_<secret>");
    let scheme =
        scheme.description(Some("From `hearken token create`; `Basic` with the token as password is taken too"));
    if let Some(components) = &mut document.components {
        components.add_security_scheme(TOKEN, SecurityScheme::Http(scheme.build()));
    }
    (router, document)
}

/// The routes that need no token.
pub(super) fn probes() -> (Router<Api>, Document) {
    OpenApiRouter::new().routes(routes!(daemon::healthz)).routes(routes!(daemon::readyz)).split_for_parts()
}

/// The route of posts to webhook sources, which need a signature instead.
pub(super) fn posts() -> (Router<Hooks>, Document) {
    let (router, mut document) = OpenApiRouter::new().routes(routes!(hooks::deliver)).split_for_parts();
    for operation in document.paths.paths.values_mut().filter_map(|item| item.post.as_mut()) {
        refuse(operation, &POST_REFUSALS);
    }
    (router, document)
}

/// The document, for those who generate a client.
pub fn document() -> Document {
    routes().1
}

/// Adds what holds for every operation that asks for a token.
fn complete(operation: &mut Operation) {
    let body = if operation.request_body.is_some() { &BODY_REFUSALS[..] } else { &[TOO_MUCH] };
    refuse(operation, REFUSALS.iter().chain(body));
    operation.security = Some(vec![utoipa::openapi::SecurityRequirement::new(TOKEN, Vec::<String>::new())]);
}

/// Adds these refusals, and those of what is no request.
fn refuse<'r>(operation: &mut Operation, refusals: impl IntoIterator<Item = &'r (&'r str, &'r str)>) {
    for (status, description) in refusals {
        let problem = RefOr::Ref(Ref::from_schema_name("Problem"));
        let refusal = ResponseBuilder::new()
            .description(*description)
            .content("application/problem+json", Content::new(Some(problem)));
        operation.responses.responses.entry((*status).to_owned()).or_insert_with(|| refusal.build().into());
    }
    for (status, description) in BARE_REFUSALS {
        let refusal = ResponseBuilder::new().description(description).build();
        operation.responses.responses.insert(status.to_owned(), refusal.into());
    }
}

/// `/api/v1/openapi.json`: for everybody who may ask anything.
pub(super) async fn serve(document: Arc<Document>, _: Caller) -> Json<Document> {
    Json(Document::clone(&document))
}
