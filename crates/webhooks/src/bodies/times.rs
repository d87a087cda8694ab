//! Times as events tell them.

use callveil_domain::settings::TimeZone;
use callveil_domain::time::Timestamp;
use jiff::tz::Offset;

/// `2026-11-30 16:24:33` in the tenant's zone: the form of LeadAssist's events.
pub(super) fn plain(moment: Timestamp, zone: TimeZone) -> String {
    let (date, time, _) = parts(moment, zone);
    format!("{date} {time}")
}

/// `2026-11-30T16:24:33+05:30` in the tenant's zone.
pub(super) fn with_offset(moment: Timestamp, zone: TimeZone) -> String {
    let (date, time, offset) = parts(moment, zone);
    format!("{date}T{time}{offset}")
}

/// `2026-11-30T10:54:33.123Z`: the form of our own events.
pub(super) fn utc(moment: Timestamp) -> String {
    let (date, time, _) = parts(moment, TimeZone::Utc);
    format!("{date}T{time}.{:03}Z", moment.as_micros().div_euclid(1_000).rem_euclid(1_000))
}

/// Date, time to the second, and offset.
fn parts(moment: Timestamp, zone: TimeZone) -> (String, String, String) {
    let seconds = zone.offset_seconds();
    let offset = Offset::from_seconds(seconds).unwrap_or(Offset::UTC);
    let local = jiff::Timestamp::from_microsecond(moment.as_micros()).unwrap_or(jiff::Timestamp::MAX);
    let local = offset.to_datetime(local);
    let time = format!("{:02}:{:02}:{:02}", local.hour(), local.minute(), local.second());
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    (local.date().to_string(), time, format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_three_forms() {
        let moment = Timestamp::from_micros(1_611_064_023_045_999); // 19 January 2021, 13:47:03 UTC
        assert_eq!(plain(moment, TimeZone::Ist), "2021-01-19 19:17:03");
        assert_eq!(plain(moment, TimeZone::Utc), "2021-01-19 13:47:03");
        assert_eq!(with_offset(moment, TimeZone::Ist), "2021-01-19T19:17:03+05:30");
        assert_eq!(with_offset(moment, TimeZone::Utc), "2021-01-19T13:47:03+00:00");
        assert_eq!(utc(moment), "2021-01-19T13:47:03.045Z");
    }
}
