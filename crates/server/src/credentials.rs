//! What a tenant's clients prove themselves with, as it is shown once.

use std::fmt;

use callveil_domain::tenant::{ApiKey, Sid};
use callveil_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::generator;

/// A key with its token in clear. Only for the one who asked for it: it is kept as a hash.
#[derive(Clone, Deserialize, Serialize)]
pub struct Credentials {
    pub sid: String,
    pub api_key: String,
    pub api_token: String,
}

impl Credentials {
    /// New credentials of a tenant, and the key to keep for them.
    pub fn new(sid: &Sid, now: Timestamp) -> (Credentials, ApiKey) {
        let made = callveil_api::new_credentials(&mut generator());
        let key = ApiKey {
            id: made.key_id.clone(),
            tenant: sid.clone(),
            token_hash: callveil_api::hash_token(&made.token),
            created_at: now,
            revoked_at: None,
        };
        (Credentials { sid: sid.to_string(), api_key: made.key_id, api_token: made.token }, key)
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Credentials { sid, api_key, api_token } = self;
        writeln!(f, "tenant     {sid}")?;
        writeln!(f, "API key    {api_key}")?;
        writeln!(f, "API token  {api_token}")?;
        f.write_str("Keep the token now: it is not shown again.")
    }
}
