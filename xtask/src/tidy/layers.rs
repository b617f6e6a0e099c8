//! The layer rule: which crate may import which, as one list.
//!
//! Where it sits: the list is the authority; a crate's manifest may name less, never more. Each crate names only crates
//! that stand above it in the list, so the list cannot hold a cycle.
//!
//! Spec: ARCHITECTURE.md, "Crates".

use super::{metadata, none};

/// A crate, and the crates it may import.
type Allowed = (&'static str, &'static [&'static str]);

const LAYERS: &[Allowed] = &[
    // L1: the kernel set's ground
    ("sync", &[]),
    ("wire", &[]),
    ("netlink", &[]),
    ("packet", &["wire"]),
    // L2: the kernel set
    ("flow", &["wire", "packet"]),
    ("odp", &["sync", "wire", "netlink", "packet", "flow"]),
    ("tunnel", &["wire", "packet", "odp"]),
    ("classifier", &["sync", "flow"]),
    ("conntrack", &["sync", "wire", "packet", "flow"]),
    ("datapath", &["sync", "wire", "packet", "flow", "odp", "tunnel", "classifier", "conntrack"]),
    ("device", &["sync", "wire", "netlink", "packet", "flow", "odp", "classifier", "conntrack", "datapath"]),
    ("switch-ext", &["sync", "wire", "packet", "flow", "odp", "tunnel", "conntrack", "datapath", "device"]),
    // L3: the control plane, pure
    ("openflow", &["wire", "packet", "flow"]),
    ("ofproto", &["packet", "flow", "classifier", "openflow"]),
    ("xlate", &["wire", "packet", "flow", "odp", "tunnel", "classifier", "openflow", "ofproto"]),
    ("ovsdb", &[]),
    ("ovsdb-engine", &["ovsdb"]),
    ("ovsdb-idl", &["ovsdb"]),
    ("dpif", &["wire", "packet", "flow", "odp", "conntrack", "datapath"]),
    // L4: sockets, threads and clocks begin here
    ("netdev", &["wire", "packet", "flow", "odp", "tunnel"]),
    ("netdev-linux", &["wire", "netlink", "packet", "netdev"]),
    ("stream", &["ovsdb", "ovsdb-idl"]),
    ("daemon", &["ovsdb", "stream"]),
    ("dpif-netdev", &["sync", "wire", "packet", "flow", "odp", "conntrack", "datapath", "dpif", "netdev"]),
    (
        "dpif-device",
        &["wire", "netlink", "packet", "flow", "odp", "conntrack", "datapath", "device", "dpif", "netdev"],
    ),
    (
        "switch",
        &[
            "wire",
            "packet",
            "flow",
            "odp",
            "classifier",
            "conntrack",
            "datapath",
            "openflow",
            "ofproto",
            "xlate",
            "dpif",
        ],
    ),
    ("ndis-sys", &[]),
    ("ndis", &["ndis-sys", "sync"]),
    (
        "ovsext",
        &[
            "sync",
            "wire",
            "packet",
            "flow",
            "odp",
            "conntrack",
            "datapath",
            "device",
            "switch-ext",
            "ndis-sys",
            "ndis",
        ],
    ),
    (
        "hyperv-sim",
        &[
            "sync",
            "wire",
            "netlink",
            "packet",
            "flow",
            "odp",
            "tunnel",
            "conntrack",
            "datapath",
            "openflow",
            "xlate",
            "dpif",
            "netdev",
            "netdev-linux",
            "device",
            "switch",
            "switch-ext",
            "ndis-sys",
            "ovsext",
        ],
    ),
    // L5: programs
    (
        "vswitchd",
        &[
            "sync",
            "wire",
            "packet",
            "flow",
            "odp",
            "classifier",
            "conntrack",
            "datapath",
            "openflow",
            "ofproto",
            "xlate",
            "ovsdb",
            "ovsdb-idl",
            "dpif",
            "switch",
            "netdev",
            "netdev-linux",
            "dpif-netdev",
            "dpif-device",
            "stream",
            "daemon",
        ],
    ),
    (
        "ovsextd",
        &[
            "sync",
            "wire",
            "netlink",
            "packet",
            "odp",
            "conntrack",
            "datapath",
            "device",
            "dpif",
            "netdev",
            "netdev-linux",
            "dpif-netdev",
            "stream",
            "daemon",
        ],
    ),
    ("ovsdb-server", &["ovsdb", "ovsdb-engine", "stream", "daemon"]),
    (
        "tools",
        &[
            "wire",
            "packet",
            "flow",
            "odp",
            "conntrack",
            "openflow",
            "ovsdb",
            "ovsdb-engine",
            "ovsdb-idl",
            "stream",
            "daemon",
        ],
    ),
    ("sandbox", &[]),
    ("oxvs", &["sandbox"]),
    // links the whole kernel set into a Windows image
    (
        "kernel-probe",
        &[
            "sync",
            "wire",
            "netlink",
            "packet",
            "flow",
            "odp",
            "classifier",
            "conntrack",
            "datapath",
            "device",
            // heap and panics
            "ndis",
        ],
    ),
    // for tests only
    ("testkit", &["sandbox"]),
    ("e2e", &["testkit", "sandbox"]),
    (
        "scenarios",
        &[
            "wire",
            "packet",
            "flow",
            "odp",
            "netlink",
            "device",
            "conntrack",
            "datapath",
            "dpif",
            "netdev",
            "dpif-netdev",
            "switch-ext",
            "testkit",
        ],
    ),
    (
        "fuzz",
        &[
            "wire",
            "packet",
            "flow",
            "odp",
            "netlink",
            "tunnel",
            "conntrack",
            "datapath",
            "device",
            "ovsdb",
            "ovsdb-engine",
            "testkit",
        ],
    ),
    ("xtask", &["testkit", "sandbox"]),
];

/// Reachable from anywhere, but only as dev-dependencies.
const DEV_ONLY: [&str; 5] = ["testkit", "e2e", "scenarios", "fuzz", "xtask"];

fn allowed(name: &str) -> Option<&'static [&'static str]> {
    LAYERS.iter().find(|(known, _)| *known == name).map(|(_, imports)| *imports)
}

#[test]
fn list_is_acyclic() {
    let mut complaints = Vec::new();
    for (index, (name, imports)) in LAYERS.iter().enumerate() {
        for import in *imports {
            if !LAYERS[..index].iter().any(|(above, _)| above == import) {
                complaints
                    .push(format!("{name} may import {import}, which does not stand above it in the list"));
            }
        }
    }
    none(complaints);
}

#[test]
fn crates_import_downward_only() {
    let mut complaints = Vec::new();
    for package in metadata::packages().iter().filter(|package| package.member) {
        let Some(imports) = allowed(&package.name) else {
            complaints.push(format!("{} is not in the list of layers", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.local) {
            let name = dependency.name.as_str();
            let fine = if dependency.dev {
                DEV_ONLY.contains(&name) || is_below(name, &package.name)
            } else {
                imports.contains(&name)
            };
            if !fine {
                complaints.push(format!("{} must not import {name}", package.name));
            }
        }
    }
    none(complaints);
}

/// Tests of a crate may use any crate that stands above it in the list.
fn is_below(import: &str, of: &str) -> bool {
    let place = |wanted: &str| LAYERS.iter().position(|(name, _)| *name == wanted);
    place(import) < place(of)
}
