//! The shared half of a datapath: what all workers and all commands see.
//!
//! Where it sits: made by the host, commanded by `dpif`, read by workers.

use ::core::sync::atomic::AtomicU32;
use alloc::boxed::Box;
use alloc::vec::Vec;

use conntrack::Conntrack;
use odp::{TunnelKind, Ufid};
use packet::{DropReason, OdpPort};
use sync::{Qsbr, RwSpin, SpinLock, try_box_with};

use crate::counters::{PortDrops, Totals};
use crate::flows::FlowTable;
use crate::meter::Meters;
use crate::{Command, CommandError, DropCounts, FlowPut, FlowStats, Reply, Stats};

/// Workers of a datapath at most, commands included.
const MAX_WORKERS: usize = 128;

/// Workers, each with what it has counted.
pub(crate) type Workers = Qsbr<Totals>;

/// How a datapath is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Seed of all hashes; random for each boot.
    pub seed: u64,
    /// Most megaflows: the table is made for so many, and holds as many unless told to hold fewer.
    pub flow_limit: usize,
    /// VLAN tags that are parsed (`other_config:vlan-limit`; 0 to 2).
    pub vlan_limit: u8,
    /// The connection table's set-up.
    pub conntrack: conntrack::Config,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 0,
            flow_limit: 200_000,
            vlan_limit: flow::DEFAULT_VLAN_LIMIT,
            conntrack: conntrack::Config::with_seed([0; 2]),
        }
    }
}

/// A datapath's shared tables.
pub struct Datapath {
    pub(crate) flows: Box<FlowTable>,
    pub(crate) workers: Workers,
    /// What others count: hosts, at ports and upcall queues.
    others: Totals,
    /// Drops by port.
    pub(crate) port_drops: SpinLock<PortDrops>,
    pub(crate) vlan_limit: u8,
    pub(crate) seed: u64,
    pub(crate) meters: RwSpin<Meters>,
    /// Sequence numbers of tunnels that have them.
    pub(crate) sequence: AtomicU32,
    pub(crate) tunnels: RwSpin<Tunnels>,
    pub(crate) bonds: RwSpin<Bonds>,
    conntrack: Conntrack,
}

impl Datapath {
    /// An empty datapath; `None` if memory is short.
    #[inline(never)]
    pub fn try_new(config: &Config) -> Option<Datapath> {
        let workers = Qsbr::try_new(MAX_WORKERS, Totals::try_new)?;
        Some(Datapath {
            flows: try_box_with(|| FlowTable::try_new(&workers, config.seed, config.flow_limit))?,
            workers,
            others: Totals::try_new()?,
            port_drops: SpinLock::new(PortDrops::try_new()?),
            vlan_limit: config.vlan_limit,
            seed: config.seed,
            meters: RwSpin::new(Meters::default()),
            sequence: AtomicU32::new(0),
            tunnels: RwSpin::new(Tunnels::default()),
            bonds: RwSpin::new(Bonds::default()),
            conntrack: Conntrack::new(&config.conntrack).ok()?,
        })
    }

    /// The connection table.
    pub fn conntrack(&self) -> &Conntrack {
        &self.conntrack
    }

    /// Counts packets that the host dropped, at a port or an upcall queue.
    pub fn count_drops(&self, reason: DropReason, n: u64) {
        self.others.drop(reason, n);
    }

    /// Counts packets that the host dropped on their way out of a port, or into it.
    pub fn count_port_drops(&self, port: OdpPort, reason: DropReason, n: u64) {
        self.port_drops.lock().add(port, reason, n);
    }

    /// Dropped packets of a port: those that came in by it, and those that it could not send.
    #[inline(never)]
    pub fn port_drops(&self, port: OdpPort) -> DropCounts {
        self.port_drops.lock().of(port)
    }

    /// Forgets what was dropped of a port that is gone.
    pub fn forget_port(&self, port: OdpPort) {
        self.port_drops.lock().forget(port);
    }

    /// Counts upcalls that the host lost.
    pub fn count_lost(&self, n: u64) {
        self.others.lose(n);
        self.others.drop(DropReason::UpcallLost, n);
    }

    /// What the workers that have had this slot ([`crate::Worker::slot`]) have counted.
    pub fn worker_stats(&self, slot: usize) -> Stats {
        let mut stats = Stats::default();
        if let Some(totals) = self.workers.locals().nth(slot) {
            totals.add_to(&mut stats);
        }
        stats
    }

    /// Gives a megaflow that was just made the counters that it had in another datapath; false if it is not there.
    pub fn restore_stats(&self, ufid: Ufid, stats: &FlowStats) -> bool {
        self.flows.credit(&self.workers, ufid, stats)
    }

    #[inline(never)]
    fn put(&self, put: &mut FlowPut) -> Result<Reply, CommandError> {
        self.flows.put(&self.workers, put)
    }

    #[inline(never)]
    fn stats(&self) -> Reply {
        let mut stats = Stats::default();
        self.others.add_to(&mut stats);
        self.workers.locals().for_each(|totals| totals.add_to(&mut stats));
        (stats.flows, stats.masks) = self.flows.counts(&self.workers);
        stats.evicted = self.flows.evicted();
        // These are no drops of workers: packets that go on, untracked; fragments that were held.
        let ct = self.conntrack.stats();
        stats.drops.add(DropReason::ConntrackFull, ct.full);
        stats.drops.add(DropReason::ConntrackZoneFull, ct.zone_full);
        stats.drops.add(DropReason::NatExhausted, ct.nat_exhausted);
        let fragments = self.conntrack.fragments();
        let purged = fragments.counts(false).purged + fragments.counts(true).purged;
        stats.drops.add(DropReason::FragmentExpired, purged);
        Reply::Stats(stats)
    }

    /// Carries out a command. Bounded; waits for other commands, and never for workers.
    pub fn apply(&self, command: Command<'_>) -> Result<Reply, CommandError> {
        match command {
            Command::PutFlow(put) => self.put(put),
            Command::DelFlow(ufid) => self.flows.remove(&self.workers, ufid),
            Command::GetFlow(ufid) => self.flows.get(&self.workers, ufid),
            Command::FindFlow(m) => self.flows.find(&self.workers, m),
            Command::LookupFlow(key) => self.flows.hit(&self.workers, key),
            Command::FlushFlows => self.flows.clear(&self.workers),
            Command::DumpFlows { cursor, max } => self.flows.dump(&self.workers, cursor, max),
            Command::Stats => Ok(self.stats()),
            Command::SetMeter { id, config } => self.meters.write().set(id, config).map(|()| Reply::Done),
            Command::GetMeter(id) => self.meters.read().get(id).map(Reply::Meter),
            Command::DelMeter(id) => self.meters.write().remove(id).map(Reply::Meter),
            Command::SetTunnel { port, kind } => self.tunnels.write().set(port, kind).map(|()| Reply::Done),
            Command::SetTunnelPorts { low, high } => {
                self.tunnels.write().ports = (low, high.max(low));
                Ok(Reply::Done)
            }
            Command::SetBond { id, members } => self.bonds.write().set(id, members).map(|()| Reply::Done),
            Command::DelBond(id) => self.bonds.write().remove(id).map(|()| Reply::Done),
            Command::SetFlowLimit(limit) => {
                self.flows.set_limit(limit);
                Ok(Reply::Done)
            }
            Command::SortMasks => self.flows.sort_masks(&self.workers),
        }
    }
}

/// Ports of tunnels: few, so that a list is fastest.
pub(crate) struct Tunnels {
    list: Vec<(OdpPort, TunnelKind)>,
    /// Lowest and highest UDP source port.
    pub ports: (u16, u16),
}

impl Default for Tunnels {
    fn default() -> Self {
        Tunnels { list: Vec::new(), ports: (32768, 61000) }
    }
}

impl Tunnels {
    fn set(&mut self, port: OdpPort, kind: Option<TunnelKind>) -> Result<(), CommandError> {
        self.list.retain(|(p, _)| *p != port);
        if let Some(kind) = kind {
            self.list.try_reserve(1).map_err(|_| CommandError::NoMemory)?;
            self.list.push((port, kind));
        }
        Ok(())
    }

    /// The protocol of a port.
    pub fn kind(&self, port: OdpPort) -> Option<TunnelKind> {
        self.list.iter().find(|(p, _)| *p == port).map(|(_, kind)| *kind)
    }

    /// The source port for a flow's hash.
    pub fn source_port(&self, hash: u32) -> u16 {
        let (low, high) = self.ports;
        let span = u64::from(high.saturating_sub(low));
        low.saturating_add(((u64::from(hash) * span) >> 32) as u16)
    }
}

/// Bonds by number.
#[derive(Default)]
pub(crate) struct Bonds(Vec<(u32, Vec<OdpPort>)>);

impl Bonds {
    fn set(&mut self, id: u32, members: &[OdpPort; 256]) -> Result<(), CommandError> {
        match self.0.iter_mut().find(|(n, _)| *n == id) {
            Some((_, old)) => old.copy_from_slice(members),
            None => {
                let mut list = Vec::new();
                list.try_reserve_exact(members.len()).map_err(|_| CommandError::NoMemory)?;
                list.extend_from_slice(members);
                self.0.try_reserve(1).map_err(|_| CommandError::NoMemory)?;
                self.0.push((id, list));
            }
        }
        Ok(())
    }

    fn remove(&mut self, id: u32) -> Result<(), CommandError> {
        let at = self.0.iter().position(|(n, _)| *n == id).ok_or(CommandError::NotFound)?;
        self.0.swap_remove(at);
        Ok(())
    }

    /// The member for a hash.
    pub fn member(&self, id: u32, hash: u32) -> Option<OdpPort> {
        let (_, members) = self.0.iter().find(|(n, _)| *n == id)?;
        members.get(usize::from(hash as u8)).copied()
    }
}
