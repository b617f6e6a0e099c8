//! Megaflows that the datapath has from an earlier life of the switch: kept, understood, and in the end judged like others.
//!
//! Where it sits: beside `revalidate`, which asks here about megaflows that it does not know.
//!
//! ~~~text
//!   Restoring ──rules are there──► Until(soon) ──► No          flow-restore-wait
//!                                  Until(aging) ─► No          learning switches: addresses are learned anew meanwhile
//!                                    └─ rules changed: soon
//! ~~~
//!
//! While flows are kept, the datapath goes on with what it was told. From `Until` on each is translated, so that its packets
//! count and teach; it is not changed before `No`. A recirculation id that it names stays: the state that its translation
//! freezes gets that id, so that the flows behind the id are understood as well.
//!
//! Spec: ovs-vswitchd.conf.db(5), `flow-restore-wait`.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use datapath::FlowInfo;
use odp::Action;
use odp::cookie::Cookie;
use openflow::OfpPort;
use packet::{Instant, Now};
use wire::EthAddr;
use xlate::{Frozen, Memory};

use crate::core::{Shared, Switch, View, ViewMemory, locked};
use crate::revalidate::Megaflow;
use crate::upcall::Batch;

/// How long flows are kept after rules were restored or changed: others that belong to them may be on their way.
const SETTLE: Duration = Duration::from_secs(2);

/// What is done with megaflows of an earlier life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// They are judged like others.
    #[default]
    No,
    /// They stay as they are: the rules are not there yet.
    Restoring,
    /// They stay as they are until then; their packets count.
    Until(Instant),
}

impl Switch {
    /// Says what is to be done with megaflows of an earlier life.
    pub fn keep_flows(&self, keep: Keep) {
        let before = std::mem::replace(&mut *locked(&self.shared.keep), keep);
        if before == Keep::No && keep != Keep::No {
            let mut ids = HashSet::new();
            self.dpif.for_each_flow(&mut |info| ids.extend(named_ids(&info.actions)));
            locked(&self.shared.recirc).reserve(ids);
        }
        if before == Keep::Restoring && keep == Keep::No {
            // The first pass after this learns addresses, the last one judges.
            *locked(&self.shared.keep) = Keep::Until(self.shared.last_time() + SETTLE);
        }
        self.shared.generation.fetch_add(1, Relaxed);
        self.shared.wake();
    }

    /// What is done with megaflows of an earlier life.
    pub fn keeps(&self) -> Keep {
        *locked(&self.shared.keep)
    }

    /// Has the switch answer upcalls, or not: they are lost then.
    pub fn set_answering(&self, on: bool) {
        let mut answers = locked(&self.shared.answers);
        if *answers != Some(on) {
            *answers = Some(on);
            let handler: Arc<dyn dpif::UpcallHandler> = self.shared.clone();
            self.dpif.set_upcall_handler(on.then_some(handler));
        }
    }

    /// Whether upcalls are answered; `None` before it was decided.
    pub fn answers(&self) -> Option<bool> {
        *locked(&self.shared.answers)
    }
}

/// The recirculation ids that actions name, in their order.
fn named_ids(actions: &[Action]) -> Vec<u32> {
    let mut ids = Vec::new();
    for action in actions {
        match action {
            Action::Recirc(id) => ids.push(*id),
            Action::Userspace(upcall) => {
                if let Some(Cookie::Controller(controller)) = Cookie::decode(&upcall.userdata) {
                    ids.push(controller.recirc_id);
                }
            }
            other => other.lists().iter().for_each(|list| ids.extend(named_ids(list))),
        }
    }
    ids
}

/// Memory of a translation whose last outcome named ids: states get those again.
struct Remembered<'a> {
    memory: ViewMemory<'a>,
    ids: RefCell<VecDeque<u32>>,
}

impl Memory for Remembered<'_> {
    fn mac(&self, bridge: usize, vlan: u16, mac: EthAddr) -> Option<OfpPort> {
        self.memory.mac(bridge, vlan, mac)
    }

    fn freeze(&self, state: Frozen) -> Option<u32> {
        match self.ids.borrow_mut().pop_front() {
            Some(id) => locked(&self.memory.shared.recirc).freeze_as(state, id),
            None => self.memory.freeze(state),
        }
    }

    fn route(&self, dst: IpAddr, mark: u32, source: Option<IpAddr>) -> Option<xlate::Route> {
        self.memory.route(dst, mark, source)
    }

    fn neighbour(&self, bridge: &str, address: IpAddr) -> Option<EthAddr> {
        self.memory.neighbour(bridge, address)
    }

    fn thaw(&self, id: u32) -> Option<Arc<Frozen>> {
        self.memory.thaw(id)
    }
}

impl Shared {
    /// Controllers or users have changed rules: flows of an earlier life are not kept much longer.
    pub(crate) fn rules_changed(&self, now: Now) {
        let mut keep = locked(&self.keep);
        if let Keep::Until(end) = *keep {
            *keep = Keep::Until(end.min(now.mono + SETTLE));
        }
    }

    /// What is done with megaflows of an earlier life at `now`.
    pub(crate) fn keeping(&self, now: Instant) -> Keep {
        let mut keep = locked(&self.keep);
        if matches!(*keep, Keep::Until(end) if now >= end) {
            *keep = Keep::No;
            self.generation.fetch_add(1, Relaxed);
        }
        *keep
    }

    /// Takes a megaflow of an earlier life over; false if its packets cannot be translated (yet).
    pub(crate) fn adopt(&self, view: &View, info: &FlowInfo, now: Instant) -> bool {
        let key = info.matched.wc.apply(&info.matched.key);
        // A packet that is back goes on from a state; before that is known nothing is.
        if key.recirc_id() != 0 && locked(&self.recirc).thaw(key.recirc_id()).is_none() {
            return false;
        }
        let ids = RefCell::new(named_ids(&info.actions).into());
        let memory = Remembered { memory: ViewMemory { shared: self, view }, ids };
        let Some(outcome) = self.translate_with(view, &memory, &key) else { return false };
        let used = Instant::from_millis(info.stats.used_ms);
        // What its packets taught in the earlier life; they are counted from now on.
        let batch = Batch { packets: 0, bytes: 0, used, tcp_flags: info.stats.tcp_flags };
        self.credit(view, &outcome.credits, batch);
        let megaflow = Megaflow {
            key,
            wc: info.matched.wc,
            actions: info.actions.clone(),
            credits: outcome.credits,
            frozen: outcome.frozen,
            // None that there is: it is translated once more before it is judged.
            generation: u64::MAX,
            pushed: (info.stats.packets, info.stats.bytes),
            created: now,
            missing: 0,
            adopted: true,
        };
        locked(&self.megaflows).insert(info.ufid, megaflow);
        true
    }
}
