//! What `dpctl/show` and `dpctl/dump-flows` print.
//!
//! Where it sits: called by the daemon's commands. The keys' and actions' own text is `odp`'s.

use std::fmt::{self, Display, Write};

use datapath::{FlowInfo, FlowStats};
use odp::text::{Extent, FlowDump, NamedActions, Names};

use crate::{Dpif, PortStats};

/// Whether `dpctl/show` prints ports' counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counters {
    /// Names only.
    Without,
    /// `-s`.
    With,
}

/// `dpctl/show` of one datapath.
pub fn show(dpif: &dyn Dpif, counters: Counters) -> String {
    let stats = dpif.stats();
    let mut out = format!(
        "{}:\n  lookups: hit:{} missed:{} lost:{}\n  flows: {}\n",
        dpif.name(),
        stats.hits,
        stats.misses,
        stats.lost,
        stats.flows
    );
    for port in dpif.ports() {
        let config: Vec<String> = port.config.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let colon = if config.is_empty() { "" } else { ": " };
        let (number, name, kind) = (port.number, port.name, port.kind);
        out += &format!("  port {number}: {name} ({kind}{colon}{})\n", config.join(", "));
        if counters == Counters::With {
            match dpif.port_stats(port.number) {
                Ok(stats) => out += &port_counters(&stats),
                Err(e) => out += &format!("  Could not retrieve stats ({e})\n"),
            }
        }
    }
    out
}

fn port_counters(s: &PortStats) -> String {
    let n = Known;
    format!(
        "    RX packets:{} errors:{} dropped:{} overruns:{} frame:{}\n    \
         TX packets:{} errors:{} dropped:{} aborted:? carrier:?\n    \
         collisions:{}\n    RX bytes:{}{}  TX bytes:{}{}\n",
        n(s.rx_packets),
        n(s.rx_errors),
        n(s.rx_dropped),
        n(s.rx_over_err),
        n(s.rx_frame_err),
        n(s.tx_packets),
        n(s.tx_errors),
        n(s.tx_dropped),
        n(s.collisions),
        n(s.rx_bytes),
        Rounded(s.rx_bytes),
        n(s.tx_bytes),
        Rounded(s.tx_bytes),
    )
}

/// A counter, or a question mark.
struct Known(Option<u64>);

impl Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(n) => n.fmt(f),
            None => f.write_char('?'),
        }
    }
}

/// A number of bytes in the largest unit that fits, in parentheses; nothing below a KiB.
struct Rounded(Option<u64>);

impl Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        let Some(n) = self.0 else { return Ok(()) };
        match UNITS.iter().find(|(_, shift)| n >> shift != 0) {
            Some((unit, shift)) => write!(f, " ({:.1} {unit})", n as f64 / (1u64 << shift) as f64),
            None => Ok(()),
        }
    }
}

/// One megaflow as `dpctl/dump-flows` prints it, at a monotonic time in milliseconds.
pub struct FlowLine<'a> {
    /// The megaflow.
    pub flow: &'a FlowInfo,
    /// The time.
    pub now_ms: u64,
}

impl Display for FlowLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FlowLine { flow, now_ms } = *self;
        DetailedFlow { flow, now_ms, extent: Extent::Matched, names: None }.fmt(f)
    }
}

/// The same as it is asked for by options: `-m` says its identifier and what it does not match as well, `--names` has ports'
/// names.
pub struct DetailedFlow<'a> {
    /// The megaflow.
    pub flow: &'a FlowInfo,
    /// The time.
    pub now_ms: u64,
    /// How much of it.
    pub extent: Extent,
    /// Names of ports, if they are wanted.
    pub names: Option<Names<'a>>,
}

impl Display for DetailedFlow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FlowInfo { ufid, matched, actions, stats, .. } = self.flow;
        let (extent, names) = (self.extent, self.names);
        let stats = StatsText { stats, now_ms: self.now_ms };
        let is_whole = extent == Extent::Everything;
        if is_whole {
            write!(f, "ufid:{ufid}, ")?;
        }
        write!(f, "{}, {stats}", FlowDump { matched, extent, names })?;
        let layer = if is_whole { ", dp:ovs" } else { "" };
        write!(f, "{layer}, actions:{}", NamedActions { actions, names })
    }
}

/// A megaflow's counters, at a monotonic time in milliseconds.
pub struct StatsText<'a> {
    /// The counters.
    pub stats: &'a FlowStats,
    /// The time.
    pub now_ms: u64,
}

impl Display for StatsText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FlowStats { packets, bytes, used_ms, tcp_flags: flags } = *self.stats;
        write!(f, "packets:{packets}, bytes:{bytes}, used:")?;
        match used_ms {
            0 => f.write_str("never")?,
            used => {
                let age = self.now_ms.saturating_sub(used);
                write!(f, "{}.{:03}s", age / 1000, age % 1000)?;
            }
        }
        if flags != 0 {
            f.write_str(", flags:")?;
            tcp_flags(f, flags)?;
        }
        Ok(())
    }
}

/// The union of a megaflow's TCP flags: a letter each, `.` for ACK; as a number if there are flags without a letter.
fn tcp_flags(f: &mut fmt::Formatter<'_>, flags: u16) -> fmt::Result {
    const LETTERS: [(u16, char); 8] = [
        (0x01, 'F'),
        (0x02, 'S'),
        (0x04, 'R'),
        (0x08, 'P'),
        (0x10, '.'),
        (0x20, 'U'),
        (0x40, 'E'),
        (0x80, 'C'),
    ];
    for (_, letter) in LETTERS.iter().filter(|(bit, _)| flags & bit != 0) {
        f.write_char(*letter)?;
    }
    if flags >> 8 != 0 { write!(f, "[{:x}]", flags >> 8) } else { Ok(()) }
}

/// `dpctl/dump-flows`: every megaflow after the line that says where it is from.
pub fn dump_flows(dpif: &dyn Dpif, now_ms: u64) -> String {
    let mut out = String::new();
    dpif.for_each_flow(&mut |flow| {
        if out.is_empty() {
            out.push_str("flow-dump from the main thread:\n");
        }
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", FlowLine { flow: &flow, now_ms });
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_printed_as_known_and_rounded() {
        let s = PortStats {
            rx_packets: Some(8),
            rx_bytes: Some(7651),
            tx_packets: Some(0),
            tx_bytes: Some(0),
            ..PortStats::default()
        };
        assert_eq!(
            port_counters(&s),
            "    RX packets:8 errors:? dropped:? overruns:? frame:?\n    \
             TX packets:0 errors:? dropped:? aborted:? carrier:?\n    \
             collisions:?\n    RX bytes:7651 (7.5 KiB)  TX bytes:0\n"
        );
        assert_eq!(Rounded(Some(5 << 30)).to_string(), " (5.0 GiB)");
    }

    #[test]
    fn flags_have_letters() {
        struct Flags(u16);
        impl Display for Flags {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                tcp_flags(f, self.0)
            }
        }
        assert_eq!(Flags(0x1b).to_string(), "FSP.");
        assert_eq!(Flags(0x102).to_string(), "S[1]");
    }
}
