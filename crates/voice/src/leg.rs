//! The seam to SIP: a leg is our side of one dialogue with one telephone, in our own words.
//!
//! A leg is never copied from another. What crosses between two legs is what these types can say, and they can say
//! neither a header, nor a tag, nor a Call-ID, nor a reason text.

use std::net::IpAddr;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use callveil_domain::call::CallId;
use callveil_domain::number::PhoneNumber;
use callveil_domain::tenant::Sid;
use callveil_domain::trunk::TrunkName;

/// A session description (RFC 8866) as a message carries it: the peer's, which is parsed and never passed on, or ours.
pub type Description = Bytes;

/// An INVITE that came from a trunk and passed the gate.
#[derive(Debug)]
pub struct Invitation {
    /// The leg on which the caller waits. Nothing but 100 has been sent on it.
    pub leg: Leg,
    /// The trunk that it came by.
    pub trunk: TrunkName,
    /// The number that was dialled, if it is one.
    pub dialled: Option<PhoneNumber>,
    /// The caller's number by the trunk's policy; `None` when it is withheld or is none.
    pub caller: Option<PhoneNumber>,
    /// What the network says of the caller's number (RFC 8224; the `verstat` parameter).
    pub attestation: Option<Attestation>,
    /// The caller's offer; without one, ours is made in the answer.
    pub offer: Option<Description>,
    /// What an offer of ours to it asks for: its trunk's way, or its own.
    pub encryption: Encryption,
    /// The hops that remain (RFC 3261 20.22).
    pub max_forwards: u8,
    /// Where it came from.
    pub source: IpAddr,
}

/// What a carrier has found of a caller's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attestation {
    /// `TN-Validation-Passed`.
    Passed,
    /// `TN-Validation-Failed`.
    Failed,
    /// `No-TN-Validation`.
    NotValidated,
}

/// A leg that an actor of the SIP side runs until it has ended. Dropping it ends it: CANCEL, BYE or a refusal with
/// 500, whichever fits its state.
#[derive(Debug)]
pub struct Leg {
    /// What is to be done on it, in this order. An order that the leg's state does not allow does nothing.
    pub orders: mpsc::Sender<Order>,
    /// What happens on it. The last event is [`Event::Ended`] or [`Event::Refused`].
    pub events: mpsc::Receiver<Event>,
}

/// What is to be done on a leg.
#[derive(Debug)]
pub enum Order {
    /// To a caller that waits: 180.
    Ring,
    /// To a caller that waits: 183 with our description, so that sound is heard before the answer.
    Progress(Description),
    /// To a caller that waits: 200 with our description.
    Answer(Description),
    /// To a caller that waits: this status and nothing more of why.
    Refuse(Refusal),
    /// On a leg that stands: a re-INVITE with our new description.
    Offer(Description),
    /// Ends it: BYE when it stands, CANCEL when it is being dialled, 487 when it waits.
    Hangup(Cause),
}

/// A refusal of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status, 400 to 699.
    pub status: u16,
    /// Seconds for `Retry-After`, with 503 alone.
    pub retry_after: Option<u32>,
}

/// Why a leg is ended, as the Reason header tells it (RFC 3326, cause of Q.850). No text is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause(pub u8);

impl Cause {
    /// 16: somebody hung up.
    pub const NORMAL: Cause = Cause(16);
    /// 26: answered elsewhere.
    pub const ANSWERED_ELSEWHERE: Cause = Cause(26);
    /// 102: a time ran out.
    pub const TIMER: Cause = Cause(102);
}

/// What happens on a leg.
#[derive(Debug)]
pub enum Event {
    /// A telephone that we dial rings; with a description, it sends sound already (180, 183).
    Ringing(Option<Description>),
    /// A telephone that we dial was answered (2xx; the ACK is on its way). The description answers our offer.
    Answered(Option<Description>),
    /// A caller that we answered has acknowledged. With a description when the offer was ours.
    Acknowledged(Option<Description>),
    /// A telephone that we dial is not to be had: the last status, after every trunk and address was tried.
    Refused(u16),
    /// The peer offers anew, by re-INVITE or UPDATE, or asks for our offer (`None`). Must be replied to: with our
    /// answer, or with 488 when it is dropped.
    Reoffered(Option<Description>, oneshot::Sender<Description>),
    /// A telephone that we dial is to be rung by the next trunk, which wants sound encrypted while the one before did not,
    /// or the other way round: another offer is asked for. The trunk is passed over when the reply is dropped.
    Wanted(Encryption, oneshot::Sender<Description>),
    /// The answer to our [`Order::Offer`]; `None` when the peer would not have it and all stays as it was.
    Reanswered(Option<Description>),
    /// A key was pressed, told by INFO.
    Digit(char),
    /// The leg has ended: cancelled, hung up, or lost.
    Ended(EndedBy),
}

/// Whether an offer asks for encrypted sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// It does.
    On,
    /// It does not.
    Off,
}

/// How a leg ended that nobody refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The caller gave up before the answer (CANCEL).
    Cancelled,
    /// The peer hung up (BYE).
    Peer,
    /// We did, by an order.
    Us,
    /// The peer is gone: no ACK came, the session expired (RFC 4028), or a request met no answer.
    Lost,
}

/// A telephone to ring.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The call that it is for.
    pub call: CallId,
    /// For the tenant's caps and allow-lists.
    pub tenant: Sid,
    /// Whom to ring.
    pub to: PhoneNumber,
    /// The number that is shown: the virtual number, and never another.
    pub show: PhoneNumber,
    /// Our offer.
    pub offer: Description,
    /// What it asks for.
    pub encryption: Encryption,
    /// What is left of the caller's hops, less one.
    pub max_forwards: u8,
}

/// Reaches telephones.
#[async_trait]
pub trait Port: Send + Sync {
    /// Whether sound is encrypted on the first trunk that leads to a telephone; the others ask for an offer of their own
    /// by [`Event::Wanted`].
    fn encrypts(&self, to: PhoneNumber, show: PhoneNumber) -> Encryption;

    /// Begins to ring a telephone, by the trunks that lead there, the next when one fails with 408 or 5xx. What comes
    /// of it is told on the leg.
    async fn dial(&self, dial: Dial) -> Leg;
}
