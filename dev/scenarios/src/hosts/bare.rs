//! The bare core: one worker, packets in memory.
//!
//! Where it sits: the host with the least around the datapath; what fails here is the core's fault.

use datapath::{Command, CommandError, Datapath, PlainHost, Reply, UpcallKind, Worker};
use odp::Action;
use packet::{BATCH, Batch, DropReason, FlatPacket, Instant, Now, OdpPort, PacketBuf, PacketMeta};

use crate::{Host, Passed};

/// A datapath with one worker.
pub struct Core {
    datapath: Datapath,
    worker: Worker<FlatPacket>,
    ports: Vec<u32>,
    now: Now,
    deaf: bool,
}

impl Core {
    /// An empty datapath with these ports.
    pub fn new(ports: &[u32]) -> Core {
        let now = Now { mono: Instant::from_millis(0), wall_ms: 0 };
        let datapath = Datapath::try_new(&super::config()).expect("memory");
        let worker = Worker::try_new(1).expect("memory");
        let core = Core { datapath, worker, ports: ports.into(), now, deaf: false };
        core.maintain();
        core
    }

    /// New connections must find memory in the next batch.
    fn maintain(&self) {
        self.datapath.conntrack().maintain(self.now, 64);
    }

    /// Adds what a batch led to.
    fn collect(&mut self, passed: &mut Passed) {
        let mut lost = 0;
        for (port, packet) in self.worker.egress().transmits() {
            if self.ports.contains(&port.0) {
                passed.out.push((port.0, packet.frame().to_vec()));
            } else {
                lost += 1;
            }
        }
        self.datapath.count_drops(DropReason::InvalidPort, lost);
        let mut unheard = 0;
        for up in self.worker.egress().upcalls() {
            if self.deaf {
                unheard += 1;
                continue;
            }
            passed.up.push((up.meta.in_port.0, up.packet.head().to_vec(), up.kind == UpcallKind::Miss));
        }
        self.datapath.count_lost(unheard);
        self.maintain();
    }
}

fn packet((port, frame): (u32, Vec<u8>)) -> (PacketMeta, FlatPacket) {
    let meta = PacketMeta { in_port: OdpPort(port), ..PacketMeta::default() };
    (meta, FlatPacket::try_from_frame(&frame).expect("memory"))
}

impl Host for Core {
    fn name(&self) -> &'static str {
        "the bare core"
    }

    fn set_time(&mut self, ms: u64) {
        self.now = Now { mono: Instant::from_millis(ms), wall_ms: ms };
    }

    fn limit_connections(&mut self, most: u32, zone: Option<u16>) {
        super::limit_connections(self.datapath.conntrack(), most, zone);
    }

    fn deafen(&mut self) {
        self.deaf = true;
    }

    fn apply(&mut self, command: Command<'_>) -> Result<Reply, CommandError> {
        self.datapath.apply(command)
    }

    fn receive(&mut self, packets: Vec<(u32, Vec<u8>)>) -> Passed {
        let mut passed = Passed::default();
        for part in packets.chunks(BATCH) {
            let mut batch = Batch::default();
            for one in part {
                let (meta, buf) = packet(one.clone());
                batch.push(meta, buf).expect("there is room");
            }
            self.worker.process(&self.datapath, &mut PlainHost::without_routes(), self.now, &mut batch);
            self.collect(&mut passed);
        }
        passed
    }

    fn execute(&mut self, one: (u32, Vec<u8>), actions: &[Action]) -> Result<Passed, CommandError> {
        odp::validate(actions).map_err(CommandError::InvalidActions)?;
        self.worker.execute(&self.datapath, &mut PlainHost::without_routes(), self.now, packet(one), actions);
        let mut passed = Passed::default();
        self.collect(&mut passed);
        Ok(passed)
    }
}
