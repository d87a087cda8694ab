//! `GET /v1/Accounts/{sid}/Calls/{call_sid}`: a call in the form that LeadAssist's vendor has for it, XML or, with
//! `.json` behind the id, JSON.

use std::fmt::{Display, Write};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, RawPathParams, State};
use axum::http::{Response, Uri};
use callveil_domain::call::CallId;
use callveil_domain::calls::{CallEnd, CallRecord, CallStanding, LegEnd};
use callveil_domain::number::PhoneNumber;
use callveil_domain::settings::TimeZone;
use callveil_domain::time::Timestamp;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::ApiState;
use crate::envelope;
use crate::problem::{Kind, Problem};
use crate::tenant::Tenant;
use crate::{recordings, times};

/// What the query may have. Other keys are passed over.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, non_snake_case, reason = "its fields are documentation, with the vendor's names")]
pub(crate) struct DocumentParams {
    /// `true` tells `Details` too.
    #[param(required = false)]
    details: bool,
    /// For how many minutes the recording's address is to be good.
    #[param(required = false, minimum = 5, maximum = 60)]
    RecordingUrlValidity: i64,
}

/// A call as LeadAssist's vendor tells it.
#[derive(Serialize, ToSchema)]
pub(crate) struct CallDocument {
    /// The call.
    #[serde(rename = "Call")]
    call: Fields,
}

/// What is told of a call. Times are `2026-11-30 16:24:33` in the tenant's zone, lengths are in seconds.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = CallDocumentFields)]
struct Fields {
    /// The call's id.
    sid: String,
    /// Always null.
    #[schema(required = true)]
    parent_call_sid: Option<String>,
    /// When it arrived.
    date_created: String,
    /// When it changed last, as far as that is known.
    date_updated: String,
    /// The tenant's SID.
    account_sid: String,
    /// The number that answered, or else the last one that was rung; empty when none was.
    to: String,
    /// The caller's number; empty when it was withheld or has been erased.
    from: String,
    /// The virtual number that was dialled.
    phone_number_sid: String,
    /// `queued`, `ringing`, `in-progress`, `completed`, `failed`, `busy`, `no-answer` or `canceled`.
    #[schema(value_type = String)]
    status: &'static str,
    /// When it arrived.
    start_time: String,
    /// When it ended; null while it lasts.
    #[schema(required = true)]
    end_time: Option<String>,
    /// How long it lasted; null while it does.
    #[schema(required = true)]
    duration: Option<u64>,
    /// Always null: nothing is billed.
    #[schema(required = true)]
    price: Option<String>,
    /// Always `inbound`.
    #[schema(value_type = String)]
    direction: &'static str,
    /// Always null.
    #[schema(required = true)]
    answered_by: Option<String>,
    /// Where its recording can be had, if there is one.
    #[schema(required = true)]
    recording_url: Option<String>,
    /// More of it, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    details: Option<Details>,
}

/// More of a call.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = CallDetails)]
struct Details {
    /// How long the parties talked.
    conversation_duration: u64,
    /// How the caller's leg ended, in the words of `Status`.
    #[schema(value_type = String)]
    leg1_status: &'static str,
    /// How the leg ended that answered, or else was rung last; null when none was rung.
    #[schema(value_type = Option<String>, required = true)]
    leg2_status: Option<&'static str>,
    /// The caller's leg, and those that were rung.
    legs: Vec<LegDocument>,
}

/// One leg of a call.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct LegDocument {
    /// The leg.
    leg: LegFields,
}

/// What is told of a leg.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = LegDocumentFields)]
struct LegFields {
    /// Its place, the caller's being 1.
    #[schema(value_type = i64, minimum = 1)]
    id: usize,
    /// How long it was connected.
    on_call_duration: u64,
}

/// Read a call as LeadAssist's vendor tells it
///
/// XML; JSON when `.json` stands behind the id. A refusal comes in the envelope of all other operations.
#[utoipa::path(
    get,
    path = "/v1/Accounts/{sid}/Calls/{call_sid}",
    operation_id = "readCallDocument",
    tag = "Calls",
    params(
        ("sid" = String, Path, description = "Your tenant's SID"),
        ("call_sid" = String, Path, description = "The call's id, with `.json` behind it for JSON"),
        DocumentParams,
    ),
    responses((
        status = 200,
        description = "The call",
        content((CallDocument = "application/json"), (String = "application/xml")),
    )),
)]
pub(crate) async fn document(
    State(api): State<ApiState>,
    tenant: Tenant,
    path: RawPathParams,
    uri: Uri,
) -> Result<Response<Body>, Problem> {
    let Wanted { id, json, details, validity } = Wanted::read(&path, &uri)?;
    let call = api.node.store().call(&tenant.sid, id).await?.ok_or(Kind::NoSuchCall)?;

    let recording = call.recording.as_ref().and_then(|name| recordings::link(&api, name, validity));
    let fields = Fields::of(&call, tenant.settings.time_zone, details);
    let document = CallDocument { call: Fields { recording_url: recording, ..fields } };
    Ok(if json {
        envelope::ok(envelope::write(&document))
    } else {
        envelope::respond_as("application/xml", envelope::OK, document.xml().into_bytes())
    })
}

struct Wanted {
    id: CallId,
    json: bool,
    details: bool,
    /// For how long the link to a recording is to be good.
    validity: Option<Duration>,
}

impl Wanted {
    fn read(path: &RawPathParams, uri: &Uri) -> Result<Wanted, Problem> {
        let name = path.iter().find(|(key, _)| *key == "call_sid").map_or("", |(_, value)| value);
        let (id, json) = name.strip_suffix(".json").map_or((name, false), |id| (id, true));
        let id = CallId::parse(id).ok_or(Kind::NoSuchCall)?;
        let Ok(Query(query)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
            return Err(Problem::new(Kind::Bad, "the query cannot be read"));
        };
        let get = |name| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let minutes = |text: &str| text.parse().ok().filter(|minutes: &u64| (5..=60).contains(minutes));
        let validity = match get("RecordingUrlValidity").map(minutes) {
            None => None,
            Some(Some(minutes)) => Some(Duration::from_secs(minutes * 60)),
            Some(None) => {
                let why = "must be a whole number from 5 to 60";
                return Err(Problem::at(Kind::Bad, "RecordingUrlValidity", why));
            }
        };
        let details = match get("details") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Problem::at(Kind::Bad, "details", "must be true or false")),
        };
        Ok(Wanted { id, json, details, validity })
    }
}

impl Fields {
    fn of(call: &CallRecord, zone: TimeZone, details: bool) -> Fields {
        let time = |moment| times::plain(moment, zone);
        let number = |number: Option<PhoneNumber>| number.map(|n| n.expose().to_string()).unwrap_or_default();
        let ended_at = call.ended_at();
        let rung =
            call.legs.iter().filter_map(|leg| leg.answered_at.or(leg.rang_at).or(Some(leg.dialled_at)));
        let changed = ended_at.or(call.answered_at).or(rung.max()).unwrap_or(call.started_at);
        Fields {
            sid: call.id.to_string(),
            parent_call_sid: None,
            date_created: time(call.started_at),
            date_updated: time(changed),
            account_sid: call.tenant.to_string(),
            to: number(call.called()),
            from: number(call.caller),
            phone_number_sid: number(Some(call.virtual_number)),
            status: status(call),
            start_time: time(call.started_at),
            end_time: ended_at.map(time),
            duration: ended_at.map(|_| call.duration().as_secs()),
            price: None,
            direction: "inbound",
            answered_by: None,
            recording_url: None,
            details: details.then(|| Details::of(call)),
        }
    }
}

/// The vendor's word for how far a call has come, or how it ended.
fn status(call: &CallRecord) -> &'static str {
    let CallStanding::Ended { how, at: _, by: _ } = &call.standing else {
        return match call.called_leg() {
            _ if call.answered_at.is_some() => "in-progress",
            Some(leg) if leg.rang_at.is_some() => "ringing",
            Some(_) | None => "queued",
        };
    };
    match how {
        CallEnd::Completed => "completed",
        CallEnd::GivenUp => "canceled",
        CallEnd::NotAnswered => match call.called_leg().and_then(|leg| leg.ended) {
            Some((_, LegEnd::Busy)) => "busy",
            Some((_, LegEnd::Failed(_))) => "failed",
            Some((_, LegEnd::Completed | LegEnd::NoAnswer | LegEnd::Cancelled)) | None => "no-answer",
        },
        CallEnd::Refused(_) | CallEnd::Interrupted => "failed",
    }
}

impl Details {
    fn of(call: &CallRecord) -> Details {
        let seconds = |from: Option<Timestamp>, to: Option<Timestamp>| {
            from.zip(to).map_or(0, |(from, to)| to.since(from).as_secs())
        };
        let callers = seconds(Some(call.started_at), call.ended_at());
        let rung = call.legs.iter().map(|leg| seconds(leg.answered_at, leg.ended.map(|(at, _)| at)));
        let leg = |(at, on_call_duration)| LegDocument { leg: LegFields { id: at + 1, on_call_duration } };
        Details {
            conversation_duration: call.talked().as_secs(),
            leg1_status: status(call),
            leg2_status: call.called_leg().map(|leg| match leg.ended {
                Some((_, end)) => end.word(),
                None if leg.answered_at.is_some() => "in-progress",
                None if leg.rang_at.is_some() => "ringing",
                None => "queued",
            }),
            legs: std::iter::once(callers).chain(rung).enumerate().map(leg).collect(),
        }
    }
}

impl CallDocument {
    fn xml(&self) -> String {
        let Fields {
            sid,
            parent_call_sid,
            date_created,
            date_updated,
            account_sid,
            to,
            from,
            phone_number_sid,
            status,
            start_time,
            end_time,
            duration,
            price,
            direction,
            answered_by,
            recording_url,
            details,
        } = &self.call;
        let mut xml = Xml("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned());
        xml.within("TwilioResponse", |xml| {
            xml.within("Call", |xml| {
                xml.put("Sid", sid);
                xml.put_any("ParentCallSid", parent_call_sid.as_ref());
                xml.put("DateCreated", date_created);
                xml.put("DateUpdated", date_updated);
                xml.put("AccountSid", account_sid);
                xml.put("To", to);
                xml.put("From", from);
                xml.put("PhoneNumberSid", phone_number_sid);
                xml.put("Status", status);
                xml.put("StartTime", start_time);
                xml.put_any("EndTime", end_time.as_ref());
                xml.put_any("Duration", duration.as_ref());
                xml.put_any("Price", price.as_ref());
                xml.put("Direction", direction);
                xml.put_any("AnsweredBy", answered_by.as_ref());
                xml.put_any("RecordingUrl", recording_url.as_ref());
                if let Some(details) = details {
                    details.put(xml);
                }
            });
        });
        xml.0
    }
}

impl Details {
    fn put(&self, xml: &mut Xml) {
        let Details { conversation_duration, leg1_status, leg2_status, legs } = self;
        xml.within("Details", |xml| {
            xml.put("ConversationDuration", conversation_duration);
            xml.put("Leg1Status", leg1_status);
            xml.put_any("Leg2Status", leg2_status.as_ref());
            xml.within("Legs", |xml| {
                for LegDocument { leg: LegFields { id, on_call_duration } } in legs {
                    xml.within("Leg", |xml| {
                        xml.put("Id", id);
                        xml.put("OnCallDuration", on_call_duration);
                    });
                }
            });
        });
    }
}

/// XML that grows.
struct Xml(String);

impl Xml {
    fn within(&mut self, name: &str, content: impl FnOnce(&mut Xml)) {
        self.write(format_args!("<{name}>"));
        content(self);
        self.write(format_args!("</{name}>"));
    }

    fn put(&mut self, name: &str, text: &impl Display) {
        let text = text.to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.write(format_args!("<{name}>{text}</{name}>"));
    }

    /// Null is an element without content.
    fn put_any<T: Display>(&mut self, name: &str, text: Option<&T>) {
        match text {
            Some(text) => self.put(name, text),
            None => self.write(format_args!("<{name}/>")),
        }
    }

    fn write(&mut self, text: impl Display) {
        write!(self.0, "{text}").expect("law: a string takes all that is written");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use axum::http::Request;
    use axum::http::header::AUTHORIZATION;
    use callveil_domain::calls::{CallEnd, CallLeg, Disconnector, LegEnd, RecordingName};
    use callveil_domain::number::PhoneNumber;
    use callveil_domain::recording::{Links, SECRET};
    use serde_json::{Value, json};

    use crate::world::{DEMO, Reply, World, basic};
    use crate::{ApiConfig, Recordings};

    async fn ask(world: &World, rest: &str) -> Reply {
        let uri = format!("/v1/Accounts/{DEMO}/Calls/{rest}");
        let request = Request::builder().uri(uri).header(AUTHORIZATION, basic(DEMO, "1"));
        world.ask(request.body(Body::empty()).unwrap()).await
    }

    #[tokio::test]
    async fn a_call_is_told_in_json() {
        let world = World::new().await;
        world.allocated().await;
        let call = world.completed_call("order-1").await;

        let reply = ask(&world, &format!("{}.json?details=true&RecordingUrlValidity=5", call.id)).await;

        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        let mut json = reply.json();
        json["Call"]["Sid"] = json!("[id]");
        insta::assert_json_snapshot!(json, @r#"
        {
          "Call": {
            "AccountSid": "demo",
            "AnsweredBy": null,
            "DateCreated": "2026-11-23 17:30:00",
            "DateUpdated": "2026-11-23 17:30:32",
            "Details": {
              "ConversationDuration": 27,
              "Leg1Status": "completed",
              "Leg2Status": "completed",
              "Legs": [
                {
                  "Leg": {
                    "Id": 1,
                    "OnCallDuration": 32
                  }
                },
                {
                  "Leg": {
                    "Id": 2,
                    "OnCallDuration": 27
                  }
                }
              ]
            },
            "Direction": "inbound",
            "Duration": 32,
            "EndTime": "2026-11-23 17:30:32",
            "From": "+919900000001",
            "ParentCallSid": null,
            "PhoneNumberSid": "+918000000004",
            "Price": null,
            "RecordingUrl": null,
            "Sid": "[id]",
            "StartTime": "2026-11-23 17:30:00",
            "Status": "completed",
            "To": "+919900000002"
          }
        }
        "#);
    }

    #[tokio::test]
    async fn a_call_is_told_in_xml() {
        let world = World::new().await;
        world.allocated().await;
        let call = world.completed_call("order-1").await;

        let reply = ask(&world, &format!("{}?details=true", call.id)).await;

        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/xml")));
        let text = reply.text.replace(&call.id.to_string(), "[id]");
        insta::assert_snapshot!(text, @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <TwilioResponse><Call><Sid>[id]</Sid><ParentCallSid/><DateCreated>2026-11-23 17:30:00</DateCreated><DateUpdated>2026-11-23 17:30:32</DateUpdated><AccountSid>demo</AccountSid><To>+919900000002</To><From>+919900000001</From><PhoneNumberSid>+918000000004</PhoneNumberSid><Status>completed</Status><StartTime>2026-11-23 17:30:00</StartTime><EndTime>2026-11-23 17:30:32</EndTime><Duration>32</Duration><Price/><Direction>inbound</Direction><AnsweredBy/><RecordingUrl/><Details><ConversationDuration>27</ConversationDuration><Leg1Status>completed</Leg1Status><Leg2Status>completed</Leg2Status><Legs><Leg><Id>1</Id><OnCallDuration>32</OnCallDuration></Leg><Leg><Id>2</Id><OnCallDuration>27</OnCallDuration></Leg></Legs></Details></Call></TwilioResponse>
        "#);
        let plain = ask(&world, &call.id.to_string()).await;
        assert!(!plain.text.contains("Details"));
    }

    #[tokio::test]
    async fn the_link_to_a_recording_is_good_for_as_long_as_was_asked_for() {
        let links = Links::new("https://calls.example".to_owned(), [7; SECRET], Duration::from_secs(7200));
        let directory = std::path::PathBuf::from("recordings");
        let recordings = Some(Recordings { directory, links: links.clone() });
        let world = World::with(ApiConfig { recordings, ..ApiConfig::default() }).await;
        world.set("event_stream", "true").await;
        world.allocated().await;
        let name = RecordingName::parse("00112233445566778899aabbccddeeff.wav").unwrap();
        let mut call = world.call(Some(919_900_000_001), Some("order-1")).await;
        call.recording = Some(name.clone());
        call.end(world.node.now(), CallEnd::Completed, Disconnector::Caller);
        world.keep(&mut call).await;

        let now = world.node.now();
        let usual = json!(links.link(&name, now));
        assert_eq!(world.get(&format!("/calls/{}", call.id)).await.data()["recording_url"], usual);
        let event = world.get("/events?type=call.completed").await.data()[0].clone();
        assert_eq!(event["data"]["recording_url"], usual);
        let told = async |query| {
            ask(&world, &format!("{}.json{query}", call.id)).await.json()["Call"]["RecordingUrl"].clone()
        };
        assert_eq!(told("").await, usual);
        let for_five_minutes = links.link_until(&name, now.plus(Duration::from_secs(300)));
        assert_eq!(told("?RecordingUrlValidity=5").await, json!(for_five_minutes));
        let xml = ask(&world, &call.id.to_string()).await.text;
        assert!(xml.contains("&amp;signature="), "{xml}");
    }

    #[tokio::test]
    async fn every_end_has_the_vendors_word() {
        let world = World::new().await;
        world.allocated().await;
        let status = async |how: Option<CallEnd>, leg: Option<(LegEnd, bool)>| {
            let mut call = world.call(Some(919_900_000_001), Some("order-1")).await;
            let now = world.node.now();
            if let Some((end, rang)) = leg {
                let mut leg = CallLeg::dialled(PhoneNumber::from_digits(919_900_000_002).unwrap(), now);
                leg.rang_at = rang.then_some(now);
                leg.ended = how.as_ref().map(|_| (now, end));
                call.legs.push(leg);
            }
            if let Some(how) = how {
                call.end(now, how, Disconnector::Callee);
            }
            world.keep(&mut call).await;
            ask(&world, &format!("{}.json", call.id)).await.json()["Call"]["Status"].clone()
        };
        let refused = || CallEnd::Refused(callveil_domain::routing::RefuseReason::WrongPin.into());

        assert_eq!(status(None, None).await, json!("queued"));
        assert_eq!(status(None, Some((LegEnd::NoAnswer, false))).await, json!("queued"));
        assert_eq!(status(None, Some((LegEnd::NoAnswer, true))).await, json!("ringing"));
        assert_eq!(status(Some(CallEnd::GivenUp), Some((LegEnd::Cancelled, true))).await, json!("canceled"));
        assert_eq!(status(Some(CallEnd::NotAnswered), Some((LegEnd::Busy, false))).await, json!("busy"));
        let no_answer = Some((LegEnd::NoAnswer, true));
        assert_eq!(status(Some(CallEnd::NotAnswered), no_answer).await, json!("no-answer"));
        let failed = Some((LegEnd::Failed(404), false));
        assert_eq!(status(Some(CallEnd::NotAnswered), failed).await, json!("failed"));
        assert_eq!(status(Some(refused()), None).await, json!("failed"));
        assert_eq!(status(Some(CallEnd::Interrupted), None).await, json!("failed"));
    }

    #[tokio::test]
    async fn what_is_not_there_or_not_well_asked_is_refused() {
        let world = World::new().await;
        world.allocated().await;
        let call = world.completed_call("order-1").await;

        for id in ["1", "1.json", "019ab1c2-0000-7000-8000-000000000000.json", ".json"] {
            ask(&world, id).await.refused(404, 1);
        }
        ask(&world, &format!("{}.json.json", call.id)).await.refused(404, 1);
        for query in ["details=perhaps", "RecordingUrlValidity=4", "RecordingUrlValidity=x"] {
            ask(&world, &format!("{}?{query}", call.id)).await.refused(400, 5);
        }
        let other = ask(&world, &format!("{}?unknown=1", call.id)).await;
        assert_eq!((other.status, other.text.contains(&call.id.to_string())), (200, true));
        let _: Value = ask(&world, &format!("{}.json", call.id)).await.json();
    }
}
