//! `GET /v1/tenants/{sid}/calls`: lists calls, newest first.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, Uri};
use callveil_domain::calls::CallEnd;
use callveil_domain::store::CallQuery;
use callveil_domain::tenant::Tenant as Known;
use utoipa::IntoParams;

use crate::ApiState;
use crate::envelope::{self, Page};
use crate::facts::Call;
use crate::problem::Problem;
use crate::query::{Cursor, Filters};
use crate::tenant::Tenant;

/// What the query may have.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "its fields are documentation; the query is read into a CallQuery")]
pub(crate) struct CallParams {
    /// Calls that arrived at this moment or later, `2026-11-16T14:54:06` in the tenant's zone.
    #[param(required = false, example = "2026-11-16T14:54:06")]
    time_from: String,
    /// Calls that arrived at this moment or earlier.
    #[param(required = false, example = "2026-11-17T00:00:00")]
    time_to: String,
    /// Calls of this allocation.
    #[param(required = false, format = "uuid")]
    greenvn_id: String,
    /// Calls that this number made, or in which it was rung.
    #[param(required = false)]
    number: String,
    /// Calls to this virtual number.
    #[param(required = false)]
    greenvn: String,
    /// `open`, or how they ended: `completed`, `given-up`, `not-answered`, `refused`, `interrupted`.
    #[param(required = false, pattern = "^(open|completed|given-up|not-answered|refused|interrupted)$")]
    state: String,
    /// `next_cursor` of the page before.
    #[param(required = false)]
    cursor: String,
    /// How many a page holds, 50 when left out.
    #[param(required = false, minimum = 1, maximum = 100)]
    page_size: i64,
}

/// List calls
///
/// Lists the calls to the tenant's virtual numbers, newest first, those that last still among them.
#[utoipa::path(
    get,
    path = "/v1/tenants/{sid}/calls",
    operation_id = "listCalls",
    tag = "Calls",
    params(("sid" = String, Path, description = "Your tenant's SID"), CallParams),
    responses((status = 200, description = "A page of calls", body = Page<Call>)),
)]
pub(crate) async fn list(
    State(api): State<ApiState>,
    tenant: Tenant,
    uri: Uri,
) -> Result<Response<Body>, Problem> {
    let wanted = read(&uri, &tenant)?;
    let page_size = wanted.limit - 1;
    let found = api.node.store().calls(&tenant.sid, wanted).await?;

    let (page, more) = envelope::cut(&found, page_size);
    let next = page.last().filter(|_| more).map(|call| Cursor::Call(call.id));
    Ok(envelope::page(page.iter().map(|call| Call::of(&api, call)).collect(), page_size, next))
}

/// One more than a page is asked for, which tells whether there is a next.
fn read(uri: &Uri, tenant: &Known) -> Result<CallQuery, Problem> {
    const KNOWN: &[&str] =
        &["time_from", "time_to", "greenvn_id", "number", "greenvn", "state", "cursor", "page_size"];
    let query = Filters::read(uri, KNOWN)?;
    let home = tenant.settings.country;
    let (from, to) = query.span(tenant.settings.time_zone)?;
    let state = |word: &str| (word == "open" || CallEnd::WORDS.contains(&word)).then(|| word.to_owned());
    let before = |cursor| match cursor {
        Cursor::Call(id) => Some(id),
        Cursor::Event(_) | Cursor::Delivery(..) => None,
    };
    Ok(CallQuery {
        from,
        to,
        allocation: query.allocation()?,
        number: query.number("number", home)?,
        virtual_number: query.number("greenvn", home)?,
        state: query.parsed(
            "state",
            state,
            "must be open, completed, given-up, not-answered, refused or interrupted",
        )?,
        before: query.cursor(before)?,
        limit: query.page_size()? + 1,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use callveil_domain::calls::{CallEnd, Disconnector};
    use serde_json::{Value, json};

    use crate::world::{World, order};

    /// Four calls, a minute apart from 17:30 in India on: A completed one to B, B was refused, a stranger was refused,
    /// and one of A's rings still.
    async fn four() -> (World, String) {
        let world = World::new().await;
        let path = world.allocated().await;
        let mut other = order("order-2");
        other["aparty_numbers"] = json!(["+919900000003"]);
        world.post(other).await.granted();

        world.completed_call("order-1").await;
        world.wait(Duration::from_secs(60));
        let mut call = world.call(Some(919_900_000_002), Some("order-1")).await;
        let one_way = callveil_domain::routing::RefuseReason::OneWay.into();
        call.end(world.node.now(), CallEnd::Refused(one_way), Disconnector::Program);
        world.keep(&mut call).await;
        world.wait(Duration::from_secs(60));
        let mut call = world.call(None, None).await;
        call.end(world.node.now(), CallEnd::GivenUp, Disconnector::Caller);
        world.keep(&mut call).await;
        world.wait(Duration::from_secs(60));
        world.call(Some(919_900_000_001), Some("order-1")).await;
        (world, path.trim_start_matches("/greenvn/").to_owned())
    }

    async fn ends(world: &World, query: &str) -> Vec<Value> {
        let reply = world.get(&format!("/calls?{query}")).await;
        let data = reply.granted().data();
        data.as_array().unwrap().iter().map(|call| call["end"].clone()).collect()
    }

    #[tokio::test]
    async fn calls_are_found_by_what_is_known_of_them() {
        let (world, id) = four().await;
        let all = [json!(null), json!("given-up"), json!("refused"), json!("completed")];

        assert_eq!(ends(&world, "").await, all);
        let of_allocation = ends(&world, &format!("greenvn_id={id}")).await;
        assert_eq!(of_allocation, [json!(null), json!("refused"), json!("completed")]);
        assert_eq!(ends(&world, "number=%2B919900000002").await, [json!("refused"), json!("completed")]);
        assert_eq!(ends(&world, "greenvn=%2B918000000009").await, Vec::<Value>::new());
        assert_eq!(ends(&world, "state=open").await, all[..1]);
        assert_eq!(ends(&world, "state=given-up").await, all[1..2]);
        assert_eq!(ends(&world, "time_from=2026-11-23T17:31:40").await, all[..2]);
        assert_eq!(ends(&world, "time_to=2026-11-23T17:31:40").await, all[2..]);
    }

    #[tokio::test]
    async fn pages_follow_one_another_without_a_gap() {
        let (world, _) = four().await;
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = world.get(&format!("/calls?page_size=3{cursor}")).await;
            let page = page.granted().json();
            seen.extend(page["data"].as_array().unwrap().iter().map(|call| call["call_sid"].clone()));
            assert_eq!(page["metadata"]["page_size"], json!(3));
            let Some(next) = page["metadata"]["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen.len(), 4);
        let all = world.get("/calls").await.data();
        assert_eq!(seen, all.as_array().unwrap().iter().map(|c| c["call_sid"].clone()).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_filter_that_is_none_is_told() {
        let world = World::new().await;
        let check = async |query: &str, code| {
            let reply = world.get(&format!("/calls?{query}")).await;
            assert_eq!((reply.status, reply.code()), (400, Some(code)), "{query}: {}", reply.text);
        };
        check("type=completed", 2).await;
        check("state=done", 5).await;
        check("greenvn_id=1", 5).await;
        check("number=12", 16).await;
        check("time_from=yesterday", 23).await;
        check("time_from=2026-11-23T17:30:00&time_to=2026-11-23T17:29:59", 23).await;
        check("cursor=1", 5).await;
        check("cursor=ZQcHBwcHBwcHBwcHBwcHBwcH", 5).await;
        check("page_size=0", 5).await;
    }
}
