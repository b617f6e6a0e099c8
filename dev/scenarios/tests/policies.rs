//! Policies of a Hyper-V switch's ports, as packets through the extension meet them.
//!
//! Port 1 has the policy; packets of port 2 are whatever others send, and port 3 is a bystander without one.

use packet::DropReason;
use scenarios::{Extension, parse, run};
use switch_ext::{Policy, Security, VlanPolicy, VlanSet};

const NAMES: &str = "let own eth 02:00:00:00:00:01 > 02:00:00:00:00:02
let other eth 02:00:00:00:00:02 > 02:00:00:00:00:01
let udp ip 10.0.0.1 > 10.0.0.2 / udp 4096 > 53 / \"data\"
";

/// What happens on an extension whose first port has these policies.
fn with(policies: Vec<Policy>, steps: &str) {
    let scenario = parse("policies", &format!("{NAMES}scenario a policy\n{steps}")).remove(0);
    let mut host = Extension::new(&scenario.ports);
    policies.into_iter().for_each(|policy| host.police(1, policy));
    run("policies", &scenario, &mut host).unwrap_or_else(|why| panic!("{why}"));
}

fn dropped((reason, packet): (DropReason, &str)) -> String {
    format!("  packet {packet}\n  drop {}\n", reason.name())
}

/// Flows that say in which VLAN a packet of port 1 is, by the port it goes to; what others send goes to port 1.
const FLOWS: &str = "  flow in_port(1),eth_type(0x0800) => 2
  flow in_port(1),eth_type(0x8100),vlan(vid=5,pcp=0),encap(eth_type(0x0800)) => 2
  flow in_port(1),eth_type(0x8100),vlan(vid=7,pcp=0),encap(eth_type(0x0800)) => 3
  flow in_port(2) => 1
";

#[test]
fn an_access_ports_frames_are_in_its_vlan_and_its_adapter_sees_no_tag() {
    let kept = "  packet 1: $own / $udp\n  out 2: $own / vlan 5 / $udp\n  packet 2: $other / vlan 5 pcp 3 / $udp\n  out 1: $other / $udp\n";
    let refused = [
        (DropReason::ForeignVlan, "1: $own / vlan 5 / $udp"),
        (DropReason::ForeignVlan, "1: $own / vlan 7 / $udp"),
        (DropReason::ForeignVlan, "2: $other / $udp"),
        (DropReason::ForeignVlan, "2: $other / vlan 7 / $udp"),
        (DropReason::ForeignVlan, "2: $other / vlan 5 tpid 0x88a8 / $udp"),
    ];
    let refused: String = refused.into_iter().map(dropped).collect();
    with(vec![Policy::Vlan(Some(VlanPolicy::Access(5)))], &format!("{FLOWS}{kept}{refused}{kept}"));
}

#[test]
fn a_trunks_adapter_tags_and_its_native_vlan_has_no_tag() {
    let carried = VlanSet::try_of([1 << 5 | 1 << 7].into_iter()).expect("memory");
    let kept = "  packet 1: $own / $udp\n  out 2: $own / vlan 5 / $udp\n  packet 1: $own / vlan 7 / $udp\n  out 3: $own / vlan 7 / $udp\n  packet 2: $other / vlan 7 / $udp\n  out 1: $other / vlan 7 / $udp\n  packet 2: $other / vlan 5 / $udp\n  out 1: $other / $udp\n";
    let refused = [
        (DropReason::ForeignVlan, "1: $own / vlan 8 / $udp"),
        (DropReason::ForeignVlan, "2: $other / vlan 8 / $udp"),
        (DropReason::ForeignVlan, "2: $other / $udp"),
    ];
    let refused: String = refused.into_iter().map(dropped).collect();
    let trunk = VlanPolicy::Trunk { native: 5, carried };
    with(vec![Policy::Vlan(Some(trunk))], &format!("{FLOWS}{kept}{refused}"));
}

#[test]
fn an_adapter_sends_from_its_own_address_alone() {
    let kept =
        "  packet 1: $own / $udp\n  out 2: $own / $udp\n  packet 2: $own / $udp\n  out 1: $own / $udp\n";
    let refused = dropped((DropReason::ForeignSource, "1: $other / $udp"));
    let policy = |may_spoof| vec![Policy::Security(Security { may_spoof, may_prioritise: false })];
    with(policy(false), &format!("{FLOWS}{kept}{refused}{kept}"));
    let spoofed = "  packet 1: $other / $udp\n  out 2: $other / $udp\n";
    with(policy(true), &format!("{FLOWS}{kept}{spoofed}"));
    with(
        vec![],
        &format!("{FLOWS}{kept}{spoofed}  packet 1: $own / vlan 7 / $udp\n  out 3: $own / vlan 7 / $udp\n"),
    );
}
