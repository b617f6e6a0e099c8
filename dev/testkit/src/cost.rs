//! What code costs: CPU time of the thread that runs it, and memory of its process. For measurements (`benches`).

/// CPU nanoseconds of this thread so far.
pub fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// CPU nanoseconds of this thread for each of 32 operations of so many batches.
pub fn timed(batches: u64, f: impl FnOnce()) -> f64 {
    let before = cpu_ns();
    f();
    (cpu_ns() - before) as f64 / (batches * 32).max(1) as f64
}

/// Bytes of memory that this process has resident.
pub fn resident() -> i64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<i64>().ok());
    pages.unwrap_or(0) * 4096
}
