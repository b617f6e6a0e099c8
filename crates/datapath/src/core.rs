//! The shared half of a datapath: what all workers and all commands see.
//!
//! Where it sits: made by the host, commanded by `dpif`, read by workers.

use conntrack::Conntrack;
use packet::DropReason;
use sync::RwSpin;

use crate::counters::{Tally, Totals};
use crate::flows::FlowTable;
use crate::{Command, CommandError, FlowPut, Reply};

/// How a datapath is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Seed of all hashes; random for each boot.
    pub seed: u64,
    /// Most megaflows.
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
    pub(crate) flows: RwSpin<FlowTable>,
    pub(crate) totals: Totals,
    pub(crate) vlan_limit: u8,
    pub(crate) seed: u64,
    conntrack: Conntrack,
}

impl Datapath {
    /// An empty datapath; `None` if memory is short.
    pub fn try_new(config: &Config) -> Option<Datapath> {
        Some(Datapath {
            flows: RwSpin::new(FlowTable::new(config.seed, config.flow_limit)),
            totals: Totals::default(),
            vlan_limit: config.vlan_limit,
            seed: config.seed,
            conntrack: Conntrack::new(&config.conntrack).ok()?,
        })
    }

    /// The connection table.
    pub fn conntrack(&self) -> &Conntrack {
        &self.conntrack
    }

    /// Counts packets that the host dropped, at a port or an upcall queue.
    pub fn count_drops(&self, reason: DropReason, n: u64) {
        self.totals.drop(reason, n);
    }

    /// Counts upcalls that the host lost.
    pub fn count_lost(&self, n: u64) {
        self.totals.take(&mut Tally { lost: n, ..Tally::default() });
        self.totals.drop(DropReason::UpcallLost, n);
    }

    #[inline(never)]
    fn put(&self, put: &mut FlowPut) -> Result<Reply, CommandError> {
        self.flows.write().put(put).map(|()| Reply::Done)
    }

    #[inline(never)]
    fn stats(&self) -> Reply {
        let mut stats = self.totals.read();
        let flows = self.flows.read();
        (stats.flows, stats.masks) = (flows.len() as u64, flows.masks() as u64);
        Reply::Stats(stats)
    }

    /// Carries out a command. Bounded; waits at most for the batches that workers have in hand.
    pub fn apply(&self, command: Command<'_>) -> Result<Reply, CommandError> {
        match command {
            Command::PutFlow(put) => self.put(put),
            Command::DelFlow(ufid) => self.flows.write().remove(ufid),
            Command::GetFlow(ufid) => self.flows.read().get(ufid),
            Command::FindFlow(m) => self.flows.read().find(m),
            Command::FlushFlows => {
                self.flows.write().clear();
                Ok(Reply::Done)
            }
            Command::DumpFlows { cursor, max } => self.flows.read().dump(cursor, max),
            Command::Stats => Ok(self.stats()),
            Command::SortMasks => {
                self.flows.write().sort_masks();
                Ok(Reply::Done)
            }
        }
    }
}
