//! `POST /v1/tenants/{sid}/endpoints`: makes an endpoint.

use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::Response;
use callveil_domain::Effect;
use callveil_domain::endpoint::{self, NewEndpoint};
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
use crate::tenant::Tenant;

/// What is sent to make an endpoint.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewEndpoint)]
pub(crate) struct Request<'a> {
    /// Where events are to be sent.
    #[serde(borrow)]
    #[schema(value_type = String, max_length = 2048, example = "https://example.com/hook")]
    url: Sent<'a>,
    /// The types of events that are wanted; all when left out or empty.
    #[schema(value_type = Option<Vec<String>>, example = json!(["call.completed", "call.refused"]))]
    events: Sent<'a>,
    /// Whether numbers and pins are to be told masked; false when left out.
    #[schema(value_type = Option<bool>)]
    masked: Sent<'a>,
}

/// Make an endpoint
///
/// Events are sent there from the next one on. The answer has the `secret` that they are signed with, which is told this once.
/// A repeat makes another endpoint: if the answer was lost, look at the list and take away what is too much.
#[utoipa::path(
    post,
    path = "/v1/tenants/{sid}/endpoints",
    operation_id = "createEndpoint",
    tag = "Endpoints",
    params(("sid" = String, Path, description = "Your tenant's SID"), DryRun),
    request_body(content = Request, description = "Where to, and what"),
    responses((status = 200, description = "The endpoint, with its secret", body = Answer<WireEndpoint>)),
)]
pub(crate) async fn create(
    State(api): State<ApiState>,
    tenant: Tenant,
    conditions: Conditions,
    Body(body): Body,
) -> Result<Response<ResponseBody>, Problem> {
    let new = read(&body)?;
    let mut rng = api.node.rng();
    let mut ctx = tenant.ctx(&api.node, &mut *rng, conditions.effect);
    let now = ctx.now;
    let made = match endpoint::add(&mut ctx, &tenant, new).await {
        Ok(made) => made,
        Err(failure) => return Err(Problem::of(failure, Problem::of_endpoint)),
    };
    if conditions.effect == Effect::Keep {
        api.node.refresh().await?;
    }
    let detail = Detail { dry_run: conditions.effect == Effect::Try, ..Detail::default() };
    Ok(envelope::ok(envelope::body(WireEndpoint::with_secret(&made, now), detail)))
}

fn read(body: &[u8]) -> Result<NewEndpoint, Problem> {
    let sent: Request<'_> = lenient::read(body)?;
    let mut faults = Faults::default();
    let url = faults.required("url", &sent.url, &lenient::url);
    let most = EventKind::ALL.len();
    let kinds = faults.list_up_to(most, "events", &sent.events, &lenient::event_kind);
    let masked = faults.optional("masked", &sent.masked, &lenient::boolean);
    match url {
        Some(url) if faults.is_empty() => {
            Ok(NewEndpoint { url, kinds: kinds.unwrap_or_default(), masked: masked.unwrap_or(false) })
        }
        Some(_) | None => Err(faults.into_problem()),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use crate::world::World;

    async fn make(world: &World, body: Value) -> crate::world::Reply {
        world.send("POST", "/endpoints", body.to_string()).await
    }

    #[tokio::test]
    async fn an_endpoint_is_made_and_its_secret_told_once() {
        let world = World::new().await;
        let wanted =
            json!({"url": " https://a.example/hook ", "events": ["call.completed"], "masked": "true"});

        let made = make(&world, wanted).await;

        let mut data = made.granted().data();
        let secret = data.as_object_mut().unwrap().remove("secret").unwrap();
        let secret = secret.as_str().unwrap().strip_prefix("whsec_").unwrap().to_owned();
        assert_eq!(STANDARD.decode(secret).unwrap().len(), 32);
        assert_eq!(world.get("/endpoints").await.data(), json!([data]));
        data["endpoint_id"] = json!("[id]");
        insta::assert_json_snapshot!(data, @r#"
        {
          "created_at": "2026-11-23T12:00:00.000Z",
          "dialect": "standard",
          "disabled_at": null,
          "disabled_because": null,
          "enabled": true,
          "endpoint_id": "[id]",
          "events": [
            "call.completed"
          ],
          "masked": true,
          "old_secret_until": null,
          "signed": true,
          "url": "https://a.example/hook"
        }
        "#);
        assert_eq!(made.header("cache-control"), Some("no-store"));
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_and_nothing_is_made() {
        let world = World::new().await;
        let check = async |body: Value, code: u64, path: &str| {
            let reply = make(&world, body).await;
            assert_eq!(reply.refused(400, code).json()["detail"]["fields"][0]["path"], json!(path));
        };
        check(json!({}), 3, "url").await;
        check(json!({"url": 1}), 5, "url").await;
        check(json!({"url": ""}), 5, "url").await;
        check(json!({"url": "ftp://a.example"}), 5, "url").await;
        check(json!({"url": "https://a.example", "events": ["call.lost"]}), 5, "events[0]").await;
        check(json!({"url": "https://a.example", "events": [1]}), 5, "events[0]").await;
        check(json!({"url": "https://a.example", "masked": 1}), 5, "masked").await;
        let tried = world.send("POST", "/endpoints?dry_run=true", r#"{"url":"https://a.example"}"#).await;
        assert_eq!(tried.granted().json()["detail"]["dry_run"], json!(true));
        assert_eq!(world.get("/endpoints").await.data(), json!([]));
    }

    #[tokio::test]
    async fn there_are_only_so_many() {
        let world = World::new().await;
        for n in 0..callveil_domain::endpoint::ENDPOINTS {
            make(&world, json!({"url": format!("https://a.example/{n}")})).await.granted();
        }
        make(&world, json!({"url": "https://a.example/more"})).await.refused(409, 8);
    }
}
