//! The switch's answer to what it has, beside its requests: which of the two is newer.
//!
//! Where it sits: the extension asks at FilterRestart and when the switch gets active; requests come at any time, also between
//! the arrays that make up one answer.
//!
//! ~~~text
//! moment ─► question ─► answer ─► learn      what a request has told is known: the answer says nothing of it
//!               ▲ requests                   what went, or changed unknown, has moved the moment: asked again
//! ~~~
//!
//! Spec: rule 33 of the contract: a request about what exists already is an update, and arrays say what is not known yet.

use alloc::vec::Vec;

use super::{NicId, NoMemory, Ports};
use crate::platform::Snapshot;

/// A time at which the switch may be asked what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(u64);

/// Why an answer was not taken over whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unlearned {
    /// Something went or changed since it was asked for: the switch has to be asked again.
    Outdated,
    /// Memory was short.
    NoMemory,
}

impl From<NoMemory> for Unlearned {
    fn from(NoMemory: NoMemory) -> Unlearned {
        Unlearned::NoMemory
    }
}

impl Ports {
    /// Something was told that answers under way may not know, and that is not kept.
    pub(super) fn outdate_answers(&mut self) {
        self.untold = self.untold.wrapping_add(1);
    }

    /// When the switch is about to be asked: for [`Ports::learn`].
    pub(crate) fn moment(&self) -> Moment {
        Moment(self.untold)
    }

    /// Takes over what the switch answered that is not known yet, of all that was asked for since `moment`. `now` has room for
    /// each adapter, and gets those that are connected.
    pub(crate) fn learn(
        &mut self,
        moment: Moment,
        Snapshot { ports, policies, nics, .. }: Snapshot,
        now: &mut Vec<NicId>,
    ) -> Result<(), Unlearned> {
        if moment != self.moment() {
            return Err(Unlearned::Outdated);
        }
        for port in ports.into_iter().filter(|p| !p.validation) {
            let id = port.id;
            if self.port(id).is_none() {
                self.create_port(port)?;
                self.port_created(id, true);
            }
        }
        for (port, policy) in policies {
            self.policies.learn(port, policy)?;
        }
        for (nic, connected) in nics {
            let id = nic.id;
            if self.nic(id).is_some() {
                continue;
            }
            self.create_nic(nic)?;
            self.nic_created(id, true);
            if connected && self.connect_nic(id) {
                now.push(id);
            }
        }
        Ok(())
    }
}
