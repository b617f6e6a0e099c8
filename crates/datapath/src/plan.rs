//! What a flow's actions come to for plain packets, worked out when they are installed.
//!
//! Where it sits: kept with the actions of each megaflow; the worker looks here first. What is not foreseen here is
//! interpreted by `execute.rs`, as all other packets are.
//!
//! Next: `quick.rs`, which follows a plan.

use alloc::vec::Vec;

use odp::Action;
use packet::OdpPort;

use crate::execute::tracked;
use crate::patch::Patch;

/// A flow's actions.
pub(crate) struct Program {
    pub list: Vec<Action>,
    pub plan: Plan,
}

/// What to do with a plain packet.
pub(crate) enum Plan {
    /// Whatever the list says.
    Interpret,
    /// Rewrite it; then send it on, or interpret the actions from the `then`-th on.
    Rewrite { patch: Patch, then: usize, output: Option<OdpPort> },
    /// Track it, and send it round again.
    Track(Track),
    /// Commit its connection in this zone, which does nothing where the connection is there, and send it on.
    Commit { zone: u16, output: OdpPort },
}

/// How to track a packet.
pub(crate) struct Track {
    pub action: conntrack::CtAction,
    /// The action changes nothing of a connection that is there.
    pub only_looks: bool,
    /// The id under which it is sent round again.
    pub recirc: u32,
}

impl Program {
    pub fn new(list: Vec<Action>) -> Program {
        let plan = Plan::of(&list);
        Program { list, plan }
    }
}

impl Plan {
    fn of(list: &[Action]) -> Plan {
        if let [Action::Ct(ct), Action::Recirc(id)] = list {
            let action = tracked(ct);
            return Plan::Track(Track { only_looks: action.only_looks(), action, recirc: *id });
        }
        if let [Action::Ct(ct), Action::Output(output)] = list
            && tracked(ct).only_looks()
        {
            return Plan::Commit { zone: ct.zone, output: *output };
        }
        let mut patch = Patch::default();
        let then = list.iter().take_while(|action| patch.add(action)).count();
        match list.get(then..) {
            None | Some([]) => Plan::Interpret,
            Some(_) if then == 0 => Plan::Interpret,
            Some([Action::Output(port)]) => Plan::Rewrite { patch, then, output: Some(*port) },
            Some(_) => Plan::Rewrite { patch, then, output: None },
        }
    }
}
