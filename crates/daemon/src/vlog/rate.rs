//! Limits on how often a line may be logged, and the notice of what was dropped.
//!
//! Where it sits: `mod` asks it for messages whose target carries a limit, `MODULE@RATE/BURST`. One bucket per target text.

use std::collections::HashMap;

/// What a target asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Messages per minute.
    pub rate: u64,
    /// Messages at once.
    pub burst: u64,
}

/// Splits a log target into its module and its limit. A plain Rust path counts as the module of its first segment.
pub fn split_target(target: &str) -> (&str, Option<Limit>) {
    let Some((module, limit)) = target.split_once('@') else {
        return (target.split("::").next().unwrap_or(target), None);
    };
    let limit = limit.split('#').next().unwrap_or_default();
    let (rate, burst) = limit.split_once('/').unwrap_or((limit, limit));
    match (rate.parse(), burst.parse()) {
        (Ok(rate), Ok(burst)) => (module, Some(Limit { rate, burst })),
        _ => (module, None),
    }
}

/// A token bucket. Tokens are counted in milliseconds of a minute, so a message costs `60_000 / rate`.
#[derive(Debug)]
struct Bucket {
    /// Sixty-thousandths of a message: one message is `COST`.
    tokens: u64,
    filled_at: u64,
    dropped: u32,
    first_dropped: u64,
    last_dropped: u64,
}

/// Tokens of one message.
const COST: u64 = 60_000;

/// All buckets.
#[derive(Debug, Default)]
pub struct Limiter {
    buckets: HashMap<String, Bucket>,
}

/// Whether a message may be logged.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may, after the notice if there is one.
    Admit(Option<String>),
    /// It is dropped.
    Drop,
}

impl Limiter {
    /// Decides about one message of `target` at `now` (ms).
    pub fn admit(&mut self, target: &str, limit: Limit, now: u64) -> Verdict {
        let full = limit.burst.max(1) * COST;
        if !self.buckets.contains_key(target) {
            let bucket =
                Bucket { tokens: full, filled_at: now, dropped: 0, first_dropped: 0, last_dropped: 0 };
            self.buckets.insert(target.to_owned(), bucket);
        }
        let Some(bucket) = self.buckets.get_mut(target) else { return Verdict::Admit(None) };
        let earned = now.saturating_sub(bucket.filled_at).saturating_mul(limit.rate);
        bucket.tokens = bucket.tokens.saturating_add(earned).min(full);
        bucket.filled_at = now;
        if bucket.tokens < COST {
            if bucket.dropped == 0 {
                bucket.first_dropped = now;
            }
            bucket.dropped += 1;
            bucket.last_dropped = now;
            return Verdict::Drop;
        }
        bucket.tokens -= COST;
        if bucket.dropped == 0 {
            return Verdict::Admit(None);
        }
        let seconds = |at: u64| now.saturating_sub(at) / 1000;
        let notice = format!(
            "Dropped {} log messages in last {} seconds (most recently, {} seconds ago) due to excessive rate",
            bucket.dropped,
            seconds(bucket.first_dropped),
            seconds(bucket.last_dropped),
        );
        bucket.dropped = 0;
        Verdict::Admit(Some(notice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let limit = |rate, burst| Some(Limit { rate, burst });
        assert_eq!(split_target("jsonrpc"), ("jsonrpc", None));
        assert_eq!(split_target("jsonrpc@5"), ("jsonrpc", limit(5, 5)));
        assert_eq!(split_target("dpif@600/20#miss"), ("dpif", limit(600, 20)));
        assert_eq!(split_target("stream::socket"), ("stream", None));
        assert_eq!(split_target("x@y"), ("x", None));
    }

    #[test]
    fn a_burst_then_the_rate_then_the_notice() {
        let mut limiter = Limiter::default();
        let limit = Limit { rate: 60, burst: 3 };
        let mut admitted = Vec::new();
        for now in (0..5000).step_by(100) {
            match limiter.admit("x@60/3", limit, now) {
                Verdict::Admit(notice) => admitted.push((now, notice)),
                Verdict::Drop => {}
            }
        }
        let notice = |n, first, last| {
            Some(format!(
                "Dropped {n} log messages in last {first} seconds (most recently, {last} seconds ago) due to excessive rate"
            ))
        };
        let expected = [
            (0, None),
            (100, None),
            (200, None),
            (1000, notice(7, 0, 0)),
            (2000, notice(9, 0, 0)),
            (3000, notice(9, 0, 0)),
            (4000, notice(9, 0, 0)),
        ];
        assert_eq!(admitted, expected);
        assert_eq!(limiter.admit("x@60/3", limit, 60_000), Verdict::Admit(notice(9, 55, 55)));
    }
}
