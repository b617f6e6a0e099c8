//! Ports over real devices, in namespaces of their own: TCP with every offload left on, tags, TAP, state, healing.
//!
//! Where it sits: beside the crate it tests. Each test joins ports with a wire of its own: what one receives the other
//! transmits, nothing looked at.

mod guests;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use guests::{devices, eventually, guest, inside, run};
use netdev::{AdminState, BufferPool, FrameBatch, Netdev};
use packet::{L4Checksum, PacketBuf, PacketMeta, Segmentation, SegmentationKind};
use rustix::event::{PollFd, PollFlags, poll};
use testkit::{sandboxed, skip};

#[global_allocator]
static MEMORY: netdev_linux::PacketMemory = netdev_linux::PacketMemory;

/// What a wire saw.
#[derive(Default)]
struct Seen {
    largest: AtomicUsize,
    super_packets: AtomicUsize,
    partial: AtomicUsize,
    tagged: AtomicUsize,
    lost: AtomicUsize,
}

/// Two ports joined until it is dropped.
struct Wire {
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    fn between(a: &Arc<dyn Netdev>, b: &Arc<dyn Netdev>) -> Wire {
        let mut ends = [a.queues().unwrap(), b.queues().unwrap()];
        let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
        let (s, stopped) = (seen.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let (mut pool, mut batch) = (BufferPool::new(), FrameBatch::default());
            while !stopped.load(Ordering::Relaxed) {
                {
                    let mut fds = [
                        PollFd::from_borrowed_fd(ends[0].rx[0].fd().unwrap(), PollFlags::IN),
                        PollFd::from_borrowed_fd(ends[1].rx[0].fd().unwrap(), PollFlags::IN),
                    ];
                    let tick = rustix::time::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
                    poll(&mut fds, Some(&tick)).unwrap();
                }
                for from in [0, 1] {
                    ends[from].rx[0].receive(&mut pool, &mut batch);
                    for (_, frame) in batch.iter_mut() {
                        s.note(frame);
                    }
                    let drops = ends[1 - from].tx[0].transmit(&mut pool, &mut batch);
                    s.lost.fetch_add(drops.total() as usize, Ordering::Relaxed);
                }
            }
        });
        Wire { seen, stop, thread: Some(thread) }
    }
}

impl Seen {
    fn note(&self, frame: &netdev::Frame) {
        self.largest.fetch_max(frame.len(), Ordering::Relaxed);
        let add = |counter: &AtomicUsize, when: bool| counter.fetch_add(usize::from(when), Ordering::Relaxed);
        add(&self.super_packets, frame.offload().segment.is_some());
        add(&self.partial, matches!(frame.offload().l4, L4Checksum::Partial { .. }));
        add(&self.tagged, frame.frame().get(12..14) == Some(&[0x81, 0]));
    }

    fn get(&self, counter: impl Fn(&Seen) -> &AtomicUsize) -> usize {
        counter(self).load(Ordering::Relaxed)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Sends `n` bytes from `client` to `server` over TCP; panics unless they arrive as they were.
fn tcp(client: &str, server: &str, addr: &'static str, n: usize) {
    let (ready, at) = std::sync::mpsc::channel();
    let data: Arc<Vec<u8>> = Arc::new((0..n).map(|i| ((i * 31) >> 4) as u8).collect());
    let expect = data.clone();
    let listening = inside(server, move || {
        let listener = TcpListener::bind((addr, 5001)).unwrap();
        ready.send(()).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert!(got == *expect, "{} of {} bytes, or others", got.len(), expect.len());
    });
    at.recv().unwrap();
    let sending = inside(client, move || {
        let to = std::net::SocketAddr::new(addr.parse().unwrap(), 5001);
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(20)).unwrap();
        stream.write_all(&data).unwrap();
    });
    sending.join().unwrap();
    listening.join().unwrap();
}

#[test]
fn tcp_between_veths_goes_in_super_packets() {
    sandboxed!();
    guest("a", "va", "10.0.0.1");
    guest("b", "vb", "10.0.0.2");
    let d = devices();
    let (va, vb) = (d.system().open("va").unwrap(), d.system().open("vb").unwrap());
    let wire = Wire::between(&va, &vb);
    tcp("a", "b", "10.0.0.2", 20_000_000);
    tcp("b", "a", "10.0.0.1", 1_000_000);
    let seen = &wire.seen;
    assert!(seen.get(|s| &s.largest) > 20_000, "largest frame {}", seen.get(|s| &s.largest));
    assert!(seen.get(|s| &s.super_packets) > 100 && seen.get(|s| &s.partial) > 100);
    assert_eq!(seen.get(|s| &s.tagged), 0);
    let stats = va.stats().unwrap();
    assert!(stats.rx_bytes > Some(20_000_000) && stats.tx_bytes > Some(1_000_000), "{stats:?}");
}

/// Sends TCP both ways between two ports of this mode, over devices whose offloads are left on.
fn tcp_by_afxdp(mode: &str) {
    guest("a", "va", "10.0.0.1");
    guest("b", "vb", "10.0.0.2");
    let d = devices();
    let (va, vb) = (d.afxdp_nonpmd().open("va").unwrap(), d.afxdp_nonpmd().open("vb").unwrap());
    for port in [&va, &vb] {
        port.set_options(&[("xdp-mode".to_owned(), mode.to_owned())].into()).unwrap();
    }
    let wire = Wire::between(&va, &vb);
    let status = va.status();
    if let Some(why) = status.get("xdp-error") {
        skip!("no AF_XDP here: {why}");
    }
    if mode != "best-effort" {
        assert_eq!(status["xdp-mode"], mode);
    }
    if mode == "generic" {
        // The program sees what the guests' stacks send, which fits a socket's frames only if it is not a super-packet.
        for ns in ["a", "b"] {
            run(&format!("ip -n {ns} link set eth0 gso_max_segs 1"));
        }
    }
    tcp("a", "b", "10.0.0.2", 5_000_000);
    tcp("b", "a", "10.0.0.1", 1_000_000);
    let seen = &wire.seen;
    assert!(seen.get(|s| &s.partial) > 100, "{} partial", seen.get(|s| &s.partial));
    assert!(va.queues().is_none(), "the queues are taken");
    drop(wire);
    assert!(!va.queues_are_stale());
    va.set_options(&[("xdp-mode".to_owned(), "generic".to_owned())].into()).unwrap();
    assert_eq!(va.queues_are_stale(), mode != "generic");
    drop(va.queues().unwrap());
    assert_eq!(va.status()["xdp-mode"], "generic");
}

#[test]
fn tcp_by_afxdp_in_the_best_mode() {
    sandboxed!();
    tcp_by_afxdp("best-effort");
}

#[test]
fn tcp_by_afxdp_in_the_driver() {
    sandboxed!();
    tcp_by_afxdp("native");
}

#[test]
fn tcp_by_afxdp_in_the_stack() {
    sandboxed!();
    tcp_by_afxdp("generic");
}

#[test]
fn where_afxdp_is_not_to_be_had_a_packet_socket_works() {
    sandboxed!();
    guest("a", "va", "10.0.0.1");
    guest("b", "vb", "10.0.0.2");
    let d = devices();
    let (va, vb) = (d.afxdp().open("va").unwrap(), d.afxdp().open("vb").unwrap());
    for port in [&va, &vb] {
        // No veth device has as many queues.
        port.set_options(&[("n_rxq".to_owned(), "50".to_owned())].into()).unwrap();
    }
    let wrong = va.set_options(&[("xdp-mode".to_owned(), "fast".to_owned())].into());
    assert_eq!(wrong.unwrap_err().to_string(), "Invalid argument");
    let wire = Wire::between(&va, &vb);
    tcp("a", "b", "10.0.0.2", 5_000_000);
    let status = va.status();
    assert_eq!(status["xdp-mode"], "af-packet");
    assert!(status["xdp-error"].contains("generic: "), "{status:?}");
    assert!(wire.seen.get(|s| &s.super_packets) > 10);
}

#[test]
fn a_device_by_afxdp_that_returns_has_other_queues() {
    sandboxed!();
    guest("a", "va", "10.0.0.1");
    let d = devices();
    let va = d.afxdp().open("va").unwrap();
    let queues = va.queues().unwrap();
    run("ip link del va");
    run("ip netns del a");
    eventually("the loss is seen", || va.mtu().is_err());
    assert!(!va.queues_are_stale(), "there is nothing better");
    guest("a", "va", "10.0.0.1");
    eventually("the return is seen", || va.queues_are_stale());
    drop(queues);
    let mut queues = va.queues().unwrap();
    assert!(!va.queues_are_stale());
    // It asks who has the address.
    let ask = || std::net::UdpSocket::bind("10.0.0.1:0").unwrap().send_to(b"?", "10.0.0.9:9");
    inside("a", ask).join().unwrap().unwrap();
    let (mut pool, mut batch) = (BufferPool::new(), FrameBatch::default());
    eventually("packets come", || queues.rx[0].receive(&mut pool, &mut batch) != 0);
}

/// A tagged TCP segment of 3000 bytes of payload, its checksum partial, to be cut into segments of 1000.
fn tagged_super_packet() -> netdev::Frame {
    let mut f = vec![0xff; 6];
    f.extend([2, 0, 0, 0, 1, 1, 0x81, 0, 0x20, 5, 8, 0, 0x45, 0]);
    f.extend((40u16 + 3000).to_be_bytes());
    f.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    f.extend([0x10, 0, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 2, 0, 0, 0, 0, 0]);
    f.extend([7; 3000]);
    let mut frame = netdev::Frame::try_from_frame(&f).unwrap();
    frame.offload_mut().l4 = L4Checksum::Partial { start: 38, offset: 16 };
    frame.offload_mut().segment =
        Some(Segmentation { kind: SegmentationKind::TcpV4, size: 1000, ecn: false });
    frame
}

#[test]
fn a_tag_that_the_kernel_took_is_put_back() {
    sandboxed!();
    guest("a", "va", "10.0.0.1");
    let sent = tagged_super_packet();
    let copy = sent.clone();
    let d = devices();
    let mut here = d.system().open("va").unwrap().queues().unwrap();
    inside("a", move || {
        let eth0 = devices().system().open("eth0").unwrap();
        let (mut queues, mut pool, mut batch) =
            (eth0.queues().unwrap(), BufferPool::new(), FrameBatch::default());
        batch.push(PacketMeta::default(), copy).unwrap();
        assert_eq!(queues.tx[0].transmit(&mut pool, &mut batch).total(), 0);
    })
    .join()
    .unwrap();
    let (mut pool, mut got) = (BufferPool::new(), Vec::new());
    eventually("the packet comes", || {
        let mut batch = FrameBatch::default();
        here.rx[0].receive(&mut pool, &mut batch);
        got.extend(batch.drain().map(|(_, f)| f).filter(|f| f.len() > 3000));
        !got.is_empty()
    });
    assert_eq!(got[0].offload(), sent.offload());
    assert!(got[0].frame() == sent.frame());
}

#[test]
fn tcp_through_tagging_devices() {
    sandboxed!();
    guest("a", "va", "10.9.0.1");
    guest("b", "vb", "10.9.0.2");
    for (ns, addr) in [("a", "10.0.0.1"), ("b", "10.0.0.2")] {
        let add = Command::new("ip")
            .args(["-n", ns, "link", "add", "link", "eth0", "name", "v5", "type", "vlan", "id", "5"])
            .output()
            .unwrap();
        if !add.status.success() {
            skip!("no VLAN devices here: {}", String::from_utf8_lossy(&add.stderr).trim());
        }
        run(&format!("ip -n {ns} addr add {addr}/24 dev v5"));
        run(&format!("ip -n {ns} link set v5 up"));
    }
    let d = devices();
    let wire = Wire::between(&d.system().open("va").unwrap(), &d.system().open("vb").unwrap());
    tcp("a", "b", "10.0.0.2", 5_000_000);
    let seen = &wire.seen;
    assert!(seen.get(|s| &s.tagged) > 50, "{} tagged", seen.get(|s| &s.tagged));
    assert!(seen.get(|s| &s.largest) > 5_000, "largest frame {}", seen.get(|s| &s.largest));
}

#[test]
fn a_tap_talks_to_a_veth_both_ways() {
    sandboxed!();
    if let Err(e) = File::options().read(true).write(true).open("/dev/net/tun") {
        skip!("no TAP device here: {e}");
    }
    an_internal_port_talks_both_ways("tun");
}

#[test]
fn an_internal_port_without_tap_talks_both_ways() {
    sandboxed!();
    run("mount -t tmpfs tmpfs /dev/net");
    let links = an_internal_port_talks_both_ways("veth");
    assert!(!links.contains("ovsint"), "the pair outlived its port: {links}");
}

#[test]
fn a_pair_that_was_left_behind_is_used_again() {
    sandboxed!();
    run("mount -t tmpfs tmpfs /dev/net");
    let d = devices();
    let internal = d.internal().open("br0").unwrap();
    let before = internal.ifindex();
    // As a killed daemon would.
    std::mem::forget(internal);
    let d = devices();
    let again = d.internal().open("br0").unwrap();
    assert_eq!(again.ifindex(), before);
    run("ip link add foreign type veth peer name other");
    let refused = d.internal().open("foreign").err().unwrap();
    assert_eq!(refused.to_string(), "File exists");
}

/// Hands an internal port that is in another namespace to other devices, as to another process.
fn an_internal_port_is_handed_over() {
    guest("a", "va", "10.0.0.1");
    run("ip netns add b");
    let old = devices();
    let internal = old.internal().open("br0").unwrap();
    run("ip link set br0 netns b");
    run("ip -n b addr add 10.0.0.2/24 dev br0");
    run("ip -n b link set br0 up");
    let queues = internal.queues().unwrap();
    let fd = queues.rx[0].fd().unwrap().try_clone_to_owned().unwrap();
    let next = devices();
    next.give("br0", vec![fd]);
    let (taken, va) = (next.internal().open("br0").unwrap(), next.system().open("va").unwrap());
    old.leave();
    drop((queues, internal, old));
    let wire = Wire::between(&taken, &va);
    tcp("a", "b", "10.0.0.2", 1_000_000);
    tcp("b", "a", "10.0.0.1", 1_000_000);
    drop((wire, taken));
    eventually("it goes with its port", || {
        let out = Command::new("ip").args(["-n", "b", "link", "show", "br0"]).output().unwrap();
        !out.status.success()
    });
}

#[test]
fn a_tap_in_another_namespace_is_handed_over() {
    sandboxed!();
    if let Err(e) = File::options().read(true).write(true).open("/dev/net/tun") {
        skip!("no TAP device here: {e}");
    }
    an_internal_port_is_handed_over();
}

#[test]
fn a_pair_in_place_of_tap_is_handed_over() {
    sandboxed!();
    run("mount -t tmpfs tmpfs /dev/net");
    an_internal_port_is_handed_over();
}

/// Moves an internal port into a namespace, as scripts do, and sends TCP both ways; returns the links left at the end.
fn an_internal_port_talks_both_ways(driver: &str) -> String {
    guest("a", "va", "10.0.0.1");
    run("ip netns add b");
    let d = devices();
    let internal = d.internal().open("br0").unwrap();
    assert_eq!(internal.kind(), "internal");
    internal.set_mac("aa:bb:cc:00:00:01".parse().unwrap()).unwrap();
    assert_eq!(internal.mac().unwrap().to_string(), "aa:bb:cc:00:00:01");
    internal.set_mtu(1400).unwrap();
    assert_eq!(internal.mtu(), Ok(1400));
    internal.set_mtu(1500).unwrap();
    assert_eq!(internal.status()["driver_name"], driver);
    run("ip link set br0 netns b");
    run("ip -n b addr add 10.0.0.2/24 dev br0");
    run("ip -n b link set br0 up");
    let wire = Wire::between(&d.system().open("va").unwrap(), &internal);
    tcp("a", "b", "10.0.0.2", 5_000_000);
    tcp("b", "a", "10.0.0.1", 5_000_000);
    let seen = &wire.seen;
    assert!(seen.get(|s| &s.largest) > 20_000, "largest frame {}", seen.get(|s| &s.largest));
    // In another namespace only our own end can be counted.
    let stats = internal.stats().unwrap();
    assert!(stats.rx_bytes > Some(5_000_000) && stats.tx_bytes > Some(5_000_000), "{stats:?}");
    drop((wire, internal));
    String::from_utf8(Command::new("ip").arg("link").output().unwrap().stdout).unwrap()
}

#[test]
fn who_waits_for_a_device_that_is_down_sleeps() {
    sandboxed!();
    guest("a", "va", "10.0.0.1");
    let va = devices().system().open("va").unwrap();
    let mut queues = va.queues().unwrap();
    let (mut pool, mut batch) = (BufferPool::new(), FrameBatch::default());
    let mut is_woken = |queues: &mut netdev::Queues| {
        let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = [PollFd::from_borrowed_fd(queues.rx[0].fd().unwrap(), PollFlags::IN)];
        let woken = poll(&mut fds, Some(&now)).unwrap() != 0;
        queues.rx[0].receive(&mut pool, &mut batch);
        batch.drain().for_each(drop);
        woken
    };
    va.set_admin_state(AdminState::Down).unwrap();
    assert!(is_woken(&mut queues), "the kernel tells");
    eventually("nobody is woken any more", || (0..100).all(|_| !is_woken(&mut queues)));
}

#[test]
fn a_device_that_returns_carries_traffic_again() {
    sandboxed!();
    guest("a", "va", "10.0.0.1");
    guest("b", "vb", "10.0.0.2");
    let d = devices();
    let (va, vb) = (d.system().open("va").unwrap(), d.system().open("vb").unwrap());
    let _wire = Wire::between(&va, &vb);
    tcp("a", "b", "10.0.0.2", 100_000);
    run("ip link del vb");
    run("ip netns del b");
    eventually("the loss is seen", || vb.mtu().is_err());
    assert_eq!(vb.mtu().unwrap_err().to_string(), "No such device");
    assert!(!vb.carrier());
    guest("b", "vb", "10.0.0.2");
    eventually("the return is seen", || vb.carrier());
    tcp("a", "b", "10.0.0.2", 100_000);
}

#[test]
fn state_is_the_kernels_and_follows_it() {
    sandboxed!();
    guest("a", "va", "10.0.0.1");
    let d = devices();
    assert_eq!(d.system().open("nope").err().unwrap().to_string(), "No such device");
    let va = d.system().open("va").unwrap();
    let seq = va.change_seq();
    assert_eq!(va.admin_state(), Ok(AdminState::Up));
    eventually("carrier", || va.carrier());
    va.set_mtu(1400).unwrap();
    assert_eq!(va.mtu(), Ok(1400));
    assert_ne!(va.change_seq(), seq);
    va.set_mac("02:00:00:00:00:07".parse().unwrap()).unwrap();
    assert_eq!(va.mac().unwrap().to_string(), "02:00:00:00:00:07");
    assert_eq!(va.set_mtu(1).unwrap_err().to_string(), "Invalid argument");
    run("ip -n a link set eth0 down");
    eventually("no carrier", || !va.carrier());
    assert!(va.carrier_resets() > 0);
    va.set_admin_state(AdminState::Down).unwrap();
    assert_eq!(va.admin_state(), Ok(AdminState::Down));
    assert_eq!(va.status()["driver_name"], "veth");
    assert_eq!(va.link_features().speed_mbps, 10_000);
    let names: Vec<String> = va.stats().unwrap().iter().map(|(name, _)| name.to_owned()).collect();
    assert!(names.iter().any(|n| n == "rx_missed_errors") && names.len() == 13, "{names:?}");
}

/// A datagram from a UDP port, as far as its headers go.
fn datagram(port: u16) -> Vec<u8> {
    let ip = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    let udp = [&port.to_be_bytes()[..], &[0, 7, 0, 8, 0, 0]].concat();
    [&[0xff; 6][..], &[2, 0, 0, 0, 0, 9, 8, 0], &ip, &udp].concat()
}

#[test]
fn a_tap_has_as_many_queues_as_it_is_told() {
    const FLOWS: u16 = 256;
    sandboxed!();
    if let Err(e) = File::options().read(true).write(true).open("/dev/net/tun") {
        skip!("no TAP device here: {e}");
    }
    run("sysctl -q -w net.ipv6.conf.default.disable_ipv6=1");
    let d = devices();
    let tap = d.internal().open("tap0").unwrap();
    let ask = |n: &str| tap.set_options(&[("n_rxq".to_owned(), n.to_owned())].into());
    assert!(ask("0").is_err() && ask("65").is_err() && ask("x").is_err());
    assert_eq!((tap.wanted_queues().rx, tap.config().len()), (1, 0));
    ask("3").unwrap();
    assert_eq!((tap.wanted_queues().rx, &tap.config()["n_rxq"]), (3, &"3".to_owned()));
    let mut queues = tap.queues().unwrap();
    assert_eq!(queues.rx.len(), 3);
    assert!(tap.queues().is_none(), "they are taken");
    tap.set_admin_state(AdminState::Up).unwrap();
    let mut sender = devices().system().open("tap0").unwrap().queues().unwrap();
    let (mut pool, mut batch) = (BufferPool::new(), FrameBatch::default());
    for port in 0..FLOWS {
        batch.push(PacketMeta::default(), pool.copy_of(&datagram(port)).unwrap()).unwrap();
        assert_eq!(sender.tx[0].transmit(&mut pool, &mut batch).total(), 0);
    }
    let mut got = [0; 3];
    for (rx, got) in queues.rx.iter_mut().zip(&mut got) {
        while rx.receive(&mut pool, &mut batch) != 0 {
            let frames = batch.drain().map(|(_, frame)| frame).collect::<Vec<_>>();
            *got += frames.iter().filter(|f| f.frame().get(12..14) == Some(&[8, 0])).count();
        }
    }
    assert_eq!(got.iter().sum::<usize>(), FLOWS.into(), "{got:?}");
    assert!(got.iter().all(|n| *n > 0), "{got:?}");
    // The device stays when all of its queues are given back, and has one again.
    drop(queues);
    ask("1").unwrap();
    assert_eq!(tap.queues().unwrap().rx.len(), 1);
}

#[test]
fn without_locked_memory_a_ring_is_refused_and_said_why() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    sandboxed!();
    guest("a", "va", "10.0.0.1");
    let d = devices();
    let status = || {
        let va = d.afxdp_nonpmd().open("va").unwrap();
        let _queues = va.queues().unwrap();
        va.status()
    };
    if let Some(why) = status().get("xdp-error") {
        skip!("no AF_XDP here: {why}");
    }
    // Who may lock as much as he likes has no limit.
    let mut own = capabilities(None).unwrap();
    own.effective.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, own).unwrap();
    let maximum = getrlimit(Resource::Memlock).maximum;
    setrlimit(Resource::Memlock, Rlimit { current: Some(64 << 10), maximum }).unwrap();
    let refused = status();
    assert_eq!(refused["xdp-mode"], "af-packet");
    let why = "the 65536 kB that packets of all ports lie in are locked, and RLIMIT_MEMLOCK allows 64 kB";
    assert!(refused["xdp-error"].contains(why), "{refused:?}");
}
