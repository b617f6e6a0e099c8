//! Dummy devices as their commands and their host see them.

use packet::{PacketBuf, PacketMeta};

use super::*;
use crate::{BufferPool, FrameBatch};

fn devices() -> DummyDevices {
    DummyDevices::new(Arc::new(|| 0))
}

fn frame(len: usize) -> Frame {
    Frame::try_from_frame(&vec![7; len]).unwrap()
}

#[test]
fn macs_count_up_and_a_name_is_one_device() {
    let d = devices();
    let a = d.opener("dummy").open("p1").unwrap();
    let b = d.opener("dummy").open("p2").unwrap();
    assert_eq!(a.mac().unwrap().to_string(), "aa:55:aa:55:00:00");
    assert_eq!(b.mac().unwrap().to_string(), "aa:55:aa:55:00:01");
    let again = d.opener("dummy").open("p1").unwrap();
    assert_eq!(again.mac(), a.mac());
    drop((a, again));
    assert!(d.find("p1").is_none() && d.find("p2").is_some());
}

#[test]
fn packets_move_and_are_counted_and_the_mtu_holds() {
    let d = devices();
    let p = d.opener("dummy").open("p1").unwrap();
    let (mut q, mut pool, mut batch) = (p.queues().unwrap(), BufferPool::new(), FrameBatch::default());
    assert!(p.queues().is_none());
    d.receive("p1", 0, vec![frame(60), frame(70)]).unwrap();
    assert_eq!(q.rx[0].receive(&mut pool, &mut batch), 2);
    assert_eq!(q.tx[0].transmit(&mut pool, &mut batch).total(), 0);
    for len in [1514, 1515] {
        batch.push(PacketMeta::default(), frame(len)).unwrap();
    }
    assert_eq!(q.tx[0].transmit(&mut pool, &mut batch), crate::TxDrops { mtu: 1, ..Default::default() });
    let stats = p.stats().unwrap();
    let shown: Vec<String> = stats.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        shown.join(" "),
        "rx_packets=2 tx_packets=3 rx_bytes=130 tx_bytes=1644 rx_custom_packets_1=0 rx_custom_packets_2=0 \
         rx_q0_packets=2 rx_q0_bytes=130 tx_q0_packets=3 tx_q0_bytes=1644"
    );
    drop(q);
    assert!(p.queues().is_some());
}

#[test]
fn the_receive_queue_is_bounded() {
    let d = devices();
    let p = d.opener("dummy").open("p1").unwrap();
    d.receive("p1", 0, (0..RX_QUEUE_MAX + 5).map(|_| frame(60)).collect()).unwrap();
    let (mut q, mut pool, mut got) = (p.queues().unwrap(), BufferPool::new(), 0);
    loop {
        let mut batch = FrameBatch::default();
        match q.rx[0].receive(&mut pool, &mut batch) {
            0 => break,
            n => got += n,
        }
    }
    assert_eq!(got, RX_QUEUE_MAX);
}

#[test]
fn commands_answer_in_the_known_words() {
    let d = devices();
    let p = d.opener("dummy").open("p1").unwrap();
    let err = |r: Result<String, String>| r.unwrap_err();
    assert_eq!(d.receive("p9", 0, vec![]).unwrap_err(), "no such dummy netdev");
    assert_eq!(d.receive("p1", 3, vec![frame(60)]).unwrap_err(), "bad rx queue id.");
    assert_eq!(err(d.set_admin_state(&["p1", "foo"])), "Invalid Admin State");
    assert_eq!(err(d.set_admin_state(&["nope", "down"])), "Unknown Dummy Interface");
    assert_eq!(d.set_admin_state(&["p1", "down"]).unwrap(), "OK");
    assert!(!p.carrier() && p.admin_state() == Ok(AdminState::Down));
    assert_eq!(d.set_admin_state(&["up"]).unwrap(), "OK");
    assert!(p.carrier());
    assert_eq!(d.conn_state(Some("p1")).unwrap(), "p1: unknown\n");
    assert_eq!(d.ip4addr("p1", "1.2.3.4/24").unwrap(), "OK");
    assert_eq!(err(d.ip4addr("p1", "foo")), "foo: invalid IP address");
    assert_eq!(d.find("p1").unwrap().in4(), [(Ipv4Addr::new(1, 2, 3, 4), 24)]);
}

#[test]
fn captures_take_what_their_option_says() {
    let dir = std::env::temp_dir().join(format!("netdev-dummy-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let d = devices();
    let both = d.opener("dummy").open("p1").unwrap();
    let tx = d.opener("dummy").open("p2").unwrap();
    both.set_options(&Options::from([("pcap".to_owned(), path("both"))])).unwrap();
    tx.set_options(&Options::from([("tx_pcap".to_owned(), path("tx"))])).unwrap();
    for p in [&both, &tx] {
        let (mut q, mut pool, mut batch) = (p.queues().unwrap(), BufferPool::new(), FrameBatch::default());
        p.as_dummy().unwrap().feed(0, frame(60)).unwrap();
        q.rx[0].receive(&mut pool, &mut batch);
        q.tx[0].transmit(&mut pool, &mut batch);
    }
    let len = |name: &str| std::fs::metadata(path(name)).unwrap().len();
    assert_eq!((len("both"), len("tx")), (24 + 2 * 76, 24 + 76));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn receive_takes_packets_and_flows() {
    let d = devices();
    let p = d.opener("dummy").open("p1").unwrap();
    let no_flow = |text: &str, _: Option<usize>| Err(format!("syntax error at {text}"));
    let hex = "505400000007505400000005080045";
    let err = |args: &[&str]| d.receive_command(args, no_flow).unwrap_err();
    assert_eq!(err(&["p9", hex]), "no such dummy netdev");
    assert_eq!(err(&["p1", "--qid", "3", hex]), "bad rx queue id.");
    assert_eq!(err(&["p1", hex, "00010203"]), "syntax error at 00010203");
    assert_eq!(err(&["p1", "--len", "100"]), "syntax error at --len");
    let (mut q, mut pool, mut batch) = (p.queues().unwrap(), BufferPool::new(), FrameBatch::default());
    assert_eq!(q.rx[0].receive(&mut pool, &mut batch), 0);
    let flow = |text: &str, len: Option<usize>| {
        if text == "flow" { Ok(vec![1; len.unwrap_or(14)]) } else { Err(String::new()) }
    };
    d.receive_command(&["p1", "--qid", "0", hex, "flow", "--len", "100", "flow"], flow).unwrap();
    assert_eq!(q.rx[0].receive(&mut pool, &mut batch), 3);
    let lens: Vec<usize> = batch.drain().map(|(_, f)| f.len()).collect();
    assert_eq!(lens, [15, 100, 14]);
}

#[test]
fn each_queue_is_fed_and_polled_for_itself() {
    let d = devices();
    let p = d.opener("dummy-pmd").open("p1").unwrap();
    let options = [("n_rxq", "3"), ("n_txq", "2"), ("numa_id", "1")];
    p.set_options(&options.map(|(k, v)| (k.to_owned(), v.to_owned())).into()).unwrap();
    assert_eq!((p.wanted_queues(), p.numa_id()), (QueueCounts { rx: 3, tx: 2 }, 1));
    let shown: Vec<String> = p.config().iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(shown.join(", "), "n_rxq=3, n_txq=2, numa_id=1");
    let (mut q, mut pool, mut batch) = (p.queues().unwrap(), BufferPool::new(), FrameBatch::default());
    assert_eq!((q.rx.len(), q.tx.len()), (3, 2));
    d.receive("p1", 2, vec![frame(60)]).unwrap();
    assert_eq!(d.receive("p1", 3, vec![frame(60)]).unwrap_err(), "bad rx queue id.");
    assert_eq!(q.rx[0].receive(&mut pool, &mut batch), 0);
    let mut alarm = q.rx[2].fd().map(|fd| UnixStream::from(fd.try_clone_to_owned().unwrap())).unwrap();
    let mut byte = [0];
    assert_eq!(std::io::Read::read(&mut alarm, &mut byte).unwrap(), 1, "the alarm rang");
    d.receive("p1", 2, vec![frame(60)]).unwrap();
    assert_eq!(q.rx[2].receive(&mut pool, &mut batch), 2);
    let silent = std::io::Read::read(&mut alarm, &mut byte).unwrap_err();
    assert_eq!(silent.kind(), std::io::ErrorKind::WouldBlock);
    p.set_options(&Options::from([("n_rxq".to_owned(), "1".to_owned())])).unwrap();
    q.rx.pop();
    assert!(p.queues().is_none(), "two are still out");
    q.rx.clear();
    assert_eq!(p.queues().unwrap().rx.len(), 1);
}
