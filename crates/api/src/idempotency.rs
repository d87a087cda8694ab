//! A request that carries an `Idempotency-Key` is done once: a repeat is answered as the first was.
//!
//! The answer is kept in the same change as what it tells of. Only what was granted is kept; a refusal did
//! nothing, and a repeat may fare better.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use callveil_domain::receipt::{Answer, Receipt, ReceiptWanted};
use callveil_domain::tenant::Tenant;
use sha2::{Digest, Sha256};

use crate::ApiState;
use crate::envelope;
use crate::problem::{Kind, Problem};

/// Says that an answer was kept from an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What a key is unique in: one operation on one thing.
pub(crate) struct Scope(String);

/// The name that a client gave a request.
pub(crate) struct Key {
    scope: String,
    key: String,
}

/// A request with its name and its meaning.
pub(crate) struct Once {
    key: Key,
    fingerprint: [u8; 32],
}

impl Scope {
    pub fn of(method: &Method, path: &str) -> Scope {
        Scope(format!("{method} {path}"))
    }
}

impl Key {
    /// The key in the headers, if there is one.
    pub fn read(headers: &HeaderMap, scope: Scope) -> Result<Option<Key>, Problem> {
        let mut keys = headers.get_all("idempotency-key").iter();
        let Some(key) = keys.next() else { return Ok(None) };
        let printable = |text: &&str| text.bytes().all(|b| matches!(b, 0x20..=0x7e));
        match key.to_str().ok().filter(printable) {
            Some(key) if !key.is_empty() && key.len() <= 255 && keys.next().is_none() => {
                Ok(Some(Key { scope: scope.0, key: key.to_owned() }))
            }
            _ => Err(Problem::at(
                Kind::Bad,
                "Idempotency-Key",
                "must be sent once and have 1 to 255 printable ASCII characters",
            )),
        }
    }

    /// The request of this name with this body.
    pub fn with(self, body: &[u8]) -> Once {
        Once { key: self, fingerprint: Sha256::digest(body).into() }
    }
}

impl Once {
    /// The receipt to be kept of the answer.
    pub fn receipt<'a>(&self, answer: &'a Answer<'a>) -> ReceiptWanted<'a> {
        ReceiptWanted {
            scope: self.key.scope.clone(),
            key: self.key.key.clone(),
            fingerprint: self.fingerprint,
            answer,
        }
    }

    async fn kept(&self, api: &ApiState, tenant: &Tenant) -> Result<Option<Response<Body>>, Problem> {
        let Key { scope, key } = &self.key;
        let Some(receipt) = api.node.store().receipt(&tenant.sid, scope, key).await? else { return Ok(None) };
        if receipt.fingerprint != self.fingerprint {
            return Err(Kind::OtherBody.into());
        }
        Ok(Some(replay(receipt)))
    }
}

fn replay(receipt: Receipt) -> Response<Body> {
    let mut response = envelope::respond(receipt.status, receipt.body);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// Does what is asked, unless it was done before; then answers as it was answered.
pub(crate) async fn once(
    api: &ApiState,
    tenant: &Tenant,
    once: Option<&Once>,
    act: impl Future<Output = Result<Response<Body>, Problem>>,
) -> Result<Response<Body>, Problem> {
    let Some(once) = once else { return act.await };
    if let Some(kept) = once.kept(api, tenant).await? {
        return Ok(kept);
    }
    match act.await {
        Ok(done) => Ok(done),
        // A twin of this request may have been granted meanwhile, and be what stands in the way.
        Err(problem) => once.kept(api, tenant).await?.ok_or(problem),
    }
}
