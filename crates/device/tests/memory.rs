//! Where memory is short, a dump gives what it has and can be read on: each allocation of one fails once, in turn.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use datapath::{Command, Datapath, FlowPut, PlainHost, PutMode, Worker};
use device::{Config, Device, Env, Errno, Handle, NetdevInfo, PortRef, Progress, Queue, Status, Ticket};
use device::{VportHost, Written};
use flow::{Match, slot};
use netlink::{Attrs, Builder, GenlHeader, Header, Messages, flags, kinds};
use odp::netlink::ids::{self, Family, cmd, ctnetlink};
use odp::netlink::vport::{VportAttrs, VportKind, VportStats};
use odp::{Action, CtAction, Ufid};
use packet::{FlatPacket, Instant, Now, OdpPort, PacketMeta};

/// The system's allocator, but for the one allocation of a thread that is to fail.
struct Failing;

thread_local! {
    /// How many allocations succeed before the one that fails; none does while it is negative.
    static LEFT: Cell<i64> = const { Cell::new(-1) };
}

/// True for the allocation that fails.
fn fails() -> bool {
    // A thread that ends has no counter any more.
    LEFT.try_with(|left| left.replace((left.get() - 1).max(-1)) == 0).unwrap_or(false)
}

// SAFETY: every call goes to the system's allocator unchanged, or fails as an allocator may.
#[allow(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises about the layout are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the place came from the system's allocator with this layout.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: as in `dealloc`, and the caller's promises about the size are passed on.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

const NOW: Now = Now { mono: Instant::from_millis(5000), wall_ms: 1_000_000 };
/// How many of each kind there are.
const LISTED: u32 = 20;

struct NoPorts;

impl VportHost for NoPorts {
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

    fn execute(&self, _: &PacketMeta, _: &[u8], _: &[Action]) -> Result<(), Errno> {
        Ok(())
    }

    fn wake(&self, _: Handle, _: Queue) {}
}

/// A device with flows, ports and connections.
struct Full {
    device: Device,
    datapath: Datapath,
    me: Handle,
}

impl Full {
    fn new() -> Full {
        let device = Device::try_new(Config { handles: 2, ..Config::default() }).unwrap();
        let datapath = Datapath::try_new(&datapath::Config::default()).unwrap();
        let me = device.open().unwrap();
        for n in 1..=LISTED {
            let (name, number) = (format!("port{n}"), OdpPort(n));
            let port = PortRef { number, kind: VportKind::Netdev, name: &name, tunnel_port: None };
            device.adopt_port(&port).unwrap();
            datapath.apply(Command::PutFlow(&mut flow_of(n))).unwrap();
            commit(&datapath, n as u8);
        }
        Full { device, datapath, me }
    }

    fn env(&self) -> Env<'_, NoPorts> {
        Env { datapath: &self.datapath, host: &NoPorts, now: NOW }
    }

    /// Reads a dump to its end, `room` bytes at a time, while the allocation behind the first `behind` fails; where it is
    /// refused for that it is read again. Returns what was listed, and whether there was such an allocation.
    fn read_all(&self, list: &List, room: usize, behind: i64) -> (Vec<u128>, bool) {
        assert_eq!(self.device.write(self.env(), self.me, &list.message(self.me)), Ok(Written::Done));
        let (mut listed, mut out) = (Vec::new(), vec![0; room]);
        let (mut left, mut refused) = (behind, 0);
        loop {
            LEFT.set(left);
            let read = self.device.read(self.env(), self.me, &mut out);
            left = LEFT.replace(-1);
            match read {
                Ok(0) => {
                    assert!(refused <= 1, "one allocation failed");
                    return (listed, left < 0);
                }
                Ok(n) => listed.extend(list.named(&out[..n])),
                Err(Status::NoResources) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}

/// A megaflow of a number, with as many actions.
fn flow_of(n: u32) -> FlowPut {
    let mut matched = Match::ANY;
    matched.set_exact(slot::packet_type, 0);
    matched.set_exact(slot::eth_type, 0x0800);
    matched.set_exact(slot::in_port, n.into());
    matched.set_masked(slot::nw_dst, u128::from(n) << 8, 0xffff_ff00);
    let actions = (0..n).map(|to| Action::Output(OdpPort(to))).collect();
    FlowPut { ufid: Ufid(n.into()), matched, actions, mode: PutMode::Create }
}

/// Commits a connection from `10.0.0.n`.
fn commit(datapath: &Datapath, n: u8) {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, n, 10, 0, 1, 1]);
    let sum = wire::checksum::checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame.extend([0, 53, 0, 99, 0, 8, 0, 0]);
    datapath.conntrack().maintain(NOW, 0);
    let actions = [Action::Ct(Box::new(CtAction { commit: true, ..CtAction::default() }))];
    let packet = (PacketMeta::default(), FlatPacket::try_from_frame(&frame).unwrap());
    let mut worker = Worker::try_new(1).unwrap();
    worker.execute(datapath, &mut PlainHost::without_routes(), NOW, packet, &actions);
}

/// What is listed.
enum List {
    Of(Family),
    Connections,
}

impl List {
    /// The message that begins the dump.
    fn message(&self, me: Handle) -> Vec<u8> {
        let mut b = Builder::new();
        let header = |kind| Header { kind, flags: flags::REQUEST | flags::DUMP, seq: 7, pid: me.pid() };
        match self {
            List::Of(family) => {
                let [c, v, r0, r1] = GenlHeader { command: cmd::GET, version: family.version }.emit();
                b.begin(&header(family.id), &[c, v, r0, r1, 0, 0, 0, 0]);
            }
            List::Connections => b.begin(&header(ctnetlink::GET), &[0; 8]),
        }
        b.finish().unwrap()
    }

    /// The numbers of what messages list.
    fn named(&self, bytes: &[u8]) -> Vec<u128> {
        let messages = Messages::new(bytes).map(Result::unwrap).filter(|m| m.header.kind != kinds::DONE);
        let number = |payload: &[u8]| {
            let attrs = Attrs::new(&payload[8..]);
            match self {
                List::Connections => device::ct::take_entry(&attrs).unwrap().orig.src & 0xff,
                List::Of(family) if family.id == ids::FLOW.id => {
                    let flow = device::flows::take(attrs).unwrap();
                    assert_eq!(flow.actions.len() as u128, flow.ufid.0, "whole");
                    flow.ufid.0
                }
                List::Of(_) => VportAttrs::decode(attrs).unwrap().number.unwrap().into(),
            }
        };
        messages.map(|m| number(m.payload)).collect()
    }
}

#[test]
fn a_dump_that_memory_is_short_for_lists_all_when_it_is_read_on() {
    let full = Full::new();
    let lists = [(List::Of(ids::FLOW), 700), (List::Of(ids::FLOW), 4000), (List::Of(ids::VPORT), 300)];
    for (list, room) in lists.into_iter().chain([(List::Connections, 500)]) {
        let mut behind = 0;
        loop {
            let (mut listed, was_met) = full.read_all(&list, room, behind);
            listed.sort_unstable();
            assert!(listed.iter().copied().eq(1..=u128::from(LISTED)), "{behind}: {listed:?}");
            if !was_met {
                break;
            }
            behind += 1;
        }
        assert!(behind > i64::from(LISTED), "each takes memory: {behind}");
    }
}
