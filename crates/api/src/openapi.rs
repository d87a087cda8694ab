//! The description of the API: OpenAPI 3.1, made from the operations themselves, and a copy in 3.0 for generators
//! that know no other.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use serde_json::{Map, Value, json};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    Required, Response, ResponseBuilder, Server, Type,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::ApiState;
use crate::envelope::Refusal;
use crate::problem::Kind;
use crate::{calls, deliveries, endpoints, events, greenvn, settings};

/// All operations, each with its description.
pub(crate) fn operations() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(base())
        .routes(routes!(greenvn::create::create, greenvn::list::list))
        .routes(routes!(greenvn::read::read, greenvn::release::release))
        .routes(routes!(greenvn::update_parties::update_parties))
        .routes(routes!(greenvn::change_number::change_number))
        .routes(routes!(settings::read, settings::change))
        .routes(routes!(calls::list::list))
        .routes(routes!(calls::read::read))
        .routes(routes!(calls::document::document))
        .routes(routes!(events::list::list))
        .routes(routes!(events::read::read))
        .routes(routes!(events::replay::replay))
        .routes(routes!(deliveries::list))
        .routes(routes!(endpoints::list::list, endpoints::create::create))
        .routes(routes!(endpoints::read::read, endpoints::change::change, endpoints::remove::remove))
        .routes(routes!(endpoints::rotate::rotate))
}

/// The description in OpenAPI 3.1.
pub fn document() -> OpenApi {
    let mut document = operations().into_openapi();
    describe_refusals(&mut document);
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations_of(item) {
            complete(path, method, operation);
        }
    }
    document
}

fn base() -> OpenApi {
    let about = "Lends virtual telephone numbers to pairs of parties, so that they can call each other without \
                 seeing each other's number. Speaks LeadAssist's GreenVN API; what it adds stands in `detail`, in \
                 headers, and in operations of its own on calls, events and endpoints.\n\nEvery answer is an envelope of `success`, `status`, `code`, `message` and `data`. \
                 `code` tells why a request was refused, and is stable; `message` is for people, and is not.\n\n\
                 Authentication is HTTP Basic, with an API key's id or the tenant's SID as the user and the key's \
                 token as the password.";
    let info = InfoBuilder::new()
        .title("callveil")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(about))
        .license(Some(
            LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build(),
        ))
        .build();
    let mut document = OpenApiBuilder::new()
        .info(info)
        .servers(Some([Server::new("/")]))
        .security(Some([SecurityRequirement::new::<_, [&str; 0], &str>(BASIC, [])]))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BASIC, SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)));
    document
}

const BASIC: &str = "basic";

fn describe_refusals(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    let mut schemas = vec![(Refusal::name().into_owned(), Refusal::schema())];
    Refusal::schemas(&mut schemas);
    components.schemas.extend(schemas);
}

fn operations_of(item: &mut PathItem) -> Vec<(Method, &mut Operation)> {
    let PathItem { get, put, post, delete, .. } = item;
    let all = [(Method::GET, get), (Method::PUT, put), (Method::POST, post), (Method::DELETE, delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?))).collect()
}

/// Adds what all operations of a kind have in common: headers, and the refusals that they may meet.
fn complete(path: &str, method: Method, operation: &mut Operation) {
    let writes = method != Method::GET;
    let one_allocation = path.contains("{greenvn_id}");
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(header(
        "X-Request-Id",
        64,
        "Your id of this request, 1 to 64 letters, digits and `-_.:/+=`; one is made when it is left out. The \
         answer has it too.",
    ));
    if writes && path.contains("greenvn") {
        parameters.push(header(
            "Idempotency-Key",
            255,
            "Your name for this request, 1 to 255 printable ASCII characters. A repeat with the same key and body is \
             answered as the first was, with the header `Idempotent-Replayed: true`.",
        ));
    }
    if writes && one_allocation {
        parameters.push(header(
            "If-Match",
            64,
            "The `ETag` of an earlier answer: the request is refused with 412 if the allocation has changed since.",
        ));
    }
    for (status, kinds) in by_status(&refusals(path, &method)) {
        operation.responses.responses.insert(status, refusal(&kinds).into());
    }
    if path.contains("greenvn") && (one_allocation || writes) {
        let version = ObjectBuilder::new().schema_type(Type::String).build();
        let etag = HeaderBuilder::new()
            .schema(Some(version))
            .description(Some("The version of the allocation"))
            .build();
        if let Some(RefOr::T(granted)) = operation.responses.responses.get_mut("200") {
            granted.headers.insert("ETag".to_owned(), etag.into());
        }
    }
}

fn header(name: &str, most: usize, about: &str) -> RefOr<Parameter> {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(
            ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(most)),
        ))
        .build()
        .into()
}

/// The refusals that an operation may meet.
fn refusals(path: &str, method: &Method) -> Vec<Kind> {
    use Kind::*;
    let always =
        [Bad, NotAuthenticated, OtherTenant, TooMany, Internal, Shed, Busy, StoreUnavailable, TimedOut];
    let of_body: &[Kind] = &[Unreadable, TooLarge];
    let of_parties: &[Kind] = &[Missing, InvalidNumber, OnBothSides, Taken, OtherBody];
    let of_change: &[Kind] = &[NotFound, Ended, OtherVersion, OtherBody];
    let of_place: &[Kind] = &[InvalidNumber, UnknownRegion, NoVirtualNumber];
    let own: [&[Kind]; 3] = match (path.rsplit('/').next(), method.as_str()) {
        (Some("greenvn"), "POST") => {
            [of_body, of_parties, &[UnknownRegion, NoVirtualNumber, UnknownFlow, ConnectionInUse]]
        }
        (Some("greenvn"), _) => [&[UnknownFilter, Missing, BadDates, InvalidNumber], &[], &[]],
        (Some("call-party"), _) => [of_body, of_parties, of_change],
        (Some("vn"), _) => [of_body, of_place, of_change],
        (Some("settings"), "PUT") => [of_body, &[OperatorsOnly], &[]],
        (Some("{greenvn_id}"), "DELETE") => [of_change, &[TooLarge], &[]],
        (Some("{greenvn_id}"), _) => [&[NotFound], &[], &[]],
        (Some("calls"), _) => [&[UnknownFilter, BadDates, InvalidNumber], &[], &[]],
        (Some("events" | "deliveries"), _) => [&[UnknownFilter, BadDates], &[], &[]],
        (Some("{call_sid}"), _) => [&[NoSuchCall], &[], &[]],
        (Some("{event_id}"), _) => [&[NoSuchEvent], &[], &[]],
        (Some("replay"), _) => [of_body, &[NoSuchEvent, NobodyWants], &[]],
        (Some("endpoints"), "POST") => [of_body, &[Missing, TooManyEndpoints], &[]],
        (Some("{endpoint_id}"), "PUT") => [of_body, &[NoSuchEndpoint, EndpointOfSetting], &[]],
        (Some("{endpoint_id}"), "DELETE") => [&[NoSuchEndpoint, EndpointOfSetting], &[], &[]],
        (Some("{endpoint_id}" | "rotate-secret"), _) => [&[NoSuchEndpoint], &[], &[]],
        (_, _) => [&[], &[], &[]],
    };
    always.into_iter().chain(own.into_iter().flatten().copied()).collect()
}

fn by_status(kinds: &[Kind]) -> BTreeMap<String, BTreeSet<Kind>> {
    let mut by_status: BTreeMap<String, BTreeSet<Kind>> = BTreeMap::new();
    for kind in kinds {
        by_status.entry(kind.status().to_string()).or_default().insert(*kind);
    }
    by_status
}

fn refusal(kinds: &BTreeSet<Kind>) -> Response {
    let sentences: Vec<String> =
        kinds.iter().map(|kind| format!("code {}: {}", kind.code(), kind.sentence())).collect();
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Refusal::name()))).build();
    ResponseBuilder::new().description(sentences.join("; ")).content("application/json", content).build()
}

/// The same description in OpenAPI 3.0, by rewriting what 3.0 writes otherwise.
pub fn document_3_0() -> Value {
    let mut document = serde_json::to_value(document()).expect("law: a description is plain data");
    document["openapi"] = json!("3.0.3");
    if let Some(license) = document.pointer_mut("/info/license").and_then(Value::as_object_mut) {
        license.remove("identifier");
    }
    downgrade(&mut document);
    document
}

fn downgrade(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(downgrade),
        Value::Object(object) => {
            object.values_mut().for_each(downgrade);
            make_nullable(object);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// 3.1 says "or null" as one more type; 3.0 has a word for it.
fn make_nullable(schema: &mut Map<String, Value>) {
    let null = json!("null");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|of| *of != null);
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
            schema.insert("nullable".to_owned(), json!(true));
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("oneOf") {
        choices.retain(|choice| choice.get("type") != Some(&null));
        if choices.len() == 1 {
            let choices = schema.remove("oneOf").unwrap_or_default();
            schema.insert("allOf".to_owned(), choices);
            schema.insert("nullable".to_owned(), json!(true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_descriptions_are_those_of_the_code() {
        check("openapi.json", &serde_json::to_value(document()).unwrap());
        check("openapi-3.0.json", &document_3_0());

        fn check(file: &str, description: &Value) {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let fresh = serde_json::to_string_pretty(description).unwrap() + "\n";
            if std::env::var_os("UPDATE_OPENAPI").is_some() {
                std::fs::write(&path, fresh).unwrap();
                return;
            }
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == fresh,
                "{file} is not what the code says; write it anew with \
                 UPDATE_OPENAPI=1 cargo test -p callveil-api committed_descriptions"
            );
        }
    }

    #[test]
    fn every_response_is_described_and_every_reference_leads_somewhere() {
        for description in [serde_json::to_value(document()).unwrap(), document_3_0()] {
            let paths = description["paths"].as_object().unwrap();
            let operations = paths.values().flat_map(|item| item.as_object().unwrap().values());
            for response in operations.flat_map(|o| o["responses"].as_object().unwrap().values()) {
                assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()));
            }
            let mut references = Vec::new();
            collect_references(&description, &mut references);
            for reference in references {
                assert!(description.pointer(&reference[1..]).is_some(), "{reference}");
            }
        }
    }

    #[test]
    fn version_3_0_knows_no_type_null() {
        let text = document_3_0().to_string();
        assert!(!text.contains("\"null\""), "{text}");
    }

    fn collect_references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(values) => values.iter().for_each(|v| collect_references(v, found)),
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
                object.values().for_each(|v| collect_references(v, found));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
