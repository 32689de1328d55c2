//! Who asks, and what they may see.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hearken_connectors::secret::Secret;

use super::Api;
use super::problem::Problem;
use super::rate::Key;
use super::token::{Role, Shown, Token};
use crate::views::Filter;

/// Address at the other end of a connection; put into every request by whoever accepted it.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Name of the token; `local` where none is needed.
    pub(super) name: String,
    role: Role,
    brands: Vec<String>,
    /// Id of the token; `None` where none is needed.
    id: Option<String>,
}

impl Caller {
    fn of(token: &Token) -> Self {
        let Token { id, name, role, brands, .. } = token.clone();
        Self { name, role, brands, id: Some(id) }
    }

    /// Somebody on this machine while there are no tokens: may do everything, as they can by the command line.
    fn local() -> Self {
        Self { name: "local".to_owned(), role: Role::Admin, brands: Vec::new(), id: None }
    }

    /// The filter, narrowed to what this caller may see: every question to the store goes through here.
    pub(crate) fn narrow(&self, filter: Filter) -> Result<Filter, Problem> {
        if let Some(other) = filter.brands.iter().find(|brand| !self.may_see(brand)) {
            let may = self.brands.join("`, `");
            return Err(Problem::forbidden(format!("this token may see the brands `{may}`, and not `{other}`")));
        }
        let brands = if filter.brands.is_empty() { self.brands.clone() } else { filter.brands };
        Ok(Filter { brands, public_only: self.role < Role::Manager, ..filter })
    }

    fn may_see(&self, brand: &str) -> bool {
        self.brands.is_empty() || self.brands.iter().any(|own| own == brand)
    }

    /// Refuses those who may do less than this role.
    pub(super) fn at_least(&self, role: Role) -> Result<(), Problem> {
        if self.role >= role {
            return Ok(());
        }
        let (has, needs) = (self.role.name(), role.name());
        Err(Problem::forbidden(format!("this needs the role `{needs}`; this token has the role `{has}`")))
    }

    /// Refuses those who may not see how the whole daemon is doing.
    pub(super) fn operates(&self) -> Result<(), Problem> {
        self.at_least(Role::Admin)?;
        if self.brands.is_empty() {
            return Ok(());
        }
        Err(Problem::forbidden("this is about all brands; this token is for some of them"))
    }

    /// Whether this caller would still be let in.
    pub(super) async fn still_holds(&self, api: &Api) -> Result<(), Problem> {
        match &self.id {
            Some(id) => api.tokens.valid(id).await.map(drop),
            None if api.tokens.known().await?.is_empty() => Ok(()),
            None => Err(Problem::unauthenticated("there are tokens now; use one")),
        }
    }
}

/// Finds out who asks, limits how often, and leaves the answer for the [`Caller`] that handlers take.
pub(crate) async fn identify(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
    let caller = caller(&api, peer, request.headers()).await;
    if let Err(problem) = &caller
        && problem.status == StatusCode::TOO_MANY_REQUESTS.as_u16()
    {
        return problem.clone().into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let nobody = || Err(Problem::unauthenticated("nobody has looked who asks; this is a bug"));
        parts.extensions.get::<Result<Self, Problem>>().cloned().unwrap_or_else(nobody)
    }
}

async fn caller(api: &Api, peer: Option<IpAddr>, headers: &HeaderMap) -> Result<Caller, Problem> {
    let shown = shown(headers);
    if let Ok(Some(shown)) = &shown
        && let Ok(Some(token)) = api.tokens.recognise(shown).await
    {
        return limited(api, Key::Token(token.id.clone()), &token);
    }
    // Whoever is not known yet is limited by address, before a proof costs anything.
    let address = peer.unwrap_or(IpAddr::from([0, 0, 0, 0]));
    api.rate.admit(Key::address(address)).map_err(Problem::too_many_requests)?;
    match shown? {
        Some(shown) => Ok(Caller::of(&*api.tokens.prove(&shown).await?)),
        None => without_token(api, address, headers).await,
    }
}

fn limited(api: &Api, key: Key, token: &Arc<Token>) -> Result<Caller, Problem> {
    api.rate.admit(key).map_err(Problem::too_many_requests)?;
    Ok(Caller::of(token))
}

/// The token of the header `Authorization`: `Bearer`, or `Basic` with the token as password, as browsers send it.
fn shown(headers: &HeaderMap) -> Result<Option<Shown>, Problem> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let malformed = || Problem::unauthenticated("expected `Authorization: Bearer hkn_...`");
    let (scheme, rest) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(malformed)?;
    let text = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Secret::generated(rest.trim().to_owned()),
        "basic" => {
            let decoded = BASE64_STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let decoded = decoded.ok_or_else(malformed)?;
            let (_, password) = decoded.split_once(':').ok_or_else(malformed)?;
            Secret::generated(password.to_owned())
        }
        _ => return Err(malformed()),
    };
    Shown::parse(text.expose()).map(Some).ok_or_else(malformed)
}

/// Without a token there is a way in only from this machine, and only while nobody has made a token.
async fn without_token(api: &Api, peer: IpAddr, headers: &HeaderMap) -> Result<Caller, Problem> {
    if !api.tokens.known().await?.is_empty() {
        return Err(Problem::unauthenticated("send a token: `Authorization: Bearer hkn_...`"));
    }
    if !peer.to_canonical().is_loopback() {
        return Err(Problem::unauthenticated(
            "there are no tokens yet, so only this machine itself is answered; make one with `hearken token create`",
        ));
    }
    // A page of somebody else's whose name was made to point here (DNS rebinding) sends that name.
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(|host| !is_local(host)) {
        return Err(Problem::forbidden(
            "there are no tokens yet, so this machine is answered only under a loopback name, such as `localhost`; \
             make a token with `hearken token create`",
        ));
    }
    Ok(Caller::local())
}

/// `localhost` or a loopback address, with or without a port.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_loopback_names_are_local() {
        for local in ["localhost", "LOCALHOST:7700", "127.0.0.1", "127.1.2.3:80", "[::1]:7700"] {
            assert!(is_local(local), "{local}");
        }
        for other in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "[::2]"] {
            assert!(!is_local(other), "{other}");
        }
    }

    fn caller(role: Role, brands: &[&str]) -> Caller {
        let brands = brands.iter().map(|brand| (*brand).to_owned()).collect();
        Caller { name: "ada".to_owned(), role, brands, id: None }
    }

    #[test]
    fn a_scope_narrows_every_question() {
        let asks = |brands: &[&str]| Filter {
            brands: brands.iter().map(|brand| (*brand).to_owned()).collect(),
            ..Filter::default()
        };
        let scoped = caller(Role::Viewer, &["Acme", "Globex"]);
        assert_eq!(scoped.narrow(asks(&[])).unwrap().brands, ["Acme", "Globex"]);
        assert_eq!(scoped.narrow(asks(&["Acme"])).unwrap().brands, ["Acme"]);
        assert_eq!(scoped.narrow(asks(&["Acme", "Initech"])).unwrap_err().status, 403);
        assert!(caller(Role::Viewer, &[]).narrow(asks(&[])).unwrap().brands.is_empty());
    }

    #[test]
    fn private_channels_are_for_managers() {
        let narrowed = |role| caller(role, &[]).narrow(Filter::default()).unwrap().public_only;
        assert_eq!(Role::ALL.map(|(_, role)| narrowed(role)), [true, true, false, false]);
        assert!(caller(Role::Admin, &[]).operates().is_ok());
        assert!(caller(Role::Admin, &["Acme"]).operates().is_err());
        assert!(caller(Role::Manager, &[]).operates().is_err());
    }
}
