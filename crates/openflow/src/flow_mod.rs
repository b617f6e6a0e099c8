//! A request to add, change or delete flows, free of version.
//!
//! Where it sits: made by the flow-mod decoder and by `text/flow.rs`; encoded by the flow-mod encoder; carried out by
//! `ofproto`.

use flow::Match;

use crate::{Action, OfpPort};

/// What a flow mod does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FlowModCommand {
    /// Adds a flow, replacing one of the same match and priority.
    Add = 0,
    /// Changes the actions of all matching flows.
    Modify = 1,
    /// Changes the actions of the flow of exactly this match and priority.
    ModifyStrict = 2,
    /// Deletes all matching flows.
    Delete = 3,
    /// Deletes the flow of exactly this match and priority.
    DeleteStrict = 4,
}

impl FlowModCommand {
    /// The command with this number on the wire.
    pub const fn from_wire(n: u8) -> Option<FlowModCommand> {
        match n {
            0 => Some(FlowModCommand::Add),
            1 => Some(FlowModCommand::Modify),
            2 => Some(FlowModCommand::ModifyStrict),
            3 => Some(FlowModCommand::Delete),
            4 => Some(FlowModCommand::DeleteStrict),
            _ => None,
        }
    }
}

bitflags::bitflags! {
    /// Flags of a flow mod and of the flow that it makes.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct FlowModFlags: u16 {
        /// Tell the controller when the flow goes (any version).
        const SEND_FLOW_REM = 1 << 0;
        /// Refuse a flow that overlaps another of the same priority (any version).
        const CHECK_OVERLAP = 1 << 1;
        /// For emergencies only (OpenFlow 1.0; not supported by switches).
        const EMERG = 1 << 2;
        /// Zero the counters (OpenFlow 1.2 and later).
        const RESET_COUNTS = 1 << 3;
        /// Do not count packets (OpenFlow 1.3 and later).
        const NO_PKT_COUNTS = 1 << 4;
        /// Do not count bytes (OpenFlow 1.3 and later).
        const NO_BYT_COUNTS = 1 << 5;
    }
}

/// A request to add, change or delete flows.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowMod {
    /// What to do.
    pub command: FlowModCommand,
    /// The table, or 255: any (or, when adding, the first).
    pub table_id: u8,
    /// The priority.
    pub priority: u16,
    /// What packets to match.
    pub matcher: Match,
    /// Only flows whose cookie agrees in the bits of `cookie_mask` are changed or deleted.
    pub cookie: u64,
    /// See `cookie`; zero: any flow.
    pub cookie_mask: u64,
    /// The cookie to give to added and changed flows; all-ones: leave it.
    pub new_cookie: u64,
    /// A change may change the cookie, too.
    pub modify_cookie: bool,
    /// Seconds without packets until the flow goes; zero: never.
    pub idle_timeout: u16,
    /// Seconds until the flow goes; zero: never.
    pub hard_timeout: u16,
    /// Flags.
    pub flags: FlowModFlags,
    /// The smaller, the sooner evicted.
    pub importance: u16,
    /// A packet held by the switch to send through, or all-ones.
    pub buffer_id: u32,
    /// Deletes only flows with an output to this port; `NONE`: any.
    pub out_port: OfpPort,
    /// Deletes only flows with this group; all-ones: any.
    pub out_group: u32,
    /// What to do with matching packets.
    pub actions: Vec<Action>,
}

impl FlowMod {
    /// The priority of a flow whose text names none.
    pub const DEFAULT_PRIORITY: u16 = 0x8000;
    /// No packet held by the switch.
    pub const NO_BUFFER: u32 = u32::MAX;
    /// Any group.
    pub const ANY_GROUP: u32 = u32::MAX;
    /// Any table.
    pub const ANY_TABLE: u8 = 255;

    /// A mod of everything, with nothing else asked for.
    pub fn new(command: FlowModCommand) -> FlowMod {
        FlowMod {
            command,
            table_id: FlowMod::ANY_TABLE,
            priority: FlowMod::DEFAULT_PRIORITY,
            matcher: Match::ANY,
            cookie: 0,
            cookie_mask: 0,
            new_cookie: 0,
            modify_cookie: false,
            idle_timeout: 0,
            hard_timeout: 0,
            flags: FlowModFlags::empty(),
            importance: 0,
            buffer_id: FlowMod::NO_BUFFER,
            out_port: OfpPort::NONE,
            out_group: FlowMod::ANY_GROUP,
            actions: Vec::new(),
        }
    }
}
