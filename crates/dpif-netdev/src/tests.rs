//! The host over dummy ports: order, upcalls, counters, numbers; no clock but the test's.

mod balance;
mod losses;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use datapath::{FlowPut, PutMode, UpcallKind};
use dpif::{Dpif, DpifError, Upcall, UpcallHandler, Verdict, text};
use flow::{Match, slot};
use netdev::dummy::DummyDevices;
use netdev::{BufferPool, Frame, Registry};
use odp::{Action, Ufid, Userspace};
use packet::{DropReason, Instant, Now, OdpPort, PacketMeta};

use crate::poller::Poller;
use crate::ports::{PortEntry, Settings};
use crate::show::Details;
use crate::{Class, Cores, DpifNetdev, Setup};

struct Bench {
    dpif: DpifNetdev,
    dummies: DummyDevices,
    now_ms: Arc<AtomicU64>,
}

fn bench() -> Bench {
    bench_of(|_| {})
}

/// A datapath whose devices may also be what `more` registers.
fn bench_of(more: impl FnOnce(&mut Registry)) -> Bench {
    let dummies = DummyDevices::new(Arc::new(|| 0));
    let mut registry = Registry::new();
    for kind in ["dummy", "dummy-internal", "dummy-pmd"] {
        registry.register(kind, dummies.opener(kind));
    }
    more(&mut registry);
    let now_ms = Arc::new(AtomicU64::new(5000));
    let clock = now_ms.clone();
    let dpif = DpifNetdev::open(Setup {
        class: Class::Dummy,
        registry: Arc::new(registry),
        clock: Arc::new(move || Now {
            mono: Instant::from_millis(clock.load(Ordering::Relaxed)),
            wall_ms: 0,
        }),
        config: datapath::Config::default(),
        cores: Arc::new(Cores::pretended("0,0")),
    })
    .unwrap();
    for name in ["p1", "p2"] {
        dpif.add_port(name, "dummy", None).unwrap();
    }
    Bench { dpif, dummies, now_ms }
}

fn frame(tag: u8) -> Frame {
    let mut f = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, tag, 0x12, 0x34];
    f.resize(60, tag);
    Frame::try_from_frame(&f).unwrap()
}

impl Bench {
    fn feed(&self, port: &str, tags: &[u8]) {
        self.dummies.receive(port, 0, tags.iter().map(|t| frame(*t)).collect()).unwrap();
        self.dpif.poll_ports();
    }

    fn counts(&self, port: &str) -> (u64, u64) {
        let number = self.dpif.port_by_name(port).unwrap().number;
        let s = self.dpif.port_stats(number).unwrap();
        (s.rx_packets.unwrap(), s.tx_packets.unwrap())
    }
}

/// Matches an input port and, if wanted, the last byte of the source address.
fn matching(port: u32, tag: Option<u8>) -> Match {
    let mut m = Match::ANY;
    m.set_exact(slot::recirc_id, 0);
    m.set_exact(slot::in_port, u128::from(port));
    if let Some(tag) = tag {
        m.set_exact(slot::eth_src, u128::from(u64::from(tag) | 0x0200_0000_0000));
    }
    m
}

/// Answers with an output, and remembers which packets asked.
struct Recorder {
    seen: Mutex<Vec<(UpcallKind, u8)>>,
    actions: Vec<Action>,
    /// The megaflow's match for a packet's tag.
    install: fn(u8) -> Option<Match>,
}

impl Recorder {
    fn new(actions: Vec<Action>, install: fn(u8) -> Option<Match>) -> Arc<Recorder> {
        Arc::new(Recorder { seen: Mutex::default(), actions, install })
    }

    fn tags(&self) -> Vec<u8> {
        self.seen.lock().unwrap().iter().map(|(_, tag)| *tag).collect()
    }
}

impl UpcallHandler for Recorder {
    fn handle(&self, upcall: &Upcall, _now: Now) -> Verdict {
        let tag = upcall.packet.frame()[11];
        self.seen.lock().unwrap().push((upcall.kind.clone(), tag));
        let megaflow = (self.install)(tag).map(|matched| FlowPut {
            ufid: Ufid(u128::from(tag) + 1),
            matched,
            actions: self.actions.clone(),
            mode: PutMode::CreateOrModify,
        });
        Verdict { actions: self.actions.clone(), megaflow }
    }
}

#[test]
fn a_fed_packet_has_left_when_the_call_returns() {
    let b = bench();
    let handler = Recorder::new(vec![Action::Output(OdpPort(2))], |_| Some(matching(1, None)));
    b.dpif.set_upcall_handler(Some(handler.clone()));
    b.feed("p1", &[1]);
    assert_eq!((b.counts("p1"), b.counts("p2")), ((1, 0), (0, 1)));
    b.feed("p1", &[2, 3]);
    assert_eq!(b.counts("p2"), (0, 3));
    assert_eq!(handler.tags(), [1]);
    let stats = b.dpif.stats();
    assert_eq!((stats.hits, stats.misses, stats.lost, stats.flows), (2, 1, 0, 1));
}

#[test]
fn a_megaflow_answers_for_the_rest_of_the_batch_that_brought_it() {
    let b = bench();
    let handler = Recorder::new(vec![Action::Output(OdpPort(2))], |tag| Some(matching(1, Some(tag))));
    b.dpif.set_upcall_handler(Some(handler.clone()));
    b.feed("p1", &[1, 1, 2, 1, 2, 2]);
    assert_eq!(handler.tags(), [1, 2]);
    assert_eq!(b.counts("p2"), (0, 6));
}

#[test]
fn packets_leave_in_the_order_in_which_they_came() {
    let dir = testkit::Scratch::new();
    let file = dir.join("tx");
    let b = bench();
    let p2 = b.dpif.netdev(OdpPort(2)).unwrap();
    p2.set_options(&[("tx_pcap".to_owned(), file.to_str().unwrap().to_owned())].into()).unwrap();
    let handler =
        Recorder::new(vec![Action::Output(OdpPort(2))], |tag| (tag == 2).then(|| matching(1, Some(2))));
    b.dpif.set_upcall_handler(Some(handler));
    let tags: Vec<u8> = (0..90).map(|i| if i % 3 == 0 { 3 } else { i }).collect();
    b.feed("p1", &tags);
    let bytes = std::fs::read(file).unwrap();
    let sent: Vec<u8> = bytes[24..].chunks(76).map(|record| record[16 + 11]).collect();
    assert_eq!(sent, tags);
}

#[test]
fn without_a_handler_upcalls_are_lost_and_counted() {
    let b = bench();
    b.feed("p1", &[1, 2]);
    let stats = b.dpif.stats();
    assert_eq!((stats.misses, stats.lost, stats.drops.get(DropReason::UpcallLost)), (2, 2, 2));
}

#[test]
fn a_packet_that_always_comes_back_ends() {
    let b = bench();
    let again = Action::Userspace(Box::new(Userspace {
        pid: 0,
        userdata: vec![7],
        tunnel_out_port: None,
        actions: false,
    }));
    let handler = Recorder::new(vec![again], |_| None);
    b.dpif.set_upcall_handler(Some(handler.clone()));
    b.feed("p1", &[1]);
    let n = handler.tags().len();
    assert!((2..100).contains(&n), "{n} upcalls");
    assert_eq!(b.dpif.stats().drops.get(DropReason::RecircLimit), 1);
}

#[test]
fn what_cannot_be_sent_is_counted() {
    let b = bench();
    let handler = Recorder::new(vec![Action::Output(OdpPort(99)), Action::Output(OdpPort(2))], |_| None);
    b.dpif.set_upcall_handler(Some(handler));
    b.feed("p1", &[1]);
    assert_eq!(b.counts("p2"), (0, 1));
    assert_eq!(b.dpif.stats().drops.get(DropReason::InvalidPort), 1);
    let long = BufferPool::new().copy_of(&[2; 1600]).unwrap();
    b.dpif.execute(PacketMeta::default(), long, &[Action::Output(OdpPort(2))]).unwrap();
    assert_eq!(b.dpif.stats().drops.get(DropReason::MtuExceeded), 1);
}

#[test]
fn ports_come_and_go() {
    let b = bench();
    let add = |name: &str, wanted| b.dpif.add_port(name, "dummy", wanted);
    assert_eq!(b.dpif.add_port("br0", "internal", None), Ok(OdpPort(100)));
    assert_eq!(add("p1", None), Err(DpifError::Exists));
    assert_eq!(add("x", Some(OdpPort(1))), Err(DpifError::Busy));
    assert_eq!(add("x", Some(OdpPort(7))), Ok(OdpPort(7)));
    let unknown = b.dpif.add_port("y", "nope", None).unwrap_err();
    assert_eq!(unknown.to_string(), "Address family not supported by protocol");
    assert_eq!(b.dpif.del_port(OdpPort(7)), Ok(()));
    assert_eq!(b.dpif.del_port(OdpPort(7)), Err(DpifError::NoPort));
    assert!(b.dummies.find("x").is_none(), "a removed port's device is closed");
    assert_eq!(add("x", Some(OdpPort(7))), Ok(OdpPort(7)));
}

#[test]
fn show_and_dump_read_as_they_should() {
    let b = bench();
    let handler = Recorder::new(vec![Action::Output(OdpPort(2))], |_| Some(matching(1, None)));
    b.dpif.set_upcall_handler(Some(handler));
    b.feed("p1", &[1]);
    b.feed("p1", &[1]);
    b.now_ms.fetch_add(1250, Ordering::Relaxed);
    assert_eq!(
        text::show(&b.dpif, text::Counters::Without),
        "dummy@ovs-dummy:\n  lookups: hit:1 missed:1 lost:0\n  flows: 1\n  port 0: ovs-dummy (dummy-internal)\n  \
         port 1: p1 (dummy)\n  port 2: p2 (dummy)\n"
    );
    let dump = text::dump_flows(&b.dpif, b.now_ms.load(Ordering::Relaxed));
    assert_eq!(
        dump,
        "flow-dump from the main thread:\nrecirc_id(0),in_port(1), packets:1, bytes:60, used:1.250s, actions:2\n"
    );
}

#[test]
fn housekeeping_is_due_by_the_given_clock() {
    let b = bench();
    let due = b.dpif.housekeep();
    assert_eq!(due, Instant::from_millis(6000));
    b.now_ms.store(5999, Ordering::Relaxed);
    assert_eq!(b.dpif.housekeep(), due);
    b.now_ms.store(6000, Ordering::Relaxed);
    assert_eq!(b.dpif.housekeep(), Instant::from_millis(7000));
}

#[test]
fn a_handler_may_use_the_datapath() {
    struct Reentrant(std::sync::Weak<DpifNetdev>);
    impl UpcallHandler for Reentrant {
        fn handle(&self, upcall: &Upcall, _now: Now) -> Verdict {
            let dpif = self.0.upgrade().unwrap();
            dpif.execute(upcall.meta, upcall.packet.clone(), &[Action::Output(OdpPort(2))]).unwrap();
            assert_eq!(dpif.ports().len(), 3);
            Verdict::default()
        }
    }
    let Bench { dpif, dummies, now_ms } = bench();
    let dpif = Arc::new(dpif);
    dpif.set_upcall_handler(Some(Arc::new(Reentrant(Arc::downgrade(&dpif)))));
    dummies.receive("p1", 0, vec![frame(1)]).unwrap();
    dpif.poll_ports();
    assert_eq!(dpif.port_stats(OdpPort(2)).unwrap().tx_packets, Some(1));
    drop(now_ms);
}

/// Waits for another thread to have done something.
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let patience = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec + 20;
    while !done() {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec;
        assert!(now < patience, "{what}");
        std::thread::yield_now();
    }
}

fn keys(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

impl Bench {
    /// A port with four queues, for poll-mode threads, that forwards to `p2`.
    fn with_rings(&self) -> OdpPort {
        let number = self.dpif.add_port("r7", "dummy-pmd", None).unwrap();
        self.dpif.netdev(number).unwrap().set_options(&keys(&[("n_rxq", "4")])).unwrap();
        let handler = Recorder::new(vec![Action::Output(OdpPort(2))], |_| Some(matching(7, None)));
        self.dpif.set_upcall_handler(Some(handler));
        self.dpif.set_config(&keys(&[]));
        self.dpif.reconfigure();
        number
    }
}

#[test]
fn queues_move_between_threads_under_traffic_without_loss() {
    let b = bench();
    let ring = b.with_rings();
    let mut fed = 0;
    for round in 0..40 {
        for queue in 0..4 {
            b.dummies.receive("r7", queue, (0..20).map(frame).collect()).unwrap();
            fed += 20;
        }
        // Threads come and go, queues go there and back, while packets are on their way.
        let mask = ["3", "1", "2"][round % 3];
        b.dpif
            .set_config(&keys(&[("pmd-cpu-mask", mask), ("pmd-rxq-assign", ["cycles", "group"][round % 2])]));
        b.dpif.reconfigure();
        eventually("all queues run dry", || b.counts("r7").0 == fed);
    }
    eventually("everything has left", || b.counts("p2").1 == fed);
    let stats = b.dpif.stats();
    assert_eq!(stats.lost, 0);
    assert_eq!(stats.drops.iter().map(|(_, n)| n).sum::<u64>(), 0);
    b.dpif.del_port(ring).unwrap();
    b.dpif.reconfigure();
    assert_eq!(b.dpif.pmd_cores(), [0; 0]);
}

#[test]
fn more_and_fewer_queues_are_polled_as_the_device_has_them() {
    let b = bench();
    let ring = b.with_rings();
    let device = b.dpif.netdev(ring).unwrap();
    for n in ["1", "6", "2"] {
        device.set_options(&keys(&[("n_rxq", n)])).unwrap();
        b.dpif.reconfigure();
        let before = b.counts("r7").0;
        let last = n.parse::<u32>().unwrap() - 1;
        b.dummies.receive("r7", last, vec![frame(1)]).unwrap();
        eventually("the last queue is polled", || b.counts("r7").0 == before + 1);
        assert_eq!(b.dpif.pmd_rxq_text(None, 60).matches("port: r7").count(), last as usize + 1);
    }
}

#[test]
fn a_pinned_queue_isolates_its_core() {
    let b = bench();
    let ring = b.with_rings();
    b.dpif.set_config(&keys(&[("pmd-cpu-mask", "3")]));
    b.dpif.set_port_config(ring, &keys(&[("pmd-rxq-affinity", "2:1")]));
    b.dpif.reconfigure();
    assert_eq!(
        b.dpif.pmd_rxq_text(None, 60),
        "Displaying last 60 seconds pmd usage %\n\
         pmd thread numa_id 0 core_id 0:\n  isolated : false\n  \
         port: r7                queue-id:  0 (enabled)   pmd usage: NOT AVAIL\n  \
         port: r7                queue-id:  1 (enabled)   pmd usage: NOT AVAIL\n  \
         port: r7                queue-id:  3 (enabled)   pmd usage: NOT AVAIL\n  overhead: NOT AVAIL\n\
         pmd thread numa_id 0 core_id 1:\n  isolated : true\n  \
         port: r7                queue-id:  2 (enabled)   pmd usage: NOT AVAIL\n  overhead: NOT AVAIL\n"
    );
    assert_eq!(b.dpif.pmd_rxq_text(Some(7), 60), "");
}

#[test]
fn usage_is_told_once_an_interval_is_over() {
    let b = bench();
    b.with_rings();
    b.now_ms.fetch_add(5100, Ordering::Relaxed);
    b.dummies.receive("r7", 0, vec![frame(1)]).unwrap();
    // A thread notices the time between rounds; each packet makes some hundred.
    eventually("the interval ends", || {
        b.dummies.receive("r7", 0, vec![frame(1)]).unwrap();
        !b.dpif.pmd_rxq_text(None, 5).contains("NOT AVAIL")
    });
    let text = b.dpif.pmd_rxq_text(None, 5);
    assert!(text.starts_with("Displaying last 5 seconds pmd usage %\n") && text.contains(" %\n  overhead: "));
}

#[test]
fn packets_wait_for_company_no_longer_than_they_may() {
    let b = bench();
    b.with_rings();
    b.dpif.set_config(&keys(&[("tx-flush-interval", "1000")]));
    b.dummies.receive("r7", 0, vec![frame(1)]).unwrap();
    eventually("it is received", || b.counts("r7").0 == 1);
    // The clock stands still: it waits. Then its time has come.
    std::thread::yield_now();
    assert_eq!(b.counts("p2").1, 0);
    b.now_ms.fetch_add(1, Ordering::Relaxed);
    eventually("it leaves", || b.counts("p2").1 == 1);
}

#[test]
fn a_lightly_loaded_thread_sleeps_if_it_may() {
    let b = bench();
    b.with_rings();
    b.dpif.set_config(&keys(&[("pmd-sleep-max", "0,0:40")]));
    assert_eq!(
        b.dpif.pmd_sleep_text(),
        "Default max sleep:    0 us\npmd thread numa_id 0 core_id 0:\n  max sleep:   40 us\n"
    );
    eventually("it slept", || {
        b.dummies.receive("r7", 0, vec![frame(1)]).unwrap();
        !b.dpif.pmd_perf_text(None, &Details::default()).contains("- sleep iterations:            0 ")
    });
}

#[test]
fn single_iterations_of_a_thread_are_told_while_they_are_measured() {
    let b = bench();
    b.with_rings();
    let details = Details { iterations: 3, millis: 2, ..Details::default() };
    let text = || b.dpif.pmd_perf_text(None, &details);
    b.dpif.set_config(&keys(&[("pmd-perf-metrics", "true")]));
    eventually("an iteration with a packet is counted", || {
        b.dummies.receive("r7", 0, vec![frame(1)]).unwrap();
        let bar = text().lines().find(|line| line.get(26..36) == Some("1         ")).map(str::to_owned);
        bar.is_some_and(|bar| bar.get(36..37) != Some("0"))
    });
    let rows = |shown: &str, head: &str| {
        let below = shown.lines().skip_while(|line| !line.starts_with(head));
        below.skip(1).take_while(|line| !line.is_empty()).count()
    };
    eventually("there are as many as asked for", || {
        b.dummies.receive("r7", 0, vec![frame(1)]).unwrap();
        rows(&text(), "   iter ") == 3
    });
    assert_eq!(rows(&text(), "   ms "), 1);
    b.dpif.set_config(&keys(&[]));
    assert!(!text().contains("Histograms"));
}

#[test]
fn who_waits_for_a_port_already_may_be_told_again() {
    let mut registry = Registry::new();
    registry.register("dummy-pmd", DummyDevices::new(Arc::new(|| 0)).opener("dummy-pmd"));
    let device = registry.open("p", "dummy-pmd").unwrap();
    let port = PortEntry::new(OdpPort(3), &*device, Settings::default()).unwrap();
    assert!(port.with_fd(0, |_| ()).is_some());
    let poller = Poller::new().unwrap();
    // The thread, woken by a change of links, may come before whoever adds the port.
    poller.add(&port, 0).unwrap();
    poller.add(&port, 0).unwrap();
    poller.remove(&port, 0);
    poller.remove(&port, 0);
    poller.add(&port, 0).unwrap();
}
