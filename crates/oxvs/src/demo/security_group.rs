//! The security group: the rules that both hypervisors enforce, each with a cookie by which it can be recognised.
//!
//! Where it sits: loaded by `hypervisor` with `ovs-ofctl`; `verdict` names rules by it.
//!
//! ~~~text
//! table 0: ARP passes; IPv4 goes through the connection tracker and comes back in table 1
//! table 1: answers to what was allowed pass; of what is new, only what the group allows
//! ~~~
//!
//! Spec: ovs-ofctl(8), ovs-actions(7) "ct", ovs-fields(7) "ct_state".

/// A rule, and what a person would call it.
pub struct GroupRule {
    /// What it does, in words.
    pub name: &'static str,
    /// By which traces and statistics show it.
    pub cookie: u64,
    /// As `ovs-ofctl` takes it.
    pub flow: &'static str,
}

/// All rules.
pub const RULES: [GroupRule; 10] = [
    rule("ARP passes", 0x1, "table=0,priority=100,arp,actions=NORMAL"),
    rule("IPv4 is tracked", 0x2, "table=0,priority=100,ip,actions=ct(table=1,zone=1)"),
    rule("nothing else passes", 0xf, "table=0,priority=0,actions=drop"),
    rule("invalid is dropped", 0x10, "table=1,priority=100,ip,ct_state=+trk+inv,actions=drop"),
    rule("established passes", 0x11, "table=1,priority=90,ip,ct_state=+trk+est,actions=NORMAL"),
    rule("related passes", 0x12, "table=1,priority=90,ip,ct_state=+trk+rel,actions=NORMAL"),
    rule("ICMP allowed", 0x20, "table=1,priority=50,icmp,ct_state=+trk+new,actions=ct(commit,zone=1),NORMAL"),
    rule(
        "TCP 22 from vm1 allowed",
        0x21,
        "table=1,priority=50,tcp,ct_state=+trk+new,nw_src=10.0.0.1,tp_dst=22,actions=ct(commit,zone=1),NORMAL",
    ),
    rule(
        "UDP 53 allowed",
        0x22,
        "table=1,priority=50,udp,ct_state=+trk+new,tp_dst=53,actions=ct(commit,zone=1),NORMAL",
    ),
    rule("the rest is dropped", 0x2f, "table=1,priority=0,actions=drop"),
];

const fn rule(name: &'static str, cookie: u64, flow: &'static str) -> GroupRule {
    GroupRule { name, cookie, flow }
}

/// One flow per line, as `ovs-ofctl add-flows` reads them.
pub fn as_text() -> String {
    RULES.iter().map(|rule| format!("  cookie={:#x},{}\n", rule.cookie, rule.flow)).collect()
}

/// The rule that has this cookie.
pub fn by_cookie(cookie: u64) -> Option<&'static GroupRule> {
    RULES.iter().find(|rule| rule.cookie == cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_distinct() {
        for (index, rule) in RULES.iter().enumerate() {
            assert_eq!(RULES.iter().position(|other| other.cookie == rule.cookie), Some(index));
            assert_eq!(by_cookie(rule.cookie).map(|found| found.name), Some(rule.name));
        }
    }
}
