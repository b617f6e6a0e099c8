//! The datapath as the switch sees it: typed commands, upcalls, statistics.
//!
//! Where it sits: the switch drives a [`Dpif`] and answers its upcalls; `dpif-netdev` implements it in process,
//! `dpif-device` over the datapath's device. It knows no OpenFlow and no devices, has no threads and no clock.
//!
//! ~~~text
//!   switch ──── Dpif: ports, Command → Reply, execute ────► a host of the datapath
//!     ▲                                                        │
//!     └──── UpcallHandler::handle(upcall) → Verdict ◄───────────┘  on the thread that has the packet
//! ~~~
//!
//! Invariants
//! I1  An upcall is answered on the spot, so that packets of one flow keep their order.
//! I2  A handler may not call back into the host's ports: the host holds what it needs for its answer.
//!
//! Next: `dpif-netdev/src/lib.rs`, then the switch's upcall handler.

mod port;
pub mod text;
mod tracking;
mod upcall;

use std::collections::BTreeMap;
use std::sync::Arc;

use conntrack::{Conntrack, DumpCursor, Entry, Flush};
use datapath::{Command, CommandError, DropCounts, MeterInfo, Reply, Stats};
use odp::Action;
use packet::{FlatPacket, Now, OdpPort, PacketMeta};
use wire::EthAddr;

pub use port::{DpifError, Port, PortStats};
pub use tracking::{Tracking, TrackingError, ZoneLimits};
pub use upcall::{UpcallHandler, Verdict};

/// A packet on its way to the switch.
pub type Upcall = datapath::Upcall<FlatPacket>;

/// A datapath, wherever it runs.
pub trait Dpif: Send + Sync {
    /// Its type and name, as `dpctl/show` has them: `netdev@ovs-netdev`.
    fn name(&self) -> &str;

    /// True if the datapath finds the way to a tunnel's other end by itself, and takes headers off that are for its host:
    /// `set(tunnel(…))` and an output to the tunnel's port is all that it wants.
    fn routes_tunnels(&self) -> bool {
        false
    }

    /// True if the datapath has listeners of samples beside the switch (`psample`).
    fn samples_locally(&self) -> bool {
        false
    }

    /// Sets who answers upcalls; without one they are lost, and counted.
    fn set_upcall_handler(&self, handler: Option<Arc<dyn UpcallHandler>>);

    /// Opens the device `name` of type `kind` (as in `Interface.type`) and adds it as a port, under the number
    /// `wanted` if one is wanted.
    fn add_port(&self, name: &str, kind: &str, wanted: Option<OdpPort>) -> Result<OdpPort, DpifError>;

    /// Removes a port; its device is closed.
    fn del_port(&self, number: OdpPort) -> Result<(), DpifError>;

    /// Every port, by number.
    fn ports(&self) -> Vec<Port>;

    /// The port of a name.
    fn port_by_name(&self, name: &str) -> Option<Port> {
        self.ports().into_iter().find(|p| p.name == name)
    }

    /// Gives a port's device its options, as `Interface.options` has them.
    fn set_port_options(
        &self,
        _number: OdpPort,
        _options: &BTreeMap<String, String>,
    ) -> Result<(), DpifError> {
        Err(DpifError::Command(CommandError::NotSupported))
    }

    /// The Ethernet address of a port's device; zero if it has none.
    fn port_hw_addr(&self, _number: OdpPort) -> EthAddr {
        EthAddr::ZERO
    }

    /// A port's counters.
    fn port_stats(&self, number: OdpPort) -> Result<PortStats, DpifError>;

    /// Dropped packets of all ports.
    fn drops(&self) -> DropCounts {
        self.stats().drops
    }

    /// Dropped packets of a port: those that came in by it, and those that it could not send.
    fn port_drops(&self, _number: OdpPort) -> DropCounts {
        DropCounts::default()
    }

    /// Carries out a command about megaflows.
    fn apply(&self, command: Command<'_>) -> Result<Reply, CommandError>;

    /// Executes `actions` on a packet; the packet has left when this returns.
    fn execute(&self, meta: PacketMeta, packet: FlatPacket, actions: &[Action]) -> Result<(), CommandError>;

    /// What a meter counted; `None` if it is not there.
    fn meter_stats(&self, id: u32) -> Option<MeterInfo> {
        match self.apply(Command::GetMeter(id)) {
            Ok(Reply::Meter(info)) => Some(info),
            _ => None,
        }
    }

    /// The connection table, where it is in this process.
    fn conntrack(&self) -> Option<&Conntrack>;

    /// What says and sets how connections are tracked, wherever the table is; `None` if the datapath has none.
    fn tracking(&self) -> Option<&dyn Tracking> {
        self.conntrack().map(|table| -> &dyn Tracking { table })
    }

    /// Calls `each` with every connection of `zone`, or of all.
    fn for_each_connection(&self, now: Now, zone: Option<u16>, each: &mut dyn FnMut(&Entry)) {
        let Some(table) = self.conntrack() else { return };
        let mut cursor = DumpCursor::default();
        let mut part = [Entry::default(); 32];
        loop {
            let n = table.dump(now, &mut cursor, zone, &mut part);
            if n == 0 {
                return;
            }
            part.iter().take(n).for_each(&mut *each);
        }
    }

    /// Ends the connections of `zone`, or of all; returns how many that were, if it is known.
    fn flush_connections(&self, now: Now, zone: Option<u16>) -> Option<usize> {
        Some(self.conntrack()?.flush(now, &Flush { zone, orig: None }))
    }

    /// Ends the connections for which `wanted` says so; returns how many that were.
    fn flush_connections_if(&self, now: Now, wanted: &dyn Fn(&Entry) -> bool) -> usize {
        self.conntrack().map_or(0, |table| table.flush_if(now, wanted))
    }

    /// Totals.
    fn stats(&self) -> Stats {
        match self.apply(Command::Stats) {
            Ok(Reply::Stats(stats)) => stats,
            _ => Stats::default(),
        }
    }

    /// Calls `each` with every megaflow.
    fn for_each_flow(&self, each: &mut dyn FnMut(datapath::FlowInfo)) {
        /// Megaflows of one command: the table is locked no longer than that.
        const PART: usize = 256;
        let mut cursor = Some(0);
        while let Some(at) = cursor {
            cursor = match self.apply(Command::DumpFlows { cursor: at, max: PART }) {
                Ok(Reply::Flows { flows, next }) => {
                    flows.into_iter().for_each(&mut *each);
                    next
                }
                _ => None,
            };
        }
    }
}
