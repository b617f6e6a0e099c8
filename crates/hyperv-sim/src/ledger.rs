//! Ledgers: what exists, and whose it is.
//!
//! Where it sits: changed by the simulated functions; looked at when something is handed over, and at the end.

use std::collections::BTreeMap;

use switch_ext::NicId;

use crate::filter::Stage;

/// Whose a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The driver's: it was given to it, or it made it.
    Driver,
    /// The switch's: the driver sent it on.
    Switch,
}

/// What is known of a packet.
#[derive(Clone, Debug)]
pub(crate) struct PacketRecord {
    pub owner: Owner,
    /// The driver made it.
    pub made_by_driver: bool,
    /// It has a forwarding context.
    pub context: bool,
    /// Where it came from.
    pub source: NicId,
    /// Destinations that are committed.
    pub to: Vec<NicId>,
    /// The array that the driver may write to.
    pub array: Option<Box<crate::switch_functions::Destinations>>,
    /// The driver told why it ends.
    pub reported: bool,
    /// Everything that must be as it was when the packet comes back.
    pub print: Vec<u64>,
    /// The switch forwards it by itself.
    pub native: bool,
    /// Packets of the driver's that share its data were sent on.
    pub shared: bool,
    /// Where the module was in its life when it came.
    pub came: (Stage, usize),
}

/// Everything that exists.
#[derive(Default)]
pub(crate) struct Ledger {
    pub packets: BTreeMap<usize, PacketRecord>,
    pub mdls: BTreeMap<usize, usize>,
    pub pools: BTreeMap<usize, u32>,
    /// Packets of each pool that are out.
    pub from_pool: BTreeMap<usize, usize>,
    pub timers: BTreeMap<usize, crate::kernel::TimerRecord>,
    pub clones: BTreeMap<usize, usize>,
    /// References to ports.
    pub port_references: BTreeMap<u32, usize>,
    /// The device object.
    pub device: Option<crate::files::DeviceRecord>,
    /// Requests of user space that are not read back yet.
    pub irps: BTreeMap<usize, crate::files::IrpRecord>,
    /// The system's lock around cancelling is held.
    pub cancel_lock: bool,
    /// Blocks of the non-paged pool: size and tag.
    pub blocks: BTreeMap<usize, (usize, u32)>,
}

impl Ledger {
    /// What is left that should be gone.
    pub fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        let mut say = |what: &str, n: usize| {
            if n != 0 {
                leaks.push(format!("{n} {what}"));
            }
        };
        say("packets", self.packets.len());
        say("MDLs", self.mdls.len());
        say("packet pools", self.pools.len());
        say("timers", self.timers.len());
        say("cloned requests", self.clones.len());
        say("ports with references", self.port_references.len());
        say("devices", usize::from(self.device.is_some()));
        say("requests of user space", self.irps.len());
        say("pool blocks", self.blocks.len());
        leaks
    }
}
