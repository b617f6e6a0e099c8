//! `dpif-netdev` over dummy ports, whose captures say what left.
//!
//! Where it sits: the host that `ovs-vswitchd` runs, with its threads' code, queues and upcall handler, but the test's clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datapath::{Command, CommandError, Reply, UpcallKind};
use dpif::{Dpif, Upcall, UpcallHandler, Verdict};
use dpif_netdev::{Class, Cores, DpifNetdev, Setup};
use netdev::dummy::DummyDevices;
use netdev::{Frame, Registry};
use odp::Action;
use packet::{Instant, Now, OdpPort, PacketMeta};
use testkit::Scratch;

use crate::{Host, Passed};

/// A datapath with dummy ports.
pub struct DummyPorts {
    dpif: DpifNetdev,
    dummies: DummyDevices,
    now_ms: Arc<AtomicU64>,
    asked: Arc<Asked>,
    folder: Scratch,
    ports: Vec<u32>,
    /// Bytes of each capture that were read.
    read: BTreeMap<u32, usize>,
}

/// Remembers who asked, and answers nothing.
#[derive(Default)]
struct Asked(Mutex<Vec<(u32, Vec<u8>, bool)>>);

impl UpcallHandler for Asked {
    fn handle(&self, upcall: &Upcall, _now: Now) -> Verdict {
        let asked = (upcall.meta.in_port.0, upcall.packet.frame().to_vec(), upcall.kind == UpcallKind::Miss);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        Verdict::default()
    }
}

fn name(port: u32) -> String {
    format!("p{port}")
}

impl DummyPorts {
    /// A datapath with these ports.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn new(ports: &[u32]) -> DummyPorts {
        let dummies = DummyDevices::new(Arc::new(|| 0));
        let mut registry = Registry::new();
        for kind in ["dummy", "dummy-internal"] {
            registry.register(kind, dummies.opener(kind));
        }
        let now_ms = Arc::new(AtomicU64::new(0));
        let clock = now_ms.clone();
        let dpif = DpifNetdev::open(Setup {
            class: Class::Dummy,
            registry: Arc::new(registry),
            clock: Arc::new(move || {
                let ms = clock.load(Ordering::Relaxed);
                Now { mono: Instant::from_millis(ms), wall_ms: ms }
            }),
            config: super::config(),
            cores: Arc::new(Cores::pretended("0,0")),
        })
        .expect("a dummy datapath");
        let (folder, asked) = (Scratch::new(), Arc::new(Asked::default()));
        dpif.set_upcall_handler(Some(asked.clone()));
        for port in ports {
            dpif.add_port(&name(*port), "dummy", Some(OdpPort(*port))).expect("a dummy port");
            let file = folder.join(name(*port)).display().to_string();
            let options = [("tx_pcap".to_owned(), file)].into_iter().collect();
            let device = dpif.netdev(OdpPort(*port)).expect("just added");
            device.set_options(&options).expect("a dummy takes options");
        }
        DummyPorts { dpif, dummies, now_ms, asked, folder, ports: ports.into(), read: BTreeMap::new() }
    }

    fn collect(&mut self) -> Passed {
        let mut passed = Passed::default();
        for port in &self.ports {
            let bytes = std::fs::read(self.folder.join(name(*port))).expect("a capture");
            let read = self.read.entry(*port).or_insert(FILE_HEADER);
            while let Some(frame) = record(&bytes[*read..]) {
                *read += RECORD_HEADER + frame.len();
                passed.out.push((*port, frame.to_vec()));
            }
        }
        passed.up = std::mem::take(&mut *self.asked.0.lock().unwrap_or_else(PoisonError::into_inner));
        passed.unanswered = passed.up.len() as u64;
        passed
    }
}

/// Bytes before a capture's first record, and before each record's frame.
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// The frame of the first record.
fn record(bytes: &[u8]) -> Option<&[u8]> {
    let (_, rest) = bytes.split_at_checked(8)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    rest.get(4..)?.get(..u32::from_ne_bytes(*len) as usize)
}

fn frame(bytes: &[u8]) -> Frame {
    Frame::try_from_frame(bytes).expect("memory")
}

impl Host for DummyPorts {
    fn name(&self) -> &'static str {
        "dpif-netdev"
    }

    fn set_time(&mut self, ms: u64) {
        self.now_ms.store(ms, Ordering::Relaxed);
    }

    fn limit_connections(&mut self, most: u32, zone: Option<u16>) {
        super::limit_connections(Dpif::conntrack(&self.dpif).expect("it is in this process"), most, zone);
    }

    fn deafen(&mut self) {
        self.dpif.set_upcall_handler(None);
    }

    fn apply(&mut self, command: Command<'_>) -> Result<Reply, CommandError> {
        self.dpif.apply(command)
    }

    fn receive(&mut self, packets: Vec<(u32, Vec<u8>)>) -> Passed {
        for (port, bytes) in packets {
            self.dummies.receive(&name(port), 0, vec![frame(&bytes)]).expect("the port is there");
        }
        self.dpif.poll_ports();
        self.collect()
    }

    fn execute(&mut self, (port, bytes): (u32, Vec<u8>), actions: &[Action]) -> Result<Passed, CommandError> {
        let meta = PacketMeta { in_port: OdpPort(port), ..PacketMeta::default() };
        self.dpif.execute(meta, frame(&bytes), actions)?;
        Ok(self.collect())
    }
}
