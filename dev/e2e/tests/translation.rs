//! Translation beside Open vSwitch's: what traces say of labels, service headers and Ethernet headers.

use e2e::{dummy_bridge, numberless, ours};
use testkit::{Suite, oracle};

const PORTS: &str = "-- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1 \
    -- add-port br0 p2 -- set interface p2 type=dummy ofport_request=2 \
    -- add-port br0 p3 -- set interface p3 type=dummy ofport_request=3";

const FLOWS: [&str; 23] = [
    "in_port=1,ip,actions=push_mpls:0x8847,set_field:10->mpls_label,set_field:3->mpls_tc,2",
    "in_port=1,arp,actions=push_mpls:0x8848,push_mpls:0x8847,set_mpls_label:11,set_mpls_ttl:9,2",
    "in_port=1,udp6,actions=push_vlan:0x8100,set_field:4101->vlan_vid,push_mpls:0x8847,2",
    "in_port=1,tcp6,actions=push_mpls:0x8847,push_vlan:0x8100,set_field:4101->vlan_vid,2",
    "in_port=1,icmp6,actions=push_mpls:0x8847,2,pop_mpls:0x86dd,3",
    "in_port=2,mpls,mpls_label=10,actions=pop_mpls:0x0800,1",
    "in_port=2,mpls,mpls_label=11,actions=pop_mpls:0x8847,1",
    "in_port=2,mpls,mpls_label=12,actions=pop_mpls:0x0800,dec_ttl,1",
    "in_port=2,mpls,mpls_label=13,actions=dec_mpls_ttl,1",
    "in_port=2,mpls,mpls_label=14,actions=set_field:20->mpls_label,set_field:0->mpls_tc,1",
    "in_port=2,mpls,mpls_label=15,actions=pop_mpls:0x0800,resubmit(,1)",
    "in_port=2,mpls,mpls_label=16,actions=push_mpls:0x8847,set_field:21->mpls_label,1",
    "in_port=2,mpls,mpls_label=17,actions=pop_mpls:0x0800,set_field:02:00:00:00:00:09->eth_dst,1",
    "in_port=2,mpls,mpls_label=18,actions=move:OXM_OF_MPLS_LABEL[]->NXM_NX_REG0[0..19],set_mpls_ttl:5,1",
    "in_port=2,mpls,mpls_label=19,actions=1,pop_mpls:0x0800,3",
    "in_port=3,ip,actions=encap(nsh(md_type=1)),set_field:0x1234->nsh_spi,set_field:254->nsh_si,\
     set_field:0x11->nsh_c1,encap(ethernet),set_field:11:22:33:44:55:66->eth_dst,2",
    "in_port=3,arp,actions=encap(nsh(md_type=2,tlv(0x1000,10,0x12345678))),encap(ethernet),2",
    "in_port=3,ipv6,actions=encap(nsh),2",
    "in_port=3,eth_type=0x894f,nsh_spi=5,actions=decap(),decap(),2",
    "in_port=3,eth_type=0x894f,nsh_spi=6,actions=dec_nsh_ttl,set_field:7->nsh_si,2",
    "in_port=3,eth_type=0x894f,nsh_spi=7,actions=set_field:7->nsh_spi,2",
    "in_port=3,eth_type=0x1234,actions=decap(),2",
    "in_port=3,eth_type=0x1236,actions=encap(mpls),set_field:5->mpls_label,encap(ethernet),2",
];

/// Packets, and whether Open vSwitch's megaflow is ours. It is not where a label is written whole, or moves up: theirs
/// writes bits that it does not match.
const PACKETS: [(&str, bool); 26] = [
    ("in_port=1,udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64", true),
    ("in_port=1,udp,nw_tos=0xa0,nw_ttl=3", true),
    ("in_port=1,arp", true),
    ("in_port=1,udp6,nw_ttl=9", true),
    ("in_port=1,tcp6,nw_ttl=9,ipv6_label=3", true),
    ("in_port=1,icmp6,nw_ttl=9", true),
    ("in_port=2,mpls,mpls_label=10,mpls_bos=1,mpls_ttl=7", true),
    ("in_port=2,mpls,mpls_label=11,mpls_bos=0,mpls_ttl=7", false),
    ("in_port=2,mpls,mpls_label=12,mpls_bos=1,mpls_ttl=7", true),
    ("in_port=2,mpls,mpls_label=13,mpls_bos=1,mpls_ttl=7", false),
    ("in_port=2,mpls,mpls_label=13,mpls_bos=1,mpls_ttl=1", true),
    ("in_port=2,mpls,mpls_label=14,mpls_bos=1,mpls_ttl=7", false),
    ("in_port=2,mpls,mpls_label=15,mpls_bos=1,mpls_ttl=7", true),
    ("in_port=2,mpls,mpls_label=16,mpls_bos=1,mpls_ttl=7", true),
    ("in_port=2,mpls,mpls_label=17,mpls_bos=1,mpls_ttl=7", true),
    ("in_port=2,mpls,mpls_label=18,mpls_bos=1,mpls_ttl=7", false),
    ("in_port=2,mpls,mpls_label=19,mpls_bos=1,mpls_ttl=7", true),
    ("in_port=3,udp,nw_src=10.0.0.1", true),
    ("in_port=3,arp", true),
    ("in_port=3,udp6", true),
    ("in_port=3,eth_type=0x894f,nsh_spi=5,nsh_mdtype=1,nsh_np=3,nsh_ttl=9", true),
    ("in_port=3,eth_type=0x894f,nsh_spi=6,nsh_mdtype=1,nsh_np=3,nsh_ttl=9", true),
    ("in_port=3,eth_type=0x894f,nsh_spi=6,nsh_mdtype=1,nsh_np=3,nsh_ttl=1", true),
    ("in_port=3,eth_type=0x894f,nsh_spi=7,nsh_mdtype=1,nsh_np=3,nsh_ttl=9,nsh_c1=3", true),
    ("in_port=3,dl_type=0x1234", true),
    ("in_port=3,dl_type=0x1236", true),
];

/// For each packet, what its trace says: the first megaflow and the first actions, without recirculation's numbers.
fn traced(suite: &Suite) -> Vec<(String, String)> {
    let pair = dummy_bridge(suite, &PORTS.split_whitespace().collect::<Vec<_>>());
    for flow in FLOWS {
        pair.ok(suite, "ovs-ofctl", &["-OOpenFlow13", "add-flow", "br0", flow]);
    }
    let trace = |packet: &str| {
        let text = pair.ok(suite, "ovs-appctl", &["ofproto/trace", "br0", packet]);
        let line = |start: &str| {
            let line = text
                .lines()
                .find_map(|l| l.strip_prefix(start))
                .unwrap_or_else(|| panic!("{packet}: {text}"));
            numberless(line)
        };
        (line("Megaflow: "), line("Datapath actions: "))
    };
    PACKETS.iter().map(|(packet, _)| trace(packet)).collect()
}

#[test]
fn labels_and_headers_are_translated_as_in_c() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    let (ours, theirs) = (traced(&ours), traced(&c));
    let mut wrong = Vec::new();
    for (((packet, same), ours), theirs) in PACKETS.iter().zip(&ours).zip(&theirs) {
        if ours.1 != theirs.1 || *same != (ours.0 == theirs.0) {
            wrong.push(format!("{packet}\n  ours:   {ours:?}\n  theirs: {theirs:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
