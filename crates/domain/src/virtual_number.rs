//! The numbers that are lent: what is known of each, and the pool that a tenant has.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::number::PhoneNumber;

/// A number of the pool that parties dial. Region and type are what the operator said of it, never derived from
/// its digits: numbering plans are ported across and change late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualNumber {
    /// The number itself.
    pub number: PhoneNumber,
    /// Where it belongs, if the operator said so.
    pub region: Option<Region>,
    /// Mobile or landline, if the operator said so.
    pub number_type: Option<NumberType>,
    /// The call flow it serves; `None` serves the tenant's default flow.
    pub flow: Option<FlowId>,
    /// Whether it may be lent anew.
    pub state: Lending,
}

/// Whether a virtual number may be lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lending {
    /// Lent to new allocations.
    Open,
    /// Keeps the allocations it has and takes no new one.
    Draining,
}

/// A region code as the wire has it, in capital letters: `KA`, `DL`, or an operator's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(String);

impl Region {
    /// Reads 1 to 10 letters, digits or hyphens, in either case.
    pub fn parse(text: &str) -> Result<Region, BadWord> {
        let text = text.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if text.is_empty() || text.len() > 10 || !text.chars().all(fits) {
            return Err(BadWord("a region is 1 to 10 letters or digits, such as KA"));
        }
        Ok(Region(text.to_ascii_uppercase()))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The kind of a number (LeadAssist `preferences.type`, `number_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NumberType {
    /// A mobile number.
    Mobile,
    /// A fixed line.
    Landline,
    /// A number that is free for its caller; an inventory type which the wire does not let one ask for.
    TollFree,
}

impl NumberType {
    /// Reads the wire's word, in either case.
    pub fn parse(text: &str) -> Result<NumberType, BadWord> {
        match text.trim().to_ascii_lowercase().as_str() {
            "mobile" => Ok(NumberType::Mobile),
            "landline" => Ok(NumberType::Landline),
            "tollfree" => Ok(NumberType::TollFree),
            _ => Err(BadWord("a number type is mobile, landline or tollfree")),
        }
    }

    /// The wire's word.
    pub fn as_str(self) -> &'static str {
        match self {
            NumberType::Mobile => "mobile",
            NumberType::Landline => "landline",
            NumberType::TollFree => "tollfree",
        }
    }
}

/// The name of a call flow (LeadAssist `flow_id`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(String);

impl FlowId {
    /// Reads 1 to 64 printable characters.
    pub fn parse(text: &str) -> Result<FlowId, BadWord> {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > 64 || text.chars().any(char::is_control) {
            return Err(BadWord("a flow id has 1 to 64 printable characters"));
        }
        Ok(FlowId(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A word of a closed form was written in another form. Says what the form is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadWord(pub &'static str);

/// How many allocations a virtual number carries now: a hint that steers the choice, counted by this node as it
/// goes, never the reason for a refusal.
#[derive(Clone, Debug, Default)]
pub struct Load(Arc<AtomicU32>);

impl Load {
    /// A load to begin with.
    pub fn of(count: u32) -> Load {
        Load(Arc::new(AtomicU32::new(count)))
    }

    /// The present count.
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// One allocation more.
    pub fn grow(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One allocation less.
    pub fn shrink(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n.saturating_sub(1)));
    }
}

/// A virtual number of a pool with its load.
#[derive(Clone, Debug)]
pub struct Pooled {
    /// What is known of it.
    pub number: VirtualNumber,
    /// How many allocations it carries.
    pub load: Load,
}

/// A tenant's virtual numbers, in the order of their digits, kept in memory by each node as a hint: the database
/// has the last word on every one.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    /// Invariant: ascending by number, each number once.
    numbers: Vec<Pooled>,
    /// Open numbers by what a request may ask for: positions in `numbers`, ascending.
    open: BTreeMap<Kind, Vec<u32>>,
}

/// What the open numbers of one part of a pool have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Their region.
    pub region: Option<Region>,
    /// Their type.
    pub number_type: Option<NumberType>,
    /// Their flow.
    pub flow: Option<FlowId>,
}

impl Pool {
    /// The pool of these numbers, each with its load.
    pub fn new(mut numbers: Vec<Pooled>) -> Pool {
        numbers.sort_by_key(|p| p.number.number);
        numbers.dedup_by_key(|p| p.number.number);
        let mut open: BTreeMap<Kind, Vec<u32>> = BTreeMap::new();
        for (position, pooled) in numbers.iter().enumerate() {
            let VirtualNumber { number: _, region, number_type, flow, state } = &pooled.number;
            if *state == Lending::Open {
                let kind = Kind { region: region.clone(), number_type: *number_type, flow: flow.clone() };
                let position = u32::try_from(position).expect("law: a pool has fewer than 2^32 numbers");
                open.entry(kind).or_default().push(position);
            }
        }
        Pool { numbers, open }
    }

    pub(crate) fn adopt_loads(&mut self, load_of: &dyn Fn(PhoneNumber) -> Load) {
        for pooled in &mut self.numbers {
            pooled.load = load_of(pooled.number.number);
        }
    }

    /// The number with these digits, if the pool has it.
    pub fn get(&self, number: PhoneNumber) -> Option<&Pooled> {
        self.numbers.binary_search_by_key(&number, |p| p.number.number).ok().map(|at| &self.numbers[at])
    }

    /// The numbers, ascending.
    pub fn numbers(&self) -> &[Pooled] {
        &self.numbers
    }

    /// The open numbers by kind, as positions in [`Pool::numbers`].
    pub fn open(&self) -> &BTreeMap<Kind, Vec<u32>> {
        &self.open
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
