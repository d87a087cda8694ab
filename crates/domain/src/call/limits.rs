//! Limits against fraud: whom a tenant's callers may reach, how much, and how often a pin may be guessed.
//!
//! The counts are values that a node keeps in memory: they are bounded, and start anew with it. Each node counts for
//! itself and lets its part through: of N nodes each an Nth, so that all together keep to the whole without a word
//! between them. A part is never nothing, so that a cap which is smaller than N comes to N.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::call::pin_entry::TRIES;
use crate::number::{NeverDialled, PhoneNumber};
use crate::pin::WRONG_TRIES_A_DAY;
use crate::settings::Settings;
use crate::tenant::Sid;
use crate::time::Timestamp;

/// What a tenant may have at most; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Calls at a time.
    pub calls_at_once: u32,
    /// Calls that begin within an hour.
    pub calls_an_hour: u32,
    /// Calls that begin within an hour and ring one and the same number.
    pub calls_an_hour_to_one_number: u32,
    /// Minutes of conversation that end within a day.
    pub minutes_a_day: u32,
}

impl Caps {
    /// The part of one of so many nodes.
    pub fn of_each(self, nodes: usize) -> Caps {
        let part = |cap: u32| if cap == 0 { 0 } else { part(cap.into(), nodes, 1) as u32 };
        Caps {
            calls_at_once: part(self.calls_at_once),
            calls_an_hour: part(self.calls_an_hour),
            calls_an_hour_to_one_number: part(self.calls_an_hour_to_one_number),
            minutes_a_day: part(self.minutes_a_day),
        }
    }
}

/// The part of one of so many nodes, at least this.
fn part(whole: u64, nodes: usize, least: u64) -> u64 {
    (whole / nodes.max(1) as u64).max(least)
}

/// What a call goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Nobody may dial it through us.
    NeverDialled(NeverDialled),
    /// The tenant's callers may not reach numbers that begin so.
    Elsewhere,
    /// As many calls as the tenant may have go on.
    CallsAtOnce,
    /// As many calls as the tenant may have in an hour were begun.
    CallsAnHour,
    /// As many calls as one number may get in an hour were begun.
    CallsAnHourToOneNumber,
    /// The tenant has talked for as long as it may in a day.
    MinutesADay,
}

/// How numbers begin that may be reached: `+91`, `+1202`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix(u64);

impl Prefix {
    /// Reads a plus and 1 to 15 digits, the first of them not 0.
    pub fn parse(text: &str) -> Option<Prefix> {
        let digits = text.strip_prefix('+')?;
        let fits = (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse().ok().filter(|value| fits && *value > 0 && !digits.starts_with('0')).map(Prefix)
    }

    /// Whether a number begins so.
    pub fn begins(self, number: PhoneNumber) -> bool {
        std::iter::successors(Some(number.expose_digits()), |n| Some(n / 10).filter(|n| *n > 0))
            .any(|beginning| beginning == self.0)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

/// Those of the numbers that a tenant's callers may reach, or why there is none.
pub fn reachable(settings: &Settings, numbers: Vec<PhoneNumber>) -> Result<Vec<PhoneNumber>, Over> {
    let mut over = Over::Elsewhere;
    let mut left = numbers;
    left.retain(|number| match check(settings, *number) {
        Ok(()) => true,
        Err(why) => {
            over = why;
            false
        }
    });
    if left.is_empty() { Err(over) } else { Ok(left) }
}

fn check(settings: &Settings, number: PhoneNumber) -> Result<(), Over> {
    if let Some(why) = number.never_dialled() {
        return Err(Over::NeverDialled(why));
    }
    let allowed = match settings.call_prefixes.as_slice() {
        [] => settings.international || number.belongs_to(settings.country),
        prefixes => prefixes.iter().any(|prefix| prefix.begins(number)),
    };
    if allowed { Ok(()) } else { Err(Over::Elsewhere) }
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// More telephone numbers than this are not counted at a time; of those beyond, the longest quiet are forgotten.
const MOST_COUNTED: usize = 100_000;

/// A count within a time that begins with the first of what is counted.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: Timestamp,
    count: u64,
}

impl Window {
    fn new(now: Timestamp) -> Window {
        Window { since: now, count: 0 }
    }

    fn count(&mut self, length: Duration, now: Timestamp) -> u64 {
        if now >= self.since.plus(length) {
            *self = Window::new(now);
        }
        self.count
    }
}

/// The calls of all tenants on a node.
#[derive(Debug, Default)]
pub struct Traffic {
    tenants: BTreeMap<Sid, Tenant>,
    numbers: BTreeMap<(Sid, PhoneNumber), Window>,
}

#[derive(Debug)]
struct Tenant {
    at_once: u32,
    calls: Window,
    talked_seconds: Window,
}

impl Traffic {
    /// Counts a call that begins, if it is not over the caps. Whoever was let in tells its end by
    /// [`Traffic::ended`], once.
    pub fn begin(
        &mut self,
        tenant: &Sid,
        caps: &Caps,
        ring: &[PhoneNumber],
        now: Timestamp,
    ) -> Result<(), Over> {
        let fresh = || Tenant { at_once: 0, calls: Window::new(now), talked_seconds: Window::new(now) };
        let known = self.tenants.entry(tenant.clone()).or_insert_with(fresh);
        let is_over = |cap: u32, count: u64| cap > 0 && count >= u64::from(cap);
        if is_over(caps.calls_at_once, known.at_once.into()) {
            return Err(Over::CallsAtOnce);
        }
        if is_over(caps.calls_an_hour, known.calls.count(HOUR, now)) {
            return Err(Over::CallsAnHour);
        }
        if is_over(caps.minutes_a_day, known.talked_seconds.count(DAY, now) / 60) {
            return Err(Over::MinutesADay);
        }
        if caps.calls_an_hour_to_one_number > 0 {
            for number in ring {
                let key = (tenant.clone(), *number);
                let window = self.numbers.entry(key).or_insert_with(|| Window::new(now));
                if is_over(caps.calls_an_hour_to_one_number, window.count(HOUR, now)) {
                    return Err(Over::CallsAnHourToOneNumber);
                }
                window.count += 1;
            }
            forget_the_quiet(&mut self.numbers, |window| window.since, HOUR, now);
        }
        known.at_once += 1;
        known.calls.count += 1;
        Ok(())
    }

    /// Counts a call that has ended.
    pub fn ended(&mut self, tenant: &Sid, talked: Duration, now: Timestamp) {
        let Some(known) = self.tenants.get_mut(tenant) else { return };
        known.at_once = known.at_once.saturating_sub(1);
        known.talked_seconds.count(DAY, now);
        known.talked_seconds.count += talked.as_secs();
    }

    /// How many calls go on.
    pub fn calls(&self) -> u32 {
        self.tenants.values().map(|tenant| tenant.at_once).sum()
    }
}

/// Keeps a map within [`MOST_COUNTED`].
fn forget_the_quiet<K: Ord + Clone, V>(
    map: &mut BTreeMap<K, V>,
    since: impl Fn(&V) -> Timestamp,
    length: Duration,
    now: Timestamp,
) {
    if map.len() <= MOST_COUNTED {
        return;
    }
    map.retain(|_, value| since(value).plus(length) > now);
    while map.len() > MOST_COUNTED {
        let Some(oldest) = map.iter().min_by_key(|(_, value)| since(value)).map(|(key, _)| key.clone())
        else {
            return;
        };
        map.remove(&oldest);
    }
}

/// How many wrong pins a caller may key on one virtual number before it is not listened to.
pub const WRONG_TRIES_OF_A_CALLER: u64 = 10;

/// For how long it is not.
pub const LOCKED: Duration = Duration::from_secs(15 * 60);

/// The part of a virtual number's [`WRONG_TRIES_A_DAY`] that only callers may use whose number the network vouches
/// for: who forges numbers cannot keep those out.
pub const RESERVE: u32 = 20;

/// The wrong pins on a node.
#[derive(Debug, Default)]
pub struct PinBudget {
    callers: BTreeMap<(PhoneNumber, PhoneNumber), Window>,
    numbers: BTreeMap<PhoneNumber, Window>,
}

/// Whether the network vouches for a caller's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// It does.
    Yes,
    /// It does not, or the number is withheld.
    No,
}

impl PinBudget {
    /// Whether a pin is listened to, on one of so many nodes.
    pub fn lets_try(
        &mut self,
        virtual_number: PhoneNumber,
        caller: Option<PhoneNumber>,
        vouched: Vouched,
        nodes: usize,
        now: Timestamp,
    ) -> bool {
        let of_caller = caller.and_then(|caller| self.callers.get_mut(&(virtual_number, caller)));
        // Whoever mistypes twice in a call is listened to a third time, however many nodes there are.
        let most = part(WRONG_TRIES_OF_A_CALLER, nodes, TRIES.into());
        if of_caller.is_some_and(|tries| tries.count(LOCKED, now) >= most) {
            return false;
        }
        let budget = match vouched {
            Vouched::Yes => WRONG_TRIES_A_DAY,
            Vouched::No => WRONG_TRIES_A_DAY - RESERVE,
        };
        let of_number = self.numbers.get_mut(&virtual_number);
        of_number.is_none_or(|tries| tries.count(DAY, now) < part(budget.into(), nodes, 1))
    }

    /// Counts a wrong pin.
    pub fn was_wrong(&mut self, virtual_number: PhoneNumber, caller: Option<PhoneNumber>, now: Timestamp) {
        if let Some(caller) = caller {
            let key = (virtual_number, caller);
            let tries = self.callers.entry(key).or_insert_with(|| Window::new(now));
            // Each wrong pin begins the time anew: who goes on guessing stays locked out.
            tries.count(LOCKED, now);
            *tries = Window { since: now, count: tries.count + 1 };
            forget_the_quiet(&mut self.callers, |tries| tries.since, LOCKED, now);
        }
        let tries = self.numbers.entry(virtual_number).or_insert_with(|| Window::new(now));
        tries.count(DAY, now);
        tries.count += 1;
        forget_the_quiet(&mut self.numbers, |tries| tries.since, DAY, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::country::Country;

    const NOON: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn number(text: &str) -> PhoneNumber {
        PhoneNumber::parse(text, Country::INDIA).unwrap()
    }

    fn sid() -> Sid {
        Sid::parse("acme").unwrap()
    }

    fn later(seconds: u64) -> Timestamp {
        NOON.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn only_numbers_of_the_country_are_reached_unless_the_tenant_says_otherwise() {
        let home = number("+919900000001");
        let abroad = number("+12025550101");
        let mut settings = Settings::default();
        assert_eq!(reachable(&settings, vec![abroad, home]), Ok(vec![home]));
        assert_eq!(reachable(&settings, vec![abroad]), Err(Over::Elsewhere));

        settings.international = true;
        assert_eq!(reachable(&settings, vec![abroad]), Ok(vec![abroad]));

        settings.set("call_prefixes", "+1202, +44").unwrap();
        assert_eq!(reachable(&settings, vec![abroad, home]), Ok(vec![abroad]));
        assert_eq!(reachable(&settings, vec![home]), Err(Over::Elsewhere));
    }

    #[test]
    fn premium_numbers_are_reached_by_nobody() {
        let mut settings = Settings::default();
        settings.set("intl_num_sup", "true").unwrap();
        let premium = number("+19005550101");
        assert!(matches!(reachable(&settings, vec![premium]), Err(Over::NeverDialled(_))));
    }

    #[test]
    fn a_prefix_is_a_plus_and_digits() {
        assert!(Prefix::parse("+91").unwrap().begins(number("+919900000001")));
        assert!(!Prefix::parse("+92").unwrap().begins(number("+919900000001")));
        assert!(!Prefix::parse("+9").unwrap().begins(number("+12025550101")));
        for wrong in ["91", "+", "+0", "+91x", "", "+1234567890123456"] {
            assert_eq!(Prefix::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn caps_count_what_begins_and_what_goes_on() {
        let mut traffic = Traffic::default();
        let ring = [number("+919900000001")];
        let caps = Caps { calls_at_once: 2, calls_an_hour: 3, ..Caps::default() };
        let begin = |traffic: &mut Traffic, at| traffic.begin(&sid(), &caps, &ring, at);

        assert_eq!(begin(&mut traffic, later(0)), Ok(()));
        assert_eq!(begin(&mut traffic, later(1)), Ok(()));
        assert_eq!(begin(&mut traffic, later(2)), Err(Over::CallsAtOnce));
        traffic.ended(&sid(), Duration::ZERO, later(3));
        assert_eq!(begin(&mut traffic, later(4)), Ok(()));
        traffic.ended(&sid(), Duration::ZERO, later(5));
        assert_eq!(begin(&mut traffic, later(6)), Err(Over::CallsAnHour));
        assert_eq!(begin(&mut traffic, later(3_600)), Ok(()));
        assert_eq!(traffic.calls(), 2);
    }

    #[test]
    fn minutes_and_single_numbers_have_caps_of_their_own() {
        let mut traffic = Traffic::default();
        let [one, other] = [number("+919900000001"), number("+919900000002")];
        let caps = Caps { minutes_a_day: 10, calls_an_hour_to_one_number: 1, ..Caps::default() };

        assert_eq!(traffic.begin(&sid(), &caps, &[one], later(0)), Ok(()));
        assert_eq!(traffic.begin(&sid(), &caps, &[one], later(1)), Err(Over::CallsAnHourToOneNumber));
        assert_eq!(traffic.begin(&sid(), &caps, &[other], later(2)), Ok(()));
        traffic.ended(&sid(), Duration::from_secs(600), later(700));
        assert_eq!(traffic.begin(&sid(), &caps, &[other], later(3_700)), Err(Over::MinutesADay));
        assert_eq!(traffic.begin(&sid(), &caps, &[other], later(86_400)), Ok(()));
    }

    #[test]
    fn a_caller_who_guesses_is_locked_out_for_a_while() {
        let mut budget = PinBudget::default();
        let [line, guesser, other] = ["+918000000001", "+919900000001", "+919900000002"].map(number);
        for n in 0..WRONG_TRIES_OF_A_CALLER {
            assert!(budget.lets_try(line, Some(guesser), Vouched::Yes, 1, later(n)));
            budget.was_wrong(line, Some(guesser), later(n));
        }
        assert!(!budget.lets_try(line, Some(guesser), Vouched::Yes, 1, later(20)));
        assert!(budget.lets_try(line, Some(other), Vouched::Yes, 1, later(20)));
        assert!(budget.lets_try(line, Some(guesser), Vouched::Yes, 1, later(1_000)));
    }

    #[test]
    fn who_forges_numbers_leaves_a_reserve_to_those_who_do_not() {
        let mut budget = PinBudget::default();
        let [line, honest] = ["+918000000001", "+919900000001"].map(number);
        for n in 0..WRONG_TRIES_A_DAY - RESERVE {
            let forged = PhoneNumber::from_digits(919_800_000_000 + u64::from(n));
            assert!(budget.lets_try(line, forged, Vouched::No, 1, NOON));
            budget.was_wrong(line, forged, NOON);
        }
        assert!(!budget.lets_try(line, None, Vouched::No, 1, NOON));
        assert!(budget.lets_try(line, Some(honest), Vouched::Yes, 1, NOON));
        assert!(budget.lets_try(line, None, Vouched::No, 1, later(86_400)));
    }

    #[test]
    fn nodes_together_let_through_no_more_than_one_alone() {
        let caps = Caps { calls_at_once: 7, minutes_a_day: 100, ..Caps::default() };
        for nodes in 1..=7 {
            let part = caps.of_each(nodes);
            assert!(part.calls_at_once as usize * nodes <= 7 && part.minutes_a_day as usize * nodes <= 100);
        }
        assert_eq!(caps.of_each(1), caps);
        // No cap stays none, and none becomes nothing.
        assert_eq!(caps.of_each(9).calls_an_hour, 0);
        assert_eq!(caps.of_each(9).calls_at_once, 1);
    }

    #[test]
    fn a_guesser_has_no_more_tries_with_more_nodes() {
        let [line, guesser] = ["+918000000001", "+919900000001"].map(number);
        for nodes in 1..=3 {
            let mut budget = PinBudget::default();
            let tries = (0..100).take_while(|_| {
                let listened = budget.lets_try(line, Some(guesser), Vouched::Yes, nodes, NOON);
                budget.was_wrong(line, Some(guesser), NOON);
                listened
            });
            assert!(tries.count() * nodes <= WRONG_TRIES_OF_A_CALLER as usize, "{nodes} nodes");
        }
    }
}
