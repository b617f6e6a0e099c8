//! A rule: what it matches, what it does, and the counters that outlive its changes.
//!
//! Where it sits: made by `flow_mod.rs`, held by snapshots, credited by whoever carries packets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};

use flow::Match;
use openflow::{Action, FlowModFlags};
use packet::{Instant, Now};

/// What counts in a rule and may change while others look: shared by all versions of the rule.
#[derive(Debug)]
pub struct RuleState {
    packets: AtomicU64,
    bytes: AtomicU64,
    used: AtomicU64,
    idle_timeout: AtomicU16,
    hard_timeout: AtomicU16,
}

impl RuleState {
    /// Counters at zero, last used at `now`.
    pub fn new(now: Instant, idle_timeout: u16, hard_timeout: u16) -> RuleState {
        RuleState {
            packets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            used: AtomicU64::new(now.0),
            idle_timeout: AtomicU16::new(idle_timeout),
            hard_timeout: AtomicU16::new(hard_timeout),
        }
    }

    /// Adds packets, the last of which passed at `used`.
    pub fn credit(&self, packets: u64, bytes: u64, used: Instant) {
        self.packets.fetch_add(packets, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        self.used.fetch_max(used.0, Relaxed);
    }

    /// Packets so far.
    pub fn packets(&self) -> u64 {
        self.packets.load(Relaxed)
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// When the last packet passed, or the rule was made.
    pub fn used(&self) -> Instant {
        Instant(self.used.load(Relaxed))
    }

    /// Seconds without packets until the rule goes; zero is never.
    pub fn idle_timeout(&self) -> u16 {
        self.idle_timeout.load(Relaxed)
    }

    /// Seconds until the rule goes; zero is never.
    pub fn hard_timeout(&self) -> u16 {
        self.hard_timeout.load(Relaxed)
    }

    /// Shortens the timeouts (`fin_timeout`); zero leaves one as it is, and neither is ever made longer.
    pub fn reduce_timeouts(&self, idle: u16, hard: u16) {
        let shorten = |timeout: &AtomicU16, to: u16| {
            let shorter = |now: u16| (to != 0 && (now == 0 || to < now)).then_some(to);
            let _ = timeout.fetch_update(Relaxed, Relaxed, shorter);
        };
        shorten(&self.idle_timeout, idle);
        shorten(&self.hard_timeout, hard);
    }

    /// Starts again at zero.
    pub fn reset(&self) {
        self.packets.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
    }
}

/// What a rule is made from.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    /// Its table.
    pub table: u8,
    /// Its priority; above 65535 it is hidden from controllers.
    pub priority: u32,
    /// What it matches.
    pub matcher: Match,
    /// The controller's cookie.
    pub cookie: u64,
    /// Flags of the flow mod that outlive it.
    pub flags: FlowModFlags,
    /// The smaller, the sooner evicted.
    pub importance: u16,
    /// What it does.
    pub actions: Arc<[Action]>,
}

/// A rule of a table. It never changes; see [`RuleState`] for what does.
#[derive(Debug)]
pub struct Rule {
    /// Unique in the switch, ascending; kept by modifications.
    pub id: u64,
    /// What it is.
    pub spec: RuleSpec,
    /// When it was made.
    pub created: Now,
    /// When it was made or last modified.
    pub modified: Instant,
    /// Counters and timeouts.
    pub state: Arc<RuleState>,
}

impl Rule {
    /// True if controllers cannot see it.
    pub fn is_hidden(&self) -> bool {
        self.spec.priority > u32::from(u16::MAX) || self.spec.table == crate::INTERNAL_TABLE
    }

    /// True if it sends to `port`, or if `port` is `None`.
    pub fn outputs_to(&self, port: Option<openflow::OfpPort>) -> bool {
        port.is_none_or(|port| openflow::actions::output_to_port(&self.spec.actions, port))
    }

    /// True if it names `group`, or if `group` is `None`.
    pub fn uses_group(&self, group: Option<u32>) -> bool {
        group.is_none_or(|group| openflow::actions::output_to_group(&self.spec.actions, group))
    }

    /// Its conjunctions, if it is one alternative of one dimension and no rule of its own.
    pub fn conjunctions(&self) -> impl Iterator<Item = &openflow::actions::Conjunction> {
        self.spec.actions.iter().filter_map(|a| match a {
            Action::Conjunction(c) => Some(c),
            _ => None,
        })
    }
}
