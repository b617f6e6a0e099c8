//! Lists of actions, as netlink bytes, carried out on packets.
//!
//! Where it sits: a target. What is decoded and valid is executed, and written again.

use netlink::Attrs;
use odp::netlink::actions::{put_actions, take_actions};
use packet::{FlatPacket, OdpPort, PacketMeta, TunnelKey};

use super::Run;
use super::messages::attributes;
use super::packets::{HOST, Rig, frames};

const LISTS: [&str; 22] = [
    "1,2,3",
    "clone(ct(commit,zone=5,nat(src=10.9.0.9:6000-7000)),2),3",
    "sample(sample=50.0%,actions(userspace(pid=7,userdata(0102)),push_vlan(vid=5,pcp=3))),2",
    "check_pkt_len(size=60,gt(recirc(0x7)),le(set(eth(src=02:00:00:00:00:09,dst=02:00:00:00:00:08)),1))",
    "push_vlan(tpid=0x88a8,vid=5,pcp=0),push_vlan(vid=6,pcp=0),pop_vlan,2",
    "push_mpls(label=5,tc=1,ttl=9,bos=1,eth_type=0x8847),pop_mpls(eth_type=0x800),2",
    "push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=7,si=9,c1=0x1,c2=0x2,c3=0x3,c4=0x4),pop_nsh(),2",
    "push_eth(src=02:00:00:00:00:09,dst=02:00:00:00:00:08),pop_eth,2",
    "set(ipv4(src=1.2.3.4,dst=5.6.7.8,tos=0x10,ttl=9)),2",
    "set(ipv6(src=fe80::9,dst=fe80::8,label=0x7,tclass=0x10,hlimit=9)),2",
    "set(tcp(src=7,dst=8)),set(udp(src=7,dst=8)),set(sctp(src=7,dst=8)),2",
    "set(nd(target=fe80::9,sll=02:00:00:00:00:09,tll=02:00:00:00:00:08)),2",
    "set(arp(sip=1.2.3.4,tip=5.6.7.8,op=2,sha=02:00:00:00:00:09,tha=02:00:00:00:00:08)),2",
    "set(mpls(label=9,tc=1,ttl=3,bos=0)),2",
    "set(tunnel(tun_id=0x7,dst=1.1.1.2,ttl=64,flags(df|key))),20",
    "set(tunnel(tun_id=0x7,dst=1.1.1.2,ttl=64,geneve({class=0x102,type=0x80,len=4,0xa}),flags(df|csum|key))),21",
    "set(tunnel(tun_id=0x7,ipv6_dst=fe80::5,ttl=64,flags(key))),22,23,24,25,26",
    "tnl_pop(20)",
    "hash(hash_l4(0)),recirc(0x9)",
    "trunc(20),2,trunc(100),userspace(pid=1,slow_path(controller))",
    "meter(1),ct_clear,set(skb_mark(0x5)),set(skb_priority(0x6)),lb_output(3),2",
    "ct(commit,zone=1,mark=0x1/0xff,label=0x2/0xff,helper=ftp,timeout=3,nat(dst=10.0.0.1-10.0.0.9:1-9,random)),drop",
];

/// Lists of every action.
pub fn seeds() -> Vec<Vec<u8>> {
    LISTS
        .iter()
        .map(|text| {
            let actions =
                odp::text::parse_actions(text, &|_| None).unwrap_or_else(|e| panic!("{text}: {e:?}"));
            attributes(|b| put_actions(b, &actions))
        })
        .collect()
}

/// What is decoded is encoded the same, and if it is valid, executed on packets of every kind.
pub fn execute() -> Run {
    let mut rig = Rig::new();
    let frames = frames();
    let mut turn = 0;
    Box::new(move |bytes| {
        let Ok(actions) = take_actions(Attrs::new(bytes)) else { return };
        let again = attributes(|b| put_actions(b, &actions));
        assert_eq!(take_actions(Attrs::new(&again)).as_ref(), Ok(&actions), "what is written is read");
        if odp::validate(&actions).is_err() {
            return;
        }
        let text = odp::text::ActionList(&actions).to_string();
        assert!(!text.is_empty(), "it has a text");
        for _ in 0..3 {
            turn = (turn + 1) % frames.len();
            let tunnel = TunnelKey { id: 7, dst: 0x0101_0102, ..TunnelKey::default() };
            let meta = PacketMeta { in_port: OdpPort(1), tunnel, ..PacketMeta::default() };
            let packet = FlatPacket::try_from_frame(&frames[turn]).expect("memory");
            let now = rig.now();
            rig.worker.execute(&rig.datapath, &mut { HOST }, now, (meta, packet), &actions);
            rig.drain();
        }
    })
}
