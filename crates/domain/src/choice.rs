//! Which virtual number to lend: plain functions over the pool and what these parties hold or held.
//!
//! The default rule, *fresh*, draws eight of the numbers that may be lent and takes the one which these parties
//! used longest ago, so that a number rarely comes back to somebody with another counterpart. Where a party has
//! little of the pool left, the first free number is taken instead: packing loses the least then.

use rand_core::Rng;

use crate::allocation::{Parties, Side};
use crate::below;
use crate::number::PhoneNumber;
use crate::settings::Choice;
use crate::store::PastClaim;
use crate::time::Timestamp;
use crate::virtual_number::{FlowId, Kind, NumberType, Pool, Pooled, Region};

/// How many numbers *fresh* compares. More find fresher numbers and cost in proportion; at 8 a number comes back
/// to a party with another counterpart within a day in under half a percent of cases.
const SAMPLE: usize = 8;

/// How many draws may hit numbers in use before the pool is looked through instead.
const DRAWS: usize = 40;

/// What a virtual number should be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// This very number.
    pub number: Option<PhoneNumber>,
    /// Of this region.
    pub region: Option<Region>,
    /// Of this type.
    pub number_type: Option<NumberType>,
    /// Whether all three must hold, or as many as can.
    pub strict: bool,
    /// Of the flow with this name. Not a preference: a number of another flow never serves.
    pub flow: Option<FlowId>,
    /// Whether the flow is the tenant's default one, which numbers without a flow serve.
    pub flow_is_default: bool,
    /// A number that must not be chosen: the one to be changed.
    pub not: Option<PhoneNumber>,
}

impl Wanted {
    fn served_by(&self, kind: &Kind) -> bool {
        match (&self.flow, &kind.flow) {
            (None, _) => true,
            (Some(wanted), Some(flow)) => wanted == flow,
            (Some(_), None) => self.flow_is_default,
        }
    }

    /// How many of the wished-for properties the numbers of this kind have; `None` if they may not be chosen.
    fn score(&self, kind: &Kind) -> Option<u32> {
        if !self.served_by(kind) {
            return None;
        }
        let region = self.region.is_none() || self.region == kind.region;
        let number_type = self.number_type.is_none() || self.number_type == kind.number_type;
        if self.strict && !(region && number_type) {
            return None;
        }
        Some(u32::from(region) + u32::from(number_type))
    }
}

/// What these parties hold or held, by virtual number.
#[derive(Clone, Debug)]
pub struct Past {
    /// Invariant: ascending by virtual number, each once, with the latest time.
    last_use: Vec<(PhoneNumber, Timestamp)>,
    /// The virtual number that the same two sides had last.
    together: Option<PhoneNumber>,
    now: Timestamp,
}

impl Past {
    /// Reads the past of the parties out of the claims of all their numbers.
    pub fn new(claims: &[PastClaim], parties: &Parties, now: Timestamp) -> Past {
        let mut last_use: Vec<_> = claims.iter().map(|c| (c.virtual_number, c.held_until)).collect();
        last_use.sort_by(|x, y| x.0.cmp(&y.0).then(y.1.cmp(&x.1)));
        last_use.dedup_by_key(|(number, _)| *number);
        Past { last_use, together: together(claims, parties), now }
    }

    fn last_use(&self, number: PhoneNumber) -> Option<Timestamp> {
        self.last_use.binary_search_by_key(&number, |(n, _)| *n).ok().map(|at| self.last_use[at].1)
    }

    fn is_free(&self, number: PhoneNumber) -> bool {
        self.last_use(number).is_none_or(|until| until <= self.now)
    }

    fn in_use(&self) -> usize {
        self.last_use.iter().filter(|(_, until)| *until > self.now).count()
    }
}

/// The virtual number of the latest allocation that had a number of each side.
fn together(claims: &[PastClaim], parties: &Parties) -> Option<PhoneNumber> {
    let of = |side: Side| claims.iter().filter(move |c| parties.side(side).numbers.contains(&c.number));
    let met = of(Side::A).filter(|a| of(Side::B).any(|b| b.allocation == a.allocation));
    met.max_by_key(|c| c.held_until).map(|c| c.virtual_number)
}

/// Chooses a virtual number for parties with this past, passing over those in `excluded`. `None` if none may be
/// lent to them.
pub fn pick(
    pool: &Pool,
    wanted: &Wanted,
    choice: Choice,
    past: &Past,
    excluded: &[PhoneNumber],
    rng: &mut (dyn Rng + Send),
) -> Option<PhoneNumber> {
    let may_be_lent = |pooled: &Pooled| {
        let number = pooled.number.number;
        past.is_free(number)
            && wanted.not != Some(number)
            && !excluded.contains(&number)
            && (choice != Choice::Exclusive || pooled.load.get() == 0)
    };
    let mut kinds: Vec<(u32, &[u32])> = Vec::new();
    let mut named: Option<(u32, PhoneNumber)> = None;
    for (kind, positions) in pool.open() {
        let Some(score) = wanted.score(kind) else { continue };
        kinds.push((score, positions));
        if let Some(number) = wanted.number.filter(|n| position_of(pool, positions, *n).is_some()) {
            named = Some((score + 1, number));
        }
    }
    if wanted.strict && wanted.number.is_some() {
        kinds.clear();
    }
    let mut levels: Vec<u32> =
        kinds.iter().map(|(score, _)| *score).chain(named.map(|(score, _)| score)).collect();
    levels.sort_unstable_by(|x, y| y.cmp(x));
    levels.dedup();
    levels.into_iter().find_map(|level| {
        let named_here = named.filter(|(score, _)| *score == level).and_then(|(_, number)| pool.get(number));
        if let Some(pooled) = named_here.filter(|p| may_be_lent(p)) {
            return Some(pooled.number.number);
        }
        let parts =
            kinds.iter().filter(|(score, _)| *score == level).map(|(_, positions)| *positions).collect();
        Group { pool, parts }.pick(choice, past, &may_be_lent, rng)
    })
}

fn position_of(pool: &Pool, positions: &[u32], number: PhoneNumber) -> Option<usize> {
    positions.binary_search_by_key(&number, |at| pool.numbers()[*at as usize].number.number).ok()
}

/// The open numbers that are equally good by what is wanted.
struct Group<'a> {
    pool: &'a Pool,
    /// Positions in the pool, each part ascending.
    parts: Vec<&'a [u32]>,
}

impl<'a> Group<'a> {
    fn pick(
        &self,
        choice: Choice,
        past: &Past,
        may_be_lent: &dyn Fn(&Pooled) -> bool,
        rng: &mut (dyn Rng + Send),
    ) -> Option<PhoneNumber> {
        let chosen = match choice {
            Choice::Pack => self.first(may_be_lent),
            Choice::Fresh | Choice::Exclusive => self.fresh(past, may_be_lent, rng),
            Choice::Sticky => self
                .the_one_they_had(past)
                .filter(|p| may_be_lent(p))
                .or_else(|| self.fresh(past, may_be_lent, rng)),
        };
        chosen.map(|p| p.number.number)
    }

    fn first(&self, may_be_lent: &dyn Fn(&Pooled) -> bool) -> Option<&'a Pooled> {
        let firsts =
            self.parts.iter().filter_map(|part| part.iter().find(|at| may_be_lent(self.at(**at))).copied());
        firsts.min().map(|at| self.at(at))
    }

    fn the_one_they_had(&self, past: &Past) -> Option<&'a Pooled> {
        let number = past.together?;
        let stands_here = self.parts.iter().any(|part| position_of(self.pool, part, number).is_some());
        if stands_here { self.pool.get(number) } else { None }
    }

    fn fresh(
        &self,
        past: &Past,
        may_be_lent: &dyn Fn(&Pooled) -> bool,
        rng: &mut (dyn Rng + Send),
    ) -> Option<&'a Pooled> {
        let size: usize = self.parts.iter().map(|part| part.len()).sum();
        if size == 0 {
            return None;
        }
        if past.in_use() * 10 <= size * 9 {
            let mut drawn = Vec::with_capacity(SAMPLE);
            for _ in 0..DRAWS {
                let pooled = self.nth(below(rng, size));
                if may_be_lent(pooled) {
                    drawn.push(pooled);
                    if drawn.len() == SAMPLE {
                        return freshest(drawn, past);
                    }
                }
            }
        }
        let free: Vec<&Pooled> = self
            .parts
            .iter()
            .flat_map(|part| part.iter())
            .map(|at| self.at(*at))
            .filter(|p| may_be_lent(p))
            .collect();
        if free.len() * 10 < size {
            return free.into_iter().min_by_key(|p| p.number.number);
        }
        let sample = (0..SAMPLE).map(|_| free[below(rng, free.len())]).collect();
        freshest(sample, past)
    }

    fn at(&self, position: u32) -> &'a Pooled {
        &self.pool.numbers()[position as usize]
    }

    fn nth(&self, mut n: usize) -> &'a Pooled {
        for part in &self.parts {
            match part.get(n) {
                Some(position) => return self.at(*position),
                None => n -= part.len(),
            }
        }
        unreachable!("law: n is below the size of the group")
    }
}

/// The one used longest ago, never being longest; among equals the one with the fewest allocations.
fn freshest<'a>(sample: Vec<&'a Pooled>, past: &Past) -> Option<&'a Pooled> {
    sample.into_iter().min_by_key(|p| (past.last_use(p.number.number), p.load.get()))
}

/// Why no virtual number could be lent: how many of the pool each reason excluded. Reasons are looked at in the
/// order of the fields, and each number counts under the first that excludes it, except that a number in use by
/// several parties counts for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shortage {
    /// How many numbers the pool has.
    pub pool: usize,
    /// Draining.
    pub draining: usize,
    /// Of another flow.
    pub other_flow: usize,
    /// Not the number asked for, under strictness; or the number to be changed.
    pub not_the_number: usize,
    /// Of another region, under strictness.
    pub other_region: usize,
    /// Of another type, under strictness.
    pub other_type: usize,
    /// In use by the party at this place of the request: side, place in its list, how many.
    pub in_use_by: Vec<(Side, usize, usize)>,
    /// With as many live pins as they may carry, or with one of the pins asked for.
    pub pins: usize,
    /// With an allocation, where each is to be alone.
    pub occupied: usize,
    /// The earliest moment at which the parties' own use of one of the numbers ends.
    pub frees_at: Option<Timestamp>,
}

/// Counts what excluded every number of the pool. `no_room` are those that were tried and had no room for pins.
pub fn explain(
    pool: &Pool,
    wanted: &Wanted,
    claims: &[PastClaim],
    parties: &Parties,
    no_room: &[PhoneNumber],
    now: Timestamp,
) -> Shortage {
    let mut shortage = Shortage { pool: pool.numbers().len(), ..Shortage::default() };
    let mut held: Vec<&PastClaim> = claims.iter().filter(|c| c.held_until > now).collect();
    held.sort_by_key(|c| c.virtual_number);
    let places: Vec<(Side, usize, PhoneNumber)> = Side::BOTH
        .into_iter()
        .flat_map(|side| parties.side(side).numbers.iter().enumerate().map(move |(at, n)| (side, at, *n)))
        .collect();
    let mut in_use = vec![0; places.len()];
    let mut open = vec![false; pool.numbers().len()];
    for position in pool.open().values().flatten() {
        open[*position as usize] = true;
    }
    for (at, pooled) in pool.numbers().iter().enumerate() {
        let number = &pooled.number;
        let kind = Kind {
            region: number.region.clone(),
            number_type: number.number_type,
            flow: number.flow.clone(),
        };
        let other_number = wanted.strict && wanted.number.is_some_and(|n| n != number.number);
        if !open[at] {
            shortage.draining += 1;
        } else if !wanted.served_by(&kind) {
            shortage.other_flow += 1;
        } else if other_number || wanted.not == Some(number.number) {
            shortage.not_the_number += 1;
        } else if wanted.strict && wanted.region.is_some() && wanted.region != kind.region {
            shortage.other_region += 1;
        } else if wanted.strict && wanted.number_type.is_some() && wanted.number_type != kind.number_type {
            shortage.other_type += 1;
        } else {
            let from = held.partition_point(|c| c.virtual_number < number.number);
            let here: Vec<_> =
                held[from..].iter().take_while(|c| c.virtual_number == number.number).collect();
            for (count, (_, _, party)) in in_use.iter_mut().zip(&places) {
                *count += usize::from(here.iter().any(|c| c.number == *party));
            }
            match here.iter().map(|c| c.held_until).max() {
                Some(until) => shortage.frees_at = Some(shortage.frees_at.map_or(until, |t| t.min(until))),
                None if no_room.contains(&number.number) => shortage.pins += 1,
                None => shortage.occupied += 1,
            }
        }
    }
    shortage.in_use_by =
        places.iter().zip(in_use).filter(|(_, n)| *n > 0).map(|((side, at, _), n)| (*side, *at, n)).collect();
    shortage
}
