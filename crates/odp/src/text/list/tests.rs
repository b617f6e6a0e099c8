//! Lists of actions as text, there and back.

extern crate std;
use std::string::{String, ToString};

use proptest::prelude::*;

use super::*;
use crate::Header;
use crate::netlink::tests::any_actions;
use crate::text::ActionList;

fn names(name: &str) -> Option<u32> {
    (name == "p1").then_some(7)
}

fn read(text: &str) -> Vec<Action> {
    parse_actions(text, &names).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// What the text cannot say is taken out: values wider than their fields, and headers that are none.
fn legible(list: &mut [Action]) {
    let header = |h: &mut Header| match h {
        Header::Arp { op, .. } => *op &= 0x7f,
        Header::Ipv6 { label, .. } => *label &= 0xf_ffff,
        Header::Nsh(n) => {
            (n.flags, n.ttl, n.md_type, n.next_proto) = (n.flags & 3, n.ttl & 0x3f, 0, 0);
        }
        _ => {}
    };
    for action in list {
        match action {
            Action::Set(h) => header(h),
            Action::SetMasked { value, mask } => {
                header(value);
                header(mask);
            }
            Action::TnlPush(push) => *action = Action::TnlPop(push.tnl_port),
            Action::Clone(list) | Action::DecTtl(list) | Action::Sample { actions: list, .. } => {
                legible(list)
            }
            Action::CheckPktLen { if_greater, if_less_equal, .. } => {
                legible(if_greater);
                legible(if_less_equal);
            }
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(mut list in any_actions()) {
        legible(&mut list);
        let text = ActionList(&list).to_string();
        let back = parse_actions(&text, &names).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(ActionList(&back).to_string(), text.clone());
        // What the text does not say is gone; the rest stays.
        prop_assert_eq!(read(&text), back);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[a-z_0-9(),=/.:-]{0,60}|\\PC{0,40}") {
        let _ = parse_actions(&text, &names);
    }

    #[test]
    fn a_text_cut_short_is_read_or_refused(mut list in any_actions(), at in 0.0f64..1.0) {
        legible(&mut list);
        let text = ActionList(&list).to_string();
        let _ = parse_actions(&text[..(text.len() as f64 * at) as usize], &names);
    }
}

/// Texts that read as themselves.
const SAME: [&str; 26] = [
    "drop",
    "1,2,3",
    "clone(push_vlan(vid=3,pcp=0),2),pop_vlan,clone(drop)",
    "push_vlan(vid=3,pcp=1,cfi=0)",
    "ct(commit,zone=5,mark=0x1/0xff,label=0x1/0x1,nat(src=10.0.0.1-10.0.0.5:100-200,random))",
    "ct(nat),ct,ct_clear",
    "ct(commit,nat(dst=[2001::1]:80)),ct(nat(src=2001::1-2001::5,persistent,hash)),ct(commit,nat(src))",
    "recirc(0x5),hash(hash_l4(5)),hash(sym_l4(0)),trunc(100),meter(3),lb_output(4),tnl_pop(3)",
    "userspace(pid=7,userdata(0102030405060708090a),actions,tunnel_out_port=3)",
    "userspace(pid=1,slow_path(cfm,action))",
    "userspace(pid=1,controller(reason=1,dont_send=0,continuation=0,recirc_id=5,rule_cookie=0x1,controller_id=0,max_len=65535))",
    "sample(sample=33.3%,actions(2)),check_pkt_len(size=100,gt(2,clone(3)),le(drop)),dec_ttl(le_1(2))",
    "push_eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),pop_eth,pop_nsh()",
    "push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x1234,si=255,c1=0x11223344,c2=0x0,c3=0x0,c4=0x0)",
    "push_mpls(label=7,tc=1,ttl=64,bos=0,eth_type=0x8847),pop_mpls(eth_type=0x8847)",
    "set(tunnel(tun_id=0x5,src=1.1.1.1,dst=2.2.2.2,tos=0x4,ttl=64,tp_dst=4789,vxlan(gbp(id=5,flags=0x8)),flags(df|csum|key)))",
    "set(tunnel(tun_id=0x5,dst=2.2.2.2,ttl=64,geneve({class=0xffff,type=0x1,len=8,0x1122334455667788}{class=0,type=0x2,len=0}),flags(key)))",
    "set(tunnel(ipv6_src=::1,ipv6_dst=::2,ttl=64,erspan(ver=2,dir=1,hwid=0x5),gtpu(flags=0x30,msgtype=255),flags(0)))",
    "set(ipv6(src=2001::1/ffff::,label=0x5,hlimit=4)),set(skb_priority(0x5)),set(skb_mark(0x3/0xf))",
    "set(arp(sip=1.2.3.4,tip=1.2.3.5,op=2,sha=00:00:00:00:00:01,tha=00:00:00:00:00:00)),set(nd(target=::2))",
    "set(vlan(vid=5)),set(vlan(vid=5,pcp=3)),set(vlan(pcp=3)),set(mpls(label=5,tc=1,ttl=3,bos=1))",
    "set(ipv4(src=1.2.3.4/255.0.0.0,tos=0x4/0xfc,frag=no)),set(eth(src=00:00:00:00:00:01/ff:ff:ff:ff:ff:00))",
    "set(nsh(ttl=62,spi=0x5,c2=0x7/0xff)),set(icmp(type=5)),set(icmpv6(code=5)),set(sctp(src=5,dst=6/0xff))",
    "psample(group=12,cookie=0x102),psample(group=1),psample(group=1,cookie=0x0)",
    "sample(sample=50.0%,actions(userspace(pid=0,flow_sample(probability=32768,collector_set_id=1,obs_domain_id=10,obs_point_id=20,output_port=4294967295))))",
    "userspace(pid=0,flow_sample(probability=1,collector_set_id=1,obs_domain_id=0,obs_point_id=0,output_port=2,egress),tunnel_out_port=2)",
];

#[test]
fn texts_read_as_themselves() {
    for text in SAME {
        assert_eq!(ActionList(&read(text)).to_string(), text);
    }
}

#[test]
fn texts_read_as_what_they_mean() {
    let check = |text: &str, same: &str| assert_eq!(ActionList(&read(text)).to_string(), same, "{text}");
    check("", "drop");
    check("p1 2", "7,2");
    check("1, 0x2 ,3,,4", "1,2,3,4");
    check("ct()", "ct");
    check(
        "ct(force_commit,helper=ftp,mark=5,label=7)",
        "ct(force_commit,mark=0x5/0xffffffff,label=0x7,helper=ftp)",
    );
    check("sample(sample=100%,actions())", "sample(sample=100.0%,actions(drop))");
    check("set(eth(src=1:2:3:4:5:6))", "set(eth(src=01:02:03:04:05:06))");
    check(
        "set(tunnel(tun_id=1,dst=2.2.2.2,ttl=64))",
        "set(tunnel(tun_id=0x1,dst=2.2.2.2,ttl=64,flags(key)))",
    );
    check("psample(group=1,cookie=0x000a00)", "psample(group=1,cookie=0xa00)");
    assert_eq!(read("1,drop"), [Action::Output(OdpPort(1)), Action::Drop(0)]);
    let masked =
        Action::SetMasked { value: Header::Vlan { tci: 0x1005 }, mask: Header::Vlan { tci: 0x1fff } };
    assert_eq!(read("set(vlan(vid=5))"), [masked]);
    assert_eq!(read("set(tcp(src=1,dst=2))"), [Action::Set(Header::Tcp { src: 1, dst: 2 })]);
}

#[test]
fn errors_say_where() {
    for text in [
        "frob(2)",
        "p9",
        "clone(1",
        "-1",
        "4294967296",
        "push_vlan(vid=3)",
        "push_vlan(vid=4096,pcp=0)",
        "trunc(x)",
        "set(tcp(src=5)",
        "set(frob(1))",
        "set(in_port(1))",
        "ct(frob)",
        "sample(sample=101%,actions(1))",
        "hash(x(1))",
        "tnl_push(tnl_port(1),header(size=3,type=4),out_port(2))",
        "userspace(actions)",
        "userspace(pid=0,flow_sample(probability=1,collector_set_id=1,obs_domain_id=0,obs_point_id=0))",
        "pop_mpls()",
    ] {
        let list = String::from("1,") + text;
        assert_eq!(
            parse_actions(&list, &names).unwrap_err().to_string(),
            String::from("syntax error at ") + text
        );
    }
    let deep = "clone(".repeat(40) + &")".repeat(40);
    assert!(parse_actions(&deep, &names).is_err());
}
