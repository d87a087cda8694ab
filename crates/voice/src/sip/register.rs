//! Registering with trunks that want it (RFC 3261 10.2), for as long as they stand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callveil_domain::trunk::{Target, Trunk};
use rsipstack::dialog::registration::Registration;
use rsipstack::sip::typed::Contact;
use rsipstack::sip::{Header, Param, Response, Uri};
use tokio::time::{Instant, timeout};

use super::outbound::{at, credential, host_of};
use super::trunks::{Registered, Thread, Way};
use super::{Shared, carried_by, kind};

/// How often it is looked whether a registration is due.
const TURN: Duration = Duration::from_secs(1);

/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// How long a registrar may take to hear that we go.
const FAREWELL: Duration = Duration::from_secs(2);

/// Keeps all trunks registered that want it, until SIP ends or takes no more calls.
pub(super) async fn keep_registered(shared: Arc<Shared>) {
    let mut turns = tokio::time::interval(TURN);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = shared.stop.cancelled() => return,
        }
        if shared.is_draining() {
            return;
        }
        // Until it has come out, the next is an hour off.
        for way in shared.trunks.to_be_registered(Instant::now()) {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                let next = match register(&shared, &way).await {
                    Some((granted, registered)) => {
                        let unwanted = match shared.is_draining() {
                            true => Some(registered),
                            false => shared.trunks.note(registered),
                        };
                        give_up(&shared, unwanted.into_iter().collect()).await;
                        granted / 2
                    }
                    None => AGAIN,
                };
                way.register_at(Instant::now() + next);
            });
        }
    }
}

/// Tells registrars that we are not there any more.
pub(super) async fn give_up(shared: &Shared, all: Vec<Registered>) {
    let mut told = tokio::task::JoinSet::new();
    for Registered { trunk, target, address, thread } in all {
        let Some(mut asked) = Request::to(shared, &trunk, &target, address, thread) else { continue };
        told.spawn(async move {
            if timeout(FAREWELL, asked.send(Duration::ZERO)).await.is_err() {
                tracing::warn!(trunk = %trunk.name, "the trunk {} did not hear that we go", trunk.name);
            }
        });
    }
    told.join_all().await;
}

/// Registers with the first address that lets us; tells for how long it stands.
async fn register(shared: &Shared, way: &Way) -> Option<(Duration, Registered)> {
    let trunk = &way.trunk;
    let wanted = trunk.register?;
    for target in &trunk.targets {
        for address in way.in_order(shared.addresses(target, trunk.transport).await, Instant::now()) {
            let Some(stack) = shared.stack_towards(address.ip()) else { continue };
            if !shared.prepare(stack, trunk, target, address).await {
                continue;
            }
            let thread = way.thread(address).unwrap_or_else(|| Thread { call_id: shared.token(), cseq: 0 });
            let mut request = Request::to(shared, trunk, target, address, thread)?;
            match request.send(wanted).await {
                Ok(response) if response.status_code.code() == 200 => {
                    way.is_there(address);
                    let granted = Duration::from_secs(request.registration.expires().into());
                    way.is_registered(Instant::now() + granted);
                    let (trunk, target) = (trunk.clone(), target.clone());
                    return Some((granted, Registered { trunk, target, address, thread: request.thread() }));
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

/// A REGISTER for one address of a trunk.
struct Request {
    registration: Registration,
    registrar: Uri,
}

impl Request {
    fn to(
        shared: &Shared,
        trunk: &Trunk,
        target: &Target,
        address: SocketAddr,
        thread: Thread,
    ) -> Option<Request> {
        let stack = shared.stack_towards(address.ip())?;
        let login = trunk.login.as_ref()?;
        let uri = stack.uri(login.user.clone(), trunk.transport);
        let mut registration = Registration::new(Arc::clone(&stack.endpoint), Some(credential(login)));
        registration.contact = Some(Contact { display_name: None, uri, params: Vec::new() });
        registration.outbound_proxy = Some(address);
        registration.call_id = thread.call_id.into();
        registration.last_seq = thread.cseq;
        registration.extra_headers = vec![Header::Supported("timer".into())];
        let mut registrar = at(None, &host_of(trunk, target));
        registrar.params.push(Param::Transport(carried_by(trunk.transport)));
        Some(Request { registration, registrar })
    }

    fn thread(&self) -> Thread {
        Thread { call_id: self.registration.call_id.value().to_owned(), cseq: self.registration.last_seq }
    }

    /// Asks to stand for so long; for no time, not to stand any more.
    async fn send(&mut self, length: Duration) -> rsipstack::Result<Response> {
        let seconds = u32::try_from(length.as_secs()).unwrap_or(u32::MAX);
        self.registration.register(self.registrar.clone(), Some(seconds)).await
    }
}
