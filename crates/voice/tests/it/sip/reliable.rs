//! Provisional responses that are acknowledged (RFC 3262), in both directions.

use super::*;
use crate::script::{Script, described};

#[tokio::test]
async fn a_caller_that_requires_it_hears_of_the_ringing_reliably() {
    let mut world = World::with(vec![from_loopback()]).await;
    let reliable = [("Require:", "100rel"), ("RSeq:", "[0-9]+")];
    let script = Script::caller("+12025550101", "+918000000001")
        .begins("INVITE", "Require: 100rel\n", &described("sendrecv"))
        .may_hear(100)
        .hears_that(180, &reliable)
        .says("PRACK", "RAck: 1 1 INVITE\n", "")
        .hears(481)
        .says("PRACK", "RAck: [$seen] 1 INVITE\n", "")
        .hears(200)
        .hears_that(183, &reliable)
        .waits(300)
        .says("PRACK", "RAck: [$seen] 1 INVITE\n", "")
        .hears(200)
        .hears(200)
        .acks("")
        .says("BYE", "", "")
        .hears(200);
    let sipp = Sipp::calls(&script, world.address(), 1, &[]);

    let mut invitation = world.invited().await;
    // Faster than the caller acknowledges: each waits for the one before, and the answer for what was described.
    invitation.leg.orders.send(Order::Ring).await.unwrap();
    invitation.leg.orders.send(Order::Progress(description())).await.unwrap();
    let described = || std::fs::read_to_string(sipp.messages()).unwrap_or_default().contains("SIP/2.0 183");
    until("the description", described).await;
    invitation.leg.orders.send(Order::Answer(description())).await.unwrap();

    assert!(matches!(next(&mut invitation.leg).await, Event::Acknowledged(None)));
    assert!(matches!(next(&mut invitation.leg).await, Event::Ended(EndedBy::Peer)));
    sipp.succeeds().await;
    world.is_left_empty().await;
}

#[tokio::test]
async fn ringing_that_is_not_acknowledged_is_told_again_until_the_call_is_given_up() {
    let mut world = World::as_set(impatient(), vec![from_loopback()]).await;
    let script = Script::caller("+12025550101", "+918000000001")
        .begins("INVITE", "Require: 100rel\n", &described("sendrecv"))
        .may_hear(100)
        .hears_that(180, &[("Require:", "100rel"), ("RSeq:", "[0-9]+")])
        .hears(504)
        .acks_refusal();
    let sipp = Sipp::calls(&script, world.address(), 1, &[]);
    let mut invitation = world.invited().await;

    invitation.leg.orders.send(Order::Ring).await.unwrap();

    assert!(matches!(next(&mut invitation.leg).await, Event::Ended(EndedBy::Lost)));
    let messages = sipp.succeeds().await;
    assert!(messages.matches("SIP/2.0 180 Ringing").count() >= 3, "{messages}");
    world.is_left_empty().await;
}

#[tokio::test]
async fn a_telephone_s_reliable_ringing_is_acknowledged() {
    let script = Script::callee()
        .gets_that("INVITE", &[("Supported:", "100rel")])
        .answers("INVITE", "180 Ringing", "Require: 100rel\nRSeq: 4711\n", "")
        .gets_that("PRACK", &[("RAck:", "4711 [0-9]+ INVITE")])
        .answers("PRACK", "200 OK", "", "")
        .answers("INVITE", "200 OK", "", &described("sendrecv"))
        .gets("ACK")
        .gets("BYE")
        .answers("BYE", "200 OK", "", "");
    let (sipp, address) = Sipp::answers(&script, 1, &[]).await;
    let world = World::with(vec![to(address, "udp")]).await;

    let mut leg = world.sip.dial(telephone()).await;

    assert!(matches!(next(&mut leg).await, Event::Ringing(None)));
    assert!(matches!(next(&mut leg).await, Event::Answered(Some(_))));
    leg.orders.send(Order::Hangup(Cause::NORMAL)).await.unwrap();
    sipp.succeeds().await;
    world.is_left_empty().await;
}
