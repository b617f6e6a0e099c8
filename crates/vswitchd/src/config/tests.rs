//! Rows in, configuration out.

use super::*;
use crate::testing::{id, replica};

const BR0: (&str, u128, &str) = (
    "Bridge",
    2,
    r#"{"name":"br0","ports":["set",[#3,#5]],"fail_mode":"secure",
    "other_config":["map",[["datapath-id","fedcba9876543210"],["hwaddr","aa:55:aa:55:00:00"]]]}"#,
);

#[test]
fn a_bridge_with_an_access_port() {
    let idl = replica(&[
        ("Open_vSwitch", 1, r#"{"bridges":#2,"next_cfg":7}"#),
        BR0,
        ("Port", 3, r#"{"name":"br0","interfaces":#4}"#),
        ("Interface", 4, r#"{"name":"br0","type":"internal"}"#),
        ("Port", 5, r#"{"name":"p1","interfaces":#6,"tag":9,"trunks":["set",[1,2]]}"#),
        (
            "Interface",
            6,
            r#"{"name":"p1","ofport_request":5,"options":["map",[["peer","p2"]]],"type":"patch"}"#,
        ),
    ]);
    let config = Config::read(idl.replica());
    let br0 = &config.bridges["br0"];
    assert_eq!((config.root, config.next_cfg), (Some(id(1)), 7));
    assert_eq!((br0.fail_mode, br0.datapath_id), (FailMode::Secure, Some(0xfedc_ba98_7654_3210)));
    assert_eq!(br0.hwaddr, Some(EthAddr([0xaa, 0x55, 0xaa, 0x55, 0, 0])));
    assert_eq!(br0.ports.keys().collect::<Vec<_>>(), ["br0", "p1"]);
    let p1 = &br0.ports["p1"];
    assert_eq!((&p1.vlan, p1.interfaces[0].ofport_request), (&Vlan::Access(9), Some(5)));
    assert_eq!((p1.interfaces[0].kind.as_str(), p1.interfaces[0].options["peer"].as_str()), ("patch", "p2"));
    assert_eq!(config.problems, ["port p1: ignoring trunks in favor of implicit vlan"]);
}

#[test]
fn contradictions_are_left_out_and_told() {
    let idl = replica(&[
        ("Open_vSwitch", 1, r#"{"bridges":["set",[#2,#7,#8]]}"#),
        BR0,
        ("Port", 3, r#"{"name":"a","interfaces":#4}"#),
        ("Port", 5, r#"{"name":"b","interfaces":#4}"#),
        ("Interface", 4, r#"{"name":"eth0"}"#),
        ("Bridge", 7, r#"{"name":"../evil"}"#),
        ("Bridge", 8, r#"{"name":"br1"}"#),
    ]);
    let config = Config::read(idl.replica());
    assert_eq!(config.bridges.keys().collect::<Vec<_>>(), ["br0", "br1"]);
    assert_eq!(config.bridges["br0"].ports.keys().collect::<Vec<_>>(), ["a", "br0"]);
    assert_eq!(config.bridges["br0"].ports["a"].interfaces[0].kind, "system");
    let local = &config.bridges["br1"].ports["br1"];
    assert_eq!((local.uuid, local.interfaces[0].kind.as_str()), (None, "internal"));
    assert_eq!(
        config.problems,
        [
            "ignoring bridge with invalid name \"../evil\"",
            "bridge br0: interface eth0 is already in use by bridge br0, ignored",
            "bridge br0: port b has no interfaces, ignored",
        ]
    );
}

#[test]
fn vlan_modes() {
    let vlan = |columns: &str| {
        let idl = replica(&[
            ("Open_vSwitch", 1, r#"{"bridges":#2}"#),
            ("Bridge", 2, r#"{"name":"br0","ports":#3}"#),
            ("Port", 3, &format!(r#"{{"name":"p","interfaces":#4,{columns}}}"#)),
            ("Interface", 4, r#"{"name":"p"}"#),
        ]);
        Config::read(idl.replica()).bridges["br0"].ports["p"].vlan.clone()
    };
    let trunks = BTreeSet::from([1, 5]);
    assert_eq!(vlan(r#""trunks":["set",[1,5]]"#), Vlan::Trunk(trunks.clone()));
    assert_eq!(vlan(r#""vlan_mode":"trunk","tag":5,"trunks":["set",[1,5]]"#), Vlan::Trunk(trunks.clone()));
    assert_eq!(vlan(r#""vlan_mode":"native-untagged","tag":5,"trunks":1"#), Vlan::NativeUntagged(5, trunks));
    assert_eq!(vlan(r#""vlan_mode":"native-tagged","tag":5"#), Vlan::NativeTagged(5, BTreeSet::new()));
    assert_eq!(vlan(r#""vlan_mode":"access""#), Vlan::Access(0));
    assert_eq!(vlan(r#""protected":true"#), Vlan::Trunk(BTreeSet::new()));
}

#[test]
fn datapath_ids() {
    assert_eq!(parse_datapath_id("0000000000000001"), Some(1));
    assert_eq!(parse_datapath_id("0x1"), Some(1));
    for bad in ["1", "0000000000000000", "+000000000000001", "0x", "00000000000000001", "zz"] {
        assert_eq!(parse_datapath_id(bad), None, "{bad}");
    }
}

#[test]
fn collector_sets_belong_to_their_bridge() {
    let idl = replica(&[
        ("Open_vSwitch", 1, r#"{"bridges":["set",[#2,#7]]}"#),
        BR0,
        ("Bridge", 7, r#"{"name":"br1","ipfix":#8}"#),
        ("IPFIX", 8, r#"{"targets":"127.0.0.1:4739"}"#),
        (
            "IPFIX",
            9,
            r#"{"targets":"127.0.0.1:4739","other_config":["map",[["enable-tunnel-sampling","false"]]]}"#,
        ),
        ("Flow_Sample_Collector_Set", 10, r#"{"id":5,"bridge":#2,"ipfix":#8,"local_group_id":42}"#),
        ("Flow_Sample_Collector_Set", 11, r#"{"id":6,"bridge":#2,"ipfix":#9}"#),
        ("Flow_Sample_Collector_Set", 12, r#"{"id":7,"bridge":#7,"local_group_id":0}"#),
    ]);
    let config = Config::read(idl.replica());
    let (br0, br1) = (&config.bridges["br0"].sampling, &config.bridges["br1"].sampling);
    let tunnels = BTreeSet::from([5]);
    assert_eq!(*br0, Sampling { ipfix: true, tunnels, local: BTreeMap::from([(5, 42)]) });
    assert_eq!(*br1, Sampling { ipfix: true, tunnels: BTreeSet::new(), local: BTreeMap::from([(7, 0)]) });
}
