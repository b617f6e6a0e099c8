//! Turning the packet that the datapath has into the packet that the rules made of it: set and VLAN actions (labels and
//! other headers: `encap.rs`).
//!
//! Where it sits: called before anything that lets the packet be seen: outputs, tracking, controllers.
//!
//! Set actions write only fields that changed, under the mask of the bits that were read or written; those bits are in
//! the megaflow's match, so that what is not written has the right value already.

use flow::{FlowKey, Slot, slot};
use odp::{Action, Header};
use wire::{EthAddr, eth};

use crate::translate::Xlate;

impl Xlate<'_> {
    /// Emits what turns `base` into `flow`.
    pub(crate) fn commit(&mut self) {
        self.commit_pending();
        if self.base.packet_type() != 0 && self.flow.packet_type() == 0 {
            let (src, dst) = (self.flow.eth_src(), self.flow.eth_dst());
            self.out.actions.push(Action::PushEth { src, dst });
            self.base.set_packet_type(0);
            self.base.set_eth_src(src);
            self.base.set_eth_dst(dst);
        }
        if self.flow.packet_type() == 0 {
            self.commit_group(&[slot::eth_src, slot::eth_dst], ethernet);
        }
        match self.flow.eth_type() {
            // What lies under a popped label is not known, and not changed.
            _ if self.under_label => {}
            eth::TYPE_IPV4 => {
                self.commit_group(&[slot::nw_src, slot::nw_dst, slot::nw_tos, slot::nw_ttl], ipv4);
                self.commit_l4();
            }
            eth::TYPE_IPV6 => {
                let fields = [slot::ipv6_src, slot::ipv6_dst, slot::ipv6_label, slot::nw_tos, slot::nw_ttl];
                self.commit_group(&fields, ipv6);
                self.commit_l4();
            }
            eth::TYPE_ARP | eth::TYPE_RARP => {
                let fields = [slot::nw_src, slot::nw_dst, slot::nw_proto, slot::arp_sha, slot::arp_tha];
                self.commit_group(&fields, arp);
            }
            eth::TYPE_NSH => self.commit_nsh(),
            _ => {}
        }
        self.commit_mpls();
        self.commit_vlan();
        if self.flow.skb_priority() != self.base.skb_priority() {
            self.out.wc.unwildcard(slot::skb_priority);
        }
        self.commit_group(&[slot::skb_priority], |k| Header::Priority(k.skb_priority()));
        self.commit_group(&[slot::pkt_mark], |k| Header::Mark(k.pkt_mark()));
    }

    fn commit_l4(&mut self) {
        let ports = [slot::tp_src, slot::tp_dst];
        match (self.flow.nw_proto(), self.flow.eth_type()) {
            (6, _) => self.commit_group(&ports, |k| Header::Tcp { src: k.tp_src(), dst: k.tp_dst() }),
            (17, _) => self.commit_group(&ports, |k| Header::Udp { src: k.tp_src(), dst: k.tp_dst() }),
            (132, _) => self.commit_group(&ports, |k| Header::Sctp { src: k.tp_src(), dst: k.tp_dst() }),
            (1, eth::TYPE_IPV4) => {
                self.commit_group(&ports, |k| Header::Icmp { kind: k.tp_src() as u8, code: k.tp_dst() as u8 })
            }
            (58, eth::TYPE_IPV6) => {
                let nd = matches!(self.flow.tp_src(), 135 | 136);
                self.commit_group(&ports, |k| Header::Icmpv6 {
                    kind: k.tp_src() as u8,
                    code: k.tp_dst() as u8,
                });
                if nd {
                    self.commit_group(&[slot::nd_target, slot::arp_sha, slot::arp_tha], |k| Header::Nd {
                        target: k.nd_target(),
                        sll: k.arp_sha(),
                        tll: k.arp_tha(),
                    });
                }
            }
            _ => {}
        }
    }

    /// Emits a set action for the fields of one header that changed.
    fn commit_group(&mut self, fields: &[Slot], header: impl Fn(&FlowKey) -> Header) {
        let (mut value, mut mask) = (FlowKey::ZERO, FlowKey::ZERO);
        let mut changed = false;
        for field in fields {
            let (now, before) = (self.flow.get(*field), self.base.get(*field));
            if now == before {
                continue;
            }
            changed = true;
            let bits = self.out.wc.get(*field) | now ^ before;
            self.out.wc.set(*field, bits);
            mask.set(*field, bits);
            value.set(*field, now & bits);
            self.base.set(*field, now);
        }
        if !changed {
            return;
        }
        // Setting a header needs its presence, which for IP's payload only the protocol tells.
        if fields.iter().any(|f| usize::from(f.word) >= slot::STAGES[1]) {
            self.out.wc.unwildcard(slot::nw_proto);
        }
        let (value, mask) = (header(&value), header(&mask));
        let full = match &mask {
            Header::Priority(m) | Header::Mark(m) => *m == u32::MAX,
            Header::Ethernet { src, dst } => (*src, *dst) == (EthAddr::BROADCAST, EthAddr::BROADCAST),
            _ => false,
        };
        self.out.actions.push(if full { Action::Set(value) } else { Action::SetMasked { value, mask } });
    }

    /// Pops tags of the datapath's packet that are no more, and pushes those that are new.
    fn commit_vlan(&mut self) {
        let tags = |k: &FlowKey| {
            let outer = (k.vlan_tci() != 0).then(|| (k.vlan_tpid(), k.vlan_tci()));
            let inner = (k.vlan2_tci() != 0).then(|| (k.vlan2_tpid(), k.vlan2_tci()));
            // Innermost first.
            inner.into_iter().chain(outer).collect::<Vec<_>>()
        };
        let (have, want) = (tags(&self.base), tags(&self.flow));
        if have == want {
            return;
        }
        let common = have.iter().zip(&want).take_while(|(a, b)| a == b).count();
        for _ in common..have.len() {
            self.out.actions.push(Action::PopVlan);
            self.out.wc.unwildcard(slot::vlan_tci);
        }
        if have.len() > 1 || common < have.len() && have.len() + want.len() > 2 {
            self.out.wc.unwildcard(slot::vlan2_tci);
            self.out.wc.unwildcard(slot::vlan2_tpid);
        }
        for (tpid, tci) in want.iter().skip(common) {
            let tpid = if *tpid == 0 { eth::TYPE_VLAN } else { *tpid };
            self.out.actions.push(Action::PushVlan { tpid, tci: *tci });
        }
        for s in [slot::vlan_tci, slot::vlan_tpid, slot::vlan2_tci, slot::vlan2_tpid] {
            self.base.set(s, self.flow.get(s));
        }
    }
}

fn ethernet(k: &FlowKey) -> Header {
    Header::Ethernet { src: k.eth_src(), dst: k.eth_dst() }
}

fn ipv4(k: &FlowKey) -> Header {
    Header::Ipv4 { src: k.nw_src(), dst: k.nw_dst(), proto: 0, tos: k.nw_tos(), ttl: k.nw_ttl(), frag: 0 }
}

fn ipv6(k: &FlowKey) -> Header {
    Header::Ipv6 {
        src: k.ipv6_src(),
        dst: k.ipv6_dst(),
        label: k.ipv6_label(),
        proto: 0,
        tclass: k.nw_tos(),
        hlimit: k.nw_ttl(),
        frag: 0,
    }
}

fn arp(k: &FlowKey) -> Header {
    Header::Arp {
        sip: k.nw_src(),
        tip: k.nw_dst(),
        op: u16::from(k.nw_proto()),
        sha: k.arp_sha(),
        tha: k.arp_tha(),
    }
}
