//! The promise of megaflows: flipping any bit that a translation did not look at never changes its outcome.

mod fixture;

use flow::{FlowKey, Match, Slot, slot};
use openflow::actions::{
    CloneActions, Ct, CtZone, DebugRecirc, DebugSlow, DecMplsTtl, DecNshTtl, DecTtl, Decap, Encap, GotoTable,
    Move, Output, PopMpls, PushMpls, PushVlan, Resubmit, Sample, SampleDirection, SampleSource, SetField,
    SetFieldForm, SetMplsTtl, StackPop, StackPush, StripVlan, WriteActions,
};
use openflow::{Action, OfpPort, Subfield};
use proptest::prelude::*;
use wire::EthAddr;

use fixture::{Known, RuleParts, network, translate};

const FIELDS: [(flow::Field, Slot); 11] = [
    (flow::Field::MplsLabel, slot::mpls_lse0),
    (flow::Field::NshSpi, slot::nsh_spi),
    (flow::Field::InPortOxm, slot::in_port),
    (flow::Field::EthType, slot::eth_type),
    (flow::Field::EthDst, slot::eth_dst),
    (flow::Field::IpDst, slot::nw_dst),
    (flow::Field::NwProto, slot::nw_proto),
    (flow::Field::TcpDst, slot::tp_dst),
    (flow::Field::Reg0, slot::reg0),
    (flow::Field::CtState, slot::ct_state),
    (flow::Field::CtMark, slot::ct_mark),
];

fn matcher() -> impl Strategy<Value = Match> {
    let part = (0usize..FIELDS.len(), 0u128..8, prop_oneof![Just(u128::MAX), Just(1), Just(6), Just(0xfff8)]);
    prop::collection::vec(part, 0..4).prop_map(|parts| {
        let mut m = Match::ANY;
        for (i, value, mask) in parts {
            let s = FIELDS[i].1;
            let (value, mask) = match s {
                slot::eth_type => ([0x800, 0x806, 0x8847, 0x894f][value as usize & 3], u128::MAX),
                slot::nw_proto => (if value & 1 == 0 { 6 } else { 17 }, u128::MAX),
                slot::in_port => (value & 3, u128::MAX),
                _ => (value, mask),
            };
            m.set_masked(s, value & mask, mask);
        }
        m
    })
}

fn sub(field: flow::Field, ofs: u16, n_bits: u16) -> Subfield {
    Subfield { field, ofs, n_bits }
}

fn load(field: flow::Field, value: u128, mask: u128) -> Action {
    SetField {
        field,
        value: (value & mask).into(),
        mask: mask.into(),
        form: SetFieldForm::SetField,
        flow_has_vlan: false,
    }
    .into()
}

fn action() -> impl Strategy<Value = Action> {
    let leaf = prop_oneof![
        4 => (1u32..4).prop_map(|p| Output { port: OfpPort(p), max_len: 0 }.into()),
        1 => Just(Output { port: OfpPort::NORMAL, max_len: 0 }.into()),
        1 => Just(Output { port: OfpPort::FLOOD, max_len: 0 }.into()),
        3 => (1u8..4).prop_map(|table| Resubmit {
            in_port: OfpPort::IN_PORT, table, with_ct: false, port_only: false
        }.into()),
        1 => (2u8..4).prop_map(|t| GotoTable(t).into()),
        2 => (0u128..8).prop_map(|v| load(flow::Field::Reg0, v, 7)),
        1 => (0u128..8).prop_map(|v| load(flow::Field::IpDst, v, 7)),
        1 => (0u128..8).prop_map(|v| load(flow::Field::TcpDst, v, 0xffff)),
        1 => (0u128..3).prop_map(|v| load(flow::Field::EthDst, v, 0xffff_ffff_ffff)),
        1 => Just(Move {
            src: sub(flow::Field::IpDst, 0, 3), dst: sub(flow::Field::Reg0, 0, 3), onf: false
        }.into()),
        1 => Just(StackPush(sub(flow::Field::EthSrc, 0, 8)).into()),
        1 => Just(StackPop(sub(flow::Field::Reg0, 0, 8)).into()),
        1 => Just(PushVlan(0x8100).into()),
        1 => Just(StripVlan { pop: false }.into()),
        1 => prop::sample::select(vec![0x8847, 0x8848]).prop_map(|t| PushMpls(t).into()),
        2 => prop::sample::select(vec![0x800, 0x86dd, 0x8847]).prop_map(|t| PopMpls(t).into()),
        1 => (0u128..8).prop_map(|v| load(flow::Field::MplsLabel, v, 7)),
        1 => Just(SetMplsTtl(9).into()),
        1 => Just(DecMplsTtl.into()),
        1 => (0u128..8).prop_map(|v| load(flow::Field::NshSpi, v, 7)),
        1 => Just(DecNshTtl.into()),
        1 => prop::sample::select(vec![0, 0x1894f, 0x18847]).prop_map(|packet_type| {
            Encap { packet_type, hdr_size: 0, properties: vec![] }.into()
        }),
        1 => Just(Decap(0xfffe).into()),
        1 => Just(DecTtl { ids: vec![0], with_ids: false }.into()),
        1 => Just(DebugRecirc.into()),
        1 => Just(DebugSlow.into()),
        1 => (1u16.., 0u32..3).prop_map(|(probability, collector_set_id)| Sample {
            probability,
            collector_set_id,
            obs_domain: SampleSource::Field(sub(flow::Field::IpDst, 0, 2)),
            obs_point: SampleSource::Number(5),
            sampling_port: OfpPort(2),
            direction: SampleDirection::Default,
            form: 4,
        }.into()),
        1 => (1u8..4).prop_map(|t| Ct {
            commit: false, force: false, zone: CtZone::Number(1), table: Some(t), alg: 0, actions: vec![]
        }.into()),
        1 => Just(Ct {
            commit: true, force: false, zone: CtZone::Field(sub(flow::Field::Reg0, 0, 16)), table: None, alg: 0,
            actions: vec![load(flow::Field::CtMark, 5, 7)],
        }.into()),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let list = prop::collection::vec(inner, 1..3);
        prop_oneof![
            list.clone().prop_map(|l| Action::from(CloneActions(l))),
            list.prop_map(|l| Action::from(WriteActions(l))),
        ]
    })
}

fn rules() -> impl Strategy<Value = Vec<RuleParts>> {
    prop::collection::vec((0u8..4, 0u16..6, matcher(), prop::collection::vec(action(), 0..4)), 1..14)
}

fn packet() -> impl Strategy<Value = FlowKey> {
    let parts = (
        (
            1u32..4,
            prop_oneof![Just(0x800u16), Just(0x806), Just(0x86dd), Just(0x8847), Just(0x894f)],
            prop_oneof![Just(6u8), Just(17), Just(1)],
        ),
        (0u64..4, 0u64..4, 0u32..8, 0u32..8, 0u16..8, 0u16..8),
        (prop_oneof![Just(0u16), Just(0x1005), Just(0x3007)], any::<u8>(), 0u8..0x40, 0u32..8),
    );
    parts.prop_map(|((port, eth_type, proto), (dst, src, nw_src, nw_dst, sp, dp), (tci, ttl, ct, mark))| {
        let mut k = FlowKey::ZERO;
        k.set_in_port(port);
        k.set_eth_type(eth_type);
        k.set_eth_dst(EthAddr::from_u64(dst));
        k.set_eth_src(EthAddr::from_u64(src));
        if eth_type == 0x8847 {
            labels(&mut k, nw_src, nw_dst << 12 | u32::from(ttl));
        }
        if eth_type == 0x894f {
            k.set_nsh_spi(nw_src);
            k.set_nsh_ttl(ttl & 3);
            k.set_nsh_np(sp as u8 & 3);
            k.set_nsh_mdtype(1);
        }
        if !matches!(eth_type, 0x800 | 0x86dd | 0x806) {
            return tagged(k, tci, ct, mark);
        }
        k.set_nw_src(nw_src);
        k.set_nw_dst(nw_dst);
        k.set_nw_proto(proto);
        if eth_type != 0x806 {
            k.set_nw_ttl(ttl);
            k.set_tp_src(sp);
            k.set_tp_dst(dp);
        }
        tagged(k, tci, ct, mark)
    })
}

fn tagged(mut k: FlowKey, tci: u16, ct_state: u8, ct_mark: u32) -> FlowKey {
    k.set_vlan_tci(tci);
    k.set_vlan_tpid(if tci == 0 { 0 } else { 0x8100 });
    k.set_ct_state(ct_state);
    k.set_ct_mark(ct_mark);
    k
}

/// A stack whose bottom is where `n` says, or beyond what the key has.
fn labels(k: &mut FlowKey, n: u32, first: u32) {
    for (i, s) in [slot::mpls_lse0, slot::mpls_lse1, slot::mpls_lse2].into_iter().enumerate() {
        let bottom = n % 4 == i as u32;
        k.set(s, u128::from(first & !0x100 | u32::from(bottom) << 8) + i as u128);
        if bottom {
            break;
        }
    }
}

/// True if a packet may differ from `key` in `s`: it has the header, and the bottom of its labels stays where it is.
fn has(key: &FlowKey, s: Slot, bit: u8) -> bool {
    let labels = [slot::mpls_lse0, slot::mpls_lse1, slot::mpls_lse2];
    if let Some(at) = labels.iter().position(|l| *l == s) {
        return key.eth_type() == 0x8847 && bit != 8 && labels[..at].iter().all(|l| key.get(*l) & 0x100 == 0);
    }
    if slot::NSH.contains(&s) {
        return key.eth_type() == 0x894f;
    }
    let network =
        [slot::nw_src, slot::nw_dst, slot::nw_proto, slot::nw_ttl, slot::nw_tos, slot::tp_src, slot::tp_dst];
    !network.contains(&s) || matches!(key.eth_type(), 0x800 | 0x86dd | 0x806)
}

/// Bits of a packet that can differ between packets.
const FLIPPED: [Slot; 21] = [
    slot::mpls_lse0,
    slot::mpls_lse1,
    slot::mpls_lse2,
    slot::nsh_ttl,
    slot::nsh_np,
    slot::nsh_spi,
    slot::nsh_c1,
    slot::eth_dst,
    slot::eth_src,
    slot::vlan_tci,
    slot::nw_src,
    slot::nw_dst,
    slot::nw_proto,
    slot::nw_ttl,
    slot::nw_tos,
    slot::tp_src,
    slot::tp_dst,
    slot::ct_state,
    slot::ct_mark,
    slot::pkt_mark,
    slot::tcp_flags,
];

/// What an entry of the stack becomes is looked at whole: popped and pushed again, the second is the packet's first.
#[test]
fn a_label_that_moves_up_matters() {
    let actions =
        vec![PopMpls(0x8847).into(), PushMpls(0x8847).into(), Output { port: OfpPort(1), max_len: 0 }.into()];
    let network = network(&[(0, 1, Match::ANY, actions)]);
    let mut key = FlowKey::ZERO;
    key.set_in_port(2);
    key.set_eth_type(0x8847);
    key.set(slot::mpls_lse1, 0x101);
    let outcome = translate(&network, &Known::default(), &key);
    assert_eq!(outcome.wc.get(slot::mpls_lse1), 0xffff_ffff);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn bits_not_looked_at_do_not_matter(rules in rules(), key in packet()) {
        let network = network(&rules);
        let memory = Known::default();
        let run = |key: &FlowKey| translate(&network, &memory, key);
        let outcome = run(&key);
        for s in FLIPPED {
            for bit in 0..s.bits {
                if outcome.wc.get(s) >> bit & 1 != 0 || !has(&key, s, bit) {
                    continue;
                }
                let mut other = key;
                other.set(s, key.get(s) ^ 1 << bit);
                let flipped = run(&other);
                prop_assert_eq!(&flipped.actions, &outcome.actions, "bit {} of {:?}", bit, s);
                prop_assert_eq!(flipped.error, outcome.error);
                prop_assert_eq!(flipped.slow, outcome.slow);
            }
        }
    }
}
