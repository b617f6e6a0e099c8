//! How long a connection lives without packets.
//!
//! Where it sits: the machines in `tcp.rs`, `other.rs` and `icmp.rs` name a [`Timeout`] after each packet; a
//! [`TimeoutPolicy`] says how long that is.
//!
//! Spec: ovs-vswitchd.conf.db(5), CT_Timeout_Policy. A key that the userspace datapath does not support is ignored.

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Timeout {
    /// TCP: one SYN seen.
    TcpFirstPacket,
    /// TCP: both sides are opening.
    TcpOpening,
    /// TCP: established.
    TcpEstablished,
    /// TCP: one side is closing.
    TcpClosing,
    /// TCP: both sides are closing.
    TcpFinWait,
    /// TCP: closed or reset.
    TcpClosed,
    /// Other protocols: one packet seen.
    OtherFirst,
    /// Other protocols: more packets, all in one direction.
    OtherMultiple,
    /// Other protocols: packets in both directions.
    OtherBidirectional,
    /// ICMP: requests only.
    IcmpFirst,
    /// ICMP: answered.
    IcmpReply,
}

/// Number of timeouts.
pub const TIMEOUTS: usize = 11;

/// Timeout policies that a table holds.
pub const MAX_TIMEOUT_POLICIES: u16 = 256;

/// Seconds for every [`Timeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutPolicy([u32; TIMEOUTS]);

impl Default for TimeoutPolicy {
    fn default() -> Self {
        TimeoutPolicy::DEFAULT
    }
}

impl TimeoutPolicy {
    /// Open vSwitch's defaults, in the order of [`Timeout`].
    pub const DEFAULT: TimeoutPolicy = TimeoutPolicy([30, 30, 86_400, 900, 45, 30, 60, 60, 30, 60, 30]);

    /// A policy of these seconds, in the order of [`Timeout`].
    pub const fn of_seconds(seconds: [u32; TIMEOUTS]) -> TimeoutPolicy {
        TimeoutPolicy(seconds)
    }

    /// All seconds, in the order of [`Timeout`].
    pub const fn seconds(&self) -> [u32; TIMEOUTS] {
        self.0
    }

    /// Milliseconds of `timeout`.
    pub fn millis(&self, timeout: Timeout) -> u64 {
        u64::from(self.0.get(timeout as usize).copied().unwrap_or(0)) * 1000
    }

    /// Sets the timeout with the database's key; false if this datapath has none such.
    pub fn set(&mut self, key: &str, seconds: u32) -> bool {
        let timeout = match key {
            "tcp_syn_sent" => Timeout::TcpFirstPacket,
            "tcp_syn_recv" => Timeout::TcpOpening,
            "tcp_established" => Timeout::TcpEstablished,
            "tcp_fin_wait" => Timeout::TcpClosing,
            "tcp_time_wait" => Timeout::TcpFinWait,
            "tcp_close" => Timeout::TcpClosed,
            "udp_first" => Timeout::OtherFirst,
            "udp_single" => Timeout::OtherMultiple,
            "udp_multiple" => Timeout::OtherBidirectional,
            "icmp_first" => Timeout::IcmpFirst,
            "icmp_reply" => Timeout::IcmpReply,
            _ => return false,
        };
        if let Some(slot) = self.0.get_mut(timeout as usize) {
            *slot = seconds;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_database_reach_their_timeout() {
        let mut p = TimeoutPolicy::default();
        assert!(p.set("udp_single", 7) && p.set("icmp_reply", 9));
        assert!(!p.set("tcp_last_ack", 1));
        assert_eq!(p.millis(Timeout::OtherMultiple), 7000);
        assert_eq!(p.millis(Timeout::IcmpReply), 9000);
        assert_eq!(p.millis(Timeout::TcpEstablished), 86_400_000);
    }
}
