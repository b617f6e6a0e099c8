//! Routes under tunnels: tables by number, and rules that choose among them; those of users, and those of the kernel.

use e2e::{DUMMY, SWITCH, dummy_bridge, ours, system};
use testkit::{SwitchUnderTest, sandboxed, skip};

/// Runs a command that must succeed, or what it says if it fails.
fn appctl(pair: &SwitchUnderTest, suite: &testkit::Suite, words: &str) -> Result<String, String> {
    let ran = pair.run(suite, "ovs-appctl", &words.split_whitespace().collect::<Vec<_>>());
    if ran.status == Some(0) {
        return Ok(ran.stdout);
    }
    Err(ran.stderr.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn users_fill_tables_and_say_when_they_are_asked() {
    let Some(suite) = ours() else { return };
    assert!(DUMMY.contains(&"--disable-system-route") && SWITCH.contains(&"ovs-appctl"));
    let pair = dummy_bridge(&suite, &[]);
    let say = |words: &str| appctl(&pair, &suite, words);
    let ok = |words: &str| assert_eq!(say(words).as_deref().map(str::trim_end), Ok("OK"), "{words}");
    let refused = |words: &str, why: &str| assert_eq!(say(words), Err(why.to_owned()), "{words}");
    ok("netdev-dummy/ip4addr br0 1.1.2.92/24");
    ok("ovs/route/add 10.0.0.0/8 br0 1.1.2.1");
    ok("ovs/route/add 10.0.0.0/8 br0 1.1.2.11 table=11");
    ok("ovs/route/add 10.1.0.0/16 br0 table=11 src=1.1.2.92 pkt_mark=5 1.1.2.12");
    assert_eq!(
        say("ovs/route/show").unwrap(),
        "Route Table:\nCached: 1.1.2.92/32 dev br0 SRC 1.1.2.92 local\n\
         Cached: 1.1.2.0/24 dev br0 SRC 1.1.2.92\nUser: 10.0.0.0/8 dev br0 GW 1.1.2.1 SRC 1.1.2.92\n"
    );
    let of_eleven = "User: 10.0.0.0/8 dev br0 GW 1.1.2.11 SRC 1.1.2.92\n\
                     User: 10.1.0.0/16 MARK 5 dev br0 GW 1.1.2.12 SRC 1.1.2.92\n";
    assert_eq!(say("ovs/route/show table=11").unwrap(), format!("Route Table #11:\n{of_eleven}"));
    let all = say("ovs/route/show table=all").unwrap();
    assert!(all.starts_with("Cached: ") && all.ends_with(&of_eleven.replace('\n', " table 11\n")), "{all}");
    refused("ovs/route/show table=x", "Invalid table format");
    refused("ovs/route/show table=12", "Table '12' not found");
    refused("ovs/route/add 10.0.0.0/8 br0 table=x", "Invalid table format");
    refused("ovs/route/add 10.0.0.0/8 br0 pkt_mark=0x5", "Invalid pkt_mark, IP gateway or src_ip");
    refused("ovs/route/add 10.0.0.0/8 br0 src=x", "Invalid pkt_mark, IP gateway or src_ip");
    refused("ovs/route/add x/8 br0", "Invalid 'ip/plen' parameter");
    refused("ovs/route/add 10.0.0.0/8 nope", "Error while inserting route.");
    refused("ovs/route/del 10.0.0.0/8 table=12", "Table '12' not found");
    refused("ovs/route/del 11.0.0.0/8", "Not found");
    let via =
        |words: &str| say(&format!("ovs/route/lookup {words}")).unwrap().lines().nth(1).map(str::to_owned);
    assert_eq!(via("10.1.1.1").as_deref(), Some("gateway 1.1.2.1"));
    assert_eq!(
        say("ovs/route/rule/show").unwrap(),
        "Cached: 0: from all lookup local\nCached: 32766: from all lookup main\nCached: 32767: from all lookup default\n"
    );
    assert_eq!(
        say("ovs/route/rule/show -6").unwrap(),
        "Cached: 0: from all lookup local\nCached: 32766: from all lookup main\n"
    );
    ok("ovs/route/rule/add not from=10.9.0.0/16 table=11");
    ok("ovs/route/rule/add from=10.9.0.1 table=main");
    ok("ovs/route/rule/add -6 from=all prio=7 table=12");
    let rules = say("ovs/route/rule/show").unwrap();
    let users: Vec<&str> = rules.lines().filter(|line| line.starts_with("User")).collect();
    assert_eq!(
        users,
        ["User: 32764: from 10.9.0.1 lookup main", "User: 32765: not from 10.9.0.0/16  lookup 11"]
    );
    assert_eq!(via("10.1.1.1").as_deref(), Some("gateway 1.1.2.11"));
    assert_eq!(via("10.1.1.1 pkt_mark=5").as_deref(), Some("gateway 1.1.2.12"));
    assert_eq!(via("10.1.1.1 src=10.9.0.1").as_deref(), Some("gateway 1.1.2.1"));
    let json = say("--format=json ovs/route/rule/show -6").unwrap();
    let expected =
        r#"{"from":"all","invert":false,"ipv4":false,"lookup":12,"priority":7,"src-prefix":0,"user":true}"#;
    assert!(json.contains(expected), "{json}");
    let json = say("--format=json ovs/route/show table=11").unwrap();
    let expected = r#"{"dst":"10.1.0.0","local":false,"mark":5,"nexthops":[{"dev":"br0","gateway":"1.1.2.12"}],"prefix":16,"prefsrc":"1.1.2.92","table":11,"user":true}"#;
    assert!(json.contains(expected), "{json}");
    refused("ovs/route/rule/add from=10.9.0.0/16 table=x", "Invalid table format");
    refused("ovs/route/rule/add from=2001:: table=11", "Invalid 'ip/plen' parameter");
    refused("ovs/route/rule/del from=10.9.0.1 prio=5 table=main", "Not found");
    ok("ovs/route/rule/del from=10.9.0.1 table=main");
    ok("ovs/route/rule/del not from=10.9.0.0/16 prio=32765 table=11");
    assert_eq!(via("10.1.1.1").as_deref(), Some("gateway 1.1.2.1"));
    ok("ovs/route/del 10.0.0.0/8 table=11");
}

#[test]
fn the_kernels_tables_and_rules_are_followed() {
    sandboxed!();
    let Some(suite) = ours() else { return };
    let pair = SwitchUnderTest::started(&suite, &[]);
    let bridge = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"];
    pair.ok(&suite, "ovs-vsctl", &bridge);
    for words in ["addr add 10.0.0.1/24 dev br0", "addr add 10.0.0.5/24 dev br0", "link set br0 up"] {
        system(&format!("ip {words}"));
    }
    let rule =
        std::process::Command::new("ip").args("rule add from 10.0.0.5 lookup 1100".split(' ')).output();
    if rule.is_ok_and(|out| !out.status.success()) {
        skip!("no policy rules in this kernel");
    }
    system("ip rule add fwmark 7 lookup 1200");
    system("ip route add 10.9.0.0/16 via 10.0.0.254");
    system("ip route add 10.9.0.0/16 via 10.0.0.253 table 1100");
    system("ip route add 10.9.0.0/16 via 10.0.0.252 metric 500");
    let via =
        |words: &str| appctl(&pair, &suite, &format!("ovs/route/lookup 10.9.1.1{words}")).unwrap_or_default();
    pair.await_true("routes are followed", || via("").contains("gateway 10.0.0.254\n"));
    pair.await_true("rules are followed", || via(" src=10.0.0.5").contains("gateway 10.0.0.253\n"));
    assert!(via(" src=10.0.0.1").contains("gateway 10.0.0.254\n"));
    let rules = appctl(&pair, &suite, "ovs/route/rule/show").unwrap();
    assert!(rules.contains("Cached: 32765: from 10.0.0.5 lookup 1100\n"), "{rules}");
    assert!(!rules.contains("1200"), "what asks for more than the origin is not for us: {rules}");
    let shown = appctl(&pair, &suite, "ovs/route/show table=1100").unwrap();
    assert_eq!(shown, "Route Table #1100:\nCached: 10.9.0.0/16 dev br0 GW 10.0.0.253 SRC 10.0.0.1\n");
    // A tunnel that has its own address asks the table of that.
    let port =
        "add-port br0 vx -- set interface vx type=vxlan options:remote_ip=10.9.1.1 options:local_ip=10.0.0.5";
    pair.ok(&suite, "ovs-vsctl", &port.split(' ').collect::<Vec<_>>());
    pair.ok(&suite, "ovs-ofctl", &["add-flow", "br0", "priority=99,udp,tp_dst=7777,actions=vx"]);
    let traced = pair.ok(&suite, "ovs-appctl", &["ofproto/trace", "br0", "in_port=local,udp,tp_dst=7777"]);
    assert!(traced.contains("neighbor cache miss for 10.0.0.253"), "{traced}");
    // The bridge floods the request for the next hop's address into the tunnel as well: that ends there.
    pair.ok(&suite, "ovs-ofctl", &["packet-out", "br0", "in_port=local packet=ffffffffffff02000000000908004500001c0000000040117ccf0a0000050a0901021e611e6100080000 actions=vx"]);
    assert!(pair.ok(&suite, "ovs-appctl", &["version"]).contains("ovs-vswitchd"));
    system("ip rule del from 10.0.0.5 lookup 1100");
    pair.await_true("a rule has gone", || via(" src=10.0.0.5").contains("gateway 10.0.0.254\n"));
}
