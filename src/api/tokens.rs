//! The tokens as a serving process knows them: read from the store every other second, each proved once in a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hearken_connectors::secret::Secret;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::problem::Problem;
use super::token::{Shown, Token};
use crate::store::Store;

/// How long what the store said is believed: a revoked token is refused after this time at the latest.
const FRESH: Duration = Duration::from_secs(2);
/// How long the store may take to say it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a proof is remembered.
const PROVED: Duration = Duration::from_secs(300);
/// Proofs at once: each costs a processor and 19 MiB for a while.
const PROOFS: usize = 2;

type Known = Arc<HashMap<String, Arc<Token>>>;

/// Every token, and which secrets were proved lately.
pub(super) struct Tokens {
    store: Store,
    known: tokio::sync::Mutex<Option<(Instant, Known)>>,
    /// By token id: a digest of the secret that proved it, and when.
    proved: Mutex<HashMap<String, ([u8; 32], Instant)>>,
    /// Makes the digests worthless elsewhere.
    key: [u8; 32],
    proofs: Semaphore,
}

impl Tokens {
    /// Fails where the system gives no random numbers.
    pub(super) fn new(store: Store) -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self {
            store,
            known: tokio::sync::Mutex::default(),
            proved: Mutex::default(),
            key,
            proofs: Semaphore::new(PROOFS),
        })
    }

    /// Every token ever made. While the store is away, those that it told last: they can only be changed in it.
    pub(super) async fn known(&self) -> Result<Known, Problem> {
        let mut known = self.known.lock().await;
        if let Some((at, tokens)) = &*known
            && at.elapsed() < FRESH
        {
            return Ok(tokens.clone());
        }
        let asked = tokio::time::timeout(PATIENCE, Token::list(&self.store)).await;
        let tokens: Known = match (asked, &*known) {
            (Ok(Ok(tokens)), _) => {
                Arc::new(tokens.into_iter().map(|token| (token.id.clone(), Arc::new(token))).collect())
            }
            (_, Some((_, last))) => last.clone(),
            (Ok(Err(error)), None) => return Err(error.into()),
            (Err(_), None) => return Err(Problem::unavailable("the store does not say which tokens there are")),
        };
        *known = Some((Instant::now(), tokens.clone()));
        Ok(tokens)
    }

    /// The token that a request shows, if it was proved lately and still holds. Costs next to nothing.
    pub(super) async fn recognise(&self, shown: &Shown) -> Result<Option<Arc<Token>>, Problem> {
        Ok(if self.was_proved(shown) { Some(self.valid(&shown.id).await?) } else { None })
    }

    /// The token that a request shows, proved by its secret.
    pub(super) async fn prove(&self, shown: &Shown) -> Result<Arc<Token>, Problem> {
        let token = self.valid(&shown.id).await?;
        let unavailable = |_| Problem::unavailable("the server is stopping");
        let turn = self.proofs.acquire().await.map_err(unavailable)?;
        // Somebody else may have proved it while this request waited for its turn.
        if self.was_proved(shown) {
            return Ok(token);
        }
        let (claimed, secret) = (token.clone(), shown.secret.clone());
        let proof = tokio::task::spawn_blocking(move || claimed.proves(&secret)).await;
        drop(turn);
        match proof {
            Ok(true) => {
                self.remember(&token.id, &shown.secret);
                Ok(token)
            }
            Ok(false) => Err(Problem::unauthenticated("the token is not valid")),
            Err(_) => Err(Problem::unavailable("the token could not be checked; ask again")),
        }
    }

    /// The token of this id, unless it no longer holds.
    pub(super) async fn valid(&self, id: &str) -> Result<Arc<Token>, Problem> {
        let known = self.known().await?;
        let Some(token) = known.get(id) else { return Err(Problem::unauthenticated("the token is not valid")) };
        if token.revoked {
            return Err(Problem::unauthenticated("the token was revoked; ask for another one"));
        }
        if token.is_expired() {
            return Err(Problem::unauthenticated("the token has expired; ask for another one"));
        }
        Ok(token.clone())
    }

    fn was_proved(&self, shown: &Shown) -> bool {
        let digest = shown.secret.digest(&self.key);
        let proved = self.proved.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = proved.get(&shown.id).filter(|(_, at)| at.elapsed() < PROVED);
        lately.is_some_and(|(proved, _)| bool::from(proved.ct_eq(&digest)))
    }

    /// There is one entry for each token at most, so that this does not grow.
    fn remember(&self, id: &str, secret: &Secret) {
        let digest = secret.digest(&self.key);
        self.proved.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), (digest, Instant::now()));
    }
}
