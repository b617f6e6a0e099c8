//! The flow cache: one probe from a packet's hash to its megaflow.
//!
//! Where it sits: one in each worker, in front of the megaflow table; no other thread sees it.
//!
//! ~~~text
//! hash(key) ──► bucket (a cache line): 8 tags │ 8 numbers │ 8 generations ──► megaflow: key & mask equal? ──► hit
//! ~~~
//!
//! I1  An entry is a hint: the megaflow found by it is compared under its mask, so a stale or colliding entry costs a
//!     miss, never a wrong answer.
//! I2  Its memory is fixed: half a megabyte for each worker. A bucket that is full forgets one of its flows.

use alloc::vec::Vec;

use flow::PlainKey;
use sync::{matching, prefetch};

const WAYS: usize = 8;
/// Buckets; with 8 ways, 65,536 flows.
const BUCKETS: usize = 8192;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    /// Never zero in a used entry.
    tags: [u16; WAYS],
    ids: [u32; WAYS],
    generations: [u16; WAYS],
}

const EMPTY: Bucket = Bucket { tags: [0; WAYS], ids: [0; WAYS], generations: [0; WAYS] };

pub(crate) struct FlowCache {
    buckets: Vec<Bucket>,
    /// The way that the next entry of a full bucket takes.
    victim: usize,
}

#[inline]
fn split(hash: u64) -> (usize, u16) {
    (hash as usize & (BUCKETS - 1), (hash >> 48) as u16 | 1)
}

impl FlowCache {
    pub fn try_new() -> Option<FlowCache> {
        let mut buckets = Vec::new();
        buckets.try_reserve_exact(BUCKETS).ok()?;
        buckets.resize(BUCKETS, EMPTY);
        Some(FlowCache { buckets, victim: 0 })
    }

    /// Asks for the bucket of `hash`.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if let Some(bucket) = self.buckets.get(split(hash).0) {
            prefetch(bucket);
        }
    }

    /// The numbers and generations that `hash` may stand for.
    #[inline]
    pub fn probe(&self, hash: u64) -> impl Iterator<Item = (u32, u16)> + '_ {
        let (at, tag) = split(hash);
        let bucket = self.buckets.get(at).unwrap_or(&EMPTY);
        let mut ways = matching(&bucket.tags, tag);
        ::core::iter::from_fn(move || {
            let way = ways.trailing_zeros() as usize;
            ways &= ways.wrapping_sub(1);
            Some((*bucket.ids.get(way)?, *bucket.generations.get(way)?))
        })
    }

    /// Remembers a megaflow.
    pub fn insert(&mut self, hash: u64, id: u32, generation: u16) {
        let (at, tag) = split(hash);
        let Some(bucket) = self.buckets.get_mut(at) else { return };
        let same = bucket.tags.iter().zip(&bucket.ids).position(|(t, i)| *t == tag && *i == id);
        let way = same.or_else(|| bucket.tags.iter().position(|t| *t == 0)).unwrap_or_else(|| {
            self.victim = self.victim.wrapping_add(1);
            self.victim % WAYS
        });
        if let (Some(t), Some(i), Some(g)) =
            (bucket.tags.get_mut(way), bucket.ids.get_mut(way), bucket.generations.get_mut(way))
        {
            (*t, *i, *g) = (tag, id, generation);
        }
    }
}

/// Megaflows that packets hit when they came round again, by what is new in their keys: where from, under which id,
/// and their connection's state. Hints, as those of the cache are (I1).
#[derive(Default)]
pub(crate) struct Successors([Successor; SUCCESSORS]);

#[derive(Clone, Copy, Default)]
struct Successor {
    round: u64,
    connection: u64,
    id: u32,
    generation: u16,
}

const SUCCESSORS: usize = 16;

impl Successors {
    fn place(key: &PlainKey) -> (u64, u64, usize) {
        let [round, connection, ..] = key.0;
        (round, connection, (round ^ round >> 32 ^ connection >> 8 ^ connection >> 13) as usize % SUCCESSORS)
    }

    /// Number and generation of the megaflow that packets like this hit last.
    #[inline]
    pub fn get(&self, key: &PlainKey) -> Option<(u32, u16)> {
        let (round, connection, at) = Self::place(key);
        let known = self.0.get(at)?;
        ((known.round, known.connection) == (round, connection)).then_some((known.id, known.generation))
    }

    /// Remembers what a packet hit.
    #[inline]
    pub fn insert(&mut self, key: &PlainKey, id: u32, generation: u16) {
        let (round, connection, at) = Self::place(key);
        if let Some(place) = self.0.get_mut(at) {
            *place = Successor { round, connection, id, generation };
        }
    }
}
