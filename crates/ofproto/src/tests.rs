use flow::{FlowKey, Match, Wildcards, slot};
use openflow::actions::{CloneActions, Conjunction, DebugRecirc, Output};
use openflow::msg::{Bucket, GroupCommand, GroupMod};
use openflow::{Action, FlowMod, FlowModCommand, FlowModFlags, OfpError, OfpPort};
use packet::{Instant, Now};

use crate::{FlowChangeKind, Ofproto, RemovedReason, RuleSelection};

fn at(secs: u64) -> Now {
    Now { mono: Instant::from_millis(secs * 1000), wall_ms: 0 }
}

fn output(port: u32) -> Action {
    Output { port: OfpPort(port), max_len: 0 }.into()
}

fn on_port(port: u32) -> Match {
    let mut m = Match::ANY;
    m.set_exact(slot::in_port, u128::from(port));
    m
}

fn add(table_id: u8, priority: u16, matcher: Match, actions: Vec<Action>) -> FlowMod {
    FlowMod { table_id, priority, matcher, actions, ..FlowMod::new(FlowModCommand::Add) }
}

fn key(port: u32) -> FlowKey {
    let mut k = FlowKey::ZERO;
    k.set_in_port(port);
    k
}

fn rules(o: &Ofproto) -> usize {
    RuleSelection::all().rules(o.current()).len()
}

#[test]
fn snapshots_do_not_change() {
    let mut o = Ofproto::new(at(0));
    o.flow_mod(&add(0, 5, on_port(1), vec![output(2)]), at(1)).unwrap();
    let before = o.snapshot();
    o.flow_mod(&add(0, 9, on_port(1), vec![output(3)]), at(1)).unwrap();
    let after = o.snapshot();
    let priority =
        |s: &crate::Snapshot| s.lookup(0, &key(1), &mut Wildcards::default()).unwrap().rule.spec.priority;
    assert_eq!((priority(&before), priority(&after)), (5, 9));
    assert!(std::sync::Arc::ptr_eq(&after, &o.snapshot()), "no change, no new snapshot");
}

#[test]
fn adding_an_equal_rule_replaces_it_and_keeps_counters_unless_asked() {
    let mut o = Ofproto::new(at(0));
    let fm = add(0, 5, on_port(1), vec![output(2)]);
    let first = o.flow_mod(&fm, at(1)).unwrap().remove(0);
    first.rule.state.credit(7, 700, at(2).mono);
    let second = o.flow_mod(&fm, at(3)).unwrap().remove(0);
    assert_eq!((second.kind, second.rule.state.packets()), (FlowChangeKind::Replaced, 7));
    let reset = FlowMod { flags: FlowModFlags::RESET_COUNTS, ..fm };
    assert_eq!(o.flow_mod(&reset, at(3)).unwrap().remove(0).rule.state.packets(), 0);
    assert_eq!(rules(&o), 1);
}

#[test]
fn overlap_is_refused_if_asked() {
    let mut o = Ofproto::new(at(0));
    o.flow_mod(&add(0, 5, on_port(1), vec![]), at(1)).unwrap();
    let check = FlowMod { flags: FlowModFlags::CHECK_OVERLAP, ..add(0, 5, Match::ANY, vec![]) };
    assert_eq!(o.flow_mod(&check, at(1)).unwrap_err(), OfpError::OFPFMFC_OVERLAP);
    assert!(o.flow_mod(&FlowMod { priority: 6, ..check }, at(1)).is_ok());
}

#[test]
fn modify_is_loose_or_strict_and_adds_where_allowed() {
    let mut o = Ofproto::new(at(0));
    o.flow_mod(&add(0, 5, on_port(1), vec![output(2)]), at(1)).unwrap();
    o.flow_mod(&add(0, 6, on_port(2), vec![output(2)]), at(1)).unwrap();
    let all = FlowMod { actions: vec![output(9)], ..FlowMod::new(FlowModCommand::Modify) };
    assert_eq!(o.flow_mod(&all, at(2)).unwrap().len(), 2);
    let strict = FlowMod {
        table_id: 0,
        priority: 5,
        matcher: on_port(1),
        new_cookie: 3,
        modify_cookie: true,
        ..FlowMod::new(FlowModCommand::ModifyStrict)
    };
    let changed = o.flow_mod(&strict, at(2)).unwrap();
    assert_eq!((changed.len(), changed[0].rule.spec.cookie, changed[0].rule.created), (1, 3, at(1)));
    let none = FlowMod { matcher: on_port(7), new_cookie: u64::MAX, ..strict.clone() };
    assert!(o.flow_mod(&none, at(2)).unwrap().is_empty());
    assert_eq!(o.flow_mod(&FlowMod { new_cookie: 0, ..none }, at(2)).unwrap()[0].kind, FlowChangeKind::Added);
}

#[test]
fn delete_filters_by_cookie() {
    let mut o = Ofproto::new(at(0));
    for cookie in 1..=3 {
        let fm =
            FlowMod { new_cookie: cookie, ..add(0, 5, on_port(cookie as u32), vec![output(cookie as u32)]) };
        o.flow_mod(&fm, at(1)).unwrap();
    }
    let by_cookie = FlowMod { cookie: 2, cookie_mask: 2, ..FlowMod::new(FlowModCommand::Delete) };
    let gone = o.flow_mod(&by_cookie, at(1)).unwrap();
    assert_eq!(gone.iter().map(|c| c.rule.spec.cookie).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(gone[0].kind, FlowChangeKind::Removed(RemovedReason::Delete));
    assert_eq!(rules(&o), 1);
}

#[test]
fn what_is_restored_never_happened() {
    let mut o = Ofproto::new(at(0));
    o.set_table_config(1, crate::TableConfig { max_flows: Some(1), ..Default::default() });
    let mods = [add(0, 5, on_port(1), vec![]), add(1, 5, on_port(1), vec![]), add(1, 5, on_port(2), vec![])];
    let before = o.checkpoint();
    mods[..2].iter().for_each(|fm| drop(o.flow_mod(fm, at(1)).unwrap()));
    assert_eq!(rules(&o), 2);
    assert_eq!(o.flow_mod(&mods[2], at(1)).unwrap_err(), OfpError::OFPFMFC_TABLE_FULL);
    o.restore(before);
    assert_eq!(rules(&o), 0);
}

#[test]
fn timeouts_follow_the_callers_time() {
    let mut o = Ofproto::new(at(0));
    let idle = FlowMod { idle_timeout: 10, ..add(0, 5, on_port(1), vec![]) };
    let hard = FlowMod { hard_timeout: 15, ..add(0, 5, on_port(2), vec![]) };
    let rule = o.flow_mod(&idle, at(0)).unwrap().remove(0).rule;
    o.flow_mod(&hard, at(0)).unwrap();
    rule.state.credit(1, 60, at(8).mono);
    assert!(o.expire(at(14).mono).is_empty());
    assert_eq!(o.expire(at(15).mono)[0].kind, FlowChangeKind::Removed(RemovedReason::HardTimeout));
    assert!(o.expire(at(17).mono).is_empty());
    assert_eq!(o.expire(at(18).mono)[0].kind, FlowChangeKind::Removed(RemovedReason::IdleTimeout));
}

#[test]
fn the_internal_table_is_nobodys() {
    let mut o = Ofproto::new(at(0));
    assert_eq!(o.flow_mod(&add(254, 5, Match::ANY, vec![]), at(0)).unwrap_err(), OfpError::OFPBRC_EPERM);
    o.flow_mod(&FlowMod::new(FlowModCommand::Delete), at(0)).unwrap();
    assert_eq!(o.current().table(254).unwrap().rules.len(), 4);
}

#[test]
fn a_conjunction_needs_all_its_dimensions() {
    let mut o = Ofproto::new(at(0));
    let part = |clause| vec![Conjunction { id: 7, clause, n_clauses: 2 }.into()];
    let mut to_80 = Match::ANY;
    to_80.set_exact(slot::tp_dst, 80);
    let mut conj = Match::ANY;
    conj.set_exact(slot::conj_id, 7);
    for fm in [
        add(0, 5, on_port(1), part(0)),
        add(0, 5, to_80, part(1)),
        add(0, 5, conj, vec![output(2)]),
        add(0, 1, Match::ANY, vec![]),
    ] {
        o.flow_mod(&fm, at(0)).unwrap();
    }
    let mut k = key(1);
    k.set_tp_dst(80);
    let snapshot = o.snapshot();
    let found = snapshot.lookup(0, &k, &mut Wildcards::default()).unwrap();
    assert_eq!((found.conj, found.conj_rules.len(), found.rule.spec.priority), (Some(7), 2, 5));
    k.set_tp_dst(81);
    let mut wc = Wildcards::NONE;
    assert_eq!(snapshot.lookup(0, &k, &mut wc).unwrap().rule.spec.priority, 1);
    assert_eq!((wc.in_port(), wc.tp_dst()), (u32::MAX, u16::MAX));
}

#[test]
fn actions_for_debugging_are_refused_unless_they_are_taken() {
    let debugging: Vec<Action> = vec![CloneActions(vec![DebugRecirc.into()]).into()];
    let flow = add(0, 5, on_port(1), debugging.clone());
    let mut group = GroupMod::new(GroupCommand::Add, 1);
    group.buckets.push(Bucket { actions: debugging, ..Bucket::new(group.kind) });
    let mut o = Ofproto::new(at(0));
    let refused = OfpError::OFPBAC_BAD_VENDOR_TYPE;
    assert_eq!(o.flow_mod(&flow, at(1)).unwrap_err(), refused);
    assert_eq!(o.group_mod(&group, at(1)).unwrap_err(), refused);
    o.take_debugging();
    assert_eq!(o.flow_mod(&flow, at(1)).unwrap().len(), 1);
    assert!(o.group_mod(&group, at(1)).unwrap().is_empty());
}
