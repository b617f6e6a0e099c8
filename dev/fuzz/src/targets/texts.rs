//! Matches and actions as people write them.
//!
//! Where it sits: a target: what is read and written again says the same.

use odp::text::{ActionList, FlowText, parse_actions, parse_match};

use super::Run;

const TEXTS: [&str; 8] = [
    "recirc_id(0),in_port(1),eth(src=02:00:00:00:00:01/ff:ff:ff:00:00:00),eth_type(0x0800),ipv4(src=10.0.0.1,frag=no),tcp(dst=80)",
    "tunnel(tun_id=0x7,src=1.1.1.1,dst=1.1.1.2,geneve({class=0x102,type=0x80,len=4,0xa/0xff}),flags(-df+csum+key)),in_port(1)",
    "ct_state(+new-est+trk),ct_zone(5),ct_mark(0x7/0xff),ct_label(0x1/0x3),ct_tuple4(src=10.0.0.1,dst=10.0.0.2,proto=6,tp_src=1,tp_dst=2)",
    "eth_type(0x8847),mpls(label=1,tc=2,ttl=3,bos=1)",
    "clone(ct(commit,zone=5,nat(src=10.9.0.9:6000-7000)),2),3",
    "sample(sample=50.0%,actions(userspace(pid=7,userdata(0102)))),2",
    "check_pkt_len(size=60,gt(recirc(0x7)),le(1))",
    "tnl_push(tnl_port(4),header(size=50,type=4,eth(dst=f8:bc:12:44:34:b6,src=f8:bc:12:46:58:e0,dl_type=0x0800),ipv4(src=1.1.2.88,dst=1.1.2.92,proto=17,tos=0,ttl=64,frag=0x4000),udp(src=0,dst=4789,csum=0x0),vxlan(flags=0x8000000,vni=0x1c7)),out_port(1))",
];

/// Texts of both kinds.
pub fn seeds() -> Vec<Vec<u8>> {
    TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Reads a text as either.
pub fn parse() -> Run {
    Box::new(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(actions) = parse_actions(&text, &|_| None) {
            let _ = ActionList(&actions).to_string();
        }
        if let Ok(matched) = parse_match(&text, &|_| None) {
            let _ = FlowText(&matched).to_string();
        }
    })
}
