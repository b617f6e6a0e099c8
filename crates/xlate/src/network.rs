//! What translation knows of the switch: bridges, ports, bundles; and what it asks of its memory.
//!
//! Where it sits: `switch` builds a [`Network`] whenever the configuration or the rules change, and shares it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use flow::FlowKey;
use ofproto::Snapshot;
use openflow::{Names, OfpPort};
use packet::OdpPort;
use wire::EthAddr;

use crate::{Frozen, Route, Tunnel, TunnelEntry};

/// Counters of a port without a device (patch ports).
#[derive(Debug, Default)]
pub struct PortCounters {
    /// Packets and bytes received.
    pub rx: (AtomicU64, AtomicU64),
    /// Packets and bytes sent.
    pub tx: (AtomicU64, AtomicU64),
}

impl PortCounters {
    pub(crate) fn credit(side: &(AtomicU64, AtomicU64), packets: u64, bytes: u64) {
        side.0.fetch_add(packets, Relaxed);
        side.1.fetch_add(bytes, Relaxed);
    }
}

/// A port of a bridge.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its OpenFlow number.
    pub ofp: OfpPort,
    /// Its name.
    pub name: String,
    /// Its number in the datapath; patch ports have none.
    pub odp: Option<OdpPort>,
    /// Its bundle, an index into the bridge's.
    pub bundle: Option<usize>,
    /// Not flooded to.
    pub no_flood: bool,
    /// Nothing is sent to it.
    pub no_forward: bool,
    /// What it receives is dropped.
    pub no_receive: bool,
    /// It has a carrier.
    pub up: bool,
    /// The other end of a patch: a bridge, an index into the network's, and the port there.
    pub peer: Option<(usize, OfpPort)>,
    /// What tunnel it is.
    pub tunnel: Option<Arc<Tunnel>>,
    /// What a patch port carried.
    pub counters: Arc<PortCounters>,
}

/// How a bundle treats VLAN tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VlanMode {
    /// Frames of one VLAN, without tag.
    Access,
    /// Frames of several VLANs, with tag.
    Trunk,
    /// A trunk; the native VLAN's frames leave with tag.
    NativeTagged,
    /// A trunk; the native VLAN's frames leave without tag.
    NativeUntagged,
}

/// One or more ports that act as one: a row of OVSDB's Port table.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Its name.
    pub name: String,
    /// How it treats tags.
    pub mode: VlanMode,
    /// The access or native VLAN.
    pub tag: u16,
    /// VLANs carried by a trunk; `None` is all.
    pub trunks: Option<Vec<u16>>,
    /// Frames of VLAN 0 keep a tag when they have a priority (`priority-tags`).
    pub priority_tags: bool,
    /// Never sends to other protected bundles.
    pub protected: bool,
    /// Its ports.
    pub ports: Vec<OfpPort>,
}

impl Bundle {
    /// True if frames of `vlan` belong here.
    pub fn carries(&self, vlan: u16) -> bool {
        let trunked = self.trunks.as_ref().is_none_or(|t| t.contains(&vlan));
        match self.mode {
            VlanMode::Access => vlan == self.tag,
            VlanMode::Trunk => trunked,
            // What has no VLAN would come back in the native one.
            VlanMode::NativeTagged | VlanMode::NativeUntagged => vlan == self.tag || vlan != 0 && trunked,
        }
    }
}

/// A bridge.
#[derive(Clone)]
pub struct Bridge {
    /// Its name.
    pub name: String,
    /// Its rules.
    pub rules: Arc<Snapshot>,
    /// Its ports.
    pub ports: BTreeMap<OfpPort, Port>,
    /// Its bundles, in the order in which NORMAL floods.
    pub bundles: Vec<Bundle>,
    /// NORMAL forwards frames to reserved multicast addresses.
    pub forward_bpdu: bool,
    /// A controller wants packets without a rule, for lack of a table-miss flow in its version.
    pub miss_to_controller: bool,
    /// Address of its own port.
    pub hw_addr: EthAddr,
    /// IP addresses of its own port.
    pub addresses: Vec<IpAddr>,
    /// Names for texts.
    pub names: Names,
    /// Where samples go.
    pub sampling: Sampling,
}

/// Where the samples that `sample` takes in a bridge go: rows of OVSDB's Flow_Sample_Collector_Set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampling {
    /// To the switch, for collectors of IPFIX.
    pub ipfix: bool,
    /// The collector sets that are told of tunnels.
    pub tunnels: BTreeSet<u32>,
    /// To groups of listeners beside the switch, by the number of the collector set.
    pub local: BTreeMap<u32, u32>,
}

/// Everything translation knows of the switch.
#[derive(Clone, Default)]
pub struct Network {
    /// Grows with each change.
    pub generation: u64,
    /// The bridges.
    pub bridges: Vec<Arc<Bridge>>,
    /// Which port a datapath's port is.
    pub by_odp: HashMap<OdpPort, (usize, OfpPort)>,
    /// Tunnel ports, several of which may share one of the datapath's.
    pub tunnels: Vec<TunnelEntry>,
    /// The datapath finds the way to a tunnel's other end by itself.
    pub routes_tunnels: bool,
    /// The datapath has listeners of samples beside the switch.
    pub samples_locally: bool,
    /// Lists of actions that end in a sample get a drop behind it.
    pub explicit_sampled_drops: bool,
    /// The datapath's numbers of the timeout policies of zones.
    pub timeout_policies: Arc<BTreeMap<u16, u16>>,
}

impl Network {
    /// A bridge by name.
    pub fn bridge(&self, name: &str) -> Option<(usize, &Arc<Bridge>)> {
        self.bridges.iter().enumerate().find(|(_, b)| b.name == name)
    }

    /// A datapath's key as OpenFlow's tables see it, and the bridge where the packet is; `None` if no bridge has the
    /// port.
    pub fn key_from_datapath(&self, key: &FlowKey) -> Option<(usize, FlowKey)> {
        let odp = OdpPort(key.in_port());
        let (bridge, port) = match self.by_odp.get(&odp) {
            Some(found) => *found,
            None => {
                let ranked = self.tunnels.iter().filter_map(|e| Some((e.rank(odp, key)?, e)));
                let (_, entry) = ranked.min_by_key(|(rank, _)| *rank)?;
                (entry.bridge, entry.ofp)
            }
        };
        let mut key = *key;
        key.set_in_port(port.0);
        Some((bridge, key))
    }
}

/// What translation may ask while it runs, and have remembered.
pub trait Memory {
    /// The port on which a bridge learned an address.
    fn mac(&self, bridge: usize, vlan: u16, mac: EthAddr) -> Option<OfpPort>;

    /// Keeps the state under an id, the same for equal states; `None` if there are too many.
    fn freeze(&self, state: Frozen) -> Option<u32>;

    /// The way to a tunnel's other end, for packets with a mark, and from `source` if that is set.
    fn route(&self, _dst: IpAddr, _mark: u32, _source: Option<IpAddr>) -> Option<Route> {
        None
    }

    /// The Ethernet address of a neighbour of a bridge.
    fn neighbour(&self, _bridge: &str, _address: IpAddr) -> Option<EthAddr> {
        None
    }

    /// The state of an id.
    fn thaw(&self, id: u32) -> Option<Arc<Frozen>>;
}
