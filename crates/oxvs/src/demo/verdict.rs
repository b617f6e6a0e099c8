//! Which rule decided: read from `ofproto/trace`, and confirmed by the counters that moved.
//!
//! Where it sits: `hypervisor` hands it what the tools printed; it knows their texts and nothing else.

use std::{collections::BTreeMap, fmt};

use super::{probes::Happened, security_group};

/// The rule that decided about a packet.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its cookie.
    pub cookie: u64,
    /// Its match, as the trace prints it.
    rule: String,
    /// Whether the last table dropped the packet.
    drops: bool,
    note: &'static str,
}

impl Decision {
    /// The last rule that the trace names: what came after recirculation decides.
    pub fn from_trace(text: &str, note: &'static str) -> Option<Self> {
        let mut found = None;
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((rule, cookie)) = rule_line(line) else { continue };
            let drops = lines.peek().is_some_and(|actions| actions.trim() == "drop");
            found = Some(Self { cookie, rule, drops, note });
        }
        found
    }

    /// Whether what happened is what this rule does.
    pub fn agrees(&self, happened: Happened) -> bool {
        // a note explains what the rule alone does not (a VLAN that ends elsewhere)
        !self.note.is_empty() || self.drops == (happened == Happened::Dropped)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match security_group::by_cookie(self.cookie) {
            Some(known) => write!(f, "{:#x} {}", self.cookie, known.name)?,
            None => write!(f, "{:#x} {}", self.cookie, self.rule)?,
        }
        if self.note.is_empty() { Ok(()) } else { write!(f, "; {}", self.note) }
    }
}

/// ` 1. ct_state=+new+trk,icmp, priority 50, cookie 0x20` to its match and cookie.
fn rule_line(line: &str) -> Option<(String, u64)> {
    let (table, rest) = line.trim_start().split_once(". ")?;
    table.parse::<u8>().ok()?;
    let (rule, cookie) = rest.rsplit_once(", cookie 0x")?;
    let rule =
        rule.rsplit_once(", priority ").or(rule.rsplit_once("priority ")).map_or(rule, |(rule, _)| rule);
    Some((rule.to_owned(), u64::from_str_radix(cookie.trim(), 16).ok()?))
}

/// Packets counted by each rule, by cookie.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<u64, u64>);

impl Counters {
    /// From what `ovs-ofctl dump-flows` prints.
    pub fn from_dump(text: &str) -> Self {
        let number = |line: &str, name: &str| {
            let rest = line.split_once(name)?.1;
            rest.split(',').next().map(str::trim).map(str::to_owned)
        };
        let rows = text.lines().filter_map(|line| {
            let cookie = number(line, "cookie=0x")?;
            let packets = number(line, "n_packets=")?;
            Some((u64::from_str_radix(&cookie, 16).ok()?, packets.parse().ok()?))
        });
        Self(rows.collect())
    }

    /// By how much the rule's count moved; None if it did not.
    pub fn moved_since(&self, before: &Self, cookie: u64) -> Option<u64> {
        let count = |counters: &Self| counters.0.get(&cookie).copied().unwrap_or(0);
        count(self).checked_sub(count(before)).filter(|moved| *moved > 0)
    }

    /// Whether any count moved.
    pub fn any_moved_since(&self, before: &Self) -> bool {
        self.0.keys().any(|cookie| self.moved_since(before, *cookie).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "Flow: icmp,in_port=1\n\nbridge(\"br-int\")\n----------------\n 0. ip, priority 100, cookie 0x2\n    ct(table=1,zone=1)\n    drop\n\
        recirc(0x1) - resume conntrack\n 1. ct_state=+new+trk,icmp, priority 50, cookie 0x20\n    ct(commit,zone=1)\n    NORMAL\n\nFinal flow: icmp\nDatapath actions: 2\n";

    #[test]
    fn the_last_rule_decides() {
        let decision = Decision::from_trace(TRACE, "").expect("there are rules");
        assert_eq!(decision.to_string(), "0x20 ICMP allowed");
        assert!(decision.agrees(Happened::Allowed) && !decision.agrees(Happened::Dropped));
    }

    #[test]
    fn a_rule_that_drops() {
        let text = " 1. priority 0, cookie 0x2f\n    drop\nFinal flow: unchanged\n";
        let decision = Decision::from_trace(text, "").expect("there is a rule");
        assert_eq!(decision.to_string(), "0x2f the rest is dropped");
        assert!(decision.agrees(Happened::Dropped));
        assert_eq!(Decision::from_trace("no rules here\n", ""), None);
    }

    #[test]
    fn counters_move() {
        let row = |packets: u64| {
            format!(
                " cookie=0x20, duration=1.2s, table=1, n_packets={packets}, n_bytes=98, priority=50,icmp actions=NORMAL\n"
            )
        };
        let (before, after) = (Counters::from_dump(&row(1)), Counters::from_dump(&row(3)));
        assert_eq!(after.moved_since(&before, 0x20), Some(2));
        assert_eq!(after.moved_since(&before, 0x21), None);
        assert!(after.any_moved_since(&before) && !before.any_moved_since(&before));
    }
}
