//! Calls that stand, and what they are told in them: offers, refreshes, what is refused, and silence.

use super::*;
use crate::script::{Script, described, key};

const ALLOW: &str = "Allow: INVITE, ACK, CANCEL, BYE, UPDATE\n";

fn caller() -> Script {
    Script::caller("+12025550101", "+918000000001")
}

/// A caller whose call stands; it is told these header fields of its INVITE.
fn talking(fields: &str, checks: &[(&str, &str)]) -> Script {
    let invite = caller().begins("INVITE", fields, &described("sendrecv"));
    invite.may_hear(100).hears_that(200, checks).acks("")
}

/// Takes the caller's call, and waits until it is acknowledged.
async fn take(world: &mut World) -> Invitation {
    let mut invitation = world.invited().await;
    invitation.leg.orders.send(Order::Answer(description())).await.unwrap();
    assert!(matches!(next(&mut invitation.leg).await, Event::Acknowledged(None)));
    invitation
}

/// Puts the clock forward. What waits on the wire does not notice.
async fn leap(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn offers_and_refreshes_within_a_call_are_answered() {
    let mut world = World::with(vec![from_loopback()]).await;
    let script = talking(ALLOW, &[])
        .says("UPDATE", "", &described("sendonly"))
        .hears_that(200, &[("body", "m=audio 40000")])
        .says("INVITE", "", &described("inactive"))
        .may_hear(100)
        .hears_that(200, &[("body", "m=audio 40000")])
        .acks("")
        .says("UPDATE", "Supported: timer\nSession-Expires: 600;refresher=uac\n", "")
        .hears_that(200, &[("Session-Expires:", "600;refresher=uac"), ("Require:", "timer")])
        .says("UPDATE", "Supported: timer\nSession-Expires: 60\n", "")
        .hears_that(422, &[("Min-SE:", "90")])
        .says("INVITE", "", "")
        .may_hear(100)
        .hears_that(200, &[("body", "m=audio 40000")])
        .acks(&described("sendrecv"))
        .says("BYE", "", "")
        .hears(200);
    let sipp = Sipp::calls(&script, world.address(), 1, &[]);
    let mut invitation = take(&mut world).await;

    for direction in ["a=sendonly", "a=inactive"] {
        let Event::Reoffered(Some(offer), reply) = next(&mut invitation.leg).await else {
            panic!("an offer")
        };
        assert!(String::from_utf8_lossy(&offer).contains(direction));
        reply.send(description()).unwrap();
    }
    let Event::Reoffered(None, reply) = next(&mut invitation.leg).await else { panic!("asked for ours") };
    reply.send(description()).unwrap();
    let Event::Acknowledged(Some(answer)) = next(&mut invitation.leg).await else { panic!("an answer") };
    assert!(String::from_utf8_lossy(&answer).contains("a=sendrecv"));
    assert!(matches!(next(&mut invitation.leg).await, Event::Ended(EndedBy::Peer)));

    sipp.succeeds().await;
    world.is_left_empty().await;
}

#[tokio::test]
async fn a_caller_who_gives_up_is_told_so_and_is_gone() {
    let mut world = World::with(vec![from_loopback()]).await;
    let script = caller()
        .begins("INVITE", "", &described("sendrecv"))
        .may_hear(100)
        .hears(180)
        .cancels()
        .hears(200)
        .hears(487)
        .acks_refusal();
    let sipp = Sipp::calls(&script, world.address(), 1, &[]);

    let mut invitation = world.invited().await;
    invitation.leg.orders.send(Order::Ring).await.unwrap();

    assert!(matches!(next(&mut invitation.leg).await, Event::Ended(EndedBy::Cancelled)));
    sipp.succeeds().await;
    world.is_left_empty().await;
}

#[tokio::test]
async fn a_key_that_info_tells_is_heard() {
    let mut world = World::with(vec![from_loopback()]).await;
    let script = talking("", &[]).says("INFO", "", &key('5')).hears(200).says("BYE", "", "").hears(200);
    let sipp = Sipp::calls(&script, world.address(), 1, &[]);
    let mut invitation = take(&mut world).await;

    assert!(matches!(next(&mut invitation.leg).await, Event::Digit('5')));

    assert!(matches!(next(&mut invitation.leg).await, Event::Ended(EndedBy::Peer)));
    sipp.succeeds().await;
}

#[tokio::test]
async fn a_caller_without_an_offer_is_made_ours() {
    let mut world = World::with(vec![from_loopback()]).await;
    let script = caller()
        .begins("INVITE", "", "")
        .may_hear(100)
        .hears_that(200, &[("body", "m=audio 40000")])
        .acks(&described("sendrecv"))
        .says("BYE", "", "")
        .hears(200);
    let sipp = Sipp::calls(&script, world.address(), 1, &[]);

    let mut invitation = world.invited().await;
    assert_eq!(invitation.offer, None);
    invitation.leg.orders.send(Order::Answer(description())).await.unwrap();

    let Event::Acknowledged(Some(answer)) = next(&mut invitation.leg).await else { panic!("an answer") };
    assert!(String::from_utf8_lossy(&answer).contains("m=audio"));
    sipp.succeeds().await;
    world.is_left_empty().await;
}

#[tokio::test]
async fn what_is_not_to_be_had_is_refused_by_its_own_status() {
    let world = World::with(vec![from_loopback()]).await;
    let sound = described("sendrecv");
    let refused = [
        ("INVITE", "Require: replaces\n", sound.as_str(), 420, ("Unsupported:", "replaces")),
        ("INVITE", "Require: 100rel, sec-agree\n", &sound, 420, ("Unsupported:", "sec-agree")),
        ("INVITE", "Content-Type: text/plain\n", "hello\n", 415, ("Accept:", "application/sdp")),
        ("INVITE", "Supported: timer\nSession-Expires: 60\n", &sound, 422, ("Min-SE:", "90")),
        ("INVITE", "Max-Forwards: 0\n", &sound, 483, ("CSeq:", "1 INVITE")),
        ("MESSAGE", "", "", 405, ("Allow:", "INVITE")),
        ("SUBSCRIBE", "Event: presence\n", "", 405, ("Allow:", "INVITE")),
        ("REGISTER", "", "", 405, ("Allow:", "INVITE")),
        ("PUBLISH", "", "", 405, ("Allow:", "INVITE")),
        ("DANCE", "", "", 501, ("CSeq:", "1 DANCE")),
        ("UPDATE", "", &sound, 481, ("CSeq:", "1 UPDATE")),
        ("INFO", "", "", 481, ("CSeq:", "1 INFO")),
        ("REFER", "Refer-To: <sip:x@example.com>\n", "", 481, ("CSeq:", "1 REFER")),
        ("PRACK", "RAck: 1 1 INVITE\n", "", 481, ("CSeq:", "1 PRACK")),
        ("BYE", "", "", 481, ("CSeq:", "1 BYE")),
        ("OPTIONS", "", "", 200, ("Accept:", "application/sdp")),
    ];

    let told = refused.map(|(method, fields, body, status, check)| {
        let script = caller().begins(method, fields, body).may_hear(100).hears_that(status, &[check]);
        let script = if method == "INVITE" { script.acks_refusal() } else { script };
        Sipp::calls(&script, world.address(), 1, &[])
    });

    for sipp in told {
        sipp.succeeds().await;
    }
    world.is_left_empty().await;
}

#[tokio::test]
async fn a_call_is_neither_transferred_nor_written_to() {
    let mut world = World::with(vec![from_loopback()]).await;
    let script = talking(ALLOW, &[])
        .says("REFER", "Refer-To: <sip:x@example.com>\n", "")
        .hears(603)
        .says("MESSAGE", "Content-Type: text/plain\n", "hello\n")
        .hears(405)
        .says("INFO", "Content-Type: text/plain\n", "hello\n")
        .hears(415)
        .says("OPTIONS", "", "")
        .hears_that(200, &[("Allow:", "UPDATE")])
        .says("PRACK", "RAck: 1 1 INVITE\n", "")
        .hears(481)
        .says("BYE", "", "")
        .hears(200);
    let sipp = Sipp::calls(&script, world.address(), 1, &[]);

    let mut invitation = take(&mut world).await;

    assert!(matches!(next(&mut invitation.leg).await, Event::Ended(EndedBy::Peer)));
    sipp.succeeds().await;
    world.is_left_empty().await;
}

#[tokio::test]
async fn offers_that_cross_are_both_put_off_and_ours_is_made_again() {
    let mut world = World::with(vec![from_loopback()]).await;
    let script = talking(ALLOW, &[])
        .gets("INVITE")
        .says("INVITE", "", &described("sendonly"))
        .may_hear(100)
        .hears(491)
        .acks_refusal()
        .answers("INVITE", "491 Request Pending", "", "")
        .gets("ACK")
        .gets_that("INVITE", &[("body", "m=audio 40000")])
        .answers("INVITE", "200 OK", "", &described("sendrecv"))
        .gets("ACK")
        .says("BYE", "", "")
        .hears(200);
    let sipp = Sipp::calls(&script, world.address(), 1, &[]);
    let mut invitation = take(&mut world).await;

    invitation.leg.orders.send(Order::Offer(description())).await.unwrap();

    assert!(matches!(next(&mut invitation.leg).await, Event::Reanswered(Some(_))));
    assert!(matches!(next(&mut invitation.leg).await, Event::Ended(EndedBy::Peer)));
    sipp.succeeds().await;
    world.is_left_empty().await;
}

#[tokio::test]
async fn a_session_is_refreshed_at_half_time_by_whichever_request_the_peer_knows() {
    let asks = "Supported: timer\nSession-Expires: 90;refresher=uas\n";
    let agreed = ("Session-Expires:", "90;refresher=uas");
    let refreshed = "Supported: timer\nSession-Expires: 90;refresher=uac\n";
    let repeats = ("Session-Expires:", "90;refresher=uac");
    let by_update = talking(&format!("{ALLOW}{asks}"), &[agreed])
        .gets_that("UPDATE", &[repeats])
        .answers("UPDATE", "200 OK", refreshed, "");
    let by_invite = talking(asks, &[agreed])
        .gets_that("INVITE", &[repeats, ("body", "m=audio 40000")])
        .answers("INVITE", "200 OK", refreshed, &described("sendrecv"))
        .gets("ACK");
    for script in [by_update, by_invite] {
        let mut world = World::with(vec![from_loopback()]).await;
        let script = script.says("BYE", "", "").hears(200);
        let sipp = Sipp::calls(&script, world.address(), 1, &[]);
        let mut invitation = take(&mut world).await;

        leap(46).await;

        assert!(matches!(next(&mut invitation.leg).await, Event::Ended(EndedBy::Peer)));
        sipp.succeeds().await;
        world.is_left_empty().await;
    }
}

#[tokio::test]
async fn a_call_that_is_not_refreshed_ends() {
    let peers = "Supported: timer\nSession-Expires: 90;refresher=uac\n";
    let ours = format!("{ALLOW}Supported: timer\nSession-Expires: 90;refresher=uas\n");
    let forgotten = talking(peers, &[("Session-Expires:", "90;refresher=uac"), ("Require:", "timer")]);
    let unknown = talking(&ours, &[]).gets("UPDATE").answers("UPDATE", "481 Gone", "", "");
    for (script, seconds) in [(forgotten, 61), (unknown, 46)] {
        let mut world = World::with(vec![from_loopback()]).await;
        let script = script.gets_that("BYE", &[("Reason:", "cause=102")]).answers("BYE", "200 OK", "", "");
        let sipp = Sipp::calls(&script, world.address(), 1, &[]);
        let mut invitation = take(&mut world).await;

        leap(seconds).await;

        assert!(matches!(next(&mut invitation.leg).await, Event::Ended(EndedBy::Lost)));
        sipp.succeeds().await;
        world.is_left_empty().await;
    }
}

#[tokio::test]
async fn an_answer_that_nobody_acknowledges_is_said_again_and_then_the_call_is_hung_up() {
    let mut world = World::as_set(impatient(), vec![from_loopback()]).await;
    let script = caller()
        .begins("INVITE", "", &described("sendrecv"))
        .may_hear(100)
        .hears(200)
        .gets("BYE")
        .answers("BYE", "200 OK", "", "");
    let sipp = Sipp::calls(&script, world.address(), 1, &[]);
    let mut invitation = world.invited().await;

    invitation.leg.orders.send(Order::Answer(description())).await.unwrap();

    assert!(matches!(next(&mut invitation.leg).await, Event::Ended(EndedBy::Lost)));
    let messages = sipp.succeeds().await;
    assert!(messages.matches("SIP/2.0 200 OK").count() >= 3, "{messages}");
    world.is_left_empty().await;
}
