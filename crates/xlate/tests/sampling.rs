//! What `sample` becomes, by where a bridge's samples go.

mod fixture;

use std::sync::Arc;

use flow::{FlowKey, Match, slot};
use odp::text::ActionList;
use openflow::Names;
use xlate::{Bridge, Network, Outcome};

use fixture::{Known, network, translate};

/// A packet of port 1 to 10.0.0.5, given one rule with these actions in a network that `change` made other.
fn sampled(actions: &str, change: impl Fn(&mut Network, &mut Bridge)) -> Outcome {
    let (actions, _) = openflow::actions::parse(actions, &Names::none()).unwrap();
    let mut ip = Match::ANY;
    ip.set_masked(slot::eth_type, 0x800, u128::MAX);
    let mut network = network(&[(0, 1, ip, actions)]);
    let mut bridge = Bridge::clone(&network.bridges[0]);
    change(&mut network, &mut bridge);
    network.bridges = vec![Arc::new(bridge)];
    let mut key = FlowKey::ZERO;
    key.set_in_port(1);
    key.set_eth_type(0x800);
    key.set_nw_dst(0x0a00_0005);
    translate(&network, &Known::default(), &key)
}

fn text(outcome: &Outcome) -> String {
    ActionList(&outcome.actions).to_string()
}

const WHOLE: &str = "sample(probability=65535,collector_set_id=1,obs_domain_id=10,obs_point_id=20)";
const PSAMPLE: &str = "psample(group=42,cookie=0xa00000014)";
const FLOW_SAMPLE: &str = "userspace(pid=0,flow_sample(probability=65535,collector_set_id=1,obs_domain_id=10,obs_point_id=20,output_port=4294967295))";

#[test]
fn samples_go_to_collectors_and_to_local_groups() {
    let whole = |change: fn(&mut Network, &mut Bridge)| text(&sampled(&format!("{WHOLE},output:2"), change));
    assert_eq!(whole(|_, _| {}), format!("{PSAMPLE},{FLOW_SAMPLE},12"));
    assert_eq!(whole(|_, bridge| bridge.sampling.ipfix = false), format!("{PSAMPLE},12"));
    assert_eq!(whole(|_, bridge| bridge.sampling.local.clear()), format!("{FLOW_SAMPLE},12"));
    assert_eq!(whole(|network, _| network.samples_locally = false), format!("{FLOW_SAMPLE},12"));
    assert_eq!(whole(|_, bridge| bridge.sampling = Default::default()), "12");
}

#[test]
fn collectors_have_every_set_and_local_groups_their_own() {
    let other = "sample(probability=65535,collector_set_id=2),output:2";
    assert_eq!(text(&sampled(other, |_, bridge| bridge.sampling.ipfix = false)), "12");
    assert!(text(&sampled(other, |_, _| {})).starts_with("userspace(pid=0,flow_sample("));
}

#[test]
fn a_part_is_sampled_once_for_both() {
    let half = WHOLE.replace("65535", "32768");
    let both = format!("{PSAMPLE},{}", FLOW_SAMPLE.replace("65535", "32768"));
    assert_eq!(text(&sampled(&half, |_, _| {})), format!("sample(sample=50.0%,actions({both}))"));
}

#[test]
fn observation_ids_of_fields_are_looked_at() {
    let of_field = WHOLE.replace("obs_point_id=20", "obs_point_id=NXM_OF_IP_DST[0..15]");
    let outcome = sampled(&of_field, |_, bridge| bridge.sampling.ipfix = false);
    assert_eq!(text(&outcome), "psample(group=42,cookie=0xa00000005)");
    assert_eq!(outcome.wc.get(slot::nw_dst), 0xffff);
    let unused = sampled(&of_field, |_, bridge| bridge.sampling = Default::default());
    assert_eq!((text(&unused).as_str(), unused.wc.get(slot::nw_dst)), ("drop", 0));
}

#[test]
fn lists_that_end_in_a_sample_end_in_a_drop_if_asked_for() {
    let explicit = |network: &mut Network, _: &mut Bridge| network.explicit_sampled_drops = true;
    assert_eq!(text(&sampled(WHOLE, explicit)), format!("{PSAMPLE},{FLOW_SAMPLE},drop"));
    let part = WHOLE.replace("65535", "1");
    assert!(text(&sampled(&part, explicit)).ends_with(")),drop"));
    assert_eq!(text(&sampled(&format!("{WHOLE},output:2"), explicit)), format!("{PSAMPLE},{FLOW_SAMPLE},12"));
}
