use callveil_domain::calls::RecordingName;
use callveil_domain::endpoint::EndpointId;
use callveil_domain::event::{EventKind, Fact};
use callveil_domain::tenant::Sid;
use callveil_domain::time::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::sample;

/// 30 November 2026, 10:54:33.123 UTC.
const NOW: Timestamp = Timestamp::from_micros(1_796_036_073_123_000);

fn event(kind: EventKind) -> Event {
    sample::event(kind, &Sid::parse("acme").unwrap(), NOW)
}

fn endpoint(dialect: Dialect, masked: bool) -> Endpoint {
    Endpoint {
        id: EndpointId::parse("ep_1").unwrap(),
        dialect,
        url: "https://example.com/hook".to_owned(),
        kinds: Vec::new(),
        masked,
        secrets: Vec::new(),
        created_at: NOW,
        disabled: None,
    }
}

fn leadassist(kind: EventKind, settings: &[(&str, &str)]) -> Option<String> {
    let mut set = Settings::default();
    for (name, value) in settings {
        set.set(name, value).unwrap();
    }
    let body = body(&event(kind), &endpoint(Dialect::LeadAssist, false), &set, &|_| None)?;
    Some(String::from_utf8(body.to_vec()).unwrap())
}

fn ours(kind: EventKind, masked: bool) -> Value {
    let body =
        body(&event(kind), &endpoint(Dialect::Standard, masked), &Settings::default(), &|_| None).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// Byte for byte: clients exist that were written against the samples.
#[test]
fn a_completed_call_in_leadassists_words() {
    insta::assert_snapshot!(leadassist(EventKind::CallCompleted, &[]).unwrap(), @r#"{"connection_id":"order-1001","call_sid":"00000000-0000-7000-8000-000000000002","greenvn":"+12025550198","greenvn_id":"00000000-0000-7000-8000-000000000001","from":"+12025550101","to":"+12025550102","call_type":"completed","start_time":"2026-11-30 16:24:00","current_time":"2026-11-30 16:24:33","dial_call_duration":"32","on_call_duration":27,"recording_url":"null","dial_call_status":"completed","direction":"incoming","source":"exotel"}"#);
}

#[test]
fn a_refused_call_in_leadassists_words() {
    insta::assert_snapshot!(leadassist(EventKind::CallRefused, &[]).unwrap(), @r#"{"connection_id":"order-1001","call_sid":"00000000-0000-7000-8000-000000000002","greenvn":"+12025550198","greenvn_id":"00000000-0000-7000-8000-000000000001","from":"+12025550102","to":"","call_type":"call-attempt","start_time":"2026-11-30 16:24:00","current_time":"2026-11-30 16:24:33","dial_call_duration":"0","on_call_duration":0,"recording_url":"null","dial_call_status":"null","direction":"incoming","source":"exotel"}"#);
}

#[test]
fn a_call_with_all_that_a_tenant_can_switch_on() {
    let all = [
        ("event_insights", "true"),
        ("event_source", "monotel"),
        ("event_times", "iso"),
        ("tag_enabled", "true"),
        ("timezone", "UTC"),
    ];
    insta::assert_snapshot!(leadassist(EventKind::CallCompleted, &all).unwrap(), @r#"{"connection_id":"order-1001","call_sid":"00000000-0000-7000-8000-000000000002","greenvn":"+12025550198","greenvn_id":"00000000-0000-7000-8000-000000000001","from":"+12025550101","to":"+12025550102","call_type":"completed","start_time":"2026-11-30T10:54:00+00:00","current_time":"2026-11-30T10:54:33+00:00","dial_call_duration":"32","on_call_duration":27,"recording_url":"null","dial_call_status":"completed","direction":"incoming","source":"monotel","insights":{"DisconnectedBy":"Caller","Status":"completed","DetailedStatus":"CALL_COMPLETED","RingingDuration":"4.58"},"aparty_tag":"aparty","bparty_tag":"bparty"}"#);
}

#[test]
fn a_recorded_call_leads_to_its_recording() {
    let mut event = event(EventKind::CallCompleted);
    let Fact::Call { call, .. } = &mut event.fact else { panic!("{event:?}") };
    let name = RecordingName::parse("00112233445566778899aabbccddeeff.wav").unwrap();
    call.recording = Some(name.clone());
    let led = |name: &RecordingName| Some(format!("https://calls.example.com/recordings/{name}"));
    let told = |dialect, at: &str| -> Value {
        let body = body(&event, &endpoint(dialect, false), &Settings::default(), &led).unwrap();
        serde_json::from_slice::<Value>(&body).unwrap().pointer(at).unwrap().clone()
    };
    let link = json!(led(&name));
    assert_eq!(told(Dialect::LeadAssist, "/recording_url"), link);
    assert_eq!(told(Dialect::Standard, "/data/recording_url"), link);
}

#[test]
fn an_expiry_in_leadassists_words() {
    insta::assert_snapshot!(leadassist(EventKind::AllocationExpired, &[]).unwrap(), @r#"{"connection_id":"order-1001","greenvn":"+12025550198","greenvn_id":"00000000-0000-7000-8000-000000000001","usage":"twoway","aparty_numbers":["+12025550101"],"bparty_numbers":["+12025550102"],"aparty_pins":[],"bparty_pins":[483920],"state":"vault"}"#);
}

#[test]
fn a_verified_caller_in_leadassists_words() {
    insta::assert_snapshot!(leadassist(EventKind::CallerVerified, &[]).unwrap(), @r#"{"connection_id":"order-1001","greenvn":"+12025550198","greenvn_id":"00000000-0000-7000-8000-000000000001","caller":"+12025550103","pin":"483920"}"#);
}

#[test]
fn a_failed_verification_in_leadassists_words() {
    insta::assert_snapshot!(leadassist(EventKind::CallerRejected, &[]).unwrap(), @r#"{"call_sid":"00000000-0000-7000-8000-000000000002","greenvn":"+12025550198","start_time":"2026-11-30 16:24:13","caller":"+12025550103","pin":"000000"}"#);
}

#[test]
fn leadassist_has_words_for_five_kinds_alone() {
    let told: Vec<&str> = EventKind::ALL
        .into_iter()
        .filter(|kind| leadassist(*kind, &[]).is_some())
        .map(EventKind::name)
        .collect();
    let five = ["allocation.expired", "call.completed", "call.refused", "caller.verified", "caller.rejected"];
    assert_eq!(told, five);
}

#[test]
fn an_allocation_in_our_envelope() {
    insta::assert_json_snapshot!(ours(EventKind::AllocationCreated, false), @r#"
    {
      "data": {
        "a": {
          "numbers": [
            "+12025550101"
          ],
          "pins": []
        },
        "b": {
          "numbers": [
            "+12025550102"
          ],
          "pins": [
            "483920"
          ]
        },
        "connection_id": "order-1001",
        "created_at": "2026-11-30T10:54:33.123Z",
        "ends_at": "2026-12-02T10:54:33.123Z",
        "greenvn": "+12025550198",
        "greenvn_id": "00000000-0000-7000-8000-000000000001",
        "state": "active",
        "usage": "twoway"
      },
      "id": "00000000-0000-7000-8000-0000000000e0",
      "sequence": 1,
      "tenant": "acme",
      "timestamp": "2026-11-30T10:54:33.123Z",
      "type": "allocation.created"
    }
    "#);
}

#[test]
fn an_allocation_with_another_number_in_our_envelope() {
    insta::assert_json_snapshot!(ours(EventKind::AllocationNumberChanged, false), @r#"
    {
      "data": {
        "a": {
          "numbers": [
            "+12025550101"
          ],
          "pins": []
        },
        "b": {
          "numbers": [
            "+12025550102"
          ],
          "pins": [
            "483920"
          ]
        },
        "connection_id": "order-1001",
        "created_at": "2026-11-29T10:54:33.123Z",
        "ends_at": "2026-12-02T10:54:33.123Z",
        "greenvn": "+12025550198",
        "greenvn_id": "00000000-0000-7000-8000-000000000001",
        "previous_greenvn": "+12025550199",
        "state": "active",
        "usage": "twoway"
      },
      "id": "00000000-0000-7000-8000-0000000000e2",
      "sequence": 2,
      "tenant": "acme",
      "timestamp": "2026-11-30T10:54:33.123Z",
      "type": "allocation.number_changed"
    }
    "#);
}

#[test]
fn a_completed_call_in_our_envelope() {
    insta::assert_json_snapshot!(ours(EventKind::CallCompleted, false), @r#"
    {
      "data": {
        "answered_at": "2026-11-30T10:54:06.123Z",
        "call_sid": "00000000-0000-7000-8000-000000000002",
        "connection_id": "order-1001",
        "end": "completed",
        "ended_at": "2026-11-30T10:54:33.123Z",
        "ended_by": "caller",
        "from": "+12025550101",
        "greenvn": "+12025550198",
        "greenvn_id": "00000000-0000-7000-8000-000000000001",
        "joined_by_pin": false,
        "legs": [
          {
            "answered_at": "2026-11-30T10:54:06.123Z",
            "dialled_at": "2026-11-30T10:54:01.123Z",
            "end": "completed",
            "ended_at": "2026-11-30T10:54:33.123Z",
            "number": "+12025550102",
            "rang_at": "2026-11-30T10:54:01.543Z"
          }
        ],
        "recording_url": null,
        "side": "a",
        "started_at": "2026-11-30T10:54:00.123Z",
        "talk_ms": 27000,
        "to": "+12025550102"
      },
      "id": "00000000-0000-7000-8000-0000000000e8",
      "sequence": 2,
      "tenant": "acme",
      "timestamp": "2026-11-30T10:54:33.123Z",
      "type": "call.completed"
    }
    "#);
}

#[test]
fn a_refused_call_in_our_envelope() {
    insta::assert_json_snapshot!(ours(EventKind::CallRefused, false), @r#"
    {
      "data": {
        "answered_at": null,
        "call_sid": "00000000-0000-7000-8000-000000000002",
        "connection_id": "order-1001",
        "end": "refused",
        "ended_at": "2026-11-30T10:54:33.123Z",
        "ended_by": "program",
        "from": "+12025550102",
        "greenvn": "+12025550198",
        "greenvn_id": "00000000-0000-7000-8000-000000000001",
        "joined_by_pin": false,
        "legs": [],
        "recording_url": null,
        "refused_because": "one-way",
        "side": "b",
        "started_at": "2026-11-30T10:54:00.123Z",
        "talk_ms": 0,
        "to": null
      },
      "id": "00000000-0000-7000-8000-0000000000e9",
      "sequence": 2,
      "tenant": "acme",
      "timestamp": "2026-11-30T10:54:33.123Z",
      "type": "call.refused"
    }
    "#);
}

#[test]
fn a_verified_caller_in_our_envelope() {
    insta::assert_json_snapshot!(ours(EventKind::CallerVerified, true)["data"], @r#"
    {
      "a": {
        "numbers": [
          "+1******01"
        ],
        "pins": []
      },
      "b": {
        "numbers": [
          "+1******02"
        ],
        "pins": [
          "***"
        ]
      },
      "call_sid": "00000000-0000-7000-8000-000000000002",
      "caller": "+1******03",
      "connection_id": "order-1001",
      "created_at": "2026-11-29T10:54:33.123Z",
      "ends_at": "2026-12-02T10:54:33.123Z",
      "greenvn": "+1******98",
      "greenvn_id": "00000000-0000-7000-8000-000000000001",
      "pin": "***",
      "side": "b",
      "state": "active",
      "usage": "twoway"
    }
    "#);
}

#[test]
fn a_rejected_caller_in_our_envelope() {
    insta::assert_json_snapshot!(ours(EventKind::CallerRejected, false)["data"], @r#"
    {
      "call_sid": "00000000-0000-7000-8000-000000000002",
      "caller": "+12025550103",
      "greenvn": "+12025550198",
      "keyed": "000000",
      "started_at": "2026-11-30T10:54:13.123Z"
    }
    "#);
}

#[test]
fn a_low_pool_in_our_envelope() {
    insta::assert_json_snapshot!(ours(EventKind::NumberLow, false), @r#"
    {
      "data": {
        "free": 3,
        "of": 200
      },
      "id": "00000000-0000-7000-8000-0000000000ec",
      "sequence": 1,
      "tenant": "acme",
      "timestamp": "2026-11-30T10:54:33.123Z",
      "type": "number.low"
    }
    "#);
}

#[test]
fn a_masked_event_has_no_number_and_no_pin() {
    for kind in EventKind::ALL {
        let told = ours(kind, true).to_string();
        assert!(!told.contains("202555"), "{kind}: {told}");
        assert!(!told.contains("483920") && !told.contains("000000\""), "{kind}: {told}");
    }
}

#[test]
fn the_documentation_shows_what_is_sent() {
    let page = include_str!("../../../../docs/webhooks.md");
    let blocks = page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let shown: Vec<Value> = blocks.map(|block| serde_json::from_str(block).unwrap()).collect();
    let four = [
        EventKind::CallCompleted,
        EventKind::AllocationExpired,
        EventKind::CallerVerified,
        EventKind::CallerRejected,
    ];
    let mut sent: Vec<Value> =
        four.map(|kind| serde_json::from_str(&leadassist(kind, &[]).unwrap()).unwrap()).to_vec();
    sent.push(ours(EventKind::CallCompleted, false));
    assert_eq!(shown, sent);
    for kind in EventKind::ALL {
        assert!(page.contains(&format!("| `{kind}` |")), "{kind} is not in the table");
    }
}
