//! The hosts that scenarios run on.
//!
//! Where it sits: each wraps a datapath as its users have it; the runner drives them alike.

mod bare;
mod dummy_ports;
mod extension;

pub use bare::Core;
pub use dummy_ports::DummyPorts;
pub use extension::Extension;

/// Set up as a host of virtual machines with provider bridges is: two tags are parsed.
fn config() -> datapath::Config {
    datapath::Config { vlan_limit: 2, ..datapath::Config::default() }
}

fn limit_connections(table: &conntrack::Conntrack, most: u32, zone: Option<u16>) {
    match zone {
        None => table.set_max_conns(most),
        // Whether it had one before is nobody's matter.
        Some(zone) => drop(table.set_zone_limit(zone, Some(most))),
    }
}
