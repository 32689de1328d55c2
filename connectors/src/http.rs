//! The polite client: everything that a connector sends over HTTP goes through here.

/// A shared HTTP client with one rate limiter per credential.
#[derive(Clone)]
pub struct Client {}
