//! A caller's leg, from the INVITE to the answer.

use std::net::IpAddr;
use std::sync::Arc;

use rsipstack::dialog::dialog::{DialogState, TerminatedReason};
use rsipstack::sip::{HasHeaders, Header, Host, Request, StatusCode};
use rsipstack::transaction::transaction::{Transaction, TransactionEvent, TransactionEventSender};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::outgoing::ALLOWED;
use super::session::{SHORTEST, Said, Session};
use super::stack::Stack;
use super::standing::{self, Acknowledgement, Line, Standing};
use super::trunks::{Place, Way};
use super::{Shared, reading, settle};
use crate::leg::{Description, Encryption, EndedBy, Event, Invitation, Leg, Order, Refusal};

/// The extensions of SIP that we have (RFC 3261 19.2).
const SUPPORTED: &str = "timer";

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
    tags.filter(|tag| !tag.is_empty() && !tag.eq_ignore_ascii_case(SUPPORTED)).map(str::to_owned).collect()
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

    let kept = shared.dialogs.keep(&stack.layer, dialog.clone());
    let request = transaction.original.clone();
    let (orders, ordered) = mpsc::channel(standing::ORDERS);
    let (events, happened) = mpsc::channel(standing::EVENTS);
    let caller = Caller {
        line: Line { shared: Arc::clone(shared), kept, states, orders: ordered, events, place },
        responses: transaction.tu_sender.clone(),
        request,
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
}

impl Caller {
    async fn run(mut self) {
        loop {
            tokio::select! {
                order = self.line.orders.recv() => match order {
                    Some(Order::Ring) => self.provisional(None),
                    Some(Order::Progress(description)) => self.provisional(Some(description)),
                    Some(Order::Answer(description)) => return self.answer(description).await,
                    Some(Order::Refuse(refusal)) => return self.refuse(refusal, EndedBy::Us).await,
                    Some(Order::Hangup(_)) => return self.end(StatusCode::RequestTerminated).await,
                    None => return self.end(StatusCode::ServerInternalError).await,
                    // Nothing stands yet that could be offered anew.
                    Some(Order::Offer(_)) => {}
                },
                state = self.line.states.recv() => match state {
                    Some(DialogState::Terminated(_, reason)) => {
                        let by = match reason {
                            TerminatedReason::UacCancel => EndedBy::Cancelled,
                            TerminatedReason::UacBye => EndedBy::Peer,
                            TerminatedReason::Timeout
                            | TerminatedReason::UasBye
                            | TerminatedReason::UacBusy
                            | TerminatedReason::UasBusy
                            | TerminatedReason::UasDecline
                            | TerminatedReason::ProxyError(_)
                            | TerminatedReason::ProxyAuthRequired
                            | TerminatedReason::UacOther(_)
                            | TerminatedReason::UasOther(_) => EndedBy::Lost,
                        };
                        return self.line.tell(Event::Ended(by)).await;
                    }
                    None => return self.line.tell(Event::Ended(EndedBy::Lost)).await,
                    Some(_) => {}
                },
            }
        }
    }

    fn provisional(&self, description: Option<Description>) {
        let (headers, body) = standing::with_description(Vec::new(), description);
        let sent = self.line.kept.dialog.ringing(Some(headers), body);
        settle(sent);
    }

    async fn answer(self, description: Description) {
        let session = Session::answering(Said::by(&self.request));
        let mut headers = vec![Header::Allow(ALLOWED.into()), Header::Supported(SUPPORTED.into())];
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
