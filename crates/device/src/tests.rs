//! Requests and replies byte by byte; typed commands and messages say the same; nothing hostile does harm.

use std::borrow::ToOwned;
use std::boxed::Box;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use datapath::{
    Command, Datapath, FlowInfo, FlowPut, Host, More, NextHop, PutMode, Reply, TunnelDst, Upcall, UpcallKind,
    Worker,
};
use flow::{FlowKey, Match, Wildcards, slot};
use netlink::{Attrs, Builder, Header, Messages, flags};
use odp::netlink::datapath::DpAttrs;
use odp::netlink::ids::{self, cmd, control_attr, control_cmd, ctnetlink, packet_cmd};
use odp::netlink::{
    actions::take_actions, ct_limit, flow as flow_attrs, meter, packet as packet_attrs, vport::*,
};
use odp::{Action, CtAction, Ufid};
use packet::{
    FlatPacket, Instant, L4Checksum, Now, OdpPort, Offload, PacketBuf, PacketMeta, Segmentation,
    SegmentationKind,
};
use proptest::prelude::*;

use crate::*;

mod golden;

const NOW: Now = Now { mono: Instant::from_millis(5000), wall_ms: 1_000_000 };

/// A packet that was to be executed.
type Executed = (PacketMeta, Vec<u8>, Vec<Action>);

/// A host whose ports open at once, or later.
#[derive(Default)]
struct Ports {
    later: bool,
    refuse: Option<Errno>,
    executed: RefCell<Vec<Executed>>,
    woken: RefCell<Vec<(Handle, Queue)>>,
    tickets: RefCell<Vec<Ticket>>,
    /// Names of adapters that nobody has bound.
    unbound: Vec<&'static str>,
}

impl Ports {
    fn progress(&self, ticket: Ticket) -> Progress<Result<(), Errno>> {
        if self.later {
            self.tickets.borrow_mut().push(ticket);
            return Progress::Later;
        }
        Progress::Done(self.refuse.map_or(Ok(()), Err))
    }
}

impl VportHost for Ports {
    fn open_port(&self, _: &PortRef<'_>, ticket: Ticket) -> Progress<Result<(), Errno>> {
        self.progress(ticket)
    }

    fn close_port(&self, _: &PortRef<'_>, ticket: Ticket) -> Progress<Result<(), Errno>> {
        self.progress(ticket)
    }

    fn port_stats(&self, number: OdpPort) -> VportStats {
        VportStats { rx_packets: u64::from(number.0), ..VportStats::default() }
    }

    fn for_each_counter(&self, number: OdpPort, each: &mut dyn FnMut(&str, u64)) {
        [("rx_missed_errors", 7), ("a_counter_of_its_own", u64::MAX)]
            .into_iter()
            .filter(|_| number != OdpPort(2))
            .for_each(|(name, n)| each(name, n));
    }

    fn netdev(&self, name: &str) -> Option<NetdevInfo> {
        let mac = wire::EthAddr([2, 0, 0, 0, 0, 7]);
        (name == "vif7").then_some(NetdevInfo { mac, mtu: 1500, up: true, promiscuous: false })
    }

    fn execute(&self, meta: &PacketMeta, frame: &[u8], actions: &[Action]) -> Result<(), Errno> {
        self.executed.borrow_mut().push((*meta, frame.to_vec(), actions.to_vec()));
        Ok(())
    }

    fn for_each_unbound(&self, each: &mut dyn FnMut(&PortRef<'_>, u8)) {
        for name in &self.unbound {
            let (number, kind) = (OdpPort(u16::MAX.into()), VportKind::Netdev);
            each(&PortRef { number, kind, name, tunnel_port: None }, cmd::NEW);
        }
    }

    fn wake(&self, handle: Handle, queue: Queue) {
        self.woken.borrow_mut().push((handle, queue));
    }
}

struct Rig {
    device: Device,
    dp: Datapath,
    host: Ports,
    me: Handle,
}

/// What a transaction came to.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Message(Vec<u8>),
    Error(i32),
    Failed(Status),
    Later,
}

impl Rig {
    fn new() -> Rig {
        let config = Config { handles: 4, event_bytes: 300, packet_bytes: 1000 };
        let device = Device::try_new(config).unwrap();
        let dp = Datapath::try_new(&datapath::Config::default()).unwrap();
        let me = device.open().unwrap();
        Rig { device, dp, host: Ports::default(), me }
    }

    fn env(&self) -> Env<'_, Ports> {
        Env { datapath: &self.dp, host: &self.host, now: NOW }
    }

    fn message(
        &self,
        family: ids::Family,
        command: u8,
        flags: u16,
        fill: impl FnOnce(&mut Builder),
    ) -> Vec<u8> {
        let mut b = Builder::new();
        let header = Header { kind: family.id, flags, seq: 77, pid: self.me.pid() };
        request::begin(&mut b, family, &header, command);
        fill(&mut b);
        b.finish().unwrap()
    }

    fn send(&self, bytes: &[u8]) -> Got {
        let mut reply = vec![0; 65536];
        match self.device.transact(self.env(), self.me, bytes, &mut reply) {
            Ok(Outcome::Pending(_)) => Got::Later,
            Ok(Outcome::Reply(n)) => {
                let bytes = reply[..n].to_vec();
                let message = Messages::new(&bytes).next().unwrap().unwrap();
                assert_eq!((message.header.seq, message.header.pid), (77, self.me.pid()));
                match message.error() {
                    Some(e) => Got::Error(e.errno),
                    None => Got::Message(bytes),
                }
            }
            Err(status) => Got::Failed(status),
        }
    }

    fn ask(&self, family: ids::Family, command: u8, fill: impl FnOnce(&mut Builder)) -> Got {
        self.send(&self.message(family, command, flags::REQUEST, fill))
    }

    fn write(
        &self,
        family: ids::Family,
        command: u8,
        flags: u16,
        fill: impl FnOnce(&mut Builder),
    ) -> Result<Written, Status> {
        self.device.write(self.env(), self.me, &self.message(family, command, flags, fill))
    }

    /// Every message of a dump, read with `room` bytes, calling `between` between the reads.
    fn dump(&self, family: ids::Family, room: usize, mut between: impl FnMut()) -> Vec<Vec<u8>> {
        assert_eq!(self.write(family, cmd::GET, flags::REQUEST | flags::DUMP, |_| {}), Ok(Written::Done));
        let mut all = Vec::new();
        loop {
            let mut out = vec![0; room];
            let n = self.device.read(self.env(), self.me, &mut out).unwrap();
            if n == 0 {
                return all;
            }
            for m in Messages::new(&out[..n]) {
                let m = m.unwrap();
                if m.header.kind != netlink::kinds::DONE {
                    all.push(m.payload[8..].to_vec());
                }
            }
            between();
        }
    }

    fn add_port(&self, name: &str, pid: u32) -> Got {
        self.ask(ids::VPORT, cmd::NEW, |b| {
            let pids = pid.to_ne_bytes();
            VportAttrs { kind: Some(1), name: Some(name), pids: Some(&pids), ..VportAttrs::default() }
                .encode(b);
        })
    }

    fn subscribe_packets(&self) {
        let pid = self.me.pid();
        let done = self.write(ids::CONTROL, control_cmd::PACKET_SUBSCRIBE, 1, |b| {
            b.put_u8(control_attr::PACKET_SUBSCRIBE, 1);
            b.put_u32(control_attr::PACKET_PID, pid);
        });
        assert_eq!(done, Ok(Written::Done));
    }
}

/// A megaflow of a number: an address under a mask, and a port to go to.
fn numbered(n: u32) -> FlowPut {
    let mut matched = Match::ANY;
    matched.set_exact(slot::packet_type, 0);
    matched.set_exact(slot::eth_type, 0x0800);
    matched.set_exact(slot::vlan_tci, 0);
    matched.set_exact(slot::in_port, u128::from(n % 3));
    matched.set_masked(slot::nw_dst, u128::from(n) << 8, 0xffff_ff00);
    let actions = vec![Action::Output(OdpPort(n))];
    FlowPut { ufid: Ufid(u128::from(n) + 1), matched, actions, mode: PutMode::Create }
}

fn put_flow(b: &mut Builder, put: &FlowPut) {
    flow_attrs::put_ufid(b, put.ufid);
    flow_attrs::put_key(b, &put.matched);
    flow_attrs::put_mask(b, &put.matched);
    flow_attrs::put_actions(b, &put.actions);
}

fn decode_flow(attrs: &[u8]) -> (Ufid, Match, Vec<Action>) {
    let a = flow_attrs::FlowAttrs::decode(Attrs::new(attrs)).unwrap();
    let mut m = Match::ANY;
    a.take_match(&mut m).unwrap();
    (a.ufid.unwrap(), m, take_actions(a.actions.unwrap().nested()).unwrap())
}

fn flows_of(dp: &Datapath) -> Vec<FlowInfo> {
    match dp.apply(Command::DumpFlows { cursor: 0, max: usize::MAX }) {
        Ok(Reply::Flows { flows, .. }) => flows,
        other => panic!("{other:?}"),
    }
}

#[test]
fn handles_are_numbered_once_and_stale_ones_are_refused() {
    let rig = Rig::new();
    assert_eq!(rig.device.pid(rig.me), Ok(1));
    let others: Vec<Handle> = (0..3).map(|_| rig.device.open().unwrap()).collect();
    assert_eq!(rig.device.open(), Err(Status::NoResources));
    rig.device.close(others[1]);
    let again = rig.device.open().unwrap();
    assert_ne!(rig.device.pid(again).unwrap(), others[1].pid());
    assert_eq!(Handle::of_pid(again.pid()), again);
    let mut out = [0; 64];
    assert_eq!(rig.device.read_packet(others[1], &mut out), Err(Status::InvalidHandle));
    assert_eq!(rig.device.read(rig.env(), others[1], &mut out), Err(Status::InvalidHandle));
    assert_eq!(rig.device.transact(rig.env(), others[1], &[0; 24], &mut out), Err(Status::InvalidHandle));
    rig.device.close(others[1]);
    assert!(rig.device.pid(again).is_ok(), "a stale handle closes nobody else's");
}

#[test]
#[cfg(target_endian = "little")]
fn bytes_of_an_error_and_of_a_success_are_the_interfaces() {
    let rig = Rig::new();
    let request = rig.message(ids::DATAPATH, cmd::NEW, 5, |b| b.put_str(1, "ovs-system"));
    let mut reply = [0; 36];
    assert_eq!(rig.device.transact(rig.env(), rig.me, &request, &mut reply), Ok(Outcome::Reply(36)));
    #[rustfmt::skip]
    let expect = [
        36, 0, 0, 0, 2, 0, 0, 0, 77, 0, 0, 0, 1, 0, 0, 0, // nlmsghdr: ERROR, seq, pid
        0xef, 0xff, 0xff, 0xff, // -17
        40, 0, 0, 0, 0x12, 0, 5, 0, 77, 0, 0, 0, 1, 0, 0, 0, // the request's header
    ];
    assert_eq!(reply, expect);
    let Got::Message(prop) = rig.ask(ids::CONTROL, control_cmd::SOCK_PROP, |b| {
        b.put_u32(0, 16);
        b.put_u32(1, 1);
    }) else {
        panic!()
    };
    #[rustfmt::skip]
    let expect = [
        40, 0, 0, 0, 0x11, 0, 2, 0, 77, 0, 0, 0, 1, 0, 0, 0, // nlmsghdr: MULTI
        6, 1, 0, 0, 0, 0, 0, 0, // SOCK_PROP, version, datapath
        8, 0, 1, 0, 1, 0, 0, 0, // SOCK_PID
        8, 0, 0, 0, 16, 0, 0, 0, // SOCK_PROTO
    ];
    assert_eq!(prop, expect);
    let Got::Message(port) = rig.add_port("p1", 9) else { panic!() };
    #[rustfmt::skip]
    let head = [
        124, 0, 0, 0, 0x14, 0, 2, 0, 77, 0, 0, 0, 1, 0, 0, 0,
        1, 1, 0, 0, 0, 0, 0, 0,
        8, 0, 1, 0, 1, 0, 0, 0, // PORT_NO
        8, 0, 2, 0, 1, 0, 0, 0, // TYPE
        7, 0, 3, 0, b'p', b'1', 0, 0, // NAME
        8, 0, 5, 0, 9, 0, 0, 0, // UPCALL_PID
        68, 0, 6, 0, 1, 0, 0, 0, 0, 0, 0, 0, // STATS
    ];
    assert_eq!(port[..head.len()], head);
    assert_eq!(port.len(), 124);
}

#[test]
fn messages_that_no_operation_takes_fail_the_operation() {
    let rig = Rig::new();
    use Status::{InvalidLength, InvalidParameter};
    let good = rig.message(ids::DATAPATH, cmd::GET, 1, |_| {});
    assert_eq!(rig.send(&good[..20]), Got::Failed(InvalidLength));
    let mut small = [0; 20];
    assert_eq!(rig.device.transact(rig.env(), rig.me, &good, &mut small), Err(InvalidLength));
    for (at, value, why) in [
        (0, 200, "longer than what came"),
        (4, 0x30, "unknown family"),
        (12, 2, "another's number"),
        (16, 9, "unknown command"),
        (16, cmd::DEL, "a command that the family lacks"),
        (17, 1, "an old version"),
    ] {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(rig.send(&bad), Got::Failed(InvalidParameter), "{why}");
    }
    let mut bad = rig.message(ids::VPORT, cmd::GET, 1, |b| b.put_str(3, "x"));
    bad[20] = 1;
    assert_eq!(rig.send(&bad), Got::Failed(InvalidParameter), "another datapath");
    let mut bad = rig.message(ids::VPORT, cmd::GET, 1, |b| b.put_u32(1, 1));
    bad[24] = 9;
    assert_eq!(rig.send(&bad), Got::Failed(InvalidParameter), "an attribute beyond the end");
    let get = rig.device.write(rig.env(), rig.me, &good);
    assert_eq!(get, Err(InvalidParameter), "a dump without its flags");
}

#[test]
fn the_datapath_answers_as_specified() {
    let rig = Rig::new();
    let name = |n: &'static str| move |b: &mut Builder| b.put_str(1, n);
    assert_eq!(rig.ask(ids::DATAPATH, cmd::NEW, name("ovs-system")), Got::Error(17));
    assert_eq!(rig.ask(ids::DATAPATH, cmd::NEW, name("other")), Got::Error(19));
    assert_eq!(rig.ask(ids::DATAPATH, cmd::NEW, |_| {}), Got::Error(22));
    assert_eq!(rig.ask(ids::DATAPATH, cmd::GET, name("other")), Got::Error(19));
    assert_eq!(rig.ask(ids::DATAPATH, cmd::SET, name("other")), Got::Error(129));
    assert!(matches!(rig.ask(ids::DATAPATH, cmd::GET, |_| {}), Got::Message(_)));
    let set = rig.ask(ids::DATAPATH, cmd::SET, |b| {
        b.put_str(1, "ovs-system");
        b.put_u32(5, 3);
    });
    let Got::Message(m) = set else { panic!() };
    let attrs = DpAttrs::decode(Attrs::new(&m[24..])).unwrap();
    assert_eq!((attrs.name, attrs.user_features), (Some("ovs-system"), Some(3)));
    let set = |attrs: DpAttrs<'_>| {
        rig.ask(ids::DATAPATH, cmd::SET, |b| DpAttrs { name: Some("ovs-system"), ..attrs }.encode(b))
    };
    let ports = |low, high| DpAttrs { tunnel_ports: Some((low, high)), ..DpAttrs::default() };
    assert!(matches!(set(ports(40_000, 50_000)), Got::Message(_)));
    assert_eq!(set(ports(50_000, 40_000)), Got::Error(22));
    assert_eq!(set(ports(0, 40_000)), Got::Error(22));
    let threads = DpAttrs { other_config: Some(b"pmd-cpu-mask=1\0"), ..DpAttrs::default() };
    assert_eq!(set(threads), Got::Error(129), "this host has none");
    assert_eq!(rig.dump(ids::DATAPATH, 500, || {}).len(), 1);
}

#[test]
fn ports_answer_as_specified() {
    let mut rig = Rig::new();
    let vport = |command, attrs: VportAttrs<'_>| rig.ask(ids::VPORT, command, |b| attrs.encode(b));
    let pid = Some(&[1, 0, 0, 0][..]);
    let base = VportAttrs { kind: Some(1), name: Some("a"), pids: pid, ..VportAttrs::default() };
    assert_eq!(vport(cmd::NEW, VportAttrs { name: None, ..base }), Got::Error(22));
    assert_eq!(vport(cmd::NEW, VportAttrs { kind: None, ..base }), Got::Error(22));
    assert_eq!(vport(cmd::NEW, VportAttrs { pids: None, ..base }), Got::Error(22));
    let long: std::string::String = "x".repeat(256);
    assert_eq!(vport(cmd::NEW, VportAttrs { name: Some(&long), ..base }), Got::Error(22));
    assert_eq!(vport(cmd::NEW, VportAttrs { kind: Some(42), ..base }), Got::Error(129));
    assert_eq!(vport(cmd::NEW, VportAttrs { number: Some(65535), ..base }), Got::Error(22));
    assert!(matches!(vport(cmd::NEW, base), Got::Message(_)));
    assert_eq!(vport(cmd::NEW, base), Got::Error(17));
    let b = VportAttrs { name: Some("b"), number: Some(1), ..base };
    assert_eq!(vport(cmd::NEW, b), Got::Error(16), "the number is taken");
    let vxlan = VportAttrs { kind: Some(4), tunnel_port: Some(4789), name: Some("vx0"), ..base };
    assert!(matches!(vport(cmd::NEW, vxlan), Got::Message(_)));
    assert_eq!(vport(cmd::NEW, VportAttrs { name: Some("vx1"), ..vxlan }), Got::Error(17));
    let by_number = VportAttrs { number: Some(2), ..VportAttrs::default() };
    let Got::Message(m) = vport(cmd::GET, by_number) else { panic!() };
    let attrs = VportAttrs::decode(Attrs::new(&m[24..])).unwrap();
    assert_eq!((attrs.name, attrs.tunnel_port), (Some("vx0"), Some(4789)));
    assert_eq!(vport(cmd::GET, VportAttrs::default()), Got::Error(22));
    assert_eq!(vport(cmd::GET, VportAttrs { number: Some(9), ..VportAttrs::default() }), Got::Error(19));
    assert_eq!(vport(cmd::SET, VportAttrs { kind: Some(2), ..base }), Got::Error(22));
    assert_eq!(vport(cmd::SET, VportAttrs { tunnel_port: Some(1), ..vxlan }), Got::Error(129));
    assert_eq!(rig.dump(ids::VPORT, 200, || {}).len(), 2);
    assert!(matches!(vport(cmd::DEL, by_number), Got::Message(_)));
    assert_eq!(vport(cmd::DEL, by_number), Got::Error(19));
    let info = |name: &'static str| rig.ask(ids::NETDEV, 1, |b| b.put_str(3, name));
    assert!(matches!(info("vif7"), Got::Message(_)));
    assert_eq!(info("gone"), Got::Error(19));
    rig.host.refuse = Some(Errno::NoDev);
    assert_eq!(rig.add_port("c", 1), Got::Error(19));
    rig.host.refuse = None;
    assert!(matches!(rig.add_port("c", 1), Got::Message(_)), "what could not be opened left nothing behind");
}

#[test]
fn a_port_that_opens_later_is_answered_later() {
    let mut rig = Rig::new();
    rig.host.later = true;
    assert_eq!(rig.add_port("a", 1), Got::Later);
    assert_eq!(rig.add_port("a", 1), Got::Error(17), "nobody else gets the name");
    let get = |rig: &Rig| rig.ask(ids::VPORT, cmd::GET, |b| b.put_str(3, "a"));
    assert_eq!(get(&rig), Got::Error(19), "it is not there yet");
    let ticket = rig.host.tickets.borrow_mut().pop().unwrap();
    let mut out = [0; 200];
    assert_eq!(rig.device.finish_port(rig.env(), ticket, Ok(()), &mut out), Ok(124));
    assert!(matches!(get(&rig), Got::Message(_)));
    assert_eq!(rig.add_port("b", 1), Got::Later);
    let ticket = rig.host.tickets.borrow_mut().pop().unwrap();
    assert_eq!(rig.device.finish_port(rig.env(), ticket, Err(Errno::NoDev), &mut out), Ok(36));
    assert_eq!(Messages::new(&out).next().unwrap().unwrap().error().unwrap().errno, 19);
    let again = rig.device.finish_port(rig.env(), ticket, Ok(()), &mut out);
    assert_eq!(again, Ok(36), "a ticket counts once");
}

#[test]
fn flows_answer_as_specified() {
    let rig = Rig::new();
    let flow = numbered(7);
    let put = |command, flags, put: &FlowPut| {
        rig.send(&rig.message(ids::FLOW, command, flags, |b| put_flow(b, put)))
    };
    let by_ufid = |command| rig.ask(ids::FLOW, command, |b| flow_attrs::put_ufid(b, flow.ufid));
    assert_eq!(put(cmd::SET, 1, &flow), Got::Error(2));
    assert_eq!(by_ufid(cmd::GET), Got::Error(2));
    assert_eq!(by_ufid(cmd::DEL), Got::Error(2));
    assert_eq!(rig.ask(ids::FLOW, cmd::NEW, |b| flow_attrs::put_key(b, &flow.matched)), Got::Error(22));
    let bad = FlowPut { actions: vec![Action::Recirc(0)], ..flow.clone() };
    assert_eq!(put(cmd::NEW, 1 | flags::CREATE, &bad), Got::Error(22));
    assert!(matches!(put(cmd::NEW, 1 | flags::CREATE, &flow), Got::Message(_)));
    assert_eq!(put(cmd::NEW, 1 | flags::CREATE, &flow), Got::Error(17));
    let other = FlowPut { actions: vec![], ..flow.clone() };
    assert!(matches!(put(cmd::NEW, 1, &other), Got::Message(_)), "without CREATE it is changed");
    assert_eq!(flows_of(&rig.dp)[0].actions, []);
    assert!(matches!(put(cmd::SET, 1, &flow), Got::Message(_)));
    let Got::Message(m) = by_ufid(cmd::GET) else { panic!() };
    assert_eq!(decode_flow(&m[24..]), (flow.ufid, flow.matched, flow.actions.clone()));
    let Got::Message(m) = rig.ask(ids::FLOW, cmd::GET, |b| {
        flow_attrs::put_ufid(b, flow.ufid);
        flow_attrs::put_omit(b, 7);
    }) else {
        panic!()
    };
    let brief = flow_attrs::FlowAttrs::decode(Attrs::new(&m[24..])).unwrap();
    assert!(brief.key.is_none() && brief.mask.is_none() && brief.actions.is_none() && brief.stats.is_some());
    assert!(matches!(by_ufid(cmd::DEL), Got::Message(_)));
    assert!(matches!(put(cmd::NEW, 1, &flow), Got::Message(_)));
    assert!(matches!(rig.ask(ids::FLOW, cmd::DEL, |_| {}), Got::Message(_)), "a flush");
    assert!(flows_of(&rig.dp).is_empty());
}

#[test]
fn a_flow_without_identifier_is_named_by_its_key() {
    let rig = Rig::new();
    let mut key = FlowKey::ZERO;
    key.set_in_port(1);
    key.set_eth_type(0x0800);
    key.set_nw_dst(0x0a00_0001);
    key.set_nw_proto(47);
    let whole = Match { key, wc: Wildcards::NONE };
    let by_key = |command| {
        rig.ask(ids::FLOW, command, |b| {
            flow_attrs::put_key(b, &whole);
            if command == cmd::NEW {
                flow_attrs::put_actions(b, &[Action::Output(OdpPort(2))]);
            }
        })
    };
    assert!(matches!(by_key(cmd::NEW), Got::Message(_)));
    let [info] = &flows_of(&rig.dp)[..] else { panic!() };
    assert!(info.matched.matches(&key));
    assert!(matches!(by_key(cmd::GET), Got::Message(_)));
    assert!(matches!(by_key(cmd::DEL), Got::Message(_)));
    assert_eq!(by_key(cmd::DEL), Got::Error(2));
}

#[test]
fn a_probe_is_found_and_removed_but_hit_by_no_packet() {
    let rig = Rig::new();
    let flow = numbered(3);
    let probe = |actions: &[Action]| {
        rig.ask(ids::FLOW, cmd::NEW, |b| {
            put_flow(b, &FlowPut { actions: actions.to_vec(), ..flow.clone() });
            flow_attrs::put_probe(b);
        })
    };
    assert_eq!(probe(&[Action::Recirc(0)]), Got::Error(22), "what is not supported");
    assert!(matches!(probe(&flow.actions), Got::Message(_)));
    assert!(flows_of(&rig.dp).is_empty());
    let by_ufid = |command| rig.ask(ids::FLOW, command, |b| flow_attrs::put_ufid(b, flow.ufid));
    let Got::Message(m) = by_ufid(cmd::GET) else { panic!() };
    assert_eq!(decode_flow(&m[24..]).1, flow.matched);
    assert!(matches!(by_ufid(cmd::DEL), Got::Message(_)));
    assert_eq!(by_ufid(cmd::GET), Got::Error(2));
}

#[test]
fn a_flow_that_fits_into_no_answer_is_not_the_end() {
    let rig = Rig::new();
    rig.dp.apply(Command::PutFlow(&mut numbered(1))).unwrap();
    assert_eq!(rig.write(ids::FLOW, cmd::GET, flags::DUMP, |_| {}), Ok(Written::Done));
    let mut out = [0; 40];
    assert_eq!(rig.device.read(rig.env(), rig.me, &mut out), Err(Status::InvalidLength));
    let mut out = [0; 400];
    assert!(rig.device.read(rig.env(), rig.me, &mut out).unwrap() > 40, "and it is still to come");
}

#[test]
fn packets_are_executed_and_bad_ones_refused() {
    let rig = Rig::new();
    let mut key = FlowKey::ZERO;
    key.set_in_port(4);
    key.set_recirc_id(9);
    key.set_ct_state(0x21);
    key.set_ct_zone(5);
    let execute = |frame: &[u8], actions: &[Action]| {
        rig.ask(ids::PACKET, packet_cmd::EXECUTE, |b| {
            packet_attrs::put_key(b, &key);
            packet_attrs::put_actions(b, actions);
            packet_attrs::put_packet(b, frame);
        })
    };
    let out = [Action::Output(OdpPort(1))];
    assert_eq!(execute(&[], &out), Got::Error(22));
    assert_eq!(execute(&[0; 60], &[Action::Recirc(0)]), Got::Error(22));
    assert_eq!(rig.ask(ids::PACKET, packet_cmd::EXECUTE, |_| {}), Got::Error(22));
    let Got::Message(m) = execute(&[1; 60], &out) else { panic!() };
    assert_eq!(m.len(), 24);
    let executed = rig.host.executed.borrow();
    let [(meta, frame, actions)] = &executed[..] else { panic!() };
    assert_eq!((meta.in_port.0, meta.recirc_id, meta.ct_state, meta.ct_zone), (4, 9, 0x21, 5));
    assert_eq!((&frame[..], &actions[..]), (&[1; 60][..], &out[..]));
}

fn miss(port: u32, frame: usize) -> Upcall<FlatPacket> {
    let mut key = FlowKey::ZERO;
    key.set_in_port(port);
    let packet = FlatPacket::try_from_frame(&vec![7; frame]).unwrap();
    Upcall { kind: UpcallKind::Miss, key, meta: PacketMeta::default(), packet }
}

/// Frames of the upcalls that wait.
fn waiting_frames(rig: &Rig) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let mut out = vec![0; 70_000];
        let n = rig.device.read_packet(rig.me, &mut out).unwrap();
        if n == 0 {
            return all;
        }
        let a = packet_attrs::PacketAttrs::decode(Attrs::new(&out[24..n])).unwrap();
        all.push(a.packet.unwrap().to_vec());
    }
}

#[test]
fn what_was_left_to_hardware_is_done_before_user_space_gets_it() {
    let mut rig = Rig::new();
    rig.device = Device::try_new(Config { packet_bytes: 10_000, ..rig.device.config }).unwrap();
    rig.me = rig.device.open().unwrap();
    rig.add_port("p", rig.me.pid());
    rig.subscribe_packets();
    let mut frame = vec![0; 54 + 2500];
    frame[12..15].copy_from_slice(&[8, 0, 0x45]);
    frame[23] = 6;
    frame[46] = 0x50;
    let mut upcall = miss(1, 60);
    // The sum over everything, with the checksum in place, is all ones when it is right.
    let sum = |f: &[u8]| {
        wire::checksum::checksum(
            &[&f[26..34], &[0, 6], &((f.len() - 34) as u16).to_be_bytes(), &f[34..]].concat(),
        )
    };
    let put = |upcall: &mut Upcall<FlatPacket>, frame: &[u8], segment| {
        upcall.packet = FlatPacket::try_from_frame(frame).unwrap();
        let l4 = L4Checksum::Partial { start: 34, offset: 16 };
        *upcall.packet.offload_mut() = Offload { l4, segment, outer: 0 };
    };
    let kind = SegmentationKind::TcpV4;
    put(&mut upcall, &frame, Some(Segmentation { kind, size: 1000, ecn: false }));
    assert!(rig.device.upcall(&rig.host, &upcall));
    let segments = waiting_frames(&rig);
    assert_eq!(segments.iter().map(Vec::len).collect::<Vec<_>>(), [1054, 1054, 554]);
    for (n, f) in (0u32..).zip(&segments) {
        assert_eq!((sum(f), wire::checksum::checksum(&f[14..34])), (0, 0));
        assert_eq!(f[38..42], (n * 1000).to_be_bytes());
    }
    // One packet, whose pseudo header is summed.
    frame.truncate(100);
    let pseudo = !wire::checksum::checksum(&[0, 6, 0, 66]);
    frame[50..52].copy_from_slice(&pseudo.to_be_bytes());
    put(&mut upcall, &frame, None);
    assert!(rig.device.upcall(&rig.host, &upcall));
    assert_eq!(waiting_frames(&rig).iter().map(|f| (f.len(), sum(f))).collect::<Vec<_>>(), [(100, 0)]);
    // Headers that are no segment's.
    frame[23] = 17;
    put(&mut upcall, &frame, Some(Segmentation { kind, size: 10, ecn: false }));
    assert!(!rig.device.upcall(&rig.host, &upcall));
    assert_eq!(rig.device.counters().upcalls_lost, 1);
}

#[test]
fn upcalls_wait_in_a_bounded_queue_and_wake_who_waits() {
    let rig = Rig::new();
    rig.add_port("p", rig.me.pid());
    assert!(!rig.device.upcall(&rig.host, &miss(1, 60)), "nobody has subscribed");
    assert_eq!(rig.device.counters().upcalls_unwanted, 1);
    let wait = || rig.write(ids::CONTROL, control_cmd::PEND_PACKET, 1, |_| {});
    assert_eq!(wait(), Err(Status::InvalidParameter));
    rig.subscribe_packets();
    assert_eq!(wait(), Ok(Written::Wait(Queue::Packets)));
    assert!(rig.device.upcall(&rig.host, &miss(1, 200)));
    assert!(rig.device.upcall(&rig.host, &miss(1, 300)));
    assert_eq!(*rig.host.woken.borrow(), [(rig.me, Queue::Packets)], "once");
    assert_eq!(wait(), Ok(Written::Done), "nobody sleeps on a queue with something in it");
    assert!(!rig.device.upcall(&rig.host, &miss(1, 300)), "the queue is full");
    assert!(!rig.device.upcall(&rig.host, &miss(2, 60)), "no such port");
    let lost = rig.device.counters();
    assert_eq!((lost.upcalls_lost, lost.upcalls_unwanted), (1, 2));
    let mut out = [0; 1000];
    let n = rig.device.read_packet(rig.me, &mut out).unwrap();
    let m = Messages::new(&out[..n]).next().unwrap().unwrap();
    assert_eq!((m.header.kind, m.header.seq, m.header.pid), (ids::PACKET.id, 0, rig.me.pid()));
    assert_eq!(m.payload[0], packet_cmd::MISS);
    let a = packet_attrs::PacketAttrs::decode(Attrs::new(&m.payload[8..])).unwrap();
    assert_eq!(a.packet, Some(&[7; 200][..]));
    let mut small = [0; 40];
    assert_eq!(rig.device.read_packet(rig.me, &mut small), Err(Status::InvalidLength));
    assert!(rig.device.read_packet(rig.me, &mut out).unwrap() > 300, "what did not fit was not lost");
    assert_eq!(rig.device.read_packet(rig.me, &mut out), Ok(0));
}

#[test]
fn an_upcall_says_what_its_action_asked_for() {
    let rig = Rig::new();
    rig.add_port("p", rig.me.pid());
    rig.subscribe_packets();
    let tunnel =
        Box::new(packet::TunnelKey { id: 5, dst: 2, flags: packet::TunnelKey::KEY, ..Default::default() });
    let list = vec![Action::Trunc(60), Action::Output(OdpPort(2))];
    let kind = UpcallKind::Action {
        flow: None,
        userdata: vec![9, 9],
        more: Some(Box::new(More {
            tunnel: Some(tunnel.clone()),
            actions: Some(list.clone()),
            whole_len: Some(900),
        })),
    };
    assert!(rig.device.upcall(&rig.host, &Upcall { kind, ..miss(1, 60) }));
    let mut out = [0; 2000];
    let n = rig.device.read_packet(rig.me, &mut out).unwrap();
    let a = packet_attrs::PacketAttrs::decode(Attrs::new(&out[24..n])).unwrap();
    assert_eq!((a.userdata, a.len, a.packet), (Some(&[9, 9][..]), Some(900), Some(&[7; 60][..])));
    assert_eq!((a.take_egress_tunnel(), a.take_actions()), (Ok(Some(tunnel)), Ok(Some(list))));
}

#[test]
fn ports_that_come_and_go_are_told() {
    let rig = Rig::new();
    let join = |join, group| {
        rig.write(ids::CONTROL, control_cmd::MC_SUBSCRIBE, 1, |b| {
            b.put_u32(control_attr::MCAST_GRP, group);
            b.put_u8(control_attr::MCAST_JOIN, join);
        })
    };
    let wait = || rig.write(ids::CONTROL, control_cmd::PEND, 1, |_| {});
    assert_eq!(join(1, 101), Ok(Written::Done));
    assert_eq!(wait(), Ok(Written::Wait(Queue::Events)));
    rig.add_port("vif7", 1);
    assert_eq!(*rig.host.woken.borrow(), [(rig.me, Queue::Events)]);
    let mut out = [0; 300];
    let n = rig.device.read_event(rig.me, &mut out).unwrap();
    let attrs = VportAttrs::decode(Attrs::new(&out[24..n])).unwrap();
    assert_eq!((out[16], attrs.number, attrs.name), (cmd::NEW, Some(1), Some("vif7")));
    assert_eq!(rig.device.read_event(rig.me, &mut out), Ok(0));
    let gone = PortRef { number: OdpPort(1), kind: VportKind::Netdev, name: "vif7", tunnel_port: None };
    for _ in 0..20 {
        rig.device.port_event(&rig.host, &gone, cmd::DEL);
    }
    assert!(rig.device.counters().events_lost > 0, "the queue is bounded");
    assert_eq!(join(0, 101), Ok(Written::Done));
    assert_eq!(rig.device.read_event(rig.me, &mut out), Err(Status::InvalidParameter));
    assert_eq!(
        rig.ask(ids::CONTROL, control_cmd::SOCK_PROP, |b| {
            b.put_u32(0, 12);
            b.put_u32(1, 99);
        }),
        Got::Error(22)
    );
    rig.ask(ids::CONTROL, control_cmd::SOCK_PROP, |b| {
        b.put_u32(0, 12);
        b.put_u32(1, 1);
    });
    assert_eq!(join(1, 9), Err(Status::InvalidParameter), "no such group of connections");
}

#[test]
fn who_begins_to_listen_is_told_of_adapters_that_nobody_has_bound() {
    let mut rig = Rig::new();
    rig.host.unbound = vec!["vif7", "vif8"];
    let other = rig.device.open().unwrap();
    let join = |rig: &Rig| {
        rig.write(ids::CONTROL, control_cmd::MC_SUBSCRIBE, 1, |b| {
            b.put_u32(control_attr::MCAST_GRP, 101);
            b.put_u8(control_attr::MCAST_JOIN, 1);
        })
    };
    assert_eq!(join(&rig), Ok(Written::Done));
    let mut out = [0; 300];
    for name in ["vif7", "vif8"] {
        let n = rig.device.read_event(rig.me, &mut out).unwrap();
        let attrs = VportAttrs::decode(Attrs::new(&out[24..n])).unwrap();
        assert_eq!((out[16], attrs.number, attrs.name), (cmd::NEW, Some(65535), Some(name)));
    }
    assert_eq!(rig.device.read_event(rig.me, &mut out), Ok(0));
    rig.me = other;
    assert_eq!(join(&rig), Ok(Written::Done));
    assert!(rig.device.read_event(rig.me, &mut out).unwrap() > 0, "each listener is told for itself");
}

struct NoHost;

impl Host<FlatPacket> for NoHost {
    fn try_clone(&mut self, p: &FlatPacket) -> Option<FlatPacket> {
        Some(p.clone())
    }

    fn alloc(&mut self, len: usize, headroom: usize) -> Option<FlatPacket> {
        FlatPacket::try_with_capacity(len, headroom)
    }

    fn next_hop(&mut self, _: &TunnelDst<'_>) -> NextHop {
        NextHop::NoRoute
    }
}

/// Commits the connection of a UDP packet from `10.0.0.n`.
fn commit(dp: &Datapath, n: u8, zone: u16) {
    #[rustfmt::skip]
    let mut frame = vec![
        2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, n, 10, 0, 1, 1,
        0, 53, 0, 99, 0, 8, 0, 0,
    ];
    let sum = frame[14..34].chunks(2).map(|c| u32::from(u16::from_be_bytes([c[0], c[1]]))).sum::<u32>();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame.resize(60, 0);
    dp.conntrack().maintain(NOW, 0);
    let ct = CtAction { commit: true, zone, mark: Some((5, 5)), ..CtAction::default() };
    let mut worker = Worker::try_new(1).unwrap();
    let packet = (PacketMeta::default(), FlatPacket::try_from_frame(&frame).unwrap());
    worker.execute(dp, &mut NoHost, NOW, packet, &[Action::Ct(Box::new(ct))]);
}

#[test]
fn connections_are_dumped_and_removed() {
    let rig = Rig::new();
    (1..=5).for_each(|n| commit(&rig.dp, n, u16::from(n % 2)));
    assert_eq!(rig.dp.conntrack().count(), 5);
    let message = |kind, flags, fill: &dyn Fn(&mut Builder)| {
        let mut b = Builder::new();
        request::begin_nf(&mut b, &Header { kind, flags, seq: 77, pid: rig.me.pid() }, 2);
        fill(&mut b);
        b.finish().unwrap()
    };
    let dump = || {
        let begin = message(ctnetlink::GET, flags::DUMP, &|_| {});
        assert_eq!(rig.device.write(rig.env(), rig.me, &begin), Ok(Written::Done));
        let mut entries = Vec::new();
        let mut out = [0; 1000];
        loop {
            match rig.device.read(rig.env(), rig.me, &mut out).unwrap() {
                0 => return entries,
                n => entries.push(ct::take_entry(&Attrs::new(&out[24..n])).unwrap()),
            }
        }
    };
    let got = dump();
    let mut typed = vec![conntrack::Entry::default(); 9];
    let n = rig.dp.conntrack().dump(NOW, &mut conntrack::DumpCursor::default(), None, &mut typed);
    assert_eq!((got.len(), n), (5, 5));
    for (got, typed) in got.iter().zip(&typed) {
        let seconds = core::time::Duration::from_secs(typed.timeout.as_secs());
        assert_eq!(*got, conntrack::Entry { timeout: seconds, ..*typed });
    }
    let one = got.iter().find(|e| e.orig.zone == 0).unwrap().orig;
    let delete = |fill: &dyn Fn(&mut Builder)| rig.send(&message(ctnetlink::DELETE, 1, fill));
    assert!(matches!(delete(&|b| ct::put_orig(b, &one)), Got::Message(_)));
    assert_eq!(delete(&|b| ct::put_orig(b, &one)), Got::Error(2));
    assert_eq!(delete(&|b| b.put_u8(18, 1)), Got::Error(22), "a zone of another size");
    assert!(matches!(delete(&|b| ct::put_zone(b, 1)), Got::Message(_)));
    assert_eq!(dump().len(), 1);
    assert!(matches!(delete(&|_| {}), Got::Message(_)));
    assert_eq!(dump().len(), 0);
}

#[test]
fn every_drop_and_every_counter_is_told_by_name() {
    use packet::DropReason;
    let rig = Rig::new();
    rig.add_port("one", 0);
    rig.add_port("two", 0);
    let asked = |number: Option<u32>| {
        let fill = |b: &mut Builder| number.into_iter().for_each(|n| counts::put_port(b, OdpPort(n)));
        match rig.ask(ids::COUNTS, cmd::GET, fill) {
            Got::Message(m) => {
                let attrs = Attrs::new(&m[24..]);
                let counters = counts::counters(attrs.clone()).map(|(name, n)| (name.to_owned(), n));
                Ok((counts::take_drops(attrs.clone()), counters.collect::<Vec<_>>()))
            }
            other => Err(other),
        }
    };
    assert_eq!(asked(None), Ok((datapath::DropCounts::default(), vec![])));
    for (n, reason) in (1..).zip(DropReason::ALL) {
        rig.dp.count_port_drops(OdpPort(1), *reason, n);
    }
    rig.dp.count_lost(3);
    let (all, none) = asked(None).unwrap();
    assert_eq!((all.get(DropReason::UpcallLost), none), (3, vec![]));
    let (of_one, counters) = asked(Some(1)).unwrap();
    assert!(of_one.iter().zip(1..).all(|((_, n), expected)| n == expected), "{of_one:?}");
    let expected = [("rx_missed_errors", 7), ("a_counter_of_its_own", u64::MAX)];
    assert_eq!(counters, expected.map(|(name, n)| (name.to_owned(), n)));
    // A port that has dropped nothing, of a host that counts nothing.
    assert_eq!(asked(Some(2)), Ok((datapath::DropCounts::default(), vec![])));
    assert_eq!(asked(Some(9)), Err(Got::Error(Errno::NoDev.number())));
    let short = rig.ask(ids::COUNTS, cmd::GET, |b| b.put_u8(1, 0));
    assert_eq!(short, Got::Error(Errno::Inval.number()));
}

#[test]
fn settings_of_connection_tracking_are_said_and_set() {
    use crate::ct_setting as words;
    use ::conntrack::{Setting, TimeoutPolicy};
    let rig = Rig::new();
    let set = |fill: &dyn Fn(&mut Builder)| rig.ask(ids::CT_SETTING, cmd::SET, fill);
    let said = |rig: &Rig| {
        let Got::Message(m) = rig.ask(ids::CT_SETTING, cmd::GET, |_| {}) else { panic!() };
        let attrs = Attrs::new(&m[24..]);
        let values = Setting::ALL.map(|s| words::take_setting(&attrs, s).unwrap());
        let policies = words::policies(attrs.clone()).map(Result::unwrap).collect::<Vec<_>>();
        assert_eq!(words::take_fragments(&attrs), Some(rig.dp.conntrack().fragments().status(NOW)));
        (values, policies)
    };
    let table = rig.dp.conntrack();
    assert_eq!(said(&rig), (Setting::ALL.map(|s| table.setting(s)), vec![]));
    let mut policy = TimeoutPolicy::default();
    assert!(policy.set("udp_first", 100));
    let asked = |b: &mut Builder| {
        words::put_setting(b, Setting::MaxConns, 7);
        words::put_setting(b, Setting::TcpSeqCheck, 0);
        words::put_policy(b, 3, Some(&policy));
    };
    assert!(matches!(set(&asked), Got::Message(_)));
    assert_eq!((table.max_conns(), table.tcp_seq_check(), table.timeout_policy(3)), (7, false, policy));
    let (values, policies) = said(&rig);
    assert_eq!((values[0], values[1], policies), (7, 0, vec![(3, Some(policy))]));
    // Whoever takes over is set to the same.
    let other = Rig::new();
    let taken = other.ask(ids::CT_SETTING, cmd::SET, |b| words::put_all(b, table));
    assert!(matches!(taken, Got::Message(_)));
    assert_eq!(said(&other), said(&rig));
    // What makes no sense changes nothing.
    let before = said(&rig);
    let small = |b: &mut Builder| words::put_setting(b, Setting::MinFragIpv4, 1);
    assert_eq!(set(&small), Got::Error(22), "too small");
    let mixed = |b: &mut Builder| {
        words::put_setting(b, Setting::MaxConns, 8);
        words::put_policy(b, 256, Some(&policy));
    };
    assert_eq!(set(&mixed), Got::Error(22), "no policy has that number");
    assert_eq!(set(&|b| b.put_u8(1, 1)), Got::Error(22), "a number of another size");
    assert_eq!(said(&rig), before);
    assert!(matches!(set(&|b| words::put_policy(b, 3, None)), Got::Message(_)));
    assert_eq!(said(&rig).1, []);
}

#[test]
fn limits_of_more_zones_than_fit_a_message_are_listed_in_parts() {
    let rig = Rig::new();
    let zones = ct_limit::MAX_LISTED as u16 + 5;
    (0..zones).for_each(|zone| _ = rig.dp.conntrack().set_zone_limit(zone, Some(u32::from(zone) + 1)));
    let part = |first| {
        let Got::Message(m) = rig.ask(ids::CT_LIMIT, 3, |b| ct_limit::put_first_zone(b, first)) else {
            panic!()
        };
        let bytes = ct_limit::decode(Attrs::new(&m[24..])).unwrap().unwrap();
        ct_limit::entries(bytes).map(|l| l.zone).collect::<Vec<_>>()
    };
    let (one, two) = (part(0), part(ct_limit::MAX_LISTED as u16));
    assert_eq!((one[0], two[0]), (ct_limit::DEFAULT_ZONE, ct_limit::DEFAULT_ZONE));
    let all: Vec<i32> = one[1..].iter().chain(&two[1..]).copied().collect();
    assert_eq!(all, (0..i32::from(zones)).collect::<Vec<_>>());
}

#[test]
fn limits_of_zones_are_kept_apart_from_the_default() {
    let rig = Rig::new();
    let limit = |zone, limit| ct_limit::ZoneLimit { zone, limit, count: 0 };
    let ask = |command, list: Vec<ct_limit::ZoneLimit>| {
        rig.ask(ids::CT_LIMIT, command, |b| ct_limit::put(b, list.clone().into_iter()))
    };
    let read = |list| {
        let Got::Message(m) = ask(3, list) else { panic!() };
        let bytes = ct_limit::decode(Attrs::new(&m[24..])).unwrap().unwrap();
        ct_limit::entries(bytes).collect::<Vec<_>>()
    };
    assert!(matches!(ask(1, vec![limit(7, 10), limit(-1, 100)]), Got::Message(_)));
    assert_eq!(
        read(vec![limit(7, 0), limit(8, 0), limit(-1, 0)]),
        [limit(7, 10), limit(8, 100), limit(-1, 100)]
    );
    assert_eq!(read(vec![]), [limit(-1, 100), limit(7, 10)]);
    assert!(matches!(ask(2, vec![limit(7, 0)]), Got::Message(_)));
    assert_eq!(read(vec![limit(7, 0)]), [limit(7, 100)]);
    assert_eq!(ask(1, vec![limit(1, 1), limit(70_000, 1)]), Got::Error(22));
    assert_eq!(read(vec![limit(1, 0)]), [limit(1, 100)], "a bad entry changes nothing");
    assert_eq!(rig.ask(ids::CT_LIMIT, 1, |b| b.put(1, &[0; 5])), Got::Error(22));
    assert!(matches!(rig.ask(ids::METER, 1, |_| {}), Got::Message(_)));
    assert_eq!(rig.ask(ids::METER, 2, |b| b.put_u32(1, 1)), Got::Error(22), "without bands");
    let band = |rate| [meter::Band { kind: meter::BAND_DROP, rate, burst: 5, stats: (0, 0) }];
    let set = |rate| rig.ask(ids::METER, 2, |b| meter::put_meter(b, 7, true, &band(rate)));
    let by_id = |command| rig.ask(ids::METER, command, |b| b.put_u32(1, 7));
    assert_eq!(set(0), Got::Error(22), "a rate of zero");
    assert_eq!(by_id(4), Got::Error(2));
    assert!(matches!(set(10), Got::Message(_)));
    assert!(matches!(set(20), Got::Message(_)), "changed");
    let Got::Message(m) = by_id(4) else { panic!() };
    assert_eq!(meter::MeterAttrs::decode(Attrs::new(&m[24..])).unwrap().id, Some(7));
    assert!(matches!(by_id(3), Got::Message(_)));
    assert_eq!(by_id(4), Got::Error(2), "the old one does not come back");
    assert!(matches!(by_id(3), Got::Message(m) if m.len() == 24));
    assert_eq!(rig.ask(ids::METER, 4, |_| {}), Got::Error(122));
}

proptest! {
    /// The same changes by messages and by commands leave the same table.
    #[test]
    fn messages_and_commands_say_the_same(steps in prop::collection::vec((0u8..4, 0u32..8, 0u32..4), 0..40)) {
        let rig = Rig::new();
        let typed = Datapath::try_new(&datapath::Config::default()).unwrap();
        for (what, n, port) in steps {
            let mut put = FlowPut { actions: vec![Action::Output(OdpPort(port))], ..numbered(n) };
            let (command, flags) = [(cmd::NEW, flags::CREATE), (cmd::NEW, 0), (cmd::SET, 0), (cmd::DEL, 0)][usize::from(what)];
            put.mode = [PutMode::Create, PutMode::CreateOrModify, PutMode::Modify, PutMode::Modify][usize::from(what)];
            let got = rig.send(&rig.message(ids::FLOW, command, flags, |b| put_flow(b, &put)));
            let expect = match what {
                3 => typed.apply(Command::DelFlow(put.ufid)),
                _ => typed.apply(Command::PutFlow(&mut put)),
            };
            match expect {
                Ok(_) => prop_assert!(matches!(got, Got::Message(_)), "{:?}", got),
                Err(e) => prop_assert_eq!(got, Got::Error(families::refusal(e).number())),
            }
        }
        let by_bytes: Vec<_> = rig.dump(ids::FLOW, 2000, || {}).iter().map(|a| decode_flow(a)).collect();
        let by_type: Vec<_> = flows_of(&typed).into_iter().map(|f| (f.ufid, f.matched, f.actions)).collect();
        prop_assert_eq!(by_bytes, by_type);
    }

    /// Whatever comes and goes during a dump, what stays is seen exactly once.
    #[test]
    fn a_dump_sees_once_what_stays(
        stays in prop::collection::btree_set(0u32..100, 0..30),
        passing in prop::collection::vec((100u32..130, any::<bool>()), 0..60),
        room in 300usize..900,
    ) {
        let rig = Rig::new();
        let mut passing = passing.into_iter();
        let mut change = || {
            for (n, comes) in passing.by_ref().take(3) {
                let _ = match comes {
                    true => rig.dp.apply(Command::PutFlow(&mut numbered(n))),
                    false => rig.dp.apply(Command::DelFlow(numbered(n).ufid)),
                };
            }
        };
        for n in &stays {
            change();
            rig.dp.apply(Command::PutFlow(&mut numbered(*n))).unwrap();
        }
        let seen = rig.dump(ids::FLOW, room, &mut change);
        let seen: Vec<u32> = seen.iter().map(|a| decode_flow(a).0.0 as u32 - 1).filter(|n| *n < 100).collect();
        prop_assert_eq!(seen.len(), stays.len());
        prop_assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), stays);
    }

    /// Anything may come on any handle: it is answered, and the device goes on working.
    #[test]
    fn any_bytes_are_answered(
        steps in prop::collection::vec((0u8..8, 0usize..9, any::<[(usize, u8); 3]>(), prop::collection::vec(any::<u8>(), 0..200)), 1..30)
    ) {
        let rig = Rig::new();
        let flow = numbered(1);
        let seeds = [
            rig.message(ids::FLOW, cmd::NEW, 1, |b| put_flow(b, &flow)),
            rig.message(ids::FLOW, cmd::GET, flags::DUMP, |b| flow_attrs::put_omit(b, 1)),
            rig.message(ids::VPORT, cmd::NEW, 1, |b| {
                VportAttrs { kind: Some(1), name: Some("p"), pids: Some(&[1, 0, 0, 0]), ..VportAttrs::default() }.encode(b);
            }),
            rig.message(ids::VPORT, cmd::GET, flags::DUMP, |_| {}),
            rig.message(ids::PACKET, packet_cmd::EXECUTE, 1, |b| {
                packet_attrs::put_key(b, &flow.matched.key);
                packet_attrs::put_actions(b, &flow.actions);
                packet_attrs::put_packet(b, &[0; 60]);
            }),
            rig.message(ids::CT_LIMIT, 1, 1, |b| b.put(1, &[0; 12])),
            rig.message(ids::CONTROL, control_cmd::PACKET_SUBSCRIBE, 1, |b| {
                b.put_u8(2, 1);
                b.put_u32(3, 1);
            }),
            rig.message(ids::CONTROL, control_cmd::MC_SUBSCRIBE, 1, |b| {
                b.put_u32(0, 1);
                b.put_u8(1, 1);
            }),
        ];
        let mut out = vec![0; 2000];
        for (operation, which, flips, random) in steps {
            let mut bytes = seeds.get(which).cloned().unwrap_or(random);
            for (at, bit) in flips {
                let n = bytes.len();
                if n > 0 && operation % 2 == 0 {
                    bytes[at % n] ^= 1 << (bit % 8);
                }
            }
            let handle = Handle { index: u16::from(operation % 3), generation: u32::from(operation / 4) };
            let me = if operation < 4 { rig.me } else { handle };
            match operation % 4 {
                0 | 1 => _ = rig.device.transact(rig.env(), me, &bytes, &mut out),
                2 => _ = rig.device.write(rig.env(), me, &bytes),
                _ => {
                    let _ = rig.device.read(rig.env(), me, &mut out);
                    let _ = rig.device.read_event(me, &mut out);
                    let _ = rig.device.read_packet(me, &mut out);
                }
            }
            rig.device.upcall(&rig.host, &miss(1, 100));
        }
        let still = matches!(rig.ask(ids::DATAPATH, cmd::GET, |_| {}), Got::Message(_));
        prop_assert!(still);
    }
}

#[test]
fn statuses_and_errors_have_their_numbers() {
    for status in [Status::InvalidParameter, Status::InvalidLength, Status::NotReady, Status::Cancelled] {
        assert_eq!(Status::from_ntstatus(status.ntstatus()), Some(status));
    }
    assert_eq!(Status::from_ntstatus(0), None);
    assert_eq!(Errno::from_number(129), Errno::NotSup);
    assert_eq!(Errno::from_number(9999), Errno::Other);
}
