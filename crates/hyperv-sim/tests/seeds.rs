//! Seeds: each is a whole life of the extension, with guests that talk.

use hyperv_sim::{Plan, Tunnel, run};
use odp::TunnelKind;

/// Seeds of the gate, and of the long gate.
const SHORT: u64 = 300;
const LONG: u64 = 10_000;

#[test]
fn guests_talk_through_the_extension() {
    let (mut passed, mut made, mut carried, mut switches, mut large) = (0, 0, 0, 0, 0);
    let (mut forbidden, mut strangers, mut shared) = (0, 0, 0);
    for seed in 0..20 {
        let c = run(&Plan::of(seed)).counts;
        (passed, made) = (passed + c.passed, made + c.made);
        (carried, switches) = (carried + c.tcp_bytes, switches + c.switches);
        (large, shared) = (large + c.large_sends, shared + c.shared);
        (forbidden, strangers) = (forbidden + c.forbidden, strangers + c.strangers);
    }
    // what policies forbid is tried, and what none forbids arrives
    assert!(forbidden > 100 && strangers > 100, "{forbidden} {strangers}");
    // unchanged packets go on as they are, changed ones as copies, and processors take turns inside the driver
    assert!(passed > 1000 && made > 1000, "{passed} {made}");
    // of long ones only the headers are copied
    assert!(shared > 50, "{shared}");
    assert!(carried > 1_000_000 && switches > 5000 && large > 100, "{carried} {switches} {large}");
}

#[test]
fn a_tunnel_of_each_kind_carries_what_machines_of_two_hypervisors_say() {
    let kinds = [TunnelKind::Vxlan, TunnelKind::Geneve, TunnelKind::Gre, TunnelKind::Stt];
    for (kind, is_ipv6) in kinds.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let tunnel = Tunnel { kind, is_ipv6 };
        let (mut tunnelled, mut cut, mut large) = (0, 0, 0);
        for seed in 100..108 {
            let c = run(&Plan { tunnel: Some(tunnel), ..Plan::of(seed) }).counts;
            assert!(c.tunnelled > 0 && c.tcp_bytes > 0, "{tunnel:?}, seed {seed}: {c:?}");
            (tunnelled, cut) = (tunnelled + c.tunnelled, cut + c.large_sends);
            large += c.tunnelled_large;
        }
        // Large sends go through STT's tunnels whole, and through others in pieces.
        assert!(tunnelled > 600 && cut > 0, "{tunnel:?}: {tunnelled} {cut}");
        assert_eq!(large > 0, kind == TunnelKind::Stt, "{tunnel:?}: {large}");
    }
}

#[test]
fn a_tunnels_end_may_be_in_a_vlan_by_a_policy_of_its_port() {
    for kind in [TunnelKind::Vxlan, TunnelKind::Geneve, TunnelKind::Gre, TunnelKind::Stt] {
        let (mut tunnelled, mut astray) = (0, 0);
        for seed in 200..212 {
            let tunnel = Some(Tunnel { kind, is_ipv6: seed % 2 == 1 });
            let c = run(&Plan { tunnel, ..Plan::of(seed) }).counts;
            (tunnelled, astray) = (tunnelled + c.tunnelled_in_a_vlan, astray + c.astray);
        }
        // what comes in the VLAN is taken, and what is of others, or of none, is sent as well
        assert!(tunnelled > 100 && astray > 10, "{kind:?}: {tunnelled} {astray}");
    }
}

#[test]
fn a_seed_decides_everything() {
    for seed in [7, 9] {
        assert_eq!(run(&Plan::of(seed)), run(&Plan::of(seed)));
    }
}

#[test]
fn allocations_may_fail() {
    let report = run(&Plan::of(3));
    assert!(report.counts.failed_allocations > 0 && report.counts.tcp_bytes > 0, "{:?}", report.counts);
}

#[test]
fn hundreds_of_seeds_break_no_rule() {
    let count = if std::env::var_os("OXVS_LONG").is_some() { LONG } else { SHORT };
    let whole = (0..count).filter(|seed| run(&Plan::of(*seed)).counts.tcp_bytes > 0).count();
    assert_eq!(whole as u64, count, "in every run guests get through");
}
