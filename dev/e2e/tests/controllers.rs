//! Who has a bridge's rules: controllers, or the bridge itself while there is none or none answers.

use e2e::{dummy_bridge, ours};
use testkit::{Peer, Pki, Suite, SwitchUnderTest, oracle};

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

/// A bridge that listens for controllers on TLS, and the options of a client that it believes.
fn over_tls(suite: &Suite, pki: &Pki) -> (SwitchUnderTest, u16) {
    let pair = dummy_bridge(suite, &[]);
    let keys = [pki.key(Peer::Server), pki.certificate(Peer::Server), pki.authority()];
    pair.ok(suite, "ovs-vsctl", &["set-ssl", &keys[0], &keys[1], &keys[2]]);
    pair.ok(suite, "ovs-vsctl", &["set-controller", "br0", "pssl:0:127.0.0.1"]);
    let port = || -> Option<u16> {
        let log = std::fs::read_to_string(pair.path("ovs-vswitchd.log")).ok()?;
        let line = log.lines().find(|line| line.contains("0:127.0.0.1: listening on port"))?;
        line.rsplit(' ').next()?.parse().ok()
    };
    pair.await_true("the bridge listens", || port().is_some());
    let port = port().expect("just seen");
    (pair, port)
}

#[test]
fn openflow_over_tls_is_spoken_with_whom_the_authority_knows() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    let Some(pki) = Pki::new(&c) else { return };
    for switch in [&ours, &c] {
        let (pair, port) = over_tls(switch, &pki);
        let remote = format!("ssl:127.0.0.1:{port}");
        for client in [&ours, &c] {
            let ask = |identity: &[String]| {
                let words = ["--timeout=10", "dump-desc", &remote].map(str::to_owned);
                pair.run(client, "ovs-ofctl", &[identity, &words].concat())
            };
            let ran = ask(&pki.trusting(Peer::Client));
            assert!(ran.status == Some(0) && ran.stdout.contains("Open vSwitch"), "{ran:?}");
            let mut wary = pki.trusting(Peer::Client);
            wary[2] = format!("--ca-cert={}", pki.stranger());
            let ran = ask(&wary);
            // C says the other where the peer's certificate is there before it first waits.
            let said = |text: &str| ran.stderr.ends_with(&format!("ovs-ofctl: {text} (Protocol error)\n"));
            let refused = said(&format!("{remote}: failed to connect to socket"));
            let early = std::ptr::eq(client, &raw const c) && said(&format!("connecting to {remote}"));
            assert!(ran.status == Some(1) && (refused || early), "{ran:?}");
        }
    }
}
