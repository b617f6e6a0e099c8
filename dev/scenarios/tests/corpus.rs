//! Every scenario of the corpus on every host.

use std::collections::BTreeSet;

use packet::DropReason;
use scenarios::{Core, DummyPorts, Extension, Host, corpus, parse, run};

/// Runs the corpus on the hosts that `make` makes, a fresh one for each scenario.
fn all_on<H: Host>(make: impl Fn(&[u32]) -> H) {
    let (mut count, mut complaints) = (0, Vec::new());
    for (file, scenario) in corpus() {
        count += 1;
        complaints.extend(run(&file, &scenario, &mut make(&scenario.ports)).err());
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
    assert!(count >= 40, "only {count} scenarios");
}

#[test]
fn bare_core() {
    all_on(Core::new);
}

#[test]
fn dpif_netdev() {
    all_on(DummyPorts::new);
}

#[test]
fn extension() {
    all_on(Extension::new);
}

/// Reasons that packets and flows do not bring about on every host, as devices and short memory are behind them: each has a
/// test of its own, in one of the files below.
const ELSEWHERE: [DropReason; 9] = [
    DropReason::NoMemory,
    DropReason::RxTruncated,
    DropReason::RxUnknownOffload,
    DropReason::MtuExceeded,
    DropReason::TxFailed,
    DropReason::PortDown,
    DropReason::ForeignSource,
    DropReason::ForeignVlan,
    DropReason::NoHeadroom,
];

/// Where they are tested.
const DEVICES: &str = include_str!("../../../crates/dpif-netdev/src/tests/losses.rs");
const POLICIES: &str = include_str!("policies.rs");
const PIECES: &str = include_str!("long_frames.rs");

#[test]
fn every_drop_reason_has_a_scenario_or_a_test_of_its_own() {
    let dropped: BTreeSet<String> = corpus()
        .into_iter()
        .flat_map(|(_, s)| s.steps)
        .flat_map(|step| step.what.drops())
        .map(|(name, _)| name)
        .collect();
    for reason in DropReason::ALL {
        let (in_corpus, elsewhere) = (dropped.contains(reason.name()), ELSEWHERE.contains(reason));
        assert!(in_corpus || elsewhere, "no scenario ends with {}", reason.name());
        assert!(!(in_corpus && elsewhere), "{} has scenarios: it is no exception", reason.name());
        let test = format!("(DropReason::{reason:?}, ");
        let tested = [DEVICES, POLICIES, PIECES].iter().any(|text| text.contains(&test));
        assert!(
            !elsewhere || tested,
            "{reason:?} is not tested where devices, policies and packets in pieces are"
        );
    }
    let known = |name: &&String| DropReason::ALL.iter().any(|reason| reason.name() == **name);
    assert_eq!(dropped.iter().find(|name| !known(name)), None, "a scenario names a reason that is none");
}

#[test]
fn a_scenario_that_does_not_hold_is_complained_about() {
    let frame = "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 type 5";
    let complaint = |wanted: &str| {
        let text = format!("scenario x\nflow in_port(1) => 2\npacket 1: {frame}\n{wanted}\n");
        run("t", &parse("t", &text)[0], &mut Core::new(&[1, 2])).err().unwrap_or_default()
    };
    assert_eq!(complaint(&format!("out 2: {frame}")), "");
    for (wanted, what) in [("", "sent"), ("out 3: ", "sent"), ("out 2: ", "sent up")] {
        let more = if what == "sent up" {
            format!("{wanted}{frame}\nmiss 1: {frame}")
        } else {
            format!("{wanted}{frame}")
        };
        let more = if wanted.is_empty() { "drop datapath_drop_meter" } else { &more };
        assert!(
            complaint(more).contains(&format!("t:3: scenario x on the bare core: {what}\n")),
            "{wanted}: {}",
            complaint(more)
        );
    }
    assert!(complaint(&format!("out 2: {frame}\ndrop datapath_drop_meter")).contains("dropped"));
}
