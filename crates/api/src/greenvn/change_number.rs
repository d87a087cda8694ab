//! `PUT /v1/tenants/{sid}/greenvn/{greenvn_id}/vn`: moves an allocation to another virtual number.

use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::Response;
use callveil_domain::allocation::Allocation;
use callveil_domain::allocation::change_number::{self, NumberChanged};
use callveil_domain::allocation::create::Preferences;
use callveil_domain::receipt::Warning;
use callveil_domain::tenant::Tenant as Known;
use serde::Deserialize;
use utoipa::ToSchema;

use super::preferences::{self, Wishes};
use super::{GreenVn, Telling};
use crate::ApiState;
use crate::conditions::{Conditions, DryRun};
use crate::envelope::Answer;
use crate::idempotency;
use crate::lenient::{self, Nested, Sent};
use crate::limits::Body;
use crate::problem::{Faults, Problem};
use crate::tenant::{Id, Tenant};

/// What the new virtual number should be like. Without a body any other one will do.
#[derive(Deserialize, ToSchema)]
#[schema(as = ChangeVn)]
pub(crate) struct Request<'a> {
    /// Whether all preferences must hold: `"true"` or `"false"`. A JSON boolean is taken too.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, pattern = "^(true|false)$", example = "false")]
    strictness: Sent<'a>,
    /// What the virtual number should be like.
    #[schema(value_type = Option<Wishes>)]
    preferences: Option<Nested<Wishes<'a>>>,
}

/// Change the virtual number
///
/// Moves an active allocation to another virtual number, with everything else as it is. Asking for the number that
/// it has changes nothing. When no other may be lent (status 452), the allocation is left as it is.
#[utoipa::path(
    put,
    path = "/v1/tenants/{sid}/greenvn/{greenvn_id}/vn",
    operation_id = "changeVn",
    tag = "GreenVN",
    params(
        ("sid" = String, Path, description = "Your tenant's SID"),
        ("greenvn_id" = String, Path, description = "The allocation's id"),
        DryRun,
    ),
    request_body(content = Option<Request>, description = "What the new number should be like"),
    responses((status = 200, description = "The allocation with its new number", body = Answer<GreenVn>)),
)]
pub(crate) async fn change_number(
    State(api): State<ApiState>,
    tenant: Tenant,
    Id(id): Id,
    conditions: Conditions,
    Body(body): Body,
) -> Result<Response<ResponseBody>, Problem> {
    let Conditions { effect, version, key } = conditions;
    let once = key.map(|key| key.with(&body));
    let act = async {
        let preferences = read(&tenant, &body)?;
        let mut rng = api.node.rng();
        let mut ctx = tenant.ctx(&api.node, &mut *rng, effect);
        let telling = Telling::of(&ctx, Vec::new());
        let tell = |allocation: &Allocation, warnings: &[Warning]| telling.body(allocation, warnings);
        let receipt = once.as_ref().map(|once| once.receipt(&tell));
        match change_number::change_number(&mut ctx, &tenant, id, version, &preferences, receipt).await {
            Ok(NumberChanged { allocation, warnings }) => Ok(telling.answer(&allocation, &warnings)),
            Err(failure) => Err(Problem::of(failure, |refused| Problem::of_change_number(refused, &tenant))),
        }
    };
    idempotency::once(&api, &tenant, once.as_ref(), act).await
}

fn read(tenant: &Known, body: &[u8]) -> Result<Preferences, Problem> {
    let Request { strictness, preferences } = lenient::read(body)?;
    let mut faults = Faults::default();
    let preferences = preferences::read(tenant, &preferences, &strictness, &mut faults);
    if faults.is_empty() { Ok(preferences) } else { Err(faults.into_problem()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::{World, order};

    #[tokio::test]
    async fn without_a_body_any_other_number_will_do() {
        let world = World::new().await;
        for body in ["", "{}", "{ }", r#"{"preferences":null}"#, r#"{"preferences":{}}"#] {
            let path = world.allocated().await;
            let before = world.get(&path).await.data();

            let mut after = world.send("PUT", &format!("{path}/vn"), body).await.granted().data();

            assert_ne!(after["greenvn"], before["greenvn"], "{body:?}");
            after["greenvn"] = before["greenvn"].clone();
            after["green_vn"] = before["green_vn"].clone();
            assert_eq!(after, before, "{body:?}");
            world.delete(&path).await.granted();
        }
    }

    #[tokio::test]
    async fn wishes_are_honoured_under_both_names_of_the_type() {
        let world = World::new().await;
        let mut first = order("order-1");
        first["preferences"] = json!({"greenvn": "+918000000001"});
        let id = world.post(first).await.granted().data()["greenvn_id"].as_str().unwrap().to_owned();
        let path = format!("/greenvn/{id}/vn");
        let put = async |preferences| {
            world.put(&path, json!({"strictness": "true", "preferences": preferences})).await
        };

        let landline = put(json!({"region": "DL", "number_type": "landline"})).await;
        assert_eq!(landline.granted().data()["greenvn"], json!("+918000000004"));
        let mobile = put(json!({"region": "DL", "type": "mobile"})).await;
        assert_eq!(mobile.granted().data()["greenvn"], json!("+918000000003"));
        let named = put(json!({"greenvn": "+918000000002"})).await;
        assert_eq!(named.granted().data()["green_vn"], json!("+918000000002"));
        let version = named.header("etag").map(str::to_owned);
        let same = put(json!({"greenvn": "+918000000002"})).await;
        assert_eq!(same.granted().header("etag").map(str::to_owned), version, "nothing was changed");

        put(json!({"type": "mobile", "number_type": "landline"})).await.refused(400, 5);
        put(json!({"type": "tollfree"})).await.refused(400, 5);
        put(json!({"greenvn": "+9180xxxx0002"})).await.refused(400, 16);
        put(json!({"region": "XX"})).await.refused(403, 15);
        put(json!([])).await.refused(400, 5);
    }

    #[tokio::test]
    async fn where_no_other_is_free_the_allocation_keeps_its_number() {
        let world = World::new().await;
        let mut wanted = order("order-1");
        wanted["flow_id"] = json!("night");
        let data = world.post(wanted).await.data();
        let path = format!("/greenvn/{}", data["greenvn_id"].as_str().unwrap());

        let reply = world.put(&format!("{path}/vn"), json!({})).await;

        reply.refused(452, 4);
        insta::assert_json_snapshot!(reply.json()["detail"]["shortage"], @r#"
        {
          "excluded": [
            {
              "by": "flow_id",
              "count": 4,
              "message": "4 of 5: of another call flow"
            },
            {
              "by": "greenvn",
              "count": 1,
              "message": "1 of 5: the number to be changed, or not the one that was asked for with strictness"
            }
          ],
          "pool": 5
        }
        "#);
        assert_eq!(world.get(&path).await.data(), data);
    }

    #[tokio::test]
    async fn tried_only_conditional_and_once() {
        let world = World::new().await;
        let path = world.allocated().await;
        let vn = format!("{path}/vn");
        let before = world.everything().await;

        let tried = world.send("PUT", &format!("{vn}?dry_run=true"), "").await;
        assert_ne!(tried.granted().data()["greenvn"], world.get(&path).await.data()["greenvn"]);
        world.send_with("PUT", &vn, &[("if-match", "\"7\"")], "").await.refused(412, 5);
        assert_eq!(world.everything().await, before);

        let once = [("idempotency-key", "k-1")];
        let first = world.send_with("PUT", &vn, &once, "").await;
        let again = world.send_with("PUT", &vn, &once, "").await;
        assert_eq!(first.granted().text, again.granted().text);
    }
}
