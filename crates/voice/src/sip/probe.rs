//! Asking a carrier's addresses whether they are there (OPTIONS, RFC 3261 11).

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callveil_domain::trunk::{Target, Trunk};
use rsipstack::sip::typed::{Contact, From, To};
use rsipstack::sip::{Header, Method, Param, SipMessage};
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transaction::transaction::Transaction;
use rsipstack::transport::SipAddr;
use tokio::time::{Instant, timeout};

use super::outbound::{at, host_of};
use super::trunks::Way;
use super::{Shared, carried_by};

/// How long an address may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked whether a trunk is to be asked.
const TURN: Duration = Duration::from_secs(1);

/// What came of asking one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What was asked for.
    pub target: Target,
    /// The address it has; `None` when it has none.
    pub address: Option<SocketAddr>,
    /// The status it answered, whichever: it is there.
    pub answer: Result<u16, Silence>,
}

/// Why an address did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// DNS has no address of that name.
    NoAddress,
    /// Nothing came, or it could not be reached.
    NoAnswer,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Silence::NoAddress => "it has no address",
            Silence::NoAnswer => "no answer",
        })
    }
}

/// Asks every address of a trunk.
pub(super) async fn all(shared: &Shared, trunk: &Trunk) -> Vec<Probed> {
    let mut probed = Vec::new();
    for target in &trunk.targets {
        let found = shared.addresses(target, trunk.transport).await;
        if found.is_empty() {
            probed.push(Probed { target: target.clone(), address: None, answer: Err(Silence::NoAddress) });
        }
        for address in found {
            let answer = ask(shared, trunk, target, address).await.ok_or(Silence::NoAnswer);
            probed.push(Probed { target: target.clone(), address: Some(address), answer });
        }
    }
    probed
}

/// The status that one address answers.
async fn ask(shared: &Shared, trunk: &Trunk, target: &Target, address: SocketAddr) -> Option<u16> {
    let stack = shared.stack_towards(address.ip())?;
    if !shared.prepare(stack, trunk, target, address).await {
        return None;
    }
    let carried = carried_by(trunk.transport);
    let ours = stack.uri(shared.token(), trunk.transport);
    let theirs = at(None, &host_of(trunk, target));
    let via = stack.endpoint.get_via(stack.sends_from(trunk.transport), None).ok()?;
    let from = From {
        display_name: None,
        uri: at(None, &ours.host_with_port),
        params: vec![Param::Tag(shared.token().into())],
    };
    let to = To { display_name: None, uri: theirs.clone(), params: Vec::new() };
    let call_id = Some(shared.token().into());
    let mut request = stack.endpoint.make_request(Method::Options, theirs, via, from, to, 1, call_id);
    request.headers.push(Contact { display_name: None, uri: ours, params: Vec::new() }.into());
    request.headers.push(Header::Accept("application/sdp".into()));
    let key = TransactionKey::from_request(&request, TransactionRole::Client).ok()?;
    let mut transaction = Transaction::new_client(key, request, Arc::clone(&stack.endpoint), None);
    transaction.destination = Some(SipAddr { r#type: Some(carried), addr: address.into() });
    let answered = async {
        transaction.send().await.ok()?;
        while let Some(message) = transaction.receive().await {
            if let SipMessage::Response(response) = message
                && response.status_code.code() >= 200
            {
                // What the library itself says when it cannot send is no answer.
                return transaction.connection.is_some().then(|| response.status_code.code());
            }
        }
        None
    };
    timeout(PATIENCE, answered).await.ok().flatten()
}

/// Asks each trunk as often as it wants to be asked, until SIP ends.
pub(super) async fn keep_asking(shared: Arc<Shared>) {
    let mut turns = tokio::time::interval(TURN);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = shared.stop.cancelled() => return,
        }
        for way in shared.trunks.to_be_asked(Instant::now()) {
            tokio::spawn(note(Arc::clone(&shared), way));
        }
    }
}

/// Notes down which addresses of a trunk are there.
async fn note(shared: Arc<Shared>, way: Arc<Way>) {
    for Probed { address, answer, .. } in all(&shared, &way.trunk).await {
        let Some(address) = address else { continue };
        match answer {
            Ok(_) => way.is_there(address),
            Err(_) => way.has_failed(address, Instant::now()),
        }
    }
}
