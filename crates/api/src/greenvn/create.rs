//! `POST /v1/tenants/{sid}/greenvn`: lends a virtual number to two parties.

use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::Response;
use callveil_domain::allocation::Allocation;
use callveil_domain::allocation::Side;
use callveil_domain::allocation::create::{self, Created, NewAllocation, NewParty};
use callveil_domain::receipt::Warning;
use callveil_domain::tenant::Tenant as Known;
use serde::Deserialize;
use utoipa::ToSchema;

use super::preferences::{self, Wishes};
use super::{GreenVn, NumberSent, Telling, WirePin, WireUsage};
use crate::ApiState;
use crate::conditions::{Conditions, DryRun};
use crate::envelope::{Answer, Notice};
use crate::idempotency;
use crate::lenient::{self, Nested, Sent};
use crate::limits::Body;
use crate::problem::{Faults, Problem};
use crate::tenant::Tenant;

/// What is sent to make an allocation.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewGreenVn)]
pub(crate) struct Request<'a> {
    /// Your own name for the allocation, unique among your active ones. The name is free again when it ends.
    #[serde(borrow)]
    #[schema(value_type = String, min_length = 1, max_length = 255, example = "order-1001")]
    connection_id: Sent<'a>,
    /// The numbers of side A. They ring in this order; with `oneway` only they may call.
    #[schema(value_type = Vec<NumberSent>, min_items = 1, max_items = 10)]
    aparty_numbers: Sent<'a>,
    /// The numbers of side B. None of them may stand on side A too.
    #[schema(value_type = Vec<NumberSent>, min_items = 1, max_items = 10)]
    bparty_numbers: Sent<'a>,
    /// Pins by which a caller who is not listed joins side A.
    #[schema(value_type = Option<Vec<WirePin>>, max_items = 10)]
    aparty_pins: Sent<'a>,
    /// Pins by which a caller who is not listed joins side B.
    #[schema(value_type = Option<Vec<WirePin>>, max_items = 10)]
    bparty_pins: Sent<'a>,
    /// Who may call.
    #[schema(value_type = WireUsage)]
    usage: Sent<'a>,
    /// Whether all preferences must hold: `"true"` or `"false"`. A JSON boolean is taken too.
    #[schema(value_type = Option<String>, pattern = "^(true|false)$", example = "false")]
    strictness: Sent<'a>,
    /// What the virtual number should be like.
    #[schema(value_type = Option<Wishes>)]
    preferences: Option<Nested<Wishes<'a>>>,
    /// When the allocation is to end by itself.
    #[serde(alias = "Deallocation_policy")]
    #[schema(value_type = Option<Policy>)]
    deallocation_policy: Option<Nested<Policy<'a>>>,
    /// The call flow; the setting `default_flow_id` when it is left out.
    #[schema(value_type = Option<String>, max_length = 64, example = "44XX8X")]
    flow_id: Sent<'a>,
    /// Your word for side A in events; the setting `aparty_tag` when it is left out.
    #[schema(value_type = Option<String>, max_length = 255)]
    aparty_tag: Sent<'a>,
    /// Your word for side B in events; the setting `bparty_tag` when it is left out.
    #[schema(value_type = Option<String>, max_length = 255)]
    bparty_tag: Sent<'a>,
}

/// When an allocation is to end by itself.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = DeallocationPolicy)]
pub(crate) struct Policy<'a> {
    /// After this long: a whole number and `d`, `h`, `m` or `s`. Longer than the setting `max_deallocation_time`
    /// is cut to it.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, pattern = r"^[0-9]+[dhmsDHMS]$", example = "45m")]
    duration: Sent<'a>,
}

/// Make an allocation
///
/// Lends a virtual number of the pool to two parties. No number of either side, and no pin, is in use on that
/// virtual number by any other allocation. When no virtual number may be lent (status 452), `detail.shortage`
/// tells why.
#[utoipa::path(
    post,
    path = "/v1/tenants/{sid}/greenvn",
    operation_id = "createGreenVn",
    tag = "GreenVN",
    params(("sid" = String, Path, description = "Your tenant's SID"), DryRun),
    request_body(content = Request, description = "Who is to be connected, and how"),
    responses((status = 200, description = "The allocation", body = Answer<GreenVn>)),
)]
pub(crate) async fn create(
    State(api): State<ApiState>,
    tenant: Tenant,
    conditions: Conditions,
    Body(body): Body,
) -> Result<Response<ResponseBody>, Problem> {
    let Conditions { effect, version: _, key } = conditions;
    let once = key.map(|key| key.with(&body));
    let act = async {
        let (new, odd) = read(&tenant, &body)?;
        let mut rng = api.node.rng();
        let mut ctx = tenant.ctx(&api.node, &mut *rng, effect);
        let telling = Telling::of(&ctx, odd);
        let tell = |allocation: &Allocation, warnings: &[Warning]| telling.body(allocation, warnings);
        let receipt = once.as_ref().map(|once| once.receipt(&tell));
        match create::create(&mut ctx, &tenant, new, receipt).await {
            Ok(Created { allocation, warnings }) => Ok(telling.answer(&allocation, &warnings)),
            Err(failure) => Err(Problem::of(failure, |refused| Problem::of_create(refused, &tenant))),
        }
    };
    idempotency::once(&api, &tenant, once.as_ref(), act).await
}

/// Reads what was sent as what was meant, and what is odd about it.
fn read(tenant: &Known, body: &[u8]) -> Result<(NewAllocation, Vec<Notice>), Problem> {
    let sent: Request<'_> = lenient::read(body)?;
    let home = tenant.settings.country;
    let number = |value: &lenient::Loose<'_>| lenient::number(value, home);

    let mut faults = Faults::default();
    let connection = faults.required("connection_id", &sent.connection_id, &lenient::connection_id);
    let a_numbers = faults.required_list("aparty_numbers", &sent.aparty_numbers, &number);
    let b_numbers = faults.required_list("bparty_numbers", &sent.bparty_numbers, &number);
    let a_pins = faults.list("aparty_pins", &sent.aparty_pins, &lenient::pin).unwrap_or_default();
    let b_pins = faults.list("bparty_pins", &sent.bparty_pins, &lenient::pin).unwrap_or_default();
    let usage = faults.required("usage", &sent.usage, &lenient::usage);
    let preferences = preferences::read(tenant, &sent.preferences, &sent.strictness, &mut faults);
    let policy = faults.object("deallocation_policy", &sent.deallocation_policy);
    let lifetime = policy.and_then(|policy| {
        faults.optional("deallocation_policy.duration", &policy.duration, &lenient::duration)
    });
    let flow = faults.optional("flow_id", &sent.flow_id, &lenient::flow_id);
    let a_tag = faults.optional("aparty_tag", &sent.aparty_tag, &lenient::tag);
    let b_tag = faults.optional("bparty_tag", &sent.bparty_tag, &lenient::tag);

    let mut odd = super::oddities(tenant, Side::A, a_numbers.as_deref().unwrap_or_default(), &mut faults);
    odd.extend(super::oddities(tenant, Side::B, b_numbers.as_deref().unwrap_or_default(), &mut faults));
    let (Some(connection), Some(a_numbers), Some(b_numbers), Some(usage), true) =
        (connection, a_numbers, b_numbers, usage, faults.is_empty())
    else {
        return Err(faults.into_problem());
    };
    let a = NewParty { numbers: a_numbers, pins: a_pins, tag: a_tag };
    let b = NewParty { numbers: b_numbers, pins: b_pins, tag: b_tag };
    Ok((NewAllocation { connection, a, b, usage, lifetime, flow, preferences }, odd))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use crate::world::{World, order};

    #[tokio::test]
    async fn an_allocation_is_told_in_full() {
        let world = World::new().await;

        let reply = world
            .post(json!({
                "connection_id": "Sample_Connection",
                "aparty_numbers": ["+919900000001"],
                "bparty_numbers": ["+919900000002", "+919900000003"],
                "aparty_pins": [123456],
                "bparty_pins": [234567],
                "strictness": "false",
                "preferences": {"pin_code": "560041", "type": "mobile"},
                "usage": "twoway",
                "deallocation_policy": {"duration": "600s"},
            }))
            .await;

        assert_eq!(reply.header("etag"), Some("\"1\""));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        let text = reply.text.replace(reply.data()["greenvn_id"].as_str().unwrap(), "[id]");
        insta::assert_snapshot!(text, @r#"{"success":true,"status":200,"code":null,"message":null,"data":{"connection_id":"Sample_Connection","aparty_numbers":["+919900000001"],"bparty_numbers":["+919900000002","+919900000003"],"aparty_pins":[123456],"bparty_pins":[234567],"usage":"twoway","state":"active","greenvn":"+918000000001","green_vn":"+918000000001","greenvn_id":"[id]"}}"#);
    }

    #[tokio::test]
    async fn what_was_left_out_is_empty_and_what_was_sent_comes_back() {
        let world = World::new().await;
        assert_eq!(world.post(order("plain")).await.data()["aparty_pins"], json!([]));

        let mut with_flow = order("with flow");
        with_flow["flow_id"] = json!("night");
        let reply = world.post(with_flow).await;

        assert_eq!(reply.granted().data()["flow_id"], json!("night"));
        assert_eq!(reply.data()["greenvn"], json!("+918000000005"), "the one number of that flow");
        assert_eq!(reply.data()["greenvn"], reply.data()["green_vn"]);
    }

    #[tokio::test]
    async fn sloppy_requests_are_taken_as_they_were_meant() {
        let world = World::new().await;
        let reply = world
            .post(json!({
                "connection_id": "sloppy",
                "aparty_numbers": "09900000001",
                "bparty_numbers": ["91 99000-00002", "9900000002"],
                "aparty_pins": "483920",
                "bparty_pins": ["583920", 583_920],
                "usage": "oneway",
                "strictness": "TRUE",
                "flow_id": null,
                "preferences": {"number_type": "Landline", "type": "landline", "region": "ka"},
                "Deallocation_policy": {"duration": "1h", "why": "unknown keys are passed over"},
                "unknown": [{}],
            }))
            .await;

        let data = reply.granted().data();
        assert_eq!(data["aparty_numbers"], json!(["+919900000001"]));
        assert_eq!(data["bparty_numbers"], json!(["+919900000002"]));
        assert_eq!((&data["aparty_pins"], &data["bparty_pins"]), (&json!([483_920]), &json!([583_920])));
        assert_eq!(data["greenvn"], json!("+918000000002"), "the landline of that region");
        world.wait(Duration::from_secs(3_600));
        let path = format!("/greenvn/{}", data["greenvn_id"].as_str().unwrap());
        assert_eq!(world.get(&path).await.data()["state"], json!("vault"), "ended after its hour");
    }

    #[tokio::test]
    async fn a_connection_id_serves_one_active_allocation() {
        let world = World::new().await;
        let path = world.allocated().await;

        let again = world.post(order("order-1")).await;

        again.refused(409, 18);
        assert_eq!(
            again.text,
            r#"{"success":false,"status":409,"code":18,"message":"Allocation exists for this connection id.","data":null}"#
        );
        world.delete(&path).await.granted();
        world.post(order("order-1")).await.granted();
    }

    #[tokio::test]
    async fn an_exhausted_pool_explains_itself() {
        let world = World::new().await;
        for n in 0..5 {
            let mut wanted = order(&format!("order-{n}"));
            wanted["bparty_numbers"] = json!([format!("+9199000001{n:02}")]);
            wanted["deallocation_policy"] = json!({"duration": "12m"});
            world.post(wanted).await.granted();
        }

        let mut strict = order("one too many");
        strict["strictness"] = json!(true);
        strict["preferences"] = json!({"region": "KA", "type": "mobile"});
        let reply = world.post(strict).await;

        reply.refused(452, 4);
        insta::assert_json_snapshot!(reply.json()["detail"], @r#"
        {
          "shortage": {
            "excluded": [
              {
                "by": "preferences.region",
                "count": 3,
                "message": "3 of 5: of another region than was asked for with strictness"
              },
              {
                "by": "preferences.type",
                "count": 1,
                "message": "1 of 5: of another type than was asked for with strictness"
              },
              {
                "by": "aparty_numbers[0]",
                "count": 1,
                "message": "1 of 5: in use by this party, or cooling after such use"
              }
            ],
            "frees_at": "2026-11-23T17:42:00+05:30",
            "pool": 5
          }
        }
        "#);
    }

    #[tokio::test]
    async fn a_region_or_flow_that_is_not_there_is_told_apart_from_a_shortage() {
        let world = World::new().await;
        let with = |key: &str, value| {
            let mut wanted = order("order-1");
            wanted[key] = value;
            wanted
        };

        let region = world.post(with("preferences", json!({"region": "XX"}))).await;
        assert!(region.refused(403, 15).message().contains("AP, DL, GJ"), "{}", region.text);
        let flow = world.post(with("flow_id", json!("day"))).await;
        assert!(flow.refused(422, 50).message().contains("night"), "{}", flow.text);
        let postal = json!({"pin_code": "990001"});
        let mut strict = with("preferences", postal.clone());
        strict["strictness"] = json!("true");
        world.post(strict).await.refused(400, 5);
        world.post(with("preferences", postal)).await.granted();
    }

    #[tokio::test]
    async fn pins_that_are_guessed_easily_and_odd_numbers_are_warned_of() {
        let world = World::new().await;
        let mut wanted = order("order-1");
        wanted["aparty_pins"] = json!([1234]);
        wanted["bparty_numbers"] = json!(["+910000000001"]);

        let reply = world.post(wanted.clone()).await;

        reply.granted();
        insta::assert_json_snapshot!(reply.json()["detail"], @r#"
        {
          "warnings": [
            {
              "chance": 0.011111111111111112,
              "message": "pins of 4 digits are guessed with this chance a day by someone who uses up all wrong tries; longer pins are safer"
            },
            {
              "message": "is of no series that is known in its country; is it mistyped?",
              "path": "bparty_numbers[0]"
            }
          ]
        }
        "#);

        world.set("strict_numbers", "true").await;
        wanted["connection_id"] = json!("order-2");
        let strict = world.post(wanted).await;
        assert_eq!(strict.refused(400, 16).json()["detail"]["fields"][0]["path"], json!("bparty_numbers[0]"));
    }

    #[tokio::test]
    async fn a_dry_run_answers_and_keeps_nothing() {
        let world = World::new().await;
        let before = world.everything().await;

        let reply = world.send("POST", "/greenvn?dry_run=true", order("order-1").to_string()).await;

        assert_eq!(reply.granted().json()["detail"], json!({"dry_run": true}));
        assert!(reply.data()["greenvn"].is_string());
        assert_eq!(world.everything().await, before);
        world.send("POST", "/greenvn?dry_run=maybe", order("order-1").to_string()).await.refused(400, 5);
    }

    #[tokio::test]
    async fn a_repeat_with_the_same_key_is_answered_as_the_first_was() {
        let world = World::new().await;
        let send = |body: String| world.send_with("POST", "/greenvn", &[("idempotency-key", "k-1")], body);

        let first = send(order("order-1").to_string()).await;
        let again = send(order("order-1").to_string()).await;

        assert_eq!(first.granted().text, again.granted().text);
        assert_eq!(
            (first.header("idempotent-replayed"), again.header("idempotent-replayed")),
            (None, Some("true"))
        );
        send(order("order-2").to_string()).await.refused(422, 5);
        assert_eq!(world.everything().await[0]["metadata"]["total"], json!(1));
    }

    #[tokio::test]
    async fn a_refusal_is_not_kept_under_its_key() {
        let world = World::new().await;
        let key = [("idempotency-key", "k-1")];
        let path = world.allocated().await;
        let body = || order("order-1").to_string();

        world.send_with("POST", "/greenvn", &key, body()).await.refused(409, 18);
        world.delete(&path).await.granted();
        world.send_with("POST", "/greenvn", &key, body()).await.granted();

        for wrong in ["", &"k".repeat(256), "k\t1"] {
            let reply = world.send_with("POST", "/greenvn", &[("idempotency-key", wrong)], body()).await;
            assert_eq!((reply.status, reply.code()), (400, Some(5)), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn twins_in_flight_get_one_answer() {
        let world = World::new().await;
        let key = [("idempotency-key", "k-1")];
        let send = || world.send_with("POST", "/greenvn", &key, order("order-1").to_string());

        let (one, two) = tokio::join!(send(), send());

        assert_eq!(one.granted().text, two.granted().text);
    }
}
