//! Creates on a PostgreSQL, beside what the same rows cost it when they come one transaction each and when they come
//! in one statement for many; decisions of calls; two nodes; and few people who are in everything.

#[path = "../../crates/store/tests/it/cluster.rs"]
#[expect(clippy::unwrap_used, dead_code, reason = "made for tests, which use all of it")]
pub mod cluster;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, bail};
use callveil_domain::store::Store;
use callveil_store::postgres::{PostgresStore, Url, migrate};

use self::cluster::{Cluster, Durability};
use crate::figures::{median, report, say};
use crate::load::{self, Load};
use crate::requests;
use crate::world::{self, TENANT, World};
use crate::{CALLERS, LENGTH, ROUNDS, decide_at};

/// How many connections a node holds, and pgbench too.
const CONNECTIONS: usize = 16;

/// How many allocations are in a statement of many.
const MANY: u64 = 256;

/// How many people are in everything.
const HOT: u64 = 50;

/// How many allocations there are before.
const LIVE: u64 = 100_000;

/// The rows of a create: an allocation, two claims on a number, one on its name, and the audit's entry.
const ROWS: &str = "
    with new as materialized (
        select cast(:serial as bigint) + n as serial, decode(md5(random()::text || n), 'hex') as id
        from generate_series(1, :many) as n),
    allocations as (
        insert into allocation
        select 'bench', id, 'ceiling-' || serial, 918000000000 + serial % 2000, '91' || serial, '', '', null,
            '92' || serial, '', '', null, 2, null, false, 0, 9000000000000000, 0, null, null, null, 1
        from new),
    claims as (
        insert into claim
        select 0, (910000000000000 + serial * 2 + side) % 1000000000000000, 918000000000 + serial % 2000, id, 9000000000000000
        from new, generate_series(0, 1) as side
        on conflict (kind, key, virtual_number) do update
        set allocation_id = excluded.allocation_id, held_until = excluded.held_until
        where claim.held_until <= 0),
    names as (
        insert into connection_claim
        select 'bench', 'ceiling-' || serial, id, 9000000000000000
        from new
        on conflict (tenant_sid, connection_id) do nothing)
    insert into audit
    select decode(md5(random()::text || serial), 'hex'), 0, 'bench', 'bench', null, 'allocation.created', id::text
    from new";

/// Measures all of it.
pub async fn postgres(rounds: u64) -> anyhow::Result<()> {
    say(&format!("\nPostgreSQL, fsync on, {LIVE} live allocations, pool of {}", world::POOL));
    let directory = world::directory()?;
    let cluster = Cluster::make(&directory.path().join("cluster"), Durability::Full);
    cluster.create_database("bench", None);
    let url = cluster.url("bench");
    let parsed: Url = url.parse()?;
    migrate(&parsed).await?;
    let store: Arc<dyn Store> = Arc::new(PostgresStore::open(&parsed, rand::random()).await?);
    let world = World::on(Arc::clone(&store), url.clone(), directory, LIVE).await?;
    cluster.run("bench", "analyze");

    let (mut single, mut many, mut one_node, mut two_nodes) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        single.push(pgbench(&cluster, world.path(), round, 1)?);
        many.push(pgbench(&cluster, world.path(), round, MANY)?);
        let first = world.serve().await?;
        let create = requests::create(&world.authorization, 2 * round);
        one_node.push(load::run(first.address, CALLERS, LENGTH, create).await?);
        let second = world.serve().await?;
        let create = requests::create(&world.authorization, 2 * round + 1);
        let (to_first, to_second) = tokio::join!(
            load::run(first.address, CALLERS / 2, LENGTH, Arc::clone(&create)),
            load::run(
                second.address,
                CALLERS / 2,
                LENGTH,
                requests::create(&world.authorization, 100 + round)
            ),
        );
        two_nodes.push(both(to_first?, to_second?));
    }
    let rate = |loads: &[Load]| median(loads.iter().map(|load| load.rate).collect());
    let (single, many, one, two) = (median(single), median(many), rate(&one_node), rate(&two_nodes));
    say(&format!("  ceiling: one transaction each, {CONNECTIONS} connections  {single:>7.0}/s"));
    say(&format!("  ceiling: one statement for {MANY}                    {many:>7.0}/s"));
    say(&format!("  create through HTTP, one node                    {one:>7.0}/s"));
    say(&format!("  create through HTTP, two nodes together          {two:>7.0}/s"));
    report("create / one transaction each", &format!("{:.2}", one / single), "at least 1.0", one >= single);
    report("create / statement for many", &format!("{:.2}", one / many), "at least 0.4", one >= 0.4 * many);
    report("two nodes / one", &format!("{:.2}", two / one), "at least 1.0", two >= one);
    hot(&world, &cluster).await?;
    calls(&world, store).await
}

fn both(first: Load, second: Load) -> Load {
    Load { rate: first.rate + second.rate, others: first.others + second.others, latencies: first.latencies }
}

/// Few people in everything, over two nodes: who meets another is given another number, and nobody fails.
async fn hot(world: &World, cluster: &Cluster) -> anyhow::Result<()> {
    let undone =
        || cluster.run("bench", "select xact_rollback from pg_stat_database where datname = 'bench'");
    let (first, second) = (world.serve().await?, world.serve().await?);
    let before: u64 = undone().parse()?;
    let (to_first, to_second) = tokio::join!(
        load::run(first.address, 32, LENGTH, requests::create_hot(&world.authorization, 1, HOT)),
        load::run(second.address, 32, LENGTH, requests::create_hot(&world.authorization, 2, HOT)),
    );
    let met = both(to_first?, to_second?);
    // The engine's own counts come a little later.
    world::pause(std::time::Duration::from_secs(2)).await;
    let undone = undone().parse::<u64>()? - before;
    let made = met.rate * LENGTH.as_secs_f64();
    say(&format!(
        "  {HOT} hot people: {made:.0} made, {} refused, {undone} batches written again",
        met.others
    ));
    let pool = f64::from(u32::try_from(world::POOL * HOT / 2)?);
    report("hot people: answers that were neither", &format!("{}", met.others), "0 while numbers last", {
        met.others == 0 || made >= 0.9 * pool
    });
    Ok(())
}

async fn calls(world: &World, store: Arc<dyn Store>) -> anyhow::Result<()> {
    let node = world::node(store).await?;
    let mut known = Vec::new();
    for id in world.ids.iter().take(5_000) {
        let tenant = node.directory().tenant(TENANT).context("the tenant was made")?.sid.clone();
        let allocation = node.store().allocation(&tenant, *id).await?.context("it was made")?;
        known.push((allocation.parties.a.numbers[0], allocation.virtual_number));
    }
    let mut p99 = Vec::new();
    for _ in 0..ROUNDS {
        p99.push(decide_at(2_000, &node, &known).await?.percentile(0.99));
    }
    let p99 = median(p99);
    report("route at 2,000/s: p99", &format!("{p99:.2} ms"), "under 3 ms", p99 < 3.0);
    Ok(())
}

/// How many allocations a second the engine takes, so many in a transaction.
fn pgbench(cluster: &Cluster, directory: &Path, round: u64, many: u64) -> anyhow::Result<f64> {
    let script = directory.join("rows.sql");
    // Serials that no other transaction has.
    let serial = format!("\\set serial random(1, 1000000000) * 1000 + {round} * 1000000000000\n");
    fs::write(&script, format!("{serial}{};\n", ROWS.replace('\n', " ")))?;
    let connections = if many == 1 { CONNECTIONS } else { 2 };
    let ran = Command::new("pgbench")
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
        .arg(format!("--client={connections}"))
        .arg(format!("--time={}", LENGTH.as_secs()))
        .arg(format!("--define=many={many}"))
        .arg("--file")
        .arg(&script)
        .arg(cluster.url("bench"))
        .output()
        .context("running pgbench")?;
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    if !ran.status.success() {
        bail!("pgbench: {told}{}", String::from_utf8_lossy(&ran.stderr));
    }
    let rate = told.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    let rate: f64 = rate.with_context(|| format!("pgbench told no rate: {told}"))?;
    Ok(rate * many as f64)
}
