//! Calls, events and deliveries in a table a month: nothing of the contract changes, and old months are dropped whole.

use std::sync::Arc;

use callveil_domain::calls::CallRecord;
use callveil_domain::event::EventId;
use callveil_domain::store::{Tidy, TidyTenant};
use callveil_domain::time::Timestamp;
use callveil_store::postgres::{PostgresStore, Renewed};

use crate::contract::deliveries::{delivered, lease, owed};
use crate::contract::happenings::{all_calls, call, found, full_call, keep, owe, small_event};
use crate::contract::tidying::all_before;
use crate::world::{World, acme, at, furnish, open_postgres, shared_cluster};

/// Seconds of the world, which begins in the middle of November 2023, at which months begin.
const DECEMBER: i64 = 1_388_800;
const JANUARY: i64 = 4_067_200;
const FEBRUARY: i64 = 6_745_600;
const MARCH: i64 = 9_251_200;

/// Throws away what happened before a moment.
fn before(moment: Timestamp) -> Tidy {
    let mut what = all_before(Timestamp::EPOCH, 10);
    what.tenants = vec![TidyTenant { tenant: acme(), calls_before: moment, events_before: moment }];
    what
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

struct Place {
    world: World,
    /// The same store, with what the contract does not have.
    store: PostgresStore,
    database: String,
}

impl Place {
    async fn new() -> Place {
        let cluster = shared_cluster();
        let database = cluster.fresh_database();
        let url = cluster.url(&database);
        let store = open_postgres(&url).await;
        furnish(&store, 9).await;
        let world = World::of(Arc::new(open_postgres(&url).await));
        Place { world, store, database }
    }

    /// The rows of a table alone.
    fn rows(&self, table: &str) -> String {
        shared_cluster().run(&self.database, &format!("select count(*) from only {table}"))
    }

    async fn renew(&self, now: Timestamp, what: &Tidy) -> Renewed {
        self.store.renew_months(now, what).await.unwrap().unwrap()
    }

    async fn keep(&self, calls: &[&CallRecord]) {
        for kept in calls {
            self.world.applied(keep(kept)).await;
        }
    }
}

#[tokio::test]
async fn what_there_was_before_stays_and_what_comes_goes_to_its_month() {
    let place = Place::new().await;
    let (old, new) = (full_call(1), full_call(JANUARY + 1));
    place.keep(&[&old]).await;
    assert_eq!(
        place.store.renew_months(at(2), &before(at(0))).await.unwrap(),
        None,
        "nothing is divided yet"
    );

    place.store.divide_by_month(at(2)).await.unwrap();
    let made = place.renew(at(2), &before(at(0))).await.made;
    place.store.divide_by_month(at(3)).await.unwrap();

    let months = ["2023_12", "2024_01", "2024_02"];
    let all: Vec<String> = ["call", "delivery", "event"]
        .into_iter()
        .flat_map(|table| months.map(|month| format!("{table}_{month}")))
        .collect();
    assert_eq!(made, all);
    place.keep(&[&new]).await;
    assert_eq!(found(&place.world, all_calls()).await, [new.id, old.id]);
    assert_eq!([place.rows("call_before"), place.rows("call_2024_01")], ["1", "1"]);
    assert_eq!(place.renew(at(3), &before(at(0))).await, Renewed::default(), "once is enough");
}

#[tokio::test]
async fn a_month_of_which_nothing_is_kept_is_dropped_unless_something_of_it_is_under_way() {
    let place = Place::new().await;
    place.store.divide_by_month(at(0)).await.unwrap();
    place.renew(at(0), &before(at(0))).await;
    let (ended, open, late) = (full_call(DECEMBER + 1), call(JANUARY + 1), full_call(FEBRUARY + 1));
    place.keep(&[&ended, &open, &late]).await;
    let event = small_event(DECEMBER + 1);
    place.world.applied(owed(std::slice::from_ref(&event), &["ep_1"])).await;

    let of_february = before(at(FEBRUARY));
    let dropped = place.renew(at(FEBRUARY), &of_february).await.dropped;

    // A call of January is open, and an event of December is owed: those stay, and so do the events of January, before
    // which something is owed.
    assert_eq!(
        dropped,
        names(&["call_before", "call_2023_12", "delivery_before", "delivery_2024_01", "event_before"])
    );
    assert_eq!(found(&place.world, all_calls()).await, [late.id, open.id]);
    let due = lease(&place.world, 2 * FEBRUARY, &[("ep_1", 10)]).await;
    assert_eq!(due.iter().map(|due| due.event.id).collect::<Vec<EventId>>(), [event.id]);
    place.world.store.settle(at(2 * FEBRUARY), vec![delivered(&due[0])]).await.unwrap();
    assert_eq!(
        place.renew(at(FEBRUARY), &of_february).await.dropped,
        names(&["delivery_2023_12", "event_2023_12", "event_2024_01"])
    );
    assert!(place.world.store.event(&acme(), event.id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_row_for_which_there_is_no_month_is_kept_and_goes_over_when_there_is() {
    let place = Place::new().await;
    place.store.divide_by_month(at(0)).await.unwrap();
    place.renew(at(0), &before(at(0))).await;
    let early = small_event(MARCH + 1);
    place.world.applied(owe(std::slice::from_ref(&early))).await;
    assert_eq!(place.rows("event_other"), "1");

    place.renew(at(FEBRUARY), &before(at(0))).await;

    assert_eq!([place.rows("event_other"), place.rows("event_2024_03")], ["0", "1"]);
    assert!(place.world.store.event(&acme(), early.id).await.unwrap().is_some());
}
