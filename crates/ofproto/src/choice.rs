//! How a select group chooses among its buckets.
//!
//! Where it sits: decided when the group is made; translation acts on it.
//!
//! Without a wish, and for `dp_hash`, the datapath hashes the packet, and a table of a power of two of entries says
//! which bucket a hash means: megaflows then match a few bits of the hash and not the packet's addresses. Entries are
//! dealt by Webster's method, so that each bucket has its weight's share. Weights whose shares need too large a table
//! are served by `hash`.

use flow::Field;
use openflow::Bits;
use openflow::msg::{GroupType, SelectionMethod};

use crate::Bucket;

/// Most entries of a table.
const MAX_TABLE: u64 = 256;
/// Most entries of a table that nobody asked for.
const MAX_DEFAULT_TABLE: u64 = 64;
/// Fewest entries of a table.
const MIN_TABLE: u64 = 16;

/// How a select group chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// By addresses and ports, equally for both directions.
    Symmetric,
    /// By the fields that were named, each with the bits that count, and a basis.
    Fields(Vec<(Field, Bits)>, u64),
    /// By the datapath's hash.
    DpHash(HashTable),
}

/// Which bucket a hash of the datapath means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashTable {
    /// Which hash (`OVS_HASH_ALG_*`), if somebody asked for one.
    pub alg: Option<u32>,
    /// Mixed into the hash.
    pub basis: u32,
    /// Indices of buckets; a power of two of them.
    pub buckets: Vec<usize>,
}

impl Choice {
    /// How a group of these buckets chooses.
    pub fn new(kind: GroupType, selection: &SelectionMethod, buckets: &[Bucket]) -> Choice {
        let table = |max| deal(buckets, max);
        match selection.name.as_str() {
            _ if kind != GroupType::Select => Choice::Symmetric,
            "hash" if selection.fields.is_empty() => Choice::Symmetric,
            "hash" => Choice::Fields(selection.fields.clone(), selection.param),
            "dp_hash" => {
                let (alg, basis) = ((selection.param >> 32) as u32, selection.param as u32);
                let alg = Some(alg).filter(|alg| *alg != 0);
                table(MAX_TABLE)
                    .map_or(Choice::Symmetric, |buckets| Choice::DpHash(HashTable { alg, basis, buckets }))
            }
            _ => table(MAX_DEFAULT_TABLE).map_or(Choice::Symmetric, |buckets| {
                Choice::DpHash(HashTable { alg: None, basis: 0, buckets })
            }),
        }
    }
}

/// Deals a table's entries to buckets by their weights; `None` if they need more than `max`.
fn deal(buckets: &[Bucket], max: u64) -> Option<Vec<usize>> {
    let weights: Vec<u64> = buckets.iter().map(|b| u64::from(b.weight)).collect();
    let least = weights.iter().copied().filter(|w| *w > 0).min()?;
    let entries = weights.iter().sum::<u64>().div_ceil(least).max(MIN_TABLE).next_power_of_two();
    if entries > max {
        return None;
    }
    // The next entry goes to the largest weight / divisor; divisors are the odd numbers.
    let mut divisors = vec![1u64; weights.len()];
    let next = |_| {
        let mut winner = 0;
        for i in 1..weights.len() {
            if weights[i] * divisors[winner] > weights[winner] * divisors[i] {
                winner = i;
            }
        }
        divisors[winner] += 2;
        winner
    };
    Some((0..entries).map(next).collect())
}
