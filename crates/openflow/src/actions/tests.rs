use super::*;
use crate::{FlowModCommand, text};

/// Parses a flow, prints its actions, and takes them through the bytes of every version that can carry them.
fn check_flow(flow: &str, printed: &str) {
    let names = Names::none();
    let (fm, usable) =
        text::flow::parse(flow, FlowModCommand::Add, &names).unwrap_or_else(|e| panic!("{flow}: {e}"));
    assert_eq!(format(&fm.actions, &names), printed, "{flow}");
    for version in Version::ALL {
        if !usable.intersects(crate::Protocols::of_version(version)) {
            continue;
        }
        let mut bytes = Vec::new();
        encode_instructions(&fm.actions, version, &mut bytes)
            .unwrap_or_else(|e| panic!("{flow} {version}: {e}"));
        let mut decoded =
            decode_instructions(&bytes, version).unwrap_or_else(|e| panic!("{flow} {version}: {e}"));
        let cx = CheckContext { matcher: &fm.matcher, max_ports: 0xff00, table_id: 0, n_tables: 255 };
        check(&mut decoded, &cx, usable).unwrap_or_else(|e| panic!("{flow} {version}: {e}"));
        // What a version turned the actions into, it keeps.
        let mut again = Vec::new();
        encode_instructions(&decoded, version, &mut again).unwrap();
        assert_eq!(again, bytes, "{flow} {version}: {decoded:?}");
    }
}

#[test]
fn texts_and_bytes_round_trip() {
    check_flow("actions=1,NORMAL,FLOOD,controller,in_port", "output:1,NORMAL,FLOOD,CONTROLLER:65535,IN_PORT");
    check_flow("actions=", "drop");
    check_flow(
        "ip,actions=ct(commit,zone=5,table=3,nat(src=1.2.3.4-1.2.3.9:80-90),exec(load:1->ct_mark))",
        "ct(commit,table=3,zone=5,nat(src=1.2.3.4-1.2.3.9:80-90),exec(load:0x1->NXM_NX_CT_MARK[]))",
    );
    check_flow("actions=resubmit(1,2),resubmit(,3),resubmit:4", "resubmit(1,2),resubmit(,3),resubmit:4");
    check_flow(
        "actions=set_field:5/7->xxreg0,move:reg0[0..3]->reg1[4..7],goto_table:9",
        "set_field:0x5/0x7->xxreg0,move:NXM_NX_REG0[0..3]->NXM_NX_REG1[4..7],goto_table:9",
    );
    check_flow(
        "actions=learn(table=1,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
        "learn(table=1,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
    );
}
