//! What one request, one tenant and all of them together may ask of a node.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use callveil_domain::tenant::{Sid, Tenant};
use callveil_domain::time::Timestamp;

use crate::ApiState;
use crate::problem::{Kind, Problem};

/// A body within the limit.
pub(crate) struct Body(pub Bytes);

impl FromRequest<ApiState> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Body, Problem> {
        let limit = state.config.body_limit;
        let too_large = || Problem::new(Kind::TooLarge, format!("the body is larger than {limit} bytes"));
        if announced_length(request.headers()).is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        if request.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(Problem::new(Kind::Unreadable, "send the body uncompressed"));
        }
        match axum::body::to_bytes(request.into_body(), limit).await {
            Ok(bytes) => Ok(Body(bytes)),
            Err(error) if is_too_long(&error) => Err(too_large()),
            Err(_) => Err(Problem::new(Kind::Unreadable, "the body ended before its end")),
        }
    }
}

fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = cause.source();
    }
    false
}

/// How many requests are under way, and how many may be.
pub(crate) struct InFlight {
    most: usize,
    now: Arc<AtomicUsize>,
}

/// A place among the requests under way, given back when it is dropped.
pub(crate) struct Place(Arc<AtomicUsize>);

impl InFlight {
    pub fn new(most: usize) -> InFlight {
        InFlight { most, now: Arc::default() }
    }

    /// A place, if there is one.
    pub fn enter(&self) -> Option<Place> {
        let place = Place(Arc::clone(&self.now));
        let before = self.now.fetch_add(1, Ordering::Relaxed);
        (before < self.most).then_some(place)
    }

    /// How many places are taken.
    pub fn count(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How much of its limit each tenant has used, as the moment at which it will have all of it again (the
/// theoretical arrival time of GCRA, ITU-T I.371 annex A).
#[derive(Default)]
pub(crate) struct Rates(RwLock<HashMap<Sid, Arc<AtomicI64>>>);

const MINUTE: i64 = 60_000_000;

impl Rates {
    /// Counts one request of a tenant; refuses it when the tenant's minute is used up. A tenant that has been
    /// quiet for a minute may send the whole minute's requests at once.
    pub fn admit(&self, tenant: &Tenant, now: Timestamp) -> Result<(), Problem> {
        let per_minute = tenant.settings.requests_per_minute;
        if per_minute == 0 {
            return Ok(());
        }
        take_one(&self.of(&tenant.sid), per_minute, now).map_err(|wait| too_many(per_minute, wait))
    }

    fn of(&self, sid: &Sid) -> Arc<AtomicI64> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(sid).cloned();
        known.unwrap_or_else(|| {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(sid.clone()).or_default())
        })
    }
}

/// Takes one request out of what is left; the error is how long there will be none.
fn take_one(full_at: &AtomicI64, per_minute: u32, now: Timestamp) -> Result<(), Duration> {
    let now = now.as_micros();
    let step = (MINUTE / i64::from(per_minute)).max(1);
    let taken = full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
        let next = full_at.max(now) + step;
        (next - now <= MINUTE).then_some(next)
    });
    taken.map(drop).map_err(|full_at| {
        let wait = full_at + step - now - MINUTE;
        Duration::from_micros(u64::try_from(wait).unwrap_or(0))
    })
}

/// Tells the limit as draft-ietf-httpapi-ratelimit-headers has it.
fn too_many(per_minute: u32, wait: Duration) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let header = |text: String| {
        HeaderValue::from_str(&text).expect("law: digits and plain letters may stand in a header")
    };
    Problem::from(Kind::TooMany)
        .with(RETRY_AFTER, HeaderValue::from(seconds))
        .with(HeaderName::from_static("ratelimit-policy"), header(format!("\"tenant\";q={per_minute};w=60")))
        .with(HeaderName::from_static("ratelimit"), header(format!("\"tenant\";r=0;t={seconds}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_requests_may_come_at_once_and_then_one_by_one() {
        let used = AtomicI64::new(0);
        let at = |seconds: i64| Timestamp::from_micros(1_790_000_000_000_000 + seconds * 1_000_000);
        for _ in 0..3 {
            assert_eq!(take_one(&used, 3, at(0)), Ok(()));
        }
        assert_eq!(take_one(&used, 3, at(0)), Err(Duration::from_secs(20)));
        assert_eq!(take_one(&used, 3, at(19)), Err(Duration::from_secs(1)));
        assert_eq!(take_one(&used, 3, at(20)), Ok(()));
        assert_eq!(take_one(&used, 3, at(20)), Err(Duration::from_secs(20)));
        for _ in 0..3 {
            assert_eq!(take_one(&used, 3, at(200)), Ok(()));
        }
    }

    #[test]
    fn places_are_given_back() {
        let in_flight = InFlight::new(2);
        let first = in_flight.enter();
        let second = in_flight.enter();
        assert!(first.is_some() && second.is_some() && in_flight.enter().is_none());
        drop(first);
        assert!(in_flight.enter().is_some());
        drop(second);
        assert_eq!(in_flight.count(), 0);
    }
}
