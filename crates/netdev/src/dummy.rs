//! Dummy devices: ports in memory that tests feed and watch.
//!
//! Where it sits: opened through [`DummyDevices`] when a daemon runs with `--enable-dummy`; the `netdev-dummy/*`
//! commands reach a device by its name.
//!
//! A packet given to [`DummyNetdev::feed`] waits in a bounded queue until the host polls the device. Neither admin
//! state nor carrier stops packets, as in Open vSwitch; only the MTU does.
//!
//! Spec: ovs-vswitchd(8) and drop-in.md 6.

mod class;
mod queues;

use std::collections::VecDeque;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wire::EthAddr;

use crate::device::{AdminState, Netdev, Options, Polling, QueueCounts, Queues};
use crate::pcap::PcapWriter;
use crate::{Frame, NetdevError, NetdevStats};

pub use class::DummyDevices;

/// Packets that wait in a receive queue at most; more are lost.
const RX_QUEUE_MAX: usize = 100;
/// Queues of each kind at most.
const MAX_QUEUES: u32 = 1024;
/// The type that poll-mode threads poll.
const PMD_KIND: &str = "dummy-pmd";
/// The MTU of a fresh device.
const DEFAULT_MTU: u32 = 1500;

/// Gives milliseconds since 1970: the stamp of captured packets.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Why a packet could not be fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedError {
    /// The device has no such receive queue.
    BadQueue,
}

impl std::fmt::Display for FeedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bad rx queue id.")
    }
}

impl std::error::Error for FeedError {}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    packets: u64,
    bytes: u64,
}

impl Count {
    fn add(&mut self, len: usize) {
        self.packets += 1;
        self.bytes += len as u64;
    }
}

/// A receive queue: what waits in it, and what was taken from it.
#[derive(Default)]
struct Waiting {
    frames: VecDeque<Frame>,
    count: Count,
    /// The end of a pair whose other end becomes readable when a packet arrives: a poll-mode thread's alarm.
    alarm: Option<Arc<UnixStream>>,
}

impl Waiting {
    fn ring(&self) {
        if let Some(mut alarm) = self.alarm.as_deref() {
            // An alarm that takes no more is ringing.
            let _ = alarm.write(&[1]);
        }
    }
}

/// Which packets a capture file gets.
#[derive(Default)]
struct Captures {
    options: (Option<String>, Option<String>),
    tx: Option<Arc<Mutex<PcapWriter>>>,
    rx: Option<Arc<Mutex<PcapWriter>>>,
}

struct State {
    mac: EthAddr,
    mtu: u32,
    admin: AdminState,
    carrier_resets: u64,
    seq: u64,
    ifindex: u32,
    numa_id: u32,
    counts: QueueCounts,
    /// Receive queues, as many as were asked for; what waits beyond the last that is polled stays there.
    rx: Vec<Waiting>,
    /// Receive queues that are taken out.
    taken: usize,
    tx: Count,
    captures: Captures,
    in4: Vec<(Ipv4Addr, u8)>,
    in6: Vec<(Ipv6Addr, u8)>,
}

/// A dummy device.
pub struct DummyNetdev {
    name: String,
    kind: String,
    state: Arc<Mutex<State>>,
    wall: WallClock,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DummyNetdev {
    fn new(name: &str, kind: &str, mac: EthAddr, wall: WallClock) -> DummyNetdev {
        let state = State {
            mac,
            mtu: DEFAULT_MTU,
            admin: AdminState::Up,
            carrier_resets: 0,
            seq: 1,
            ifindex: 0,
            numa_id: 0,
            counts: QueueCounts::default(),
            rx: vec![Waiting::default()],
            taken: 0,
            tx: Count::default(),
            captures: Captures::default(),
            in4: Vec::new(),
            in6: Vec::new(),
        };
        DummyNetdev { name: name.to_owned(), kind: kind.to_owned(), state: Arc::new(Mutex::new(state)), wall }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Lets a packet arrive on receive queue `qid`. A full queue loses it, silently, as a wire would.
    pub fn feed(&self, qid: u32, frame: Frame) -> Result<(), FeedError> {
        let mut s = self.state();
        let queue = s.rx.get_mut(qid as usize).ok_or(FeedError::BadQueue)?;
        if queue.frames.len() < RX_QUEUE_MAX {
            queue.frames.push_back(frame);
            queue.ring();
        }
        Ok(())
    }

    /// Gives the device an IPv4 address with a prefix length.
    pub fn add_in4(&self, addr: Ipv4Addr, prefix: u8) {
        let mut s = self.state();
        s.in4.push((addr, prefix));
        s.seq += 1;
    }

    /// Gives the device an IPv6 address with a prefix length.
    pub fn add_in6(&self, addr: Ipv6Addr, prefix: u8) {
        let mut s = self.state();
        s.in6.push((addr, prefix));
        s.seq += 1;
    }

    /// Its IPv4 addresses.
    pub fn in4(&self) -> Vec<(Ipv4Addr, u8)> {
        self.state().in4.clone()
    }

    /// Its IPv6 addresses.
    pub fn in6(&self) -> Vec<(Ipv6Addr, u8)> {
        self.state().in6.clone()
    }
}

impl Netdev for DummyNetdev {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        &self.kind
    }

    fn queues(&self) -> Option<Queues> {
        queues::take(&self.state, &self.wall, self.polling())
    }

    fn wanted_queues(&self) -> QueueCounts {
        self.state().counts
    }

    fn polling(&self) -> Polling {
        if self.kind == PMD_KIND { Polling::Dedicated } else { Polling::Waiting }
    }

    fn numa_id(&self) -> u32 {
        self.state().numa_id
    }

    fn config(&self) -> Options {
        let s = self.state();
        let mut config = Options::new();
        if s.ifindex != 0 {
            config.insert("ifindex".to_owned(), s.ifindex.to_string());
        }
        if self.polling() == Polling::Dedicated {
            config.insert("n_rxq".to_owned(), s.counts.rx.to_string());
            config.insert("n_txq".to_owned(), s.counts.tx.to_string());
            config.insert("numa_id".to_owned(), s.numa_id.to_string());
        }
        config
    }

    fn mac(&self) -> Result<EthAddr, NetdevError> {
        Ok(self.state().mac)
    }

    fn set_mac(&self, mac: EthAddr) -> Result<(), NetdevError> {
        let mut s = self.state();
        if s.mac != mac {
            s.mac = mac;
            s.seq += 1;
        }
        Ok(())
    }

    fn mtu(&self) -> Result<u32, NetdevError> {
        Ok(self.state().mtu)
    }

    fn set_mtu(&self, mtu: u32) -> Result<(), NetdevError> {
        let mut s = self.state();
        if s.mtu != mtu {
            s.mtu = mtu;
            s.seq += 1;
        }
        Ok(())
    }

    fn admin_state(&self) -> Result<AdminState, NetdevError> {
        Ok(self.state().admin)
    }

    fn set_admin_state(&self, state: AdminState) -> Result<(), NetdevError> {
        let mut s = self.state();
        if s.admin != state {
            s.admin = state;
            s.seq += 1;
        }
        Ok(())
    }

    fn carrier(&self) -> bool {
        self.state().admin == AdminState::Up
    }

    fn carrier_resets(&self) -> u64 {
        self.state().carrier_resets
    }

    fn ifindex(&self) -> u32 {
        self.state().ifindex
    }

    fn stats(&self) -> Result<NetdevStats, NetdevError> {
        let s = self.state();
        let mut custom = vec![("rx_custom_packets_1".to_owned(), 0), ("rx_custom_packets_2".to_owned(), 0)];
        let mut rx = Count::default();
        for (q, queue) in s.rx.iter().enumerate() {
            custom.push((format!("rx_q{q}_packets"), queue.count.packets));
            custom.push((format!("rx_q{q}_bytes"), queue.count.bytes));
            rx.packets += queue.count.packets;
            rx.bytes += queue.count.bytes;
        }
        custom.push(("tx_q0_packets".to_owned(), s.tx.packets));
        custom.push(("tx_q0_bytes".to_owned(), s.tx.bytes));
        Ok(NetdevStats {
            rx_packets: Some(rx.packets),
            rx_bytes: Some(rx.bytes),
            tx_packets: Some(s.tx.packets),
            tx_bytes: Some(s.tx.bytes),
            custom,
            ..NetdevStats::default()
        })
    }

    fn set_options(&self, options: &Options) -> Result<(), NetdevError> {
        let number =
            |key: &str, default: u32| options.get(key).and_then(|v| v.parse().ok()).unwrap_or(default);
        let mut s = self.state();
        s.ifindex = number("ifindex", 0);
        s.numa_id = number("numa_id", 0);
        s.counts = QueueCounts {
            rx: number("n_rxq", 1).clamp(1, MAX_QUEUES),
            tx: number("n_txq", 1).clamp(1, MAX_QUEUES),
        };
        let wanted = s.counts.rx as usize;
        let keep = wanted.max(s.taken);
        s.rx.resize_with(keep, Waiting::default);
        let wanted = (options.get("pcap").cloned(), options.get("tx_pcap").cloned());
        if s.captures.options != wanted {
            s.captures = Captures::open(wanted, options.get("rxq_pcap").cloned());
        }
        Ok(())
    }

    fn change_seq(&self) -> u64 {
        self.state().seq
    }

    fn as_dummy(&self) -> Option<&DummyNetdev> {
        Some(self)
    }
}

impl Captures {
    /// `pcap` takes both directions, `tx_pcap` and `rxq_pcap` one each; without `pcap` both of those may be given.
    fn open(wanted: (Option<String>, Option<String>), rxq_pcap: Option<String>) -> Captures {
        let (mut tx, mut rx) = (None, None);
        if let Some(both) = wanted.0.as_deref().and_then(open_capture) {
            tx = Some(both.clone());
            rx = Some(both);
        } else {
            tx = wanted.1.as_deref().and_then(open_capture).or(tx);
            rx = rxq_pcap.as_deref().and_then(open_capture).or(rx);
        }
        Captures { options: wanted, tx, rx }
    }
}

/// A capture file that cannot be opened costs its packets, not the port.
fn open_capture(path: &str) -> Option<Arc<Mutex<PcapWriter>>> {
    match PcapWriter::append(Path::new(path)) {
        Ok(writer) => Some(Arc::new(Mutex::new(writer))),
        Err(e) => {
            let why = NetdevError::from(e);
            log::warn!(target: "pcap", "{path}: failed to open pcap file for appending ({why})");
            None
        }
    }
}

#[cfg(test)]
mod tests;
