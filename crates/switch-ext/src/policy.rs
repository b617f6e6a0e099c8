//! Policies of the switch's ports: which addresses and which VLANs their adapters may use.
//!
//! Where it sits: told by the switch's requests, and by its answer when the extension begins; kept in the table of ports, which
//! a lane asks about each frame of an adapter whose port has one. A forwarding extension takes the place of the switch's own
//! handling, so nobody else enforces them.
//!
//! ~~~text
//! adapter ─ entering: tag put on, or refused ─► flows ─ leaving: tag taken off, or refused ─► adapter
//! ~~~
//!
//! I1  A port without a policy costs its packets one comparison, and nothing is changed or refused.
//! I2  A policy counts once the switch agreed to it; one that goes counts no longer before the switch is told.
//!
//! Spec: NDIS_SWITCH_PORT_PROPERTY_SECURITY and …_VLAN; Set-VMNetworkAdapterVlan and Set-VMNetworkAdapter of Windows Server.

use alloc::vec::Vec;

use packet::DropReason;
use wire::EthAddr;

use crate::ports::NoMemory;

/// VLANs are numbered in these bits of a tag; in the others is the priority.
pub(crate) const VID: u16 = 0xfff;
/// The priority of a tag, and the bit beside it that says the frame may be dropped.
const PRIORITY: u16 = !VID;

/// Which VLANs, of all that there can be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct VlanSet(Vec<u64>);

impl VlanSet {
    /// Elements of a set: one bit for each VLAN.
    pub const WORDS: usize = 64;

    /// A set by its bits, of which the first is VLAN 0; `None` if memory is short.
    pub fn try_of(words: impl Iterator<Item = u64>) -> Option<VlanSet> {
        let mut set = Vec::new();
        set.try_reserve_exact(Self::WORDS).ok()?;
        for word in words.take(Self::WORDS) {
            set.push(word);
        }
        Some(VlanSet(set))
    }

    /// VLAN 0 is none, and the last number is reserved.
    fn contains(&self, vlan: u16) -> bool {
        vlan != 0
            && vlan != VID
            && self.0.get(usize::from(vlan >> 6)).is_some_and(|word| word >> (vlan & 63) & 1 == 1)
    }
}

/// The VLANs of a port.
#[derive(Debug, PartialEq, Eq)]
pub enum VlanPolicy {
    /// Its adapter knows nothing of the VLAN that it is in.
    Access(u16),
    /// Its adapter tags frames.
    Trunk {
        /// The VLAN of frames without a tag; zero for none.
        native: u16,
        /// The VLANs of frames with one.
        carried: VlanSet,
    },
    /// Its adapter talks to promiscuous ports only.
    Isolated {
        /// The VLAN in which promiscuous ports send.
        primary: u16,
        /// The VLAN in which it sends.
        secondary: u16,
    },
    /// Its adapter talks to promiscuous ports, and to others of its community.
    Community {
        /// The VLAN in which promiscuous ports send.
        primary: u16,
        /// The VLAN in which its community sends.
        secondary: u16,
    },
    /// Its adapter talks to all ports of the primary VLAN.
    Promiscuous {
        /// The VLAN in which it sends.
        primary: u16,
        /// The VLANs in which the others send.
        secondary: VlanSet,
    },
}

/// The tag of a frame as a policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// None.
    None,
    /// One of IEEE 802.1Q: priority and VLAN.
    Vlan(u16),
    /// Another kind of tag comes first, of which policies say nothing.
    Other,
}

impl Tag {
    /// The bits that it has beside its kind, if it is one of IEEE 802.1Q.
    pub fn tci(self) -> Option<u16> {
        match self {
            Tag::Vlan(tci) => Some(tci),
            Tag::None | Tag::Other => None,
        }
    }

    /// Priority and VLAN; a frame of VLAN 0 has a priority only.
    fn parts(self) -> Option<(u16, u16)> {
        match self {
            Tag::None => Some((0, 0)),
            Tag::Vlan(tci) => Some((tci & PRIORITY, tci & VID)),
            Tag::Other => None,
        }
    }
}

/// A tag of a VLAN; none where it would say nothing.
fn tagged(priority: u16, vlan: u16) -> Option<u16> {
    Some(priority | vlan).filter(|tci| *tci != 0)
}

impl VlanPolicy {
    /// The tag with which a frame from the adapter enters the flows; refused if it has one that it may not have.
    fn entering(&self, tag: Tag) -> Result<Option<u16>, DropReason> {
        let (priority, vlan) = tag.parts().ok_or(DropReason::ForeignVlan)?;
        if vlan == 0 {
            return Ok(tagged(priority, self.own()));
        }
        match self {
            VlanPolicy::Trunk { carried, .. } if carried.contains(vlan) => Ok(tagged(priority, vlan)),
            _ => Err(DropReason::ForeignVlan),
        }
    }

    /// The tag with which the adapter gets a frame; refused if the frame is of none of its VLANs.
    fn leaving(&self, tag: Tag) -> Result<Option<u16>, DropReason> {
        let (priority, vlan) = tag.parts().ok_or(DropReason::ForeignVlan)?;
        match self {
            VlanPolicy::Trunk { carried, native } if vlan != *native && carried.contains(vlan) => {
                Ok(tagged(priority, vlan))
            }
            // A trunk's frames outside all VLANs have a tag that says their priority, or none.
            VlanPolicy::Trunk { native: 0, .. } if vlan == 0 => Ok(tagged(priority, 0)),
            _ if self.is_stripped(vlan) => Ok(None),
            _ => Err(DropReason::ForeignVlan),
        }
    }

    /// The VLAN in which the adapter's frames without a tag are; zero for none.
    fn own(&self) -> u16 {
        match *self {
            VlanPolicy::Access(vlan) | VlanPolicy::Trunk { native: vlan, .. } => vlan,
            VlanPolicy::Isolated { secondary, .. } | VlanPolicy::Community { secondary, .. } => secondary,
            VlanPolicy::Promiscuous { primary, .. } => primary,
        }
    }

    /// True if frames of a VLAN leave for the adapter without their tag.
    fn is_stripped(&self, vlan: u16) -> bool {
        match self {
            VlanPolicy::Access(own) | VlanPolicy::Trunk { native: own, .. } => vlan == *own,
            VlanPolicy::Isolated { primary, .. } => vlan == *primary,
            VlanPolicy::Community { primary, secondary } => vlan == *primary || vlan == *secondary,
            VlanPolicy::Promiscuous { primary, secondary } => vlan == *primary || secondary.contains(vlan),
        }
    }
}

/// What an adapter may say of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Security {
    /// It may send from addresses that are not its own.
    pub may_spoof: bool,
    /// Its frames' priorities are believed.
    pub may_prioritise: bool,
}

/// A policy that a port is to have.
#[derive(Debug, PartialEq, Eq)]
pub enum Policy {
    /// Its VLANs; `None` if they are left to the bridges.
    Vlan(Option<VlanPolicy>),
    /// What its adapter may say of itself.
    Security(Security),
}

/// The kind of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// [`Policy::Vlan`].
    Vlan,
    /// [`Policy::Security`].
    Security,
}

/// What a port has of one kind, and whether requests have told of it: they are newer than any answer.
#[derive(Debug)]
struct Told<T> {
    policy: Option<T>,
    by_request: bool,
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Told { policy: None, by_request: false }
    }
}

impl<T> Told<T> {
    fn set(&mut self, policy: Option<T>) {
        *self = Told { policy, by_request: true };
    }

    fn learn(&mut self, policy: Option<T>) {
        if !self.by_request {
            self.policy = policy;
        }
    }
}

/// The policies of one port.
#[derive(Debug)]
struct OfPort {
    port: u32,
    vlan: Told<VlanPolicy>,
    security: Told<Security>,
}

/// The policies of all ports that have any, also of ports that are not known yet.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    /// Sorted by port.
    all: Vec<OfPort>,
    /// The one that the switch is being asked about: it asks about one at a time.
    asked: Option<(u32, Policy)>,
}

impl Policies {
    fn of(&mut self, port: u32) -> Option<&mut OfPort> {
        let at = self.all.binary_search_by_key(&port, |p| p.port).ok()?;
        self.all.get_mut(at)
    }

    /// Makes a place for a port's policies.
    fn place(&mut self, port: u32) -> Result<(), NoMemory> {
        if let Err(at) = self.all.binary_search_by_key(&port, |p| p.port) {
            self.all.try_reserve(1).map_err(|_| NoMemory)?;
            self.all.insert(at, OfPort { port, vlan: Told::default(), security: Told::default() });
        }
        Ok(())
    }

    /// The switch asks for a policy in place of the port's of that kind; it counts once the switch agrees.
    pub fn ask(&mut self, port: u32, policy: Policy) -> Result<(), NoMemory> {
        self.place(port)?;
        self.asked = Some((port, policy));
        Ok(())
    }

    /// The switch agreed, or did not.
    pub fn answered(&mut self, agreed: bool) {
        let Some((port, policy)) = self.asked.take().filter(|_| agreed) else { return };
        match (self.of(port), policy) {
            (Some(of), Policy::Vlan(vlan)) => of.vlan.set(vlan),
            (Some(of), Policy::Security(security)) => of.security.set(Some(security)),
            (None, _) => {}
        }
    }

    /// A policy goes. Without memory to remember that nothing was known that could go.
    pub fn remove(&mut self, port: u32, kind: PolicyKind) -> Result<(), NoMemory> {
        self.place(port)?;
        match (self.of(port), kind) {
            (Some(of), PolicyKind::Vlan) => of.vlan.set(None),
            (Some(of), PolicyKind::Security) => of.security.set(None),
            (None, _) => {}
        }
        Ok(())
    }

    /// What the switch said of a port when it was asked.
    pub fn learn(&mut self, port: u32, policy: Policy) -> Result<(), NoMemory> {
        self.place(port)?;
        match (self.of(port), policy) {
            (Some(of), Policy::Vlan(vlan)) => of.vlan.learn(vlan),
            (Some(of), Policy::Security(security)) => of.security.learn(Some(security)),
            (None, _) => {}
        }
        Ok(())
    }

    /// A port goes.
    pub fn forget(&mut self, port: u32) {
        self.all.retain(|p| p.port != port);
    }

    /// Every port goes.
    pub fn clear(&mut self) {
        (self.all, self.asked) = (Vec::new(), None);
    }

    /// Where a port's policies are; `None` if it has none.
    pub fn find(&self, port: u32) -> Option<u32> {
        if self.all.is_empty() {
            return None;
        }
        let at = self.all.binary_search_by_key(&port, |p| p.port).ok()?;
        let of = self.all.get(at)?;
        let any = of.vlan.policy.is_some() || of.security.policy.is_some();
        u32::try_from(at).ok().filter(|_| any)
    }

    /// True if policies say what VLANs the port at `at` is in.
    pub fn has_vlans(&self, at: u32) -> bool {
        self.at(at).is_some_and(|of| of.vlan.policy.is_some())
    }

    fn at(&self, at: u32) -> Option<&OfPort> {
        self.all.get(at as usize)
    }

    /// The tag with which a frame from an adapter enters the flows; refused if the adapter may not send it. `own` is the
    /// adapter's address, if it has one, and `from` the frame's.
    pub fn entering(
        &self,
        at: u32,
        (own, from): (Option<EthAddr>, Option<EthAddr>),
        mut tag: Tag,
    ) -> Result<Option<u16>, DropReason> {
        let of = self.at(at);
        if let Some(security) = of.and_then(|of| of.security.policy) {
            if !security.may_spoof && own.is_some_and(|own| from.is_some_and(|from| from != own)) {
                return Err(DropReason::ForeignSource);
            }
            if let (Tag::Vlan(tci), false) = (tag, security.may_prioritise) {
                tag = Tag::Vlan(tci & VID);
            }
        }
        match of.and_then(|of| of.vlan.policy.as_ref()) {
            Some(vlan) => vlan.entering(tag),
            None => Ok(tag.tci()),
        }
    }

    /// The tag with which an adapter gets a frame; refused if the frame is not for it.
    pub fn leaving(&self, at: u32, tag: Tag) -> Result<Option<u16>, DropReason> {
        match self.at(at).and_then(|of| of.vlan.policy.as_ref()) {
            Some(vlan) => vlan.leaving(tag),
            None => Ok(tag.tci()),
        }
    }
}

#[cfg(test)]
mod tests;
