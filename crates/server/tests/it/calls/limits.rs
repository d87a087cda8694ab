//! What a tenant may have at most, over all nodes together.

use callveil_server::trial::called::Called;
use callveil_server::trial::caller::Caller;
use callveil_server::trial::ladder::Ladder;
use serde_json::json;

use super::{allocate, is_invited};
use crate::http::Client;
use crate::nodes::fresh_database;
use crate::world::{SOON, Server, World, party, until, virtual_number};

fn knows_both(server: &Server) -> bool {
    let metrics = Client::new(server.metrics, "", "", "").get("/metrics").body;
    String::from_utf8(metrics).unwrap().lines().any(|line| line == "callveil_nodes 2")
}

#[test]
fn two_nodes_together_let_a_tenant_have_as_many_calls_as_one() {
    let world = World::on(&fresh_database());
    let tenant = world.tenant("acme", 1);
    world.json(&["settings", "set", "--tenant", "acme", "calls_at_once=2", "announcements=none"]);
    let ladder = Ladder::new();
    let mut b = Called::new(ladder.clone()).unwrap();
    let target = b.telephone.address().to_string();
    world.json(&["trunk", "add", "carrier", "--source", "127.0.0.1", "--target", &target, "probe=off"]);
    let nodes = [world.serve(), world.serve()];
    allocate(&nodes[0], &tenant, &json!({}));
    for node in &nodes {
        until("both nodes", SOON, || knows_both(node));
    }
    let call = |node: &Server| {
        Caller::begin(ladder.clone(), node.sip(), Some(&party(1)), &virtual_number(1)).unwrap()
    };

    let mut going_on = Vec::new();
    for node in &nodes {
        let mut first = call(node);
        is_invited(&mut first, &mut b);
        b.says("200 OK", true).unwrap();
        let answer = first.last_response().unwrap().and_then(|answer| answer.status());
        assert_eq!(answer, Some(200), "{ladder}");
        going_on.push(first);

        let refused = call(node).last_response().unwrap().and_then(|refused| refused.status());
        assert_eq!(refused, Some(603), "{ladder}");
    }

    assert!(going_on[0].hang_up().unwrap(), "{ladder}");
    let mut next = call(&nodes[0]);
    is_invited(&mut next, &mut b);
}
