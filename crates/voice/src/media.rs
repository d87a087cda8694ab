//! The seam to sound: what carries a call's media, in our own words.
//!
//! An engine makes all descriptions ([`Description`]) itself, from nothing but what it parsed of the peer's: codecs,
//! packet length, direction, address and keys.

pub mod codec;
pub mod dtmf;
pub mod negotiation;
pub mod prompt;
pub mod recorder;
pub mod relay;
pub mod room;
pub mod rtcp;
pub mod rtp;
pub mod rtpengine;
pub mod sdp;
pub mod srtp;
pub mod stream;
pub mod tape;
pub mod tone;
pub mod wav;

use async_trait::async_trait;
use tokio::sync::mpsc;

use callveil_domain::call::CallId;
pub use callveil_domain::call::LegNumber;

use crate::leg::Description;

/// Carries the sound of calls: our own relay, or rtpengine.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Begins a call's media. The events come until the session is closed.
    async fn open(&self, call: CallId) -> Result<(Box<dyn Session>, mpsc::Receiver<Event>), MediaError>;

    /// How many ports there are, where it is the engine's to know.
    fn ports(&self) -> Option<Ports> {
        None
    }
}

/// Pairs of ports for sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Those there are.
    pub all: usize,
    /// Those that are lent.
    pub used: usize,
}

/// The media of one call.
#[async_trait]
pub trait Session: Send + Sync {
    /// Takes note of what a leg offers, when it is to be answered later: the other legs are offered what it can carry.
    async fn consider(&mut self, leg: LegNumber, offer: Description) -> Result<(), MediaError>;

    /// Our offer to a leg, with fresh ports. Codecs that another leg has agreed on come first.
    async fn offer(&mut self, leg: LegNumber, secure: bool) -> Result<Description, MediaError>;

    /// Takes a leg's answer to our offer.
    async fn accept(&mut self, leg: LegNumber, answer: Description) -> Result<(), MediaError>;

    /// Our answer to a leg's offer, the first or a later one (hold, another address, other codecs).
    async fn answer(&mut self, leg: LegNumber, offer: Description) -> Result<Description, MediaError>;

    /// Lets two legs hear each other, and ends what is played to them. Before this, and after
    /// [`Session::part`], nothing of one leg reaches another.
    async fn join(&mut self, one: LegNumber, other: LegNumber) -> Result<(), MediaError>;

    /// Lets nobody hear anybody.
    async fn part(&mut self) -> Result<(), MediaError>;

    /// Plays to a leg, once or until stopped, in the place of what was played before. [`Event::Played`] tells the end.
    async fn play(&mut self, leg: LegNumber, sound: Sound) -> Result<(), MediaError>;

    /// Ends what is played to a leg.
    async fn stop(&mut self, leg: LegNumber) -> Result<(), MediaError>;

    /// Tells the keys that a leg presses (RFC 4733, or tones in the sound), or no longer. While they are told, they
    /// reach neither another leg nor a recording.
    async fn listen(&mut self, leg: LegNumber, on: bool) -> Result<(), MediaError>;

    /// Records the two legs that are joined or will be, the caller left and the called right, from now on.
    async fn record(&mut self) -> Result<Recording, MediaError>;

    /// Gives up a leg's ports.
    async fn drop_leg(&mut self, leg: LegNumber);

    /// Ends everything and tells what was carried.
    async fn close(self: Box<Self>) -> Carried;
}

/// What is played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sound {
    /// The ring-back tone, until stopped.
    Ringback,
    /// An announcement by its name and language (`en`, `hi`), in a tenant's own recording if there is one.
    Prompt {
        /// Its name: `enter-pin`, `wrong-pin`, `not-available`, ….
        name: &'static str,
        /// The language.
        language: String,
        /// The tenant whose own recordings come first.
        tenant: String,
    },
}

/// What happens on a call's media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A key was pressed: `0` to `9`, `*`, `#`, `A` to `D`. Once for each press.
    Digit(LegNumber, char),
    /// What was played to the leg has ended by itself.
    Played(LegNumber),
    /// Nothing has come from the leg for the configured time, and it is not on hold.
    Silent(LegNumber),
    /// The recording has ended early: the disk is full or failed. The call goes on.
    RecordingFailed,
}

/// A recording under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The random name of its file, which says nothing of the call.
    pub name: String,
}

/// What was carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Packets that came from the caller.
    pub from_caller: u64,
    /// Packets that came from the called.
    pub from_called: u64,
    /// The length of the recording, in milliseconds; 0 without one.
    pub recorded_ms: u64,
}

/// Why an engine could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// The description cannot be read, or has nothing that we can carry (488).
    #[error("the description offers nothing that can be carried")]
    NotAcceptable,
    /// No port or no room is left (503).
    #[error("no port is left for media")]
    Exhausted,
    /// The engine failed, or cannot be reached.
    #[error("the media engine failed: {0}")]
    Failed(String),
}
