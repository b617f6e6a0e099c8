//! The machines and links of the demonstration, as namespaces and veth pairs.
//!
//! Where it sits: built by `demo::inside` before anything else; knows nothing of switches.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};

use super::Offload;

/// How the hypervisors are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// By a VXLAN tunnel, over a network that knows nothing of the machines.
    #[default]
    Vxlan,
    /// By a VLAN trunk.
    Trunk,
}

/// What the first hypervisor is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum First {
    /// Linux, as the second.
    #[default]
    Linux,
    /// A simulated Hyper-V with the driver's image in this file, or linked in.
    HyperV(Option<PathBuf>),
}

/// A hypervisor's address in the network between them.
pub fn underlay(hypervisor: &str) -> &'static str {
    if hypervisor == "hv1" { "192.168.9.1" } else { "192.168.9.2" }
}

/// The Ethernet address that goes with it.
pub fn underlay_mac(hypervisor: &str) -> &'static str {
    if hypervisor == "hv1" { "02:00:00:00:09:01" } else { "02:00:00:00:09:02" }
}

/// The other hypervisor's address.
pub fn remote(hypervisor: &str) -> &'static str {
    if hypervisor == "hv1" { "192.168.9.2" } else { "192.168.9.1" }
}

/// Shown first.
pub const fn picture(link: Link, first: &First) -> &'static str {
    match (link, first) {
        (Link::Vxlan, First::Linux) => TUNNEL_PICTURE,
        (Link::Trunk, First::Linux) => TRUNK_PICTURE,
        (_, First::HyperV(_)) => HYPERV_PICTURE,
    }
}

const HYPERV_PICTURE: &str = "
   hypervisor hv1: Hyper-V, simulated            hypervisor hv2: Linux

   vm1 10.0.0.1 -- VLAN 10 +                  + VLAN 10 -- vm3 10.0.0.3
                           br-int == VXLAN == br-int
   vm2 10.0.0.2 -- VLAN 10 +                  + VLAN 20 -- vm4 10.0.0.4
                           br-phy ---------- br-phy
                      192.168.9.1              192.168.9.2
";

const TUNNEL_PICTURE: &str = "
   hypervisor hv1                                hypervisor hv2

   vm1 10.0.0.1 -- VLAN 10 +                  + VLAN 10 -- vm3 10.0.0.3
                           br-int == VXLAN == br-int
   vm2 10.0.0.2 -- VLAN 10 +                  + VLAN 20 -- vm4 10.0.0.4
                           br-phy ---------- br-phy
                      192.168.9.1              192.168.9.2
";

const TRUNK_PICTURE: &str = "
   hypervisor hv1                                hypervisor hv2

   vm1 10.0.0.1 -- VLAN 10 +                  + VLAN 10 -- vm3 10.0.0.3
                           br-int == trunk == br-int
   vm2 10.0.0.2 -- VLAN 10 +                  + VLAN 20 -- vm4 10.0.0.4
";

/// Both hypervisors; each is a namespace of its own.
pub const HYPERVISORS: [&str; 2] = ["hv1", "hv2"];

/// A virtual machine: a namespace with one link into its hypervisor.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name, and its port's name on the bridge.
    pub name: &'static str,
    /// Where it runs.
    pub hypervisor: &'static str,
    /// The VLAN of its port.
    pub vlan: u16,
    /// Its address; all share one subnet, so that only the VLAN keeps them apart.
    pub address: &'static str,
    /// Its hardware address.
    pub mac: &'static str,
    /// Its OpenFlow port number.
    pub ofport: u16,
}

/// All of them.
pub const MACHINES: [Machine; 4] = [VM1, VM2, VM3, VM4];

/// On hv1, in VLAN 10.
pub const VM1: Machine = machine("vm1", "hv1", 10, ["10.0.0.1", "02:00:00:00:00:01"], 1);
/// On hv1, in VLAN 10.
pub const VM2: Machine = machine("vm2", "hv1", 10, ["10.0.0.2", "02:00:00:00:00:02"], 2);
/// On hv2, in VLAN 10.
pub const VM3: Machine = machine("vm3", "hv2", 10, ["10.0.0.3", "02:00:00:00:00:03"], 1);
/// On hv2, in VLAN 20: another tenant.
pub const VM4: Machine = machine("vm4", "hv2", 20, ["10.0.0.4", "02:00:00:00:00:04"], 2);

const fn machine(
    name: &'static str,
    hypervisor: &'static str,
    vlan: u16,
    [address, mac]: [&'static str; 2],
    ofport: u16,
) -> Machine {
    Machine { name, hypervisor, vlan, address, mac, ofport }
}

impl Machine {
    /// A command that runs inside this machine.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        inside(self.name, program)
    }
}

/// A command that runs inside a namespace.
pub fn inside(namespace: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// Makes the namespaces and joins them.
pub fn build(offload: Offload) -> Result<()> {
    for name in HYPERVISORS.into_iter().chain(MACHINES.iter().map(|machine| machine.name)) {
        ip(&format!("netns add {name}"))?;
        ip(&format!("-n {name} link set lo up"))?;
        quieten(name);
    }
    ip("link add trunk netns hv1 type veth peer name trunk netns hv2")?;
    // room for the tunnel's headers
    HYPERVISORS.iter().try_for_each(|name| ip(&format!("-n {name} link set trunk mtu 1600 up")))?;
    for machine in &MACHINES {
        let Machine { name, hypervisor, address, mac, .. } = machine;
        ip(&format!("link add {name} netns {hypervisor} type veth peer name eth0 netns {name}"))?;
        ip(&format!("-n {name} link set eth0 address {mac}"))?;
        ip(&format!("-n {name} addr add {address}/24 dev eth0"))?;
        ip(&format!("-n {hypervisor} link set {name} up"))?;
        ip(&format!("-n {name} link set eth0 up"))?;
        if offload == Offload::Off {
            let done = machine.command("ethtool").args(["-K", "eth0", "tx", "off"]).output();
            ensure!(done.context("cannot run ethtool")?.status.success(), "ethtool failed in {name}");
        }
    }
    Ok(())
}

/// No IPv6: its neighbour discovery would move counters that the probes do not account for. Harmless where it fails.
fn quieten(namespace: &str) {
    let script = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6";
    let _ = inside(namespace, "sh").args(["-c", script]).stderr(std::process::Stdio::null()).status();
}

/// Gives a hypervisor its address in the network between them.
pub fn address_underlay(hypervisor: &str) -> Result<()> {
    ip(&format!("-n {hypervisor} addr add {}/24 dev br-phy", underlay(hypervisor)))?;
    ip(&format!("-n {hypervisor} link set br-phy up"))
}

fn ip(words: &str) -> Result<()> {
    let out = Command::new("ip").args(words.split_whitespace()).output().context("cannot run ip")?;
    ensure!(out.status.success(), "ip {words}: {}", String::from_utf8_lossy(&out.stderr).trim());
    Ok(())
}
