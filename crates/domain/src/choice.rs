//! Which virtual number to lend: plain functions over the pool and what these parties hold or held.
//!
//! The default rule, *fresh*, draws eight of the numbers that may be lent and takes the one which these parties
//! used longest ago, so that a number rarely comes back to somebody with another counterpart. Where a party has
//! little of the pool left, the first free number is taken instead: packing loses the least then.

use crate::allocation::{Parties, Side};
use crate::number::PhoneNumber;
use crate::settings::Choice;
use crate::store::PastClaim;
use crate::time::Timestamp;
use crate::virtual_number::{FlowId, Kind, NumberType, Pool, Pooled, Region};
use crate::{Chance, below};

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

    /// How many virtual numbers the parties' numbers hold.
    pub(crate) fn in_use(&self) -> usize {
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
    rng: &mut Chance,
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
        rng: &mut Chance,
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
        rng: &mut Chance,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::allocation::{AllocationId, Party};
    use crate::virtual_number::{Lending, Load, VirtualNumber};

    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    #[test]
    fn the_one_used_longest_ago_is_chosen_and_never_is_longest() {
        let pool = pool((0..3).map(vn));
        let chosen = |past: &[(u64, i64)]| {
            pick_seeded(&pool, &Wanted::default(), Choice::Fresh, &past_of(past), 7).unwrap()
        };

        assert_eq!(chosen(&[(0, -10), (1, -30), (2, -20)]), virtual_number(1));
        assert_eq!(chosen(&[(0, -10), (1, -30)]), virtual_number(2));
    }

    #[test]
    fn among_the_unused_the_one_with_the_fewest_allocations_is_chosen() {
        let pool = pool((0..4).map(|n| Pooled { load: Load::of(if n == 2 { 1 } else { 5 }), ..vn(n) }));
        let chosen = pick_seeded(&pool, &Wanted::default(), Choice::Fresh, &past_of(&[]), 1);

        // Eight draws of four miss one of them in a tenth of all seeds; this seed draws all.
        assert_eq!(chosen, Some(virtual_number(2)));
    }

    #[test]
    fn where_little_is_left_the_first_free_one_is_chosen() {
        let pool = pool((0..100).map(vn));
        let in_use: Vec<(u64, i64)> = (0..95).map(|n| (n, 10)).collect();

        for seed in 0..20 {
            let chosen = pick_seeded(&pool, &Wanted::default(), Choice::Fresh, &past_of(&in_use), seed);
            assert_eq!(chosen, Some(virtual_number(95)));
        }
    }

    #[test]
    fn pack_takes_the_first_free_one() {
        let pool = pool((0..5).map(vn));
        let chosen = pick_seeded(&pool, &Wanted::default(), Choice::Pack, &past_of(&[(0, 5), (1, 0)]), 3);
        assert_eq!(chosen, Some(virtual_number(1)));
    }

    #[test]
    fn sticky_gives_a_pair_the_number_it_had_last() {
        let pool = pool((0..50).map(vn));
        let parties = parties();
        let shared = AllocationId::from_bytes([1; 16]);
        let claim = |number, vn, held_until| PastClaim {
            number,
            virtual_number: virtual_number(vn),
            allocation: shared,
            held_until: Timestamp::from_micros(held_until),
        };
        let (a, b) = (parties.a.numbers[0], parties.b.numbers[0]);
        let past = Past::new(&[claim(a, 17, 5), claim(b, 17, 5)], &parties, NOW);

        assert_eq!(
            pick_seeded(&pool, &Wanted::default(), Choice::Sticky, &past, 1),
            Some(virtual_number(17))
        );
        let elsewhere = Past::new(&[claim(a, 17, 5)], &parties, NOW);
        assert_ne!(
            pick_seeded(&pool, &Wanted::default(), Choice::Sticky, &elsewhere, 1),
            Some(virtual_number(17))
        );
    }

    #[test]
    fn exclusive_takes_only_a_number_without_allocations() {
        let pool = pool((0..9).map(|n| Pooled { load: Load::of(u32::from(n != 4)), ..vn(n) }));
        let chosen = pick_seeded(&pool, &Wanted::default(), Choice::Exclusive, &past_of(&[]), 2);
        assert_eq!(chosen, Some(virtual_number(4)));
    }

    #[test]
    fn most_preferences_are_met_and_all_of_them_under_strictness() {
        let pool = pool([
            of(0, "KA", NumberType::Mobile),
            of(1, "KA", NumberType::Landline),
            of(2, "DL", NumberType::Mobile),
            of(3, "DL", NumberType::Landline),
        ]);
        let wanted = |region: &str, number: Option<u64>, strict| Wanted {
            number: number.map(virtual_number),
            region: Region::parse(region).ok(),
            number_type: Some(NumberType::Mobile),
            strict,
            ..Wanted::default()
        };
        let chosen = |wanted: &Wanted, past: &[(u64, i64)]| {
            pick_seeded(&pool, wanted, Choice::Fresh, &past_of(past), 5)
        };

        assert_eq!(chosen(&wanted("KA", None, false), &[]), Some(virtual_number(0)));
        assert_eq!(chosen(&wanted("KA", None, true), &[(0, 9)]), None, "strict: no other will do");
        let second_best = chosen(&wanted("KA", None, false), &[(0, 9)]).unwrap();
        assert!([virtual_number(1), virtual_number(2)].contains(&second_best), "one of two rather than none");
        assert_eq!(
            chosen(&wanted("KA", Some(1), false), &[(0, 9)]),
            Some(virtual_number(1)),
            "asked for by name"
        );
        assert_eq!(
            chosen(&wanted("KA", Some(3), false), &[]),
            Some(virtual_number(0)),
            "two rather than the name"
        );
        assert_eq!(chosen(&wanted("KA", Some(3), true), &[]), None, "strict: the name must fit too");
        assert_eq!(chosen(&wanted("KA", Some(0), true), &[]), Some(virtual_number(0)));
        assert_eq!(chosen(&wanted("KA", Some(77), true), &[]), None, "not in the pool");
        assert!(chosen(&wanted("KA", Some(77), false), &[]).is_some());
    }

    #[test]
    fn a_number_of_another_flow_never_serves() {
        let flow = |name: &str| FlowId::parse(name).ok();
        let with_flow = |n, name: Option<&str>| {
            let mut pooled = vn(n);
            pooled.number.flow = name.and_then(flow);
            pooled
        };
        let pool = pool([with_flow(0, Some("day")), with_flow(1, Some("night")), with_flow(2, None)]);
        let chosen = |name: &str, default| {
            let wanted = Wanted { flow: flow(name), flow_is_default: default, ..Wanted::default() };
            pick_seeded(&pool, &wanted, Choice::Pack, &past_of(&[]), 0)
        };

        assert_eq!(chosen("night", false), Some(virtual_number(1)));
        assert_eq!(chosen("evening", false), None);
        assert_eq!(chosen("evening", true), Some(virtual_number(2)));
    }

    #[test]
    fn a_shortage_tells_what_excluded_how_many() {
        let mut draining = vn(0);
        draining.number.state = Lending::Draining;
        let pool = pool([draining, of(1, "KA", NumberType::Mobile), of(2, "DL", NumberType::Mobile), vn(3)]);
        let parties = parties();
        let held = PastClaim {
            number: parties.b.numbers[0],
            virtual_number: virtual_number(1),
            allocation: AllocationId::from_bytes([2; 16]),
            held_until: NOW.plus(std::time::Duration::from_secs(60)),
        };
        let wanted = Wanted { region: Region::parse("KA").ok(), strict: true, ..Wanted::default() };

        let shortage = explain(&pool, &wanted, &[held], &parties, &[], NOW);

        assert_eq!(
            shortage,
            Shortage {
                pool: 4,
                draining: 1,
                other_region: 2,
                in_use_by: vec![(Side::B, 0, 1)],
                frees_at: Some(held.held_until),
                ..Shortage::default()
            }
        );
    }

    proptest! {
        #[test]
        fn what_is_chosen_may_always_be_lent(
            size in 1u64..60,
            in_use in proptest::collection::vec((0u64..60, -50i64..50), 0..80),
            excluded in proptest::collection::vec(0u64..60, 0..20),
            draining in proptest::collection::btree_set(0u64..60, 0..30),
            rule in 0usize..4,
            strict: bool,
            seed: u64,
        ) {
            let pool = pool((0..size).map(|n| {
                let mut pooled = of(n, ["KA", "DL", "MH"][n as usize % 3], NumberType::Mobile);
                if draining.contains(&n) {
                    pooled.number.state = Lending::Draining;
                }
                pooled
            }));
            let choice = [Choice::Fresh, Choice::Pack, Choice::Sticky, Choice::Exclusive][rule];
            let wanted = Wanted { region: Region::parse("KA").ok(), strict, ..Wanted::default() };
            let past = past_of(&in_use);
            let excluded: Vec<PhoneNumber> = excluded.into_iter().map(virtual_number).collect();
            let mut rng = StdRng::seed_from_u64(seed);

            let chosen = pick(&pool, &wanted, choice, &past, &excluded, &mut rng);

            let fits = |pooled: &&Pooled| {
                let number = pooled.number.number;
                pooled.number.state == Lending::Open
                    && !excluded.contains(&number)
                    && !in_use.iter().any(|(n, until)| virtual_number(*n) == number && *until > 0)
                    && (!strict || pooled.number.region == wanted.region)
            };
            let may: Vec<PhoneNumber> = pool.numbers().iter().filter(fits).map(|p| p.number.number).collect();
            prop_assert_eq!(chosen.is_some(), !may.is_empty());
            prop_assert!(chosen.is_none_or(|n| may.contains(&n)));
        }
    }

    fn pick_seeded(
        pool: &Pool,
        wanted: &Wanted,
        choice: Choice,
        past: &Past,
        seed: u64,
    ) -> Option<PhoneNumber> {
        pick(pool, wanted, choice, past, &[], &mut StdRng::seed_from_u64(seed))
    }

    fn virtual_number(n: u64) -> PhoneNumber {
        PhoneNumber::from_digits(918_000_000_000 + n).unwrap()
    }

    fn vn(n: u64) -> Pooled {
        let number = VirtualNumber {
            number: virtual_number(n),
            region: None,
            number_type: None,
            flow: None,
            state: Lending::Open,
        };
        Pooled { number, load: Load::default() }
    }

    fn of(n: u64, region: &str, number_type: NumberType) -> Pooled {
        let mut pooled = vn(n);
        pooled.number.region = Region::parse(region).ok();
        pooled.number.number_type = Some(number_type);
        pooled
    }

    fn pool(numbers: impl IntoIterator<Item = Pooled>) -> Pool {
        Pool::new(numbers.into_iter().collect())
    }

    fn parties() -> Parties {
        let party =
            |digits| Party { numbers: vec![PhoneNumber::from_digits(digits).unwrap()], ..Party::default() };
        Parties { a: party(12_025_550_101), b: party(12_025_550_102) }
    }

    /// Party A's past: the virtual number, and the seconds from now at which its use ends or ended.
    fn past_of(uses: &[(u64, i64)]) -> Past {
        let parties = parties();
        let claim = |(n, seconds): &(u64, i64)| PastClaim {
            number: parties.a.numbers[0],
            virtual_number: virtual_number(*n),
            allocation: AllocationId::from_bytes([0; 16]),
            held_until: Timestamp::from_micros(NOW.as_micros() + seconds),
        };
        Past::new(&uses.iter().map(claim).collect::<Vec<_>>(), &parties, NOW)
    }
}
