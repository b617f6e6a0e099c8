//! The extension: what NDIS's callbacks come down to.
//!
//! Where it sits: one for each switch that the extension is enabled on; made when NDIS attaches the filter module,
//! dropped when it detaches it.
//!
//! I1  Every function that touches the core raises to DISPATCH_LEVEL first: whoever holds one of the core's locks is never
//!     preempted on its own processor.
//! I2  The plan is carried out with no lock held.

use alloc::boxed::Box;
use alloc::vec::Vec;

use datapath::{Command, Datapath, End, Exit, NextHop, TunnelDst, Way, Ways};
use device::Env;
use odp::Action;
use odp::netlink::ids::cmd;
use packet::{DropReason, Now, PacketMeta};
use sync::{RwSpin, SpinLock};

use crate::NicId;
use crate::lane::{Lane, Pass};
use crate::life::{Event, Life, Pause, State};
use crate::oid::{After, Decision, Oid, Veto};
use crate::plan::Plan;
use crate::platform::{Chain, NoHop, Outcome, Platform, Reason, Snapshot};
use crate::ports::{Moment, Ports, Reader, Unlearned};

/// Connections looked at in one turn of housekeeping, and when their table is short of room.
const SWEEP: usize = 4096;
const MAINTENANCE: usize = 64;

/// How an extension is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Processors that may call.
    pub processors: usize,
    /// Seeds and limits.
    pub config: datapath::Config,
}

/// One switch's extension.
pub struct Extension<P: Platform> {
    platform: P,
    life: Life,
    datapath: Box<Datapath>,
    ports: RwSpin<Ports>,
    ways: Ways<NicId>,
    lanes: Vec<SpinLock<Box<Lane<P>>>>,
}

#[inline(never)]
fn boxed_lane<P: Platform>(seed: u64) -> Option<Box<Lane<P>>> {
    sync::try_box_with(|| Lane::try_new(seed))
}

#[inline(never)]
fn boxed_datapath(config: &datapath::Config) -> Option<Box<Datapath>> {
    sync::try_box_with(|| Datapath::try_new(config))
}

impl<P: Platform> Extension<P> {
    /// An extension that is paused; `None` if memory is short.
    #[inline(never)]
    pub fn try_new(platform: P, setup: &Setup) -> Option<Extension<P>> {
        let mut lanes = Vec::new();
        lanes.try_reserve_exact(setup.processors).ok()?;
        for n in 0..setup.processors as u64 {
            lanes.push(SpinLock::new(boxed_lane(setup.config.seed.wrapping_add(n))?));
        }
        let datapath = boxed_datapath(&setup.config)?;
        let (life, ports, ways) = (Life::default(), RwSpin::default(), Ways::try_new()?);
        Some(Extension { platform, life, datapath, ports, ways, lanes })
    }

    /// The system around it.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// The state it is in.
    pub fn state(&self) -> State {
        self.life.state()
    }

    /// FilterRestart: learns the ports, then lets packets in. False, and it stays paused, if that failed.
    pub fn restart(&self) -> bool {
        if self.life.handle(Event::Restart).is_none() {
            return false;
        }
        let learned = self.activate();
        let event = if learned { Event::Restarted } else { Event::RestartFailed };
        self.life.handle(event).is_some() && learned
    }

    /// FilterPause.
    pub fn pause(&self) -> Pause {
        self.life.pause()
    }

    /// FilterDetach: forgets the switch.
    pub fn detach(&self) {
        self.life.handle(Event::Detach);
        let _level = self.platform.raise();
        self.ports.write().clear();
    }

    /// Asks the switch for its ports and adapters; false if it does not answer, or memory is short. Nothing is asked before it
    /// is active, and what a request has told already, or tells meanwhile, is newer than the answer.
    pub fn activate(&self) -> bool {
        /// Each question more is one that something went during.
        const ATTEMPTS: usize = 32;
        for _ in 0..ATTEMPTS {
            let asked = {
                let _level = self.platform.raise();
                self.ports.read().moment()
            };
            let Some(snapshot) = self.platform.snapshot() else { return false };
            if !snapshot.active {
                return true;
            }
            match self.learn(asked, snapshot) {
                Ok(()) => return true,
                Err(Unlearned::NoMemory) => return false,
                Err(Unlearned::Outdated) => {}
            }
        }
        false
    }

    /// Takes over what the switch answered to what it was asked at a moment, and tells user space of adapters that are
    /// connected now and were not known.
    fn learn(&self, asked: Moment, snapshot: Snapshot) -> Result<(), Unlearned> {
        let mut connected = Vec::new();
        connected.try_reserve_exact(snapshot.nics.len()).map_err(|_| Unlearned::NoMemory)?;
        let _level = self.platform.raise();
        self.ports.write().learn(asked, snapshot, &mut connected)?;
        if !connected.is_empty() {
            // One of them may be the host's, whose addresses are asked for by the next housekeeping.
            self.ways.distrust();
        }
        for nic in connected {
            self.announce(nic, cmd::NEW);
        }
        self.platform.end_waits();
        Ok(())
    }

    /// A request of the switch, before it is passed on.
    pub fn handle_oid(&self, oid: Oid) -> Decision {
        let _level = self.platform.raise();
        if let Oid::NicDisconnect(id) = oid {
            self.announce(id, cmd::DEL);
            self.platform.end_waits();
        }
        let mut ports = self.ports.write();
        let forward = Decision::Forward(After::Nothing);
        match oid {
            Oid::PortCreate(info) if info.validation => forward,
            Oid::PortCreate(info) => {
                let id = info.id;
                match ports.create_port(info) {
                    Ok(()) => Decision::Forward(After::Port(id)),
                    Err(_) => Decision::Veto(Veto::Resources),
                }
            }
            Oid::NicCreate(info) => {
                let id = info.id;
                match ports.create_nic(info) {
                    Ok(()) => Decision::Forward(After::Nic(id)),
                    // Only the port's own adapter may be refused; others are then unknown here.
                    Err(_) if id.index == 0 => Decision::Veto(Veto::Resources),
                    Err(_) => forward,
                }
            }
            Oid::NicConnect(id) => Decision::Forward(After::Connected(id)),
            Oid::PortUpdated(info) => {
                ports.update_port(info);
                forward
            }
            Oid::NicUpdated(info) => {
                ports.update_nic(info);
                forward
            }
            Oid::PortTeardown(id) => {
                ports.tear_down_port(id);
                forward
            }
            Oid::PortDelete(id) => {
                ports.delete_port(id);
                forward
            }
            Oid::NicDisconnect(id) => {
                ports.disconnect_nic(id);
                forward
            }
            Oid::NicDelete(id) => {
                ports.delete_nic(id);
                forward
            }
            Oid::PolicyWanted(id, policy) => match ports.ask_policy(id, policy) {
                Ok(()) => Decision::Forward(After::Policy),
                Err(_) => Decision::Veto(Veto::Resources),
            },
            Oid::PolicyGone(id, kind) => {
                ports.remove_policy(id, kind);
                forward
            }
            Oid::UnknownPolicy => Decision::Veto(Veto::NotSupported),
            Oid::AllocateVf => Decision::Veto(Veto::Failure),
            Oid::NoMemory => Decision::Veto(Veto::Resources),
            Oid::Other => forward,
        }
    }

    /// The switch has answered a request that was passed on.
    pub fn oid_done(&self, after: After, agreed: bool) {
        if after == After::Nothing {
            return;
        }
        let _level = self.platform.raise();
        let mut ports = self.ports.write();
        match after {
            After::Nothing => {}
            After::Port(id) => ports.port_created(id, agreed),
            After::Nic(id) => ports.nic_created(id, agreed),
            After::Policy => ports.policy_answered(agreed),
            After::Connected(id) => {
                let is_new = agreed && ports.connect_nic(id);
                let is_hosts = ports.is_internal(id);
                drop(ports);
                if is_new && is_hosts {
                    self.ways.distrust();
                }
                if is_new {
                    self.announce(id, cmd::NEW);
                    self.platform.end_waits();
                }
            }
        }
    }

    /// FilterSendNetBufferLists: packets from every adapter.
    #[inline(never)]
    pub fn ingress(&self, mut chain: P::Chain) {
        let _level = self.platform.raise();
        if !self.life.enter() {
            return self.refuse(chain);
        }
        let plan = self.in_lane(|lane, pass, plan| {
            while let Some(nbl) = chain.pop() {
                lane.accept(pass, plan, nbl);
            }
            lane.flush(pass, plan);
        });
        self.carry_out(plan);
        self.leave();
    }

    /// FilterSendNetBufferListsComplete: packets that come back, ours and others.
    pub fn send_complete(&self, mut chain: P::Chain, single_source: bool) {
        let _level = self.platform.raise();
        let mut others = P::Chain::default();
        let mut ours = P::Chain::default();
        while let Some(nbl) = chain.pop() {
            if self.platform.is_own(&nbl) { ours.push(nbl) } else { others.push(nbl) }
        }
        if !others.is_empty() {
            self.platform.complete(others, single_source);
        }
        let (mut parked, mut freed) = (P::Chain::default(), 0u32);
        while let Some(nbl) = ours.pop() {
            freed = freed.saturating_add(1);
            if let Some(received) = self.platform.free(nbl) {
                parked.push(received);
            }
        }
        if !parked.is_empty() {
            self.platform.complete(parked, false);
        }
        // A pause is over when all that was kept is given back as well.
        (0..freed).for_each(|_| self.leave());
    }

    /// Executes valid actions on a packet from user space.
    #[inline(never)]
    pub(crate) fn execute_actions(&self, meta: &PacketMeta, packet: &[u8], actions: &[Action]) {
        let _level = self.platform.raise();
        if !self.life.enter() {
            return self.datapath.count_drops(DropReason::PortDown, 1);
        }
        let plan = self.in_lane(|lane, pass, plan| lane.execute(pass, plan, (meta, packet), actions));
        self.carry_out(plan);
        self.leave();
    }

    /// What the device works on. Whoever has it is at DISPATCH_LEVEL, as long as it has it.
    pub fn env(&self) -> Env<'_, Self> {
        Env { datapath: &self.datapath, host: self, now: self.platform.now() }
    }

    /// The table of ports.
    pub(crate) fn ports(&self) -> &RwSpin<Ports> {
        &self.ports
    }

    /// What is known of the ways of tunnels.
    pub(crate) fn ways(&self) -> &Ways<NicId> {
        &self.ways
    }

    /// The way to a tunnel's end: as far as it is known, at once.
    #[inline(never)]
    pub(crate) fn next_hop(&self, ports: &Ports, dst: &TunnelDst<'_>, now: Now) -> NextHop {
        let end = End::of(dst);
        let (found, ask) = self.ways.find(&end, now.mono);
        if ask {
            self.ways.want(&end);
            // Also for one that is noted: memory may have been short when it was to be looked for.
            self.platform.want_ways();
        }
        match found {
            None => NextHop::Resolving,
            Some(None) => NextHop::NoRoute,
            Some(Some(Way { by, eth_dst, from })) => match ports.host_entry(by) {
                Some((port, eth_src, tag)) => {
                    NextHop::Via { port, exit: Exit::Enters { tag }, eth_src, eth_dst, src: from }
                }
                None => NextHop::NoRoute,
            },
        }
    }

    /// Routes, addresses or interfaces of the host changed.
    pub fn host_changed(&self) {
        let _level = self.platform.raise();
        self.ways.distrust();
        self.platform.want_ways();
    }

    /// Finds out what packets wanted to know, by asking the host (PASSIVE_LEVEL). What fails for want of memory is tried
    /// again by housekeeping, or by the next packet.
    #[inline(never)]
    pub fn find_ways(&self) {
        // What changes from here on is in doubt again.
        let (asks_own, adapters) = {
            let _level = self.platform.raise();
            (self.ways.begin_own(), self.ports.read().host_adapters())
        };
        let mut interfaces = Vec::new();
        let known = adapters.filter(|adapters| interfaces.try_reserve_exact(adapters.len()).is_ok());
        let is_known = known.is_some();
        for (nic, guid) in known.iter().flatten() {
            if let Some(interface) = self.platform.interface(guid) {
                interfaces.push((interface, *nic));
            }
        }
        if asks_own {
            self.find_own(is_known.then_some(&interfaces));
        }
        if !is_known {
            return;
        }
        loop {
            let wanted = {
                let _level = self.platform.raise();
                self.ways.next_wanted()
            };
            let Some((end, asked)) = wanted else { return };
            let hop = self.platform.hop(&end);
            let _level = self.platform.raise();
            if hop == Err(NoHop::NoMemory) {
                // Asked again later; until then what was known serves.
                self.ways.want(&end);
                return;
            }
            let way = hop.ok().and_then(|hop| {
                let (_, nic) = interfaces.iter().find(|(interface, _)| *interface == hop.interface)?;
                Some(Way { by: *nic, eth_dst: hop.eth, from: hop.from })
            });
            self.ways.learn((end, asked), way, self.platform.now().mono);
        }
    }

    /// Learns the addresses that the host's adapters at this switch have.
    #[inline(never)]
    fn find_own(&self, interfaces: Option<&Vec<(u64, NicId)>>) {
        let mut own = Vec::new();
        let mut whole = interfaces.is_some();
        let interfaces = interfaces.map(Vec::as_slice).unwrap_or_default();
        let asked = self.platform.addresses(&mut |address, of| {
            if interfaces.iter().any(|(interface, _)| *interface == of) {
                match own.try_reserve(1) {
                    Ok(()) => own.push(address),
                    Err(_) => whole = false,
                }
            }
        });
        let old = {
            let _level = self.platform.raise();
            self.ways.end_own((asked && whole).then_some(own))
        };
        drop(old);
    }

    /// What is due once a second: expired connections, the order of masks, what the host was not asked for in vain.
    pub fn housekeep(&self) {
        let _level = self.platform.raise();
        let now = self.platform.now();
        self.datapath.conntrack().maintain(now, SWEEP);
        // Cannot fail.
        let _ = self.datapath.apply(Command::SortMasks);
        if self.ways.want_answers() {
            self.platform.want_ways();
        }
        if let Some(device) = self.platform.device() {
            device.publish_connections(self.env());
            self.platform.end_waits();
        }
    }

    /// Runs `f` in this processor's lane.
    fn in_lane(&self, f: impl FnOnce(&mut Lane<P>, &Pass<'_, P>, &mut Plan<P>)) -> Plan<P> {
        let mut plan = Plan::default();
        let now = self.platform.now();
        let connections = self.datapath.conntrack();
        if connections.wants_maintenance() {
            connections.maintain(now, MAINTENANCE);
        }
        // A processor that came later than the lanes shares one.
        let at = self.platform.processor() % self.lanes.len().max(1);
        if let Some(lane) = self.lanes.get(at) {
            let mut lane = lane.lock();
            let table = self.ports.read();
            let ports = Reader::new(&table);
            let Extension { platform, datapath, life, .. } = self;
            f(&mut lane, &Pass { extension: self, platform, datapath, ports: &ports, life, now }, &mut plan);
        }
        if connections.wants_maintenance() {
            // New connections must find memory in the next batch.
            connections.maintain(now, 0);
        }
        plan
    }

    fn carry_out(&self, plan: Plan<P>) {
        let Plan { send, native, done } = plan;
        for group in [native, send] {
            if let Some((chain, flags)) = group.take() {
                self.platform.send(chain, flags);
            }
        }
        if let Some((chain, flags)) = done.take() {
            self.platform.complete(chain, flags.single_source);
        }
        self.platform.end_waits();
    }

    /// Gives packets back that came while the extension does not run.
    fn refuse(&self, mut chain: P::Chain) {
        let mut plan = Plan::<P>::default();
        while let Some(mut nbl) = chain.pop() {
            let source = self.platform.facts(&nbl).source;
            self.platform.report(&nbl, source, Reason::Paused);
            self.platform.set_outcome(&mut nbl, Outcome::Paused);
            plan.done.push(nbl, source, &[]);
        }
        self.carry_out(plan);
    }

    fn leave(&self) {
        if self.life.leave() {
            self.platform.pause_complete();
        }
    }
}
