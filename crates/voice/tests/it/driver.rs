//! Whole calls over telephones and sound that are made up, and a real store.

mod world;

use callveil_domain::calls::{CallEnd, CallStanding, Disconnector, LegEnd};
use callveil_voice::leg::{Attestation, Cause, Encryption, EndedBy, Event, Order, Refusal};
use callveil_voice::media;
use tokio::sync::oneshot;

use world::{ANSWER, OFFER, World, party, vn};

#[tokio::test]
async fn a_call_is_connected_and_told_from_its_beginning_to_its_end() {
    let mut world = World::new().await;
    let allocation = world.allocate(vn(1), &[party(1)], &[party(2)], &[]).await;

    let mut a = world.call(Some(party(1)), vn(1));
    let (dial, mut b) = world.rung().await;
    assert_eq!((dial.to, dial.show, dial.max_forwards), (party(2), vn(1), 69));

    b.says(Event::Ringing(None)).await;
    assert!(matches!(a.hears().await, Order::Ring));
    b.says(Event::Answered(Some(ANSWER))).await;
    assert!(matches!(a.hears().await, Order::Answer(_)));
    a.says(Event::Acknowledged(None)).await;
    a.says(Event::Ended(EndedBy::Peer)).await;
    assert!(matches!(b.hears().await, Order::Hangup(Cause::NORMAL)));
    b.says(Event::Ended(EndedBy::Us)).await;

    world.board.idle().await;
    assert_eq!(world.sounds(), ["consider 0", "offer 1", "accept 1", "answer 0", "join 0 1", "close"]);
    let record = world.record(a.call).await.unwrap();
    assert_eq!(record.link.unwrap().allocation, allocation.id);
    assert_eq!((record.caller, record.virtual_number), (Some(party(1)), vn(1)));
    let CallStanding::Ended { how, by, .. } = record.standing else { panic!("it has ended") };
    assert_eq!((how, by), (CallEnd::Completed, Disconnector::Caller));
    assert!(record.answered_at.is_some());
    assert_eq!(record.legs[0].number, Some(party(2)));
    assert!(record.legs[0].rang_at.is_some() && record.legs[0].answered_at.is_some());
    assert!(matches!(record.legs[0].ended, Some((_, LegEnd::Completed))));
}

#[tokio::test]
async fn the_called_may_call_back_and_the_next_number_rings_when_one_is_busy() {
    let mut world = World::new().await;
    world.allocate(vn(1), &[party(1), party(3)], &[party(2)], &[]).await;

    let mut b = world.call(Some(party(2)), vn(1));
    let (dial, first) = world.rung().await;
    assert_eq!(dial.to, party(1));
    first.says(Event::Refused(486)).await;
    let (dial, second) = world.rung().await;
    assert_eq!((dial.to, dial.show), (party(3), vn(1)));
    second.says(Event::Refused(404)).await;

    assert!(matches!(b.hears().await, Order::Refuse(Refusal { status: 486, retry_after: None })));
    b.says(Event::Ended(EndedBy::Us)).await;
    world.board.idle().await;
    let record = world.record(b.call).await.unwrap();
    let ends: Vec<LegEnd> = record.legs.iter().map(|leg| leg.ended.unwrap().1).collect();
    assert_eq!(ends, [LegEnd::Busy, LegEnd::Failed(404)]);
    assert!(matches!(record.standing, CallStanding::Ended { how: CallEnd::NotAnswered, .. }));
}

#[tokio::test]
async fn a_caller_who_cancels_ends_what_rings() {
    let mut world = World::new().await;
    world.allocate(vn(1), &[party(1)], &[party(2)], &[]).await;

    let a = world.call(Some(party(1)), vn(1));
    let (_, mut b) = world.rung().await;
    a.says(Event::Ended(EndedBy::Cancelled)).await;
    assert!(matches!(b.hears().await, Order::Hangup(Cause::NORMAL)));
    b.says(Event::Ended(EndedBy::Us)).await;

    world.board.idle().await;
    let record = world.record(a.call).await.unwrap();
    assert!(matches!(record.standing, CallStanding::Ended { how: CallEnd::GivenUp, .. }));
    assert!(matches!(record.legs[0].ended, Some((_, LegEnd::Cancelled))));
}

#[tokio::test]
async fn a_right_pin_connects_a_stranger_who_is_known_from_then_on() {
    let mut world = World::new().await;
    let allocation = world.allocate(vn(1), &[party(1)], &[party(2)], &[483_920]).await;

    let mut stranger = world.call(Some(party(5)), vn(1));
    assert!(matches!(stranger.hears().await, Order::Answer(_)));
    world.presses("483920#").await;
    let (dial, mut b) = world.rung().await;
    assert_eq!((dial.to, dial.show), (party(2), vn(1)));
    b.says(Event::Answered(Some(ANSWER))).await;
    world.until_sound("join 0 1").await;
    stranger.says(Event::Ended(EndedBy::Peer)).await;
    assert!(matches!(b.hears().await, Order::Hangup(_)));
    b.says(Event::Ended(EndedBy::Us)).await;

    world.board.idle().await;
    assert_eq!(world.allocation(allocation.id).await.parties.a.learned, [party(5)]);
    let sounds = world.sounds();
    let place = |sound: &str| sounds.iter().position(|s| s == sound).unwrap();
    assert!(place("play 0 enter-pin") < place("listen 0 false"));
    assert!(place("listen 0 false") < place("join 0 1"), "never bridged while keys are told: {sounds:?}");

    let _again = world.call(Some(party(5)), vn(1));
    let (dial, _b) = world.rung().await;
    assert_eq!(dial.to, party(2));
}

#[tokio::test]
async fn a_withheld_caller_may_join_and_is_not_remembered() {
    let mut world = World::new().await;
    let allocation = world.allocate(vn(1), &[party(1)], &[party(2)], &[483_920]).await;

    let mut stranger = world.call(None, vn(1));
    assert!(matches!(stranger.hears().await, Order::Answer(_)));
    for key in "483920#".chars() {
        stranger.says(Event::Digit(key)).await;
    }
    let (dial, _b) = world.rung().await;
    assert_eq!(dial.to, party(2));
    assert!(world.allocation(allocation.id).await.parties.a.learned.is_empty());
}

#[tokio::test]
async fn three_wrong_pins_ring_nobody() {
    let mut world = World::new().await;
    world.allocate(vn(1), &[party(1)], &[party(2)], &[483_920]).await;

    let mut stranger = world.call(Some(party(5)), vn(1));
    assert!(matches!(stranger.hears().await, Order::Answer(_)));
    for pin in ["1#", "22#", "0483920#"] {
        world.presses(pin).await;
    }
    assert!(matches!(stranger.hears().await, Order::Hangup(_)));
    stranger.says(Event::Ended(EndedBy::Us)).await;

    world.board.idle().await;
    assert!(world.nobody_rang());
    let record = world.record(stranger.call).await.unwrap();
    let CallStanding::Ended { how: CallEnd::Refused(reason), .. } = record.standing else { panic!() };
    assert_eq!(reason.as_str(), "wrong-pin");
}

#[tokio::test]
async fn guessed_pins_of_one_caller_are_not_listened_to_in_the_end() {
    let mut world = World::new().await;
    world.allocate(vn(1), &[party(1)], &[party(2)], &[483_920]).await;

    for pins in [["1#", "2#", "3#"], ["4#", "5#", "6#"], ["7#", "8#", "9#"], ["10#", "483920#", "483920#"]] {
        let mut stranger = world.call(Some(party(5)), vn(1));
        assert!(matches!(stranger.hears().await, Order::Answer(_)));
        for pin in pins {
            world.presses(pin).await;
        }
        assert!(matches!(stranger.hears().await, Order::Hangup(_)));
        stranger.says(Event::Ended(EndedBy::Us)).await;
        world.board.idle().await;
    }
    assert!(world.nobody_rang());
}

#[tokio::test]
async fn a_one_way_allocation_refuses_the_called_aloud_and_tells_of_it() {
    let world = World::new().await;
    world.allocate_one_way(vn(1), &[party(1)], &[party(2)]).await;

    let mut b = world.call(Some(party(2)), vn(1));
    assert!(matches!(b.hears().await, Order::Progress(_)));
    assert!(matches!(b.hears().await, Order::Refuse(Refusal { status: 403, .. })));
    b.says(Event::Ended(EndedBy::Us)).await;

    world.board.idle().await;
    assert!(world.sounds().contains(&"play 0 one-way".to_owned()));
    let record = world.record(b.call).await.unwrap();
    assert!(record.link.is_some());
    assert!(matches!(record.standing, CallStanding::Ended { how: CallEnd::Refused(_), .. }));
}

#[tokio::test]
async fn strangers_and_unknown_numbers_are_refused_and_leave_no_record() {
    let mut world = World::new().await;
    world.allocate(vn(1), &[party(1)], &[party(2)], &[]).await;

    let mut stranger = world.call(Some(party(5)), vn(1));
    assert!(matches!(stranger.hears().await, Order::Progress(_)));
    assert!(matches!(stranger.hears().await, Order::Refuse(Refusal { status: 404, .. })));
    stranger.says(Event::Ended(EndedBy::Us)).await;
    let mut nowhere = world.call(Some(party(1)), party(9));
    assert!(matches!(nowhere.hears().await, Order::Refuse(Refusal { status: 404, .. })));
    nowhere.says(Event::Ended(EndedBy::Us)).await;

    world.board.idle().await;
    assert!(world.nobody_rang());
    assert_eq!(world.record(stranger.call).await, None);
    assert_eq!(world.record(nowhere.call).await, None);
}

#[tokio::test]
async fn a_caller_with_no_sound_in_common_is_refused_before_anybody_rings() {
    let mut world = World::new().await;
    world.allocate(vn(1), &[party(1)], &[party(2)], &[]).await;
    let mut a = world.call_offering(Some(party(1)), vn(1), Some("nonsense".into()));
    assert!(matches!(a.hears().await, Order::Refuse(Refusal { status: 488, .. })));
    a.says(Event::Ended(EndedBy::Us)).await;
    world.board.idle().await;
    assert!(world.nobody_rang());
}

#[tokio::test]
async fn a_caller_without_an_offer_gets_ours_with_the_answer() {
    let mut world = World::new().await;
    world.allocate(vn(1), &[party(1)], &[party(2)], &[]).await;
    let mut a = world.call_offering(Some(party(1)), vn(1), None);
    let (_, b) = world.rung().await;
    b.says(Event::Answered(Some(ANSWER))).await;
    assert!(matches!(a.hears().await, Order::Answer(_)));
    a.says(Event::Acknowledged(Some(ANSWER))).await;
    world.until_sound("accept 0").await;
}

#[tokio::test]
async fn hold_is_answered_here_and_is_no_matter_of_the_other_leg() {
    let mut world = World::new().await;
    world.allocate(vn(1), &[party(1)], &[party(2)], &[]).await;
    let mut a = world.call(Some(party(1)), vn(1));
    let (_, mut b) = world.rung().await;
    b.says(Event::Answered(Some(ANSWER))).await;
    assert!(matches!(a.hears().await, Order::Answer(_)));

    let (reply, answered) = tokio::sync::oneshot::channel();
    b.says(Event::Reoffered(Some(OFFER), reply)).await;
    answered.await.unwrap();
    let (reply, refused) = tokio::sync::oneshot::channel();
    b.says(Event::Reoffered(Some("nonsense".into()), reply)).await;
    refused.await.unwrap_err();

    world.board.hang_up_all();
    assert!(matches!(b.hears().await, Order::Hangup(Cause::NORMAL)));
    assert!(matches!(a.hears().await, Order::Hangup(Cause::NORMAL)));
}

#[tokio::test]
async fn a_telephone_whose_sound_does_not_fit_is_passed_over() {
    let mut world = World::new().await;
    world.allocate(vn(1), &[party(1)], &[party(2), party(3)], &[]).await;
    let _a = world.call(Some(party(1)), vn(1));
    let (_, mut first) = world.rung().await;
    first.says(Event::Answered(Some("nonsense".into()))).await;
    assert!(matches!(first.hears().await, Order::Hangup(_)));
    let (dial, _second) = world.rung().await;
    assert_eq!(dial.to, party(3));
}

#[tokio::test]
async fn more_calls_than_a_tenant_may_have_are_refused() {
    let mut world = World::new().await;
    world.allocate(vn(1), &[party(1)], &[party(2)], &[]).await;
    world.allocate(vn(2), &[party(3)], &[party(4)], &[]).await;
    world.set("calls_at_once", "1").await;

    let a = world.call(Some(party(1)), vn(1));
    let (_, mut b) = world.rung().await;
    let mut other = world.call(Some(party(3)), vn(2));
    assert!(matches!(other.hears().await, Order::Progress(_)));
    assert!(matches!(other.hears().await, Order::Refuse(Refusal { status: 603, .. })));
    other.says(Event::Ended(EndedBy::Us)).await;

    a.says(Event::Ended(EndedBy::Cancelled)).await;
    assert!(matches!(b.hears().await, Order::Hangup(_)));
    b.says(Event::Ended(EndedBy::Us)).await;
    world.board.idle().await;
    let _now = world.call(Some(party(3)), vn(2));
    let (dial, _) = world.rung().await;
    assert_eq!(dial.to, party(4));
}

#[tokio::test]
async fn all_numbers_ring_at_once_where_the_tenant_wants_it() {
    let mut world = World::new().await;
    world.allocate(vn(1), &[party(1)], &[party(2), party(3)], &[]).await;
    world.set("ringing", "parallel").await;

    let mut a = world.call(Some(party(1)), vn(1));
    let (_, mut first) = world.rung().await;
    let (_, second) = world.rung().await;
    second.says(Event::Answered(Some(ANSWER))).await;
    assert!(matches!(first.hears().await, Order::Hangup(Cause::ANSWERED_ELSEWHERE)));
    assert!(matches!(a.hears().await, Order::Answer(_)));
    world.until_sound("join 0 2").await;
}

#[tokio::test]
async fn a_leg_that_is_lost_without_a_word_ends_the_call() {
    let mut world = World::new().await;
    world.allocate(vn(1), &[party(1)], &[party(2)], &[]).await;
    let mut a = world.call(Some(party(1)), vn(1));
    let (_, b) = world.rung().await;
    b.says(Event::Answered(Some(ANSWER))).await;
    assert!(matches!(a.hears().await, Order::Answer(_)));
    drop(b);
    assert!(matches!(a.hears().await, Order::Hangup(_)));
    a.says(Event::Ended(EndedBy::Us)).await;
    world.board.idle().await;
    let record = world.record(a.call).await.unwrap();
    let CallStanding::Ended { how, by, .. } = record.standing else { panic!() };
    assert_eq!((how, by), (CallEnd::Completed, Disconnector::Network));
}

#[tokio::test]
async fn a_trunk_that_wants_another_offer_is_made_one() {
    let mut world = World::new().await;
    world.allocate(vn(1), &[party(1)], &[party(2)], &[]).await;
    let mut a = world.call(Some(party(1)), vn(1));
    let (_, b) = world.rung().await;
    let (reply, offered) = oneshot::channel();
    b.says(Event::Wanted(Encryption::On, reply)).await;
    assert_eq!(offered.await, Ok(OFFER));
    b.says(Event::Answered(Some(ANSWER))).await;
    assert!(matches!(a.hears().await, Order::Answer(_)));
    world.until_sound("offer 1 secure").await;

    // Asked for an offer in the call, it is made one that is encrypted too.
    let (reply, offered) = oneshot::channel();
    b.says(Event::Reoffered(None, reply)).await;
    assert_eq!(offered.await, Ok(OFFER));
    assert_eq!(world.sounds().iter().filter(|done| *done == "offer 1 secure").count(), 2);
    drop(b);
    assert!(matches!(a.hears().await, Order::Hangup(_)));
}

#[tokio::test]
async fn silence_ends_a_conversation() {
    let mut world = World::new().await;
    world.allocate(vn(1), &[party(1)], &[party(2)], &[]).await;
    let mut a = world.call(Some(party(1)), vn(1));
    let (_, mut b) = world.rung().await;
    b.says(Event::Answered(Some(ANSWER))).await;
    assert!(matches!(a.hears().await, Order::Answer(_)));
    world.until_sound("join 0 1").await;
    world.heard(media::Event::Silent(media::LegNumber(1))).await;
    assert!(matches!(b.hears().await, Order::Hangup(Cause::TIMER)));
    assert!(matches!(a.hears().await, Order::Hangup(Cause::TIMER)));
}

#[tokio::test]
async fn who_is_vouched_for_may_try_pins_that_forgers_have_used_up() {
    let mut world = World::new().await;
    world.allocate(vn(1), &[party(1)], &[party(2)], &[483_920]).await;
    for n in 0..27 {
        let mut forger = world.call(Some(party(100 + n)), vn(1));
        assert!(matches!(forger.hears().await, Order::Answer(_)));
        for pin in ["1#", "2#", "3#"] {
            world.presses(pin).await;
        }
        assert!(matches!(forger.hears().await, Order::Hangup(_)));
        forger.says(Event::Ended(EndedBy::Us)).await;
        world.board.idle().await;
    }
    let mut honest = world.call_vouched(party(5), vn(1), Attestation::Passed);
    assert!(matches!(honest.hears().await, Order::Answer(_)));
    world.presses("483920#").await;
    let (dial, _b) = world.rung().await;
    assert_eq!(dial.to, party(2));
}
