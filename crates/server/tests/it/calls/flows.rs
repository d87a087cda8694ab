//! Calls of many kinds with SIPp on both sides, over each transport.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use callveil_domain::calls::{CallEnd, CallRecord, CallStanding, Reason};
use serde_json::{Value, json};

use super::{add_trunk, allocate, named_trunk, records};
use crate::script::{Script, described, key};
use crate::sipp::{Play, Sipp};
use crate::world::{SOON, World, party, until, virtual_number};

/// How many calls are made over each transport.
const CALLS: usize = 20;

fn calls_go_through(transport: &str, at: impl Into<IpAddr>) {
    let at = at.into();
    let world = World::new().with_variable("CALLVEIL_SIP_LISTEN", &SocketAddr::new(at, 0).to_string());
    let tenant = world.tenant("acme", 3);
    world.json(&["settings", "set", "--tenant", "acme", "intl_num_sup=true"]);
    let called = Play::file("callee.xml", CALLS, transport).answers(at);
    add_trunk(&world, called.address, &[("transport", transport)]);
    let server = world.serve();
    let parties = json!({"aparty_numbers": ["+12025550101"], "bparty_numbers": ["+12025550102"]});
    allocate(&server, &tenant, &parties);

    let calling = Play::file("caller.xml", CALLS, transport).calls(server.sip());

    calling.succeeds("the caller");
    called.succeeds("the called");
    let answered =
        || records(&world).iter().filter(|r| r.answered_at.is_some() && r.ended_at().is_some()).count();
    until("a record of every call", SOON, || answered() == CALLS);
}

#[test]
fn sipp_calls_sipp_by_udp_and_ipv6() {
    calls_go_through("udp", Ipv6Addr::LOCALHOST);
}

#[test]
fn sipp_calls_sipp_by_tcp_and_ipv6() {
    calls_go_through("tcp", Ipv6Addr::LOCALHOST);
}

/// A telephone that answers when it has rung.
fn answering() -> Script {
    Script::callee()
        .gets("INVITE")
        .answers("INVITE", "180 Ringing", "", "")
        .answers("INVITE", "200 OK", "", &described("sendrecv"))
        .gets("ACK")
}

fn hangs_up(script: Script) -> Script {
    script.says("BYE", "", "").hears(200)
}

fn is_hung_up(script: Script) -> Script {
    script.gets("BYE").answers("BYE", "200 OK", "", "")
}

/// A call of a table: who calls, over which virtual number, and how it goes.
struct Flow {
    name: &'static str,
    /// What its allocation has beside its virtual number and its caller.
    allocation: Value,
    /// What the caller says after the number was dialled.
    caller: fn(Script) -> Script,
    /// The telephones that are called, by their numbers.
    called: Vec<(usize, Script)>,
    end: CallEnd,
}

/// Makes all calls of a table at once, over one transport, and compares how they are told to have ended.
fn flows_go_as_told(transport: &str, settings: &[&str], flows: Vec<Flow>) {
    let world = World::new();
    let tenant = world.tenant("acme", flows.len());
    world.json(&[&["settings", "set", "--tenant", "acme"], settings].concat());
    let mut telephones: Vec<(String, Sipp)> = Vec::new();
    for flow in &flows {
        for (number, script) in &flow.called {
            let sipp = Play::script(script, transport).answers(Ipv4Addr::LOCALHOST.into());
            let settings = [("transport", transport), ("destinations", &party(*number))];
            named_trunk(&world, &format!("to-{number}"), sipp.address, &settings);
            telephones.push((format!("{}: telephone {number}", flow.name), sipp));
        }
    }
    let server = world.serve();
    for (n, flow) in (1..).zip(&flows) {
        let mut order = json!({
            "connection_id": format!("order-{n}"), "aparty_numbers": [party(100 + n)],
            "preferences": {"greenvn": virtual_number(n)},
        });
        for (name, value) in flow.allocation.as_object().unwrap() {
            order[name] = value.clone();
        }
        allocate(&server, &tenant, &order);
    }

    for (n, flow) in (1..).zip(&flows) {
        let calling = (flow.caller)(Script::caller(&party(100 + n), &virtual_number(n)));
        telephones
            .push((format!("{}: caller", flow.name), Play::script(&calling, transport).calls(server.sip())));
    }
    for (what, sipp) in telephones {
        sipp.succeeds(&format!("{what}\n{}", server.log()));
    }

    let of = |n: usize| -> Option<CallRecord> {
        records(&world)
            .into_iter()
            .find(|record| format!("+{}", record.virtual_number.expose_digits()) == virtual_number(n))
    };
    for (n, flow) in (1..).zip(&flows) {
        until(flow.name, SOON, || {
            of(n).is_some_and(|record| match record.standing {
                CallStanding::Ended { how, .. } => how == flow.end,
                CallStanding::Open => false,
            })
        });
    }
}

fn in_order(transport: &str) {
    let slowly = Script::callee().gets("INVITE").answers("INVITE", "180 Ringing", "", "").waits(300);
    let slowly = slowly.answers("INVITE", "200 OK", "", &described("sendrecv")).gets("ACK");
    let mut flows = vec![
        Flow {
            name: "the called of a one-way allocation is refused",
            allocation: json!({"usage": "oneway", "aparty_numbers": [party(1)], "bparty_numbers": [party(101)]}),
            caller: |caller| {
                let invite = caller.begins("INVITE", "", &described("sendrecv"));
                invite.may_hear(100).may_hear(183).hears(403).acks_refusal()
            },
            called: Vec::new(),
            end: CallEnd::Refused(Reason::parse("one-way").unwrap()),
        },
        Flow {
            name: "a stranger joins by pin",
            allocation: json!({
                "aparty_numbers": [party(2)], "bparty_numbers": [party(3)], "aparty_pins": [483_920],
            }),
            caller: |caller| {
                let answered =
                    caller.begins("INVITE", "", &described("sendrecv")).may_hear(100).hears(200).acks("");
                let keyed = "483920#"
                    .chars()
                    .fold(answered, |script, digit| script.says("INFO", "", &key(digit)).hears(200));
                is_hung_up(keyed)
            },
            called: vec![(3, hangs_up(answering().waits(300)))],
            end: CallEnd::Completed,
        },
        Flow {
            name: "the next number rings when the first is busy",
            allocation: json!({"bparty_numbers": [party(4), party(5)]}),
            caller: |caller| {
                let answered =
                    caller.begins("INVITE", "", &described("sendrecv")).may_hear(100).may_hear(180);
                hangs_up(answered.hears(200).acks("").waits(300))
            },
            called: vec![
                (4, Script::callee().gets("INVITE").answers("INVITE", "486 Busy Here", "", "").gets("ACK")),
                (5, is_hung_up(answering())),
            ],
            end: CallEnd::Completed,
        },
        Flow {
            name: "a caller without an offer takes ours",
            allocation: json!({"bparty_numbers": [party(7)]}),
            caller: |caller| {
                let invite = caller.begins("INVITE", "", "").may_hear(100);
                let answered = invite.may_hear(180).hears_that(200, &[("body", "m=audio [1-9]")]);
                hangs_up(answered.acks(&described("sendrecv")).waits(300))
            },
            called: vec![(7, is_hung_up(answering()))],
            end: CallEnd::Completed,
        },
        Flow {
            name: "a caller that requires reliable ringing acknowledges it",
            allocation: json!({"bparty_numbers": [party(8)]}),
            caller: |caller| {
                let invite =
                    caller.begins("INVITE", "Require: 100rel\n", &described("sendrecv")).may_hear(100);
                let ringing = invite.hears_that(180, &[("Require:", "100rel"), ("RSeq:", "[0-9]+")]);
                let acknowledged = ringing.says("PRACK", "RAck: [$seen] 1 INVITE\n", "").hears(200);
                hangs_up(acknowledged.hears(200).acks("").waits(300))
            },
            called: vec![(8, is_hung_up(slowly))],
            end: CallEnd::Completed,
        },
    ];
    // It takes its time: once is enough.
    if transport == "udp" {
        flows.push(Flow {
            name: "a conversation that nobody ends is ended",
            allocation: json!({"bparty_numbers": [party(6)]}),
            caller: |caller| {
                let answered =
                    caller.begins("INVITE", "", &described("sendrecv")).may_hear(100).may_hear(180);
                is_hung_up(answered.hears(200).acks(""))
            },
            called: vec![(6, is_hung_up(answering()))],
            end: CallEnd::Completed,
        });
    }
    flows_go_as_told(transport, &["max_conversation=10"], flows);
}

#[test]
fn calls_go_as_told_by_udp() {
    in_order("udp");
}

#[test]
fn calls_go_as_told_by_tcp() {
    in_order("tcp");
}

fn all_at_once(transport: &str) {
    let flow = Flow {
        name: "all telephones ring, and those that were too late are told so",
        allocation: json!({"bparty_numbers": [party(1), party(2)]}),
        caller: |caller| {
            let answered = caller.begins("INVITE", "", &described("sendrecv")).may_hear(100).may_hear(180);
            hangs_up(answered.may_hear(180).hears(200).acks("").waits(300))
        },
        called: vec![
            (
                1,
                Script::callee()
                    .gets("INVITE")
                    .answers("INVITE", "180 Ringing", "", "")
                    .gets_that("CANCEL", &[("Reason:", "cause=26")])
                    .answers("CANCEL", "200 OK", "", "")
                    .answers("INVITE", "487 Request Terminated", "", "")
                    .gets("ACK"),
            ),
            (
                2,
                is_hung_up(
                    Script::callee()
                        .gets("INVITE")
                        .answers("INVITE", "180 Ringing", "", "")
                        .waits(500)
                        .answers("INVITE", "200 OK", "", &described("sendrecv"))
                        .gets("ACK"),
                ),
            ),
        ],
        end: CallEnd::Completed,
    };
    flows_go_as_told(transport, &["ringing=parallel"], vec![flow]);
}

#[test]
fn telephones_ring_all_at_once_by_udp() {
    all_at_once("udp");
}

#[test]
fn telephones_ring_all_at_once_by_tcp() {
    all_at_once("tcp");
}
