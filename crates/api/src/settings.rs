//! `GET` and `PUT /v1/tenants/{sid}/settings`: what a tenant has chosen.
//!
//! Which settings there are, and what each takes, is `callveil_domain::settings::Settings::table`; here is only how
//! their values stand in JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::Response;
use callveil_domain::admin::change_settings;
use callveil_domain::settings::{Form, Hand, Setting, Settings};
use callveil_domain::{Effect, Failure};
use serde::ser::{Error, SerializeMap};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::ApiState;
use crate::conditions::{Conditions, DryRun};
use crate::envelope::{self, Answer, Detail};
use crate::lenient::{self, Loose};
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
    let changes = read_changes(&body, &tenant.settings)?;
    let mut rng = api.node.rng();
    let ctx = api.node.ctx(&mut *rng, conditions.effect);
    let settings = match change_settings(&ctx, &tenant, Hand::Tenant, &changes).await {
        Ok(settings) => settings,
        Err(failure) => return Err(Problem::of(failure, Problem::of_settings)),
    };
    if conditions.effect == Effect::Keep {
        api.node
            .refresh()
            .await
            .map_err(Failure::<()>::Store)
            .map_err(|f| Problem::of(f, |()| Kind::Internal.into()))?;
    }
    let detail = Detail { dry_run: conditions.effect == Effect::Try, ..Detail::default() };
    Ok(envelope::ok(envelope::body(AllSettings(&settings), detail)))
}

/// The settings that are sent and not what they are already: whoever sends back all that was read may do so,
/// although some are the operator's.
fn read_changes(body: &[u8], present: &Settings) -> Result<Vec<(String, String)>, Problem> {
    let sent: BTreeMap<Cow<'_, str>, &RawValue> = lenient::read(body)?;
    let mut faults = Faults::default();
    let mut changes = Vec::new();
    for setting in Settings::table() {
        let Some(raw) = sent.get(setting.name) else { continue };
        match text_of(setting, raw) {
            Ok(Some(text)) if text == present.text(setting) => {}
            Ok(Some(_)) if setting.hand == Hand::Operator => {
                faults.push(Kind::OperatorsOnly, setting.name, "is the operator's to change");
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
