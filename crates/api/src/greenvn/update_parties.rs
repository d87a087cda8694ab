//! `PUT /v1/tenants/{sid}/greenvn/{greenvn_id}/call-party`: changes who the parties of an allocation are.

use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::Response;
use callveil_domain::allocation::update_parties::{self, PartiesUpdate, PartyUpdate, Updated};
use callveil_domain::allocation::{Allocation, Side};
use callveil_domain::receipt::Warning;
use callveil_domain::tenant::Tenant as Known;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{GreenVn, NumberSent, Telling, WirePin, WireUsage};
use crate::ApiState;
use crate::conditions::{Conditions, DryRun};
use crate::envelope::{Answer, Notice};
use crate::idempotency;
use crate::lenient::{self, Sent};
use crate::limits::Body;
use crate::problem::{Faults, Kind, Problem};
use crate::tenant::{Id, Tenant};

/// What is sent to change the parties. At least one of the two lists of numbers must be; what is left out stays as
/// it is.
#[derive(Deserialize, ToSchema)]
#[schema(as = CallParty)]
pub(crate) struct Request<'a> {
    /// The numbers of side A from here on.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<NumberSent>>, min_items = 1, max_items = 10)]
    aparty_numbers: Sent<'a>,
    /// The numbers of side B from here on.
    #[schema(value_type = Option<Vec<NumberSent>>, min_items = 1, max_items = 10)]
    bparty_numbers: Sent<'a>,
    /// The pins of side A from here on; an empty list takes them all away.
    #[schema(value_type = Option<Vec<WirePin>>, max_items = 10)]
    aparty_pins: Sent<'a>,
    /// The pins of side B from here on; an empty list takes them all away.
    #[schema(value_type = Option<Vec<WirePin>>, max_items = 10)]
    bparty_pins: Sent<'a>,
    /// Who may call from here on.
    #[schema(value_type = Option<WireUsage>)]
    usage: Sent<'a>,
}

/// Change the parties
///
/// Changes numbers, pins and usage of an active allocation. The virtual number, the id, the connection id and the
/// end stay. New numbers and pins must be free on the same virtual number, or the whole request is refused with
/// status 409 and nothing is changed.
#[utoipa::path(
    put,
    path = "/v1/tenants/{sid}/greenvn/{greenvn_id}/call-party",
    operation_id = "updateCallParty",
    tag = "GreenVN",
    params(
        ("sid" = String, Path, description = "Your tenant's SID"),
        ("greenvn_id" = String, Path, description = "The allocation's id"),
        DryRun,
    ),
    request_body(content = Request, description = "What is to change"),
    responses((status = 200, description = "The allocation with its new parties", body = Answer<GreenVn>)),
)]
pub(crate) async fn update_parties(
    State(api): State<ApiState>,
    tenant: Tenant,
    Id(id): Id,
    conditions: Conditions,
    Body(body): Body,
) -> Result<Response<ResponseBody>, Problem> {
    let Conditions { effect, version, key } = conditions;
    let once = key.map(|key| key.with(&body));
    let act = async {
        let (update, odd) = read(&tenant, &body)?;
        let mut rng = api.node.rng();
        let mut ctx = tenant.ctx(&api.node, &mut *rng, effect);
        let telling = Telling::of(&ctx, odd);
        let tell = |allocation: &Allocation, warnings: &[Warning]| telling.body(allocation, warnings);
        let receipt = once.as_ref().map(|once| once.receipt(&tell));
        match update_parties::update_parties(&mut ctx, &tenant, id, version, update, receipt).await {
            Ok(Updated { allocation, warnings }) => Ok(telling.answer(&allocation, &warnings)),
            Err(failure) => Err(Problem::of(failure, Problem::of_update)),
        }
    };
    idempotency::once(&api, &tenant, once.as_ref(), act).await
}

/// Reads what was sent as what was meant, and what is odd about it.
fn read(tenant: &Known, body: &[u8]) -> Result<(PartiesUpdate, Vec<Notice>), Problem> {
    let sent: Request<'_> = lenient::read(body)?;
    let home = tenant.settings.country;
    let number = |value: &lenient::Loose<'_>| lenient::number(value, home);

    let mut faults = Faults::default();
    if sent.aparty_numbers.is_none() && sent.bparty_numbers.is_none() {
        let why = "or bparty_numbers must be sent, at least one of the two";
        faults.push(Kind::Missing, "aparty_numbers", why);
    }
    let a_numbers = faults.filled_list("aparty_numbers", &sent.aparty_numbers, &number);
    let b_numbers = faults.filled_list("bparty_numbers", &sent.bparty_numbers, &number);
    let a_pins = faults.list("aparty_pins", &sent.aparty_pins, &lenient::pin);
    let b_pins = faults.list("bparty_pins", &sent.bparty_pins, &lenient::pin);
    let usage = faults.optional("usage", &sent.usage, &lenient::usage);

    let mut odd = super::oddities(tenant, Side::A, a_numbers.as_deref().unwrap_or_default(), &mut faults);
    odd.extend(super::oddities(tenant, Side::B, b_numbers.as_deref().unwrap_or_default(), &mut faults));
    if !faults.is_empty() {
        return Err(faults.into_problem());
    }
    let a = PartyUpdate { numbers: a_numbers, pins: a_pins };
    let b = PartyUpdate { numbers: b_numbers, pins: b_pins };
    Ok((PartiesUpdate { a, b, usage }, odd))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use crate::world::{World, order};

    #[tokio::test]
    async fn each_list_that_is_sent_replaces_and_the_others_stay() {
        let world = World::new().await;
        let path = world.allocated().await;
        let before = world.get(&path).await.data();
        let update = async |body| world.put(&format!("{path}/call-party"), body).await.granted().data();
        let with = |mut data: Value, key: &str, value: Value| {
            data[key] = value;
            data
        };

        let a = json!(["+919900000011", "+919900000012"]);
        let after = update(json!({"aparty_numbers": a})).await;
        assert_eq!(after, with(before, "aparty_numbers", a));
        let b = json!(["+919900000021"]);
        let now = update(json!({"bparty_numbers": b})).await;
        assert_eq!(now, with(after, "bparty_numbers", b.clone()));

        let after =
            update(json!({"bparty_numbers": b, "aparty_pins": [123456], "bparty_pins": ["234567"]})).await;
        assert_eq!((&after["aparty_pins"], &after["bparty_pins"]), (&json!([123_456]), &json!([234_567])));
        let after = update(json!({"bparty_numbers": b, "aparty_pins": [], "usage": "oneway"})).await;
        assert_eq!((&after["aparty_pins"], &after["bparty_pins"]), (&json!([]), &json!([234_567])));
        assert_eq!(after["usage"], json!("oneway"));
        let after = update(json!({"bparty_numbers": b, "usage": "twoway"})).await;
        assert_eq!(after["usage"], json!("twoway"));
        assert_eq!(world.get(&path).await.data(), after);
    }

    #[tokio::test]
    async fn the_end_stays_where_it_was() {
        let world = World::new().await;
        let mut wanted = order("order-1");
        wanted["deallocation_policy"] = json!({"duration": "10m"});
        let path = format!("/greenvn/{}", world.post(wanted).await.data()["greenvn_id"].as_str().unwrap());

        world.wait(Duration::from_secs(599));
        let update = json!({"aparty_numbers": ["+919900000011"]});
        world.put(&format!("{path}/call-party"), update.clone()).await.granted();
        world.wait(Duration::from_secs(1));

        assert_eq!(world.get(&path).await.data()["state"], json!("vault"));
        world.put(&format!("{path}/call-party"), update).await.refused(410, 22);
    }

    #[tokio::test]
    async fn numbers_and_pins_of_others_on_the_same_virtual_number_change_nothing() {
        let world = World::new().await;
        let path = world.allocated().await;
        let mut other = order("order-2");
        other["aparty_numbers"] = json!(["+919900000031"]);
        other["bparty_numbers"] = json!(["+919900000032"]);
        other["aparty_pins"] = json!([483_920]);
        other["strictness"] = json!(true);
        other["preferences"] = json!({"greenvn": world.get(&path).await.data()["greenvn"]});
        world.post(other).await.granted();
        let before = world.everything().await;
        let refused = async |body: Value, code, path_told: &str| {
            let reply = world.put(&format!("{path}/call-party"), body).await;
            assert_eq!(reply.refused(409, code).json()["detail"]["fields"][0]["path"], json!(path_told));
            assert!(!reply.text.contains("99000000") && !reply.text.contains("483920"), "{}", reply.text);
            assert_eq!(world.everything().await, before);
        };

        refused(json!({"aparty_numbers": ["+919900000041", "+919900000032"]}), 19, "aparty_numbers[1]").await;
        refused(json!({"bparty_numbers": ["+919900000031"]}), 19, "bparty_numbers[0]").await;
        let pin = json!({"aparty_numbers": ["+919900000001"], "bparty_pins": [483920]});
        refused(pin, 19, "bparty_pins[0]").await;
        refused(json!({"aparty_numbers": ["+919900000002"]}), 14, "aparty_numbers[0]").await;
        let both =
            json!({"aparty_numbers": ["+919900000001"], "aparty_pins": [777777], "bparty_pins": [777777]});
        refused(both, 19, "bparty_pins[0]").await;
    }

    #[tokio::test]
    async fn at_least_one_list_of_numbers_must_be_there() {
        let world = World::new().await;
        let path = world.allocated().await;
        let before = world.everything().await;
        for body in [
            json!({}),
            json!({"usage": "oneway"}),
            json!({"aparty_pins": [123456]}),
            json!({"aparty_numbers": null}),
            json!({"aparty_numbers": []}),
        ] {
            world.put(&format!("{path}/call-party"), body).await.refused(400, 3);
        }
        world.send("PUT", &format!("{path}/call-party"), "").await.refused(400, 3);
        assert_eq!(world.everything().await, before);
    }

    #[tokio::test]
    async fn tried_only_conditional_and_once() {
        let world = World::new().await;
        let path = world.allocated().await;
        let call_party = format!("{path}/call-party");
        let body = json!({"aparty_numbers": ["+919900000011"]}).to_string();
        let before = world.everything().await;

        let tried = world.send("PUT", &format!("{call_party}?dry_run=true"), body.clone()).await;
        assert_eq!(tried.granted().json()["detail"]["dry_run"], json!(true));
        assert_eq!(tried.data()["aparty_numbers"], json!(["+919900000011"]));
        let conditional = [("if-match", "\"7\"")];
        world.send_with("PUT", &call_party, &conditional, body.clone()).await.refused(412, 5);
        assert_eq!(world.everything().await, before);

        let once = [("if-match", "\"1\""), ("idempotency-key", "k-1")];
        let first = world.send_with("PUT", &call_party, &once, body.clone()).await;
        let again = world.send_with("PUT", &call_party, &once, body).await;
        assert_eq!(first.granted().text, again.granted().text);
        assert_eq!(first.header("etag"), Some("\"2\""));
    }
}
