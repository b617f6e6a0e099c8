//! What ports lose: provoked, and found again in their counters, packet by packet.
//!
//! Where it sits: beside the crate it tests. Frames have an Ethernet type of their own, and addresses are not configured,
//! so that nobody else's packets are among them.

mod guests;

use guests::{devices, eventually, inside, run};
use netdev::{AdminState, BufferPool, Frame, FrameBatch, Netdev, Queues, TxDrops};
use packet::{L4Checksum, PacketBuf, PacketMeta};
use testkit::{sandboxed, skip};

#[global_allocator]
static MEMORY: netdev_linux::PacketMemory = netdev_linux::PacketMemory;

/// An Ethernet type for experiments.
const TYPE: [u8; 2] = [0x88, 0xb5];

fn frame(len: usize) -> Frame {
    let mut bytes = vec![0xff; 6];
    bytes.extend([2, 0, 0, 0, 0, 9]);
    bytes.extend(TYPE);
    bytes.resize(len, 0);
    Frame::try_from_frame(&bytes).unwrap()
}

/// A guest whose kernel says nothing by itself, and the port to it.
fn silent_guest(port: &str) {
    const NO_IPV6: &str = "sysctl -q -w net.ipv6.conf.default.disable_ipv6=1";
    run(NO_IPV6);
    run("ip netns add a");
    run(&format!("ip netns exec a {NO_IPV6}"));
    run(&format!("ip link add {port} type veth peer name eth0 netns a"));
    run(&format!("ip link set {port} up"));
    run("ip -n a link set eth0 up");
}

/// Sends `n` frames of `len` bytes; returns what was lost at once.
fn send(queues: &mut Queues, n: usize, len: usize) -> TxDrops {
    let (mut pool, mut batch, mut drops) = (BufferPool::new(), FrameBatch::default(), TxDrops::default());
    for sent in 1..=n {
        batch.push(PacketMeta::default(), frame(len)).unwrap();
        if batch.is_full() || sent == n {
            let one = queues.tx[0].transmit(&mut pool, &mut batch);
            drops.mtu += one.mtu;
            drops.down += one.down;
            drops.failed += one.failed;
            drops.memory += one.memory;
        }
    }
    drops
}

/// Sends frames out of the guest, all of them.
fn send_from_guest(n: usize) {
    let lost = inside("a", move || {
        let mut queues = devices().system().open("eth0").unwrap().queues().unwrap();
        send(&mut queues, n, 60).total()
    });
    assert_eq!(lost.join().unwrap(), 0, "the guest itself lost packets");
}

/// Receives until nothing is left; returns how many of our frames that were.
fn received(queues: &mut Queues) -> u64 {
    let (mut pool, mut ours) = (BufferPool::new(), 0);
    for rx in &mut queues.rx {
        loop {
            let mut batch = FrameBatch::default();
            if rx.receive(&mut pool, &mut batch) == 0 {
                break;
            }
            for (_, frame) in batch.drain() {
                ours += u64::from(frame.frame().get(12..14) == Some(&TYPE));
                pool.give(frame);
            }
            assert!(rx.take_drops().is_none());
        }
    }
    ours
}

/// Waits until packets have been missed, and then until every one of `n` has been received or missed: they may come long after
/// their sender has seen them off. Returns how many were received.
fn all_are_found(queues: &mut Queues, n: usize, missed: impl Fn() -> u64) -> u64 {
    let mut got = 0;
    // While nobody receives.
    eventually("packets are missed", || missed() > 0);
    eventually("all are received or missed", || {
        got += received(queues);
        got + missed() >= n as u64
    });
    assert_eq!(got + missed(), n as u64);
    got
}

fn counter(device: &dyn Netdev, name: &str) -> u64 {
    let stats = device.stats().unwrap();
    stats.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("no {name}: {stats:?}")).1
}

#[test]
fn what_a_packet_socket_has_no_room_for_is_missed() {
    const SENT: usize = 60_000;
    sandboxed!();
    silent_guest("va");
    let va = devices().system().open("va").unwrap();
    let mut queues = va.queues().unwrap();
    let _ = (received(&mut queues), counter(&*va, "rx_missed_errors"));
    let before = counter(&*va, "rx_missed_errors");
    send_from_guest(SENT);
    let missed = || counter(&*va, "rx_missed_errors") - before;
    let got = all_are_found(&mut queues, SENT, missed);
    assert!(got > 1000, "{got} received");
    assert_eq!(missed(), SENT as u64 - got, "once");
}

#[test]
fn what_waits_for_a_port_that_is_handed_over_is_not_lost() {
    const SENT: usize = 700;
    sandboxed!();
    silent_guest("va");
    let old = devices().system().open("va").unwrap();
    let mut queues = old.queues().unwrap();
    received(&mut queues);
    send_from_guest(SENT);
    let (mut pool, mut batch) = (BufferPool::new(), FrameBatch::default());
    eventually("some are received", || queues.rx[0].receive(&mut pool, &mut batch) != 0);
    let ours = |(_, frame): &(_, Frame)| frame.frame().get(12..14) == Some(&TYPE);
    let mut got = batch.drain().filter(ours).count() as u64;
    assert!(got < SENT as u64);
    let fd = queues.rx[0].fd().unwrap().try_clone_to_owned().unwrap();
    drop((queues, old));
    let next = devices();
    next.give("va", vec![fd]);
    let va = next.system().open("va").unwrap();
    let mut queues = va.queues().unwrap();
    for sent in [SENT, SENT + 10] {
        eventually("all are received", || {
            got += received(&mut queues);
            got >= sent as u64
        });
        assert_eq!(got, sent as u64, "once");
        if sent == SENT {
            send_from_guest(10);
        }
    }
    assert_eq!(counter(&*va, "rx_missed_errors"), 0);
}

#[test]
fn what_a_ring_has_no_room_for_is_missed() {
    const SENT: usize = 8000;
    sandboxed!();
    silent_guest("va");
    let va = devices().afxdp_nonpmd().open("va").unwrap();
    let mut queues = va.queues().unwrap();
    if let Some(why) = va.status().get("xdp-error") {
        skip!("no AF_XDP here: {why}");
    }
    received(&mut queues);
    let before = counter(&*va, "rx_missed_errors");
    send_from_guest(SENT);
    let missed = || counter(&*va, "rx_missed_errors") - before;
    let got = all_are_found(&mut queues, SENT, missed);
    assert!(got >= 1024, "{got} received");
    let of_queue = counter(&*va, "xsk_queue_0_rx_dropped");
    assert_eq!(of_queue, counter(&*va, "rx_missed_errors"));
    // It stays when the queue goes, and when another comes.
    drop(queues);
    assert_eq!(counter(&*va, "xsk_queue_0_rx_dropped"), of_queue);
    let _queues = va.queues().unwrap();
    assert_eq!(counter(&*va, "xsk_queue_0_rx_dropped"), of_queue);
}

/// Frames have a little less room than the kernel knows of.
#[test]
fn what_is_longer_than_a_frame_of_a_ring_is_cut_off_or_missed() {
    const LENGTHS: [usize; 4] = [3824, 3825, 3840, 3841];
    sandboxed!();
    silent_guest("va");
    run("ip link set va mtu 4000");
    run("ip -n a link set eth0 mtu 4000");
    let va = devices().afxdp_nonpmd().open("va").unwrap();
    va.set_options(&[("xdp-mode".to_owned(), "generic".to_owned())].into()).unwrap();
    let mut queues = va.queues().unwrap();
    if let Some(why) = va.status().get("xdp-error") {
        skip!("no AF_XDP here: {why}");
    }
    received(&mut queues);
    inside("a", || {
        let mut queues = devices().system().open("eth0").unwrap().queues().unwrap();
        LENGTHS.iter().for_each(|len| assert_eq!(send(&mut queues, 1, *len).total(), 0));
    })
    .join()
    .unwrap();
    let (mut pool, mut lengths, mut truncated) = (BufferPool::new(), Vec::new(), 0);
    let rx = &mut queues.rx[0];
    eventually("all have arrived", || {
        let mut batch = FrameBatch::default();
        rx.receive(&mut pool, &mut batch);
        lengths.extend(batch.drain().map(|(_, frame)| frame.len()));
        truncated += rx.take_drops().truncated;
        truncated == 2 && counter(&*va, "rx_missed_errors") == 1
    });
    assert_eq!(lengths, [LENGTHS[0]]);
}

#[test]
fn what_does_not_leave_by_a_ring_is_dropped() {
    const SENT: usize = 3000;
    sandboxed!();
    silent_guest("va");
    let va = devices().afxdp_nonpmd().open("va").unwrap();
    let mut queues = va.queues().unwrap();
    if let Some(why) = va.status().get("xdp-error") {
        skip!("no AF_XDP here: {why}");
    }
    va.set_admin_state(AdminState::Down).unwrap();
    let before = counter(&*va, "tx_dropped");
    let drops = send(&mut queues, SENT, 60);
    assert!(drops.failed > 0 && drops.total() == drops.failed, "{drops:?}");
    assert_eq!(counter(&*va, "tx_dropped") - before, u64::from(drops.failed), "a full ring");
    assert_eq!(send(&mut queues, 1, 4000).mtu, 1);
    drop(queues);
    assert_eq!(counter(&*va, "tx_dropped") - before, SENT as u64 + 1, "and what stood in line");
}

#[test]
fn what_a_full_queueing_discipline_refuses_is_dropped() {
    const SENT: usize = 200;
    sandboxed!();
    silent_guest("va");
    let tc = "qdisc add dev va root tbf rate 1mbit burst 4k limit 8k";
    let out = std::process::Command::new("tc").args(tc.split(' ')).output().expect("iproute2 is there");
    if !out.status.success() {
        skip!("no tbf here: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    let va = devices().system().open("va").unwrap();
    let mut queues = va.queues().unwrap();
    let before = counter(&*va, "tx_dropped");
    let drops = send(&mut queues, SENT, 1000);
    assert!(drops.failed > 0 && drops.total() == drops.failed, "{drops:?}");
    assert_eq!(counter(&*va, "tx_dropped") - before, u64::from(drops.failed));
    // All others leave in their time.
    let sent = SENT as u64 - u64::from(drops.failed);
    eventually("the others have left", || counter(&*va, "tx_packets") >= sent);
    assert_eq!(counter(&*va, "tx_packets"), sent);
}

#[test]
fn what_is_sent_by_a_device_that_is_down_or_gone_is_dropped() {
    sandboxed!();
    silent_guest("va");
    let va = devices().system().open("va").unwrap();
    let mut queues = va.queues().unwrap();
    va.set_admin_state(AdminState::Down).unwrap();
    let before = counter(&*va, "tx_dropped");
    assert_eq!(send(&mut queues, 100, 60), TxDrops { down: 100, ..TxDrops::default() });
    assert_eq!(counter(&*va, "tx_dropped") - before, 100);
    va.set_admin_state(AdminState::Up).unwrap();
    assert_eq!(send(&mut queues, 1, 3000), TxDrops { mtu: 1, ..TxDrops::default() });
    assert_eq!(counter(&*va, "tx_dropped") - before, 101);
    run("ip link del va");
    assert_eq!(send(&mut queues, 100, 60), TxDrops { down: 100, ..TxDrops::default() });
}

#[test]
fn what_a_tap_device_loses_is_counted_both_ways() {
    const SENT: usize = 5000;
    sandboxed!();
    run("sysctl -q -w net.ipv6.conf.default.disable_ipv6=1");
    if let Err(e) = std::fs::File::options().read(true).write(true).open("/dev/net/tun") {
        skip!("no TAP device here: {e}");
    }
    let d = devices();
    let tap = d.internal().open("tap0").unwrap();
    let mut queues = tap.queues().unwrap();
    // Nobody may read or write it yet.
    assert_eq!(send(&mut queues, 10, 60), TxDrops { down: 10, ..TxDrops::default() });
    assert_eq!(counter(&*tap, "tx_dropped"), 10);
    tap.set_admin_state(AdminState::Up).unwrap();
    // A checksum to be put behind the frame's end.
    let (mut pool, mut batch) = (BufferPool::new(), FrameBatch::default());
    let mut broken = frame(60);
    broken.offload_mut().l4 = L4Checksum::Partial { start: 50, offset: 60 };
    batch.push(PacketMeta::default(), broken).unwrap();
    let drops = queues.tx[0].transmit(&mut pool, &mut batch);
    assert_eq!(drops, TxDrops { failed: 1, ..TxDrops::default() });
    assert_eq!(counter(&*tap, "tx_dropped"), 11);
    // The host sends, and we are slow.
    received(&mut queues);
    let before = counter(&*tap, "rx_dropped");
    let mut host = devices().system().open("tap0").unwrap().queues().unwrap();
    // One at a time: a refused packet takes those behind it in its batch along.
    let refused: u32 = (0..SENT).map(|_| send(&mut host, 1, 60).total()).sum();
    let got = all_are_found(&mut queues, SENT, || counter(&*tap, "rx_dropped") - before);
    assert!(got > 100, "{got} received, {refused} refused");
}
