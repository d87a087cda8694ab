//! A caller's leg, from the INVITE to the answer.

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;

use rsipstack::dialog::dialog::DialogState;
use rsipstack::sip::{HasHeaders, Header, Host, Request, StatusCode};
use rsipstack::transaction::transaction::{Transaction, TransactionEvent, TransactionEventSender};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::outgoing::ALLOWED;
use super::reliable::{self, Overdue, Reliable};
use super::session::{SHORTEST, Said, Session};
use super::stack::Stack;
use super::standing::{self, Acknowledgement, Line, Standing};
use super::trunks::{Place, Way};
use super::{Shared, reading, settle};
use crate::leg::{Description, Encryption, EndedBy, Event, Invitation, Leg, Order, Refusal};

/// The extensions of SIP that we have (RFC 3261 19.2).
const SUPPORTED: [&str; 2] = ["timer", reliable::EXTENSION];

/// What tells a peer of them.
pub(super) fn supported() -> Header {
    Header::Supported(SUPPORTED.join(", ").into())
}

/// PRACKs that may wait for a leg.
const PRACKS: usize = 4;

/// An INVITE that begins a call.
pub(super) fn invite(
    shared: &Arc<Shared>,
    stack: &Arc<Stack>,
    way: &Way,
    source: IpAddr,
    mut transaction: Transaction,
    invitations: &mpsc::Sender<Invitation>,
) {
    match admit(shared, way, &transaction.original) {
        Ok(place) => {
            if let Err(refused) = accept(shared, stack, way, place, transaction, source, invitations) {
                let Unborn { mut transaction, status } = *refused;
                tokio::spawn(async move { settle(transaction.reply(status).await) });
            }
        }
        Err(Refused { status, headers }) => {
            tokio::spawn(async move { settle(transaction.reply_with(status, headers, None).await) });
        }
    }
}

/// Where a request came from.
pub(super) fn source(transaction: &Transaction) -> Option<IpAddr> {
    match &transaction.connection.as_ref()?.get_remote_addr()?.addr.host {
        Host::IpAddr(address) => Some(*address),
        Host::Domain(_) => None,
    }
}

/// A refusal before there is a dialogue.
struct Refused {
    status: StatusCode,
    headers: Vec<Header>,
}

impl Refused {
    fn with(status: StatusCode, headers: Vec<Header>) -> Refused {
        Refused { status, headers }
    }
}

/// Whether a call is to be taken up at all.
fn admit(shared: &Shared, way: &Way, request: &Request) -> Result<Place, Refused> {
    let retry_after = || vec![Header::RetryAfter(shared.settings.retry_after.to_string().into())];
    if reading::max_forwards(request) == 0 {
        return Err(Refused::with(StatusCode::TooManyHops, Vec::new()));
    }
    let unsupported = required(request);
    if !unsupported.is_empty() {
        let headers = vec![Header::Unsupported(unsupported.join(", ").into())];
        return Err(Refused::with(StatusCode::BadExtension, headers));
    }
    if Said::by(request).is_too_short() {
        let headers = vec![Header::MinSE(SHORTEST.as_secs().to_string().into())];
        return Err(Refused::with(StatusCode::SessionIntervalTooSmall, headers));
    }
    if !request.body.is_empty() && reading::description(request, &request.body).is_none() {
        let headers = vec![Header::Accept("application/sdp".into())];
        return Err(Refused::with(StatusCode::UnsupportedMediaType, headers));
    }
    let clear = !request.body.is_empty() && !asks_for_encryption(&request.body);
    if way.encryption() == Encryption::On && clear {
        return Err(Refused::with(StatusCode::NotAcceptableHere, Vec::new()));
    }
    if let Some(login) = &way.trunk.accepts
        && !shared.challenges.are_met(request, login, Instant::now())
    {
        let challenges = shared.challenges.open(shared.token(), Instant::now());
        return Err(Refused::with(StatusCode::Unauthorized, challenges));
    }
    let full = shared.is_draining() || shared.dialogs.len() >= shared.settings.calls;
    let place = if full { None } else { way.admit(Instant::now()) };
    place.ok_or_else(|| Refused::with(StatusCode::ServiceUnavailable, retry_after()))
}

fn asks_for_encryption(offer: &[u8]) -> bool {
    offer.windows(8).any(|word| word == b"RTP/SAVP")
}

/// The extensions that a request requires and that we have not.
fn required(request: &Request) -> Vec<String> {
    let required = request.headers().iter().filter_map(|header| {
        let Header::Require(required) = header else { return None };
        Some(required.value())
    });
    let tags = required.flat_map(|tags| tags.split(',')).map(str::trim);
    let is_there = |tag: &str| SUPPORTED.iter().any(|supported| tag.eq_ignore_ascii_case(supported));
    tags.filter(|tag| !tag.is_empty() && !is_there(tag)).map(str::to_owned).collect()
}

/// A call of which no leg came to be.
struct Unborn {
    transaction: Transaction,
    status: StatusCode,
}

fn accept(
    shared: &Arc<Shared>,
    stack: &Arc<Stack>,
    way: &Way,
    place: Place,
    mut transaction: Transaction,
    source: IpAddr,
    invitations: &mpsc::Sender<Invitation>,
) -> Result<(), Box<Unborn>> {
    let unborn = |transaction, status| Box::new(Unborn { transaction, status });
    let Ok(waiting) = invitations.clone().try_reserve_owned() else {
        return Err(unborn(transaction, StatusCode::ServiceUnavailable));
    };
    let (told, states) = stack.layer.new_dialog_state_channel();
    let contact = stack.uri(shared.token(), standing::carried(&transaction));
    let made = stack.layer.get_or_create_server_invite(&transaction, told, None, Some(contact));
    // The library asks for a Contact and for tags.
    let Ok(mut dialog) = made else { return Err(unborn(transaction, StatusCode::BadRequest)) };

    let request = transaction.original.clone();
    let random = (shared.randomness)().next_u32();
    let reliable = Reliable::required_by(&request, random, shared.settings.t1());
    let (told_of_pracks, pracks) = reliable.is_some().then(|| mpsc::channel(PRACKS)).unzip();
    let kept = shared.dialogs.keep(&stack.layer, dialog.clone(), told_of_pracks);
    let (orders, ordered) = mpsc::channel(standing::ORDERS);
    let (events, happened) = mpsc::channel(standing::EVENTS);
    let caller = Caller {
        line: Line { shared: Arc::clone(shared), kept, states, orders: ordered, events, place },
        responses: transaction.tu_sender.clone(),
        request,
        reliable,
        pracks,
        answer: None,
    };
    let request = &caller.request;
    let invitation = Invitation {
        leg: Leg { orders, events: happened },
        trunk: way.trunk.name.clone(),
        dialled: reading::dialled(request, &way.trunk),
        caller: reading::caller(request, &way.trunk),
        attestation: reading::attestation(request),
        offer: reading::description(request, &request.body),
        encryption: if asks_for_encryption(&request.body) { Encryption::On } else { way.encryption() },
        max_forwards: reading::max_forwards(request),
        source,
    };
    tokio::spawn(caller.run());
    tokio::spawn(async move { settle(dialog.handle(&mut transaction).await) });
    waiting.send(invitation);
    Ok(())
}

/// A caller that waits.
struct Caller {
    line: Line,
    /// Gives the INVITE's transaction a response to send.
    responses: TransactionEventSender,
    request: Request,
    /// Where provisional responses are to be acknowledged.
    reliable: Option<Reliable>,
    pracks: Option<mpsc::Receiver<Box<Transaction>>>,
    /// The answer that waits until what was described before has arrived.
    answer: Option<Description>,
}

impl Caller {
    async fn run(mut self) {
        loop {
            let due = self.reliable.as_ref().and_then(Reliable::due);
            tokio::select! {
                order = self.line.orders.recv() => match order {
                    Some(Order::Ring) => self.provisional(None),
                    Some(Order::Progress(description)) => self.provisional(Some(description)),
                    Some(Order::Answer(description)) => self.answer = Some(description),
                    Some(Order::Refuse(refusal)) => return self.refuse(refusal, EndedBy::Us).await,
                    Some(Order::Hangup(_)) => return self.end(StatusCode::RequestTerminated).await,
                    None => return self.end(StatusCode::ServerInternalError).await,
                    // Nothing stands yet that could be offered anew.
                    Some(Order::Offer(_)) => {}
                },
                state = self.line.states.recv() => match state {
                    Some(DialogState::Terminated(_, reason)) => {
                        return self.line.tell(Event::Ended(standing::ended_by(&reason))).await;
                    }
                    None => return self.line.tell(Event::Ended(EndedBy::Lost)).await,
                    Some(_) => {}
                },
                prack = next(&mut self.pracks) => self.acknowledged(prack).await,
                () = when(due) => match self.reliable.as_mut().and_then(|r| r.overdue(Instant::now())) {
                    Some(Overdue::Again(provisional)) => {
                        self.send(provisional.headers(), provisional.description);
                    }
                    Some(Overdue::GiveUp) => {
                        let refusal = Refusal { status: 504, retry_after: None };
                        return self.refuse(refusal, EndedBy::Lost).await;
                    }
                    None => {}
                },
            }
            let held = self.reliable.as_ref().is_some_and(Reliable::holds_the_answer);
            if !held && let Some(description) = self.answer.take() {
                return self.answer(description).await;
            }
        }
    }

    fn provisional(&mut self, description: Option<Description>) {
        let Some(reliable) = &mut self.reliable else { return self.send(Vec::new(), description) };
        // Without an offer, the first reliable response would have to carry ours (RFC 3261 13.2.1): the answer does.
        if !self.request.body.is_empty()
            && let Some(provisional) = reliable.say(description, Instant::now())
        {
            self.send(provisional.headers(), provisional.description);
        }
    }

    fn send(&self, headers: Vec<Header>, description: Option<Description>) {
        let (headers, body) = standing::with_description(headers, description);
        settle(self.line.kept.dialog.ringing(Some(headers), body));
    }

    async fn acknowledged(&mut self, mut prack: Box<Transaction>) {
        let Some(reliable) = &mut self.reliable else { return };
        let status = match reliable.acknowledge(&prack.original) {
            false => StatusCode::CallTransactionDoesNotExist,
            true if prack.original.body.is_empty() => StatusCode::OK,
            // Another offer, before ours is answered: not taken.
            true => StatusCode::NotAcceptableHere,
        };
        let next = reliable.go_on(Instant::now());
        settle(prack.reply(status).await);
        if let Some(provisional) = next {
            self.send(provisional.headers(), provisional.description);
        }
    }

    async fn answer(self, description: Description) {
        let session = Session::answering(Said::by(&self.request));
        let mut headers = vec![Header::Allow(ALLOWED.into()), supported()];
        headers.extend(session.in_answer());
        let offered = reading::description(&self.request, &self.request.body).is_none();
        let (headers, body) = standing::with_description(headers, Some(description.clone()));
        settle(self.line.kept.dialog.accept(Some(headers), body));
        let acknowledgement = Acknowledgement::Awaited { offered };
        Standing::new(self.line, description, Some(session), &self.request, acknowledgement).run().await;
    }

    async fn end(self, status: StatusCode) {
        self.refuse(Refusal { status: status.code(), retry_after: None }, EndedBy::Us).await;
    }

    async fn refuse(self, refusal: Refusal, by: EndedBy) {
        let status = StatusCode::from(refusal.status);
        let dialog = &self.line.kept.dialog;
        if let Some(seconds) = refusal.retry_after {
            // The library's refusal has no header fields: this one goes before it, and that one is not sent then.
            let mut response =
                self.line.shared.respond(&self.request, status.clone(), &dialog.id().local_tag);
            response.headers.push(Header::RetryAfter(seconds.to_string().into()));
            // The transaction may have ended: then there is nobody to refuse.
            let _ = self.responses.send(TransactionEvent::Respond(response));
        }
        settle(dialog.reject(Some(status), None));
        self.line.tell(Event::Ended(by)).await;
    }
}

async fn next(pracks: &mut Option<mpsc::Receiver<Box<Transaction>>>) -> Box<Transaction> {
    let Some(open) = pracks else { return pending().await };
    match open.recv().await {
        Some(prack) => prack,
        None => pending().await,
    }
}

async fn when(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}
