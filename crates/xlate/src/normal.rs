//! The NORMAL action: a learning switch with VLANs.
//!
//! Where it sits: one action among others; what it learns is a [`crate::Credit`].
//!
//! Spec: ovs-vswitchd.conf.db(5), table Port, `vlan_mode`, `tag`, `trunks`.

use flow::{FlowKey, slot};
use openflow::OfpPort;
use wire::EthAddr;
use wire::eth::{self, VLAN_CFI, VLAN_VID_MASK};

use crate::translate::Xlate;
use crate::{Bundle, Credit, NodeKind, SideEffects, VlanMode};

impl Xlate<'_> {
    /// Forwards as a learning switch does.
    pub(crate) fn normal(&mut self) {
        self.last = false;
        self.out.wc.unwildcard(slot::eth_src);
        self.out.wc.unwildcard(slot::eth_dst);
        self.out.wc.set(slot::vlan_tci.low(13), 0x1fff);
        let bridge = self.bridge;
        let in_port = OfpPort(self.flow.in_port());
        let Some((in_index, in_bundle)) =
            bridge.ports.get(&in_port).and_then(|p| p.bundle).and_then(|i| Some((i, bridge.bundles.get(i)?)))
        else {
            return self.note(NodeKind::Warning, || "no input bundle, dropping".into());
        };
        let dst = self.flow.eth_dst();
        if !bridge.forward_bpdu && is_reserved(dst) {
            return self.note(NodeKind::Detail, || "packet has reserved destination MAC, dropping".into());
        }
        let vid = self.flow.vlan_tci() & VLAN_VID_MASK;
        let Some(vlan) = self.input_vlan(in_bundle, vid) else {
            return self
                .note(NodeKind::Warning, || "disallowed VLAN VID for this input port, dropping".into());
        };
        self.learn_source(in_port, in_index, vlan);
        self.forward(dst, vlan, in_index);
    }

    fn forward(&mut self, dst: EthAddr, vlan: u16, in_index: usize) {
        let bridge = self.bridge;
        // A packet from an address to itself: that address has just been learned.
        let to_itself = dst == self.flow.eth_src() && self.effects == SideEffects::Allowed;
        let known = match dst {
            _ if dst.is_multicast() => None,
            _ if to_itself => Some(OfpPort(self.flow.in_port())),
            _ => self.memory.mac(self.bridge_index, vlan, dst),
        };
        let bundle = known.and_then(|p| bridge.ports.get(&p)).and_then(|p| p.bundle);
        match bundle.and_then(|i| Some((i, bridge.bundles.get(i)?))) {
            Some((i, _)) if i == in_index => {
                self.note(NodeKind::Detail, || "learned port is input port, dropping".into());
            }
            Some((_, out)) => {
                self.note(NodeKind::Detail, || "forwarding to learned port".into());
                self.send_to_bundle(out, vlan);
            }
            None => {
                self.note(NodeKind::Detail, || "no learned MAC for destination, flooding".into());
                self.flood(vlan, in_index);
            }
        }
    }

    fn flood(&mut self, vlan: u16, in_index: usize) {
        let bridge = self.bridge;
        let protected = bridge.bundles.get(in_index).is_some_and(|b| b.protected);
        for (i, out) in bridge.bundles.iter().enumerate() {
            let floodable = out.ports.iter().any(|p| bridge.ports.get(p).is_some_and(|p| !p.no_flood));
            if i != in_index && out.carries(vlan) && floodable && !(protected && out.protected) {
                self.send_to_bundle(out, vlan);
            }
        }
    }

    /// The VLAN of a frame with `vid` that came in by `bundle`, if it is allowed there.
    fn input_vlan(&mut self, bundle: &Bundle, vid: u16) -> Option<u16> {
        let tag = bundle.tag;
        match bundle.mode {
            VlanMode::Access if vid != 0 => {
                let name = &bundle.name;
                self.note(NodeKind::Error, || {
                    format!(
                        "dropping VLAN {vid} tagged packet received on port {name} configured as VLAN {tag} access port"
                    )
                });
                None
            }
            VlanMode::Access => Some(tag),
            VlanMode::NativeTagged | VlanMode::NativeUntagged if vid == 0 => Some(tag),
            VlanMode::Trunk | VlanMode::NativeTagged | VlanMode::NativeUntagged => {
                if bundle.carries(vid) {
                    return Some(vid);
                }
                let name = &bundle.name;
                self.note(NodeKind::Error, || {
                    format!("dropping VLAN {vid} packet received on port {name} not configured for trunking VLAN {vid}")
                });
                None
            }
        }
    }

    fn learn_source(&mut self, port: OfpPort, in_index: usize, vlan: u16) {
        let mac = self.flow.eth_src();
        if mac.is_multicast() || self.effects == SideEffects::Suppressed {
            return;
        }
        let bridge = self.bridge;
        let known = self.memory.mac(self.bridge_index, vlan, mac);
        let same = known.and_then(|p| bridge.ports.get(&p)).is_some_and(|p| p.bundle == Some(in_index));
        if !same {
            let name = bridge.bundles.get(in_index).map_or("", |b| &b.name);
            self.note(NodeKind::Detail, || format!("learned that {mac} is on port {name} in VLAN {vlan}"));
        }
        self.out.credits.push(Credit::Mac { bridge: self.bridge_index, vlan, mac, port });
    }

    /// Sends out of a bundle, with the tag that belongs there.
    fn send_to_bundle(&mut self, out: &Bundle, vlan: u16) {
        let bridge = self.bridge;
        let live = out.ports.iter().find(|p| bridge.ports.get(p).is_some_and(|p| p.up));
        let Some(port) = live.or(out.ports.first()) else { return };
        let untagged = match out.mode {
            VlanMode::Access => true,
            VlanMode::NativeUntagged => vlan == out.tag,
            VlanMode::Trunk | VlanMode::NativeTagged => vlan == 0,
        };
        let before = self.flow;
        set_vlan(&mut self.flow, if untagged { 0 } else { vlan }, out.priority_tags);
        if self.flow.vlan_tci() != before.vlan_tci() {
            self.out.wc.unwildcard(slot::vlan_tci);
            self.out.wc.unwildcard(slot::vlan_tpid);
        }
        self.send(*port);
        self.flow = before;
    }
}

/// Gives a frame the tag of `vlan`, keeping its priority; 0 takes the tag off, unless a priority is to be kept.
fn set_vlan(key: &mut FlowKey, vlan: u16, priority_tags: bool) {
    let pcp = key.vlan_tci() & !(VLAN_CFI | VLAN_VID_MASK);
    if vlan != 0 || priority_tags && pcp != 0 {
        if key.vlan_tci() == pcp | VLAN_CFI | vlan {
            return;
        }
        if key.vlan_tpid() == 0 {
            key.set_vlan_tpid(eth::TYPE_VLAN);
        }
        key.set_vlan_tci(pcp | VLAN_CFI | vlan);
    } else if key.vlan_tci() != 0 {
        key.set_vlan_tci(key.vlan2_tci());
        key.set_vlan_tpid(key.vlan2_tpid());
        key.set_vlan2_tci(0);
        key.set_vlan2_tpid(0);
    }
}

/// True for destinations that bridges keep for themselves (`other_config:forward-bpdu`).
fn is_reserved(mac: EthAddr) -> bool {
    /// Extreme's discovery and ring protection, Cisco's Inter Switch Link and Uplink Fast.
    const VENDORS: [u64; 5] =
        [0x00e0_2b00_0000, 0x00e0_2b00_0004, 0x00e0_2b00_0006, 0x0100_0c00_0000, 0x0100_0ccd_cdcd];
    /// Cisco's discovery, spanning tree and fault management, but for the last digit.
    const CISCO: u64 = 0x0100_0ccc_ccc0;
    let addr = mac.to_u64();
    mac.is_reserved() || addr & !0xf == CISCO || VENDORS.contains(&addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bridges_keep_for_themselves() {
        let reserved = |text: &str| is_reserved(text.parse().unwrap());
        for text in ["01:80:c2:00:00:00", "01:80:c2:00:00:0f", "01:00:0c:cc:cc:cd", "00:e0:2b:00:00:04"] {
            assert!(reserved(text), "{text}");
        }
        for text in ["01:80:c2:00:00:10", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:e0:2b:00:00:05"] {
            assert!(!reserved(text), "{text}");
        }
    }
}
