//! The trunks of the moment, with what they carry.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use callveil_domain::number::PhoneNumber;
use callveil_domain::trunk::{Trunk, route};
use tokio::time::Instant;

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
}

/// New calls in the second that began then.
#[derive(Clone, Copy)]
struct Second {
    began: Instant,
    calls: u32,
}

impl Trunks {
    /// Takes these trunks; those of a name that was there before keep what they carry.
    pub(super) fn adopt(&self, trunks: Vec<Trunk>) {
        let mut ways = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = trunks.into_iter().map(|trunk| {
            let before = ways.iter().find(|way| way.trunk.name == trunk.name);
            let load = before.map(|way| Arc::clone(&way.load)).unwrap_or_default();
            Arc::new(Way { trunk, load })
        });
        *ways = fresh.collect();
    }

    /// The trunk whose calls come from here.
    pub(super) fn calling_from(&self, source: IpAddr) -> Option<Arc<Way>> {
        self.all().iter().find(|way| way.trunk.receives_from(source)).cloned()
    }

    /// Does any trunk's traffic come from here?
    pub(super) fn know(&self, source: IpAddr) -> bool {
        self.all().iter().any(|way| way.trunk.receives_from(source))
    }

    /// The trunks to try for a call, in their order.
    pub(super) fn route(&self, to: PhoneNumber, show: PhoneNumber) -> Vec<Arc<Way>> {
        let ways = self.all();
        let order = route(ways.iter().map(|way| &way.trunk), to, show);
        let way_of =
            |trunk: &Trunk| ways.iter().find(|way| std::ptr::eq(&raw const way.trunk, trunk)).cloned();
        order.into_iter().filter_map(way_of).collect()
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

impl Load {
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
    use callveil_domain::trunk::TrunkName;

    use super::*;

    fn trunk(settings: &[(&str, &str)]) -> Trunk {
        let mut trunk = Trunk::new(TrunkName::parse("one").unwrap());
        for (name, value) in settings {
            trunk.set(name, value).unwrap();
        }
        trunk
    }

    fn way(trunks: &Trunks) -> Arc<Way> {
        trunks.calling_from([192, 0, 2, 1].into()).unwrap()
    }

    #[test]
    fn a_trunk_carries_so_many_calls_and_no_more() {
        let trunks = Trunks::default();
        trunks.adopt(vec![trunk(&[("sources", "192.0.2.1"), ("calls", "2")])]);
        let now = Instant::now();

        let first = way(&trunks).admit(now).unwrap();
        let _second = way(&trunks).admit(now).unwrap();
        assert!(way(&trunks).admit(now).is_none());

        trunks.adopt(vec![trunk(&[("sources", "192.0.2.1"), ("calls", "2"), ("rank", "1")])]);
        assert!(way(&trunks).admit(now).is_none(), "its calls stand still");

        drop(first);
        assert!(way(&trunks).admit(now).is_some());
    }

    #[test]
    fn a_trunk_begins_so_many_calls_in_a_second_and_no_more() {
        let trunks = Trunks::default();
        trunks.adopt(vec![trunk(&[("sources", "192.0.2.1"), ("calls_per_second", "2")])]);
        let now = Instant::now();

        let admitted = |now| way(&trunks).admit(now).is_some();

        assert!(admitted(now) && admitted(now) && !admitted(now));
        assert!(!admitted(now + Duration::from_millis(999)));
        assert!(admitted(now + Duration::from_secs(1)));
    }
}
