//! Registering with trunks that want it (RFC 3261 10.2), for as long as they stand.

use std::sync::Arc;
use std::time::Duration;

use rsipstack::dialog::registration::Registration;
use rsipstack::sip::typed::Contact;
use rsipstack::sip::{Header, Param};
use tokio::time::Instant;

use super::outbound::{at, credential, host_of};
use super::trunks::Way;
use super::{Shared, carried_by, kind};

/// How often it is looked whether a registration is due.
const TURN: Duration = Duration::from_secs(1);

/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// Keeps all trunks registered that want it, until SIP ends.
pub(super) async fn keep_registered(shared: Arc<Shared>) {
    let mut turns = tokio::time::interval(TURN);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = shared.stop.cancelled() => return,
        }
        // Until it has come out, the next is an hour off.
        for way in shared.trunks.to_be_registered(Instant::now()) {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                let next = match register(&shared, &way).await {
                    Some(granted) => granted / 2,
                    None => AGAIN,
                };
                way.register_at(Instant::now() + next);
            });
        }
    }
}

/// Registers with the first address that lets us; tells for how long it stands.
async fn register(shared: &Shared, way: &Way) -> Option<Duration> {
    let trunk = &way.trunk;
    let wanted = u32::try_from(trunk.register?.as_secs()).unwrap_or(u32::MAX);
    let login = trunk.login.as_ref()?;
    for target in &trunk.targets {
        for address in way.in_order(shared.addresses(target, trunk.transport).await, Instant::now()) {
            let Some(stack) = shared.stack_towards(address.ip()) else { continue };
            if !shared.prepare(stack, trunk, target, address).await {
                continue;
            }
            let uri = stack.uri(login.user.clone(), trunk.transport);
            let mut registration = Registration::new(Arc::clone(&stack.endpoint), Some(credential(login)));
            registration.contact = Some(Contact { display_name: None, uri, params: Vec::new() });
            registration.outbound_proxy = Some(address);
            registration.extra_headers = vec![Header::Supported("timer".into())];
            let mut registrar = at(None, &host_of(trunk, target));
            registrar.params.push(Param::Transport(carried_by(trunk.transport)));
            match registration.register(registrar, Some(wanted)).await {
                Ok(response) if response.status_code.code() == 200 => {
                    way.is_there(address);
                    let granted = Duration::from_secs(registration.expires().into());
                    way.is_registered(Instant::now() + granted);
                    return Some(granted);
                }
                Ok(response) => {
                    let status = response.status_code.code();
                    tracing::warn!(trunk = %trunk.name, status, "the trunk {} did not register us", trunk.name);
                }
                Err(error) => {
                    way.has_failed(address, Instant::now());
                    tracing::warn!(trunk = %trunk.name, "registering with the trunk {}: {}", trunk.name, kind(&error));
                }
            }
        }
    }
    None
}
