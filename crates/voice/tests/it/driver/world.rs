//! A tenant with a few virtual numbers, telephones that say what they are told to, and sound that writes down what is
//! done with it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use callveil_domain::Effect;
use callveil_domain::allocation::create::{NewAllocation, NewParty, Preferences, create};
use callveil_domain::allocation::{Allocation, AllocationId, ConnectionId, Usage};
use callveil_domain::call::{CallId, LegNumber};
use callveil_domain::calls::CallRecord;
use callveil_domain::live::NodeId;
use callveil_domain::node::Node;
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::store::{Change, DirectoryWrite, Outcome, Store};
use callveil_domain::tenant::Sid;
use callveil_domain::time::{Clock, Timestamp};
use callveil_domain::trunk::TrunkName;
use callveil_domain::virtual_number::{Lending, VirtualNumber};
use callveil_store::sqlite::{Mode, SqliteStore};
use callveil_voice::driver::Switchboard;
use callveil_voice::leg::{Attestation, Description, Dial, Encryption, Event, Invitation, Leg, Order, Port};
use callveil_voice::media::{self, Carried, Engine, MediaError, Recording, Session, Sound};

pub const OFFER: Description = Description::from_static(b"offer");
pub const ANSWER: Description = Description::from_static(b"answer");

/// How long anything may take that has no reason to take long.
const SOON: Duration = Duration::from_secs(30);

/// The nth party's number.
pub fn party(n: u64) -> PhoneNumber {
    PhoneNumber::from_digits(919_900_000_000 + n).unwrap()
}

/// The nth virtual number.
pub fn vn(n: u64) -> PhoneNumber {
    PhoneNumber::from_digits(918_000_000_000 + n).unwrap()
}

fn acme() -> Sid {
    Sid::parse("acme").unwrap()
}

pub struct World {
    pub board: Arc<Switchboard>,
    node: Arc<Node>,
    rung: mpsc::UnboundedReceiver<(Dial, Telephone)>,
    sound: Arc<SoundLog>,
    _files: TempDir,
}

impl World {
    pub async fn new() -> World {
        let files = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&files.path().join("callveil.db"), Mode::Serve).unwrap());
        let mut change = Change::at(Timestamp::from_micros(1));
        change.directory.push(DirectoryWrite::AddTenant(acme()));
        change.directory.extend((1..=9).map(|n| DirectoryWrite::PutNumber {
            tenant: acme(),
            number: VirtualNumber {
                number: vn(n),
                region: None,
                number_type: None,
                flow: None,
                state: Lending::Open,
            },
        }));
        assert_eq!(store.apply(change).await.unwrap(), Outcome::Applied);

        let drawn = AtomicU64::new(0);
        let randomness = move || -> Box<dyn rand_core::Rng + Send + Sync> {
            Box::new(StdRng::seed_from_u64(drawn.fetch_add(1, Ordering::Relaxed)))
        };
        let clock = Arc::new(TokioClock(Instant::now()));
        let node = Arc::new(Node::open(store, clock, Arc::new(randomness)).await.unwrap());
        let (dialled, rung) = mpsc::unbounded_channel();
        let sound = Arc::new(SoundLog::default());
        let id = NodeId::new(node.now(), &mut *node.rng());
        let engine = Arc::new(FakeEngine(Arc::clone(&sound)));
        let board = Switchboard::new(Arc::clone(&node), id, Arc::new(FakePort(dialled)), engine);
        World { board, node, rung, sound, _files: files }
    }

    pub async fn set(&self, name: &str, value: &str) {
        let name = callveil_domain::settings::Settings::find(name).unwrap().name;
        let mut change = Change::at(self.node.now());
        let value = value.to_owned();
        change.directory.push(DirectoryWrite::SetSetting { tenant: acme(), name, value });
        assert_eq!(self.node.store().apply(change).await.unwrap(), Outcome::Applied);
        self.node.refresh().await.unwrap();
    }

    pub async fn allocate(
        &self,
        wanted: PhoneNumber,
        a: &[PhoneNumber],
        b: &[PhoneNumber],
        pins: &[u64],
    ) -> Allocation {
        self.lend(wanted, a, b, pins, Usage::TwoWay).await
    }

    pub async fn allocate_one_way(&self, wanted: PhoneNumber, a: &[PhoneNumber], b: &[PhoneNumber]) {
        self.lend(wanted, a, b, &[], Usage::OneWay).await;
    }

    async fn lend(
        &self,
        wanted: PhoneNumber,
        a: &[PhoneNumber],
        b: &[PhoneNumber],
        pins: &[u64],
        usage: Usage,
    ) -> Allocation {
        let tenant = Arc::clone(self.node.directory().tenant("acme").unwrap());
        let pins = pins.iter().map(|pin| Pin::from_value(*pin).unwrap()).collect();
        let new = NewAllocation {
            connection: ConnectionId::parse(&format!("for-{}", wanted.expose_digits())).unwrap(),
            a: NewParty { numbers: a.to_vec(), pins, ..NewParty::default() },
            b: NewParty { numbers: b.to_vec(), ..NewParty::default() },
            usage,
            lifetime: None,
            flow: None,
            preferences: Preferences { number: Some(wanted), strict: true, ..Preferences::default() },
        };
        let mut rng = self.node.rng();
        let mut ctx = self.node.ctx(&mut *rng, Effect::Keep);
        create(&mut ctx, &tenant, new, None).await.unwrap().allocation
    }

    pub async fn allocation(&self, id: AllocationId) -> Allocation {
        self.node.store().allocation(&acme(), id).await.unwrap().unwrap()
    }

    pub async fn record(&self, call: CallId) -> Option<CallRecord> {
        self.node.store().call(&acme(), call).await.unwrap()
    }

    pub fn call(&self, caller: Option<PhoneNumber>, dialled: PhoneNumber) -> Caller {
        self.call_offering(caller, dialled, Some(OFFER))
    }

    pub fn call_offering(
        &self,
        caller: Option<PhoneNumber>,
        dialled: PhoneNumber,
        offer: Option<Description>,
    ) -> Caller {
        self.take(caller, dialled, offer, None)
    }

    pub fn call_vouched(
        &self,
        caller: PhoneNumber,
        dialled: PhoneNumber,
        attestation: Attestation,
    ) -> Caller {
        self.take(Some(caller), dialled, Some(OFFER), Some(attestation))
    }

    fn take(
        &self,
        caller: Option<PhoneNumber>,
        dialled: PhoneNumber,
        offer: Option<Description>,
        attestation: Option<Attestation>,
    ) -> Caller {
        let (leg, telephone) = telephone();
        let call = self.board.take(Invitation {
            leg,
            trunk: TrunkName::parse("carrier").unwrap(),
            dialled: Some(dialled),
            caller,
            attestation,
            offer,
            encryption: Encryption::Off,
            max_forwards: 70,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        });
        Caller { call, telephone }
    }

    /// The next telephone that is rung.
    pub async fn rung(&mut self) -> (Dial, Telephone) {
        timeout(SOON, self.rung.recv()).await.expect("nobody is rung").unwrap()
    }

    pub fn nobody_rang(&mut self) -> bool {
        self.rung.try_recv().is_err()
    }

    /// What was done with the sound, of all calls.
    pub fn sounds(&self) -> Vec<String> {
        self.sound.done.lock().unwrap().clone()
    }

    /// Waits until something was done with the sound.
    pub async fn until_sound(&self, what: &str) {
        self.until_sounds(what, 1).await;
    }

    async fn until_sounds(&self, what: &str, count: usize) {
        let done = async {
            loop {
                let changed = self.sound.changed.notified();
                if self.sounds().iter().filter(|done| *done == what).count() >= count {
                    return;
                }
                changed.await;
            }
        };
        timeout(SOON, done).await.unwrap_or_else(|_| panic!("no {what}: {:?}", self.sounds()));
    }

    /// The caller of the last call presses keys, once it is asked to.
    pub async fn presses(&self, keys: &str) {
        let asked = |done: &str| done == "play 0 enter-pin" || done == "play 0 wrong-pin";
        let due = self.sound.entries.fetch_add(1, Ordering::Relaxed) + 1;
        let waits = async {
            loop {
                let changed = self.sound.changed.notified();
                if self.sounds().iter().filter(|done| asked(done)).count() as u64 >= due {
                    return;
                }
                changed.await;
            }
        };
        timeout(SOON, waits).await.unwrap_or_else(|_| panic!("nothing is asked: {:?}", self.sounds()));
        for key in keys.chars() {
            self.heard(media::Event::Digit(LegNumber::CALLER, key)).await;
        }
    }

    /// Something happens in the sound of the last call.
    pub async fn heard(&self, event: media::Event) {
        let events = self.sound.events.lock().unwrap().clone().unwrap();
        events.send(event).await.unwrap();
    }
}

/// A caller's telephone and the call that it began.
pub struct Caller {
    pub call: CallId,
    telephone: Telephone,
}

impl Caller {
    pub async fn says(&self, event: Event) {
        self.telephone.says(event).await;
    }

    pub async fn hears(&mut self) -> Order {
        self.telephone.hears().await
    }
}

/// The far end of a leg.
pub struct Telephone {
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<Event>,
}

impl Telephone {
    pub async fn says(&self, event: Event) {
        // The call may be over.
        let _ = self.events.send(event).await;
    }

    pub async fn hears(&mut self) -> Order {
        timeout(SOON, self.orders.recv()).await.expect("no order comes").expect("the leg is gone")
    }
}

fn telephone() -> (Leg, Telephone) {
    let (orders, ordered) = mpsc::channel(16);
    let (events, happened) = mpsc::channel(16);
    (Leg { orders, events: happened }, Telephone { orders: ordered, events })
}

struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_795_435_200_000_000).plus(self.0.elapsed())
    }
}

struct FakePort(mpsc::UnboundedSender<(Dial, Telephone)>);

#[async_trait]
impl Port for FakePort {
    fn encrypts(&self, _to: PhoneNumber, _show: PhoneNumber) -> Encryption {
        Encryption::Off
    }

    async fn dial(&self, dial: Dial) -> Leg {
        let (leg, telephone) = telephone();
        self.0.send((dial, telephone)).unwrap();
        leg
    }
}

#[derive(Default)]
struct SoundLog {
    done: Mutex<Vec<String>>,
    changed: Notify,
    entries: AtomicU64,
    events: Mutex<Option<mpsc::Sender<media::Event>>>,
}

impl SoundLog {
    fn did(&self, what: String) {
        self.done.lock().unwrap().push(what);
        self.changed.notify_waiters();
    }
}

struct FakeEngine(Arc<SoundLog>);

#[async_trait]
impl Engine for FakeEngine {
    async fn open(
        &self,
        _call: CallId,
    ) -> Result<(Box<dyn Session>, mpsc::Receiver<media::Event>), MediaError> {
        let (events, receiver) = mpsc::channel(64);
        *self.0.events.lock().unwrap() = Some(events.clone());
        Ok((Box::new(FakeSession { log: Arc::clone(&self.0), events }), receiver))
    }
}

struct FakeSession {
    log: Arc<SoundLog>,
    events: mpsc::Sender<media::Event>,
}

impl FakeSession {
    fn takes(&self, what: &str, leg: LegNumber, description: &Description) -> Result<(), MediaError> {
        self.log.did(format!("{what} {}", leg.0));
        if description == "nonsense" { Err(MediaError::NotAcceptable) } else { Ok(()) }
    }
}

#[async_trait]
impl Session for FakeSession {
    async fn consider(&mut self, leg: LegNumber, offer: Description) -> Result<(), MediaError> {
        self.takes("consider", leg, &offer)
    }

    async fn offer(&mut self, leg: LegNumber, secure: bool) -> Result<Description, MediaError> {
        self.log.did(format!("offer {}{}", leg.0, if secure { " secure" } else { "" }));
        Ok(OFFER)
    }

    async fn accept(&mut self, leg: LegNumber, answer: Description) -> Result<(), MediaError> {
        self.takes("accept", leg, &answer)
    }

    async fn answer(&mut self, leg: LegNumber, offer: Description) -> Result<Description, MediaError> {
        self.takes("answer", leg, &offer).map(|()| ANSWER)
    }

    async fn join(&mut self, one: LegNumber, other: LegNumber) -> Result<(), MediaError> {
        self.log.did(format!("join {} {}", one.0, other.0));
        Ok(())
    }

    async fn part(&mut self) -> Result<(), MediaError> {
        self.log.did("part".to_owned());
        Ok(())
    }

    async fn play(&mut self, leg: LegNumber, sound: Sound) -> Result<(), MediaError> {
        let name = match sound {
            Sound::Ringback => "ringback",
            Sound::Prompt { name, .. } => name,
        };
        self.log.did(format!("play {} {name}", leg.0));
        if name != "ringback" {
            // Spoken at once.
            let _ = self.events.try_send(media::Event::Played(leg));
        }
        Ok(())
    }

    async fn stop(&mut self, _leg: LegNumber) -> Result<(), MediaError> {
        Ok(())
    }

    async fn listen(&mut self, leg: LegNumber, on: bool) -> Result<(), MediaError> {
        self.log.did(format!("listen {} {on}", leg.0));
        Ok(())
    }

    async fn record(&mut self) -> Result<Recording, MediaError> {
        Ok(Recording { name: "recording".to_owned() })
    }

    async fn drop_leg(&mut self, _leg: LegNumber) {}

    async fn close(self: Box<Self>) -> Carried {
        self.log.did("close".to_owned());
        Carried::default()
    }
}
