//! The permission: a handler that takes a [`Tenant`] serves a caller who has proven to be it.
//!
//! Another tenant's path is answered alike whether that tenant exists or not.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use callveil_domain::allocation::AllocationId;
use callveil_domain::tenant::Tenant as Known;

use crate::problem::{Kind, Problem};
use crate::{ApiState, credentials};

/// The tenant of the path, proven by the credentials, and within its rate.
pub(crate) struct Tenant(Arc<Known>);

impl Deref for Tenant {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.0
    }
}

impl FromRequestParts<ApiState> for Tenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Tenant, Problem> {
        let directory = state.node.directory();
        let key = credentials::prove(&parts.headers, &directory).ok_or(Kind::NotAuthenticated)?;
        let sid = path_part(parts, state, "sid").await;
        if sid.as_deref() != Some(key.tenant.as_str()) {
            return Err(Kind::OtherTenant.into());
        }
        let tenant = directory.tenant(key.tenant.as_str()).ok_or(Kind::OtherTenant)?;
        state.rates.admit(tenant, state.node.now())?;
        Ok(Tenant(Arc::clone(tenant)))
    }
}

/// The allocation's id in the path. What is no id of ours names nothing.
pub(crate) struct Id(pub AllocationId);

impl FromRequestParts<ApiState> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Id, Problem> {
        let id = path_part(parts, state, "greenvn_id").await;
        Ok(Id(id.as_deref().and_then(AllocationId::parse).ok_or(Kind::NotFound)?))
    }
}

async fn path_part(parts: &mut Parts, state: &ApiState, name: &str) -> Option<String> {
    let all = RawPathParams::from_request_parts(parts, state).await.ok()?;
    all.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}
