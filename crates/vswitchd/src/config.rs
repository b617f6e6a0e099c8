//! What the database wants the switch to be: a plain value, made anew from the rows after every change.
//!
//! Where it sits: made from the replica; the daemon compares it with what it has set up. Pure.
//!
//! Rows that contradict each other do not stop anything: what cannot be is left out and reported in [`Config::problems`],
//! once for each change, in Open vSwitch's words.
//!
//! Spec: ovs-vswitchd.conf.db(5).

use std::collections::{BTreeMap, BTreeSet};

use ovsdb::Uuid;
use ovsdb_idl::Replica;
use stream::tls::{Authority, Settings};
use wire::EthAddr;
use xlate::Sampling;

use crate::rows::{RowRef, rows};

/// Everything that the database wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The Open_vSwitch row; `None` if the database is not initialised.
    pub root: Option<Uuid>,
    /// The configuration that ovs-vsctl waits for.
    pub next_cfg: i64,
    /// `Open_vSwitch.other_config`.
    pub other_config: BTreeMap<String, String>,
    /// What the database says of TLS, if anything.
    pub tls: Option<Settings>,
    /// Bridges by name.
    pub bridges: BTreeMap<String, Bridge>,
    /// Connection tracking zones by the datapath's type.
    pub zones: BTreeMap<String, Zones>,
    /// What was left out, and why.
    pub problems: Vec<String>,
}

/// Seconds by the keys of `CT_Timeout_Policy.timeouts`.
pub type Timeouts = BTreeMap<String, u32>;

/// Connection tracking zones of a datapath.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Zones {
    /// The limit of zones without one of their own.
    pub default_limit: Option<u32>,
    /// Zones by number.
    pub zones: BTreeMap<u16, Zone>,
}

/// A connection tracking zone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Zone {
    /// How many connections it may have.
    pub limit: Option<u32>,
    /// How long they live without packets.
    pub timeouts: Option<Timeouts>,
}

impl Zones {
    /// True if anything is limited.
    pub fn has_limits(&self) -> bool {
        self.default_limit.is_some() || self.zones.values().any(|zone| zone.limit.is_some())
    }
}

/// A bridge.
#[derive(Clone, Debug, PartialEq)]
pub struct Bridge {
    /// Its row.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// `datapath_type` as written; the daemon normalises it.
    pub datapath_type: String,
    /// Without a controller that answers: forward nothing by itself.
    pub fail_mode: FailMode,
    /// `other_config:datapath-id`, if it is 16 hexadecimal digits.
    pub datapath_id: Option<u64>,
    /// `other_config:hwaddr`, if it is a usable address.
    pub hwaddr: Option<EthAddr>,
    /// OpenFlow versions allowed; empty for the default.
    pub protocols: Vec<String>,
    /// Controllers by target.
    pub controllers: BTreeMap<String, Controller>,
    /// `other_config`, for what has no field here.
    pub other_config: BTreeMap<String, String>,
    /// VLANs on which no address is learned.
    pub flood_vlans: BTreeSet<u16>,
    /// Where samples go.
    pub sampling: Sampling,
    /// Ports by name; the local port is among them, whether the database has it or not.
    pub ports: BTreeMap<String, Port>,
}

/// What a bridge does while no controller is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailMode {
    /// It switches like an ordinary bridge.
    Standalone,
    /// It changes nothing by itself.
    Secure,
}

/// A controller.
#[derive(Clone, Debug, PartialEq)]
pub struct Controller {
    /// Its row.
    pub uuid: Uuid,
    /// Where it is.
    pub target: String,
    /// Longest wait between attempts, in milliseconds.
    pub max_backoff: Option<i64>,
    /// Silence after which it is probed, in milliseconds; zero is never.
    pub inactivity_probe: Option<i64>,
    /// Out of band if set: no hidden flows for it.
    pub connection_mode: String,
    /// Packet-ins a second, if limited.
    pub rate_limit: Option<i64>,
    /// Packet-ins at once.
    pub burst_limit: Option<i64>,
}

/// A port: one interface, or several that are bonded.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its row; `None` for a local port that the database leaves out.
    pub uuid: Option<Uuid>,
    /// Its name.
    pub name: String,
    /// How it treats VLANs.
    pub vlan: Vlan,
    /// Its interfaces, in the order of their names.
    pub interfaces: Vec<Interface>,
    /// `other_config`.
    pub other_config: BTreeMap<String, String>,
    /// Protected ports do not exchange packets with each other.
    pub protected: bool,
}

/// How a port treats VLANs (`vlan_mode`, `tag`, `trunks`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vlan {
    /// Untagged packets of one VLAN.
    Access(u16),
    /// Tagged packets of some VLANs (all if empty), untagged ones as VLAN 0.
    Trunk(BTreeSet<u16>),
    /// A trunk on which VLAN `tag` goes untagged.
    NativeUntagged(u16, BTreeSet<u16>),
    /// A trunk on which untagged packets come in as VLAN `tag`, which goes out tagged.
    NativeTagged(u16, BTreeSet<u16>),
    /// VLANs inside a service VLAN.
    Dot1qTunnel(u16, BTreeSet<u16>),
}

/// An interface.
#[derive(Clone, Debug, PartialEq)]
pub struct Interface {
    /// Its row; `None` for a local interface that the database leaves out.
    pub uuid: Option<Uuid>,
    /// Its name.
    pub name: String,
    /// Its type; `internal` for the local one.
    pub kind: String,
    /// `options`.
    pub options: BTreeMap<String, String>,
    /// OpenFlow port number asked for.
    pub ofport_request: Option<u16>,
    /// Ethernet address asked for.
    pub mac: Option<EthAddr>,
    /// MTU asked for.
    pub mtu_request: Option<u32>,
    /// `other_config`.
    pub other_config: BTreeMap<String, String>,
}

impl Config {
    /// What the rows want.
    pub fn read(replica: &Replica) -> Config {
        let mut config = Config::default();
        let Some(root) = rows(replica, "Open_vSwitch").next() else { return config };
        config.root = Some(root.uuid());
        config.next_cfg = root.integer("next_cfg").unwrap_or(0);
        config.other_config = root.map("other_config");
        config.tls = root.references(replica, "ssl", "SSL").first().map(|row| read_tls(*row));
        for (kind, row) in root.named(replica, "datapaths", "Datapath") {
            if let Some(kind) = kind.as_str() {
                config.zones.insert(kind.to_owned(), read_zones(replica, row));
            }
        }
        let mut taken = BTreeMap::new();
        let mut bridges = root.references(replica, "bridges", "Bridge");
        bridges.sort_by_key(|b| b.string("name"));
        for row in bridges {
            let name = row.string("name");
            if name.contains('/') || name.contains('\\') {
                // The name becomes part of file names.
                config.problems.push(format!("ignoring bridge with invalid name \"{name}\""));
                continue;
            }
            if config.bridges.contains_key(&name) {
                config.problems.push(format!("bridge {name} specified twice"));
                continue;
            }
            let bridge = read_bridge(replica, row, &mut taken, &mut config.problems);
            config.bridges.insert(name, bridge);
        }
        config
    }

    /// True for a key of `Open_vSwitch.other_config` that says `true`.
    pub fn is_set(&self, key: &str) -> bool {
        self.other_config.get(key).is_some_and(|v| v == "true")
    }
}

fn number(row: RowRef<'_>, column: &str) -> Option<u32> {
    row.integer(column).and_then(|n| u32::try_from(n).ok())
}

fn read_zones(replica: &Replica, row: RowRef<'_>) -> Zones {
    let mut zones = Zones { default_limit: number(row, "ct_zone_default_limit"), ..Zones::default() };
    for (zone, row) in row.named(replica, "ct_zones", "CT_Zone") {
        let Some(zone) = zone.as_integer().and_then(|n| u16::try_from(n).ok()) else { continue };
        let policy = row.references(replica, "timeout_policy", "CT_Timeout_Policy");
        let timeouts = policy.first().map(|policy| policy.numbers("timeouts"));
        zones.zones.insert(zone, Zone { limit: number(row, "limit"), timeouts });
    }
    zones
}

fn read_tls(row: RowRef<'_>) -> Settings {
    let text = |column| Some(row.string(column)).filter(|text| !text.is_empty());
    Settings {
        private_key: text("private_key"),
        certificate: text("certificate"),
        authority: match text("ca_cert") {
            None => Authority::Unset,
            Some(file) if file == "none" => Authority::Unverified,
            Some(file) if row.is_true("bootstrap_ca_cert") => Authority::Bootstrap(file),
            Some(file) => Authority::File(file),
        },
        protocols: text("ssl_protocols"),
        ciphers: text("ssl_ciphers"),
        ciphersuites: text("ssl_ciphersuites"),
        ..Settings::default()
    }
}

fn read_bridge(
    replica: &Replica,
    row: RowRef<'_>,
    taken: &mut BTreeMap<String, String>,
    problems: &mut Vec<String>,
) -> Bridge {
    let name = row.string("name");
    let other_config = row.map("other_config");
    let mut bridge = Bridge {
        uuid: row.uuid(),
        datapath_type: row.string("datapath_type"),
        fail_mode: if row.string("fail_mode") == "secure" { FailMode::Secure } else { FailMode::Standalone },
        datapath_id: other_config.get("datapath-id").and_then(|t| parse_datapath_id(t)),
        hwaddr: other_config.get("hwaddr").and_then(|t| t.parse().ok()).filter(|a| is_usable(*a)),
        protocols: row.strings("protocols"),
        controllers: BTreeMap::new(),
        flood_vlans: vlans(&row.integers("flood_vlans")),
        sampling: read_sampling(replica, row),
        ports: BTreeMap::new(),
        other_config,
        name: name.clone(),
    };
    for controller in row.references(replica, "controller", "Controller") {
        let target = controller.string("target");
        if bridge.controllers.contains_key(&target) {
            problems.push(format!("bridge {name}: Duplicate controllers with target \"{target}\""));
            continue;
        }
        bridge.controllers.insert(target, read_controller(controller));
    }
    let mut ports = row.references(replica, "ports", "Port");
    ports.sort_by_key(|p| p.string("name"));
    for port in ports {
        if let Some(port) = read_port(replica, port, &name, taken, problems) {
            bridge.ports.insert(port.name.clone(), port);
        }
    }
    // Every bridge has a local port, also where nobody made a row for it.
    bridge.ports.entry(name.clone()).or_insert_with(|| local_port(&name));
    bridge
}

/// Collector sets are rows of their own, which refer to their bridge.
fn read_sampling<'a>(replica: &'a Replica, bridge: RowRef<'a>) -> Sampling {
    let ipfix_of = |row: RowRef<'a>| row.references(replica, "ipfix", "IPFIX").first().copied();
    let mut sampling = Sampling { ipfix: ipfix_of(bridge).is_some(), ..Sampling::default() };
    let refers = |row: &RowRef<'a>| {
        row.references(replica, "bridge", "Bridge").iter().any(|b| b.uuid() == bridge.uuid())
    };
    for set in rows(replica, "Flow_Sample_Collector_Set").filter(refers) {
        let Some(id) = number(set, "id") else { continue };
        if let Some(ipfix) = ipfix_of(set) {
            sampling.ipfix = true;
            let asked = ipfix.map("other_config").remove("enable-tunnel-sampling");
            if !asked.is_some_and(|value| value.eq_ignore_ascii_case("false")) {
                sampling.tunnels.insert(id);
            }
        }
        if let Some(group) = number(set, "local_group_id") {
            sampling.local.insert(id, group);
        }
    }
    sampling
}

/// 16 hexadecimal digits, optionally after 0x; not zero.
fn parse_datapath_id(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let fits = if digits.len() == text.len() { digits.len() == 16 } else { (1..=16).contains(&digits.len()) };
    let id =
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, 16).ok())??;
    (fits && id != 0).then_some(id)
}

fn is_usable(addr: EthAddr) -> bool {
    !addr.is_multicast() && addr != EthAddr::ZERO
}

fn vlans(ids: &[i64]) -> BTreeSet<u16> {
    ids.iter().filter_map(|id| u16::try_from(*id).ok()).filter(|id| *id < 4096).collect()
}

fn read_controller(row: RowRef<'_>) -> Controller {
    Controller {
        uuid: row.uuid(),
        target: row.string("target"),
        max_backoff: row.integer("max_backoff"),
        inactivity_probe: row.integer("inactivity_probe"),
        connection_mode: row.string("connection_mode"),
        rate_limit: row.integer("controller_rate_limit"),
        burst_limit: row.integer("controller_burst_limit"),
    }
}

fn read_port(
    replica: &Replica,
    row: RowRef<'_>,
    bridge: &str,
    taken: &mut BTreeMap<String, String>,
    problems: &mut Vec<String>,
) -> Option<Port> {
    let name = row.string("name");
    let mut interfaces = Vec::new();
    for iface in row.references(replica, "interfaces", "Interface") {
        let iface_name = iface.string("name");
        if let Some(other) = taken.get(&iface_name) {
            problems.push(format!(
                "bridge {bridge}: interface {iface_name} is already in use by bridge {other}, ignored"
            ));
            continue;
        }
        taken.insert(iface_name, bridge.to_owned());
        interfaces.push(read_interface(iface, bridge));
    }
    interfaces.sort_by(|a, b| a.name.cmp(&b.name));
    if interfaces.is_empty() {
        problems.push(format!("bridge {bridge}: port {name} has no interfaces, ignored"));
        return None;
    }
    let vlan = read_vlan(row, &name, problems);
    let other_config = row.map("other_config");
    Some(Port {
        uuid: Some(row.uuid()),
        name,
        vlan,
        interfaces,
        other_config,
        protected: row.is_true("protected"),
    })
}

fn read_vlan(row: RowRef<'_>, name: &str, problems: &mut Vec<String>) -> Vlan {
    let tag = row.integer("tag").and_then(|t| u16::try_from(t).ok()).filter(|t| *t < 4096);
    let mut trunks = vlans(&row.integers("trunks"));
    match (row.string("vlan_mode").as_str(), tag) {
        ("access", tag) => Vlan::Access(tag.unwrap_or(0)),
        ("trunk", _) => Vlan::Trunk(trunks),
        ("dot1q-tunnel", Some(tag)) => Vlan::Dot1qTunnel(tag, vlans(&row.integers("cvlans"))),
        (mode @ ("native-tagged" | "native-untagged"), tag) => {
            let tag = tag.unwrap_or(0);
            if !trunks.is_empty() {
                trunks.insert(tag);
            }
            if mode == "native-tagged" {
                Vlan::NativeTagged(tag, trunks)
            } else {
                Vlan::NativeUntagged(tag, trunks)
            }
        }
        (_, Some(tag)) => {
            if !trunks.is_empty() {
                let text = "ignoring trunks in favor of implicit vlan";
                problems.push(format!("port {name}: {text}"));
            }
            Vlan::Access(tag)
        }
        (_, None) => Vlan::Trunk(trunks),
    }
}

fn read_interface(row: RowRef<'_>, bridge: &str) -> Interface {
    let name = row.string("name");
    let kind = match row.string("type") {
        _ if name == bridge => "internal".to_owned(),
        kind if kind.is_empty() => "system".to_owned(),
        kind => kind,
    };
    Interface {
        uuid: Some(row.uuid()),
        kind,
        options: row.map("options"),
        ofport_request: row
            .integer("ofport_request")
            .and_then(|p| u16::try_from(p).ok())
            .filter(|p| *p < 0xff00),
        mac: row.string("mac").parse().ok().filter(|a| is_usable(*a)),
        mtu_request: row.integer("mtu_request").and_then(|m| u32::try_from(m).ok()),
        other_config: row.map("other_config"),
        name,
    }
}

fn local_port(bridge: &str) -> Port {
    let interface = Interface {
        uuid: None,
        name: bridge.to_owned(),
        kind: "internal".to_owned(),
        options: BTreeMap::new(),
        ofport_request: None,
        mac: None,
        mtu_request: None,
        other_config: BTreeMap::new(),
    };
    Port {
        uuid: None,
        name: bridge.to_owned(),
        vlan: Vlan::Trunk(BTreeSet::new()),
        interfaces: vec![interface],
        other_config: BTreeMap::new(),
        protected: false,
    }
}

#[cfg(test)]
mod tests;
