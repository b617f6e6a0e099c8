//! Labels and headers that rules put on and take off: MPLS, NSH, Ethernet.
//!
//! Where it sits: part of carrying out actions. What is put on and taken off is written down in the packet as rules see
//! it, and said to the datapath when the packet is next to be seen ([`Xlate::commit`]).
//!
//! What lies under a label or a service header is not in the key. Rules that want to see it have the packet go round
//! again first.
//!
//! Spec: ovs-actions(7), `push_mpls`, `pop_mpls`, `encap`, `decap`; RFC 3032, RFC 8300.

use flow::{Field, FlowKey, Prereq, Slot, slot};
use odp::{Action as OdpAction, Header, MplsLayer, NshFields, PushNsh};
use openflow::actions::{Encap, EncapProperty};
use openflow::{Action, field};
use wire::{EthAddr, eth, mpls, nsh};

use crate::NodeKind;
use crate::resume::Why;
use crate::translate::{Xlate, XlateError};

/// Label stack entries that the key has.
pub(crate) const LABELS: [Slot; 3] = [slot::mpls_lse0, slot::mpls_lse1, slot::mpls_lse2];
/// TTL of headers that have no other to inherit.
const TTL: u8 = 64;
/// Labels that say what is below and nothing else.
const IPV4_NULL: u32 = 0;
const IPV6_NULL: u32 = 2;
/// Packet types: a frame, and the namespace of Ethernet types.
const PT_ETH: u32 = field::PT_ETH;
const PT_NSH: u32 = packet_type(eth::TYPE_NSH);
/// NSH: TTL and service index of a fresh header.
const NSH_TTL: u8 = 63;
const NSH_SI: u8 = 255;

const fn packet_type(eth_type: u16) -> u32 {
    field::PT_NS_ETHERTYPE << 16 | eth_type as u32
}

/// A header put on or taken off that the datapath does not know of yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// A service header, with its TLVs.
    PushNsh(Vec<u8>),
    /// A label around everything.
    AddMpls,
    /// The service header goes.
    PopNsh,
}

/// Forgets what only the network layer and what is above have.
fn clear_network(key: &mut FlowKey) {
    key.words_mut().iter_mut().skip(slot::STAGES[1]).for_each(|w| *w = 0);
}

/// Forgets everything that the packet has beside its metadata.
fn clear_packet(key: &mut FlowKey) {
    key.words_mut().iter_mut().skip(slot::STAGES[0]).for_each(|w| *w = 0);
}

/// How many labels are known of; those beyond the first without a bottom are not.
fn labels(key: &FlowKey) -> usize {
    if !eth::is_mpls(key.eth_type()) {
        return 0;
    }
    let bottom = LABELS.iter().position(|s| key.get(*s) as u32 & mpls::BOTTOM != 0);
    bottom.map_or(LABELS.len(), |at| at + 1)
}

/// The known labels, the innermost first.
fn stack(key: &FlowKey) -> Vec<u32> {
    LABELS.iter().take(labels(key)).rev().map(|s| key.get(*s) as u32).collect()
}

impl Xlate<'_> {
    /// True if `action` reads or writes what lies under a popped label.
    pub(crate) fn must_see_inside(&self, action: &Action) -> bool {
        let labelled = eth::is_mpls(self.flow.eth_type());
        let outer = |f: Field| match f.def().prereq {
            Prereq::None | Prereq::Ethernet | Prereq::VlanVid => true,
            Prereq::Mpls => !labelled,
            _ => false,
        };
        self.under_label
            && !match action {
                Action::SetField(a) => outer(a.field),
                Action::Move(a) => outer(a.src.field) && outer(a.dst.field),
                Action::StackPush(a) => outer(a.0.field),
                Action::StackPop(a) => outer(a.0.field),
                Action::Output(_)
                | Action::OutputReg(_)
                | Action::OutputTrunc(_)
                | Action::Controller(_)
                | Action::Enqueue(_)
                | Action::Group(_)
                | Action::StripVlan(_)
                | Action::PushVlan(_)
                | Action::SetVlanVid(_)
                | Action::SetVlanPcp(_)
                | Action::SetEthSrc(_)
                | Action::SetEthDst(_)
                | Action::SetTunnel(_)
                | Action::SetQueue(_)
                | Action::PopQueue(_)
                | Action::PushMpls(_)
                | Action::WriteMetadata(_)
                | Action::WriteActions(_)
                | Action::ClearActions(_)
                | Action::CloneActions(_)
                | Action::Meter(_)
                | Action::Note(_)
                | Action::Sample(_)
                | Action::Conjunction(_)
                | Action::Exit(_) => true,
                Action::PopMpls(_)
                | Action::SetMplsLabel(_)
                | Action::SetMplsTc(_)
                | Action::SetMplsTtl(_)
                | Action::DecMplsTtl(_) => !labelled,
                _ => false,
            }
    }

    pub(crate) fn push_mpls(&mut self, eth_type: u16) {
        let n = if self.under_label { 0 } else { labels(&self.flow) };
        self.look_at_bottoms(n);
        if n >= LABELS.len() {
            return self.too_many_labels("push", "would have");
        }
        let lse = if n != 0 {
            self.out.wc.unwildcard(slot::mpls_lse0);
            self.flow.mpls_lse0() & !mpls::BOTTOM
        } else {
            // What was set so far is below the label.
            self.commit();
            self.first_label()
        };
        for at in (0..n).rev() {
            self.flow.set(LABELS[at + 1], self.flow.get(LABELS[at]));
        }
        if n == 0 {
            clear_network(&mut self.flow);
            LABELS.iter().for_each(|s| self.flow.set(*s, 0));
        }
        self.flow.set_mpls_lse0(lse);
        self.flow.set_eth_type(eth_type);
        self.under_label = false;
    }

    /// The entry before a packet without labels: an explicit null with class and TTL of IP, if it is IP.
    fn first_label(&mut self) -> u32 {
        let null = match self.flow.eth_type() {
            eth::TYPE_IPV4 if !self.under_label => IPV4_NULL,
            eth::TYPE_IPV6 if !self.under_label => IPV6_NULL,
            _ => return mpls::BOTTOM | u32::from(TTL),
        };
        self.out.wc.unwildcard(slot::nw_ttl);
        // The class is part of DSCP.
        self.out.wc.set(slot::nw_tos.part(2, 6), u128::MAX);
        let (class, ttl) = (u32::from(self.flow.nw_tos() >> 5), u32::from(self.flow.nw_ttl()));
        let ttl = if ttl == 0 { u32::from(TTL) } else { ttl };
        null << 12 | class << 9 | mpls::BOTTOM | ttl
    }

    fn too_many_labels(&mut self, what: &str, has: &str) {
        let text = format!(
            "dropping packet on which an MPLS {what} action can't be performed as it {has} more MPLS LSEs than the {} \
             supported.",
            LABELS.len()
        );
        self.note(NodeKind::Error, || text);
        self.fail(XlateError::TooManyMplsLabels);
    }

    /// How many labels there are is seen from their bottom bits.
    fn look_at_bottoms(&mut self, n: usize) {
        for s in LABELS.iter().take(n) {
            self.out.wc.set(s.part(8, 1), 1);
        }
    }

    pub(crate) fn pop_mpls(&mut self, eth_type: u16) {
        let n = labels(&self.flow);
        if n == 0 {
            return;
        }
        self.look_at_bottoms(n);
        // What moves up is from here on compared, set and copied as another entry than it came as: it matters whole.
        LABELS.iter().take(n).skip(1).for_each(|s| self.out.wc.unwildcard(*s));
        let bottom = self.flow.get(LABELS[n - 1]) as u32 & mpls::BOTTOM != 0;
        if !bottom {
            // The entries beyond those in the key move up unseen: the datapath's packet follows at once.
            self.commit();
            self.out.actions.push(OdpAction::PopMpls { eth_type });
        }
        let shift = |key: &mut FlowKey| {
            for (at, s) in LABELS.iter().enumerate() {
                let next = LABELS.get(at + 1).filter(|_| at + 1 < n).map_or(0, |s| key.get(*s));
                key.set(*s, next);
            }
            key.set_eth_type(eth_type);
        };
        shift(&mut self.flow);
        if !bottom {
            shift(&mut self.base);
        }
        self.under_label = !eth::is_mpls(eth_type) || n == 1;
    }

    /// A field of the top label, if there is one.
    pub(crate) fn set_label_field(&mut self, f: Field, value: u32) {
        if eth::is_mpls(self.flow.eth_type()) {
            self.set_whole(f, value);
        }
    }

    pub(crate) fn dec_mpls_ttl(&mut self) {
        if !eth::is_mpls(self.flow.eth_type()) {
            return;
        }
        self.out.wc.unwildcard(slot::mpls_lse0.low(8));
        let ttl = self.flow.mpls_lse0() & 0xff;
        if ttl > 1 {
            return self.flow.set_mpls_lse0(self.flow.mpls_lse0() - 1);
        }
        self.note(NodeKind::Warning, || "MPLS decrement TTL exception".into());
        self.invalid_ttl(0);
        self.exit = true;
    }

    pub(crate) fn dec_nsh_ttl(&mut self) {
        if self.flow.eth_type() != eth::TYPE_NSH {
            return;
        }
        self.out.wc.unwildcard(slot::nsh_ttl);
        if self.flow.nsh_ttl() > 1 {
            return self.flow.set_nsh_ttl(self.flow.nsh_ttl() - 1);
        }
        self.note(NodeKind::Warning, || "NSH decrement TTL exception".into());
        self.invalid_ttl(0);
        self.exit = true;
    }

    pub(crate) fn encap(&mut self, a: &Encap) {
        match a.packet_type {
            PT_ETH => self.encap_ethernet(),
            PT_NSH => self.encap_nsh(&a.properties),
            other if eth::is_mpls(other as u16) => self.encap_mpls(other as u16),
            _ => self.fail(XlateError::UnsupportedPacketType),
        }
    }

    fn encap_ethernet(&mut self) {
        if self.flow.packet_type() == PT_ETH {
            self.note(NodeKind::Action, || {
                "Dropping packet as encap(ethernet) is not supported for packet type ethernet.".into()
            });
            return self.fail(XlateError::UnsupportedPacketType);
        }
        self.commit();
        self.flow.set_packet_type(PT_ETH);
        self.flow.set_eth_src(EthAddr::ZERO);
        self.flow.set_eth_dst(EthAddr::ZERO);
    }

    fn encap_nsh(&mut self, properties: &[EncapProperty]) {
        let next = match self.flow.packet_type() {
            PT_ETH => nsh::NP_ETHERNET,
            PT_NSH => nsh::NP_NSH,
            t if t == packet_type(eth::TYPE_IPV4) => nsh::NP_IPV4,
            t if t == packet_type(eth::TYPE_IPV6) => nsh::NP_IPV6,
            _ => return self.fail(XlateError::UnsupportedPacketType),
        };
        self.commit();
        let (mut kind, mut md2) = (nsh::MD_TYPE1, Vec::new());
        for property in properties {
            match property {
                EncapProperty::NshMdType(md) => kind = *md,
                EncapProperty::NshTlv { class, kind, data } => {
                    md2.extend(class.to_be_bytes());
                    md2.extend([*kind, data.len() as u8]);
                    md2.extend(data);
                    md2.resize(md2.len().next_multiple_of(4), 0);
                }
            }
        }
        if kind == nsh::MD_TYPE1 {
            md2.clear();
        }
        clear_packet(&mut self.flow);
        self.flow.set_packet_type(PT_NSH);
        self.flow.set_eth_type(eth::TYPE_NSH);
        self.flow.set_nsh_ttl(NSH_TTL);
        self.flow.set_nsh_si(NSH_SI);
        self.flow.set_nsh_mdtype(kind);
        self.flow.set_nsh_np(next);
        self.under_label = false;
        self.pending = Some(Pending::PushNsh(md2));
    }

    fn encap_mpls(&mut self, eth_type: u16) {
        self.commit();
        let n = if self.flow.packet_type() == PT_ETH { 0 } else { labels(&self.flow) };
        if n >= LABELS.len() {
            return self.too_many_labels("encap", "would have");
        }
        self.look_at_bottoms(n);
        let below: Vec<u32> = stack(&self.flow).into_iter().rev().take(n).collect();
        clear_packet(&mut self.flow);
        let bottom = if n == 0 { mpls::BOTTOM } else { 0 };
        for (s, lse) in LABELS.iter().zip([bottom | u32::from(TTL)].into_iter().chain(below)) {
            self.flow.set(*s, lse.into());
        }
        self.flow.set_packet_type(packet_type(eth_type));
        self.flow.set_eth_type(eth_type);
        self.under_label = false;
        self.pending = Some(Pending::AddMpls);
    }

    pub(crate) fn decap(&mut self) {
        match self.flow.packet_type() {
            PT_ETH => {
                self.out.wc.unwildcard(slot::vlan_tci);
                if self.flow.vlan_tci() != 0 {
                    return self.fail(XlateError::UnsupportedPacketType);
                }
                self.flow.set_packet_type(packet_type(self.flow.eth_type()));
                self.flow.set_eth_src(EthAddr::ZERO);
                self.flow.set_eth_dst(EthAddr::ZERO);
            }
            PT_NSH => {
                self.commit();
                self.out.wc.unwildcard(slot::nsh_np);
                let inside = match self.flow.nsh_np() {
                    nsh::NP_ETHERNET => PT_ETH,
                    nsh::NP_IPV4 => packet_type(eth::TYPE_IPV4),
                    nsh::NP_IPV6 => packet_type(eth::TYPE_IPV6),
                    nsh::NP_NSH => PT_NSH,
                    _ => return self.fail(XlateError::UnsupportedPacketType),
                };
                clear_packet(&mut self.flow);
                self.flow.set_packet_type(inside);
                self.flow.set_eth_type(if inside == PT_ETH { 0 } else { inside as u16 });
                self.pending = Some(Pending::PopNsh);
                self.interrupt(Why::Decap);
            }
            _ => self.fail(XlateError::UnsupportedPacketType),
        }
    }

    /// Tells the datapath of what was put on or taken off.
    pub(crate) fn commit_pending(&mut self) {
        let Some(pending) = self.pending.take() else {
            if self.base.packet_type() == PT_ETH && self.flow.packet_type() != PT_ETH {
                self.out.actions.push(OdpAction::PopEth);
                self.base.set_packet_type(self.flow.packet_type());
                self.base.set_eth_src(EthAddr::ZERO);
                self.base.set_eth_dst(EthAddr::ZERO);
            }
            return;
        };
        self.out.actions.push(match pending {
            Pending::PushNsh(md2) => {
                let header = nsh_fields(&self.flow);
                OdpAction::PushNsh(Box::new(PushNsh { header, md2 }))
            }
            Pending::AddMpls => {
                let (lse, eth_type) = (self.flow.mpls_lse0(), self.flow.eth_type());
                OdpAction::AddMpls { lse, eth_type, layer: MplsLayer::Ethernet }
            }
            Pending::PopNsh => OdpAction::PopNsh,
        });
        // Below lies what the datapath's packet was.
        let first = slot::STAGES[0];
        let new = *self.flow.words();
        self.base.words_mut()[first..].copy_from_slice(&new[first..]);
        self.base.set_packet_type(self.flow.packet_type());
    }

    /// Pops, sets and pushes labels of the datapath's packet.
    pub(crate) fn commit_mpls(&mut self) {
        let want = if self.under_label { Vec::new() } else { stack(&self.flow) };
        let mut have = stack(&self.base);
        if have == want && (have.is_empty() || self.base.eth_type() == self.flow.eth_type()) {
            return;
        }
        let mut common = have.iter().zip(&want).take_while(|(a, b)| a == b).count();
        while have.len() > common {
            if have.len() == common + 1 && want.len() > common {
                // Written whole, so all of it matters.
                self.out.wc.unwildcard(slot::mpls_lse0);
                have[common] = want[common];
                self.out.actions.push(OdpAction::Set(Header::Mpls { lse: want[common] }));
                common += 1;
            } else {
                have.pop();
                let last = have.len() == want.len() && have == want;
                let eth_type = if last { self.flow.eth_type() } else { eth::TYPE_MPLS };
                self.out.actions.push(OdpAction::PopMpls { eth_type });
            }
        }
        for lse in want.iter().skip(common) {
            let eth_type = self.flow.eth_type();
            self.out.actions.push(OdpAction::PushMpls { lse: *lse, eth_type });
        }
        LABELS.iter().for_each(|s| self.base.set(*s, self.flow.get(*s)));
        // Labels that nobody has seen are none to compare with.
        let unseen = self.under_label && eth::is_mpls(self.flow.eth_type());
        self.base.set_eth_type(if unseen { 0 } else { self.flow.eth_type() });
        clear_network(&mut self.base);
    }

    /// Sets fields of the service header: those that changed, and with them what is matched.
    pub(crate) fn commit_nsh(&mut self) {
        let all = [
            slot::nsh_flags,
            slot::nsh_ttl,
            slot::nsh_spi,
            slot::nsh_si,
            slot::nsh_c1,
            slot::nsh_c2,
            slot::nsh_c3,
            slot::nsh_c4,
        ];
        let changed = |s: &&Slot| self.flow.get(**s) != self.base.get(**s);
        let changed: Vec<Slot> = all.iter().filter(changed).copied().collect();
        if changed.is_empty() {
            return;
        }
        let (mut value, mut mask) = (FlowKey::ZERO, FlowKey::ZERO);
        for s in all {
            if changed.contains(&s) {
                self.out.wc.unwildcard(s);
            }
            mask.set(s, self.out.wc.get(s));
            value.set(s, self.flow.get(s) & self.out.wc.get(s));
        }
        let (mut value, mut mask) = (nsh_fields(&value), nsh_fields(&mask));
        for h in [&mut value, &mut mask] {
            (h.md_type, h.next_proto) = (0, 0);
            (h.flags, h.ttl) = (h.flags & NshFields::ALL.flags, h.ttl & NshFields::ALL.ttl);
        }
        all.iter().for_each(|s| self.base.set(*s, self.flow.get(*s)));
        self.out.actions.push(OdpAction::SetMasked { value: Header::Nsh(value), mask: Header::Nsh(mask) });
    }
}

fn nsh_fields(k: &FlowKey) -> NshFields {
    NshFields {
        flags: k.nsh_flags(),
        ttl: k.nsh_ttl(),
        md_type: k.nsh_mdtype(),
        next_proto: k.nsh_np(),
        spi: k.nsh_spi(),
        si: k.nsh_si(),
        context: [k.nsh_c1(), k.nsh_c2(), k.nsh_c3(), k.nsh_c4()],
    }
}
