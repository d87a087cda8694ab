//! The allocation: the lending of one virtual number to two parties.
//!
//! Its use cases stand one to a file below: each reads, decides in plain code and hands the store one
//! [`Change`](crate::store::Change).

pub mod change_number;
pub mod create;
pub mod expire;
pub mod release;
pub mod update_parties;

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use crate::Chance;
use crate::number::PhoneNumber;
use crate::pin::Pin;
use crate::store::{Claim, ClaimKey};
use crate::tenant::Sid;
use crate::time::Timestamp;
use crate::virtual_number::{BadWord, FlowId};

/// The lending of one virtual number to two parties (the wire's GreenVN).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Its id, which never changes.
    pub id: AllocationId,
    /// Whose it is.
    pub tenant: Sid,
    /// The client's own name for it.
    pub connection: ConnectionId,
    /// The number lent.
    pub virtual_number: PhoneNumber,
    /// The two sides.
    pub parties: Parties,
    /// Who may call.
    pub usage: Usage,
    /// The call flow, if the client named one.
    pub flow: Option<FlowId>,
    /// Whether it has the virtual number to itself.
    pub exclusive: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether it is lent still, and until when.
    pub standing: Standing,
    /// Counts its changes, beginning with 1.
    pub version: u64,
}

/// Both sides of an allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parties {
    /// Party A.
    pub a: Party,
    /// Party B.
    pub b: Party,
}

/// One side of an allocation. Invariant of both together: no number and no pin stands twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// Its numbers, in the order in which they ring. Never empty in an allocation.
    pub numbers: Vec<PhoneNumber>,
    /// The pins by which others join it.
    pub pins: Vec<Pin>,
    /// The numbers that joined by pin; they ring after the others, and are not told to clients.
    pub learned: Vec<PhoneNumber>,
    /// The client's word for it in events; `None` means the tenant's default.
    pub tag: Option<String>,
}

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Party A: may always call.
    A,
    /// Party B: may call when the allocation is two-way.
    B,
}

impl Side {
    /// Both sides.
    pub const BOTH: [Side; 2] = [Side::A, Side::B];

    /// The side that this one talks to.
    pub fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Only side A.
    OneWay,
    /// Both sides.
    TwoWay,
}

impl Usage {
    /// Whether a caller of this side is connected.
    pub fn lets_call(self, side: Side) -> bool {
        match (self, side) {
            (Usage::TwoWay, Side::A | Side::B) | (Usage::OneWay, Side::A) => true,
            (Usage::OneWay, Side::B) => false,
        }
    }
}

/// Where an allocation stands, as it is kept. What holds at a moment is [`Allocation::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Lent, and due to end by itself.
    Lent {
        /// When it ends; [`Timestamp::NEVER`] for never.
        expires_at: Timestamp,
        /// How long its claims stay held then.
        cooling: Duration,
    },
    /// Ended.
    Ended {
        /// When.
        at: Timestamp,
        /// Until when its claims are held.
        cooling_until: Timestamp,
        /// How it came about.
        how: Ending,
    },
}

/// How an allocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By its policy.
    Expired,
    /// By the client.
    Released,
}

/// What an allocation is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It connects calls.
    Active {
        /// The end it is due to have.
        until: Timestamp,
    },
    /// It has ended (the wire's `vault`, for ever after).
    Cooling {
        /// When it ended.
        since: Timestamp,
        /// Until when its claims are held.
        until: Timestamp,
    },
}

impl Allocation {
    /// What it is at `now`: a comparison of times, so that a late sweep is never visible.
    pub fn state(&self, now: Timestamp) -> State {
        match self.standing {
            Standing::Lent { expires_at, cooling: _ } if now < expires_at => {
                State::Active { until: expires_at }
            }
            Standing::Lent { expires_at, cooling } => {
                State::Cooling { since: expires_at, until: expires_at.plus(cooling) }
            }
            Standing::Ended { at, cooling_until, how: _ } => {
                State::Cooling { since: at, until: cooling_until }
            }
        }
    }

    /// Until when its claims on the virtual number are held.
    pub fn held_until(&self) -> Timestamp {
        match self.standing {
            Standing::Lent { expires_at, cooling } => expires_at.plus(cooling),
            Standing::Ended { cooling_until, .. } => cooling_until,
        }
    }

    /// One side.
    pub fn party(&self, side: Side) -> &Party {
        self.parties.side(side)
    }

    /// The side that a number stands on, listed or learned.
    pub fn side_of(&self, number: PhoneNumber) -> Option<Side> {
        Side::BOTH.into_iter().find(|side| {
            let party = self.party(*side);
            party.numbers.contains(&number) || party.learned.contains(&number)
        })
    }

    /// The side that a pin joins.
    pub fn side_of_pin(&self, pin: Pin) -> Option<Side> {
        Side::BOTH.into_iter().find(|side| self.party(*side).pins.contains(&pin))
    }

    /// The keys that it claims on its virtual number, in the one order in which all claims are taken.
    pub fn keys(&self) -> Vec<ClaimKey> {
        keys_on(self.virtual_number, &self.parties, self.exclusive)
    }

    /// All its claims: those on its virtual number, and the name of the connection.
    pub fn claims(&self) -> Vec<Claim> {
        let held_until = self.held_until();
        let mut claims: Vec<Claim> =
            self.keys().into_iter().map(|key| Claim { key, allocation: self.id, held_until }).collect();
        claims.push(self.connection_claim());
        claims
    }

    /// The claim on its connection id, which is free again as soon as it ends.
    pub fn connection_claim(&self) -> Claim {
        let held_until = match self.standing {
            Standing::Lent { expires_at, cooling: _ } => expires_at,
            Standing::Ended { at, .. } => at,
        };
        let key = ClaimKey::Connection { tenant: self.tenant.clone(), connection: self.connection.clone() };
        Claim { key, allocation: self.id, held_until }
    }
}

/// The keys that these parties claim on a virtual number, sorted: all claims are taken in this order, so that two
/// changes never wait for each other in a circle.
pub(crate) fn keys_on(virtual_number: PhoneNumber, parties: &Parties, exclusive: bool) -> Vec<ClaimKey> {
    let mut keys: Vec<ClaimKey> = Vec::with_capacity(4);
    for side in Side::BOTH {
        let Party { numbers, pins, learned, tag: _ } = parties.side(side);
        let numbers = numbers.iter().chain(learned);
        keys.extend(numbers.map(|number| ClaimKey::Number { virtual_number, number: *number }));
        keys.extend(pins.iter().map(|pin| ClaimKey::Pin { virtual_number, pin: *pin }));
    }
    if exclusive {
        keys.push(ClaimKey::Whole { virtual_number });
    }
    keys.sort();
    keys
}

impl Parties {
    /// One side.
    pub fn side(&self, side: Side) -> &Party {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// One side, to change it.
    pub fn side_mut(&mut self, side: Side) -> &mut Party {
        match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        }
    }

    /// All listed numbers, A's first.
    pub fn numbers(&self) -> impl Iterator<Item = PhoneNumber> {
        self.a.numbers.iter().chain(&self.b.numbers).copied()
    }

    /// All pins, A's first.
    pub fn pins(&self) -> impl Iterator<Item = Pin> {
        self.a.pins.iter().chain(&self.b.pins).copied()
    }
}

/// The id of an allocation: a UUIDv7 (RFC 9562, 5.7), written in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AllocationId(Uuid);

impl AllocationId {
    /// A new id for something made at `now`.
    pub fn new(now: Timestamp, rng: &mut Chance) -> AllocationId {
        let mut random = [0; 10];
        rng.fill_bytes(&mut random);
        AllocationId(uuid::Builder::from_unix_timestamp_millis(now.as_millis(), &random).into_uuid())
    }

    /// Reads an id as clients send it back. Anything else is no id of ours.
    pub fn parse(text: &str) -> Option<AllocationId> {
        Uuid::try_parse(text).ok().map(AllocationId)
    }

    /// The id of these 16 bytes, as the database keeps it.
    pub fn from_bytes(bytes: [u8; 16]) -> AllocationId {
        AllocationId(Uuid::from_bytes(bytes))
    }

    /// Its 16 bytes, which sort by the time of making.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The least id that something made at `moment` can have: a bound for searches by time.
    pub fn least_at(moment: Timestamp) -> AllocationId {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&moment.as_millis().to_be_bytes()[2..]);
        AllocationId(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for AllocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for AllocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The client's own name for an allocation: 1 to 255 characters, any but control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(String);

impl ConnectionId {
    /// Reads a connection id.
    pub fn parse(text: &str) -> Result<ConnectionId, BadWord> {
        let length = text.chars().count();
        if length == 0 || length > 255 || text.chars().any(char::is_control) {
            return Err(BadWord("must be a string of 1 to 255 printable characters"));
        }
        Ok(ConnectionId(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const NOON: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_allocation_ends_by_the_clock_alone() {
        let allocation = lent(NOON.plus(MINUTE), MINUTE);

        assert_eq!(allocation.state(NOON), State::Active { until: NOON.plus(MINUTE) });
        let ended = State::Cooling { since: NOON.plus(MINUTE), until: NOON.plus(2 * MINUTE) };
        assert_eq!(allocation.state(NOON.plus(MINUTE)), ended);
        assert_eq!(allocation.held_until(), NOON.plus(2 * MINUTE));
        assert_eq!(
            allocation.connection_claim().held_until,
            NOON.plus(MINUTE),
            "its name is free at its end"
        );
    }

    #[test]
    fn all_keys_are_taken_in_one_order() {
        let allocation = lent(NOON, MINUTE);
        let keys = allocation.keys();

        assert!(keys.is_sorted());
        assert_eq!(keys.len(), 5, "two listed numbers, one learned, a pin, and the whole");
    }

    #[test]
    fn only_side_a_calls_one_way() {
        let calls = |usage: Usage| Side::BOTH.map(|side| usage.lets_call(side));
        assert_eq!(calls(Usage::OneWay), [true, false]);
        assert_eq!(calls(Usage::TwoWay), [true, true]);
    }

    #[test]
    fn ids_sort_by_time_and_read_back() {
        let mut rng = StdRng::seed_from_u64(1);
        let early = AllocationId::new(NOON, &mut rng);
        let late = AllocationId::new(NOON.plus(MINUTE), &mut rng);

        assert!(early < late);
        assert!(AllocationId::least_at(NOON) <= early && early < AllocationId::least_at(NOON.plus(MINUTE)));
        assert_eq!(AllocationId::parse(&early.to_string()), Some(early));
        assert_eq!(early.to_string(), early.to_string().to_lowercase());
        assert_eq!(AllocationId::parse("123456"), None);
    }

    fn lent(expires_at: Timestamp, cooling: Duration) -> Allocation {
        let number = |digits| PhoneNumber::from_digits(digits).unwrap();
        Allocation {
            id: AllocationId::from_bytes([7; 16]),
            tenant: Sid::parse("demo").unwrap(),
            connection: ConnectionId::parse("order-1").unwrap(),
            virtual_number: number(918_000_000_001),
            parties: Parties {
                a: Party {
                    numbers: vec![number(12_025_550_101)],
                    pins: vec![Pin::parse("1234").unwrap()],
                    learned: vec![number(12_025_550_103)],
                    tag: None,
                },
                b: Party { numbers: vec![number(12_025_550_102)], ..Party::default() },
            },
            usage: Usage::TwoWay,
            flow: None,
            exclusive: true,
            created_at: NOON,
            standing: Standing::Lent { expires_at, cooling },
            version: 1,
        }
    }
}
