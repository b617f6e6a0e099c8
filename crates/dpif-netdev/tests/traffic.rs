//! The host over real devices, in namespaces of their own: TCP with every offload left on, a switch that sleeps when
//! idle, devices that vanish and return.
//!
//! Where it sits: beside the crate it tests. The upcall handler is the simplest one there is: what comes in by one port
//! goes out by the other.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use datapath::{FlowPut, PutMode};
use dpif::{Dpif, Upcall, UpcallHandler, Verdict};
use dpif_netdev::{Class, DpifNetdev, Setup};
use flow::{Match, slot};
use netdev::Registry;
use netdev_linux::LinuxDevices;
use odp::{Action, Ufid};
use packet::{Instant, Now, OdpPort};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use testkit::{sandboxed, skip};

fn run(line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let out = Command::new(words[0]).args(&words[1..]).output().expect("iproute2 is there");
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A namespace `ns` with one end, `eth0`, of a veth pair whose other end is `port` here.
fn guest(ns: &str, port: &str, addr: &str) {
    run(&format!("ip netns add {ns}"));
    run(&format!("ip link add {port} type veth peer name eth0 netns {ns}"));
    run(&format!("ip link set {port} up"));
    let last = addr.rsplit('.').next().unwrap();
    run(&format!("ip -n {ns} link set eth0 address 02:00:00:00:01:0{last} up"));
    run(&format!("ip -n {ns} addr add {addr}/24 dev eth0"));
}

/// Runs `f` on a thread inside the namespace `ns`.
fn inside<T: Send + 'static>(ns: &str, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let file = File::open(format!("/run/netns/{ns}")).expect("the namespace was made");
    std::thread::spawn(move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        f()
    })
}

/// What comes in by one of two ports goes out by the other.
struct Cross(AtomicUsize);

impl UpcallHandler for Cross {
    fn handle(&self, upcall: &Upcall, _now: Now) -> Verdict {
        self.0.fetch_add(1, Ordering::Relaxed);
        let from = upcall.meta.in_port;
        let actions = vec![Action::Output(OdpPort(3 - from.0))];
        let mut matched = Match::ANY;
        matched.set_exact(slot::recirc_id, 0);
        matched.set_exact(slot::in_port, u128::from(from.0));
        let ufid = Ufid(u128::from(from.0));
        let megaflow = FlowPut { ufid, matched, actions: actions.clone(), mode: PutMode::CreateOrModify };
        Verdict { actions, megaflow: Some(megaflow) }
    }
}

struct Switch {
    dpif: Arc<DpifNetdev>,
    upcalls: Arc<Cross>,
}

fn switch() -> Switch {
    let wanted: Arc<std::sync::OnceLock<std::sync::Weak<DpifNetdev>>> = Arc::default();
    let to_wake = wanted.clone();
    let devices = LinuxDevices::new(Arc::new(move || {
        if let Some(dpif) = to_wake.get().and_then(std::sync::Weak::upgrade) {
            dpif.links_changed();
        }
    }))
    .unwrap();
    let mut registry = Registry::new();
    registry.register("system", devices.system());
    registry.register("tap", devices.tap());
    let dpif = DpifNetdev::open(Setup {
        class: Class::Netdev,
        registry: Arc::new(registry),
        clock: Arc::new(|| Now { mono: Instant::from_millis(1), wall_ms: 0 }),
        cores: Arc::new(dpif_netdev::Cores::pretended("0,0")),
        config: datapath::Config::default(),
    });
    let dpif = Arc::new(dpif.unwrap());
    wanted.set(Arc::downgrade(&dpif)).unwrap();
    let upcalls = Arc::new(Cross(AtomicUsize::new(0)));
    dpif.set_upcall_handler(Some(upcalls.clone()));
    Switch { dpif, upcalls }
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
        let to = SocketAddr::new(addr.parse().unwrap(), 5001);
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(20)).unwrap();
        stream.write_all(&data).unwrap();
    });
    sending.join().unwrap();
    listening.join().unwrap();
}

/// Sends a datagram and waits for its echo.
fn udp(client: &str, server: &str, addr: &'static str) {
    let (ready, at) = std::sync::mpsc::channel();
    let echo = inside(server, move || {
        let socket = UdpSocket::bind((addr, 5002)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        ready.send(()).unwrap();
        let mut buffer = [0; 2000];
        let (n, from) = socket.recv_from(&mut buffer).unwrap();
        socket.send_to(&buffer[..n], from).unwrap();
    });
    at.recv().unwrap();
    let asking = inside(client, move || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.send_to(&[9; 1200], (addr, 5002)).unwrap();
        let mut buffer = [0; 2000];
        assert_eq!(socket.recv(&mut buffer).unwrap(), 1200);
    });
    asking.join().unwrap();
    echo.join().unwrap();
}

/// Nanoseconds that the polling thread has run, and how often it was put on a processor.
fn polling_thread() -> (u64, u64) {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|e| e.unwrap().path());
    let thread = tasks
        .into_iter()
        .find(|t| std::fs::read_to_string(t.join("comm")).is_ok_and(|c| c.trim() == "ports"));
    let text = std::fs::read_to_string(thread.expect("the thread runs").join("schedstat")).unwrap();
    let n: Vec<u64> = text.split_whitespace().map(|w| w.parse().unwrap()).collect();
    (n[0], n[2])
}

#[test]
fn tcp_and_udp_pass_and_then_the_switch_sleeps() {
    sandboxed!();
    guest("a", "va", "10.0.0.1");
    guest("b", "vb", "10.0.0.2");
    let s = switch();
    assert_eq!(s.dpif.name(), "netdev@ovs-netdev");
    assert_eq!(s.dpif.add_port("va", "system", None), Ok(OdpPort(1)));
    assert_eq!(s.dpif.add_port("vb", "system", None), Ok(OdpPort(2)));
    tcp("a", "b", "10.0.0.2", 20_000_000);
    tcp("b", "a", "10.0.0.1", 5_000_000);
    udp("a", "b", "10.0.0.2");
    let stats = s.dpif.stats();
    assert_eq!(s.upcalls.0.load(Ordering::Relaxed), 2);
    assert_eq!(stats.flows, 2);
    // As super-packets the transfer takes a fraction of the 17,000 packets that fit the wire.
    assert!(stats.hits < 10_000, "{} packets", stats.hits);
    let drops: u64 = stats.drops.iter().map(|(_, n)| n).sum();
    assert_eq!(drops, 0, "{:?}", stats.drops);
    // Neighbour discovery has ended by then; what is left is a stray packet.
    std::thread::sleep(Duration::from_millis(1500));
    let before = polling_thread();
    std::thread::sleep(Duration::from_millis(500));
    let after = polling_thread();
    assert!(after.1 - before.1 < 20, "woken {} times while idle", after.1 - before.1);
}

#[test]
fn a_vanished_device_costs_nothing_and_returns() {
    sandboxed!();
    guest("a", "va", "10.0.0.1");
    guest("b", "vb", "10.0.0.2");
    let s = switch();
    s.dpif.add_port("va", "system", None).unwrap();
    s.dpif.add_port("vb", "system", None).unwrap();
    tcp("a", "b", "10.0.0.2", 100_000);
    run("ip link del vb");
    run("ip netns del b");
    std::thread::sleep(Duration::from_millis(1200));
    let before = polling_thread();
    std::thread::sleep(Duration::from_millis(500));
    let after = polling_thread();
    assert!(after.1 - before.1 < 20, "woken {} times by a device that is gone", after.1 - before.1);
    guest("b", "vb", "10.0.0.2");
    tcp("a", "b", "10.0.0.2", 100_000);
}

#[test]
fn a_tap_port_lives_as_long_as_its_port() {
    sandboxed!();
    guest("a", "va", "10.0.0.1");
    let s = switch();
    s.dpif.add_port("va", "system", None).unwrap();
    if let Err(e) = s.dpif.add_port("br0", "internal", None) {
        skip!("no TAP device here: {e}");
    }
    let shown = dpif::text::show(&*s.dpif, dpif::text::Counters::Without);
    assert!(
        shown.ends_with("port 0: ovs-netdev (tap)\n  port 1: va (system)\n  port 2: br0 (tap)\n"),
        "{shown}"
    );
    run("ip netns add b");
    run("ip link set br0 netns b");
    run("ip -n b addr add 10.0.0.2/24 dev br0");
    run("ip -n b link set br0 up");
    tcp("a", "b", "10.0.0.2", 5_000_000);
    tcp("b", "a", "10.0.0.1", 5_000_000);
    s.dpif.del_port(OdpPort(2)).unwrap();
    let left = Command::new("ip").args(["-n", "b", "-o", "link", "show", "br0"]).output().unwrap();
    assert!(!left.status.success(), "{}", String::from_utf8_lossy(&left.stdout));
    for _ in 0..20 {
        let number = s.dpif.add_port("br0", "internal", None).unwrap();
        s.dpif.del_port(number).unwrap();
    }
    drop(s);
    let left = Command::new("ip").args(["-o", "link"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&left.stdout).contains("ovs-netdev"));
}
