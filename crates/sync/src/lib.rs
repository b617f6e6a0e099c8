//! Published tables, rings and per-CPU counters: the concurrency the packet path stands on.
#![no_std]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
