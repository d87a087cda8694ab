//! Real calls through the real server, on loopback: telephones of this crate, SIPp, and Kamailio in front.

mod edge;
mod flows;
mod heard;
mod limits;
mod lines;
pub mod matrix;
mod operating;

use std::net::SocketAddr;
use std::time::Duration;

use callveil_domain::calls::CallRecord;
use callveil_domain::store::{CallQuery, Change, DirectoryWrite, Outcome, Store};
use callveil_domain::tenant::Sid;
use callveil_domain::time::Timestamp;
use callveil_domain::trunk::{Trunk, TrunkName};
use callveil_server::command::block_on;
use callveil_server::trial::called::Called;
use callveil_server::trial::caller::Caller;
use callveil_store::sqlite::{Mode, SqliteStore};
use serde_json::{Value, json};

use crate::world::{SOON, Server, Tenant, World, party, until, virtual_number};

/// A tenant `acme` with an allocation: party 1 on one side, party 2 on the other, over the first virtual number.
fn furnished(world: &World) -> (Server, Tenant) {
    let tenant = world.tenant("acme", 3);
    let server = world.serve();
    allocate(&server, &tenant, &json!({}));
    (server, tenant)
}

pub fn allocate(server: &Server, tenant: &Tenant, more: &Value) {
    let mut order = json!({
        "connection_id": "order-1", "aparty_numbers": [party(1)], "bparty_numbers": [party(2)],
        "usage": "twoway", "preferences": {"greenvn": virtual_number(1)}, "strictness": true,
    });
    for (name, value) in more.as_object().unwrap() {
        order[name] = value.clone();
    }
    let made = tenant.client(server).post("", &order);
    assert_eq!(made.status, 200, "{made:?}");
}

/// Adds a trunk whose calls come from loopback and go to `target`.
pub fn add_trunk(world: &World, target: SocketAddr, more: &[(&str, &str)]) {
    named_trunk(world, "carrier", target, more);
}

fn named_trunk(world: &World, name: &str, target: SocketAddr, more: &[(&str, &str)]) {
    let mut trunk = Trunk::new(TrunkName::parse(name).unwrap());
    let (source, target) = (target.ip().to_string(), target.to_string());
    let settings = [("sources", source.as_str()), ("targets", target.as_str()), ("probe", "off")];
    for (name, value) in settings.iter().chain(more) {
        trunk.set(name, value).unwrap();
    }
    let mut change = Change::at(Timestamp::from_micros(1));
    change.directory.push(DirectoryWrite::PutTrunk(trunk));
    assert_eq!(on_store(world, async |store| store.apply(change).await.unwrap()), Outcome::Applied);
}

/// Waits until the called is rung. What the caller has sent is repeated: the server may come to know the trunk later.
fn is_invited(a: &mut Caller, b: &mut Called) {
    until("the INVITE", SOON, || {
        a.wait_a_moment().unwrap();
        b.invited_within(Duration::from_millis(20)).unwrap().is_some()
    });
}

/// The records of the tenant's calls, newest first.
fn records(world: &World) -> Vec<CallRecord> {
    let wanted = CallQuery {
        from: Timestamp::EPOCH,
        to: Timestamp::NEVER,
        allocation: None,
        number: None,
        virtual_number: None,
        state: None,
        before: None,
        limit: 1_000,
    };
    let acme = Sid::parse("acme").unwrap();
    on_store(world, async |store| store.calls(&acme, wanted).await.unwrap())
}

fn on_store<T>(world: &World, look: impl AsyncFnOnce(&SqliteStore) -> T) -> T {
    let store = SqliteStore::open(&world.path("callveil.db"), Mode::Tool).unwrap();
    block_on(async { Ok(look(&store).await) }).unwrap()
}
