use alloc::vec;

use super::*;
use crate::platform::Snapshot;
use crate::policy::Security;

fn port(id: u32, kind: PortKind, name: &str) -> PortInfo {
    PortInfo { id, kind, name: name.into(), validation: false }
}

fn nic(port: u32, index: u16, kind: NicKind, name: &str) -> NicInfo {
    NicInfo {
        id: NicId { port, index },
        kind,
        name: name.into(),
        mac: EthAddr::ZERO,
        given: EthAddr::ZERO,
        mtu: 1500,
        guid: [0; 16],
    }
}

fn to(ports: &Ports, number: OdpPort) -> Option<NicId> {
    ports.destination(number).map(|to| to.nic)
}

fn with_vm(ports: &mut Ports, id: u32, name: &str) {
    ports.create_port(port(id, PortKind::Synthetic, name)).unwrap();
    ports.port_created(id, true);
    ports.create_nic(nic(id, 0, NicKind::Synthetic, "Network Adapter")).unwrap();
    ports.nic_created(NicId { port: id, index: 0 }, true);
    assert!(ports.connect_nic(NicId { port: id, index: 0 }));
}

#[test]
fn a_port_keeps_its_number_while_its_adapter_is_away() {
    let mut ports = Ports::default();
    with_vm(&mut ports, 7, "vm1");
    let id = NicId { port: 7, index: 0 };
    assert_eq!(ports.source(id), None, "not bound yet");
    let number = OdpPort(1);
    ports.bind("vm1", number).unwrap();
    assert_eq!(ports.source(id).map(|s| (s.number, s.external)), Some((number, false)));
    assert_eq!(to(&ports, number), Some(id));
    ports.disconnect_nic(id);
    assert_eq!((ports.source(id), to(&ports, number)), (None, None));
    ports.delete_nic(id);
    ports.tear_down_port(7);
    ports.delete_port(7);
    with_vm(&mut ports, 9, "vm1");
    assert_eq!(to(&ports, number), Some(NicId { port: 9, index: 0 }), "back under another id");
    ports.unbind(number).unwrap();
    assert_eq!((to(&ports, number), ports.unbind(number)), (None, Err(VportError::NotFound)));
}

#[test]
fn a_refused_creation_leaves_nothing() {
    let mut ports = Ports::default();
    ports.create_port(port(3, PortKind::Synthetic, "x")).unwrap();
    ports.port_created(3, false);
    ports.create_nic(nic(3, 0, NicKind::Synthetic, "n")).unwrap();
    assert_eq!(ports.bind("x", OdpPort(1)), Err(VportError::NoDevice), "not before the switch agrees");
    ports.nic_created(NicId { port: 3, index: 0 }, false);
    assert!(ports.ports.is_empty() && ports.nics.is_empty());
}

#[test]
fn physical_adapters_of_a_team_are_bound_one_by_one() {
    let mut ports = Ports::default();
    ports.create_port(port(1, PortKind::External, "external")).unwrap();
    ports.port_created(1, true);
    for (index, name) in [(0, "switch"), (1, "Ethernet0"), (2, "Ethernet1")] {
        let id = NicId { port: 1, index };
        ports.create_nic(nic(1, index, NicKind::External, name)).unwrap();
        ports.nic_created(id, true);
        assert!(ports.connect_nic(id) && !ports.connect_nic(id));
    }
    assert_eq!(
        ports.bind("switch", OdpPort(4)),
        Err(VportError::NoDevice),
        "the port's own adapter is no port"
    );
    let (first, second) = (OdpPort(4), OdpPort(1));
    ports.bind("Ethernet0", first).unwrap();
    assert_eq!(ports.bind("Ethernet1", first), Err(VportError::Busy));
    ports.bind("Ethernet1", second).unwrap();
    assert_eq!(ports.bind("Ethernet1", OdpPort(2)), Err(VportError::Exists));
    assert_eq!(to(&ports, first), Some(NicId { port: 1, index: 1 }));
    assert_eq!(to(&ports, second), Some(NicId { port: 1, index: 2 }));
    assert!(ports.source(NicId { port: 1, index: 2 }).unwrap().external);
}

#[test]
fn a_renamed_port_is_another_port() {
    let mut ports = Ports::default();
    with_vm(&mut ports, 7, "vm1");
    let number = OdpPort(1);
    ports.bind("vm1", number).unwrap();
    ports.update_port(port(7, PortKind::Synthetic, "vm2"));
    assert_eq!(to(&ports, number), None);
    ports.update_port(port(7, PortKind::Synthetic, "vm1"));
    assert_eq!(to(&ports, number), Some(NicId { port: 7, index: 0 }));
    ports.tear_down_port(7);
    assert_eq!(to(&ports, number), None);
}

#[test]
fn a_reserved_name_is_bound_when_its_adapter_comes() {
    let mut ports = Ports::default();
    let (number, id) = (OdpPort(5), NicId { port: 7, index: 0 });
    assert_eq!(ports.bind("vm1", number), Err(VportError::NoDevice));
    ports.reserve("vm1", number).unwrap();
    assert_eq!((ports.netdev("vm1"), ports.named(id)), (None, None));
    with_vm(&mut ports, 7, "vm1");
    assert_eq!(to(&ports, number), Some(id));
    let named = Named { name: "vm1".into(), kind: NicKind::Synthetic, number: Some(number) };
    assert_eq!(ports.named(id), Some(named));
    assert_eq!(ports.netdev("vm1"), Some((EthAddr::ZERO, 1500, true)));
}

#[test]
fn adapters_that_nobody_has_bound_are_listed_while_they_are_connected() {
    let mut ports = Ports::default();
    let names =
        |ports: &Ports| -> Vec<String> { ports.unbound().unwrap().into_iter().map(|n| n.name).collect() };
    with_vm(&mut ports, 7, "vm1");
    with_vm(&mut ports, 8, "vm2");
    assert_eq!(names(&ports), ["vm1", "vm2"]);
    ports.bind("vm1", OdpPort(1)).unwrap();
    assert_eq!(names(&ports), ["vm2"]);
    ports.disconnect_nic(NicId { port: 8, index: 0 });
    assert!(names(&ports).is_empty());
    ports.unbind(OdpPort(1)).unwrap();
    assert_eq!(names(&ports), ["vm1"]);
}

/// What a request tells of an adapter.
type Telling = fn(&mut Ports, NicId);

fn answer_with_vm(id: u32) -> Snapshot {
    Snapshot {
        active: true,
        ports: vec![port(id, PortKind::Synthetic, "vm")],
        policies: vec![(id, Policy::Security(Security { may_spoof: true, may_prioritise: true }))],
        nics: vec![(nic(id, 0, NicKind::Synthetic, "Network Adapter"), true)],
    }
}

#[test]
fn what_requests_tell_is_newer_than_an_answer() {
    let id = NicId { port: 7, index: 0 };
    let learned = |tell: Telling, before: bool| {
        let mut ports = Ports::default();
        if before {
            with_vm(&mut ports, 7, "vm");
        }
        let asked = ports.moment();
        tell(&mut ports, id);
        let mut now = Vec::with_capacity(1);
        (ports.learn(asked, answer_with_vm(7), &mut now), now, ports)
    };
    let (done, now, ports) = learned(|_, _| {}, false);
    assert_eq!((done, now), (Ok(()), vec![id]));
    assert_eq!(ports.netdev("vm").map(|(.., up)| up), Some(true));

    // Known before: the answer says nothing that requests did not.
    let (done, now, _) = learned(|_, _| {}, true);
    assert_eq!((done, now), (Ok(()), vec![]));
    let (done, now, ports) = learned(|ports, id| ports.disconnect_nic(id), true);
    assert_eq!((done, now), (Ok(()), vec![]));
    assert_eq!(ports.netdev("vm").map(|(.., up)| up), Some(false), "it stays disconnected");

    // Not known, or known no longer: the answer is of before, and nothing of it counts.
    let tellings: [(&str, Telling, bool); 9] = [
        ("disconnected", |ports, id| ports.disconnect_nic(id), false),
        ("deleted", |ports, id| ports.delete_nic(id), false),
        ("torn down", |ports, id| ports.tear_down_port(id.port), false),
        ("port deleted", |ports, id| ports.delete_port(id.port), false),
        ("port renamed", |ports, id| ports.update_port(port(id.port, PortKind::Synthetic, "x")), false),
        ("changed", |ports, id| ports.update_nic(nic(id.port, 0, NicKind::Synthetic, "x")), false),
        ("connected", |ports, id| assert!(!ports.connect_nic(id)), false),
        ("deleted later", |ports, id| ports.delete_nic(id), true),
        ("port deleted later", |ports, id| ports.delete_port(id.port), true),
    ];
    for (what, tell, before) in tellings {
        let (done, now, ports) = learned(tell, before);
        assert_eq!((done, now), (Err(Unlearned::Outdated), vec![]), "{what}");
        assert!(before || ports.ports.is_empty() && ports.nics.is_empty(), "{what}");
    }
}
