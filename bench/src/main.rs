//! The figures of docs/performance.md, each beside its ceiling from the same run.
//!
//! Rounds of the things compared alternate, and medians are told: machines are noisy, and a ratio of two figures
//! from the same minute says more than either. Load and server share the machine's cores.

mod ceilings;
mod copy;
mod figures;
mod load;
mod markets;
mod media;
mod postgres;
mod requests;
mod ringing;
mod signalling;
mod sipp;
mod webhooks;
mod world;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use callveil_domain::Effect;
use callveil_domain::number::PhoneNumber;
use callveil_domain::routing::route;

use crate::figures::{Latencies, median, report, say};
use crate::load::{Requests, now};
use crate::world::{Server, World};

/// How many callers send at once.
const CALLERS: usize = 256;

/// How many times each thing is measured.
const ROUNDS: u64 = 3;

/// How long each measurement lasts.
const LENGTH: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("constant") => {
            let address = arguments.get(1).context("constant needs an address")?.parse()?;
            ceilings::serve_constant(address).await
        }
        Some("http") => http().await,
        Some("calls") => calls().await,
        Some("growth") => growth().await,
        Some("postgres") => postgres::postgres(rounds(&arguments)?).await,
        Some("copy") => copy::copy(number(&arguments, 1, copy::LIVE)?).await,
        Some("markets") => markets(arguments.get(1).map_or(Ok(1), |scale| scale.parse())?),
        Some("signalling") => signalling::signalling(rounds(&arguments)?).await,
        Some("steady") => {
            signalling::steady(number(&arguments, 1, 1_500)?, number(&arguments, 2, 50_000)?).await
        }
        Some("ringing") => ringing::ringing().await,
        Some("webhooks") if arguments.get(1).is_some_and(|what| what == "creates") => {
            webhooks::creates().await
        }
        Some("webhooks") => webhooks::webhooks().await,
        Some("media") => media(arguments[1..].to_vec()).await,
        Some(other) => {
            bail!(
                "'{other}' is none of http, calls, growth, postgres, copy, markets, signalling, steady, ringing, \
                 webhooks, media"
            )
        }
        None => {
            http().await?;
            calls().await?;
            growth().await?;
            postgres::postgres(ROUNDS).await?;
            copy::copy(copy::LIVE).await?;
            markets(1)?;
            signalling::signalling(ROUNDS).await?;
            signalling::steady(1_500, 50_000).await?;
            ringing::ringing().await?;
            webhooks::webhooks().await?;
            media(Vec::new()).await
        }
    }
}

/// Sound, by threads of its own: `media CALLS RECORDED`.
async fn media(arguments: Vec<String>) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || media::media(&arguments)).await?
}

/// The number at this place of the arguments, or the usual one.
fn number(arguments: &[String], place: usize, usual: u32) -> anyhow::Result<u32> {
    Ok(arguments.get(place).map_or(Ok(usual), |number| number.parse())?)
}

/// The rounds that the second argument asks for.
fn rounds(arguments: &[String]) -> anyhow::Result<u64> {
    Ok(arguments.get(1).map_or(Ok(ROUNDS), |rounds| rounds.parse())?)
}

/// Create, read and update over HTTP with 100,000 live allocations, beside their ceilings.
async fn http() -> anyhow::Result<()> {
    say("HTTP, 256 callers, 100,000 live allocations, pool of 2,000, SQLite with synchronous=FULL");
    let world = World::with(100_000).await?;
    let auth = &world.authorization;
    let mut rounds = Rounds::default();
    for round in 1..=ROUNDS {
        {
            let server = ceilings::constant_server().await?;
            rounds.constant_create.push(send(&server, requests::create(auth, round)).await?);
            rounds.constant_read.push(send(&server, requests::read(auth, &world.ids)).await?);
        }
        {
            let server = world.serve().await?;
            rounds.create.push(send(&server, requests::create(auth, round)).await?);
            rounds.read.push(send(&server, requests::read(auth, &world.ids)).await?);
            rounds.update.push(send(&server, requests::update(auth, &world.ids, round)).await?);
        }
        let node = Arc::new(world::node(world::open(&world.database())?).await?);
        let bare = ceilings::bare_store(&node, CALLERS, LENGTH, round).await?;
        rounds.bare.push(Measured::of(bare));
    }
    rounds.tell();
    Ok(())
}

/// Decisions of calls, in process, at 10,000 a second.
async fn calls() -> anyhow::Result<()> {
    say("\nDeciding calls in process, 100,000 live allocations");
    let world = World::with(100_000).await?;
    let node = world::node(world::open(&world.database())?).await?;
    let mut known = Vec::new();
    for id in world.ids.iter().take(20_000) {
        let tenant = node.directory().tenant(world::TENANT).context("the tenant was made")?.sid.clone();
        let allocation = node.store().allocation(&tenant, *id).await?.context("it was made")?;
        known.push((allocation.parties.a.numbers[0], allocation.virtual_number));
    }
    let mut p99 = Vec::new();
    for _ in 0..ROUNDS {
        p99.push(decide_at(10_000, &node, &known).await?.percentile(0.99));
    }
    let p99 = median(p99);
    report("route at 10,000/s: p99", &format!("{p99:.3} ms"), "under 1 ms", p99 < 1.0);
    Ok(())
}

pub async fn decide_at(
    rate: u32,
    node: &callveil_domain::node::Node,
    known: &[(PhoneNumber, PhoneNumber)],
) -> anyhow::Result<Latencies> {
    let mut latencies = Vec::new();
    let begin = now();
    let count = u64::from(rate) * LENGTH.as_secs();
    for n in 0..count {
        let due = begin + Duration::from_secs(1) / rate * u32::try_from(n)?;
        if now() < due {
            world::pause(due - now()).await;
        }
        // From the moment it was due: a stall counts for every call that waits behind it.
        let (caller, virtual_number) = known[usize::try_from(n)? * 7_919 % known.len()];
        let mut rng = node.rng();
        let ctx = node.ctx(&mut *rng, Effect::Keep);
        let asked = now().max(due);
        route(&ctx, Some(caller), virtual_number).await?;
        latencies.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    let mut all = Latencies::default();
    all.add(latencies);
    Ok(all)
}

/// What a create costs with 10,000 and with 1,000,000 live allocations, and the memory that the latter need.
async fn growth() -> anyhow::Result<()> {
    say("\nGrowth with the number of live allocations");
    let small = World::with(10_000).await?;
    let large = World::with(1_000_000).await?;
    let (mut at_small, mut at_large, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        for (world, costs) in [(&small, &mut at_small), (&large, &mut at_large)] {
            let server = world.serve().await?;
            let before = server.processor_seconds()?;
            let created = send(&server, requests::create(&world.authorization, round)).await?;
            let used = server.processor_seconds()? - before;
            costs.push((created.rate, used / (created.rate * LENGTH.as_secs_f64()) * 1e6));
            if world.ids.len() == 100_000 {
                send(&server, requests::read(&world.authorization, &world.ids)).await?;
                memory.push(server.resident_mib()?);
            }
        }
    }
    let middle =
        |figures: &[(f64, f64)], which: fn(&(f64, f64)) -> f64| median(figures.iter().map(which).collect());
    let (rate_small, rate_large) = (middle(&at_small, |f| f.0), middle(&at_large, |f| f.0));
    let (cost_small, cost_large) = (middle(&at_small, |f| f.1), middle(&at_large, |f| f.1));
    say(&format!("  creates/s: {rate_small:.0} at 10,000 live, {rate_large:.0} at 1,000,000"));
    say(&format!("  processor time of a create: {cost_small:.0} us and {cost_large:.0} us"));
    let ratio = rate_small / rate_large;
    report(
        "cost of a create at 1,000,000 live / at 10,000",
        &format!("{ratio:.2}"),
        "at most 1.5",
        ratio <= 1.5,
    );
    let memory = median(memory);
    report("resident memory, 1,000,000 live", &format!("{memory:.0} MiB"), "under 256 MiB", memory < 256.0);
    Ok(())
}

/// The pools that six markets need, `scale` times smaller than they are.
fn markets(scale: usize) -> anyhow::Result<()> {
    say(&format!("\nPools of six markets, {} allocations each", 1_000_000 / scale));
    for market in &markets::MARKETS {
        let needed = markets::play(market, scale);
        let ratio = needed.pool as f64 / needed.bound as f64;
        let measured = format!(
            "{} / {} = {ratio:.3}; refused {}; back within 24 h {:.2} %",
            needed.pool,
            needed.bound,
            needed.refused,
            needed.reuse * 100.0
        );
        let fresh = market.reuse_limit.is_none_or(|limit| needed.reuse <= limit);
        let aim = match market.reuse_limit {
            Some(limit) => format!("at most 1.05; 0; {:.1} %", limit * 100.0),
            None => "at most 1.05; 0".to_owned(),
        };
        report(market.name, &measured, &aim, ratio <= 1.05 && needed.refused == 0 && fresh);
    }
    Ok(())
}

async fn send(server: &Server, requests: Requests) -> anyhow::Result<Measured> {
    let measured = Measured::of(load::run(server.address, CALLERS, LENGTH, requests).await?);
    if measured.others > 0 {
        say(&format!("  {} answers were not 200", measured.others));
    }
    Ok(measured)
}

/// The figures of one load.
struct Measured {
    rate: f64,
    p50: f64,
    p99: f64,
    others: u64,
}

impl Measured {
    fn of(mut load: load::Load) -> Measured {
        let (p50, p99) = (load.latencies.percentile(0.5), load.latencies.percentile(0.99));
        Measured { rate: load.rate, p50, p99, others: load.others }
    }
}

#[derive(Default)]
struct Rounds {
    constant_create: Vec<Measured>,
    constant_read: Vec<Measured>,
    bare: Vec<Measured>,
    create: Vec<Measured>,
    read: Vec<Measured>,
    update: Vec<Measured>,
}

impl Rounds {
    fn tell(&self) {
        let rate = |figures: &[Measured]| median(figures.iter().map(|m| m.rate).collect());
        let p50 = |figures: &[Measured]| median(figures.iter().map(|m| m.p50).collect());
        let p99 = |figures: &[Measured]| median(figures.iter().map(|m| m.p99).collect());
        let named = [
            ("ceiling: constant answer to a create", &self.constant_create),
            ("ceiling: constant answer to a read", &self.constant_read),
            ("ceiling: bare store, rows of a create", &self.bare),
            ("create", &self.create),
            ("read", &self.read),
            ("update parties", &self.update),
        ];
        for (name, figures) in named {
            let all: Vec<String> = figures.iter().map(|m| format!("{:.0}", m.rate)).collect();
            say(&format!(
                "  {name:<40} {:>7.0}/s  p50 {:>6.2} ms  p99 {:>6.2} ms  (rounds: {})",
                rate(figures),
                p50(figures),
                p99(figures),
                all.join(", ")
            ));
        }
        let create = rate(&self.create);
        report("create, durable", &format!("{create:.0}/s"), "at least 10,000/s", create >= 10_000.0);
        let latency = p99(&self.create);
        report("create: p99", &format!("{latency:.1} ms"), "under 50 ms", latency < 50.0);
        let ceiling = rate(&self.constant_create).min(rate(&self.bare));
        let of_ceiling = create / ceiling;
        report("create / lower ceiling", &format!("{of_ceiling:.2}"), "at least 0.5", of_ceiling >= 0.5);
        let read = rate(&self.read) / rate(&self.constant_read);
        report("read / constant answer", &format!("{read:.2}"), "at least 0.7", read >= 0.7);
        let update = rate(&self.update) / create;
        report("update parties / create", &format!("{update:.2}"), "at least 0.7", update >= 0.7);
    }
}
