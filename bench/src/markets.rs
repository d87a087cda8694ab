//! How many virtual numbers six kinds of market need under the default rule, against the least possible.
//!
//! Every market is played twice through [`choice::pick`], the very function that serves requests: once with a pool
//! that gains a number only when nothing else is left, which gives the pool needed; once with a fixed pool of 1.1
//! times the lower bound, which gives refusals and how soon numbers come back to a party with another counterpart.
//! The lower bound is the most claims that any one number holds at once: each needs a virtual number of its own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use callveil_domain::allocation::{AllocationId, Parties, Party};
use callveil_domain::choice::{Past, Wanted, pick};
use callveil_domain::number::PhoneNumber;
use callveil_domain::settings::Choice;
use callveil_domain::store::PastClaim;
use callveil_domain::time::Timestamp;
use callveil_domain::virtual_number::{Lending, Load, Pool, Pooled, VirtualNumber};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How many allocations a market has.
const ALLOCATIONS: usize = 1_000_000;

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3_600.0;
const DAY: f64 = 86_400.0;

/// A kind of market: who meets whom, how often, for how long.
pub struct Market {
    /// Its name.
    pub name: &'static str,
    /// How many stand on side A, how unequally busy they are (Zipf's exponent), and how many allocations one may
    /// have at once.
    a: (usize, f64, Option<u32>),
    /// How many stand on side B, and how unequally busy they are. `None`: both sides are one crowd.
    b: Option<(usize, f64)>,
    /// How long an allocation lives, in seconds, and how the logarithm of it scatters.
    life: (f64, f64),
    /// How long it cools, in seconds.
    cooling: f64,
    /// Over how many seconds the allocations come.
    span: f64,
    /// The share of allocations that repeat an earlier pair.
    repeats: f64,
    /// The most numbers of a party.
    numbers: usize,
    /// The share of claims that may come back within a day, where one is aimed at.
    pub reuse_limit: Option<f64>,
}

/// The six markets.
pub const MARKETS: [Market; 6] = [
    Market {
        name: "ride, 24 h cooling",
        a: (20_000, 0.4, Some(2)),
        b: Some((400_000, 0.2)),
        life: (25.0 * MINUTE, 0.4),
        cooling: DAY,
        span: 2.0 * DAY,
        repeats: 0.0,
        numbers: 1,
        reuse_limit: Some(0.005),
    },
    Market {
        name: "courier, 24 h cooling",
        a: (5_000, 0.3, Some(5)),
        b: Some((300_000, 0.2)),
        life: (45.0 * MINUTE, 0.4),
        cooling: DAY,
        span: 4.2 * DAY,
        repeats: 0.05,
        numbers: 1,
        reuse_limit: None,
    },
    Market {
        name: "courier, 1 to 3 numbers a party",
        a: (5_000, 0.3, Some(5)),
        b: Some((300_000, 0.2)),
        life: (45.0 * MINUTE, 0.4),
        cooling: DAY,
        span: 4.2 * DAY,
        repeats: 0.05,
        numbers: 3,
        reuse_limit: None,
    },
    Market {
        name: "person to person, 7 d cooling",
        a: (100_000, 0.6, None),
        b: None,
        life: (3.0 * DAY, 0.5),
        cooling: 7.0 * DAY,
        span: 20.0 * DAY,
        repeats: 0.0,
        numbers: 1,
        reuse_limit: None,
    },
    Market {
        name: "classified, 7 d cooling",
        a: (50_000, 0.6, None),
        b: Some((500_000, 0.2)),
        life: (30.0 * DAY, 0.0),
        cooling: 7.0 * DAY,
        span: 90.0 * DAY,
        repeats: 0.1,
        numbers: 1,
        reuse_limit: None,
    },
    Market {
        name: "dense, no cooling",
        a: (2_000, 0.0, None),
        b: Some((2_000, 0.0)),
        life: (DAY, 0.4),
        cooling: 0.0,
        span: 10.0 * DAY,
        repeats: 0.0,
        numbers: 1,
        reuse_limit: None,
    },
];

/// What a market needed.
pub struct Needed {
    /// The most claims of any one number at once.
    pub bound: usize,
    /// The pool that grew as needed.
    pub pool: usize,
    /// Requests without a number at a pool of 1.1 times the bound.
    pub refused: usize,
    /// The share of claims in that run by which a party met a virtual number again with another counterpart, less
    /// than a day after its cooling ended.
    pub reuse: f64,
}

/// Plays a market, `scale` times smaller than it is: a `scale`-th of the people meet as often as all would.
pub fn play(market: &Market, scale: usize) -> Needed {
    let arrivals = market.arrivals(scale);
    let bound = lower_bound(&arrivals);
    let grown = run(&arrivals, 1, true);
    let fixed = run(&arrivals, (bound * 11).div_ceil(10), false);
    Needed { bound, pool: grown.pool, refused: fixed.refused, reuse: fixed.reuse }
}

struct Arrival {
    at: Timestamp,
    ends: Timestamp,
    held_until: Timestamp,
    parties: Parties,
}

impl Market {
    fn arrivals(&self, scale: usize) -> Vec<Arrival> {
        let mut rng = StdRng::seed_from_u64(42);
        let count = ALLOCATIONS / scale;
        let (a_size, a_skew, at_once) = self.a;
        let a_side = Crowd::new(a_size / scale, a_skew);
        let b_side = self.b.map(|(size, skew)| Crowd::new(size / scale, skew));
        let mut busy: HashMap<usize, u32> = HashMap::new();
        let mut ends: BinaryHeap<Reverse<(Timestamp, usize)>> = BinaryHeap::new();
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        let mut arrivals = Vec::with_capacity(count);
        let mut seconds = 0.0;
        while arrivals.len() < count {
            // A Poisson stream thinned by the hour of the day: six times as busy at its height as at its low.
            seconds += -rng.random::<f64>().max(1e-12).ln() * self.span / count as f64 * 0.58;
            let hour = (seconds % DAY) / DAY * std::f64::consts::TAU;
            if rng.random::<f64>() > (1.0 + 0.72 * hour.sin()) / 1.72 {
                continue;
            }
            let at = moment(seconds);
            while let Some(Reverse((_, a))) = ends.peek().copied().filter(|Reverse((end, _))| *end <= at) {
                ends.pop();
                busy.entry(a).and_modify(|n| *n -= 1);
            }
            let (a, b) = if !pairs.is_empty() && rng.random::<f64>() < self.repeats {
                pairs[rng.random_range(0..pairs.len())]
            } else {
                let a = a_side.draw(&mut rng);
                match &b_side {
                    Some(crowd) => (a, a_size + crowd.draw(&mut rng)),
                    None => (a, a_side.draw(&mut rng)),
                }
            };
            if a == b || at_once.is_some_and(|most| busy.get(&a).is_some_and(|n| *n >= most)) {
                continue;
            }
            let (mean, scatter) = self.life;
            let life = mean * (scatter * normal(&mut rng) - scatter * scatter / 2.0).exp();
            let ending = moment(seconds + life);
            *busy.entry(a).or_default() += 1;
            ends.push(Reverse((ending, a)));
            pairs.push((a, b));
            let party = |person: usize| {
                // How many numbers somebody has does not change from one allocation to the next.
                let numbers = 1 + person * 7 % self.numbers;
                Party { numbers: (0..numbers).map(|n| number(person * 4 + n)).collect(), ..Party::default() }
            };
            arrivals.push(Arrival {
                at,
                ends: ending,
                held_until: ending.plus(Duration::from_secs_f64(self.cooling)),
                parties: Parties { a: party(a), b: party(b) },
            });
        }
        arrivals
    }
}

fn lower_bound(arrivals: &[Arrival]) -> usize {
    let mut held: HashMap<PhoneNumber, usize> = HashMap::new();
    let mut frees: BinaryHeap<Reverse<(Timestamp, PhoneNumber)>> = BinaryHeap::new();
    let mut most = 0;
    for arrival in arrivals {
        while let Some(Reverse((_, number))) =
            frees.peek().copied().filter(|Reverse((t, _))| *t <= arrival.at)
        {
            frees.pop();
            held.entry(number).and_modify(|n| *n -= 1);
        }
        for number in arrival.parties.numbers() {
            let count = held.entry(number).or_default();
            *count += 1;
            most = most.max(*count);
            frees.push(Reverse((arrival.held_until, number)));
        }
    }
    most
}

struct Run {
    pool: usize,
    refused: usize,
    reuse: f64,
}

/// A claim and whom it was shared with.
struct Met {
    claim: PastClaim,
    counterpart: PhoneNumber,
}

fn run(arrivals: &[Arrival], size: usize, grows: bool) -> Run {
    let mut rng = StdRng::seed_from_u64(7);
    let mut loads: Vec<Load> = (0..size).map(|_| Load::default()).collect();
    let mut pool = pool_of(&loads);
    let mut past: HashMap<PhoneNumber, Vec<Met>> = HashMap::new();
    let mut ends: BinaryHeap<Reverse<(Timestamp, PhoneNumber)>> = BinaryHeap::new();
    let (mut refused, mut claims, mut reused) = (0, 0usize, 0usize);
    for (serial, arrival) in arrivals.iter().enumerate() {
        while let Some(Reverse((_, vn))) = ends.peek().copied().filter(|Reverse((t, _))| *t <= arrival.at) {
            ends.pop();
            pool.get(vn).into_iter().for_each(|p| p.load.shrink());
        }
        let mine = arrival.parties.numbers().filter_map(|n| past.get(&n)).flatten();
        let mine: Vec<PastClaim> = mine.map(|met| met.claim).collect();
        let history = Past::new(&mine, &arrival.parties, arrival.at);
        let wanted = Wanted::default();
        let chosen = pick(&pool, &wanted, Choice::Fresh, &history, &[], &mut rng).or_else(|| {
            grows.then(|| {
                loads.push(Load::default());
                pool = pool_of(&loads);
                pick(&pool, &wanted, Choice::Fresh, &history, &[], &mut rng).expect("the new number is free")
            })
        });
        let Some(vn) = chosen else {
            refused += 1;
            continue;
        };
        pool.get(vn).into_iter().for_each(|p| p.load.grow());
        ends.push(Reverse((arrival.ends, vn)));
        let serial = u128::try_from(serial).expect("a count").to_be_bytes();
        let (a, b) = (&arrival.parties.a.numbers, &arrival.parties.b.numbers);
        for (own, other) in [(a, b), (b, a)] {
            for number in own {
                claims += 1;
                let counterpart = other[0];
                let mets = past.entry(*number).or_default();
                let claim = PastClaim {
                    number: *number,
                    virtual_number: vn,
                    allocation: AllocationId::from_bytes(serial),
                    held_until: arrival.held_until,
                };
                match mets.iter_mut().find(|met| met.claim.virtual_number == vn) {
                    Some(met) => {
                        let since = arrival.at.since(met.claim.held_until);
                        reused += usize::from(
                            met.counterpart != counterpart && since < Duration::from_secs_f64(24.0 * HOUR),
                        );
                        *met = Met { claim, counterpart };
                    }
                    None => mets.push(Met { claim, counterpart }),
                }
            }
        }
    }
    Run { pool: loads.len(), refused, reuse: reused as f64 / claims as f64 }
}

fn pool_of(loads: &[Load]) -> Pool {
    let number = |at: usize| VirtualNumber {
        number: PhoneNumber::from_digits(918_000_000_000 + at as u64).expect("a number"),
        region: None,
        number_type: None,
        flow: None,
        state: Lending::Open,
    };
    Pool::new(
        loads
            .iter()
            .enumerate()
            .map(|(at, load)| Pooled { number: number(at), load: load.clone() })
            .collect(),
    )
}

fn number(n: usize) -> PhoneNumber {
    PhoneNumber::from_digits(919_000_000_000 + n as u64).expect("a number")
}

fn moment(seconds: f64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs_f64(seconds))
}

/// A standard normal variate, by Box and Muller.
fn normal(rng: &mut StdRng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * u.max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// People who are unequally busy: the n-th busiest in proportion to 1 / n^skew.
struct Crowd {
    cumulated: Vec<f64>,
}

impl Crowd {
    fn new(size: usize, skew: f64) -> Crowd {
        let mut sum = 0.0;
        let cumulated = (1..=size).map(|rank| {
            sum += (rank as f64).powf(-skew);
            sum
        });
        Crowd { cumulated: cumulated.collect() }
    }

    fn draw(&self, rng: &mut StdRng) -> usize {
        let total = self.cumulated.last().copied().unwrap_or_default();
        let at = rng.random::<f64>() * total;
        self.cumulated.partition_point(|c| *c < at).min(self.cumulated.len() - 1)
    }
}
