//! Who has a bridge's rules: controllers, or the bridge itself while there is none or none answers.

use e2e::{dummy_bridge, ours};
use testkit::{Suite, SwitchUnderTest, oracle};

/// The rules of `br0`, hidden ones too, but not those that exist for controllers behind the bridge itself.
fn rules(pair: &SwitchUnderTest, suite: &Suite) -> String {
    let dump = pair.ok(suite, "ovs-appctl", &["bridge/dump-flows", "br0"]);
    let in_band = |line: &&str| line.contains("priority=1800");
    let rules = dump.lines().filter(|line| !line.starts_with("table_id=254") && !in_band(line));
    rules.map(|line| line.split_once("n_bytes=").expect("a rule").1.to_owned() + "\n").collect()
}

fn drive(suite: &Suite) -> Vec<(String, String)> {
    let pair = dummy_bridge(suite, &[]);
    let ok =
        |program: &str, words: &str| pair.ok(suite, program, &words.split_whitespace().collect::<Vec<_>>());
    ok("ovs-appctl", "time/stop");
    let mut said = Vec::new();
    let mut step = |program: &str, words: &str| {
        let out = ok(program, words);
        said.push((format!("{program} {words}"), out + &rules(&pair, suite)));
    };
    step("ovs-vsctl", "set bridge br0 fail-mode=standalone");
    step("ovs-ofctl", "add-flow br0 priority=7,in_port=1,actions=drop");
    step("ovs-vsctl", "set bridge br0 fail-mode=secure");
    step("ovs-ofctl", "add-flow br0 priority=0,actions=drop");
    step("ovs-vsctl", "set bridge br0 other-config:foo=bar");
    step("ovs-vsctl", "set bridge br0 fail-mode=standalone");
    step("ovs-ofctl", "--no-stats dump-flows br0");
    step("ovs-vsctl", "set-controller br0 tcp:127.0.0.1:1");
    step("ovs-ofctl", "add-flow br0 priority=5,in_port=1,actions=drop");
    step("ovs-appctl", "time/warp 13000 1000");
    step("ovs-appctl", "time/warp 5000 1000");
    step("ovs-ofctl", "--no-stats dump-flows br0");
    step("ovs-vsctl", "--columns=is_connected,role,status find controller is_connected=false");
    step("ovs-ofctl", "add-flow br0 priority=5,in_port=1,actions=drop");
    step("ovs-vsctl", "set-controller br0 ptcp:0:127.0.0.1");
    step("ovs-vsctl", "set-controller br0 tcp:127.0.0.1:1");
    step("ovs-vsctl", "set bridge br0 fail-mode=secure");
    step("ovs-appctl", "time/warp 20000 1000");
    step("ovs-vsctl", "del-controller br0");
    said
}

#[test]
fn a_bridge_does_without_controllers_that_do_not_answer() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    let (ours, theirs) = (drive(&ours), drive(&c));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert!(ours.iter().any(|(_, rules)| rules.contains("priority=15790320")), "{ours:?}");
}
