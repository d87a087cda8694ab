//! Times as clients write and read them: in their tenant's zone.

use callveil_domain::settings::TimeZone;
use callveil_domain::time::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// Reads `2026-11-16T14:54:06`, which is in the tenant's zone, or with `Z` or an offset, which is where it says.
/// A space may stand for the `T`, and for the `+` of an offset, which a query turns into one.
pub(crate) fn read(text: &str, zone: TimeZone) -> Option<Timestamp> {
    const FORM: &[u8; 19] = b"dddd-dd-ddTdd:dd:dd";
    let (local, rest) = text.split_at_checked(FORM.len())?;
    let fits = |(byte, form): (u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        other => byte == *other,
    };
    if !local.bytes().zip(FORM).all(fits) {
        return None;
    }
    let local: DateTime = local.replace(' ', "T").parse().ok()?;
    let offset = match rest {
        "" => offset_of(zone),
        "Z" | "z" => Offset::UTC,
        rest => read_offset(rest)?,
    };
    let moment = offset.to_timestamp(local).ok()?;
    Some(Timestamp::from_micros(moment.as_microsecond()))
}

/// Writes a moment in the tenant's zone, as ISO 8601 with its offset; what never comes has no time.
pub(crate) fn write(moment: Timestamp, zone: TimeZone) -> Option<String> {
    let moment = jiff::Timestamp::from_microsecond(moment.as_micros()).ok()?;
    let text = moment.display_with_offset(offset_of(zone)).to_string();
    // To the second, as all times on the wire.
    let (seconds, rest) = text.split_at_checked(19)?;
    let offset = rest.find(['+', '-']).map(|at| &rest[at..])?;
    Some(format!("{seconds}{offset}"))
}

/// `2026-11-30T10:54:33.123Z`: the form of our own records and events.
pub(crate) fn utc(moment: Timestamp) -> String {
    let millis = jiff::Timestamp::from_millisecond(moment.as_micros().div_euclid(1_000));
    format!("{:.3}", millis.unwrap_or(jiff::Timestamp::MAX))
}

/// `2026-11-30 16:24:33` in the tenant's zone: the form of LeadAssist's records of calls.
pub(crate) fn plain(moment: Timestamp, zone: TimeZone) -> String {
    let moment = jiff::Timestamp::from_second(moment.as_micros().div_euclid(1_000_000));
    let local = offset_of(zone).to_datetime(moment.unwrap_or(jiff::Timestamp::MAX));
    local.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn offset_of(zone: TimeZone) -> Offset {
    Offset::from_seconds(zone.offset_seconds()).unwrap_or(Offset::UTC)
}

/// `+05:30`, `-0330`.
fn read_offset(text: &str) -> Option<Offset> {
    let (sign, digits) = text.split_at_checked(1)?;
    let sign = match sign {
        "+" | " " => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = minutes.strip_prefix(':').unwrap_or(minutes);
    let two = |text: &str, below: i32| -> Option<i32> {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|n| digits && *n < below)
    };
    let seconds = two(hours, 24)? * 3_600 + two(minutes, 60)? * 60;
    Offset::from_seconds(sign * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_an_offset_is_the_tenants() {
        let noon = Timestamp::from_micros(1_447_686_000_000_000);
        check("2015-11-16T15:00:00", TimeZone::Utc, Some(noon));
        check("2015-11-16T20:30:00", TimeZone::Ist, Some(noon));
        check("2015-11-16 20:30:00", TimeZone::Ist, Some(noon));
        check("2015-11-16T15:00:00Z", TimeZone::Ist, Some(noon));
        check("2015-11-16T20:30:00+05:30", TimeZone::Utc, Some(noon));
        check("2015-11-16T20:30:00 0530", TimeZone::Utc, Some(noon));
        check("2015-11-16T10:00:00-05:00", TimeZone::Utc, Some(noon));
        for wrong in [
            "",
            "2015-11-16",
            "2015-11-16T15:00",
            "16-11-2015 15:00:00",
            "2015-13-16T15:00:00",
            "2015-11-16T25:00:00",
            "2015-11-16T15:00:00+5",
            "2015-11-16T15:00:00+05:30:00",
            "2015-11-16T15:00:00 IST",
            "２015-11-16T15:00:00",
            "2015-11-16T15:00:00.5",
        ] {
            check(wrong, TimeZone::Utc, None);
        }

        fn check(text: &str, zone: TimeZone, expected: Option<Timestamp>) {
            assert_eq!(read(text, zone), expected, "{text:?}");
        }
    }

    #[test]
    fn times_are_told_in_the_tenants_zone_to_the_second() {
        let moment = Timestamp::from_micros(1_447_686_000_000_001);
        assert_eq!(write(moment, TimeZone::Ist).as_deref(), Some("2015-11-16T20:30:00+05:30"));
        assert_eq!(write(moment, TimeZone::Utc).as_deref(), Some("2015-11-16T15:00:00+00:00"));
        assert_eq!(write(Timestamp::NEVER, TimeZone::Utc), None);
    }

    #[test]
    fn records_have_times_of_their_own_forms() {
        let moment = Timestamp::from_micros(1_611_064_023_045_999); // 19 January 2021, 13:47:03 UTC
        assert_eq!(utc(moment), "2021-01-19T13:47:03.045Z");
        assert_eq!(plain(moment, TimeZone::Ist), "2021-01-19 19:17:03");
        assert_eq!(plain(moment, TimeZone::Utc), "2021-01-19 13:47:03");
    }
}
