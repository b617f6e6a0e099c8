//! Seeds: each is a whole life of the extension, with guests that talk.

use hyperv_sim::{Plan, run};

#[test]
fn guests_talk_through_the_extension() {
    let report = run(&Plan::of(1));
    let c = report.counts;
    assert!(c.tcp_bytes > 10_000 && c.delivered > 100, "{c:?}");
    assert!(c.passed > c.made, "most packets are not copied: {c:?}");
    assert!(c.switches > 1000, "processors interleave: {c:?}");
}

#[test]
fn a_seed_decides_everything() {
    assert_eq!(run(&Plan::of(7)), run(&Plan::of(7)));
}

#[test]
fn allocations_may_fail() {
    let report = run(&Plan::of(3));
    assert!(report.counts.failed_allocations > 0 && report.counts.tcp_bytes > 0, "{:?}", report.counts);
}
