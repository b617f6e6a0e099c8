//! Commands in, text out, over a datapath with dummy ports.

use super::*;
use daemon::unixctl::{Answer, Format};
use datapath::{Command, FlowPut, PutMode};
use dpif_netdev::{Class, DpifNetdev, Setup};
use flow::{Match, slot};
use netdev::Registry;
use netdev::dummy::DummyDevices;
use odp::{Action, Ufid};
use packet::{Instant, Now, OdpPort};

fn bench() -> (Commands, Arc<dyn Dpif>) {
    let dummies = DummyDevices::new(Arc::new(|| 0));
    let mut registry = Registry::new();
    for kind in ["dummy", "dummy-internal"] {
        registry.register(kind, dummies.opener(kind));
    }
    let clock = Arc::new(|| Now { mono: Instant::from_millis(5000), wall_ms: 0 });
    let config = datapath::Config::default();
    let setup = Setup {
        class: Class::Dummy,
        registry: Arc::new(registry),
        clock,
        config,
        cores: Arc::new(dpif_netdev::Cores::pretended("0")),
    };
    let dpif: Arc<dyn Dpif> = Arc::new(DpifNetdev::open(setup).expect("a dummy datapath"));
    dpif.add_port("p1", "dummy", None).expect("a dummy port");
    let (commands, datapaths) = (Commands::default(), Datapaths::default());
    datapaths.add(dpif.clone());
    let now: Millis = Rc::new(|| 7500);
    register(&commands, &datapaths, &now);
    (commands, dpif)
}

#[track_caller]
fn check(commands: &Commands, line: &str, expected: Result<&str, &str>) {
    let mut words = line.split(' ').map(str::to_owned);
    let name = words.next().unwrap();
    let (call, mut answer) = Call::new(&name, words.collect(), Format::Text);
    commands.dispatch(call);
    let expected = match expected {
        Ok(text) => Answer::Text(text.to_owned()),
        Err(text) => Answer::Error(text.to_owned()),
    };
    assert_eq!(answer.try_recv().expect("an answer"), expected, "{line}");
}

#[test]
fn datapaths_and_their_ports() {
    let (commands, _) = bench();
    check(&commands, "dpctl/dump-dps", Ok("dummy@ovs-dummy\n"));
    let shown = "dummy@ovs-dummy:\n  lookups: hit:0 missed:0 lost:0\n  flows: 0\n  port 0: ovs-dummy (dummy-internal)\n  port 1: p1 (dummy)\n";
    check(&commands, "dpctl/show", Ok(shown));
    check(&commands, "dpctl/show dummy@ovs-dummy", Ok(shown));
    check(&commands, "dpctl/show foo", Err("ovs-vswitchd: opening datapath foo failed (No such device)\n"));
    check(&commands, "dpctl/dump-flows foo", Err("ovs-vswitchd: datapath not found (Invalid argument)\n"));
}

#[test]
fn megaflows() {
    let (commands, dpif) = bench();
    check(&commands, "dpctl/dump-flows", Ok(""));
    let mut matched = Match::ANY;
    matched.set_exact(slot::in_port, 1);
    let actions = vec![Action::Output(OdpPort(2))];
    let mut put = FlowPut { ufid: Ufid(5), matched, actions, mode: PutMode::Create };
    dpif.apply(Command::PutFlow(&mut put)).unwrap();
    let line = "recirc_id(0),in_port(1), packets:0, bytes:0, used:never, actions:2\n";
    let dump = format!("flow-dump from the main thread:\n{line}");
    check(&commands, "dpctl/dump-flows", Ok(&dump));
    check(&commands, "dpctl/dump-flows dummy@ovs-dummy", Ok(&dump));
    check(&commands, "dpctl/get-flow ufid:00000000-0000-0000-0000-000000000005", Ok(line));
    check(&commands, "dpctl/get-flow ufid:0", Err("ovs-vswitchd: parsing flow ufid (Invalid argument)\n"));
    check(&commands, "dpctl/del-flows", Ok(""));
    check(&commands, "dpctl/dump-flows", Ok(""));
}

/// A flow and its text without the counters.
const FLOW: &str = "recirc_id(0),in_port(p1),eth_type(0x0800),ipv4(src=10.0.0.0/255.0.0.0,frag=no)";

#[test]
fn megaflows_by_hand() {
    let (commands, dpif) = bench();
    let never = "packets:0, bytes:0, used:never";
    let shown = FLOW.replace("p1", "1");
    let dump =
        |actions: &str| format!("flow-dump from the main thread:\n{shown}, {never}, actions:{actions}\n");
    check(&commands, &format!("dpctl/add-flow {FLOW} set(ipv4(ttl=5)),2"), Ok(""));
    check(&commands, "dpctl/dump-flows", Ok(&dump("set(ipv4(ttl=5)),2")));
    let exists = "ovs-vswitchd: updating flow table (File exists)\n";
    check(&commands, &format!("dpctl/add-flow {FLOW} 2"), Err(exists));
    check(&commands, &format!("dpctl/add-flow dummy@ovs-dummy {FLOW} 2"), Err(exists));
    check(&commands, &format!("dpctl/mod-flow -s {FLOW} 3,p1"), Ok(&format!("{never}\n")));
    check(&commands, "dpctl/dump-flows", Ok(&dump("3,1")));
    let absent = "ovs-vswitchd: updating flow table (No such file or directory)\n";
    check(&commands, "dpctl/mod-flow in_port(2) 3", Err(absent));
    check(&commands, "dpctl/mod-flow --may-create in_port(2) 3", Ok(""));
    check(&commands, "dpctl/del-flow in_port(2)", Ok(""));
    let ufid = "ufid:00000000-0000-0000-0000-000000000005";
    check(&commands, &format!("dpctl/add-flow {ufid},in_port(2) drop"), Ok(""));
    check(
        &commands,
        &format!("dpctl/get-flow {ufid}"),
        Ok(&format!("recirc_id(0),in_port(2), {never}, actions:drop\n")),
    );
    check(&commands, &format!("dpctl/del-flow {ufid}"), Ok(""));
    check(&commands, &format!("dpctl/del-flow -s {FLOW}"), Ok(&format!("{never}\n")));
    let gone =
        "ovs-vswitchd: deleting flow (No such file or directory)\nPerhaps you need to specify a UFID?\n";
    check(&commands, &format!("dpctl/del-flow {FLOW}"), Err(gone));
    assert_eq!(dpif.stats().flows, 0);
}

#[test]
fn what_is_no_flow_changes_nothing() {
    let (commands, dpif) = bench();
    let refused = |line: &str, why: &str| {
        check(&commands, line, Err(&format!("ovs-vswitchd: {why} (Invalid argument)\n")))
    };
    refused("dpctl/add-flow in_port(9 2", "parsing flow key (syntax error at in_port(9)");
    refused("dpctl/add-flow in_port(nope) 2", "parsing flow key (syntax error at in_port(nope))");
    refused("dpctl/add-flow in_port(1) 2,frob(3)", "parsing actions");
    refused("dpctl/add-flow ufid:zz,in_port(1) 2", "parsing flow ufid");
    refused("dpctl/add-flow nope in_port(1) 2", "datapath not found");
    refused("dpctl/add-flow --frob in_port(1) 2", "unrecognized option");
    // Lists that no packet could be put through.
    for actions in [
        "2,trunc(4)",
        "recirc(0)",
        "2,push_vlan(tpid=0x1234,vid=1,pcp=0)",
        "ct(nat(src=1.1.1.1))",
        "clone(set(ipv4(proto=6)))",
        "push_mpls(label=1,tc=0,ttl=1,bos=1,eth_type=0x0800)",
    ] {
        refused(&format!("dpctl/add-flow in_port(1) {actions}"), "updating flow table");
    }
    assert_eq!(dpif.stats().flows, 0);
    check(
        &commands,
        "dpctl/parse-actions 1,set(eth(src=1:2:3:4:5:6))",
        Ok("1,set(eth(src=01:02:03:04:05:06))\n"),
    );
    refused("dpctl/parse-actions frob", "odp_actions_from_string");
}

#[test]
fn files_of_megaflows() {
    let (commands, dpif) = bench();
    let folder = testkit::Scratch::new();
    let file = folder.join("flows");
    let run = |command: &str, text: &str, expected| {
        std::fs::write(&file, text).unwrap();
        check(&commands, &format!("{command} {}", file.display()), expected);
    };
    run(
        "dpctl/add-flows",
        "in_port(1) 2\nadd in_port(2) 1 # back\n\n#none\nmodify in_port(1) 3\ndelete in_port(2)\n",
        Ok(""),
    );
    assert_eq!(dpif.stats().flows, 1);
    let wrong = "ovs-vswitchd: Failed parsing line number 1, skipped!\n\
                 ovs-vswitchd: parsing flow key (syntax error at foo) (Invalid argument)\n";
    run("dpctl/add-flows", "in_port(3)\nfoo 2\nin_port(4) 1\n", Ok(wrong));
    assert_eq!(dpif.stats().flows, 2);
    run("dpctl/mod-flows", "in_port(4) drop\n", Ok(""));
    run("dpctl/del-flows", "in_port(4)\n", Ok(""));
    let absent = folder.join("none").display().to_string();
    let why = format!("ovs-vswitchd: Opening file \"{absent}\" failed (No such file or directory)\n");
    check(&commands, &format!("dpctl/add-flows {absent}"), Ok(&why));
    assert_eq!(dpif.stats().flows, 1);
}

#[test]
fn drops_of_all_and_of_each_port() {
    let (commands, dpif) = bench();
    dpif.add_port("p2", "dummy", None).expect("a dummy port");
    check(&commands, "dpctl/show-drops", Ok(""));
    let frame = packet::FlatPacket::try_from_frame(&[0x12; 60]).expect("memory");
    for (port, reason) in [(1, 0), (2, 2), (1, 2), (1, 0)] {
        let meta = packet::PacketMeta { in_port: OdpPort(port), ..Default::default() };
        dpif.execute(meta, frame.clone(), &[Action::Drop(reason)]).expect("valid actions");
    }
    let line = |indent: &str, name: &str, n| format!("{indent}{name:<44} {n}\n");
    let (policy, deep) = ("drop_action_of_pipeline", "drop_action_recursion_too_deep");
    let (one, two) = (line("  ", policy, 2) + &line("  ", deep, 1), line("  ", deep, 1));
    let all = line("", policy, 2) + &line("", deep, 2);
    check(&commands, "dpctl/show-drops", Ok(&format!("{all}port 1: p1\n{one}port 2: p2\n{two}")));
    dpif.del_port(OdpPort(1)).expect("a port");
    check(&commands, "dpctl/show-drops", Ok(&format!("{all}port 2: p2\n{two}")));
}

#[test]
fn connection_tracking_settings() {
    let (commands, _) = bench();
    check(&commands, "dpctl/ct-get-nconns", Ok("0\n"));
    check(&commands, "dpctl/ct-set-maxconns 10", Ok("setting maxconns successful\n"));
    check(&commands, "dpctl/ct-get-maxconns", Ok("10\n"));
    check(
        &commands,
        "dpctl/ct-set-maxconns x",
        Err("ovs-vswitchd: maxconns missing or malformed (Invalid argument)\n"),
    );
    check(&commands, "dpctl/ct-get-sweep-interval", Ok(&format!("{}\n", conntrack::DEFAULT_SWEEP_MS)));
    check(
        &commands,
        "dpctl/ct-set-sweep-interval dummy@ovs-dummy 250",
        Ok("setting sweep interval successful\n"),
    );
    check(&commands, "dpctl/ct-get-sweep-interval", Ok("250\n"));
    check(
        &commands,
        "dpctl/ct-set-sweep-interval 0",
        Err("ovs-vswitchd: failed to set sweep interval (Invalid argument)\n"),
    );
    check(&commands, "dpctl/dump-conntrack-exp zone=7", Ok(""));
    check(&commands, "dpctl/ct-get-tcp-seq-chk", Ok("TCP sequence checking: enabled\n"));
    check(
        &commands,
        "dpctl/ct-disable-tcp-seq-chk dummy@ovs-dummy",
        Ok("disabling TCP sequence checking successful\n"),
    );
    check(&commands, "dpctl/ct-get-tcp-seq-chk", Ok("TCP sequence checking: disabled\n"));
}

#[test]
fn ports_come_and_go_by_hand() {
    let (commands, dpif) = bench();
    let refused = |line: &str, why: &str| check(&commands, line, Err(&format!("ovs-vswitchd: {why}\n")));
    let names = || dpif.ports().into_iter().map(|p| format!("{}={}", p.number, p.name)).collect::<Vec<_>>();
    check(
        &commands,
        "dpctl/add-if dummy@ovs-dummy q1,type=dummy,port_no=7x q2,type=dummy,port_no=-1",
        Ok(""),
    );
    assert_eq!(names(), ["0=ovs-dummy", "1=p1", "2=q2", "7=q1"]);
    refused("dpctl/add-if nosuch q3", "opening datapath (No such device)");
    refused("dpctl/add-if x@y q3", "opening datapath (Address family not supported by protocol)");
    let busy = "adding q3 to dummy@ovs-dummy failed (Device or resource busy)";
    refused("dpctl/add-if dummy@ovs-dummy q3,type=dummy,port_no=x", busy);
    refused(
        "dpctl/add-if dummy@ovs-dummy p1,type=dummy p1",
        "adding p1 to dummy@ovs-dummy failed (File exists)\n\
         ovs-vswitchd: p1: failed to open network device (File exists)",
    );
    check(&commands, "dpctl/set-if dummy@ovs-dummy q1,type=dummy,port_no=7", Ok(""));
    refused("dpctl/set-if dummy@ovs-dummy q1,type=a,port_no=4", "q1: can't change type from dummy to a");
    refused("dpctl/set-if dummy@ovs-dummy q1,port_no=4,type=a", "q1: can't change port number from 7 to 4");
    refused("dpctl/set-if dummy@ovs-dummy q1,port_no=-1", "q1: can't change port number from 7 to -1");
    let local = "deleting port 0 from dummy@ovs-dummy failed (Invalid argument)";
    refused("dpctl/del-if dummy@ovs-dummy q1 2 zz 0", &format!("no port named zz\novs-vswitchd: {local}"));
    assert_eq!(names(), ["0=ovs-dummy", "1=p1"]);
}
