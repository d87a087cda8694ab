//! What bounds the figures from above on this machine, measured in the same run: the same kind of server with
//! nothing to do, and the store with nothing before it.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use callveil_api::{ApiConfig, ApiState, Metrics, surround};
use callveil_domain::allocation::{Allocation, AllocationId, ConnectionId, Parties, Party, Standing, Usage};
use callveil_domain::node::Node;
use callveil_domain::number::PhoneNumber;
use callveil_domain::store::{AllocationWrite, Change, Guard, Outcome};
use callveil_domain::tenant::Sid;
use callveil_server::serving::Phase;
use callveil_server::serving::listener::{self, Limits};
use tokio::sync::watch;

use crate::load::{Load, Met, now};
use crate::world::{self, POOL, Server, TENANT, free_port, people};

/// The answer of a server that has nothing to do: as long as a real one.
const CONSTANT: &str = r#"{"success":true,"status":200,"code":null,"message":null,"data":{"connection_id":"load-1000000000","aparty_numbers":["+919900000001"],"bparty_numbers":["+919900000002"],"aparty_pins":[],"bparty_pins":[],"usage":"twoway","state":"active","greenvn":"+918000000001","green_vn":"+918000000001","greenvn_id":"019ab1c2-0000-7000-8000-000000000001"}}"#;

/// Serves the constant answer on every route that is measured: callveil's own listener and what stands around each of
/// its requests, and nothing behind that.
pub async fn serve_constant(address: SocketAddr) -> anyhow::Result<()> {
    async fn constant(body: Bytes) -> impl IntoResponse {
        drop(body);
        ([(CONTENT_TYPE, "application/json")], CONSTANT)
    }
    let router = Router::new()
        .route("/v1/tenants/{sid}/greenvn", post(constant))
        .route("/v1/tenants/{sid}/greenvn/{id}", get(constant))
        .route("/v1/tenants/{sid}/greenvn/{id}/call-party", put(constant));
    let directory = tempfile::tempdir()?;
    let node = Arc::new(world::node(world::open(&directory.path().join("unused.db"))?).await?);
    let router = surround(router, &ApiState::new(node, ApiConfig::default(), Metrics::default()));
    let socket = tokio::net::TcpListener::bind(address).await?;
    let limits = Limits {
        connections: NonZeroU32::new(10_000).context("10,000 is not 0")?,
        header_timeout: Duration::from_secs(5),
    };
    let (_running, phase) = watch::channel(Phase::Running);
    listener::serve(socket, router, limits, phase).await;
    Ok(())
}

/// Starts [`serve_constant`] in a process of its own, as the real server has one.
pub async fn constant_server() -> anyhow::Result<Server> {
    let address = free_port()?;
    let child = Command::new(std::env::current_exe()?).arg("constant").arg(address.to_string()).spawn()?;
    Server::ready(child, address).await
}

/// The store writing the rows that a create writes, and reading nothing, for so many callers at once.
pub async fn bare_store(
    node: &Arc<Node>,
    callers: usize,
    length: Duration,
    round: u64,
) -> anyhow::Result<Load> {
    let serial = Arc::new(AtomicU64::new(round * 1_000_000_000));
    let begin = now();
    let workers: Vec<_> = (0..callers)
        .map(|_| {
            let (node, serial) = (Arc::clone(node), Arc::clone(&serial));
            tokio::spawn(async move {
                let mut micros = Vec::new();
                let mut others = 0;
                while begin.elapsed() < length {
                    let change = rows_of_a_create(&node, serial.fetch_add(1, Ordering::Relaxed))?;
                    let sent = now();
                    match node.store().apply(change).await? {
                        Outcome::Applied => {
                            micros.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX))
                        }
                        Outcome::Refused(_) => others += 1,
                    }
                }
                Met::Ok((micros, others))
            })
        })
        .collect();
    Load::gather(workers, begin).await
}

fn rows_of_a_create(node: &Node, n: u64) -> anyhow::Result<Change> {
    let now = node.now();
    let (a, b) = people(n.wrapping_mul(31));
    let party = |digits| Party {
        numbers: PhoneNumber::from_digits(digits).into_iter().collect(),
        ..Party::default()
    };
    let virtual_number = PhoneNumber::from_digits(918_000_000_000 + n % POOL).expect("a number of 12 digits");
    let tenant = Sid::parse(TENANT)?;
    let allocation = Allocation {
        id: AllocationId::new(now, &mut *node.rng()),
        tenant: tenant.clone(),
        connection: ConnectionId::parse(&format!("bare-{n}"))?,
        virtual_number,
        parties: Parties { a: party(a), b: party(b) },
        usage: Usage::TwoWay,
        flow: None,
        exclusive: false,
        created_at: now,
        standing: Standing::Lent {
            expires_at: now.plus(Duration::from_secs(18_000)),
            cooling: Duration::ZERO,
        },
        version: 1,
    };
    let mut change = Change::at(now);
    change.guards = vec![Guard::Lendable { tenant, virtual_number }, Guard::Shared { virtual_number }];
    change.take = allocation.claims();
    change.allocations.push(AllocationWrite::Insert(allocation));
    Ok(change)
}
