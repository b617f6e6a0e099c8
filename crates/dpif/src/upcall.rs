//! Upcalls: packets that the datapath cannot decide, and the switch's answers.
//!
//! Where it sits: the switch implements [`UpcallHandler`]; a host calls it from the thread that has the packet.

use datapath::{FlowInfo, FlowPut};
use odp::Action;
use packet::Now;

use crate::Upcall;

/// Who answers upcalls. Called from several threads at once.
pub trait UpcallHandler: Send + Sync {
    /// Decides about a packet.
    fn handle(&self, upcall: &Upcall, now: Now) -> Verdict;

    /// Is told of a megaflow that made way for another, with its last statistics.
    fn evicted(&self, _flow: &FlowInfo) {}

    /// True if it has taken the upcall away, to be answered later by commands; [`UpcallHandler::handle`] is not called
    /// then, and the packet is the handler's copy.
    fn take(&self, _upcall: &Upcall) -> bool {
        false
    }
}

/// What is to become of a packet, and of those like it.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What to do with this packet; nothing drops it.
    pub actions: Vec<Action>,
    /// The megaflow that decides about those like it; its actions may differ (a packet on the slow path is sent to
    /// the switch again). Installed before the packet is executed.
    pub megaflow: Option<FlowPut>,
}
