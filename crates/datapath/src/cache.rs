//! The flow cache: one probe from a packet's hash to its megaflow.
//!
//! Where it sits: one in each worker, in front of the megaflow table; no other thread sees it.
//!
//! ~~~text
//! hash(key) ──► bucket of 8 × {tag, slot, generation} ──► megaflow: generation equal? key & mask equal? ──► hit
//! ~~~
//!
//! I1  An entry is a hint: the megaflow found by it is compared in full under its mask, so a stale or colliding entry
//!     costs a miss, never a wrong answer.

use alloc::vec::Vec;

const WAYS: usize = 8;
/// Buckets; with 8 ways, 16,384 flows.
const BUCKETS: usize = 2048;

#[derive(Clone, Copy, Default)]
struct Entry {
    /// Upper half of the hash, never zero in a used entry.
    tag: u32,
    slot: u32,
    generation: u32,
}

pub(crate) struct FlowCache {
    buckets: Vec<[Entry; WAYS]>,
}

fn split(hash: u64) -> (usize, u32) {
    (hash as usize & (BUCKETS - 1), (hash >> 32) as u32 | 1)
}

impl FlowCache {
    pub fn try_new() -> Option<FlowCache> {
        let mut buckets = Vec::new();
        buckets.try_reserve_exact(BUCKETS).ok()?;
        buckets.resize(BUCKETS, [Entry::default(); WAYS]);
        Some(FlowCache { buckets })
    }

    /// The slots and generations that `hash` may stand for.
    pub fn probe(&self, hash: u64) -> impl Iterator<Item = (u32, u32)> + '_ {
        let (bucket, tag) = split(hash);
        let entries = self.buckets.get(bucket).into_iter().flatten();
        entries.filter(move |e| e.tag == tag).map(|e| (e.slot, e.generation))
    }

    /// Remembers a megaflow in front; the bucket's last is forgotten.
    pub fn insert(&mut self, hash: u64, slot: u32, generation: u32) {
        let (bucket, tag) = split(hash);
        let Some(ways) = self.buckets.get_mut(bucket) else { return };
        let same = ways.iter().position(|e| e.tag == tag && e.slot == slot);
        if let Some(recent) = ways.get_mut(..=same.unwrap_or(WAYS - 1)) {
            recent.rotate_right(1);
        }
        if let Some(first) = ways.first_mut() {
            *first = Entry { tag, slot, generation };
        }
    }
}
