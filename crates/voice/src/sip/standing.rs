//! A leg that stands, whichever side called: offers and answers, keys, refreshes, and the end.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use callveil_domain::trunk::Transport;
use rsipstack::dialog::dialog::{DialogState, DialogStateReceiver, TerminatedReason, TransactionHandle};
use rsipstack::sip::{Header, HeadersExt, Method, Request, Response, StatusCode};
use rsipstack::transaction::transaction::Transaction;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::dialogs::Kept;
use super::outgoing::ALLOWED;
use super::session::{Due, SHORTEST, Said, Session};
use super::trunks::Place;
use super::{Shared, kind, reading};
use crate::leg::{Cause, Description, EndedBy, Event, Order};

/// Orders that may wait for a leg.
pub(super) const ORDERS: usize = 8;

/// Events that may wait for whoever drives a leg.
pub(super) const EVENTS: usize = 32;

/// How often a re-INVITE is tried that crosses the peer's (RFC 3261 14.1).
const GLARE_TRIES: usize = 3;

/// A leg's two ends: the dialogue in the library, and whoever drives it.
pub(super) struct Line {
    pub(super) shared: Arc<Shared>,
    pub(super) kept: Kept,
    pub(super) states: DialogStateReceiver,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) events: mpsc::Sender<Event>,
    /// Its place on the trunk.
    #[expect(dead_code, reason = "held, and given back when it is dropped")]
    pub(super) place: Place,
}

impl Line {
    /// Tells what happened. Whoever does not listen any more has let go of the leg, which the orders tell.
    pub(super) async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }
}

/// What carries the messages of a request that came.
pub(super) fn carried(transaction: &Transaction) -> Transport {
    match transaction.connection.as_ref().map(|connection| connection.transport()) {
        Some(rsipstack::sip::Transport::Tcp) => Transport::Tcp,
        Some(rsipstack::sip::Transport::Tls) => Transport::Tls,
        _ => Transport::Udp,
    }
}

/// The header fields and the body of a message that carries a description.
pub(super) fn with_description(
    mut headers: Vec<Header>,
    description: Option<Description>,
) -> (Vec<Header>, Option<Vec<u8>>) {
    if description.is_some() {
        headers.push(Header::ContentType("application/sdp".into()));
    }
    (headers, description.map(|description| description.to_vec()))
}

/// Whether the peer has acknowledged our answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledgement {
    /// Not yet; `offered`: our answer carried an offer, so its acknowledgement carries the answer.
    Awaited { offered: bool },
    /// It has.
    Come,
}

/// A leg that stands.
pub(super) struct Standing {
    line: Line,
    /// What we said last: a refresh says it again.
    said: Description,
    session: Option<Session>,
    refreshed_at: Instant,
    /// Whether the peer takes UPDATE (RFC 3311).
    updates: bool,
    acknowledgement: Acknowledgement,
    /// The peer's offer, while our driver thinks about it.
    theirs: Option<Theirs>,
    /// Our request, while the peer thinks about it.
    ours: Option<Ours>,
}

struct Theirs {
    reply: oneshot::Receiver<Description>,
    handle: TransactionHandle,
    session: Session,
    /// The peer asked for our offer, by an INVITE of this number: its ACK brings the answer.
    asked: bool,
}

struct Ours {
    request: JoinHandle<rsipstack::Result<Option<Response>>>,
    why: Why,
}

/// Why we sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Offer,
    Refresh,
}

impl Standing {
    pub(super) fn new(
        line: Line,
        said: Description,
        session: Option<Session>,
        peer: &impl HeadersExt,
        acknowledgement: Acknowledgement,
    ) -> Standing {
        Standing {
            line,
            said,
            session,
            refreshed_at: Instant::now(),
            updates: allows_update(peer),
            acknowledgement,
            theirs: None,
            ours: None,
        }
    }

    /// Runs the leg until it has ended.
    pub(super) async fn run(mut self) {
        let ended = loop {
            let due = self.session.map(Session::due);
            let ended = tokio::select! {
                order = self.line.orders.recv() => self.obey(order),
                state = self.line.states.recv() => self.hear(state).await,
                reply = reply_to(&mut self.theirs) => {
                    self.answer_theirs(reply).await;
                    None
                }
                response = response_to(&mut self.ours) => self.take_answer(response).await,
                due = when(self.refreshed_at, due) => match due {
                    Due::Refresh => {
                        self.refresh();
                        None
                    }
                    Due::Expire => Some((EndedBy::Lost, Farewell::Bye(Cause::TIMER))),
                },
            };
            if let Some(ended) = ended {
                break ended;
            }
        };
        let (by, farewell) = ended;
        self.line.tell(Event::Ended(by)).await;
        if let Farewell::Bye(cause) = farewell {
            bye(&self.line.kept, cause).await;
        }
    }

    fn obey(&mut self, order: Option<Order>) -> Option<(EndedBy, Farewell)> {
        match order {
            Some(Order::Offer(description)) => {
                // One at a time: while ours runs, another is not sent.
                if self.ours.is_none() {
                    self.said = description;
                    self.send(Why::Offer);
                }
                None
            }
            Some(Order::Hangup(cause)) => Some((EndedBy::Us, Farewell::Bye(cause))),
            None => Some((EndedBy::Us, Farewell::Bye(Cause::NORMAL))),
            Some(Order::Ring | Order::Progress(_) | Order::Answer(_) | Order::Refuse(_)) => None,
        }
    }

    async fn hear(&mut self, state: Option<DialogState>) -> Option<(EndedBy, Farewell)> {
        match state {
            // Follows every request within the dialogue too: only the first one, or one that brings what we wait for,
            // is news.
            Some(DialogState::Confirmed(..)) => {
                if let Acknowledgement::Awaited { offered } = self.acknowledgement {
                    self.acknowledgement = Acknowledgement::Come;
                    let acknowledged = self.line.kept.dialog.last_remote_ack();
                    let answer = acknowledged.filter(|_| offered);
                    let answer = answer.and_then(|ack| reading::description(&ack, &ack.body));
                    self.line.tell(Event::Acknowledged(answer)).await;
                }
                None
            }
            Some(DialogState::Updated(_, request, handle)) => {
                self.reoffered(&request, handle).await;
                None
            }
            Some(DialogState::Info(_, request, handle)) => {
                match reading::digit(&request) {
                    Some(key) => {
                        self.line.tell(Event::Digit(key)).await;
                        respond(&handle, StatusCode::OK, Vec::new(), None).await;
                    }
                    None if request.body.is_empty() => {
                        respond(&handle, StatusCode::OK, Vec::new(), None).await
                    }
                    None => respond(&handle, StatusCode::UnsupportedMediaType, Vec::new(), None).await,
                }
                None
            }
            Some(DialogState::Options(_, _, handle)) => {
                let allow = vec![Header::Allow(ALLOWED.into())];
                respond(&handle, StatusCode::OK, allow, None).await;
                None
            }
            // Never followed: it would lead a party's telephone to where only the other party knows.
            Some(DialogState::Refer(_, _, handle)) => {
                respond(&handle, StatusCode::Decline, Vec::new(), None).await;
                None
            }
            Some(
                DialogState::Message(_, _, handle)
                | DialogState::Notify(_, _, handle)
                | DialogState::Publish(_, _, handle),
            ) => {
                respond(&handle, StatusCode::MethodNotAllowed, Vec::new(), None).await;
                None
            }
            Some(DialogState::Terminated(_, reason)) => Some((ended_by(&reason), Farewell::None)),
            None => Some((EndedBy::Lost, Farewell::None)),
            Some(
                DialogState::Calling(_)
                | DialogState::Trying(_)
                | DialogState::Early(..)
                | DialogState::WaitAck(..),
            ) => None,
        }
    }

    /// A re-INVITE or an UPDATE.
    async fn reoffered(&mut self, request: &Request, handle: TransactionHandle) {
        let said = Said::by(request);
        if said.is_too_short() {
            let shortest = vec![Header::MinSE(SHORTEST.as_secs().to_string().into())];
            respond(&handle, StatusCode::SessionIntervalTooSmall, shortest, None).await;
            return;
        }
        // Both at once: the peer waits and tries again (RFC 3261 14.2).
        if self.theirs.is_some() || self.ours.is_some() {
            respond(&handle, StatusCode::RequestPending, Vec::new(), None).await;
            return;
        }
        self.updates = self.updates || allows_update(request);
        let session = Session::answering(said);
        let offer = reading::description(request, &request.body);
        if request.method == Method::Update && offer.is_none() {
            respond(&handle, StatusCode::OK, session.in_answer(), None).await;
            self.refreshed(Some(session));
            return;
        }
        let (answer, reply) = oneshot::channel();
        self.theirs = Some(Theirs { reply, handle, session, asked: offer.is_none() });
        self.line.tell(Event::Reoffered(offer, answer)).await;
    }

    async fn answer_theirs(&mut self, reply: Option<Description>) {
        let Some(Theirs { handle, session, asked, .. }) = self.theirs.take() else { return };
        let Some(description) = reply else {
            respond(&handle, StatusCode::NotAcceptableHere, Vec::new(), None).await;
            return;
        };
        self.said = description.clone();
        let mut headers = vec![Header::Allow(ALLOWED.into()), Header::Supported("timer".into())];
        headers.extend(session.in_answer());
        let (headers, body) = with_description(headers, Some(description));
        if asked {
            self.acknowledgement = Acknowledgement::Awaited { offered: true };
        }
        respond(&handle, StatusCode::OK, headers, body).await;
        self.refreshed(Some(session));
    }

    fn refresh(&mut self) {
        // What runs already refreshes too.
        if self.ours.is_none() {
            self.send(Why::Refresh);
        }
        self.refreshed_at = Instant::now();
    }

    fn refreshed(&mut self, session: Option<Session>) {
        self.session = session;
        self.refreshed_at = Instant::now();
    }

    fn send(&mut self, why: Why) {
        let mut headers = vec![Header::Allow(ALLOWED.into()), Header::Supported("timer".into())];
        headers.extend(Session::in_request(self.session, SHORTEST));
        let dialog = self.line.kept.dialog.clone();
        let said = self.said.clone();
        let by_update = why == Why::Refresh && self.updates;
        let request = tokio::spawn(async move {
            if by_update {
                return dialog.update(Some(headers), None).await;
            }
            let (headers, body) = with_description(headers, Some(said));
            dialog.reinvite_with_glare_retry(Some(headers), body, GLARE_TRIES).await
        });
        self.ours = Some(Ours { request, why });
    }

    async fn take_answer(
        &mut self,
        response: Option<rsipstack::Result<Option<Response>>>,
    ) -> Option<(EndedBy, Farewell)> {
        let Ours { why, .. } = self.ours.take()?;
        let response = match response {
            Some(Ok(response)) => response,
            Some(Err(error)) => {
                tracing::debug!("a request within a call was not answered: {}", kind(&error));
                None
            }
            None => None,
        };
        let Some(response) = response else {
            let lost = (EndedBy::Lost, Farewell::Bye(Cause::TIMER));
            return (why == Why::Refresh).then_some(lost).or_else(|| self.kept_as_was(why));
        };
        match response.status_code.code() {
            200..300 => {
                let session = Session::answered(Said::by(&response)).or(self.session);
                self.refreshed(session);
                if why == Why::Offer {
                    let answer = reading::description(&response, &response.body);
                    self.line.tell(Event::Reanswered(answer)).await;
                }
                None
            }
            // The peer has no such call any more (RFC 3261 12.2.1.2).
            408 | 481 => Some((EndedBy::Lost, Farewell::Bye(Cause::TIMER))),
            _ => {
                if why == Why::Offer {
                    self.line.tell(Event::Reanswered(None)).await;
                }
                None
            }
        }
    }

    fn kept_as_was(&self, why: Why) -> Option<(EndedBy, Farewell)> {
        if why == Why::Offer {
            // The driver listens, or has let go: both are fine.
            let _ = self.line.events.try_send(Event::Reanswered(None));
        }
        None
    }
}

/// What is said at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    /// Nothing: the peer knows.
    None,
    Bye(Cause),
}

/// Ends a dialogue that stands. The dialogue is kept until the peer has answered, or is known to be gone.
pub(super) async fn bye(kept: &Kept, cause: Cause) {
    let reason = Header::Reason(reason(cause).into());
    if let Err(error) = kept.dialog.bye_with_headers(Some(vec![reason])).await {
        tracing::debug!("a BYE met no answer: {}", kind(&error));
    }
}

/// The Reason header (RFC 3326), without a text.
pub(super) fn reason(cause: Cause) -> String {
    match cause {
        // Telephones show no missed call then (RFC 3326 section 3.1).
        Cause::ANSWERED_ELSEWHERE => "SIP;cause=200, Q.850;cause=26".to_owned(),
        Cause(cause) => format!("Q.850;cause={cause}"),
    }
}

/// Who ended a dialogue that the library says has ended.
pub(super) fn ended_by(reason: &TerminatedReason) -> EndedBy {
    match reason {
        TerminatedReason::UacBye | TerminatedReason::UasBye => EndedBy::Peer,
        TerminatedReason::UacCancel => EndedBy::Cancelled,
        TerminatedReason::Timeout
        | TerminatedReason::UacBusy
        | TerminatedReason::UasBusy
        | TerminatedReason::UasDecline
        | TerminatedReason::ProxyError(_)
        | TerminatedReason::ProxyAuthRequired
        | TerminatedReason::UacOther(_)
        | TerminatedReason::UasOther(_) => EndedBy::Lost,
    }
}

fn allows_update(message: &impl HeadersExt) -> bool {
    let methods = message.headers().iter().filter_map(|header| {
        let Header::Allow(methods) = header else { return None };
        Some(methods.value())
    });
    methods.flat_map(|methods| methods.split(',')).any(|method| method.trim() == "UPDATE")
}

async fn respond(
    handle: &TransactionHandle,
    status: StatusCode,
    headers: Vec<Header>,
    body: Option<Vec<u8>>,
) {
    // The transaction has ended: nobody waits for this.
    let _ = handle.respond(status, Some(headers), body).await;
}

async fn reply_to(theirs: &mut Option<Theirs>) -> Option<Description> {
    match theirs {
        Some(theirs) => (&mut theirs.reply).await.ok(),
        None => pending().await,
    }
}

async fn response_to(ours: &mut Option<Ours>) -> Option<rsipstack::Result<Option<Response>>> {
    match ours {
        Some(ours) => (&mut ours.request).await.ok(),
        None => pending().await,
    }
}

async fn when(refreshed_at: Instant, due: Option<(Duration, Due)>) -> Due {
    match due {
        Some((after, due)) => {
            sleep_until(refreshed_at + after).await;
            due
        }
        None => pending().await,
    }
}
