//! What became of a call, for its record and for the figures.

use callveil_domain::call::course::{End, Summary};
use callveil_domain::calls::{CallEnd, Disconnector, Reason};

use super::tables;
use crate::figures::Ended;

/// How it ended, as its record has it.
pub(super) fn ending(summary: &Summary) -> (CallEnd, Disconnector) {
    let refused = |word| {
        let reason = Reason::parse(word).expect("law: reasons are short words");
        (CallEnd::Refused(reason), Disconnector::Program)
    };
    match summary.end {
        End::CallerHungUp => (CallEnd::Completed, Disconnector::Caller),
        End::CalledHungUp => (CallEnd::Completed, Disconnector::Callee),
        End::TimeUp => (CallEnd::Completed, Disconnector::Program),
        End::Lost => (CallEnd::Completed, Disconnector::Network),
        End::Abandoned => (CallEnd::GivenUp, Disconnector::Caller),
        End::Missed(_) => (CallEnd::NotAnswered, Disconnector::Callee),
        End::Refused(_) | End::Ordered if summary.answered.is_some() => {
            (CallEnd::Completed, Disconnector::Program)
        }
        End::Refused(why) => refused(tables::reason(why)),
        End::Ordered => refused("hung-up"),
        End::PinRefused => refused("wrong-pin"),
    }
}

/// How it ended, in the words of the figures.
pub(super) fn outcome(summary: &Summary) -> Ended {
    let (how, _) = ending(summary);
    let reason = match summary.end {
        End::CallerHungUp | End::Abandoned => "caller",
        End::CalledHungUp => "called",
        End::TimeUp => "time-up",
        End::Lost => "lost",
        End::Missed(miss) => tables::missed(miss),
        End::Refused(why) => tables::reason(why),
        End::Ordered => "hung-up",
        End::PinRefused => "wrong-pin",
    };
    Ended { end: how.word(), reason }
}
