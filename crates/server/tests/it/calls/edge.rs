//! Two nodes behind Kamailio, with the configuration that `deploy/kamailio` holds.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use callveil_server::trial::called::Called;
use callveil_server::trial::caller::Caller;
use callveil_server::trial::ladder::Ladder;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{allocate, is_invited};
use crate::nodes::fresh_database;
use crate::world::{SOON, World, party, until, virtual_number};

/// A Kamailio in front of these nodes. It ends with this value.
struct Edge {
    child: Child,
    address: SocketAddr,
}

impl Edge {
    fn before(world: &World, nodes: &[SocketAddr]) -> Edge {
        let address = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let list: String = nodes.iter().map(|node| format!("1 sip:{node}\n")).collect();
        let list = world.write("dispatcher.list", &list);
        let configuration = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kamailio/kamailio.cfg");
        let log = std::fs::File::create(world.path("kamailio.log")).unwrap();
        let child = Command::new("kamailio")
            .args(["-DD", "-E", "-m", "32", "-M", "4", "-n", "2"])
            .arg("-f")
            .arg(configuration)
            .args(["-A", &format!("EDGE_LISTEN=udp:{address}")])
            .args(["-A", &format!("EDGE_NODES=\"{}\"", list.display())])
            .arg("-Y")
            .arg(world.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("kamailio is installed (scripts/setup-tests)");
        until("Kamailio listens", SOON, || UdpSocket::bind(address).is_err());
        Edge { child, address }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // Its children end with it.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

#[test]
fn calls_are_spread_over_the_nodes_of_one_database_and_go_to_the_one_that_is_left() {
    let world = World::on(&fresh_database());
    let tenant = world.tenant("acme", 3);
    let ladder = Ladder::new();
    let mut b = Called::new(ladder.clone()).unwrap();
    let target = b.telephone.address().to_string();
    world.json(&["trunk", "add", "carrier", "--source", "127.0.0.1", "--target", &target, "probe=off"]);
    let [one, other] = [world.serve(), world.serve()];
    allocate(&one, &tenant, &json!({}));
    let edge = Edge::before(&world, &[one.sip(), other.sip()]);
    let told = || {
        let kamailio = std::fs::read_to_string(world.path("kamailio.log")).unwrap_or_default();
        format!("{ladder}\n{kamailio}\n{}", other.log())
    };

    // Answers with the node that had the call.
    let mut call = || {
        let mut a = Caller::begin(ladder.clone(), edge.address, Some(&party(1)), &virtual_number(1)).unwrap();
        is_invited(&mut a, &mut b);
        b.says("200 OK", true).unwrap();
        let answer = a.last_response().unwrap();
        assert_eq!(answer.and_then(|answer| answer.status()), Some(200), "{}", told());
        assert!(b.hears("ACK").unwrap().is_some(), "{}", told());
        let mut node = None;
        until("the call on the list", SOON, || {
            let live = world.json(&["call", "live"]);
            let talking = live.as_array().unwrap().iter().find(|call| call["talking"].is_u64());
            node = talking.map(|call| call["node"].as_str().unwrap().to_owned());
            node.is_some()
        });
        assert!(a.hang_up().unwrap(), "{}", told());
        assert!(b.hears("BYE").unwrap().is_some(), "{}", told());
        until("an empty list", SOON, || world.json(&["call", "live"]).as_array().unwrap().is_empty());
        node.unwrap()
    };

    // The Call-ID chooses the node: that so many choose the same one has a chance of one in 2^15.
    let nodes: BTreeSet<String> = (0..16).map(|_| call()).collect();
    assert_eq!(nodes.len(), 2);

    one.kill();
    let left: BTreeSet<String> = (0..6).map(|_| call()).collect();
    assert_eq!(left.len(), 1, "{left:?} of {nodes:?}");
}
