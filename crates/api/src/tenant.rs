//! The permission: a handler that takes a [`Tenant`] serves a caller who has proven to be it.
//!
//! Another tenant's path is answered alike whether that tenant exists or not.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use callveil_domain::allocation::AllocationId;
use callveil_domain::audit::{Actor, Origin};
use callveil_domain::call::CallId;
use callveil_domain::endpoint::EndpointId;
use callveil_domain::event::EventId;
use callveil_domain::node::Node;
use callveil_domain::tenant::Tenant as Known;
use callveil_domain::{Chance, Ctx, Effect};

use crate::around::RequestId;
use crate::problem::{Kind, Problem};
use crate::{ApiState, credentials};

/// Where a request comes from: the other end of its connection, which may be a proxy's. Whoever serves the router puts it
/// into the extensions of each request; without it the audit tells no address.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// The tenant of the path, proven by the credentials, and within its rate.
pub(crate) struct Tenant {
    known: Arc<Known>,
    by: Origin,
}

impl Tenant {
    /// The context of what it asks for, at the present moment: the audit tells its key and the request's id.
    pub fn ctx<'a>(&self, node: &'a Node, rng: &'a mut Chance, effect: Effect) -> Ctx<'a> {
        Ctx { by: self.by.clone(), ..node.ctx(rng, effect) }
    }
}

impl Deref for Tenant {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.known
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
        let request = parts.extensions.get::<RequestId>().map(RequestId::to_string);
        let from = parts.extensions.get::<Peer>().map(|Peer(address)| *address);
        let by = Origin { actor: Actor::Key { name: key.id.clone(), from }, request };
        Ok(Tenant { known: Arc::clone(tenant), by })
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

/// The call's id in the path, as our own operations have it.
pub(crate) struct CallSid(pub CallId);

impl FromRequestParts<ApiState> for CallSid {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<CallSid, Problem> {
        let id = path_part(parts, state, "call_sid").await;
        Ok(CallSid(id.as_deref().and_then(CallId::parse).ok_or(Kind::NoSuchCall)?))
    }
}

/// The event's id in the path.
pub(crate) struct OfEvent(pub EventId);

impl FromRequestParts<ApiState> for OfEvent {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<OfEvent, Problem> {
        let id = path_part(parts, state, "event_id").await;
        Ok(OfEvent(id.as_deref().and_then(EventId::parse).ok_or(Kind::NoSuchEvent)?))
    }
}

/// The endpoint's id in the path.
pub(crate) struct OfEndpoint(pub EndpointId);

impl FromRequestParts<ApiState> for OfEndpoint {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<OfEndpoint, Problem> {
        let id = path_part(parts, state, "endpoint_id").await;
        Ok(OfEndpoint(id.as_deref().and_then(EndpointId::parse).ok_or(Kind::NoSuchEndpoint)?))
    }
}

pub(crate) async fn path_part(parts: &mut Parts, state: &ApiState, name: &str) -> Option<String> {
    let all = RawPathParams::from_request_parts(parts, state).await.ok()?;
    all.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}
