//! The memory that packets of AF_XDP ports lie in: shared by all of them, never copied, never lost.
//!
//! Where it sits: beside the crate it tests, a program of its own, as it counts what is free.

mod guests;

use std::sync::atomic::{AtomicUsize, Ordering};

use guests::{devices, eventually, inside, run};
use netdev::{BufferPool, Frame, FrameBatch, Queues};
use netdev_linux::PacketMemory;
use packet::{PacketBuf, PacketMeta};
use testkit::{sandboxed, skip};

#[global_allocator]
static MEMORY: PacketMemory = PacketMemory;

/// Queues that have joined others.
static JOINED: AtomicUsize = AtomicUsize::new(0);

/// Counts what is said of those.
struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let joined = record.args().to_string().contains("shares the packet memory");
        JOINED.fetch_add(usize::from(joined), Ordering::Relaxed);
    }

    fn flush(&self) {}
}

/// An Ethernet type for experiments.
const TYPE: [u8; 2] = [0x88, 0xb5];

/// A packet with a number.
fn frame(number: u16, len: usize) -> Frame {
    let mut bytes = vec![0xff; 12];
    bytes.extend(TYPE);
    bytes.extend(number.to_be_bytes());
    bytes.resize(len, number as u8);
    Frame::try_from_frame(&bytes).unwrap()
}

fn is_ours(frame: &Frame) -> bool {
    frame.frame().get(12..14) == Some(&TYPE)
}

/// Silent guests behind ports of these names.
fn silent_guests(ports: &[&str]) {
    const NO_IPV6: &str = "sysctl -q -w net.ipv6.conf.default.disable_ipv6=1";
    run(NO_IPV6);
    for (n, port) in ports.iter().enumerate() {
        run(&format!("ip netns add g{n}"));
        run(&format!("ip netns exec g{n} {NO_IPV6}"));
        run(&format!("ip link add {port} type veth peer name eth0 netns g{n}"));
        run(&format!("ip link set {port} mtu 3300 up"));
        run(&format!("ip -n g{n} link set eth0 mtu 3300 up"));
    }
}

/// Sends packets out of a guest.
fn send_from(guest: &str, frames: Vec<Frame>) {
    let lost = inside(guest, move || {
        let mut queues = devices().system().open("eth0").unwrap().queues().unwrap();
        let (mut pool, mut lost) = (BufferPool::new(), 0);
        for frames in frames.chunks(packet::BATCH) {
            let mut batch = FrameBatch::default();
            frames.iter().for_each(|f| batch.push(PacketMeta::default(), f.clone()).unwrap());
            lost += queues.tx[0].transmit(&mut pool, &mut batch).total();
        }
        lost
    });
    assert_eq!(lost.join().unwrap(), 0);
}

/// Waits for so many packets of ours; they stay in their memory.
fn receive(queues: &mut Queues, pool: &mut BufferPool, n: usize) -> Vec<Frame> {
    let mut got = Vec::new();
    eventually("packets arrive", || {
        let mut batch = FrameBatch::default();
        queues.rx[0].receive(pool, &mut batch);
        got.extend(batch.drain().map(|(_, frame)| frame).filter(is_ours));
        got.len() >= n
    });
    got
}

/// Frames of received packets that the transmit queue has given back, by the address of their memory.
fn addresses(frames: &[Frame]) -> Vec<usize> {
    let mut all: Vec<usize> = frames.iter().map(|f| f.memory().as_ptr().addr()).collect();
    all.sort_unstable();
    all
}

#[test]
fn a_packet_leaves_from_where_it_was_received() {
    sandboxed!();
    silent_guests(&["va", "vb"]);
    let d = devices();
    let (va, vb) = (d.afxdp_nonpmd().open("va").unwrap(), d.afxdp_nonpmd().open("vb").unwrap());
    let (mut a, mut b) = (va.queues().unwrap(), vb.queues().unwrap());
    if let Some(why) = va.status().get("xdp-error") {
        skip!("no AF_XDP here: {why}");
    }
    let listening = inside("g1", || {
        let queues = devices().system().open("eth0").unwrap().queues().unwrap();
        (queues, BufferPool::new())
    });
    let (mut listening, mut pool_of_guest) = listening.join().unwrap();
    // The first pool has nothing but what it received, so that what comes back into it was in no other memory.
    let (mut pool, mut sending) = (BufferPool::new(), BufferPool::new());
    // Of those that are worth not to be copied even where the kernel copies.
    let sent: Vec<Frame> = (0..20).map(|n| frame(n, 2100 + 50 * usize::from(n))).collect();
    send_from("g0", sent.clone());
    let mut got = receive(&mut a, &mut pool, sent.len());
    assert!(got == sent, "whole, and in order");
    let before = addresses(&got);
    // Headers may come and go in front.
    for frame in &mut got {
        frame.push_front(50).unwrap().fill(7);
        assert!(frame.pull_front(50));
    }
    assert_eq!(addresses(&got), before, "there is room for them");
    let mut batch = FrameBatch::default();
    got.drain(..).for_each(|f| batch.push(PacketMeta::default(), f).unwrap());
    assert_eq!(b.tx[0].transmit(&mut sending, &mut batch).total(), 0);
    assert!(receive(&mut listening, &mut pool_of_guest, sent.len()) == sent, "as they were");
    // What was sent comes back.
    let mut returned = Vec::new();
    eventually("frames return", || {
        b.tx[0].transmit(&mut sending, &mut FrameBatch::default());
        let page = sending.take_page().unwrap();
        returned.extend(Some(page).filter(|page| before.contains(&page.memory().as_ptr().addr())));
        returned.len() == before.len()
    });
    assert_eq!(addresses(&returned), before, "not one was copied");
}

#[test]
fn no_memory_is_lost_however_often_ports_come_and_go() {
    const ROUNDS: usize = 20;
    sandboxed!();
    silent_guests(&["va", "vb", "vc"]);
    let d = devices();
    let open = |name: &str| {
        let device = d.afxdp_nonpmd().open(name).unwrap();
        let queues = device.queues().unwrap();
        (device, queues)
    };
    let mut kept = open("vc");
    if let Some(why) = kept.0.status().get("xdp-error") {
        skip!("no AF_XDP here: {why}");
    }
    let free = PacketMemory::free();
    assert!(free > 8192, "{free}");
    for round in 0..ROUNDS {
        let ((_a, mut a), (b, mut b_queues)) = (open("va"), open("vb"));
        assert!(a.rx.len() == 1 && b.status()["xdp-mode"] == kept.0.status()["xdp-mode"]);
        let mut pool = BufferPool::new();
        send_from("g0", (0..40).map(|n| frame(n, 100 + 75 * usize::from(n))).collect());
        let mut got = receive(&mut a, &mut pool, 40);
        let mut batch = FrameBatch::default();
        // Some leave, some stand in line as their device is down, some are dropped, and some of the heap's leave as well.
        if round % 2 == 1 {
            b.set_admin_state(netdev::AdminState::Down).unwrap();
        }
        got.truncate(20);
        got.drain(..).for_each(|f| batch.push(PacketMeta::default(), f).unwrap());
        (0..10).for_each(|n| batch.push(PacketMeta::default(), frame(n, 100)).unwrap());
        b_queues.tx[0].transmit(&mut pool, &mut batch);
        b.set_admin_state(netdev::AdminState::Up).unwrap();
        if round % 3 == 0 {
            run("ip link del va");
            run("ip netns del g0");
            silent_guests(&["va"]);
        }
    }
    // Devices get some time to stop; whoever asks for counters has it looked after.
    eventually("all that came and went is free", || kept.0.stats().is_ok() && PacketMemory::free() == free);
    // What goes on has what it needs.
    send_from("g2", (0..40).map(|n| frame(n, 100 + 75 * usize::from(n))).collect());
    assert_eq!(receive(&mut kept.1, &mut BufferPool::new(), 40).len(), 40);
}

#[test]
fn a_port_that_does_not_send_starves_no_other() {
    sandboxed!();
    silent_guests(&["va", "vb", "vc"]);
    let d = devices();
    let ports = ["va", "vb", "vc"].map(|name| d.afxdp_nonpmd().open(name).unwrap());
    let mut queues = ports.each_ref().map(|port| port.queues().unwrap());
    if let Some(why) = ports[0].status().get("xdp-error") {
        skip!("no AF_XDP here: {why}");
    }
    ports[1].set_admin_state(netdev::AdminState::Down).unwrap();
    let mut pool = BufferPool::new();
    let mut pass = |queues: &mut [Queues; 3], to: usize| {
        send_from("g0", (0..160).map(|n| frame(n, 3000)).collect());
        let (mut batch, mut failed) = (FrameBatch::default(), 0);
        for frame in receive(&mut queues[0], &mut pool, 160) {
            batch.push(PacketMeta::default(), frame).unwrap();
            failed += queues[to].tx[0].transmit(&mut pool, &mut batch).total();
        }
        failed
    };
    // Its line is full, and stays so.
    let failed: u32 = (0..10).map(|_| pass(&mut queues, 1)).sum();
    assert!(failed > 0 && failed < 1600, "{failed}");
    assert_eq!((0..3).map(|_| pass(&mut queues, 2)).sum::<u32>(), 0);
}

#[test]
fn many_ports_share_what_there_is() {
    sandboxed!();
    log::set_logger(&Log).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    let names: Vec<String> = (0..24).map(|n| format!("v{n}")).collect();
    silent_guests(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let d = devices();
    let mut ports = Vec::new();
    for name in &names {
        let port = d.afxdp_nonpmd().open(name).unwrap();
        let queues = port.queues().unwrap();
        if let Some(why) = port.status().get("xdp-error") {
            skip!("no AF_XDP here: {why}");
        }
        ports.push((port, queues));
    }
    assert_eq!(JOINED.load(Ordering::Relaxed), ports.len() - 1, "all but the first");
    assert!(PacketMemory::free() > 64, "{} left to send", PacketMemory::free());
    let mut pool = BufferPool::new();
    for n in [0, 23] {
        send_from(&format!("g{n}"), (0..40).map(|n| frame(n, 100 + 75 * usize::from(n))).collect());
        let mut batch = FrameBatch::default();
        let got = receive(&mut ports[n].1, &mut pool, 40);
        got.into_iter().take(20).for_each(|f| batch.push(PacketMeta::default(), f).unwrap());
        assert_eq!(ports[23 - n].1.tx[0].transmit(&mut pool, &mut batch).total(), 0);
    }
}
