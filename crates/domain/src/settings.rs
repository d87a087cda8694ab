//! A tenant's settings: what each is called, which values it takes, and what holds when nothing was said.
//!
//! The names and forms of most are LeadAssist's (`GET` and `PUT /settings`); those under "our own" are callveil's.
//! Every setting is read from and written to text by one table, so that the API, the command line and the database
//! agree about each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::call::course::{Announcements, Recording, Ringing, Rules};
use crate::call::limits::{Caps, Prefix};
use crate::country::Country;
use crate::pin::DEFAULT_LIVE_PINS;
use crate::time::{parse_length, write_length};
use crate::virtual_number::{FlowId, Region};

/// The regions a tenant may ask for when its operator has not said otherwise (LeadAssist `preferences.region`).
pub const REGIONS: [&str; 11] = ["AP", "DL", "GJ", "KA", "KL", "MH", "MP", "MU", "RJ", "TN", "WB"];

/// The longest time an allocation may be given unless the tenant's maximum is unlimited: 170 days.
pub const LONGEST: Duration = Duration::from_secs(170 * 86_400);

/// What a tenant has chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The country that national forms of numbers are read against.
    pub country: Country,
    /// Whether numbers of other countries may be parties.
    pub international: bool,
    /// The lifetime of an allocation that asks for none, and the longest one; `None` is unlimited.
    pub longest_allocation: Option<Duration>,
    /// The zone in which times are told and read.
    pub time_zone: TimeZone,
    /// How long claims stay held after an allocation ends.
    pub cooling: Duration,
    /// The region that is preferred when a request prefers none.
    pub default_region: Option<Region>,
    /// The flow that requests without a flow use.
    pub default_flow: Option<FlowId>,
    /// The tags of the parties when a request gives none: A, B.
    pub tags: [String; 2],
    /// How a virtual number is chosen among those that may be lent.
    pub choice: Choice,
    /// The most live pins that one virtual number carries.
    pub live_pins: u32,
    /// Whether a number that its numbering plan does not know is refused, rather than taken with a warning.
    pub strict_numbers: bool,
    /// The regions that requests may ask for.
    pub regions: BTreeSet<Region>,
    /// The requests that are answered in a minute; 0 is no limit.
    pub requests_per_minute: u32,
    /// How calls go.
    pub call: Rules,
    /// The language of announcements: `en`, `hi`, or another that the operator has recordings of.
    pub language: String,
    /// How numbers begin that may be rung; with none, they are those that may be parties.
    pub call_prefixes: Vec<Prefix>,
    /// How much may be called.
    pub caps: Caps,
    /// What LeadAssist's call event says of where the call came from.
    pub event_source: String,
    /// Whether LeadAssist's call event tells who hung up and how long it rang.
    pub event_insights: bool,
    /// In which form LeadAssist's events tell times.
    pub event_times: EventTimes,
    /// Whether all events are kept to be read, rather than those alone that an endpoint wants.
    pub event_stream: bool,
    /// How long records of calls are kept.
    pub calls_kept: Duration,
    /// How long events are kept.
    pub events_kept: Duration,
    /// Values other than the default of the settings that are only kept and told.
    carried: BTreeMap<&'static str, String>,
}

/// How a virtual number is chosen among those that may be lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The one these parties used longest ago.
    Fresh,
    /// The first in the order of numbers: needs the fewest numbers when all parties are equally busy.
    Pack,
    /// The one the same pair had last, if it is free.
    Sticky,
    /// One that carries no other allocation.
    Exclusive,
}

/// How LeadAssist's events tell times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventTimes {
    /// `2026-11-30 16:24:33`, in the tenant's zone.
    Plain,
    /// `2026-11-30T16:24:33+05:30`.
    Iso,
}

/// The zones that LeadAssist's `timezone` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeZone {
    /// Indian Standard Time, UTC+05:30.
    Ist,
    /// Coordinated Universal Time.
    Utc,
}

impl TimeZone {
    /// How far the zone is ahead of UTC, in seconds.
    pub const fn offset_seconds(self) -> i32 {
        match self {
            TimeZone::Ist => 19_800,
            TimeZone::Utc => 0,
        }
    }
}

/// How a setting's value is written on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A string; booleans too are the strings `"true"` and `"false"`.
    Text,
    /// A JSON integer.
    Integer,
    /// A JSON value of the client's own shape, kept as its text.
    Json,
}

/// Who may change a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// The tenant, by the API, and the operator.
    Tenant,
    /// The operator, by the command line.
    Operator,
}

/// A setting's place in the table.
pub struct Setting {
    /// Its name on the wire.
    pub name: &'static str,
    /// How its value is written there.
    pub form: Form,
    /// Who may change it.
    pub hand: Hand,
    /// What it does, in a line.
    pub about: &'static str,
    kind: Kind,
}

enum Kind {
    /// A field of [`Settings`] that rules read.
    Ruling { get: fn(&Settings) -> String, set: fn(&mut Settings, &str) -> Result<(), String> },
    /// Kept and told, read by no rule of this crate.
    Carried { default: &'static str, check: fn(&str) -> Result<String, String> },
}

/// A value that a setting does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingRefused {
    /// No setting has this name.
    #[error("there is no setting '{name}'")]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// The value is not one of those it takes.
    #[error("{name} {why}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What it takes.
        why: String,
    },
}

impl Settings {
    /// Every setting, in the order in which they are shown.
    pub fn table() -> &'static [Setting] {
        TABLE
    }

    /// The place of the setting of this name.
    pub fn find(name: &str) -> Option<&'static Setting> {
        TABLE.iter().find(|s| s.name == name)
    }

    /// Sets one setting from its text. An empty text clears a setting that may be empty.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SettingRefused> {
        let setting = Self::find(name).ok_or_else(|| SettingRefused::Unknown { name: name.to_owned() })?;
        let value = value.trim();
        match setting.kind {
            Kind::Ruling { set, .. } => set(self, value),
            Kind::Carried { check, .. } => check(value).map(|v| {
                self.carried.insert(setting.name, v);
            }),
        }
        .map_err(|why| SettingRefused::Value { name: setting.name, why })
    }

    /// The text of one setting, as [`Settings::set`] reads it.
    pub fn text(&self, setting: &Setting) -> String {
        match setting.kind {
            Kind::Ruling { get, .. } => get(self),
            Kind::Carried { default, .. } => {
                self.carried.get(setting.name).cloned().unwrap_or_else(|| default.to_owned())
            }
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            country: Country::INDIA,
            international: false,
            longest_allocation: Some(LONGEST),
            time_zone: TimeZone::Ist,
            cooling: Duration::ZERO,
            default_region: None,
            default_flow: None,
            tags: ["aparty".to_owned(), "bparty".to_owned()],
            choice: Choice::Fresh,
            live_pins: DEFAULT_LIVE_PINS,
            strict_numbers: false,
            regions: REGIONS.iter().filter_map(|r| Region::parse(r).ok()).collect(),
            requests_per_minute: 0,
            call: Rules::default(),
            language: "en".to_owned(),
            call_prefixes: Vec::new(),
            caps: Caps::default(),
            event_source: "exotel".to_owned(),
            event_insights: false,
            event_times: EventTimes::Plain,
            event_stream: false,
            calls_kept: Duration::from_secs(365 * 86_400),
            events_kept: Duration::from_secs(30 * 86_400),
            carried: BTreeMap::new(),
        }
    }
}

const fn ruling(
    name: &'static str,
    form: Form,
    hand: Hand,
    about: &'static str,
    get: fn(&Settings) -> String,
    set: fn(&mut Settings, &str) -> Result<(), String>,
) -> Setting {
    Setting { name, form, hand, about, kind: Kind::Ruling { get, set } }
}

const fn carried(
    name: &'static str,
    form: Form,
    default: &'static str,
    check: fn(&str) -> Result<String, String>,
    about: &'static str,
) -> Setting {
    Setting { name, form, hand: Hand::Tenant, about, kind: Kind::Carried { default, check } }
}

static TABLE: &[Setting] = {
    use Form::{Integer, Json, Text};
    use Hand::{Operator, Tenant};
    &[
        ruling(
            "country",
            Text,
            Tenant,
            "the country (ISO 3166-1 alpha-2) that national forms of numbers are read against",
            |s| s.country.code().to_owned(),
            |s, v| {
                s.country = Country::parse(v)
                    .ok_or("must be a country's ISO 3166-1 code of two letters, such as IN")?;
                Ok(())
            },
        ),
        ruling(
            "intl_num_sup",
            Text,
            Tenant,
            "whether numbers of other countries may be parties",
            |s| s.international.to_string(),
            |s, v| read_boolean(v).map(|b| s.international = b),
        ),
        ruling(
            "max_deallocation_time",
            Text,
            Tenant,
            "the lifetime of an allocation that asks for none, and the longest one; -1 is unlimited",
            |s| s.longest_allocation.map_or_else(|| "-1".to_owned(), write_length),
            |s, v| {
                s.longest_allocation = match v {
                    "-1" => None,
                    _ => Some(parse_length(v).map_err(|e| format!("{e}, or -1 for unlimited"))?),
                };
                match s.longest_allocation {
                    Some(length) if length > LONGEST => {
                        Err("must be at most 170d, or -1 for unlimited".to_owned())
                    }
                    Some(_) | None => Ok(()),
                }
            },
        ),
        ruling(
            "timezone",
            Text,
            Tenant,
            "the zone in which times are told and read: IST or UTC",
            |s| match s.time_zone {
                TimeZone::Ist => "IST".to_owned(),
                TimeZone::Utc => "UTC".to_owned(),
            },
            |s, v| {
                s.time_zone = match v.to_ascii_uppercase().as_str() {
                    "IST" => TimeZone::Ist,
                    "UTC" => TimeZone::Utc,
                    _ => return Err("must be IST or UTC".to_owned()),
                };
                Ok(())
            },
        ),
        ruling(
            "deletion_time",
            Integer,
            Tenant,
            "the seconds, 0 to 86400, for which the numbers and pins of an ended allocation stay in the vault",
            |s| s.cooling.as_secs().to_string(),
            |s, v| read_integer(v, 0, 86_400).map(|n| s.cooling = Duration::from_secs(u64::from(n))),
        ),
        carried("tag_enabled", Text, "false", boolean, "whether events carry the parties' tags"),
        ruling(
            "aparty_tag",
            Text,
            Tenant,
            "the tag of side A when a request gives none",
            |s| s.tags[0].clone(),
            |s, v| read_tag(v).map(|t| s.tags[0] = t),
        ),
        ruling(
            "bparty_tag",
            Text,
            Tenant,
            "the tag of side B when a request gives none",
            |s| s.tags[1].clone(),
            |s, v| read_tag(v).map(|t| s.tags[1] = t),
        ),
        carried("sms_config", Json, "{}", any, "kept and told; callveil sends no SMS"),
        carried(
            "sticky_agent_enabled",
            Text,
            "false",
            boolean,
            "whether the number that answered last rings first",
        ),
        carried("lcr_enabled", Text, "false", boolean, "kept and told; routes are chosen by trunks"),
        ruling(
            "default_region",
            Text,
            Tenant,
            "the region that is preferred when a request prefers none; empty for no preference",
            |s| s.default_region.as_ref().map(ToString::to_string).unwrap_or_default(),
            |s, v| {
                s.default_region = match v {
                    "" => None,
                    _ => {
                        let region = Region::parse(v).map_err(|e| format!("is not usable: {e}"))?;
                        if !s.regions.contains(&region) {
                            return Err(format!("must be one of {}", join(&s.regions)));
                        }
                        Some(region)
                    }
                };
                Ok(())
            },
        ),
        carried(
            "greencall_complete_event_endpoint",
            Text,
            "",
            endpoint,
            "where the event of each ended call goes",
        ),
        carried(
            "failed_verification_event_endpoint",
            Text,
            "",
            endpoint,
            "where the event of each failed pin entry goes",
        ),
        carried(
            "verified_caller_event_endpoint",
            Text,
            "",
            endpoint,
            "where the event of each caller who joined by pin goes",
        ),
        carried(
            "deallocation_callback_event_endpoint",
            Text,
            "",
            endpoint,
            "where the event of each expiry goes",
        ),
        ruling(
            "default_flow_id",
            Text,
            Tenant,
            "the flow of requests that name none; empty for any",
            |s| s.default_flow.as_ref().map(ToString::to_string).unwrap_or_default(),
            |s, v| {
                s.default_flow = match v {
                    "" => None,
                    _ => Some(FlowId::parse(v).map_err(|e| format!("is not usable: {e}"))?),
                };
                Ok(())
            },
        ),
        carried(
            "greenpin_call_complete_event_endpoint",
            Text,
            "",
            endpoint,
            "where the event of each ended GreenPin call goes",
        ),
        carried(
            "aparty_pin_length",
            Integer,
            "4",
            pin_length,
            "the digits of side A's GreenPin pins, 1 to 10",
        ),
        carried(
            "bparty_pin_length",
            Integer,
            "4",
            pin_length,
            "the digits of side B's GreenPin pins, 1 to 10",
        ),
        carried("aparty_pin_enabled", Text, "true", boolean, "whether side A of a GreenPin gets a pin"),
        carried("bparty_pin_enabled", Text, "false", boolean, "whether side B of a GreenPin gets a pin"),
        carried("common_pin_length", Integer, "4", pin_length, "the digits of a pin for both sides, 1 to 10"),
        carried(
            "common_pin_enabled",
            Text,
            "false",
            boolean,
            "whether both sides of a GreenPin share one pin",
        ),
        // Our own, beyond LeadAssist's.
        ruling(
            "number_choice",
            Text,
            Tenant,
            "how a virtual number is chosen: fresh (used longest ago by these parties), pack (first that is free), sticky (same pair, same number) or exclusive (one allocation a number)",
            |s| {
                match s.choice {
                    Choice::Fresh => "fresh",
                    Choice::Pack => "pack",
                    Choice::Sticky => "sticky",
                    Choice::Exclusive => "exclusive",
                }
                .to_owned()
            },
            |s, v| {
                s.choice = match v.to_ascii_lowercase().as_str() {
                    "fresh" => Choice::Fresh,
                    "pack" => Choice::Pack,
                    "sticky" => Choice::Sticky,
                    "exclusive" => Choice::Exclusive,
                    _ => return Err("must be fresh, pack, sticky or exclusive".to_owned()),
                };
                Ok(())
            },
        ),
        ruling(
            "max_live_pins_per_vn",
            Integer,
            Tenant,
            "the most live pins on one virtual number that several allocations share; 9 keeps guessing a six-digit pin under one in a thousand a day",
            |s| s.live_pins.to_string(),
            |s, v| read_integer(v, 1, 1_000_000).map(|n| s.live_pins = n),
        ),
        ruling(
            "strict_numbers",
            Text,
            Tenant,
            "whether a number that its numbering plan does not know is refused, rather than taken with a warning",
            |s| s.strict_numbers.to_string(),
            |s, v| read_boolean(v).map(|b| s.strict_numbers = b),
        ),
        ruling(
            "regions",
            Text,
            Operator,
            "the regions that requests may ask for, separated by commas",
            |s| join(&s.regions),
            |s, v| {
                let regions: Result<BTreeSet<Region>, _> = v.split(',').map(Region::parse).collect();
                let regions =
                    regions.map_err(|e| format!("must be region codes separated by commas: {e}"))?;
                if let Some(region) = s.default_region.as_ref().filter(|r| !regions.contains(r)) {
                    return Err(format!("must have {region} among them while it is the default_region"));
                }
                s.regions = regions;
                Ok(())
            },
        ),
        ruling(
            "requests_per_minute",
            Integer,
            Operator,
            "the API requests that are answered in a minute; 0 is no limit",
            |s| s.requests_per_minute.to_string(),
            |s, v| read_integer(v, 0, 10_000_000).map(|n| s.requests_per_minute = n),
        ),
        ruling(
            "ring_timeout",
            Integer,
            Tenant,
            "the seconds, 5 to 120, for which each telephone rings",
            |s| s.call.ring_timeout.as_secs().to_string(),
            |s, v| read_seconds(v, 5, 120).map(|t| s.call.ring_timeout = t),
        ),
        ruling(
            "max_ringing",
            Integer,
            Tenant,
            "the seconds, 5 to 600, for which all telephones of a call ring together",
            |s| s.call.max_ringing.as_secs().to_string(),
            |s, v| read_seconds(v, 5, 600).map(|t| s.call.max_ringing = t),
        ),
        ruling(
            "max_conversation",
            Integer,
            Tenant,
            "the seconds, 10 to 86400, after which a conversation is ended",
            |s| s.call.max_conversation.as_secs().to_string(),
            |s, v| read_seconds(v, 10, 86_400).map(|t| s.call.max_conversation = t),
        ),
        ruling(
            "ringing",
            Text,
            Tenant,
            "in which order several telephones ring: sequential or parallel (all at once)",
            |s| {
                match s.call.ringing {
                    Ringing::Sequential => "sequential",
                    Ringing::Parallel => "parallel",
                }
                .to_owned()
            },
            |s, v| {
                s.call.ringing = match v.to_ascii_lowercase().as_str() {
                    "sequential" => Ringing::Sequential,
                    "parallel" => Ringing::Parallel,
                    _ => return Err("must be sequential or parallel".to_owned()),
                };
                Ok(())
            },
        ),
        ruling(
            "early_media",
            Text,
            Tenant,
            "whether the caller hears the called network before the answer: its tones may tell where the called is",
            |s| s.call.early_media.to_string(),
            |s, v| read_boolean(v).map(|b| s.call.early_media = b),
        ),
        ruling(
            "announcements",
            Text,
            Tenant,
            "how a caller who is not connected is told: early (before the answer, free of charge), answered, or none",
            |s| {
                match s.call.announcements {
                    Announcements::Early => "early",
                    Announcements::Answered => "answered",
                    Announcements::None => "none",
                }
                .to_owned()
            },
            |s, v| {
                s.call.announcements = match v.to_ascii_lowercase().as_str() {
                    "early" => Announcements::Early,
                    "answered" => Announcements::Answered,
                    "none" => Announcements::None,
                    _ => return Err("must be early, answered or none".to_owned()),
                };
                Ok(())
            },
        ),
        ruling(
            "recording",
            Text,
            Tenant,
            "whether conversations are recorded: off, on, or told (both parties hear so first)",
            |s| {
                match s.call.recording {
                    Recording::Off => "off",
                    Recording::On => "on",
                    Recording::Told => "told",
                }
                .to_owned()
            },
            |s, v| {
                s.call.recording = match v.to_ascii_lowercase().as_str() {
                    "off" => Recording::Off,
                    "on" => Recording::On,
                    "told" => Recording::Told,
                    _ => return Err("must be off, on or told".to_owned()),
                };
                Ok(())
            },
        ),
        ruling(
            "language",
            Text,
            Tenant,
            "the language of announcements: en, hi, or another that the operator has recordings of",
            |s| s.language.clone(),
            |s, v| {
                if !(2..=3).contains(&v.len()) || !v.bytes().all(|b| b.is_ascii_lowercase()) {
                    return Err(
                        "must be an ISO 639 code of two or three small letters, such as en".to_owned()
                    );
                }
                s.language = v.to_owned();
                Ok(())
            },
        ),
        ruling(
            "call_prefixes",
            Text,
            Operator,
            "how numbers begin that may be rung, such as +91,+1202; empty for all that may be parties",
            |s| s.call_prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            |s, v| {
                let read = |prefix: &str| {
                    let prefix = prefix.trim();
                    Prefix::parse(prefix).ok_or_else(|| {
                        "must be beginnings of numbers, each a plus and digits, separated by commas"
                            .to_owned()
                    })
                };
                s.call_prefixes = match v {
                    "" => Vec::new(),
                    _ => v.split(',').map(read).collect::<Result<_, _>>()?,
                };
                Ok(())
            },
        ),
        ruling(
            "calls_at_once",
            Integer,
            Operator,
            "the calls at a time, on all nodes together; 0 is no limit",
            |s| s.caps.calls_at_once.to_string(),
            |s, v| read_integer(v, 0, 1_000_000).map(|n| s.caps.calls_at_once = n),
        ),
        ruling(
            "calls_per_hour",
            Integer,
            Operator,
            "the calls that begin in an hour, on all nodes together; 0 is no limit",
            |s| s.caps.calls_an_hour.to_string(),
            |s, v| read_integer(v, 0, 10_000_000).map(|n| s.caps.calls_an_hour = n),
        ),
        ruling(
            "calls_per_hour_to_one_number",
            Integer,
            Operator,
            "the calls that begin in an hour to one and the same number, on all nodes together; 0 is no limit",
            |s| s.caps.calls_an_hour_to_one_number.to_string(),
            |s, v| read_integer(v, 0, 1_000_000).map(|n| s.caps.calls_an_hour_to_one_number = n),
        ),
        ruling(
            "minutes_per_day",
            Integer,
            Operator,
            "the minutes of conversation in a day, on all nodes together; 0 is no limit",
            |s| s.caps.minutes_a_day.to_string(),
            |s, v| read_integer(v, 0, 10_000_000).map(|n| s.caps.minutes_a_day = n),
        ),
        ruling(
            "event_source",
            Text,
            Operator,
            "the source that LeadAssist's call event names",
            |s| s.event_source.clone(),
            |s, v| read_tag(v).map(|source| s.event_source = source),
        ),
        ruling(
            "event_insights",
            Text,
            Tenant,
            "whether LeadAssist's call event tells who hung up and how long it rang",
            |s| s.event_insights.to_string(),
            |s, v| read_boolean(v).map(|b| s.event_insights = b),
        ),
        ruling(
            "event_times",
            Text,
            Tenant,
            "how LeadAssist's events tell times: plain (2026-11-30 16:24:33) or iso (2026-11-30T16:24:33+05:30)",
            |s| match s.event_times {
                EventTimes::Plain => "plain".to_owned(),
                EventTimes::Iso => "iso".to_owned(),
            },
            |s, v| {
                s.event_times = match v.to_ascii_lowercase().as_str() {
                    "plain" => EventTimes::Plain,
                    "iso" => EventTimes::Iso,
                    _ => return Err("must be plain or iso".to_owned()),
                };
                Ok(())
            },
        ),
        ruling(
            "event_stream",
            Text,
            Tenant,
            "whether all events are kept to be read, rather than those alone that an endpoint wants",
            |s| s.event_stream.to_string(),
            |s, v| read_boolean(v).map(|b| s.event_stream = b),
        ),
        ruling(
            "calls_kept",
            Text,
            Operator,
            "how long the records of calls are kept",
            |s| write_length(s.calls_kept),
            |s, v| read_kept(v).map(|length| s.calls_kept = length),
        ),
        ruling(
            "events_kept",
            Text,
            Operator,
            "how long events and their deliveries are kept, 4d at least",
            |s| write_length(s.events_kept),
            |s, v| {
                let length = read_kept(v)?;
                // A delivery is tried for three days and a quarter.
                if length < Duration::from_secs(4 * 86_400) {
                    return Err("must be at least 4d".to_owned());
                }
                s.events_kept = length;
                Ok(())
            },
        ),
    ]
};

fn read_boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

fn read_integer(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let range = || format!("must be a whole number from {least} to {most}");
    let number: u32 = text.parse().map_err(|_| range())?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(range()) }
}

fn read_seconds(text: &str, least: u32, most: u32) -> Result<Duration, String> {
    read_integer(text, least, most).map(|seconds| Duration::from_secs(u64::from(seconds)))
}

fn read_kept(text: &str) -> Result<Duration, String> {
    let length = parse_length(text).map_err(|e| e.to_string())?;
    match length > Duration::from_secs(10 * 366 * 86_400) {
        true => Err("must be at most ten years".to_owned()),
        false => Ok(length),
    }
}

/// Reads the URL of an endpoint.
pub(crate) fn read_url(text: &str) -> Result<String, String> {
    endpoint(text.trim())
        .and_then(|url| if url.is_empty() { Err("must not be empty".to_owned()) } else { Ok(url) })
}

fn read_tag(text: &str) -> Result<String, String> {
    if text.chars().count() > 255 || text.chars().any(char::is_control) {
        return Err("must be at most 255 printable characters".to_owned());
    }
    Ok(text.to_owned())
}

fn any(text: &str) -> Result<String, String> {
    if text.len() > 16_384 { Err("must be at most 16384 bytes".to_owned()) } else { Ok(text.to_owned()) }
}

fn boolean(text: &str) -> Result<String, String> {
    read_boolean(text).map(|b| b.to_string())
}

fn pin_length(text: &str) -> Result<String, String> {
    read_integer(text, 1, 10).map(|n| n.to_string())
}

/// Only the outward form; whether the address may be reached is decided where it is connected to.
fn endpoint(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let wrong = || "must be an http or https URL of at most 2048 printable characters, or empty".to_owned();
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or_else(wrong)?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || text.len() > 2048 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

fn join(regions: &BTreeSet<Region>) -> String {
    regions.iter().map(Region::as_str).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_reads_the_text_it_writes() {
        let settings = Settings::default();
        for setting in Settings::table() {
            let mut copy = settings.clone();
            let text = settings.text(setting);
            copy.set(setting.name, &text).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(copy.text(setting), text, "{}", setting.name);
        }
    }

    #[test]
    fn values_out_of_form_are_refused_with_the_setting_named() {
        for (name, value) in [
            ("country", "India"),
            ("intl_num_sup", "yes"),
            ("max_deallocation_time", "171d"),
            ("max_deallocation_time", "-2"),
            ("timezone", "CET"),
            ("deletion_time", "86401"),
            ("deletion_time", "1.5"),
            ("default_region", "XX"),
            ("greencall_complete_event_endpoint", "ftp://example.com/"),
            ("greencall_complete_event_endpoint", "https:///path"),
            ("aparty_pin_length", "11"),
            ("number_choice", "random"),
            ("max_live_pins_per_vn", "0"),
            ("ring_timeout", "4"),
            ("ringing", "random"),
            ("announcements", "loud"),
            ("recording", "yes"),
            ("language", "English"),
            ("call_prefixes", "91"),
        ] {
            let refused = Settings::default().set(name, value).unwrap_err();
            assert!(refused.to_string().starts_with(name), "{refused}");
        }
        assert!(matches!(Settings::default().set("nonsense", ""), Err(SettingRefused::Unknown { .. })));
    }

    #[test]
    fn an_empty_text_clears_what_may_be_empty() {
        let mut settings = Settings::default();
        settings.set("default_region", "ka").unwrap();
        settings.set("verified_caller_event_endpoint", "https://example.com/hook").unwrap();

        settings.set("default_region", "").unwrap();
        settings.set("verified_caller_event_endpoint", "").unwrap();

        assert_eq!(settings, Settings { carried: settings.carried.clone(), ..Settings::default() });
        let endpoint = Settings::find("verified_caller_event_endpoint").unwrap();
        assert_eq!(settings.text(endpoint), "");
    }

    #[test]
    fn the_default_region_is_always_one_that_may_be_asked_for() {
        let mut settings = Settings::default();
        settings.set("default_region", "KA").unwrap();
        assert!(settings.set("regions", "DL,MH").is_err());
        settings.set("regions", "DL,KA,UW").unwrap();
        assert!(settings.set("default_region", "TN").is_err());
    }

    #[test]
    fn an_unlimited_lifetime_is_minus_one() {
        let mut settings = Settings::default();
        settings.set("max_deallocation_time", "-1").unwrap();
        assert_eq!(settings.longest_allocation, None);
        assert_eq!(settings.text(Settings::find("max_deallocation_time").unwrap()), "-1");
    }
}
