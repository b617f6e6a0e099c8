//! Where a datapath runs: in this process, or behind a device in another.
//!
//! Where it sits: the engine makes one for each type of datapath. What only one of the two has does nothing at the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use dpif::Dpif;
use dpif_device::DpifDevice;
use dpif_netdev::{DpifNetdev, is_about_threads};
use netdev::Netdev;
use packet::{Instant, OdpPort};

/// A datapath.
pub enum Host {
    /// Its ports and threads are this process's.
    InProcess(Arc<DpifNetdev>),
    /// It is `ovsextd`'s, and outlives this process.
    Device(Arc<DpifDevice>),
}

impl Host {
    /// The datapath as the switch sees it.
    pub fn dpif(&self) -> Arc<dyn Dpif> {
        match self {
            Host::InProcess(host) => host.clone(),
            Host::Device(host) => host.clone(),
        }
    }

    /// The datapath with the threads of this process.
    pub fn in_process(&self) -> Option<&Arc<DpifNetdev>> {
        match self {
            Host::InProcess(host) => Some(host),
            Host::Device(_) => None,
        }
    }

    /// False for a datapath whose process has gone.
    pub fn is_alive(&self) -> bool {
        match self {
            Host::InProcess(_) => true,
            Host::Device(host) => host.is_alive(),
        }
    }

    /// Takes up a datapath whose process is there again; false while there is none.
    pub fn revive(&self) -> bool {
        match self {
            Host::InProcess(_) => true,
            Host::Device(host) => host.revive(),
        }
    }

    /// True for a datapath that outlives this process, with its ports and flows.
    pub fn outlives_us(&self) -> bool {
        matches!(self, Host::Device(_))
    }

    /// The device of a port.
    pub fn netdev(&self, number: OdpPort) -> Option<Arc<dyn Netdev>> {
        match self {
            Host::InProcess(host) => host.netdev(number),
            Host::Device(host) => host.netdev(number),
        }
    }

    /// Every counter of a port, by its name in `Interface.statistics`.
    pub fn counters(&self, number: OdpPort) -> Vec<(String, u64)> {
        if let Host::Device(host) = self {
            let told = host.port_counters(number);
            if !told.is_empty() {
                return told;
            }
        }
        let Some(Ok(stats)) = self.netdev(number).map(|device| device.stats()) else { return Vec::new() };
        stats.iter().map(|(name, n)| (name.to_owned(), n)).collect()
    }

    /// What the process that has opened a port's device knows of it, by keys of `Interface.status`.
    pub fn status(&self, number: OdpPort) -> BTreeMap<String, String> {
        match self {
            Host::InProcess(host) => host.netdev(number).map(|device| device.status()).unwrap_or_default(),
            Host::Device(host) => host.port_status(number),
        }
    }

    /// Pumps the ports that have no descriptor.
    pub fn poll_ports(&self) {
        if let Host::InProcess(host) = self {
            host.poll_ports();
        }
    }

    /// True if adapters came, went or changed since the last call: ports that could not be opened may be now.
    pub fn take_changed(&self) -> bool {
        match self {
            Host::InProcess(_) => false,
            Host::Device(host) => host.take_changed(),
        }
    }

    /// Adapters of virtual machines that came and that nobody has bound, each told once.
    pub fn take_unbound(&self) -> Vec<String> {
        match self {
            Host::InProcess(_) => Vec::new(),
            Host::Device(host) => host.take_unbound(),
        }
    }

    /// Looks at every device again.
    pub fn links_changed(&self) {
        if let Host::InProcess(host) = self {
            host.links_changed();
        }
    }

    /// Does what is due by the clock; returns when to call again.
    pub fn housekeep(&self) -> Instant {
        match self {
            Host::InProcess(host) => host.housekeep(),
            Host::Device(_) => Instant(u64::MAX),
        }
    }

    /// Takes over `Open_vSwitch.other_config`, as far as threads are concerned.
    pub fn set_config(&self, keys: &BTreeMap<String, String>) {
        match self {
            Host::InProcess(host) => host.set_config(keys),
            Host::Device(host) => host.set_config(keys.iter().filter(|(key, _)| is_about_threads(key))),
        }
    }

    /// Takes over `Interface.other_config` of the port of that name, as far as its queues are concerned.
    pub fn set_port_config(&self, name: &str, keys: &BTreeMap<String, String>) {
        match self {
            Host::InProcess(host) => {
                if let Some(port) = host.port_by_name(name) {
                    host.set_port_config(port.number, keys);
                }
            }
            Host::Device(host) => {
                host.set_port_config(name, keys.iter().filter(|(key, _)| is_about_threads(key)));
            }
        }
    }

    /// Makes queues and threads what was asked for.
    pub fn reconfigure(&self) {
        if let Host::InProcess(host) = self {
            host.reconfigure();
        }
    }
}
