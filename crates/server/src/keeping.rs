//! How long things are kept: what is older than that, nodes throw away as they go, and `callveil tidy` at once.

use std::time::Duration;

use callveil_domain::node::Node;
use callveil_domain::store::{Tidy, TidyTenant};
use callveil_domain::tenant::Tenant;
use callveil_domain::time::Timestamp;

use crate::config::Config;

/// How long what no rule looks at any more is kept; tenants say themselves how long their calls and events are.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    claims: Duration,
    allocations: Duration,
    receipts: Duration,
}

/// How long the audit is kept: India's rules ask for a year of logs at least.
const AUDIT_KEPT: Duration = Duration::from_secs(400 * 86_400);

/// How many rows a step of tidying looks at. More would hold up clients' changes, which wait in the same queue.
const STEP: usize = 500;

impl Keep {
    pub fn of(config: &Config) -> Keep {
        Keep { claims: config.claim_memory, allocations: config.retention, receipts: config.receipt_memory }
    }

    /// What is too old in this moment, a step of it.
    pub fn old(&self, node: &Node) -> Tidy {
        let now = node.now();
        Tidy {
            claims_before: now.minus(self.claims),
            allocations_before: now.minus(self.allocations),
            receipts_before: now.minus(self.receipts),
            audit_before: now.minus(AUDIT_KEPT),
            tenants: node.directory().tenants().map(|tenant| kept_by(tenant, now)).collect(),
            step: STEP,
        }
    }
}

fn kept_by(tenant: &Tenant, now: Timestamp) -> TidyTenant {
    TidyTenant {
        tenant: tenant.sid.clone(),
        calls_before: now.minus(tenant.settings.calls_kept),
        events_before: now.minus(tenant.settings.events_kept),
    }
}
