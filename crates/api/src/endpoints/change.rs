//! `PUT /v1/tenants/{sid}/endpoints/{endpoint_id}`: changes an endpoint.

use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::Response;
use callveil_domain::Effect;
use callveil_domain::endpoint::{self, EndpointChange};
use callveil_domain::event::EventKind;
use serde::Deserialize;
use utoipa::ToSchema;

use super::WireEndpoint;
use crate::ApiState;
use crate::conditions::{Conditions, DryRun};
use crate::envelope::{self, Answer, Detail};
use crate::lenient::{self, Sent};
use crate::limits::Body;
use crate::problem::{Faults, Problem};
use crate::tenant::{OfEndpoint, Tenant};

/// What is to change of an endpoint; what is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[schema(as = EndpointChange)]
pub(crate) struct Request<'a> {
    /// Where events are to be sent from here on, those that are owed already too.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, max_length = 2048, example = "https://example.com/hook")]
    url: Sent<'a>,
    /// The types of events that are wanted from here on; an empty list for all.
    #[schema(value_type = Option<Vec<String>>)]
    events: Sent<'a>,
    /// Whether numbers and pins are to be told masked.
    #[schema(value_type = Option<bool>)]
    masked: Sent<'a>,
    /// Whether anything is to be sent there.
    #[schema(value_type = Option<bool>)]
    enabled: Sent<'a>,
}

/// Change an endpoint
///
/// Changes what is sent. Of an endpoint that is a setting only `enabled` can be changed here.
#[utoipa::path(
    put,
    path = "/v1/tenants/{sid}/endpoints/{endpoint_id}",
    operation_id = "changeEndpoint",
    tag = "Endpoints",
    params(
        ("sid" = String, Path, description = "Your tenant's SID"),
        ("endpoint_id" = String, Path, description = "The endpoint's id"),
        DryRun,
    ),
    request_body(content = Request, description = "What is to change"),
    responses((status = 200, description = "The endpoint as it is then", body = Answer<WireEndpoint>)),
)]
pub(crate) async fn change(
    State(api): State<ApiState>,
    tenant: Tenant,
    OfEndpoint(id): OfEndpoint,
    conditions: Conditions,
    Body(body): Body,
) -> Result<Response<ResponseBody>, Problem> {
    let wanted = read(&body)?;
    let mut rng = api.node.rng();
    let ctx = tenant.ctx(&api.node, &mut *rng, conditions.effect);
    let changed = match endpoint::change(&ctx, &tenant, &id, wanted).await {
        Ok(changed) => changed,
        Err(failure) => return Err(Problem::of(failure, Problem::of_endpoint)),
    };
    if conditions.effect == Effect::Keep {
        api.node.refresh().await?;
    }
    let detail = Detail { dry_run: conditions.effect == Effect::Try, ..Detail::default() };
    Ok(envelope::ok(envelope::body(WireEndpoint::of(&changed, api.node.now()), detail)))
}

fn read(body: &[u8]) -> Result<EndpointChange, Problem> {
    let sent: Request<'_> = lenient::read(body)?;
    let mut faults = Faults::default();
    let most = EventKind::ALL.len();
    let change = EndpointChange {
        url: faults.optional("url", &sent.url, &lenient::url),
        kinds: faults.list_up_to(most, "events", &sent.events, &lenient::event_kind),
        masked: faults.optional("masked", &sent.masked, &lenient::boolean),
        enabled: faults.optional("enabled", &sent.enabled, &lenient::boolean),
    };
    if faults.is_empty() { Ok(change) } else { Err(faults.into_problem()) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::world::World;

    #[tokio::test]
    async fn what_is_sent_changes_and_the_rest_stays() {
        let world = World::new().await;
        let id = world.endpoint(json!({"url": "https://a.example/hook", "events": "call.completed"})).await;
        let path = format!("/endpoints/{id}");
        let mut expected = world.get(&path).await.data();
        let mut check = async |body: Value, changes: Value| {
            for (name, value) in changes.as_object().unwrap() {
                expected[name] = value.clone();
            }
            assert_eq!(world.put(&path, body).await.granted().data(), expected);
            assert_eq!(world.get(&path).await.data(), expected);
        };

        check(json!({}), json!({})).await;
        check(json!({"url": "http://b.example"}), json!({"url": "http://b.example"})).await;
        check(json!({"masked": true}), json!({"masked": true})).await;
        check(json!({"events": []}), json!({"events": []})).await;
        let kinds = ["number.low", "call.refused"];
        check(json!({"events": kinds}), json!({"events": kinds})).await;
        let disabled = json!({
            "enabled": false,
            "disabled_because": "its tenant disabled it",
            "disabled_at": "2026-11-23T12:00:00.000Z",
        });
        check(json!({"enabled": false}), disabled).await;
        check(
            json!({"enabled": true}),
            json!({"enabled": true, "disabled_because": null, "disabled_at": null}),
        )
        .await;
    }

    #[tokio::test]
    async fn of_a_setting_only_whether_it_is_sent_to_can_be_changed() {
        let world = World::new().await;
        world.set("greencall_complete_event_endpoint", "https://a.example/calls").await;
        let path = "/endpoints/greencall_complete_event_endpoint";

        world.put(path, json!({"url": "https://b.example"})).await.refused(409, 8);
        world.put(path, json!({"masked": true})).await.refused(409, 8);
        let disabled = world.put(path, json!({"enabled": false})).await;
        assert_eq!(disabled.granted().data()["enabled"], json!(false));
        assert_eq!(world.get(path).await.data(), disabled.data());
        world.put(path, json!({"enabled": "true"})).await.granted();
        assert_eq!(world.get(path).await.data()["enabled"], json!(true));
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_and_nothing_changes() {
        let world = World::new().await;
        let id = world.endpoint(json!({"url": "https://a.example/hook"})).await;
        let path = format!("/endpoints/{id}");
        let before = world.get(&path).await.data();

        world.put("/endpoints/ep_none", json!({"masked": true})).await.refused(404, 1);
        world.put(&path, json!({"url": "gopher://a.example"})).await.refused(400, 5);
        world.put(&path, json!({"enabled": 2, "masked": true})).await.refused(400, 5);
        let tried = world.send("PUT", &format!("{path}?dry_run=true"), r#"{"masked":true}"#).await;
        assert_eq!(tried.granted().data()["masked"], json!(true));
        assert_eq!(world.get(&path).await.data(), before);
    }
}
