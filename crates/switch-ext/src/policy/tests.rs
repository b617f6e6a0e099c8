use super::*;

const REFUSED: Result<Option<u16>, DropReason> = Err(DropReason::ForeignVlan);
/// A tag of priority 5.
const fn urgent(vlan: u16) -> u16 {
    5 << 13 | vlan
}

fn set(vlans: &[u16]) -> VlanSet {
    let word = |n: u16| vlans.iter().filter(|v| **v >> 6 == n).fold(0, |word, v| word | 1 << (v & 63));
    VlanSet::try_of((0..64).map(word)).unwrap()
}

/// A policy as the lane meets it, on a port that has nothing else.
fn only(policy: Policy) -> Policies {
    let mut all = Policies::default();
    all.ask(7, policy).unwrap();
    assert_eq!(all.find(7), None, "not before the switch agrees");
    all.answered(true);
    assert_eq!(all.find(7), Some(0));
    all
}

fn vlans(policy: VlanPolicy) -> impl Fn(Tag) -> [Result<Option<u16>, DropReason>; 2] {
    let all = only(Policy::Vlan(Some(policy)));
    move |tag| [all.entering(0, (None, None), tag), all.leaving(0, tag)]
}

#[test]
fn an_access_port_is_in_one_vlan_and_knows_nothing_of_it() {
    let access = vlans(VlanPolicy::Access(5));
    assert_eq!(access(Tag::None), [Ok(Some(5)), REFUSED]);
    assert_eq!(access(Tag::Vlan(urgent(0))), [Ok(Some(urgent(5))), REFUSED], "a priority is no VLAN");
    assert_eq!(access(Tag::Vlan(urgent(5))), [REFUSED, Ok(None)]);
    assert_eq!(access(Tag::Vlan(6)), [REFUSED, REFUSED]);
    assert_eq!(access(Tag::Other), [REFUSED, REFUSED]);
}

#[test]
fn a_trunk_carries_its_vlans_and_has_a_native_one() {
    let trunk = vlans(VlanPolicy::Trunk { native: 5, carried: set(&[0, 5, 63, 64, 4094, 4095]) });
    assert_eq!(trunk(Tag::None), [Ok(Some(5)), REFUSED]);
    assert_eq!(trunk(Tag::Vlan(5)), [Ok(Some(5)), Ok(None)]);
    for vlan in [63, 64, 4094] {
        assert_eq!(trunk(Tag::Vlan(urgent(vlan))), [Ok(Some(urgent(vlan))), Ok(Some(urgent(vlan)))]);
    }
    for vlan in [1, 62, 65, 4093, 4095] {
        assert_eq!(trunk(Tag::Vlan(vlan)), [REFUSED, REFUSED], "{vlan}");
    }
    let bare = vlans(VlanPolicy::Trunk { native: 0, carried: set(&[9]) });
    assert_eq!(bare(Tag::None), [Ok(None), Ok(None)]);
    assert_eq!(bare(Tag::Vlan(urgent(0))), [Ok(Some(urgent(0))), Ok(Some(urgent(0)))]);
    assert_eq!(bare(Tag::Vlan(9)), [Ok(Some(9)), Ok(Some(9))]);
    assert_eq!(bare(Tag::Other), [REFUSED, REFUSED]);
}

/// Who hears whom of a private VLAN's ports, as its three kinds are defined.
#[test]
fn ports_of_a_private_vlan_hear_whom_they_may() {
    let ports = [
        ("promiscuous", VlanPolicy::Promiscuous { primary: 10, secondary: set(&[11, 12, 13]) }),
        ("isolated", VlanPolicy::Isolated { primary: 10, secondary: 11 }),
        ("isolated too", VlanPolicy::Isolated { primary: 10, secondary: 11 }),
        ("community", VlanPolicy::Community { primary: 10, secondary: 12 }),
        ("the same", VlanPolicy::Community { primary: 10, secondary: 12 }),
        ("another", VlanPolicy::Community { primary: 10, secondary: 13 }),
    ]
    .map(|(name, policy)| (name, vlans(policy)));
    for (from, sends) in &ports {
        let [sent, _] = sends(Tag::None);
        let tag = Tag::Vlan(sent.unwrap().unwrap());
        for (to, hears) in ports.iter().filter(|(to, _)| to != from) {
            let one_is_promiscuous = [from, to].contains(&&"promiscuous");
            let same_community = [from, to].iter().all(|n| ["community", "the same"].contains(n));
            let may = one_is_promiscuous || same_community;
            assert_eq!(hears(tag)[1], if may { Ok(None) } else { REFUSED }, "{from} to {to}");
        }
    }
}

#[test]
fn an_adapter_sends_from_its_own_address_unless_it_may_spoof() {
    let [own, other] = [EthAddr([2, 0, 0, 0, 0, 1]), EthAddr([2, 0, 0, 0, 0, 2])];
    let security = |may_spoof, may_prioritise| only(Policy::Security(Security { may_spoof, may_prioritise }));
    let from = |all: &Policies, from, tag| all.entering(0, (Some(own), Some(from)), tag);
    let strict = security(false, false);
    assert_eq!(from(&strict, own, Tag::None), Ok(None));
    assert_eq!(from(&strict, other, Tag::None), Err(DropReason::ForeignSource));
    assert_eq!(strict.entering(0, (None, Some(other)), Tag::None), Ok(None), "a physical adapter has none");
    assert_eq!(from(&security(true, false), other, Tag::None), Ok(None));
    assert_eq!(from(&strict, own, Tag::Vlan(urgent(4))), Ok(Some(4)), "priorities are not believed");
    assert_eq!(from(&security(false, true), own, Tag::Vlan(urgent(4))), Ok(Some(urgent(4))));
    assert_eq!(strict.leaving(0, Tag::Vlan(urgent(4))), Ok(Some(urgent(4))));
}

#[test]
fn a_policy_counts_from_the_switchs_yes_until_its_end() {
    let mut all = Policies::default();
    all.ask(7, Policy::Vlan(Some(VlanPolicy::Access(5)))).unwrap();
    all.answered(false);
    assert_eq!(all.find(7), None, "the switch did not agree");
    all.ask(7, Policy::Vlan(Some(VlanPolicy::Access(5)))).unwrap();
    all.answered(true);
    all.ask(7, Policy::Vlan(Some(VlanPolicy::Access(6)))).unwrap();
    assert_eq!(all.leaving(0, Tag::Vlan(5)), Ok(None), "the old one counts until the new one does");
    all.answered(true);
    assert_eq!((all.leaving(0, Tag::Vlan(5)), all.leaving(0, Tag::Vlan(6))), (REFUSED, Ok(None)));
    all.remove(7, PolicyKind::Security).unwrap();
    assert_eq!(all.find(7), Some(0));
    all.remove(7, PolicyKind::Vlan).unwrap();
    assert_eq!(all.find(7), None);
    all.ask(7, Policy::Vlan(None)).unwrap();
    all.answered(true);
    assert_eq!(all.find(7), None, "untagged is no policy");
}

#[test]
fn what_requests_told_is_newer_than_an_answer() {
    let mut all = Policies::default();
    all.learn(9, Policy::Vlan(Some(VlanPolicy::Access(5)))).unwrap();
    assert!(all.find(9).is_some_and(|at| all.has_vlans(at)), "the switch is believed");
    all.learn(9, Policy::Vlan(Some(VlanPolicy::Access(6)))).unwrap();
    assert_eq!(all.leaving(0, Tag::Vlan(6)), Ok(None), "and later again");
    // Of a port that is not known yet; the switch was asked before, and answers now.
    all.remove(3, PolicyKind::Vlan).unwrap();
    all.learn(3, Policy::Vlan(Some(VlanPolicy::Access(5)))).unwrap();
    assert_eq!(all.find(3), None);
    all.forget(3);
    all.learn(3, Policy::Vlan(Some(VlanPolicy::Access(5)))).unwrap();
    assert_eq!(all.find(3), Some(0), "another port of the same number");
    all.clear();
    assert_eq!((all.find(3), all.find(9)), (None, None));
}
