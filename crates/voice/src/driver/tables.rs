//! The tables between a call in the domain's words and a leg in SIP's: every status and cause of a call is here.

use callveil_domain::call::course::{Cause, EndedBy, Miss, Sound, Why};
use callveil_domain::call::limits::Over;
use callveil_domain::routing::RefuseReason;

use crate::leg::{self, Refusal};

/// After how many seconds a caller whom we had no room for may come again.
const COME_AGAIN: u32 = 5;

/// What a refused caller is told.
pub(super) fn refusal(why: Why) -> Refusal {
    let status = match why {
        Why::Route(RefuseReason::NotAVirtualNumber | RefuseReason::UnknownCaller) => 404,
        Why::Route(RefuseReason::Ended | RefuseReason::NoLongerAParty) => 480,
        Why::Route(RefuseReason::OneWay | RefuseReason::WrongPin) => 403,
        Why::Route(RefuseReason::Loop) => 482,
        Why::Limit(Over::NeverDialled(_) | Over::Elsewhere) => 403,
        // Not 503, upon which a carrier would try its other routes to us.
        Why::Limit(
            Over::CallsAtOnce | Over::CallsAnHour | Over::CallsAnHourToOneNumber | Over::MinutesADay,
        ) => 603,
        Why::Missed(Miss::Busy) => 486,
        Why::Missed(Miss::NoAnswer) => 480,
        Why::Missed(Miss::Declined) => 603,
        Why::Missed(Miss::NotInService) => 404,
        Why::Missed(Miss::Failed) => 500,
        Why::NoCommonSound => 488,
        Why::NoRoom | Why::Failed => 503,
    };
    Refusal { status, retry_after: (status == 503).then_some(COME_AGAIN) }
}

/// What a telephone's last status says of it.
pub(super) fn miss(status: u16) -> Miss {
    match status {
        486 | 600 => Miss::Busy,
        408 | 480 | 487 => Miss::NoAnswer,
        403 | 603 | 607 | 608 => Miss::Declined,
        404 | 410 | 484 | 485 | 604 => Miss::NotInService,
        _ => Miss::Failed,
    }
}

/// The cause that a leg's Reason header has.
pub(super) fn cause(cause: Cause) -> leg::Cause {
    match cause {
        Cause::Normal => leg::Cause::NORMAL,
        Cause::AnsweredElsewhere => leg::Cause::ANSWERED_ELSEWHERE,
        Cause::TimeUp => leg::Cause::TIMER,
    }
}

/// How a leg came to its end, as the call sees it.
pub(super) fn ended_by(by: leg::EndedBy) -> EndedBy {
    match by {
        leg::EndedBy::Cancelled | leg::EndedBy::Peer => EndedBy::Party,
        leg::EndedBy::Us => EndedBy::Us,
        leg::EndedBy::Lost => EndedBy::Loss,
    }
}

/// The name of an announcement; `None` is the ring-back tone.
pub(super) fn prompt(sound: Sound) -> Option<&'static str> {
    match sound {
        Sound::Ringback => None,
        Sound::EnterPin => Some("enter-pin"),
        Sound::WrongPin => Some("wrong-pin"),
        Sound::NotAvailable => Some("not-available"),
        Sound::UnknownNumber => Some("unknown-number"),
        Sound::Ended => Some("ended"),
        Sound::OneWay => Some("one-way"),
        Sound::TryLater => Some("try-later"),
        Sound::Recorded => Some("recorded"),
    }
}

/// Why a call was refused, as its record and metrics tell it.
pub(super) fn reason(why: Why) -> &'static str {
    match why {
        Why::Route(RefuseReason::NotAVirtualNumber) => "not-a-virtual-number",
        Why::Route(RefuseReason::Loop) => "loop",
        Why::Route(RefuseReason::UnknownCaller) => "unknown-caller",
        Why::Route(RefuseReason::Ended) => "ended",
        Why::Route(RefuseReason::NoLongerAParty) => "no-longer-a-party",
        Why::Route(RefuseReason::OneWay) => "one-way",
        Why::Route(RefuseReason::WrongPin) => "wrong-pin",
        Why::Limit(Over::NeverDialled(_)) => "never-dialled",
        Why::Limit(Over::Elsewhere) => "not-reachable",
        Why::Limit(Over::CallsAtOnce) => "too-many-at-once",
        Why::Limit(Over::CallsAnHour) => "too-many-an-hour",
        Why::Limit(Over::CallsAnHourToOneNumber) => "too-many-to-one",
        Why::Limit(Over::MinutesADay) => "too-many-minutes",
        Why::Missed(_) => "missed",
        Why::NoCommonSound => "no-common-sound",
        Why::NoRoom => "no-room",
        Why::Failed => "failed",
    }
}

/// Why nobody answered, as metrics tell it.
pub(super) fn missed(miss: Miss) -> &'static str {
    match miss {
        Miss::Busy => "busy",
        Miss::NoAnswer => "no-answer",
        Miss::Declined => "declined",
        Miss::NotInService => "not-in-service",
        Miss::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_of_a_telephone_is_told_on_as_one_of_ours() {
        let told = |status| refusal(Why::Missed(miss(status))).status;
        let ours: Vec<u16> = (300..700).map(told).collect();
        assert!(ours.iter().all(|status| [404, 480, 486, 500, 603].contains(status)));
        let check = |status, ours| assert_eq!(told(status), ours, "{status}");
        check(486, 486);
        check(600, 486);
        check(480, 480);
        check(408, 480);
        check(404, 404);
        check(603, 603);
        check(302, 500);
        check(503, 500);
    }

    #[test]
    fn only_503_bids_a_caller_come_again() {
        assert_eq!(refusal(Why::NoRoom), Refusal { status: 503, retry_after: Some(COME_AGAIN) });
        assert_eq!(refusal(Why::NoCommonSound), Refusal { status: 488, retry_after: None });
    }
}
