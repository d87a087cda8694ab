//! `GET /v1/tenants/{sid}/greenvn`: lists allocations by when they were made, or looks them up.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, Uri};
use callveil_domain::allocation::{Allocation, ConnectionId, State as Standing};
use callveil_domain::number::PhoneNumber;
use callveil_domain::store::{ListPage, ListQuery, Store, StoreError};
use callveil_domain::tenant::Tenant as Known;
use callveil_domain::time::Timestamp;
use utoipa::IntoParams;

use super::GreenVn;
use crate::ApiState;
use crate::envelope::{self, Answer, Metadata};
use crate::lenient;
use crate::problem::{Kind, Problem};
use crate::query::Filters;
use crate::tenant::Tenant;

/// What the query may have.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "its fields are documentation; Wanted is what they are read into")]
pub(crate) struct ListParams {
    /// Allocations made at this moment or later, `2026-11-16T14:54:06` in the tenant's zone. Mandatory unless
    /// `connection_id` or `number` is given.
    #[param(required = false, example = "2026-11-16T14:54:06")]
    time_from: String,
    /// Allocations made at this moment or earlier; now when left out.
    #[param(required = false, example = "2026-11-17T00:00:00")]
    time_to: String,
    /// `active` or `vault`.
    #[param(required = false, pattern = "^(active|vault)$")]
    state: String,
    /// The same as `state`.
    #[param(required = false, pattern = "^(active|vault)$")]
    status: String,
    /// The allocation that this connection id named last.
    #[param(required = false, max_length = 255)]
    connection_id: String,
    /// The latest 100 allocations with this number on either side.
    #[param(required = false)]
    number: String,
    /// The page, counted from 0.
    #[param(required = false, minimum = 0)]
    cursor: i64,
    /// How many a page holds, 50 when left out.
    #[param(required = false, minimum = 1, maximum = 100)]
    page_size: i64,
}

/// List allocations
///
/// Lists the allocations made in a span of time, newest last, or looks up by connection id or by a party's number.
/// `metadata` tells which page this is and how many there are in all.
#[utoipa::path(
    get,
    path = "/v1/tenants/{sid}/greenvn",
    operation_id = "listGreenVns",
    tag = "GreenVN",
    params(("sid" = String, Path, description = "Your tenant's SID"), ListParams),
    responses((status = 200, description = "A page of allocations", body = Answer<Vec<GreenVn>>)),
)]
pub(crate) async fn list(
    State(api): State<ApiState>,
    tenant: Tenant,
    uri: Uri,
) -> Result<Response<Body>, Problem> {
    let now = api.node.now();
    let wanted = Wanted::read(&uri, &tenant, now)?;
    let ListPage { allocations, total } = wanted.find(&**api.node.store(), &tenant, now).await?;

    let data: Vec<GreenVn<'_>> = allocations.iter().map(|a| GreenVn::of(a, now)).collect();
    let Wanted { cursor, page_size, .. } = wanted;
    let metadata = Metadata { cursor, page_size, count: data.len(), total };
    Ok(envelope::ok(envelope::list(data, metadata)))
}

/// Which allocations are wanted.
struct Wanted {
    by: By,
    from: Timestamp,
    to: Timestamp,
    active: Option<bool>,
    cursor: u64,
    page_size: usize,
}

/// What they are found by.
enum By {
    Time,
    Connection(ConnectionId),
    Number(PhoneNumber),
}

impl Wanted {
    fn read(uri: &Uri, tenant: &Known, now: Timestamp) -> Result<Wanted, Problem> {
        const KNOWN: &[&str] =
            &["time_from", "time_to", "state", "status", "connection_id", "number", "cursor", "page_size"];
        let query = Filters::read(uri, KNOWN)?;
        let by = match (query.get("connection_id"), query.get("number")) {
            (None, None) => By::Time,
            (Some(_), Some(_)) => {
                return Err(Problem::at(Kind::Bad, "number", "cannot be looked up beside connection_id"));
            }
            (Some(id), None) => By::Connection(
                ConnectionId::parse(id).map_err(|e| Problem::at(Kind::Bad, "connection_id", e.0))?,
            ),
            (None, Some(number)) => By::Number(
                lenient::number_in_query(number, tenant.settings.country)
                    .map_err(|wrong| wrong.at("number"))?,
            ),
        };
        let zone = tenant.settings.time_zone;
        let from = query.time("time_from", zone)?;
        let to = query.time("time_to", zone)?.unwrap_or(now);
        let from = match (from, &by) {
            (Some(from), _) => from,
            (None, By::Time) => return Err(Problem::at(Kind::Missing, "time_from", "is mandatory")),
            (None, By::Connection(_) | By::Number(_)) => Timestamp::EPOCH,
        };
        if to < from {
            return Err(Problem::at(Kind::BadDates, "time_to", "is before time_from"));
        }
        Ok(Wanted {
            by,
            from,
            to,
            active: active(&query)?,
            cursor: query.count("cursor", 0, u32::MAX)?.unwrap_or(0).into(),
            page_size: query.count("page_size", 1, 100)?.unwrap_or(50) as usize,
        })
    }

    async fn find(&self, store: &dyn Store, tenant: &Known, now: Timestamp) -> Result<ListPage, StoreError> {
        /// More than a person takes part in.
        const MOST_BY_NUMBER: usize = 100;
        let skip = self.cursor * self.page_size as u64;
        let found = match &self.by {
            By::Time => {
                let Wanted { from, to, active, page_size, .. } = *self;
                let query = ListQuery { from, to, active, now, skip, limit: page_size };
                return store.list(&tenant.sid, query).await;
            }
            By::Connection(id) => {
                store.allocation_by_connection(&tenant.sid, id).await?.into_iter().collect()
            }
            By::Number(number) => {
                let mut newest_first =
                    store.allocations_by_number(&tenant.sid, *number, MOST_BY_NUMBER).await?;
                newest_first.reverse();
                newest_first
            }
        };
        let fitting: Vec<Allocation> = found.into_iter().filter(|a| self.fits(a, now)).collect();
        let total = fitting.len() as u64;
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        Ok(ListPage { allocations: fitting.into_iter().skip(skip).take(self.page_size).collect(), total })
    }

    fn fits(&self, allocation: &Allocation, now: Timestamp) -> bool {
        let is_active = matches!(allocation.state(now), Standing::Active { .. });
        (self.from..=self.to).contains(&allocation.created_at) && self.active.is_none_or(|a| a == is_active)
    }
}

fn active(query: &Filters) -> Result<Option<bool>, Problem> {
    let read = |name: &'static str| match query.get(name) {
        None => Ok(None),
        Some("active") => Ok(Some(true)),
        Some("vault") => Ok(Some(false)),
        Some(_) => Err(Problem::at(Kind::Bad, name, "must be active or vault")),
    };
    match (read("state")?, read("status")?) {
        (Some(state), Some(status)) if state != status => {
            Err(Problem::at(Kind::Bad, "status", "says something else than state"))
        }
        (state, status) => Ok(state.or(status)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use crate::world::{World, order};

    /// Three allocations a minute apart; the second has ended. They were made at 17:30, 17:31 and 17:32 in India.
    async fn three() -> World {
        let world = World::new().await;
        for n in 1..=3 {
            let mut wanted = order(&format!("order-{n}"));
            wanted["bparty_numbers"] = json!([format!("+91990000010{n}")]);
            let data = world.post(wanted).await.granted().data();
            if n == 2 {
                world.delete(&format!("/greenvn/{}", data["greenvn_id"].as_str().unwrap())).await.granted();
            }
            world.wait(Duration::from_secs(60));
        }
        world
    }

    async fn names(world: &World, query: &str) -> Vec<Value> {
        let reply = world.get(&format!("/greenvn?{query}")).await;
        let data = reply.granted().data();
        data.as_array().unwrap().iter().map(|a| a["connection_id"].clone()).collect()
    }

    #[tokio::test]
    async fn a_span_of_time_is_read_in_the_tenants_zone() {
        let world = three().await;
        let all = ["order-1", "order-2", "order-3"];
        for from in [
            "time_from=2026-11-23T17:30:00",
            "time_from=2026-11-23+17:30:00",
            "time_from=2026-11-23T12:00:00Z",
            "time_from=2026-11-23T12:00:00+00:00",
            "time_from=2026-11-23T17:30:00%2B05:30",
        ] {
            assert_eq!(names(&world, from).await, all, "{from}");
        }
        assert_eq!(names(&world, "time_from=2026-11-23T17:31:00").await, all[1..]);
        let span = "time_from=2026-11-23T17:30:30&time_to=2026-11-23T17:31:00";
        assert_eq!(names(&world, span).await, all[1..2]);
        assert_eq!(names(&world, "time_from=2026-11-23T17:30:00&state=active").await, ["order-1", "order-3"]);
        assert_eq!(names(&world, "time_from=2026-11-23T17:30:00&status=vault").await, ["order-2"]);
    }

    #[tokio::test]
    async fn pages_are_told_beside_the_data() {
        let world = three().await;
        let from = "time_from=2026-11-23T17:30:00";
        let page = world.get(&format!("/greenvn?{from}&page_size=2&cursor=1")).await;
        assert_eq!(
            page.granted().json()["metadata"],
            json!({"cursor": 1, "page_size": 2, "count": 1, "total": 3})
        );
        assert_eq!(names(&world, &format!("{from}&page_size=2&cursor=1")).await, ["order-3"]);
        assert_eq!(
            names(&world, &format!("{from}&page_size=2&cursor=4294967295")).await,
            Vec::<Value>::new()
        );
        let first = world.get(&format!("/greenvn?{from}")).await.json();
        assert_eq!(first["metadata"], json!({"cursor": 0, "page_size": 50, "count": 3, "total": 3}));
    }

    #[tokio::test]
    async fn a_name_or_a_number_is_looked_up_without_a_time() {
        let world = three().await;
        assert_eq!(names(&world, "connection_id=order-2").await, ["order-2"]);
        assert_eq!(names(&world, "connection_id=order-9").await, Vec::<Value>::new());
        for number in ["%2B919900000001", "+919900000001", "09900000001"] {
            let found = names(&world, &format!("number={number}")).await;
            assert_eq!(found, ["order-1", "order-2", "order-3"], "{number}");
        }
        assert_eq!(names(&world, "number=%2B919900000103").await, ["order-3"]);
        assert_eq!(
            names(&world, "number=%2B919900000001&state=active&page_size=1&cursor=1").await,
            ["order-3"]
        );
    }

    #[tokio::test]
    async fn what_cannot_be_listed_by_is_told() {
        let world = World::new().await;
        let check = async |query: &str, code| {
            let reply = world.get(&format!("/greenvn?{query}")).await;
            assert_eq!((reply.status, reply.code()), (400, Some(code)), "{query}: {}", reply.text);
        };
        let from = "time_from=2026-11-23T17:30:00";
        check("", 3).await;
        check("time_to=2026-11-23T17:30:00", 3).await;
        check(&format!("{from}&region=KA"), 2).await;
        check("time_from=yesterday", 23).await;
        check("time_from=2026-11-23", 23).await;
        check("time_from=2026-11-31T00:00:00", 23).await;
        check(&format!("{from}&time_to=2026-11-23T17:29:59"), 23).await;
        check("time_from=2027-01-01T00:00:00", 23).await;
        check(&format!("{from}&page_size=101"), 5).await;
        check(&format!("{from}&page_size=0"), 5).await;
        check(&format!("{from}&page_size=%2B5"), 5).await;
        check(&format!("{from}&cursor=-1"), 5).await;
        check(&format!("{from}&cursor=99999999999999999999"), 5).await;
        check(&format!("{from}&state=deleted"), 5).await;
        check(&format!("{from}&state=active&status=vault"), 5).await;
        check(&format!("{from}&{from}"), 5).await;
        check("number=%2B9199xxxx0001", 16).await;
        check("connection_id=", 5).await;
        check("connection_id=a&number=%2B919900000001", 5).await;
        check(&format!("{from}&%FF=1"), 2).await;
    }
}
