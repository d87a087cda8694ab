//! The law of the product, checked against a model: *a call from number n to virtual number V has at most one
//! answer*, and it is the one that the history of use cases gives it.
//!
//! Few people, virtual numbers and pins, so that most steps meet what others hold. The model keeps for each key who
//! holds it until when, and judges each answer of a use case by that; after each step every call that could be made
//! is decided by both.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use callveil_domain::allocation::change_number::{ChangeNumberRefused, change_number};
use callveil_domain::allocation::create::{CreateRefused, NewAllocation, NewParty, Preferences, create};
use callveil_domain::allocation::expire::expire_due;
use callveil_domain::allocation::release::{ReleaseRefused, release};
use callveil_domain::allocation::update_parties::{
    PartiesUpdate, PartyUpdate, UpdateRefused, update_parties,
};
use callveil_domain::allocation::{AllocationId, ConnectionId, Side, Usage};
use callveil_domain::audit::Origin;
use callveil_domain::call::CallId;
use callveil_domain::calls::CallRecord;
use callveil_domain::live::NodeId;
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::routing::{Connection, Decision, NotJoined, RefuseReason, join_by_pin, route};
use callveil_domain::store::{Change, DirectoryWrite, Outcome, Store, Tidy};
use callveil_domain::tenant::{Directory, Tenant};
use callveil_domain::time::Timestamp;
use callveil_domain::{Ctx, Effect, Failure, verify};
use callveil_store::sqlite::{Mode, SqliteStore};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::world::{acme, at, put, quick_directory};

const PEOPLE: u64 = 6;
const VIRTUAL_NUMBERS: u64 = 3;
const PINS: u64 = 3;
const NAMES: u64 = 4;
const COOLING: i64 = 5;
const LIVE_PINS: usize = 2;

prop_state_machine! {
    #[test]
    fn every_call_has_the_one_answer_that_its_history_gives_it(sequential 1..40 => Law);
}

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    Create { name: u64, sides: [Listed; 2], one_way: bool, seconds: i64, number: Option<u64> },
    Update { which: Index, sides: [Replaced; 2], one_way: Option<bool> },
    ChangeNumber { which: Index, number: Option<u64> },
    Release { which: Index },
    Join { caller: Option<u64>, number: u64, pin: u64 },
    Tick { seconds: i64 },
    WriteEndsDown,
    TidyUp,
    Crash,
}

/// A side of a new allocation: people and pins.
#[derive(Clone, Debug)]
struct Listed {
    numbers: Vec<u64>,
    pins: Vec<u64>,
}

/// What an update says of a side.
#[derive(Clone, Debug)]
struct Replaced {
    numbers: Option<Vec<u64>>,
    pins: Option<Vec<u64>>,
}

/// Steps need no state to be thought of: they name the allocation that they are about by its place.
struct Steps;

impl ReferenceStateMachine for Steps {
    type State = ();
    type Transition = Step;

    fn init_state() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    fn transitions((): &()) -> BoxedStrategy<Step> {
        let number = || option::of(0..VIRTUAL_NUMBERS);
        let listed = || {
            (vec(0..PEOPLE, 1..=2), vec(0..PINS, 0..=1)).prop_map(|(numbers, pins)| Listed { numbers, pins })
        };
        let replaced = || {
            (option::of(vec(0..PEOPLE, 1..=2)), option::of(vec(0..PINS, 0..=2)))
                .prop_map(|(numbers, pins)| Replaced { numbers, pins })
        };
        let create = (0..NAMES, [listed(), listed()], any::<bool>(), 1..20_i64, number()).prop_map(
            |(name, sides, one_way, seconds, number)| Step::Create { name, sides, one_way, seconds, number },
        );
        let update = (any::<Index>(), [replaced(), replaced()], option::of(any::<bool>()))
            .prop_map(|(which, sides, one_way)| Step::Update { which, sides, one_way });
        let join = (option::of(0..PEOPLE), 0..VIRTUAL_NUMBERS, 0..PINS)
            .prop_map(|(caller, number, pin)| Step::Join { caller, number, pin });
        prop_oneof![
            8 => create,
            5 => update,
            3 => (any::<Index>(), number()).prop_map(|(which, number)| Step::ChangeNumber { which, number }),
            3 => any::<Index>().prop_map(|which| Step::Release { which }),
            5 => join,
            4 => (1..8_i64).prop_map(|seconds| Step::Tick { seconds }),
            1 => Just(Step::WriteEndsDown),
            1 => Just(Step::TidyUp),
            1 => Just(Step::Crash),
        ]
        .boxed()
    }

    fn apply((): (), _: &Step) {}
}

struct Law;

impl StateMachineTest for Law {
    type SystemUnderTest = Both;
    type Reference = Steps;

    fn init_test((): &()) -> Both {
        Both::new()
    }

    fn apply(mut both: Both, (): &(), step: Step) -> Both {
        both.step(step);
        both
    }

    fn check_invariants(both: &Both, (): &()) {
        both.compare_calls();
    }

    fn teardown(both: Both, (): ()) {
        both.verify();
    }
}

/// The real thing and the model of it.
struct Both {
    real: Real,
    model: Model,
}

struct Real {
    runtime: Runtime,
    files: TempDir,
    store: SqliteStore,
    directory: Directory,
    rng: StdRng,
}

impl Both {
    fn new() -> Both {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let files = quick_directory();
        let store = SqliteStore::open(&files.path().join("callveil.db"), Mode::Serve).unwrap();
        let mut change = Change::at(at(0));
        change.directory.push(DirectoryWrite::AddTenant(acme()));
        change.directory.extend((0..VIRTUAL_NUMBERS).map(|v| put(&acme(), virtual_number(v))));
        for (name, value) in
            [("deletion_time", COOLING.to_string()), ("max_live_pins_per_vn", LIVE_PINS.to_string())]
        {
            change.directory.push(DirectoryWrite::SetSetting { tenant: acme(), name, value });
        }
        assert_eq!(runtime.block_on(store.apply(change)).unwrap(), Outcome::Applied);
        let directory = runtime.block_on(store.directory()).unwrap();
        let real = Real { runtime, files, store, directory, rng: StdRng::seed_from_u64(7) };
        Both { real, model: Model::default() }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Create { name, sides, one_way, seconds, number } => {
                self.create(name, &sides, one_way, seconds, number);
            }
            Step::Update { which, sides, one_way } => {
                if let Some(which) = self.model.which(&which) {
                    self.update(which, &sides, one_way);
                }
            }
            Step::ChangeNumber { which, number } => {
                if let Some(which) = self.model.which(&which) {
                    self.change_number(which, number);
                }
            }
            Step::Release { which } => {
                if let Some(which) = self.model.which(&which) {
                    self.release(which);
                }
            }
            Step::Join { caller, number, pin } => self.join(caller, number, pin),
            Step::Tick { seconds } => self.model.now += seconds,
            Step::WriteEndsDown => self.real.write_ends_down(self.model.now()),
            Step::TidyUp => self.real.tidy_up(self.model.now()),
            Step::Crash => self.real.crash(),
        }
    }

    fn create(&mut self, name: u64, sides: &[Listed; 2], one_way: bool, seconds: i64, number: Option<u64>) {
        let [a, b] = sides.clone().map(|side| NewParty {
            numbers: side.numbers.iter().map(|p| person(*p)).collect(),
            pins: side.pins.iter().map(|p| pin(*p)).collect(),
            tag: None,
        });
        let new = NewAllocation {
            connection: ConnectionId::parse(&format!("order-{name}")).unwrap(),
            a,
            b,
            usage: if one_way { Usage::OneWay } else { Usage::TwoWay },
            lifetime: Some(Duration::from_secs(seconds.cast_unsigned())),
            flow: None,
            preferences: prefer(number),
        };
        let created =
            self.real.act(self.model.now(), async |ctx, tenant| create(ctx, tenant, new, None).await);

        let [a, b] = sides.clone().map(Stood::new);
        let apart = a.apart_from(&b);
        let may_have = self.model.may_be_lent(&a, &b, number, None);
        match created {
            Ok(created) => {
                let chosen = place_of(created.allocation.virtual_number);
                assert!(apart && !self.model.is_named(name) && may_have.contains(&chosen));
                let until = self.model.now + seconds;
                self.model.lend(created.allocation.id, name, chosen, [a, b], one_way, until);
            }
            Err(Failure::Refused(CreateRefused::Parties(_))) => assert!(!apart),
            Err(Failure::Refused(CreateRefused::ConnectionInUse)) => assert!(self.model.is_named(name)),
            Err(Failure::Refused(CreateRefused::NoVirtualNumber(_))) => assert!(may_have.is_empty()),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn update(&mut self, which: usize, sides: &[Replaced; 2], one_way: Option<bool>) {
        let [a, b] = sides.clone().map(|side| PartyUpdate {
            numbers: side.numbers.map(|list| list.iter().map(|p| person(*p)).collect()),
            pins: side.pins.map(|list| list.iter().map(|p| pin(*p)).collect()),
        });
        let usage = one_way.map(|one_way| if one_way { Usage::OneWay } else { Usage::TwoWay });
        let update = PartiesUpdate { a, b, usage };
        let id = self.model.lent[which].id;
        let updated = self.real.act(self.model.now(), async |ctx, tenant| {
            update_parties(ctx, tenant, id, None, update, None).await
        });

        let expected = self.model.judge_update(which, sides, one_way);
        let told = match updated {
            Ok(_) => Ok(()),
            Err(Failure::Refused(UpdateRefused::Ended)) => Err("ended"),
            Err(Failure::Refused(UpdateRefused::Parties(_))) => Err("parties"),
            Err(Failure::Refused(UpdateRefused::PinTaken(..))) => Err("pin taken"),
            Err(Failure::Refused(UpdateRefused::NoRoomForPins { .. })) => Err("no room for pins"),
            Err(Failure::Refused(UpdateRefused::NumberTaken(..))) => Err("number taken"),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(told, expected);
    }

    fn change_number(&mut self, which: usize, number: Option<u64>) {
        let Lent { id, number: before, .. } = self.model.lent[which];
        let changed = self.real.act(self.model.now(), async |ctx, tenant| {
            change_number(ctx, tenant, id, None, &prefer(number), None).await
        });

        let active = self.model.is_active(which);
        let stays = number == Some(before);
        let may_have = self.model.may_move_to(which, number);
        match changed {
            Ok(changed) => {
                let chosen = place_of(changed.allocation.virtual_number);
                assert!(active && (stays && chosen == before || may_have.contains(&chosen)));
                if !stays {
                    self.model.move_to(which, chosen);
                }
            }
            Err(Failure::Refused(ChangeNumberRefused::Ended)) => assert!(!active),
            Err(Failure::Refused(ChangeNumberRefused::NoVirtualNumber(_))) => {
                assert!(active && !stays && may_have.is_empty());
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    fn release(&mut self, which: usize) {
        let id = self.model.lent[which].id;
        let released =
            self.real.act(self.model.now(), async |ctx, tenant| release(ctx, tenant, id, None, None).await);

        let active = self.model.is_active(which);
        match released {
            Ok(_) => {
                assert!(active);
                self.model.end(which);
            }
            Err(Failure::Refused(ReleaseRefused::Ended)) => assert!(!active),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn join(&mut self, caller: Option<u64>, number: u64, code: u64) {
        let (from, to) = (caller.map(person), virtual_number(number));
        let now = self.model.now();
        let joined = self.real.act(now, async |ctx, tenant| {
            let (id, node) = (CallId::new(now, ctx.rng), NodeId::new(now, ctx.rng));
            let call = CallRecord::arrived(id, tenant, node, to, from, now);
            join_by_pin(ctx, tenant, &call, pin(code)).await
        });

        let told = match joined {
            Ok(connection) => answer(Decision::Connect(Box::new(connection))),
            Err(Failure::Refused(NotJoined(why))) => Answer::Refuse(why),
            Err(Failure::Store(error)) => panic!("{error}"),
        };
        assert_eq!(told, self.model.judge_join(caller, number, code));
    }

    fn compare_calls(&self) {
        for number in 0..VIRTUAL_NUMBERS {
            for caller in (0..PEOPLE).map(Some).chain([None]) {
                let told = self.real.decide(caller, number, self.model.now());
                assert_eq!(told, self.model.route(caller, number), "person {caller:?} calls number {number}");
            }
        }
    }

    fn verify(&self) {
        let report = verify::verify(&self.real.store, self.model.now());
        assert_eq!(self.real.runtime.block_on(report).unwrap().findings, []);
    }
}

impl Real {
    fn act<T>(&mut self, now: Timestamp, work: impl AsyncFnOnce(&mut Ctx<'_>, &Tenant) -> T) -> T {
        let tenant = self.directory.tenant("acme").unwrap().clone();
        let mut ctx =
            Ctx { store: &self.store, now, rng: &mut self.rng, effect: Effect::Keep, by: Origin::PROGRAM };
        self.runtime.block_on(work(&mut ctx, &tenant))
    }

    fn decide(&self, caller: Option<u64>, number: u64, now: Timestamp) -> Answer {
        let mut unused = StdRng::seed_from_u64(0);
        let ctx =
            Ctx { store: &self.store, now, rng: &mut unused, effect: Effect::Keep, by: Origin::PROGRAM };
        answer(self.runtime.block_on(route(&ctx, caller.map(person), virtual_number(number))).unwrap())
    }

    fn write_ends_down(&self, now: Timestamp) {
        self.runtime.block_on(expire_due(&self.store, &self.directory, now)).unwrap();
    }

    fn tidy_up(&self, now: Timestamp) {
        let epoch = Timestamp::EPOCH;
        let what = Tidy {
            claims_before: now,
            allocations_before: epoch,
            receipts_before: epoch,
            audit_before: epoch,
            tenants: Vec::new(),
            step: 7,
        };
        self.runtime.block_on(self.store.tidy(what)).unwrap();
    }

    /// Goes on with what a killed process would have left on the disk at this moment.
    fn crash(&mut self) {
        let left = quick_directory();
        for name in ["callveil.db", "callveil.db-wal"] {
            fs::copy(self.files.path().join(name), left.path().join(name)).unwrap();
        }
        self.store = SqliteStore::open(&left.path().join("callveil.db"), Mode::Serve).unwrap();
        self.files = left;
    }
}

/// What a call is answered, as the model says it.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Connect { allocation: AllocationId, from: Side, ring: Vec<PhoneNumber>, show: PhoneNumber },
    AskForPin,
    Refuse(RefuseReason),
}

fn answer(decision: Decision) -> Answer {
    match decision {
        Decision::Connect(connection) => {
            let Connection { allocation, from, ring, show } = *connection;
            Answer::Connect { allocation: allocation.id, from, ring, show }
        }
        Decision::AskForPin => Answer::AskForPin,
        Decision::Refuse(why) => Answer::Refuse(why),
    }
}

/// Who holds what, until when. Seconds stand for moments, and small numbers for numbers and pins.
#[derive(Default)]
struct Model {
    now: i64,
    lent: Vec<Lent>,
    held: BTreeMap<(u64, Key), Hold>,
    names: BTreeMap<u64, i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(u64),
    Pin(u64),
}

#[derive(Clone, Copy)]
struct Hold {
    by: usize,
    until: i64,
}

struct Lent {
    id: AllocationId,
    name: u64,
    number: u64,
    sides: [Stood; 2],
    one_way: bool,
    expires_at: i64,
    ended: bool,
}

/// A side as it stands.
#[derive(Clone)]
struct Stood {
    numbers: Vec<u64>,
    pins: Vec<u64>,
    learned: Vec<u64>,
}

impl Stood {
    fn new(Listed { numbers, pins }: Listed) -> Stood {
        Stood { numbers: once_each(&numbers), pins: once_each(&pins), learned: Vec::new() }
    }

    fn apart_from(&self, other: &Stood) -> bool {
        !self.numbers.iter().any(|n| other.numbers.contains(n))
            && !self.pins.iter().any(|p| other.pins.contains(p))
    }

    fn keys(&self) -> impl Iterator<Item = Key> {
        let numbers = self.numbers.iter().chain(&self.learned).map(|n| Key::Number(*n));
        numbers.chain(self.pins.iter().map(|p| Key::Pin(*p)))
    }

    fn has(&self, person: u64) -> bool {
        self.numbers.contains(&person) || self.learned.contains(&person)
    }
}

fn keys(sides: &[Stood; 2]) -> Vec<Key> {
    sides.iter().flat_map(Stood::keys).collect()
}

fn once_each(list: &[u64]) -> Vec<u64> {
    let mut kept = Vec::new();
    for item in list {
        if !kept.contains(item) {
            kept.push(*item);
        }
    }
    kept
}

impl Model {
    fn now(&self) -> Timestamp {
        at(self.now)
    }

    fn which(&self, index: &Index) -> Option<usize> {
        (!self.lent.is_empty()).then(|| index.index(self.lent.len()))
    }

    fn is_active(&self, which: usize) -> bool {
        let Lent { expires_at, ended, .. } = self.lent[which];
        !ended && self.now < expires_at
    }

    fn is_named(&self, name: u64) -> bool {
        self.names.get(&name).is_some_and(|until| *until > self.now)
    }

    fn holder(&self, number: u64, key: Key) -> Option<usize> {
        self.held.get(&(number, key)).filter(|hold| hold.until > self.now).map(|hold| hold.by)
    }

    /// The pins that others than `own` hold on a number.
    fn others_pins(&self, number: u64, own: Option<usize>) -> Vec<u64> {
        (0..PINS)
            .filter(|pin| self.holder(number, Key::Pin(*pin)).is_some_and(|by| Some(by) != own))
            .collect()
    }

    fn has_room(&self, others: usize, pins: usize) -> bool {
        others == 0 || pins == 0 || others + pins <= LIVE_PINS
    }

    /// The numbers that could be lent to these sides. A key that cools on a number is in use there, even by them.
    fn may_be_lent(&self, a: &Stood, b: &Stood, wished: Option<u64>, own: Option<usize>) -> Vec<u64> {
        let wished_for = |number: &u64| wished.is_none_or(|wished| wished == *number);
        let people: Vec<u64> = a.numbers.iter().chain(&b.numbers).copied().collect();
        let pins: Vec<u64> = a.pins.iter().chain(&b.pins).copied().collect();
        let fits = |number: &u64| {
            let others = self.others_pins(*number, own);
            people.iter().all(|p| self.holder(*number, Key::Number(*p)).is_none())
                && !pins.iter().any(|pin| others.contains(pin))
                && self.has_room(others.len(), pins.len())
        };
        (0..VIRTUAL_NUMBERS).filter(wished_for).filter(fits).collect()
    }

    fn may_move_to(&self, which: usize, wished: Option<u64>) -> Vec<u64> {
        let Lent { sides: [a, b], number, .. } = &self.lent[which];
        let mut numbers = self.may_be_lent(a, b, wished, Some(which));
        numbers.retain(|other| other != number);
        numbers
    }

    fn lend(
        &mut self,
        id: AllocationId,
        name: u64,
        number: u64,
        sides: [Stood; 2],
        one_way: bool,
        expires_at: i64,
    ) {
        let by = self.lent.len();
        for key in keys(&sides) {
            self.take(number, key, by, expires_at + COOLING);
        }
        self.names.insert(name, expires_at);
        self.lent.push(Lent { id, name, number, sides, one_way, expires_at, ended: false });
    }

    fn take(&mut self, number: u64, key: Key, by: usize, until: i64) {
        assert!(self.holder(number, key).is_none_or(|holder| holder == by), "a key is taken from its holder");
        self.held.insert((number, key), Hold { by, until });
    }

    fn cool(&mut self, number: u64, key: Key, by: usize) {
        let until = self.now + COOLING;
        if let Some(hold) = self.held.get_mut(&(number, key)).filter(|hold| hold.by == by) {
            hold.until = until;
        }
    }

    fn judge_update(
        &mut self,
        which: usize,
        replaced: &[Replaced; 2],
        one_way: Option<bool>,
    ) -> Result<(), &'static str> {
        if !self.is_active(which) {
            return Err("ended");
        }
        let Lent { number, expires_at, sides: before, .. } = &self.lent[which];
        let (number, expires_at, before) = (*number, *expires_at, before.clone());
        let after = replace(&before, replaced);
        if !after[0].apart_from(&after[1]) {
            return Err("parties");
        }
        let (old, new) = (keys(&before), keys(&after));
        let pins: Vec<Key> = new.iter().copied().filter(|k| matches!(k, Key::Pin(_))).collect();
        let others = self.others_pins(number, Some(which));
        if pins.iter().any(|pin| !old.contains(pin)) {
            if pins.iter().any(|pin| others.iter().any(|other| *pin == Key::Pin(*other))) {
                return Err("pin taken");
            }
            if !self.has_room(others.len(), pins.len()) {
                return Err("no room for pins");
            }
        }
        let fresh: Vec<Key> = new.iter().copied().filter(|key| !old.contains(key)).collect();
        if fresh.iter().any(|key| self.holder(number, *key).is_some_and(|by| by != which)) {
            return Err("number taken");
        }
        for key in fresh {
            self.take(number, key, which, expires_at + COOLING);
        }
        for key in old.into_iter().filter(|key| !new.contains(key)) {
            self.cool(number, key, which);
        }
        self.lent[which].sides = after;
        self.lent[which].one_way = one_way.unwrap_or(self.lent[which].one_way);
        Ok(())
    }

    fn move_to(&mut self, which: usize, number: u64) {
        let left = std::mem::replace(&mut self.lent[which].number, number);
        for key in keys(&self.lent[which].sides) {
            self.cool(left, key, which);
        }
        for side in &mut self.lent[which].sides {
            side.learned.clear();
        }
        let until = self.lent[which].expires_at + COOLING;
        for key in keys(&self.lent[which].sides) {
            self.take(number, key, which, until);
        }
    }

    fn end(&mut self, which: usize) {
        let number = self.lent[which].number;
        for key in keys(&self.lent[which].sides) {
            self.cool(number, key, which);
        }
        self.names.insert(self.lent[which].name, self.now);
        self.lent[which].ended = true;
    }

    fn judge_join(&mut self, caller: Option<u64>, number: u64, pin: u64) -> Answer {
        match self.route(caller, number) {
            Answer::AskForPin => {}
            decided @ (Answer::Connect { .. } | Answer::Refuse(_)) => return decided,
        }
        let opened = self.holder(number, Key::Pin(pin)).filter(|by| self.is_active(*by));
        let stands = |by: usize| self.lent[by].sides.iter().position(|side| side.pins.contains(&pin));
        let Some((by, side)) = opened
            .filter(|by| self.lent[*by].number == number)
            .and_then(|by| stands(by).map(|side| (by, side)))
        else {
            return Answer::Refuse(RefuseReason::WrongPin);
        };
        let decided = self.connect(by, side);
        if let (Answer::Connect { .. }, Some(caller)) = (&decided, caller) {
            let until = self.lent[by].expires_at + COOLING;
            self.take(number, Key::Number(caller), by, until);
            self.lent[by].sides[side].learned.push(caller);
        }
        decided
    }

    fn route(&self, caller: Option<u64>, number: u64) -> Answer {
        let Some((by, caller)) = caller.and_then(|c| Some((self.holder(number, Key::Number(c))?, c))) else {
            // A pin that cools opens nothing, and is not asked for.
            let lent_with_pins = |by: &usize| {
                let Lent { number: lent, sides, .. } = &self.lent[*by];
                self.is_active(*by) && *lent == number && sides.iter().any(|side| !side.pins.is_empty())
            };
            let has_pins =
                (0..PINS).filter_map(|pin| self.holder(number, Key::Pin(pin))).any(|by| lent_with_pins(&by));
            return if has_pins { Answer::AskForPin } else { Answer::Refuse(RefuseReason::UnknownCaller) };
        };
        if !self.is_active(by) {
            return Answer::Refuse(RefuseReason::Ended);
        }
        let side = self.lent[by].sides.iter().position(|side| side.has(caller));
        match side.filter(|_| self.lent[by].number == number) {
            Some(side) => self.connect(by, side),
            None => Answer::Refuse(RefuseReason::NoLongerAParty),
        }
    }

    fn connect(&self, by: usize, side: usize) -> Answer {
        let Lent { id, number, sides, one_way, .. } = &self.lent[by];
        if *one_way && side == 1 {
            return Answer::Refuse(RefuseReason::OneWay);
        }
        let Stood { numbers, learned, pins: _ } = &sides[1 - side];
        Answer::Connect {
            allocation: *id,
            from: Side::BOTH[side],
            ring: numbers.iter().chain(learned).map(|p| person(*p)).collect(),
            show: virtual_number(*number),
        }
    }
}

fn replace(before: &[Stood; 2], replaced: &[Replaced; 2]) -> [Stood; 2] {
    let mut after = before.clone();
    for (side, Replaced { numbers, pins }) in after.iter_mut().zip(replaced) {
        if let Some(numbers) = numbers {
            side.numbers = once_each(numbers);
        }
        if let Some(pins) = pins.as_ref().map(|pins| once_each(pins)) {
            // Those who joined by a pin that is no more must join anew.
            if pins != side.pins {
                side.learned.clear();
            }
            side.pins = pins;
        }
    }
    let listed: Vec<u64> = after.iter().flat_map(|side| side.numbers.clone()).collect();
    for side in &mut after {
        side.learned.retain(|person| !listed.contains(person));
    }
    after
}

fn prefer(number: Option<u64>) -> Preferences {
    Preferences { number: number.map(virtual_number), strict: number.is_some(), ..Preferences::default() }
}

/// Numbers of India, which is the tenant's country.
fn person(n: u64) -> PhoneNumber {
    PhoneNumber::from_digits(919_810_000_001 + n).unwrap()
}

fn virtual_number(n: u64) -> PhoneNumber {
    PhoneNumber::from_digits(912_261_000_001 + n).unwrap()
}

fn place_of(number: PhoneNumber) -> u64 {
    number.expose_digits() - virtual_number(0).expose_digits()
}

fn pin(n: u64) -> Pin {
    Pin::from_value(4_831 + n).unwrap()
}
