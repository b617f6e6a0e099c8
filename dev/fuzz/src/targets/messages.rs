//! Netlink messages to the pseudo device, and keys and masks as attributes.
//!
//! Where it sits: targets. The device keeps what it is told, so that later messages meet it.

use datapath::{Config, Datapath};
use device::{Device, Env, Errno, Handle, NetdevInfo, PortRef, Progress, Queue, Ticket, VportHost};
use flow::{FlowKey, Match};
use netlink::{Attrs, Builder, Header};
use odp::netlink::ids::{self, Family, cmd};
use odp::netlink::key::{put_key, put_mask, take_key, take_match};
use odp::netlink::vport::VportStats;
use packet::{Instant, Now, OdpPort, PacketMeta};

use super::Run;

struct Ports;

impl VportHost for Ports {
    fn open_port(&self, _: &PortRef<'_>, _: Ticket) -> Progress<Result<(), Errno>> {
        Progress::Done(Ok(()))
    }
    fn close_port(&self, _: &PortRef<'_>, _: Ticket) -> Progress<Result<(), Errno>> {
        Progress::Done(Ok(()))
    }
    fn port_stats(&self, _: OdpPort) -> VportStats {
        VportStats::default()
    }
    fn netdev(&self, _: &str) -> Option<NetdevInfo> {
        None
    }
    fn execute(&self, _: &PacketMeta, _: &[u8], _: &[odp::Action]) -> Result<(), Errno> {
        Ok(())
    }
    fn for_each_unbound(&self, _: &mut dyn FnMut(&PortRef<'_>, u8)) {}
    fn wake(&self, _: Handle, _: Queue) {}
}

const FAMILIES: [Family; 8] =
    [ids::CONTROL, ids::DATAPATH, ids::PACKET, ids::VPORT, ids::FLOW, ids::NETDEV, ids::CT_LIMIT, ids::METER];

/// Matches of every kind of packet.
const MATCHES: [&str; 5] = [
    "recirc_id(0),in_port(1),eth(src=02:00:00:00:00:01),eth_type(0x0800),ipv4(src=10.0.0.1,proto=6,frag=no),tcp(dst=80)",
    "tunnel(tun_id=0x7,src=1.1.1.1,dst=1.1.1.2,geneve({class=0x102,type=0x80,len=4,0xa}),flags(-df+csum+key)),in_port(1)",
    "ct_state(+new-est+trk),ct_zone(5),ct_mark(0x7/0xff),eth_type(0x86dd),ipv6(proto=17),udp(dst=53)",
    "in_port(1),eth_type(0x8847),mpls(label=1,tc=2,ttl=3,bos=1)",
    "in_port(1),eth_type(0x8100),vlan(vid=5,pcp=0),encap(eth_type(0x0806),arp(op=1))",
];

/// The bytes of attributes.
pub fn attributes(fill: impl FnOnce(&mut Builder)) -> Vec<u8> {
    let mut b = Builder::new();
    b.begin(&Header::default(), &[]);
    fill(&mut b);
    let message = b.finish().expect("memory");
    message.get(netlink::HEADER_LEN..).unwrap_or_default().to_vec()
}

fn matched(text: &str) -> Match {
    odp::text::parse_match(text, &|_| None).unwrap_or_else(|e| panic!("{text}: {e:?}"))
}

/// Keys and masks: each kind behind the other.
pub fn keys() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for text in MATCHES {
        let m = matched(text);
        seeds.push(attributes(|b| put_key(b, &m.key)));
        seeds.push(attributes(|b| put_mask(b, &m)));
    }
    seeds
}

/// A key is total, and so is a mask beside it; what is written again is read the same.
pub fn matches() -> Run {
    Box::new(|bytes| {
        let mut key = FlowKey::ZERO;
        if take_key(Attrs::new(bytes), &mut key).is_ok() {
            let bytes = attributes(|b| put_key(b, &key));
            let mut again = FlowKey::ZERO;
            assert_eq!(take_key(Attrs::new(&bytes), &mut again), Ok(()), "what is written is read");
        }
        let (head, tail) = bytes.split_at(bytes.len() / 2 / 4 * 4);
        let mut m = Match::ANY;
        let _ = take_match(Attrs::new(head), Some(Attrs::new(tail)), &mut m);
        let _ = take_match(Attrs::new(bytes), None, &mut m);
    })
}

/// A message of each family and command, with attributes of a flow.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for family in FAMILIES {
        for command in [cmd::NEW, cmd::DEL, cmd::GET, cmd::SET] {
            for flags in [
                netlink::flags::REQUEST | netlink::flags::ACK,
                netlink::flags::REQUEST | netlink::flags::DUMP,
            ] {
                for text in MATCHES {
                    let m = matched(text);
                    let mut b = Builder::new();
                    let header = Header { kind: family.id, flags, seq: 1, pid: 1 };
                    // The generic netlink header and the datapath's number.
                    b.begin(&header, &[command, family.version, 0, 0, 0, 0, 0, 0]);
                    odp::netlink::flow::put_key(&mut b, &m);
                    odp::netlink::flow::put_mask(&mut b, &m);
                    odp::netlink::flow::put_actions(&mut b, &[odp::Action::Output(OdpPort(2))]);
                    seeds.push(b.finish().expect("memory"));
                }
            }
        }
    }
    seeds
}

/// Messages to a device that remembers.
pub fn device() -> Run {
    let config = device::Config { handles: 4, event_bytes: 4096, packet_bytes: 4096 };
    let device = Device::try_new(config).expect("memory");
    let datapath = Datapath::try_new(&Config { flow_limit: 256, ..Config::default() }).expect("memory");
    let me = device.open().expect("a handle");
    let mut reply = vec![0; 65536];
    let mut ms = 0;
    Box::new(move |bytes| {
        ms += 1;
        let now = Now { mono: Instant::from_millis(ms), wall_ms: ms };
        let env = Env { datapath: &datapath, host: &Ports, now };
        if let Ok(device::Outcome::Reply(n)) = device.transact(env, me, bytes, &mut reply) {
            assert!(n <= reply.len());
        }
        let _ = device.write(env, me, bytes);
        for room in [0, 64, 4096] {
            let _ = device.read(env, me, &mut reply[..room]);
        }
        let _ = device.read_event(me, &mut reply);
        let _ = device.read_packet(me, &mut reply);
    })
}
