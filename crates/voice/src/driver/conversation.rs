//! One call: the task that owns it, its legs and its sound.
//!
//! It waits for nothing but its own list of what may happen ([`Conversation::next`]); each of those becomes an event of
//! the domain's call, and each action of the call becomes an order ([`Conversation::perform`]).

use std::collections::{BTreeMap, VecDeque};
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use callveil_domain::call::LegNumber;
use callveil_domain::call::course::{
    Action, Announcements, Call, Cause, Event, Heard, Miss, Note, Recording, Rules, Sound, Summary, Way, Why,
};
use callveil_domain::call::pin_entry::Keyed;
use callveil_domain::calls::{CallLeg, CallRecord, LegEnd, Link, RecordingName};
use callveil_domain::event;
use callveil_domain::number::PhoneNumber;
use callveil_domain::tenant::Tenant;
use callveil_domain::time::Timestamp;

use super::decision::{self, Answer, Asked, Counted};
use super::ledger::{Ledger, What};
use super::outcome::{ending, outcome};
use super::{Listed, tables};
use crate::figures::Held;
use crate::leg::{self, Description, Dial, Encryption, Invitation, Leg, Order};
use crate::media::{self, MediaError, Session};

/// A call and everything that it holds.
pub(super) struct Conversation {
    listed: Listed,
    call: Call,
    invited: Invited,
    tenant: Option<Arc<Tenant>>,
    legs: BTreeMap<LegNumber, Leg>,
    sound: Option<Box<dyn Session>>,
    heard: Option<mpsc::Receiver<media::Event>>,
    /// What the rules are being asked.
    question: Option<Question>,
    /// What has happened beside what was waited for, and is told to the call first.
    happened: VecDeque<Event>,
    book: Option<Book>,
    counted: Option<Counted>,
    /// What telephones that ring have said of their sound: the answer may be silent about it then.
    early: BTreeMap<LegNumber, Description>,
    /// What an offer of ours to each leg asks for.
    encryption: BTreeMap<LegNumber, Encryption>,
    /// By which way the caller's keys come; those that come by the other as well are the same keys.
    keys: Option<KeysBy>,
    began: Timestamp,
    /// Whether a telephone has rung.
    rang: bool,
    talking: Option<Held>,
}

type Question = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What is kept of the invitation.
struct Invited {
    asked: Option<Asked>,
    offer: Option<Description>,
    hops: u8,
}

/// The call's record, and what writes it down.
struct Book {
    record: CallRecord,
    ledger: Ledger,
    /// How much of it the tenant was told.
    told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Opened,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeysBy {
    Sound,
    Signalling,
}

/// What the sound is to do that gives nothing back.
enum Carry {
    Accept(LegNumber, Description),
    Play(LegNumber, media::Sound),
    Stop(LegNumber),
    Listen(bool),
    Join(LegNumber),
    Part,
}

/// Everything that a call waits for.
enum Happened {
    /// Something on a leg.
    Leg(LegNumber, leg::Event),
    /// Something in the sound.
    Sound(media::Event),
    /// The rules have spoken.
    Decided(Answer),
    /// The operator wants it to end.
    OrderedToEnd,
    /// Its deadline has come.
    Due,
}

impl Conversation {
    /// A call that comes in: the rules are asked about it.
    pub fn begin(listed: Listed, invitation: Invitation) -> Conversation {
        let Invitation {
            leg,
            trunk,
            dialled,
            caller,
            attestation,
            offer,
            encryption,
            max_forwards,
            source: _,
        } = invitation;
        let board = &listed.board;
        let now = board.node.now();
        let tenant = dialled.and_then(|dialled| board.node.directory().owner(dialled).map(Arc::clone));
        let asked = dialled.map(|dialled| Asked { caller, dialled, attestation });
        let question: Question = match asked {
            Some(asked) => Box::pin(decision::decide(Arc::clone(board), tenant.clone(), asked)),
            None => Box::pin(std::future::ready(Answer::not_a_number())),
        };
        let book = tenant.as_ref().zip(asked).map(|(tenant, Asked { caller, dialled, .. })| {
            let mut record = CallRecord::arrived(listed.id, tenant, board.id, dialled, caller, now);
            record.trunk = Some(trunk);
            let ledger = Ledger::new(Arc::clone(&board.node), Arc::clone(tenant), record.clone());
            Book { record, ledger, told: Told::Nothing }
        });
        Conversation {
            call: Call::new(rules(tenant.as_deref(), offer.is_some()), now),
            invited: Invited { asked, offer, hops: max_forwards },
            tenant,
            legs: BTreeMap::from([(LegNumber::CALLER, leg)]),
            sound: None,
            heard: None,
            question: Some(question),
            happened: VecDeque::new(),
            book,
            counted: None,
            early: BTreeMap::new(),
            encryption: BTreeMap::from([(LegNumber::CALLER, encryption)]),
            keys: None,
            began: now,
            rang: false,
            talking: None,
            listed,
        }
    }

    /// Conducts the call to its end.
    pub async fn run(mut self) {
        while !self.call.is_over() {
            let event = match self.happened.pop_front() {
                Some(event) => Some(event),
                None => {
                    let happened = self.next().await;
                    self.translate(happened).await
                }
            };
            let Some(event) = event else { continue };
            let goes_on = matches!(event, Event::Decided(Way::Ring(_) | Way::AskForPin));
            let now = self.now();
            for action in self.call.on(event, now) {
                self.perform(action, now).await;
            }
            if goes_on {
                self.tell_opened();
            }
        }
        // Dropping a leg ends what is left of it.
        self.legs.clear();
        if let Some(book) = self.book.take() {
            book.ledger.close().await;
        }
    }

    /// Waits for the next of everything that may happen.
    async fn next(&mut self) -> Happened {
        let due = self.call.deadline().map_or(Duration::ZERO, |due| due.since(self.now()));
        tokio::select! {
            biased;
            (leg, event) = on_a_leg(&mut self.legs) => Happened::Leg(leg, event),
            event = in_sound(&mut self.heard) => Happened::Sound(event),
            answer = to_the_question(&mut self.question) => Happened::Decided(answer),
            () = order_to_end(&mut self.listed.ordered_to_end) => Happened::OrderedToEnd,
            () = passing(due) => Happened::Due,
        }
    }

    /// What it means to the call, if anything.
    async fn translate(&mut self, happened: Happened) -> Option<Event> {
        match happened {
            Happened::Leg(leg, event) => match event {
                leg::Event::Ringing(description) => Some(self.rings(leg, description).await),
                leg::Event::Answered(description) => Some(self.answered(leg, description).await),
                leg::Event::Acknowledged(description) | leg::Event::Reanswered(description) => {
                    self.agreed(leg, description?).await
                }
                leg::Event::Reoffered(offer, reply) => {
                    self.reoffered(leg, offer, reply).await;
                    None
                }
                leg::Event::Wanted(encryption, reply) => {
                    self.offer_anew(leg, encryption, reply).await;
                    None
                }
                leg::Event::Refused(status) => {
                    let end = match tables::miss(status) {
                        Miss::Busy => LegEnd::Busy,
                        Miss::NoAnswer => LegEnd::NoAnswer,
                        Miss::Declined | Miss::NotInService | Miss::Failed => LegEnd::Failed(status),
                    };
                    self.gone(leg, Some(end)).await;
                    Some(Event::Missed(leg, tables::miss(status)))
                }
                leg::Event::Digit(key) => self.pressed(leg, key, KeysBy::Signalling),
                leg::Event::Ended(by) => {
                    self.gone(leg, None).await;
                    Some(Event::Ended(leg, tables::ended_by(by)))
                }
            },
            Happened::Sound(event) => match event {
                media::Event::Digit(leg, key) => self.pressed(leg, key, KeysBy::Sound),
                media::Event::Played(leg) => Some(Event::Played(leg)),
                media::Event::Silent(leg) => Some(Event::Silent(leg)),
                media::Event::RecordingFailed => {
                    self.listed.board.figures.is_not_recorded();
                    tracing::error!(call = %self.listed.id, "a recording has ended early");
                    None
                }
            },
            Happened::Decided(answer) => Some(self.decided(answer).await),
            Happened::OrderedToEnd => Some(Event::HangUp),
            Happened::Due => Some(Event::Due),
        }
    }

    /// Does what the call wants done.
    async fn perform(&mut self, action: Action, now: Timestamp) {
        match action {
            Action::Ring => self.order(LegNumber::CALLER, Order::Ring),
            Action::Progress => self.send_description(Order::Progress).await,
            Action::Answer => self.send_description(Order::Answer).await,
            Action::Refuse(why) => self.order(LegNumber::CALLER, Order::Refuse(tables::refusal(why))),
            Action::Dial(leg, number) => self.dial(leg, number, now).await,
            Action::HangUp(leg, cause) => self.hang_up(leg, cause, now),
            Action::Play(leg, sound) => self.play(leg, sound).await,
            Action::Stop(leg) => drop(self.carry(Carry::Stop(leg)).await),
            Action::Listen(on) => drop(self.carry(Carry::Listen(on)).await),
            Action::Join(leg) => {
                if self.carry(Carry::Join(leg)).await.is_err() {
                    self.happened.push_back(Event::NoSound(Why::Failed));
                }
            }
            Action::Part => drop(self.carry(Carry::Part).await),
            Action::Check(keyed) => self.check(&keyed),
            Action::Note(note) => self.note(note, now),
            Action::Close(summary) => self.close(&summary).await,
        }
    }

    fn now(&self) -> Timestamp {
        self.listed.board.node.now()
    }

    fn order(&self, leg: LegNumber, order: Order) {
        let Some(leg) = self.legs.get(&leg) else { return };
        match leg.orders.try_send(order) {
            // A leg that has ended tells so by its last event.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(order)) => {
                tracing::error!(call = %self.listed.id, ?order, "a leg does not take its orders");
            }
        }
    }

    /// Takes the rules' answer, and opens the sound if the caller is to hear anything.
    async fn decided(&mut self, answer: Answer) -> Event {
        let Answer { way, allocation, counted } = answer;
        self.question = None;
        self.counted = self.counted.take().or(counted);
        if let Some(book) = &mut self.book
            && let Some(sided) = allocation
            && let Some(tenant) = &self.tenant
        {
            let (allocation, from) = &*sided;
            book.record.by_pin = book.told != Told::Nothing;
            book.record.link = Some(Link::of(allocation, *from, &tenant.settings));
        }
        if self.sound.is_none()
            && self.call.lets_hear(&way)
            && let Err(why) = self.open_sound().await
        {
            return Event::NoSound(why);
        }
        Event::Decided(way)
    }

    async fn open_sound(&mut self) -> Result<(), Why> {
        let opened = self.listed.board.engine.open(self.listed.id).await;
        let (mut session, heard) = opened.map_err(|error| self.no_sound(&error))?;
        if self.tenant.as_ref().is_some_and(|tenant| tenant.settings.call.recording != Recording::Off) {
            match session.record().await {
                Ok(media::Recording { name }) => {
                    if let Some(book) = &mut self.book {
                        book.record.recording = RecordingName::parse(&name);
                    }
                }
                Err(error) => {
                    self.listed.board.figures.is_not_recorded();
                    tracing::error!(call = %self.listed.id, %error, "a call is not recorded");
                }
            }
        }
        if let Some(offer) = &self.invited.offer {
            let considered = session.consider(LegNumber::CALLER, offer.clone()).await;
            considered.map_err(|error| self.no_sound(&error))?;
        }
        self.sound = Some(session);
        self.heard = Some(heard);
        Ok(())
    }

    fn no_sound(&self, error: &MediaError) -> Why {
        tracing::warn!(call = %self.listed.id, %error, "a call has no sound");
        match error {
            MediaError::NotAcceptable => Why::NoCommonSound,
            MediaError::Exhausted => Why::NoRoom,
            MediaError::Failed(_) => Why::Failed,
        }
    }

    /// Has the sound do it. Says why not to the operator, and to the caller of this.
    async fn carry(&mut self, what: Carry) -> Result<(), Why> {
        let session = self.sound.as_mut().ok_or(Why::Failed)?;
        let done = match what {
            Carry::Accept(leg, description) => session.accept(leg, description).await,
            Carry::Play(leg, sound) => session.play(leg, sound).await,
            Carry::Stop(leg) => session.stop(leg).await,
            Carry::Listen(on) => session.listen(LegNumber::CALLER, on).await,
            Carry::Join(leg) => session.join(LegNumber::CALLER, leg).await,
            Carry::Part => session.part().await,
        };
        done.map_err(|error| self.no_sound(&error))
    }

    /// Our description for the caller: an answer to its offer, or an offer when it made none.
    async fn send_description(&mut self, order: fn(Description) -> Order) {
        let secure = self.is_secure(LegNumber::CALLER);
        let Some(session) = &mut self.sound else { return };
        let described = match &self.invited.offer {
            Some(offer) => session.answer(LegNumber::CALLER, offer.clone()).await,
            None => session.offer(LegNumber::CALLER, secure).await,
        };
        match described {
            Ok(description) => self.order(LegNumber::CALLER, order(description)),
            Err(error) => {
                let why = self.no_sound(&error);
                self.happened.push_back(Event::NoSound(why));
            }
        }
    }

    fn is_secure(&self, leg: LegNumber) -> bool {
        self.encryption.get(&leg) == Some(&Encryption::On)
    }

    async fn play(&mut self, leg: LegNumber, sound: Sound) {
        let sound = match (tables::prompt(sound), &self.tenant) {
            (Some(name), Some(tenant)) => media::Sound::Prompt {
                name,
                language: tenant.settings.language.clone(),
                tenant: tenant.sid.as_str().to_owned(),
            },
            (Some(_), None) | (None, _) => media::Sound::Ringback,
        };
        let ends = sound != media::Sound::Ringback;
        if self.carry(Carry::Play(leg, sound)).await.is_err() && ends {
            self.happened.push_back(Event::Played(leg));
        }
    }

    async fn dial(&mut self, leg: LegNumber, number: PhoneNumber, now: Timestamp) {
        let (Some(session), Some(asked), Some(tenant)) = (&mut self.sound, self.invited.asked, &self.tenant)
        else {
            return self.happened.push_back(Event::Missed(leg, Miss::Failed));
        };
        if let Some(book) = &mut self.book {
            book.record.legs.push(CallLeg::dialled(number, now));
        }
        let encryption = self.listed.board.port.encrypts(number, asked.dialled);
        let offer = match session.offer(leg, encryption == Encryption::On).await {
            Ok(offer) => offer,
            Err(error) => {
                self.no_sound(&error);
                return self.happened.push_back(Event::Missed(leg, Miss::Failed));
            }
        };
        let dial = Dial {
            call: self.listed.id,
            tenant: tenant.sid.clone(),
            to: number,
            show: asked.dialled,
            offer,
            encryption,
            max_forwards: self.invited.hops.saturating_sub(1),
        };
        self.encryption.insert(leg, encryption);
        let dialled = self.listed.board.port.dial(dial).await;
        self.legs.insert(leg, dialled);
    }

    fn hang_up(&mut self, leg: LegNumber, cause: Cause, now: Timestamp) {
        if let Some(record) = self.leg_record(leg)
            && record.ended.is_none()
            && record.answered_at.is_none()
            && cause == Cause::TimeUp
        {
            record.ended = Some((now, LegEnd::NoAnswer));
        }
        self.order(leg, Order::Hangup(tables::cause(cause)));
    }

    async fn rings(&mut self, leg: LegNumber, description: Option<Description>) -> Event {
        let now = self.now();
        if let Some(record) = self.leg_record(leg) {
            record.rang_at.get_or_insert(now);
        }
        let wanted = self.tenant.as_ref().is_some_and(|tenant| tenant.settings.call.early_media);
        if let Some(description) = &description {
            self.early.insert(leg, description.clone());
        }
        let heard = match description.filter(|_| wanted) {
            Some(description) => self.carry(Carry::Accept(leg, description)).await.is_ok(),
            None => false,
        };
        Event::Ringing(leg, if heard { Heard::Sound } else { Heard::Nothing })
    }

    async fn answered(&mut self, leg: LegNumber, description: Option<Description>) -> Event {
        if self.sound.is_none() {
            return Event::Answered(leg);
        }
        let agreed = match description.or_else(|| self.early.remove(&leg)) {
            Some(description) => self.carry(Carry::Accept(leg, description)).await.is_ok(),
            None => false,
        };
        if !agreed {
            let now = self.now();
            self.hang_up(leg, Cause::Normal, now);
            self.end_leg_record(leg, LegEnd::Failed(488), now);
            return Event::Missed(leg, Miss::Failed);
        }
        Event::Answered(leg)
    }

    async fn agreed(&mut self, leg: LegNumber, description: Description) -> Option<Event> {
        let agreed = self.carry(Carry::Accept(leg, description)).await;
        agreed.err().map(Event::NoSound)
    }

    /// Hold, another address, other codecs: answered here, and no matter of the other leg's.
    async fn reoffered(
        &mut self,
        leg: LegNumber,
        offer: Option<Description>,
        reply: oneshot::Sender<Description>,
    ) {
        let secure = self.is_secure(leg);
        let Some(session) = &mut self.sound else { return };
        let described = match offer {
            Some(offer) => session.answer(leg, offer).await,
            None => session.offer(leg, secure).await,
        };
        match described {
            // Whoever asked may be gone.
            Ok(description) => drop(reply.send(description)),
            Err(error) => drop(self.no_sound(&error)),
        }
    }

    /// Another offer for a telephone that is rung by another trunk.
    async fn offer_anew(
        &mut self,
        leg: LegNumber,
        encryption: Encryption,
        reply: oneshot::Sender<Description>,
    ) {
        let Some(session) = &mut self.sound else { return };
        // What another trunk's telephone has said is no answer to it.
        self.early.remove(&leg);
        self.encryption.insert(leg, encryption);
        match session.offer(leg, encryption == Encryption::On).await {
            // Whoever asked may be gone.
            Ok(offer) => drop(reply.send(offer)),
            Err(error) => drop(self.no_sound(&error)),
        }
    }

    fn pressed(&mut self, leg: LegNumber, key: char, by: KeysBy) -> Option<Event> {
        (*self.keys.get_or_insert(by) == by).then_some(Event::Key(leg, key))
    }

    async fn gone(&mut self, leg: LegNumber, end: Option<LegEnd>) {
        let now = self.now();
        self.legs.remove(&leg);
        if leg != LegNumber::CALLER {
            let answered = self.leg_record(leg).is_some_and(|record| record.answered_at.is_some());
            self.end_leg_record(
                leg,
                end.unwrap_or(if answered { LegEnd::Completed } else { LegEnd::Cancelled }),
                now,
            );
            if let Some(session) = &mut self.sound {
                session.drop_leg(leg).await;
            }
        }
    }

    fn check(&mut self, keyed: &Keyed) {
        let (Some(book), Some(asked), Some(tenant)) = (&self.book, self.invited.asked, &self.tenant) else {
            return;
        };
        let board = Arc::clone(&self.listed.board);
        let tenant = Arc::clone(tenant);
        // A caller who has no tries left takes as long, and hears the same.
        let pin = keyed.pin().filter(|_| decision::may_try_pin(&board, asked));
        let opened = pin.map(|pin| book.ledger.join(pin));
        self.question = Some(Box::pin(async move { decision::of_pin(&board, &tenant, asked, opened).await }));
    }

    fn note(&mut self, note: Note, now: Timestamp) {
        let figures = &self.listed.board.figures;
        match note {
            Note::Rings(_) if !self.rang => {
                self.rang = true;
                figures.rings_after(now.since(self.began));
            }
            Note::Answered(_) => self.talking = Some(figures.talks()),
            Note::Rings(_) | Note::Rejected(_) => {}
        }
        let Some(book) = &mut self.book else { return };
        match note {
            Note::Rings(_) => book.write(What::Ringing),
            Note::Answered(number) => {
                book.record.answered_at = Some(now);
                let mut legs = book.record.legs.iter_mut().filter(|leg| leg.ended.is_none());
                if let Some(leg) = legs.find(|leg| leg.number == Some(number)) {
                    leg.answered_at = Some(now);
                }
                book.write(What::Answered);
            }
            Note::Rejected(keyed) => book.ledger.reject(event::Keyed::new(keyed.expose()), &book.record),
        }
    }

    /// Tells the tenant that the call has begun, with the telephones that are rung already.
    fn tell_opened(&mut self) {
        let Some(book) = self.book.as_mut().filter(|book| book.told != Told::Closed) else { return };
        match book.told {
            Told::Nothing => {
                book.told = Told::Opened;
                book.ledger.write(What::Opened, &book.record);
            }
            Told::Opened => book.ledger.write(What::Noted, &book.record),
            Told::Closed => {}
        }
    }

    async fn close(&mut self, summary: &Summary) {
        self.question = None;
        self.heard = None;
        let carried = match self.sound.take() {
            Some(session) => session.close().await,
            None => media::Carried::default(),
        };
        if let Some(counted) = &mut self.counted {
            counted.talked = summary.talked();
        }
        self.counted = None;
        self.talking = None;
        self.listed.board.figures.ended(&outcome(summary), summary.talked());
        tracing::info!(
            call = %self.listed.id,
            talked = summary.talked().as_secs(),
            end = ?summary.end,
            from_caller = carried.from_caller,
            from_called = carried.from_called,
            "call {} has ended",
            self.listed.id
        );
        let Some(book) = &mut self.book else { return };
        // One that never began is worth a record only if its allocation's own rules refused it.
        let is_told = book.told == Told::Opened || book.record.link.is_some();
        book.told = Told::Closed;
        if carried.recorded_ms == 0 {
            book.record.recording = None;
        }
        let (how, by) = ending(summary);
        book.record.end(summary.ended, how, by);
        if is_told {
            book.ledger.write(What::Closed, &book.record);
        }
    }

    fn leg_record(&mut self, leg: LegNumber) -> Option<&mut CallLeg> {
        let place = usize::from(leg.0).checked_sub(1)?;
        self.book.as_mut()?.record.legs.get_mut(place)
    }

    fn end_leg_record(&mut self, leg: LegNumber, end: LegEnd, now: Timestamp) {
        if let Some(record) = self.leg_record(leg) {
            record.ended.get_or_insert((now, end));
        }
    }
}

impl Book {
    fn write(&mut self, what: What) {
        // What comes about in the same moment as the beginning is told after it.
        if self.told == Told::Nothing {
            self.told = Told::Opened;
            self.ledger.write(What::Opened, &self.record);
        }
        self.ledger.write(what, &self.record);
    }
}

/// The rules of a call: nothing can be said before the answer to a caller who has not offered any sound.
fn rules(tenant: Option<&Tenant>, offered: bool) -> Rules {
    let mut rules = tenant.map_or_else(Rules::default, |tenant| tenant.settings.call.clone());
    if tenant.is_none() || (!offered && rules.announcements == Announcements::Early) {
        rules.announcements = Announcements::None;
    }
    rules.early_media &= offered;
    rules
}

async fn on_a_leg(legs: &mut BTreeMap<LegNumber, Leg>) -> (LegNumber, leg::Event) {
    poll_fn(|context| {
        for (number, leg) in legs.iter_mut() {
            match leg.events.poll_recv(context) {
                Poll::Ready(Some(event)) => return Poll::Ready((*number, event)),
                // Its actor is gone without a last word.
                Poll::Ready(None) => {
                    return Poll::Ready((*number, leg::Event::Ended(leg::EndedBy::Lost)));
                }
                Poll::Pending => {}
            }
        }
        Poll::Pending
    })
    .await
}

async fn in_sound(heard: &mut Option<mpsc::Receiver<media::Event>>) -> media::Event {
    let Some(events) = heard else { return pending().await };
    match events.recv().await {
        Some(event) => event,
        None => {
            *heard = None;
            pending().await
        }
    }
}

async fn to_the_question(question: &mut Option<Question>) -> Answer {
    match question {
        Some(asked) => asked.await,
        None => pending().await,
    }
}

async fn order_to_end(ordered: &mut watch::Receiver<bool>) {
    if ordered.changed().await.is_err() {
        pending().await
    }
}

#[expect(clippy::disallowed_methods, reason = "the driver is what waits for a call's deadline")]
async fn passing(time: Duration) {
    tokio::time::sleep(time).await;
}
