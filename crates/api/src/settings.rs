//! `GET` and `PUT /v1/tenants/{sid}/settings`: what a tenant has chosen.
//!
//! Which settings there are, and what each takes, is `callveil_domain::settings::Settings::table`; here is only how
//! their values stand in JSON.

use std::borrow::Cow;

use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::Response;
use callveil_domain::Effect;
use callveil_domain::admin::change_settings;
use callveil_domain::settings::{Form, Hand, Setting, Settings};
use serde::ser::{Error, SerializeMap};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::ApiState;
use crate::conditions::{Conditions, DryRun};
use crate::envelope::{self, Answer, Detail};
use crate::lenient::{self, Loose, Pairs};
use crate::limits::Body;
use crate::problem::{Faults, Kind, Problem};
use crate::tenant::Tenant;

/// All settings of a tenant, each in the form that the wire has for it.
pub(crate) struct AllSettings<'a>(&'a Settings);

/// Read the settings
///
/// Tells all settings of the tenant. Booleans are the strings `"true"` and `"false"`.
#[utoipa::path(
    get,
    path = "/v1/tenants/{sid}/settings",
    operation_id = "readSettings",
    tag = "Settings",
    params(("sid" = String, Path, description = "Your tenant's SID")),
    responses((status = 200, description = "The settings", body = Answer<AllSettings>)),
)]
pub(crate) async fn read(tenant: Tenant) -> Result<Response<ResponseBody>, Problem> {
    Ok(envelope::ok(envelope::body(AllSettings(&tenant.settings), Detail::default())))
}

/// Change settings
///
/// Changes the settings that are sent, all or none of them, and tells all. A setting that is left out stays as it
/// is. JSON booleans are taken too, and integers as strings; unknown keys are passed over.
#[utoipa::path(
    put,
    path = "/v1/tenants/{sid}/settings",
    operation_id = "changeSettings",
    tag = "Settings",
    params(("sid" = String, Path, description = "Your tenant's SID"), DryRun),
    request_body(content = AllSettings, description = "The settings to change"),
    responses((status = 200, description = "The settings as they are then", body = Answer<AllSettings>)),
)]
pub(crate) async fn change(
    State(api): State<ApiState>,
    tenant: Tenant,
    conditions: Conditions,
    Body(body): Body,
) -> Result<Response<ResponseBody>, Problem> {
    let changes = read_changes(&body, &tenant.settings, api.config.records)?;
    let mut rng = api.node.rng();
    let ctx = tenant.ctx(&api.node, &mut *rng, conditions.effect);
    let settings = match change_settings(&ctx, &tenant, Hand::Tenant, &changes).await {
        Ok(settings) => settings,
        Err(failure) => return Err(Problem::of(failure, Problem::of_settings)),
    };
    if conditions.effect == Effect::Keep {
        api.node.refresh().await?;
    }
    let detail = Detail { dry_run: conditions.effect == Effect::Try, ..Detail::default() };
    Ok(envelope::ok(envelope::body(AllSettings(&settings), detail)))
}

/// The settings that are sent and not what they are already: whoever sends back all that was read may do so,
/// although some are the operator's.
fn read_changes(body: &[u8], present: &Settings, records: bool) -> Result<Vec<(String, String)>, Problem> {
    let Pairs(sent) = lenient::read(body)?;
    let mut faults = Faults::default();
    let mut changes = Vec::new();
    for setting in Settings::table() {
        let Some(raw) = sent.get(setting.name) else { continue };
        match text_of(setting, raw) {
            Ok(Some(text)) if text == present.text(setting) => {}
            Ok(Some(_)) if setting.hand == Hand::Operator => {
                faults.push(Kind::OperatorsOnly, setting.name, "is the operator's to change");
            }
            Ok(Some(text))
                if setting.name == "recording" && !records && !text.eq_ignore_ascii_case("off") =>
            {
                faults.push(Kind::Bad, setting.name, "must be off: nothing is recorded on this server");
            }
            Ok(Some(text)) => changes.push((setting.name.to_owned(), text)),
            Ok(None) => {}
            Err(why) => faults.push(Kind::Bad, setting.name, why),
        }
    }
    if faults.is_empty() { Ok(changes) } else { Err(faults.into_problem()) }
}

/// A value as the text that the table reads; `None` for null, which changes nothing.
fn text_of(setting: &Setting, raw: &RawValue) -> Result<Option<String>, &'static str> {
    let form = match setting.form {
        Form::Text => "must be a string",
        Form::Integer => "must be an integer",
        Form::Json if raw.get() == "null" => return Ok(None),
        Form::Json => return Ok(Some(raw.get().to_owned())),
    };
    match serde_json::from_str(raw.get()) {
        Ok(Loose::Text(text)) => Ok(Some(text.into_owned())),
        Ok(Loose::Bool(value)) => Ok(Some(value.to_string())),
        // The text of an integer is as it was sent, so that -1 stays itself.
        Ok(Loose::Whole(_) | Loose::OtherNumber) => Ok(Some(raw.get().to_owned())),
        Ok(Loose::Null) => Ok(None),
        Ok(Loose::List(_) | Loose::Object) | Err(_) => Err(form),
    }
}

impl Serialize for AllSettings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let table = Settings::table();
        let mut map = serializer.serialize_map(Some(table.len()))?;
        for setting in table {
            let text = self.0.text(setting);
            match setting.form {
                Form::Text => map.serialize_entry(setting.name, &text)?,
                Form::Integer => {
                    let number: i64 = text.parse().map_err(S::Error::custom)?;
                    map.serialize_entry(setting.name, &number)?;
                }
                // The operator's command line takes any text.
                Form::Json => match RawValue::from_string(text.clone()) {
                    Ok(json) => map.serialize_entry(setting.name, &json)?,
                    Err(_) => map.serialize_entry(setting.name, &text)?,
                },
            }
        }
        map.end()
    }
}

impl ToSchema for AllSettings<'_> {
    fn name() -> Cow<'static, str> {
        "Settings".into()
    }
}

impl PartialSchema for AllSettings<'_> {
    fn schema() -> RefOr<Schema> {
        let add = |object: ObjectBuilder, setting: &Setting| {
            let schema = match setting.form {
                Form::Text => ObjectBuilder::new().schema_type(Type::String),
                Form::Integer => ObjectBuilder::new().schema_type(Type::Integer),
                Form::Json => ObjectBuilder::new().schema_type(SchemaType::AnyValue),
            };
            let mut about = setting.about.to_owned();
            if setting.hand == Hand::Operator {
                about.push_str(" (the operator's to change)");
            }
            object.property(setting.name, schema.description(Some(about)))
        };
        let object = ObjectBuilder::new().schema_type(Type::Object);
        let object = object.description(Some("What a tenant has chosen; booleans are strings."));
        Settings::table().iter().fold(object, add).into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::ApiConfig;
    use crate::world::{World, order};

    #[tokio::test]
    async fn all_settings_are_told_in_their_forms() {
        let world = World::new().await;
        let reply = world.get("/settings").await;
        reply.granted();
        insta::assert_json_snapshot!(reply.data(), @r#"
        {
          "announcements": "early",
          "aparty_pin_enabled": "true",
          "aparty_pin_length": 4,
          "aparty_tag": "aparty",
          "bparty_pin_enabled": "false",
          "bparty_pin_length": 4,
          "bparty_tag": "bparty",
          "call_prefixes": "",
          "calls_at_once": 0,
          "calls_kept": "365d",
          "calls_per_hour": 0,
          "calls_per_hour_to_one_number": 0,
          "common_pin_enabled": "false",
          "common_pin_length": 4,
          "country": "IN",
          "deallocation_callback_event_endpoint": "",
          "default_flow_id": "",
          "default_region": "",
          "deletion_time": 0,
          "early_media": "false",
          "event_insights": "false",
          "event_source": "exotel",
          "event_stream": "false",
          "event_times": "plain",
          "events_kept": "30d",
          "failed_verification_event_endpoint": "",
          "greencall_complete_event_endpoint": "",
          "greenpin_call_complete_event_endpoint": "",
          "intl_num_sup": "false",
          "language": "en",
          "lcr_enabled": "false",
          "max_conversation": 14400,
          "max_deallocation_time": "170d",
          "max_live_pins_per_vn": 9,
          "max_ringing": 120,
          "minutes_per_day": 0,
          "number_choice": "fresh",
          "recording": "off",
          "regions": "AP,DL,GJ,KA,KL,MH,MP,MU,RJ,TN,WB",
          "requests_per_minute": 0,
          "ring_timeout": 30,
          "ringing": "sequential",
          "sms_config": {},
          "sticky_agent_enabled": "false",
          "strict_numbers": "false",
          "tag_enabled": "false",
          "timezone": "IST",
          "verified_caller_event_endpoint": ""
        }
        "#);
    }

    #[tokio::test]
    async fn settings_that_are_sent_change_and_take_effect_at_once() {
        let world = World::new().await;
        let reply = world
            .put(
                "/settings",
                json!({
                    "intl_num_sup": true,
                    "deletion_time": "60",
                    "default_region": "DL",
                    "max_deallocation_time": -1,
                    "sms_config": {"sender": ["a", {"b": null}]},
                    "aparty_tag": null,
                    "unknown": 1,
                }),
            )
            .await;

        let data = reply.granted().data();
        assert_eq!(data["intl_num_sup"], json!("true"));
        assert_eq!(data["deletion_time"], json!(60));
        assert_eq!(data["max_deallocation_time"], json!("-1"));
        assert_eq!(data["sms_config"], json!({"sender": ["a", {"b": null}]}));
        assert_eq!(data["aparty_tag"], json!("aparty"));
        assert_eq!(world.get("/settings").await.data(), data);

        let mut abroad = order("order-1");
        abroad["bparty_numbers"] = json!(["+12025550102"]);
        assert_eq!(world.post(abroad).await.granted().data()["bparty_numbers"], json!(["+12025550102"]));
    }

    #[tokio::test]
    async fn recording_is_refused_where_nothing_can_be_recorded() {
        let world = World::with(ApiConfig { records: false, ..ApiConfig::default() }).await;
        let reply = world.put("/settings", json!({"recording": "told"})).await;
        assert_eq!(reply.refused(400, 5).json()["detail"]["fields"][0]["path"], json!("recording"));
        world.put("/settings", json!({"recording": "off"})).await.granted();
    }

    #[tokio::test]
    async fn what_was_read_may_be_sent_back() {
        let world = World::new().await;
        let before = world.get("/settings").await.data();
        assert_eq!(world.put("/settings", before.clone()).await.granted().data(), before);
    }

    #[tokio::test]
    async fn a_wrong_value_is_named_and_nothing_changes() {
        let world = World::new().await;
        let before = world.everything().await;
        let check = async |body: Value, status, code, path: &str| {
            let reply = world.put("/settings", body).await;
            assert_eq!(reply.refused(status, code).json()["detail"]["fields"][0]["path"], json!(path));
            assert_eq!(world.everything().await, before);
        };
        check(json!({"deletion_time": 86_401, "timezone": "UTC"}), 400, 5, "deletion_time").await;
        check(json!({"deletion_time": 1.5}), 400, 5, "deletion_time").await;
        check(json!({"deletion_time": "soon"}), 400, 5, "deletion_time").await;
        check(json!({"intl_num_sup": "yes"}), 400, 5, "intl_num_sup").await;
        check(json!({"intl_num_sup": []}), 400, 5, "intl_num_sup").await;
        check(json!({"timezone": "CET"}), 400, 5, "timezone").await;
        check(json!({"max_deallocation_time": "171d"}), 400, 5, "max_deallocation_time").await;
        check(json!({"default_region": "XX"}), 400, 5, "default_region").await;
        check(json!({"requests_per_minute": 1}), 403, 8, "requests_per_minute").await;
        check(json!({"regions": "KA"}), 403, 8, "regions").await;
        world.send("PUT", "/settings", "[]").await.refused(400, 5);
        world.send("PUT", "/settings", r#"{"timezone":"UTC","timezone":"IST"}"#).await.refused(400, 5);
        let tried = world.send("PUT", "/settings?dry_run=true", r#"{"timezone":"UTC"}"#).await;
        assert_eq!(tried.granted().data()["timezone"], json!("UTC"));
        assert_eq!(world.everything().await, before);
    }
}
