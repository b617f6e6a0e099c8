//! The switch's ports and adapters, and which of them are ports of the datapath.
//!
//! Where it sits: changed by the switch's requests and by user space, read once for each batch of packets.
//!
//! A port may have several adapters: index 0 is the port's own, indexes from 1 on are the physical adapters behind the
//! external port (members of a team). A datapath port is bound by name: for adapters of virtual machines the name of their
//! port, for the others the adapter's own. A tunnel port has no adapter: its packets come in and go out by the host's.
//!
//! I1  A datapath port keeps its number while it is bound, also while its adapter is away.
//! I2  Packets pass only adapters that are connected and bound.
//! I3  What a request tells is newer than any answer of the switch: an answer brings what is not known yet, and none counts that
//!     was asked for before something went or changed that is not kept here (see [`Ports::moment`]).
//! I4  Lists are sorted; lookups are binary searches, which is enough for the few hundred ports of a host.

mod answers;
mod reader;

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use datapath::Address;
use odp::TunnelKind;
use packet::{DropReason, OdpPort};
use wire::EthAddr;

use crate::policy::{Policies, Policy, PolicyKind, Tag, VID};

pub(crate) use answers::{Moment, Unlearned};
pub(crate) use reader::Reader;

/// An adapter: its port, and its index there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NicId {
    /// The switch's number of the port.
    pub port: u32,
    /// Zero for the port's own adapter.
    pub index: u16,
}

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// Nothing in particular.
    Generic,
    /// The way out of the host.
    External,
    /// A virtual machine's adapter, with drivers that know Hyper-V.
    Synthetic,
    /// A virtual machine's adapter that imitates hardware.
    Emulated,
    /// The host's own adapter.
    Internal,
}

/// What an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NicKind {
    /// Physical, or the external port's own.
    External,
    /// A virtual machine's, with drivers that know Hyper-V.
    Synthetic,
    /// A virtual machine's that imitates hardware.
    Emulated,
    /// The host's own.
    Internal,
}

/// A port as the switch describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// Its number.
    pub id: u32,
    /// What it is for.
    pub kind: PortKind,
    /// Its friendly name.
    pub name: String,
    /// True for one that only validates a configuration: no adapter ever connects.
    pub validation: bool,
}

/// An adapter as the switch describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicInfo {
    /// Which it is.
    pub id: NicId,
    /// What it is.
    pub kind: NicKind,
    /// Its friendly name.
    pub name: String,
    /// Its address.
    pub mac: EthAddr,
    /// The address that it was given, from which alone it may send if its port's policy says so.
    pub given: EthAddr,
    /// Its MTU.
    pub mtu: u32,
    /// The host's name of it, if it is the host's own: a GUID.
    pub guid: [u8; 16],
}

/// How far a port or an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Asked for; the switch has not agreed yet.
    Creating,
    /// There.
    Created,
    /// An adapter with packets.
    Connected,
    /// An adapter that is going.
    Disconnected,
    /// A port that is going.
    TornDown,
}

#[derive(Debug)]
struct HvPort {
    info: PortInfo,
    stage: Stage,
}

#[derive(Debug)]
struct HvNic {
    info: NicInfo,
    stage: Stage,
    vport: Option<OdpPort>,
    counters: Counters,
}

/// An adapter's counters, as the datapath sees them: received is what came from it.
#[derive(Debug, Default)]
struct Counters {
    rx: [AtomicU64; 2],
    tx: [AtomicU64; 2],
}

#[derive(Debug)]
struct Bound {
    number: OdpPort,
    name: String,
    nic: Option<NicId>,
}

#[derive(Debug)]
struct TunnelPort {
    number: OdpPort,
    name: String,
    kind: TunnelKind,
    /// The transport port that packets for it have; none with GRE.
    port: Option<u16>,
}

/// An adapter as user space is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name under which it can be bound.
    pub name: String,
    /// What it is.
    pub kind: NicKind,
    /// The datapath port that it is, if it is bound.
    pub number: Option<OdpPort>,
}

/// Why a datapath port was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VportError {
    /// One of this name exists.
    Exists,
    /// The number is taken.
    Busy,
    /// No adapter has this name.
    NoDevice,
    /// There is no such port.
    NotFound,
    /// Memory is short.
    NoMemory,
}

/// Where packets of an adapter enter the datapath.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub number: OdpPort,
    pub external: bool,
    /// Where its port's policies are, if it has any.
    pub policy: Option<u32>,
    /// Where the table has the adapter.
    at: usize,
}

/// The adapter behind a datapath port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct To {
    pub nic: NicId,
    pub kind: NicKind,
    /// Where its port's policies are, if it has any.
    pub policy: Option<u32>,
    /// Where the table has it.
    at: usize,
}

/// Memory was short; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMemory;

/// A copy of a name; `None` if memory is short.
fn copied(name: &str) -> Option<String> {
    let mut owned = String::new();
    owned.try_reserve_exact(name.len()).ok()?;
    owned.push_str(name);
    Some(owned)
}

/// All of them.
#[derive(Debug, Default)]
pub struct Ports {
    ports: Vec<HvPort>,
    nics: Vec<HvNic>,
    bound: Vec<Bound>,
    tunnels: Vec<TunnelPort>,
    policies: Policies,
    /// How often something was told that an answer of the switch may not have known, and of which nothing is kept here.
    untold: u64,
}

impl Ports {
    fn port(&mut self, id: u32) -> Option<&mut HvPort> {
        let at = self.ports.binary_search_by_key(&id, |p| p.info.id).ok()?;
        self.ports.get_mut(at)
    }

    fn nic_at(&self, id: NicId) -> Option<&HvNic> {
        self.nics.get(self.nic_index(id)?)
    }

    fn nic_index(&self, id: NicId) -> Option<usize> {
        self.nics.binary_search_by_key(&id, |n| n.info.id).ok()
    }

    fn nic(&mut self, id: NicId) -> Option<&mut HvNic> {
        let at = self.nics.binary_search_by_key(&id, |n| n.info.id).ok()?;
        self.nics.get_mut(at)
    }

    /// The switch asks for a port; it is there once the switch agrees. One that exists is brought up to date.
    pub(crate) fn create_port(&mut self, info: PortInfo) -> Result<(), NoMemory> {
        if let Some(port) = self.port(info.id) {
            port.info = info;
            return Ok(());
        }
        self.ports.try_reserve(1).map_err(|_| NoMemory)?;
        let at = self.ports.partition_point(|p| p.info.id < info.id);
        self.ports.insert(at, HvPort { info, stage: Stage::Creating });
        Ok(())
    }

    /// The switch agreed, or did not.
    pub(crate) fn port_created(&mut self, id: u32, agreed: bool) {
        if agreed {
            if let Some(port) = self.port(id) {
                port.stage = Stage::Created;
            }
        } else {
            self.ports.retain(|p| p.info.id != id || p.stage != Stage::Creating);
        }
    }

    /// A port's description changed.
    pub(crate) fn update_port(&mut self, info: PortInfo) {
        let id = info.id;
        match self.port(id) {
            Some(port) => port.info = info,
            None => self.outdate_answers(),
        }
        self.rebind(|nic| nic.port == id);
    }

    /// A port goes: nothing may be sent to it any more.
    pub(crate) fn tear_down_port(&mut self, id: u32) {
        match self.port(id) {
            Some(port) => port.stage = Stage::TornDown,
            None => self.outdate_answers(),
        }
        for nic in self.nics.iter_mut().filter(|n| n.info.id.port == id) {
            nic.stage = Stage::Disconnected;
        }
    }

    /// A port is gone, and what was left of its adapters.
    pub(crate) fn delete_port(&mut self, id: u32) {
        self.outdate_answers();
        self.policies.forget(id);
        self.ports.retain(|p| p.info.id != id);
        self.nics.retain(|n| n.info.id.port != id);
        self.bound.iter_mut().filter(|b| b.nic.is_some_and(|n| n.port == id)).for_each(|b| b.nic = None);
    }

    /// The switch asks for an adapter; it is there once the switch agrees.
    pub(crate) fn create_nic(&mut self, info: NicInfo) -> Result<(), NoMemory> {
        if let Some(nic) = self.nic(info.id) {
            nic.info = info;
            return Ok(());
        }
        self.nics.try_reserve(1).map_err(|_| NoMemory)?;
        let at = self.nics.partition_point(|n| n.info.id < info.id);
        let counters = Counters::default();
        self.nics.insert(at, HvNic { info, stage: Stage::Creating, vport: None, counters });
        Ok(())
    }

    /// The switch agreed, or did not.
    pub(crate) fn nic_created(&mut self, id: NicId, agreed: bool) {
        if !agreed {
            self.nics.retain(|n| n.info.id != id || n.stage != Stage::Creating);
        } else if let Some(nic) = self.nic(id) {
            if nic.stage == Stage::Creating {
                nic.stage = Stage::Created;
            }
            self.rebind(|nic| nic == id);
        }
    }

    /// An adapter's packets flow; true if they did not before.
    pub(crate) fn connect_nic(&mut self, id: NicId) -> bool {
        let Some(nic) = self.nic(id) else {
            self.outdate_answers();
            return false;
        };
        let before = core::mem::replace(&mut nic.stage, Stage::Connected);
        self.rebind(|nic| nic == id);
        before != Stage::Connected
    }

    /// An adapter's description changed.
    pub(crate) fn update_nic(&mut self, info: NicInfo) {
        let id = info.id;
        match self.nic(id) {
            Some(nic) => nic.info = info,
            None => self.outdate_answers(),
        }
        self.rebind(|nic| nic == id);
    }

    /// Nothing may be sent to an adapter any more.
    pub(crate) fn disconnect_nic(&mut self, id: NicId) {
        match self.nic(id) {
            Some(nic) => nic.stage = Stage::Disconnected,
            None => self.outdate_answers(),
        }
    }

    /// An adapter is gone; its datapath port keeps its number.
    pub(crate) fn delete_nic(&mut self, id: NicId) {
        self.outdate_answers();
        self.nics.retain(|n| n.info.id != id);
        self.bound.iter_mut().filter(|b| b.nic == Some(id)).for_each(|b| b.nic = None);
    }

    /// The switch asks for a policy in place of the port's of that kind; it counts once the switch agrees.
    pub(crate) fn ask_policy(&mut self, port: u32, policy: Policy) -> Result<(), NoMemory> {
        self.policies.ask(port, policy)
    }

    /// The switch agreed to the policy, or did not.
    pub(crate) fn policy_answered(&mut self, agreed: bool) {
        self.policies.answered(agreed);
    }

    /// A port's policy goes.
    pub(crate) fn remove_policy(&mut self, port: u32, kind: PolicyKind) {
        if self.policies.remove(port, kind).is_err() {
            self.outdate_answers();
        }
    }

    /// Forgets everything of the switch; datapath ports stay.
    pub(crate) fn clear(&mut self) {
        self.policies.clear();
        self.ports.clear();
        self.nics.clear();
        self.bound.iter_mut().for_each(|b| b.nic = None);
    }

    /// The name under which an adapter can be bound. The external port's own adapter cannot: physical ones are.
    fn name_of<'a>(&'a self, nic: &'a HvNic) -> Option<&'a str> {
        match nic.info.kind {
            NicKind::External if nic.info.id.index == 0 => None,
            NicKind::External | NicKind::Internal => Some(&nic.info.name),
            NicKind::Synthetic | NicKind::Emulated => {
                let at = self.ports.binary_search_by_key(&nic.info.id.port, |p| p.info.id).ok()?;
                Some(&self.ports.get(at)?.info.name)
            }
        }
    }

    /// Matches datapath ports and adapters by name again, for adapters that `f` names.
    fn rebind(&mut self, f: impl Fn(NicId) -> bool) {
        for at in 0..self.nics.len() {
            let Some(nic) = self.nics.get(at).filter(|n| f(n.info.id)) else { continue };
            let id = nic.info.id;
            let name = if nic.stage == Stage::Creating { None } else { self.name_of(nic) };
            let number = name.and_then(|name| {
                self.bound.iter().find(|b| b.name == name && b.nic.is_none_or(|n| n == id)).map(|b| b.number)
            });
            for bound in &mut self.bound {
                if Some(bound.number) == number {
                    bound.nic = Some(id);
                } else if bound.nic == Some(id) {
                    bound.nic = None;
                }
            }
            if let Some(nic) = self.nics.get_mut(at) {
                nic.vport = number;
            }
        }
    }

    /// The adapter that can be bound under `name`.
    fn nic_named(&self, name: &str) -> Option<&HvNic> {
        self.nics.iter().find(|n| n.stage != Stage::Creating && self.name_of(n) == Some(name))
    }

    /// Binds the adapter called `name`, which must be there.
    pub fn bind(&mut self, name: &str, number: OdpPort) -> Result<(), VportError> {
        if self.nic_named(name).is_none() {
            return Err(VportError::NoDevice);
        }
        self.reserve(name, number)
    }

    /// Binds the adapter called `name`, whenever it comes.
    pub fn reserve(&mut self, name: &str, number: OdpPort) -> Result<(), VportError> {
        if self.bound.iter().any(|b| b.name == name) {
            return Err(VportError::Exists);
        }
        let Err(at) = self.bound.binary_search_by_key(&number, |b| b.number) else {
            return Err(VportError::Busy);
        };
        self.bound.try_reserve(1).map_err(|_| VportError::NoMemory)?;
        let name = copied(name).ok_or(VportError::NoMemory)?;
        self.bound.insert(at, Bound { number, name, nic: None });
        self.rebind(|_| true);
        Ok(())
    }

    /// Adds a tunnel's port.
    pub fn add_tunnel(
        &mut self,
        name: &str,
        number: OdpPort,
        (kind, port): (TunnelKind, Option<u16>),
    ) -> Result<(), VportError> {
        if self.tunnels.iter().any(|t| t.name == name) {
            return Err(VportError::Exists);
        }
        self.tunnels.try_reserve(1).map_err(|_| VportError::NoMemory)?;
        let name = copied(name).ok_or(VportError::NoMemory)?;
        self.tunnels.push(TunnelPort { number, name, kind, port });
        Ok(())
    }

    /// The tunnel's port that wants a packet, and the address that the packet is for.
    pub(crate) fn tunnel_of(&self, head: &[u8]) -> Option<(OdpPort, Address)> {
        self.tunnels.iter().find_map(|t| {
            let key = match t.kind {
                // A segment has the key of its frame only if it is the first.
                TunnelKind::Stt => tunnel::stt::ends(head)?,
                kind => tunnel::pop(kind, head)?.key,
            };
            let to = Address::of_ends(key.dst, key.ipv6_dst);
            t.port.is_none_or(|port| port == key.tp_dst).then_some((t.number, to))
        })
    }

    /// The host's own adapters, with its names of them; `None` if memory is short.
    pub(crate) fn host_adapters(&self) -> Option<Vec<(NicId, [u8; 16])>> {
        let own =
            self.nics.iter().filter(|n| n.info.kind == NicKind::Internal && n.stage == Stage::Connected);
        let mut all = Vec::new();
        for nic in own {
            all.try_reserve(1).ok()?;
            all.push((nic.info.id, nic.info.guid));
        }
        Some(all)
    }

    /// Where packets that the host sends by one of its adapters enter the datapath, their address, and the tag that its port's
    /// policies put on them; `None` if they may not.
    pub(crate) fn host_entry(&self, id: NicId) -> Option<(OdpPort, EthAddr, Option<u16>)> {
        let source = self.source(id)?;
        let own = self.nics.get(source.at)?.info.mac;
        let tag = self.entering(&source, Some(own), Tag::None).ok()?;
        Some((source.number, own, tag))
    }

    /// True if a frame that is to go to one of the host's adapters is in the network of the adapter's addresses. Where a policy
    /// says which VLAN that is, the frame comes to it without a tag, or with one that is of no VLAN; without such a policy tags
    /// are the bridge's matter.
    pub(crate) fn is_in_hosts_network(&self, to: &To, tag: Tag) -> bool {
        let has_vlans = to.policy.is_some_and(|at| self.policies.has_vlans(at));
        !has_vlans || self.leaving(to, tag).is_ok_and(|tci| tci.is_none_or(|tci| tci & VID == 0))
    }

    /// Bytes of an IP packet that a datapath port takes in one piece.
    pub(crate) fn mtu(&self, number: OdpPort) -> u16 {
        const USUAL: u16 = 1500;
        let nic = self.destination(number).and_then(|to| self.nics.get(to.at));
        nic.and_then(|nic| u16::try_from(nic.info.mtu).ok()).filter(|mtu| *mtu != 0).unwrap_or(USUAL)
    }

    /// True for one of the host's own adapters.
    pub(crate) fn is_internal(&self, id: NicId) -> bool {
        self.nic_at(id).is_some_and(|n| n.info.kind == NicKind::Internal)
    }

    /// Unbinds a datapath port.
    pub fn unbind(&mut self, number: OdpPort) -> Result<(), VportError> {
        if let Some(at) = self.tunnels.iter().position(|t| t.number == number) {
            self.tunnels.remove(at);
            return Ok(());
        }
        let at = self.bound.binary_search_by_key(&number, |b| b.number).map_err(|_| VportError::NotFound)?;
        self.bound.remove(at);
        self.nics.iter_mut().filter(|n| n.vport == Some(number)).for_each(|n| n.vport = None);
        Ok(())
    }

    /// A datapath port's counters: packets and bytes received, then sent. Zero while its adapter is away.
    pub fn counters(&self, number: OdpPort) -> [u64; 4] {
        let bound = self.bound.iter().find(|b| b.number == number);
        let Some(nic) = bound.and_then(|b| b.nic).and_then(|id| self.nic_at(id)) else { return [0; 4] };
        let ([a, b], [c, d]) = (&nic.counters.rx, &nic.counters.tx);
        [a, b, c, d].map(|n| n.load(Relaxed))
    }

    /// What an adapter is called and which port it is; `None` if it cannot be bound, or memory is short.
    pub fn named(&self, id: NicId) -> Option<Named> {
        let nic = self.nic_at(id)?;
        Some(Named { name: copied(self.name_of(nic)?)?, kind: nic.info.kind, number: nic.vport })
    }

    /// Every connected adapter that could be bound and is not; `None` if memory is short.
    pub fn unbound(&self) -> Option<Vec<Named>> {
        let connected = self.nics.iter().filter(|n| n.stage == Stage::Connected && n.vport.is_none());
        let mut all = Vec::new();
        for nic in connected {
            let Some(name) = self.name_of(nic) else { continue };
            all.try_reserve(1).ok()?;
            all.push(Named { name: copied(name)?, kind: nic.info.kind, number: None });
        }
        Some(all)
    }

    /// The address and MTU of the adapter called `name`, and whether it is connected.
    pub fn netdev(&self, name: &str) -> Option<(EthAddr, u32, bool)> {
        let nic = self.nic_named(name)?;
        Some((nic.info.mac, nic.info.mtu, nic.stage == Stage::Connected))
    }

    /// Where packets of an adapter enter, if they may.
    pub(crate) fn source(&self, id: NicId) -> Option<Source> {
        let at = self.nic_index(id)?;
        let nic = self.nics.get(at).filter(|n| n.stage == Stage::Connected)?;
        let policy = self.policies.find(id.port);
        Some(Source { number: nic.vport?, external: nic.info.kind == NicKind::External, policy, at })
    }

    /// The adapter behind a datapath port, if packets may be sent to it.
    pub(crate) fn destination(&self, number: OdpPort) -> Option<To> {
        let at = self.bound.binary_search_by_key(&number, |b| b.number).ok()?;
        let at = self.nic_index(self.bound.get(at)?.nic?)?;
        let nic = self.nics.get(at).filter(|n| n.stage == Stage::Connected)?;
        let policy = self.policies.find(nic.info.id.port);
        Some(To { nic: nic.info.id, kind: nic.info.kind, policy, at })
    }

    /// The tag with which a frame from an adapter enters the flows; refused if a policy of its port forbids it.
    pub(crate) fn entering(
        &self,
        source: &Source,
        from: Option<EthAddr>,
        tag: Tag,
    ) -> Result<Option<u16>, DropReason> {
        let Some(policy) = source.policy else { return Ok(tag.tci()) };
        // Of a physical adapter others' packets come.
        let nic = self.nics.get(source.at).filter(|_| !source.external);
        self.policies.entering(policy, (nic.map(|nic| nic.info.given), from), tag)
    }

    /// The tag with which an adapter gets a frame; refused if a policy of its port forbids it.
    pub(crate) fn leaving(&self, to: &To, tag: Tag) -> Result<Option<u16>, DropReason> {
        match to.policy {
            Some(policy) => self.policies.leaving(policy, tag),
            None => Ok(tag.tci()),
        }
    }
}

fn count([packets, total]: &[AtomicU64; 2], more: u64, bytes: u64) {
    packets.fetch_add(more, Relaxed);
    total.fetch_add(bytes, Relaxed);
}

#[cfg(test)]
mod tests;
