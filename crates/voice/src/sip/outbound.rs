//! A telephone that we ring: by the trunks that lead there, one address after the other.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use callveil_domain::trunk::{Identity, Login, Target, Trunk};
use rsipstack::dialog::authenticate::Credential;
use rsipstack::dialog::dialog::{DialogState, DialogStateReceiver};
use rsipstack::dialog::invitation::InviteOption;
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::typed::Route;
use rsipstack::sip::uri::Domain;
use rsipstack::sip::{Header, Host, HostWithPort, Param, Response, Scheme, Uri};
use rsipstack::transaction::transaction::Transaction;
use rsipstack::transport::SipAddr;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::dialogs::Kept;
use super::outgoing::{ALLOWED, hop_mark};
use super::session::{SHORTEST, Said, Session};
use super::standing::{self, Acknowledgement, Line, Standing};
use super::trunks::{Place, Way};
use super::{Shared, carried_by, kind, reading};
use crate::leg::{Cause, Dial, Encryption, EndedBy, Event, Leg, Order};

/// How long an address may say nothing at all before the next is tried.
const SILENCE: Duration = Duration::from_secs(5);

/// The longest session that a peer may ask for: a day.
const LONGEST_SESSION: Duration = Duration::from_secs(86_400);

/// What is told of a telephone that no trunk leads to.
const NO_TRUNK: u16 = 503;

/// No answer at all is what 408 says (RFC 3261 8.1.3.1).
const SILENT: u16 = 408;

/// Begins to ring a telephone.
pub(super) fn dial(shared: Arc<Shared>, dial: Dial) -> Leg {
    let (orders, ordered) = mpsc::channel(standing::ORDERS);
    let (events, happened) = mpsc::channel(standing::EVENTS);
    let telephone = Telephone { shared, dial, orders: ordered, events };
    tokio::spawn(telephone.run());
    Leg { orders, events: happened }
}

struct Telephone {
    shared: Arc<Shared>,
    dial: Dial,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<Event>,
}

/// How one attempt came out.
enum Outcome {
    /// The leg has ended, or stands and is run elsewhere.
    Done,
    /// Refused for good, with this status.
    Refused(u16),
    /// The next address may do better.
    Failed(u16),
    /// The peer wants sessions of at least this length (RFC 4028 section 7.3).
    Longer(Duration),
}

/// What came of asking for another offer.
enum Offered {
    /// There is one.
    New,
    /// None can be made.
    None,
    /// The telephone is not to be rung any more.
    GivenUp,
}

impl Telephone {
    async fn run(mut self) {
        let mut last = NO_TRUNK;
        for way in self.shared.trunks.route(self.dial.to, self.dial.show) {
            if way.encryption() != self.dial.encryption {
                match self.ask_for_offer(way.encryption()).await {
                    Offered::New => {}
                    Offered::None => continue,
                    Offered::GivenUp => return,
                }
            }
            for target in &way.trunk.targets {
                let found = self.shared.addresses(target, way.trunk.transport).await;
                for address in way.in_order(found, Instant::now()) {
                    let mut least = SHORTEST;
                    loop {
                        let Some(place) = way.admit(Instant::now()) else { break };
                        let attempt = Attempt { way: &way, target, address, least, place };
                        let (telephone, outcome) = self.attempt(attempt).await;
                        let Some(telephone) = telephone else { return };
                        self = telephone;
                        match outcome {
                            Outcome::Done => return,
                            Outcome::Refused(status) => return self.refused(status).await,
                            Outcome::Failed(status) => last = status,
                            // Once more, and no more often than the peer's wish grows.
                            Outcome::Longer(wish) if wish > least && wish <= LONGEST_SESSION => {
                                least = wish;
                                continue;
                            }
                            Outcome::Longer(_) => last = 422,
                        }
                        break;
                    }
                }
            }
        }
        self.refused(last).await;
    }

    /// Asks whoever drives the leg for an offer that this trunk takes.
    async fn ask_for_offer(&mut self, encryption: Encryption) -> Offered {
        let (reply, mut offered) = oneshot::channel();
        // Whoever has let go is noticed by the orders.
        let _ = self.events.send(Event::Wanted(encryption, reply)).await;
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(Order::Hangup(_)) | None => {
                        let _ = self.events.send(Event::Ended(EndedBy::Us)).await;
                        return Offered::GivenUp;
                    }
                    Some(_) => {}
                },
                offer = &mut offered => {
                    let Ok(offer) = offer else { return Offered::None };
                    (self.dial.offer, self.dial.encryption) = (offer, encryption);
                    return Offered::New;
                }
            }
        }
    }

    async fn refused(self, status: u16) {
        // Whoever has let go does not want to know.
        let _ = self.events.send(Event::Refused(status)).await;
    }

    /// Rings by one address; gives itself back when the next is to be tried.
    async fn attempt(mut self, attempt: Attempt<'_>) -> (Option<Telephone>, Outcome) {
        let Attempt { way, target, address, least, place } = attempt;
        let Some(stack) = self.shared.stack_towards(address.ip()).cloned() else {
            return (Some(self), Outcome::Failed(NO_TRUNK));
        };
        if !self.shared.prepare(&stack, &way.trunk, target, address).await {
            way.has_failed(address, Instant::now());
            way.came_to(NO_TRUNK);
            return (Some(self), Outcome::Failed(NO_TRUNK));
        }
        let contact = stack.uri(self.shared.token(), way.trunk.transport);
        let mut option = invite(&self.dial, &way.trunk, target, address, contact, self.shared.token());
        option.headers.get_or_insert_default().extend(Session::in_request(None, least));
        let (told, mut states) = stack.layer.new_dialog_state_channel();
        let (dialog, transaction) = match stack.layer.create_client_invite_dialog(option, told) {
            Ok(begun) => begun,
            Err(error) => {
                tracing::warn!(call.id = %self.dial.call, trunk = %way.trunk.name, "a call was not sent: {}", kind(&error));
                return (Some(self), Outcome::Failed(NO_TRUNK));
            }
        };
        let mut answer = answer(dialog.clone(), transaction);
        let kept = self.shared.dialogs.keep(&stack.layer, dialog, None);
        let mut ringing = Ringing::Silent(Instant::now() + SILENCE);
        loop {
            tokio::select! {
                // What was heard before the answer is told before it.
                biased;
                order = self.orders.recv() => match order {
                    Some(Order::Hangup(cause)) => {
                        return self.give_up(kept, answer, cause).await;
                    }
                    None => return self.give_up(kept, answer, Cause::NORMAL).await,
                    Some(_) => {}
                },
                Some(state) = states.recv() => {
                    if let Some(heard) = heard(&state) {
                        ringing = Ringing::Heard;
                        way.is_there(address);
                        self.tell(heard).await;
                    }
                }
                () = ringing.too_long() => {
                    way.has_failed(address, Instant::now());
                    way.came_to(SILENT);
                    tokio::spawn(cancel(kept, answer));
                    return (Some(self), Outcome::Failed(SILENT));
                }
                answered = &mut answer => {
                    while let Ok(state) = states.try_recv() {
                        self.tell(heard(&state).flatten()).await;
                    }
                    return self.answered(answered, kept, states, way, place).await;
                }
            }
        }
    }

    async fn tell(&self, event: Option<Event>) {
        if let Some(event) = event {
            // Whoever has let go is noticed by the orders.
            let _ = self.events.send(event).await;
        }
    }

    async fn answered(
        self,
        answered: rsipstack::Result<Option<Response>>,
        kept: Kept,
        states: DialogStateReceiver,
        way: &Way,
        place: Place,
    ) -> (Option<Telephone>, Outcome) {
        let response = answered.unwrap_or_else(|error| {
            tracing::debug!(call.id = %self.dial.call, "a call failed: {}", kind(&error));
            None
        });
        let status = response.as_ref().map_or(SILENT, |response| response.status_code.code());
        way.came_to(status);
        let Some(response) = response else { return (Some(self), Outcome::Failed(status)) };
        match status {
            200..300 => {
                self.shared.answers.first(&kept.dialog.id(), Instant::now());
                let description = reading::description(&response, &response.body);
                let session = Session::answered(Said::by(&response));
                let Telephone { shared, dial, orders, events } = self;
                let line = Line { shared, kept, states, orders, events, place };
                line.tell(Event::Answered(description)).await;
                let acknowledgement = Acknowledgement::Come;
                Standing::new(line, dial.offer, session, &response, acknowledgement).run().await;
                (None, Outcome::Done)
            }
            422 => {
                let least = Said::by(&response).shortest().unwrap_or_default();
                (Some(self), Outcome::Longer(least))
            }
            408 | 500..600 => (Some(self), Outcome::Failed(status)),
            _ => (Some(self), Outcome::Refused(status)),
        }
    }

    /// Ends the attempt for good: CANCEL, and BYE should an answer cross it.
    async fn give_up(self, kept: Kept, answer: Answer, cause: Cause) -> (Option<Telephone>, Outcome) {
        let _ = self.events.send(Event::Ended(EndedBy::Us)).await;
        let _said = self.shared.farewells.say(kept.dialog.id().call_id, standing::reason(cause));
        cancel(kept, answer).await;
        (None, Outcome::Done)
    }
}

/// An attempt by one address of one trunk.
struct Attempt<'a> {
    way: &'a Way,
    target: &'a Target,
    address: SocketAddr,
    least: Duration,
    place: Place,
}

/// Whether the address has said anything yet.
enum Ringing {
    Silent(Instant),
    Heard,
}

impl Ringing {
    async fn too_long(&self) {
        match self {
            Ringing::Silent(until) => sleep_until(*until).await,
            Ringing::Heard => std::future::pending().await,
        }
    }
}

/// The final response to an INVITE, when it comes; `None` when none did.
type Answer = Pin<Box<dyn Future<Output = rsipstack::Result<Option<Response>>> + Send>>;

/// Sends the INVITE and waits for its final response.
///
/// The transaction is let go as soon as that has come, and not after the 32 s (64 x T1) in which the library would
/// wait for answers by other branches: it holds 16 KiB for each call then. Its last ACK stays with the library and meets every
/// repetition; answers by other branches are ended by [`forks`](super::forks).
fn answer(dialog: InviteDialog, mut transaction: Transaction) -> Answer {
    Box::pin(async move {
        let (_, response) = dialog.process_invite(&mut transaction).await?;
        Ok(response)
    })
}

/// What a state of the dialogue says of the address: nothing, that it is there, or that the telephone rings.
fn heard(state: &DialogState) -> Option<Option<Event>> {
    match state {
        DialogState::Trying(_) => Some(None),
        DialogState::Early(_, response) => {
            let description = reading::description(response, &response.body);
            let rings = matches!(response.status_code.code(), 180 | 183);
            Some(rings.then_some(Event::Ringing(description)))
        }
        DialogState::Calling(_)
        | DialogState::WaitAck(..)
        | DialogState::Confirmed(..)
        | DialogState::Updated(..)
        | DialogState::Publish(..)
        | DialogState::Notify(..)
        | DialogState::Refer(..)
        | DialogState::Message(..)
        | DialogState::Info(..)
        | DialogState::Options(..)
        | DialogState::Terminated(..) => None,
    }
}

/// Cancels, and keeps the dialogue until all is settled: an answer that crosses the CANCEL is ended by the library.
async fn cancel(kept: Kept, answer: Answer) {
    let cancelled = async {
        if let Err(error) = kept.dialog.cancel().await {
            tracing::debug!("a CANCEL met no answer: {}", kind(&error));
        }
    };
    let ((), settled) = tokio::join!(cancelled, answer);
    // The answer was there before the CANCEL was asked for.
    if settled.is_ok() && kept.dialog.state().is_confirmed() {
        standing::bye(&kept, Cause::NORMAL).await;
    }
}

/// The INVITE, made of nothing but the dial and the trunk.
fn invite(
    dial: &Dial,
    trunk: &Trunk,
    target: &Target,
    address: SocketAddr,
    contact: Uri,
    call_id: String,
) -> InviteOption {
    let host = host_of(trunk, target);
    let shown = trunk.write(dial.show);
    let ours = HostWithPort { host: contact.host_with_port.host.clone(), port: None };
    let ours = if trunk.domain.is_some() { host.clone() } else { ours };
    let mut headers = vec![
        Header::MaxForwards(u32::from(dial.max_forwards).into()),
        Header::Allow(ALLOWED.into()),
        Header::Supported("timer".into()),
    ];
    if trunk.identity == Identity::Asserted {
        let identity = at(Some(shown.clone()), &ours);
        headers.push(Header::PAssertedIdentity(format!("<{identity}>").into()));
    }
    let carried = carried_by(trunk.transport);
    let hop = Uri {
        scheme: Some(Scheme::Sip),
        auth: None,
        host_with_port: address.into(),
        params: vec![Param::Transport(carried), Param::Lr, hop_mark()],
        headers: Vec::new(),
    };
    let login = trunk.login.as_ref();
    InviteOption {
        caller: at(Some(shown), &ours),
        callee: at(Some(trunk.write(dial.to)), &host),
        destination: Some(SipAddr { r#type: Some(carried), addr: address.into() }),
        content_type: Some("application/sdp".to_owned()),
        offer: Some(dial.offer.to_vec()),
        contact,
        credential: login.map(credential),
        headers: Some(headers),
        support_prack: true,
        call_id: Some(call_id),
        // A CANCEL must go where the INVITE went, whatever DNS says by then.
        route_set: vec![Route { display_name: None, uri: hop, params: Vec::new() }],
        ..InviteOption::default()
    }
}

/// What proves us to a trunk.
pub(super) fn credential(login: &Login) -> Credential {
    Credential {
        username: login.user.clone(),
        password: login.password.expose().to_owned(),
        realm: None,
        auth_username: None,
    }
}

/// The host in the addresses that a trunk is sent.
pub(super) fn host_of(trunk: &Trunk, target: &Target) -> HostWithPort {
    match &trunk.domain {
        Some(domain) => HostWithPort { host: host(domain), port: None },
        None => HostWithPort { host: host(&target.host), port: target.port.map(Into::into) },
    }
}

/// An address there.
pub(super) fn at(user: Option<String>, host: &HostWithPort) -> Uri {
    Uri {
        scheme: Some(Scheme::Sip),
        auth: user.map(Into::into),
        host_with_port: host.clone(),
        params: Vec::new(),
        headers: Vec::new(),
    }
}

fn host(text: &str) -> Host {
    match text.parse::<IpAddr>() {
        Ok(address) => Host::IpAddr(address),
        Err(_) => Host::Domain(Domain(text.to_owned())),
    }
}
