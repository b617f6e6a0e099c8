//! Commands in, text out, over a datapath with dummy ports.

use super::*;
use daemon::unixctl::{Answer, Format};
use datapath::{FlowPut, PutMode};
use dpif_netdev::{Class, DpifNetdev, Setup};
use flow::{Match, slot};
use netdev::Registry;
use netdev::dummy::DummyDevices;
use odp::Action;
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
    check(&commands, "dpctl/show ovs-dummy", Ok(shown));
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
    check(&commands, "dpctl/ct-get-tcp-seq-chk", Ok("TCP sequence checking: enabled\n"));
    check(
        &commands,
        "dpctl/ct-disable-tcp-seq-chk ovs-dummy",
        Ok("disabling TCP sequence checking successful\n"),
    );
    check(&commands, "dpctl/ct-get-tcp-seq-chk", Ok("TCP sequence checking: disabled\n"));
}
