//! Which numbers and pins may be the parties of an allocation.

use crate::allocation::Side;
use crate::number::{NeverDialled, PhoneNumber};
use crate::tenant::Tenant;

/// What is wrong with one number or pin of a request. Names its place in the request, never the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The side.
    pub side: Side,
    /// Its place in that side's list, from 0.
    pub index: usize,
    /// What is wrong.
    pub what: Wrong,
}

/// What is wrong with a number or pin as a party's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The number is of another country, and the tenant does not take those.
    Foreign,
    /// Nobody may dial it through us.
    NeverDialled(NeverDialled),
    /// It is a virtual number of the tenant's own pool.
    OwnVirtualNumber,
    /// The same number stands on the other side.
    OnBothSides,
    /// The same pin stands on the other side.
    PinOnBothSides,
}

/// A list without its repetitions, in the order of the first of each.
pub fn without_repetition<T: Copy + PartialEq>(list: &[T]) -> Vec<T> {
    let mut kept = Vec::with_capacity(list.len());
    for item in list {
        if !kept.contains(item) {
            kept.push(*item);
        }
    }
    kept
}

/// Whether these lists, as they were sent, may be a side's numbers.
pub fn check_numbers(tenant: &Tenant, side: Side, numbers: &[PhoneNumber]) -> Vec<Fault> {
    let wrong = |number: &PhoneNumber| {
        if let Some(why) = number.never_dialled() {
            return Some(Wrong::NeverDialled(why));
        }
        if !tenant.settings.international && !number.belongs_to(tenant.settings.country) {
            return Some(Wrong::Foreign);
        }
        tenant.pool.get(*number).map(|_| Wrong::OwnVirtualNumber)
    };
    let faults = numbers.iter().enumerate().filter_map(|(index, n)| wrong(n).map(|what| (index, what)));
    faults.map(|(index, what)| Fault { side, index, what }).collect()
}

/// What stands on both sides. `told` is the side whose list the client gets to hear of.
pub fn check_apart<T: PartialEq>(a: &[T], b: &[T], told: Side, what: Wrong) -> Vec<Fault> {
    let (list, other) = match told {
        Side::A => (a, b),
        Side::B => (b, a),
    };
    let both = list.iter().enumerate().filter(|(_, item)| other.contains(item));
    both.map(|(index, _)| Fault { side: told, index, what }).collect()
}
