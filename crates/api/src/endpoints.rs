//! The operations on endpoints: where a tenant's events are sent.

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod read;
pub(crate) mod remove;
pub(crate) mod rotate;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callveil_domain::endpoint::{Dialect, Endpoint, Secret};
use callveil_domain::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::facts::Moment;

/// Where events are sent.
#[derive(Serialize, ToSchema)]
#[schema(as = Endpoint)]
pub(crate) struct WireEndpoint<'e> {
    /// Its id; for one that is a setting, the setting's name.
    #[schema(value_type = String, example = "ep_4f9a1c2277d0b3e8")]
    endpoint_id: &'e str,
    /// `standard`: our own events, signed by Standard Webhooks. `leadassist`: LeadAssist's body to a setting's URL.
    #[schema(value_type = String)]
    dialect: &'static str,
    /// The address.
    #[schema(value_type = String, example = "https://example.com/hook")]
    url: &'e str,
    /// The types of events that are sent; empty for all.
    #[schema(value_type = Vec<String>)]
    events: Vec<&'static str>,
    /// Whether numbers and pins are told masked.
    masked: bool,
    /// Whether anything is sent there.
    enabled: bool,
    /// Why nothing is sent there.
    #[schema(value_type = Option<String>, required = true)]
    disabled_because: Option<&'e str>,
    /// Since when nothing is sent there.
    #[schema(required = true)]
    disabled_at: Option<Moment>,
    /// When it was made; null for one that is a setting.
    #[schema(required = true)]
    created_at: Option<Moment>,
    /// Whether deliveries are signed; those of a setting are once a secret was made for it.
    signed: bool,
    /// Until when deliveries are signed with the secret before as well.
    #[schema(required = true)]
    old_secret_until: Option<Moment>,
    /// What deliveries are signed with, in the answer that made it and in no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=")]
    secret: Option<String>,
}

impl<'e> WireEndpoint<'e> {
    /// An endpoint as it is at `now`.
    fn of(endpoint: &'e Endpoint, now: Timestamp) -> WireEndpoint<'e> {
        let Endpoint { id, dialect, url, kinds, masked, secrets: _, created_at, disabled } = endpoint;
        let secrets: Vec<&Secret> = endpoint.secrets_at(now).collect();
        WireEndpoint {
            endpoint_id: id.as_str(),
            dialect: match dialect {
                Dialect::Standard => "standard",
                Dialect::LeadAssist => "leadassist",
            },
            url,
            events: kinds.iter().map(|kind| kind.name()).collect(),
            masked: *masked,
            enabled: disabled.is_none(),
            disabled_because: disabled.as_ref().map(|disabled| disabled.why.as_str()),
            disabled_at: disabled.as_ref().map(|disabled| Moment(disabled.at)),
            created_at: (*dialect == Dialect::Standard).then_some(Moment(*created_at)),
            signed: !secrets.is_empty(),
            old_secret_until: secrets.iter().find_map(|secret| secret.until).map(Moment),
            secret: None,
        }
    }

    /// The same with the secret that was just made.
    fn with_secret(endpoint: &'e Endpoint, now: Timestamp) -> WireEndpoint<'e> {
        let newest = endpoint.secrets_at(now).next();
        let secret = newest.map(|secret| format!("whsec_{}", STANDARD.encode(secret.key)));
        WireEndpoint { secret, ..WireEndpoint::of(endpoint, now) }
    }
}
