//! What a request says about how it is to be done, beside what: tried only, on one version only, once only.

use axum::extract::{FromRequestParts, Query};
use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use callveil_domain::Effect;
use utoipa::IntoParams;

use crate::ApiState;
use crate::idempotency::{Key, Scope};
use crate::problem::{Kind, Problem};

/// The conditions of a request that changes something.
pub(crate) struct Conditions {
    /// Whether it is meant.
    pub effect: Effect,
    /// The version that it is meant for.
    pub version: Option<u64>,
    /// Its name among all requests, so that it is done once.
    pub key: Option<Key>,
}

/// How the conditions are documented.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "its fields are documentation; Conditions is what they are read into")]
pub(crate) struct DryRun {
    /// `true` tries the request and keeps nothing: the answer is what it would be.
    #[param(required = false)]
    dry_run: bool,
}

impl FromRequestParts<ApiState> for Conditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Conditions, Problem> {
        let effect = effect(parts)?;
        let scope = Scope::of(&parts.method, parts.uri.path());
        // What is only tried is never answered from memory, and leaves none.
        let key = Key::read(&parts.headers, scope)?.filter(|_| effect == Effect::Keep);
        Ok(Conditions { effect, version: version(&parts.headers)?, key })
    }
}

fn effect(parts: &Parts) -> Result<Effect, Problem> {
    if parts.uri.query().is_none() {
        return Ok(Effect::Keep);
    }
    let Ok(Query(query)) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) else {
        return Err(Problem::new(Kind::Bad, "the query cannot be read"));
    };
    let mut wanted = query.iter().filter(|(name, _)| name == "dry_run");
    match (wanted.next().map(|(_, value)| value.as_str()), wanted.next()) {
        (None | Some("false"), None) => Ok(Effect::Keep),
        (Some("true"), None) => Ok(Effect::Try),
        (_, _) => Err(Problem::at(Kind::Bad, "dry_run", "must be true or false, once")),
    }
}

/// The version in `If-Match`. One that we never gave matches no version, since the first is 1.
fn version(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    const NONE: u64 = 0;
    let mut tags = headers.get_all(IF_MATCH).iter();
    let Some(tag) = tags.next() else { return Ok(None) };
    let tag = tag.to_str().unwrap_or_default().trim();
    if tags.next().is_some() || tag.contains(',') {
        return Err(Problem::at(Kind::Bad, "If-Match", "must be one entity tag, as an ETag header gave it"));
    }
    if tag == "*" {
        return Ok(None);
    }
    let version = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Ok(Some(version.and_then(|digits| digits.parse().ok()).unwrap_or(NONE)))
}
