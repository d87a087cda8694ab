//! The trunks of the moment, with what they carry.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use callveil_domain::number::PhoneNumber;
use callveil_domain::trunk::{Media, Target, Trunk, TrunkName, route};
use tokio::time::Instant;

use crate::leg::Encryption;

/// All trunks. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Trunks(Arc<RwLock<Vec<Arc<Way>>>>);

/// A trunk, and what it carries.
pub(super) struct Way {
    pub(super) trunk: Trunk,
    load: Arc<Load>,
}

/// What a trunk carries, by whatever settings.
#[derive(Default)]
struct Load {
    calls: AtomicU32,
    second: Mutex<Option<Second>>,
    health: Mutex<Health>,
    /// What came of tries to ring, by the class of the status, 2xx first.
    attempts: [AtomicU64; 5],
    registered: Mutex<Option<Registered>>,
}

/// How a trunk stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkFigures {
    /// Its name.
    pub name: TrunkName,
    /// Legs that it carries.
    pub calls: u64,
    /// Addresses that have not answered lately.
    pub failed: u64,
    /// Whether we are registered, where it wants that.
    pub registered: Option<bool>,
    /// What came of tries to ring by it, by the class of the status, 2xx to 6xx.
    pub attempts: [u64; 5],
}

/// A registration of ours that stands.
pub(super) struct Registered {
    /// The trunk as it was then.
    pub(super) trunk: Trunk,
    pub(super) target: Target,
    pub(super) address: SocketAddr,
    pub(super) thread: Thread,
}

/// What all REGISTER requests to one registrar have in common (RFC 3261 10.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thread {
    pub(super) call_id: String,
    /// The CSeq of the last one.
    pub(super) cseq: u32,
}

impl Registered {
    /// Whether the trunk is still one to register with in this way.
    fn suits(&self, trunk: &Trunk) -> bool {
        let said = |trunk: &Trunk| {
            let Trunk { login, targets, transport, domain, .. } = trunk.clone();
            (login, targets, transport, domain)
        };
        trunk.register.is_some() && said(trunk) == said(&self.trunk)
    }
}

/// What is known of a trunk's addresses.
#[derive(Default)]
struct Health {
    /// Those that failed, and until when they are tried last.
    failed: BTreeMap<SocketAddr, Instant>,
    /// When it was asked.
    asked_at: Option<Instant>,
    /// When we are to register next.
    register_at: Option<Instant>,
    /// Until when our last registration stands.
    registered_until: Option<Instant>,
}

/// How long an address that failed is tried last, when nobody asks whether it is there again.
const PENANCE: Duration = Duration::from_secs(30);

/// Addresses of a trunk that are remembered as failed.
const FAILURES_KEPT: usize = 256;

/// New calls in the second that began then.
#[derive(Clone, Copy)]
struct Second {
    began: Instant,
    calls: u32,
}

impl Trunks {
    /// Takes these trunks; those of a name that was there before keep what they carry. Answers with the registrations
    /// that are to be given up.
    #[must_use]
    pub(super) fn adopt(&self, trunks: Vec<Trunk>) -> Vec<Registered> {
        let mut ways = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = trunks.into_iter().map(|trunk| {
            let before = ways.iter().find(|way| way.trunk.name == trunk.name);
            let load = before.map(|way| Arc::clone(&way.load)).unwrap_or_default();
            Arc::new(Way { trunk, load })
        });
        let fresh: Vec<Arc<Way>> = fresh.collect();
        let given_up = ways.iter().filter_map(|way| {
            let now = fresh.iter().find(|now| now.trunk.name == way.trunk.name);
            way.load.give_up_unless(|registered| now.is_some_and(|now| registered.suits(&now.trunk)))
        });
        let given_up = given_up.collect();
        *ways = fresh;
        given_up
    }

    /// All registrations, which are to be given up.
    pub(super) fn give_up_all(&self) -> Vec<Registered> {
        self.all().iter().filter_map(|way| way.load.give_up_unless(|_| false)).collect()
    }

    /// Notes a registration; gives it back when its trunk is gone or another by now.
    pub(super) fn note(&self, registered: Registered) -> Option<Registered> {
        let ways = self.all();
        let way = ways.iter().find(|way| way.trunk.name == registered.trunk.name);
        let Some(way) = way.filter(|way| registered.suits(&way.trunk)) else { return Some(registered) };
        *way.load.registered() = Some(registered);
        None
    }

    /// The trunk whose calls come from here.
    pub(super) fn calling_from(&self, source: IpAddr) -> Option<Arc<Way>> {
        self.all().iter().find(|way| way.trunk.receives_from(source)).cloned()
    }

    /// Does any trunk's traffic come from here?
    pub(super) fn know(&self, source: IpAddr) -> bool {
        self.all().iter().any(|way| way.trunk.receives_from(source))
    }

    /// The trunks that are to be asked now whether they are there. Whoever gets one asks.
    pub(super) fn to_be_asked(&self, now: Instant) -> Vec<Arc<Way>> {
        self.all().iter().filter(|way| way.is_due(now)).cloned().collect()
    }

    /// The trunks with which to register now. Whoever gets one does, and says when the next time is.
    pub(super) fn to_be_registered(&self, now: Instant) -> Vec<Arc<Way>> {
        self.all().iter().filter(|way| way.is_to_be_registered(now)).cloned().collect()
    }

    /// The trunks to try for a call, in their order.
    pub(super) fn route(&self, to: PhoneNumber, show: PhoneNumber) -> Vec<Arc<Way>> {
        let ways = self.all();
        let order = route(ways.iter().map(|way| &way.trunk), to, show);
        let way_of =
            |trunk: &Trunk| ways.iter().find(|way| std::ptr::eq(&raw const way.trunk, trunk)).cloned();
        order.into_iter().filter_map(way_of).collect()
    }

    /// How they stand.
    pub(super) fn figures(&self, now: Instant) -> Vec<TrunkFigures> {
        self.all().iter().map(|way| way.figures(now)).collect()
    }

    fn all(&self) -> std::sync::RwLockReadGuard<'_, Vec<Arc<Way>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    /// A place for a new call, unless the trunk is full.
    pub(super) fn admit(&self, now: Instant) -> Option<Place> {
        let Trunk { calls: most, calls_per_second, .. } = self.trunk;
        let taken = self.load.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |calls| {
            (most == 0 || calls < most).then_some(calls + 1)
        });
        taken.ok()?;
        let place = Place(Arc::clone(&self.load));
        self.load.has_room(now, calls_per_second).then_some(place)
    }
}

impl Way {
    /// These addresses, those that failed lately last.
    pub(super) fn in_order(&self, addresses: Vec<SocketAddr>, now: Instant) -> Vec<SocketAddr> {
        let health = self.load.health();
        let failed = |address: &SocketAddr| health.failed.get(address).is_some_and(|until| *until > now);
        let (last, first): (Vec<_>, Vec<_>) = addresses.into_iter().partition(failed);
        first.into_iter().chain(last).collect()
    }

    /// An address has answered.
    pub(super) fn is_there(&self, address: SocketAddr) {
        if self.load.health().failed.remove(&address).is_some() {
            tracing::info!(trunk = %self.trunk.name, "an address of the trunk {} answers again", self.trunk.name);
        }
    }

    /// An address has not answered, or said that it cannot.
    pub(super) fn has_failed(&self, address: SocketAddr, now: Instant) {
        let mut health = self.load.health();
        health.failed.retain(|_, until| *until > now);
        let known = health.failed.contains_key(&address);
        if known || health.failed.len() < FAILURES_KEPT {
            // Until it is asked again, and a little longer.
            let until = now + self.trunk.probe.map_or(PENANCE, |often| often * 2);
            health.failed.insert(address, until);
        }
        if !known {
            tracing::warn!(trunk = %self.trunk.name, "an address of the trunk {} does not answer", self.trunk.name);
        }
    }

    /// What an offer to it asks for.
    pub(super) fn encryption(&self) -> Encryption {
        match self.trunk.media {
            Media::Encrypted => Encryption::On,
            Media::Clear => Encryption::Off,
        }
    }

    /// Counts a try to ring, which ended with this status.
    pub(super) fn came_to(&self, status: u16) {
        let class = usize::from(status / 100).checked_sub(2);
        if let Some(count) = class.and_then(|class| self.load.attempts.get(class)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// We are registered until then.
    pub(super) fn is_registered(&self, until: Instant) {
        self.load.health().registered_until = Some(until);
    }

    fn figures(&self, now: Instant) -> TrunkFigures {
        let health = self.load.health();
        let registered = health.registered_until.is_some_and(|until| until > now);
        TrunkFigures {
            name: self.trunk.name.clone(),
            calls: self.load.calls.load(Ordering::Relaxed).into(),
            failed: health.failed.values().filter(|until| **until > now).count() as u64,
            registered: self.trunk.register.map(|_| registered),
            attempts: std::array::from_fn(|class| self.load.attempts[class].load(Ordering::Relaxed)),
        }
    }

    /// Where we have registered at this address, what the next request is to have in common with the last.
    pub(super) fn thread(&self, address: SocketAddr) -> Option<Thread> {
        let registered = self.load.registered();
        registered.as_ref().filter(|registered| registered.address == address).map(|r| r.thread.clone())
    }

    /// When we are to register with it next.
    pub(super) fn register_at(&self, when: Instant) {
        self.load.health().register_at = Some(when);
    }

    fn is_to_be_registered(&self, now: Instant) -> bool {
        if self.trunk.register.is_none() {
            return false;
        }
        let mut health = self.load.health();
        let due = health.register_at.is_none_or(|when| when <= now);
        if due {
            health.register_at = Some(now + Duration::from_secs(3_600));
        }
        due
    }

    fn is_due(&self, now: Instant) -> bool {
        let Some(often) = self.trunk.probe.filter(|_| !self.trunk.targets.is_empty()) else { return false };
        let mut health = self.load.health();
        // A new one is asked for the first time when the first interval is over: until then its calls tell.
        let asked = *health.asked_at.get_or_insert(now);
        let due = now.duration_since(asked) >= often;
        if due {
            health.asked_at = Some(now);
        }
        due
    }
}

impl Load {
    /// The registration that stands, unless it may stay. It is renewed at once then, if it is to be.
    fn give_up_unless(&self, stays: impl FnOnce(&Registered) -> bool) -> Option<Registered> {
        let mut registered = self.registered();
        let given_up = registered.take_if(|registered| !stays(registered))?;
        let mut health = self.health();
        (health.register_at, health.registered_until) = (None, None);
        Some(given_up)
    }

    fn registered(&self) -> std::sync::MutexGuard<'_, Option<Registered>> {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, now: Instant, most: u32) -> bool {
        if most == 0 {
            return true;
        }
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        let running = second.filter(|s| now.duration_since(s.began) < Duration::from_secs(1));
        let Second { began, calls } = running.unwrap_or(Second { began: now, calls: 0 });
        if calls >= most {
            return false;
        }
        *second = Some(Second { began, calls: calls + 1 });
        true
    }
}

/// A call's place on a trunk. Dropping it leaves the trunk.
pub(super) struct Place(Arc<Load>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trunk(settings: &[(&str, &str)]) -> Trunk {
        let mut trunk = Trunk::new(TrunkName::parse("one").unwrap());
        for (name, value) in settings {
            trunk.set(name, value).unwrap();
        }
        trunk
    }

    fn adopt(trunks: &Trunks, these: Vec<Trunk>) {
        assert!(trunks.adopt(these).is_empty(), "nobody has registered");
    }

    fn way(trunks: &Trunks) -> Arc<Way> {
        trunks.calling_from([192, 0, 2, 1].into()).unwrap()
    }

    #[test]
    fn a_trunk_carries_so_many_calls_and_no_more() {
        let trunks = Trunks::default();
        adopt(&trunks, vec![trunk(&[("sources", "192.0.2.1"), ("calls", "2")])]);
        let now = Instant::now();

        let first = way(&trunks).admit(now).unwrap();
        let _second = way(&trunks).admit(now).unwrap();
        assert!(way(&trunks).admit(now).is_none());

        adopt(&trunks, vec![trunk(&[("sources", "192.0.2.1"), ("calls", "2"), ("rank", "1")])]);
        assert!(way(&trunks).admit(now).is_none(), "its calls stand still");

        drop(first);
        assert!(way(&trunks).admit(now).is_some());
    }

    #[test]
    fn an_address_that_failed_is_tried_last_for_a_while() {
        let trunks = Trunks::default();
        adopt(&trunks, vec![trunk(&[("sources", "192.0.2.1"), ("probe", "10s")])]);
        let [one, two]: [SocketAddr; 2] = [([192, 0, 2, 8], 5060).into(), ([192, 0, 2, 9], 5060).into()];
        let now = Instant::now();
        let order = |now| way(&trunks).in_order(vec![one, two], now);

        way(&trunks).has_failed(one, now);
        assert_eq!(order(now), [two, one]);
        assert_eq!(order(now + Duration::from_secs(21)), [one, two]);

        way(&trunks).has_failed(one, now);
        way(&trunks).is_there(one);
        assert_eq!(order(now), [one, two]);
    }

    #[test]
    fn a_trunk_is_asked_as_often_as_it_wants() {
        let trunks = Trunks::default();
        adopt(&trunks, vec![trunk(&[("targets", "192.0.2.1"), ("probe", "10s")])]);
        let now = Instant::now();
        let asked = |now| trunks.to_be_asked(now).len();

        assert_eq!(
            [asked(now), asked(now + Duration::from_secs(9)), asked(now + Duration::from_secs(10))],
            [0, 0, 1]
        );

        adopt(&trunks, vec![trunk(&[("targets", "192.0.2.1"), ("probe", "off")])]);
        assert_eq!(asked(now + Duration::from_secs(99)), 0);
    }

    #[test]
    fn a_trunk_begins_so_many_calls_in_a_second_and_no_more() {
        let trunks = Trunks::default();
        adopt(&trunks, vec![trunk(&[("sources", "192.0.2.1"), ("calls_per_second", "2")])]);
        let now = Instant::now();

        let admitted = |now| way(&trunks).admit(now).is_some();

        assert!(admitted(now) && admitted(now) && !admitted(now));
        assert!(!admitted(now + Duration::from_millis(999)));
        assert!(admitted(now + Duration::from_secs(1)));
    }

    #[test]
    fn a_registration_is_given_up_when_its_trunk_is_gone_or_another() {
        let registering = |more: &[(&str, &str)]| {
            let settings = [
                ("targets", "192.0.2.1"),
                ("register", "10m"),
                ("user", "callveil"),
                ("password", "hunter2"),
            ];
            trunk(&[&settings[..], more].concat())
        };
        let registered = || Registered {
            trunk: registering(&[]),
            target: registering(&[]).targets[0].clone(),
            address: ([192, 0, 2, 1], 5060).into(),
            thread: Thread { call_id: "one".to_owned(), cseq: 1 },
        };
        let check = |after: Vec<Trunk>, given_up: usize| {
            let trunks = Trunks::default();
            adopt(&trunks, vec![registering(&[])]);
            assert!(trunks.note(registered()).is_none());
            assert_eq!(trunks.adopt(after).len(), given_up);
            assert_eq!(trunks.give_up_all().len(), 1 - given_up);
        };
        check(vec![registering(&[("rank", "7")])], 0);
        check(Vec::new(), 1);
        check(vec![registering(&[("register", "off")])], 1);
        check(vec![registering(&[("user", "another")])], 1);
        check(vec![registering(&[("targets", "192.0.2.2")])], 1);

        let trunks = Trunks::default();
        assert!(trunks.note(registered()).is_some(), "its trunk was removed meanwhile");
    }
}
