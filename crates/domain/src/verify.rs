//! Checking that what the store holds keeps the law.
//!
//! Meant for a store that nobody writes to meanwhile, such as a restored backup; beside a running server a finding
//! may be a change that came between two reads, and is worth a second run.

use std::collections::BTreeSet;
use std::fmt;

use crate::allocation::{Allocation, AllocationId, Side, Standing, State};
use crate::store::{Claim, ClaimKey, Store, StoreError};
use crate::tenant::Directory;
use crate::time::Timestamp;

/// How much is read at a time.
const PAGE: usize = 1_000;

/// Something that breaks the law. Never tells a number or a pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The database found damage in its own files.
    Damage(String),
    /// An allocation contradicts itself.
    Malformed(AllocationId, &'static str),
    /// An allocation that is active does not hold one of its keys.
    Unclaimed(AllocationId, &'static str),
    /// Two allocations rely on the same key.
    Contested(AllocationId, AllocationId, &'static str),
    /// A key of an allocation that is active or cooling frees before its time.
    FreesEarly(AllocationId, &'static str),
    /// A key is held by an allocation that does not exist.
    Orphan(AllocationId, &'static str),
    /// An active allocation's virtual number is not in its tenant's pool.
    NotInPool(AllocationId),
}

/// What was checked and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Allocations looked at.
    pub allocations: u64,
    /// Claims looked at.
    pub claims: u64,
    /// What breaks the law; empty is good.
    pub findings: Vec<Finding>,
}

/// Checks everything as of `now`.
pub async fn verify(store: &dyn Store, now: Timestamp) -> Result<Report, StoreError> {
    let mut report = Report::default();
    report.findings.extend(store.damage().await?.into_iter().map(Finding::Damage));
    let directory = store.directory().await?;
    let mut known = BTreeSet::new();
    let mut after = None;
    loop {
        let page = store.allocations_after(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.tenant.clone(), last.id));
        report.allocations += page.len() as u64;
        for allocation in &page {
            known.insert(allocation.id);
            check_alone(allocation, &directory, now, &mut report.findings);
        }
        check_claims_of(store, &page, now, &mut report.findings).await?;
    }
    let mut after = None;
    loop {
        let page = store.claims_after(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        report.claims += page.len() as u64;
        let held = page.iter().filter(|c| c.held_until > now && !known.contains(&c.allocation));
        report.findings.extend(held.map(|c| Finding::Orphan(c.allocation, name(&c.key))));
    }
    Ok(report)
}

fn check_alone(allocation: &Allocation, directory: &Directory, now: Timestamp, findings: &mut Vec<Finding>) {
    let id = allocation.id;
    let mut malformed = |broken: bool, what| {
        if broken {
            findings.push(Finding::Malformed(id, what));
        }
    };
    let (a, b) = (allocation.party(Side::A), allocation.party(Side::B));
    // From one that has ended, a number may have been erased.
    let lent = matches!(allocation.standing, Standing::Lent { .. });
    malformed(lent && (a.numbers.is_empty() || b.numbers.is_empty()), "a side has no number");
    let keys = allocation.keys();
    malformed(keys.windows(2).any(|pair| pair[0] == pair[1]), "a number or pin stands twice");
    malformed(allocation.version == 0, "the version is not a count");
    let ended_before_it_began = match allocation.standing {
        Standing::Lent { expires_at, cooling: _ } => expires_at < allocation.created_at,
        Standing::Ended { at, cooling_until, how: _ } => at < allocation.created_at || cooling_until < at,
    };
    malformed(ended_before_it_began, "its times run backwards");
    let active = matches!(allocation.state(now), State::Active { .. });
    let owner = directory.owner(allocation.virtual_number);
    if active && owner.is_none_or(|tenant| tenant.sid != allocation.tenant) {
        findings.push(Finding::NotInPool(id));
    }
}

async fn check_claims_of(
    store: &dyn Store,
    page: &[Allocation],
    now: Timestamp,
    findings: &mut Vec<Finding>,
) -> Result<(), StoreError> {
    let due: Vec<Claim> = page.iter().flat_map(Allocation::claims).filter(|c| c.held_until > now).collect();
    let keys: Vec<ClaimKey> = due.iter().map(|c| c.key.clone()).collect();
    let held = store.claims(&keys).await?;
    for (due, held) in due.into_iter().zip(held) {
        let what = name(&due.key);
        match held {
            None => findings.push(Finding::Unclaimed(due.allocation, what)),
            Some(held) if held.allocation != due.allocation && held.held_until > now => {
                findings.push(Finding::Contested(due.allocation, held.allocation, what));
            }
            Some(held) if held.allocation != due.allocation => {
                findings.push(Finding::Unclaimed(due.allocation, what));
            }
            Some(held) if held.held_until < due.held_until => {
                findings.push(Finding::FreesEarly(due.allocation, what));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn name(key: &ClaimKey) -> &'static str {
    match key {
        ClaimKey::Number { .. } => "number",
        ClaimKey::Pin { .. } => "pin",
        ClaimKey::Whole { .. } => "whole virtual number",
        ClaimKey::Connection { .. } => "connection id",
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Damage(what) => write!(f, "the database is damaged: {what}"),
            Finding::Malformed(id, what) => write!(f, "allocation {id} is malformed: {what}"),
            Finding::Unclaimed(id, what) => write!(f, "allocation {id} does not hold its {what}"),
            Finding::Contested(id, other, what) => {
                write!(f, "allocations {id} and {other} both rely on one {what}")
            }
            Finding::FreesEarly(id, what) => write!(f, "allocation {id} loses its {what} before its time"),
            Finding::Orphan(id, what) => {
                write!(f, "a {what} is held by allocation {id}, which does not exist")
            }
            Finding::NotInPool(id) => {
                write!(f, "allocation {id} has a virtual number that is not in its tenant's pool")
            }
        }
    }
}
