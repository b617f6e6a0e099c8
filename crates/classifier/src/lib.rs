//! Rule lookup with un-wildcarding.
//!
//! Where it sits: OpenFlow tables are [`RuleTable`]s (priorities, cheap snapshots); the datapath's megaflows are a
//! [`TupleTable`] (first hit wins, ids into the owner's slab). It knows neither actions nor statistics.
//!
//! Both are tuple space search: one hash table ("subtable") for each distinct mask. The masks of rules are coarser than the
//! rules' own, so that there are few, and what is met there is compared; those of megaflows are their own.
//!
//! ~~~text
//! key ──► subtable(mask A) ──► subtable(mask B) ──► …
//!           hash(key & A)        hash(key & B)
//! ~~~
//!
//! A lookup that collects wildcards adds every bit that could have changed its answer: the packet's megaflow must
//! not answer for a packet that differs in one of them.
//!
//! Next: `shape.rs`, then `rules.rs`; then `datapath/src/worker.rs`.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod mask;
mod rules;
mod shape;
mod sharded;
mod tuple_mask;
mod tuples;

pub use mask::{CompactMask, hash_key};
pub use rules::{RuleTable, Ruled};
pub use tuple_mask::TupleMask;
pub use tuples::{Found, NoMemory, Sought, TupleTable};
