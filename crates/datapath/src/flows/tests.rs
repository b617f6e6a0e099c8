//! What the table does at its limit.

use alloc::vec;
use alloc::vec::Vec;

use flow::slot;
use packet::OdpPort;
use proptest::prelude::*;

use super::*;
use crate::{Command, Config, Datapath};

/// A table for `limit` flows, each of which matches one port.
struct Full(Datapath);

impl Full {
    fn new(limit: usize) -> Full {
        Full(Datapath::try_new(&Config { flow_limit: limit, ..Config::default() }).unwrap())
    }

    /// Installs flow `n`, and returns the one that made way.
    fn put(&self, n: u32) -> Option<FlowInfo> {
        let mut matched = Match::ANY;
        matched.set_exact(slot::in_port, n.into());
        let actions = vec![Action::Output(OdpPort(n))];
        let mut put = FlowPut { ufid: Ufid(n.into()), matched, actions, mode: PutMode::Create };
        self.0.apply(Command::PutFlow(&mut put)).unwrap().into_flow()
    }

    fn is_there(&self, n: u32) -> bool {
        self.0.apply(Command::GetFlow(Ufid(n.into()))).is_ok()
    }

    /// Counts a packet for flow `n` at `ms`.
    fn touch(&self, n: u32, ms: u64) {
        let stats = FlowStats { packets: 1, bytes: 60, used_ms: ms, tcp_flags: 0 };
        assert!(self.0.restore_stats(Ufid(n.into()), &stats));
    }

    fn flows(&self) -> Vec<FlowInfo> {
        match self.0.apply(Command::DumpFlows { cursor: 0, max: usize::MAX }) {
            Ok(Reply::Flows { flows, next: None }) => flows,
            other => panic!("{other:?}"),
        }
    }

    fn evicted(&self) -> u64 {
        match self.0.apply(Command::Stats) {
            Ok(Reply::Stats(stats)) => stats.evicted,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn flows_in_use_stay_while_many_others_come_and_go() {
    const LIMIT: u32 = 200;
    let t = Full::new(LIMIT as usize);
    let busy = 0..20;
    busy.clone().for_each(|n| assert!(t.put(n).is_none()));
    let mut made_way = 0;
    for n in 20..5000 {
        busy.clone().for_each(|n| t.touch(n, u64::from(n) + 1_000_000));
        if let Some(gone) = t.put(n) {
            assert!(!busy.contains(&(gone.ufid.0 as u32)), "{} is in use", gone.ufid.0);
            assert!(!t.is_there(gone.ufid.0 as u32) && t.is_there(n));
            made_way += 1;
        }
    }
    assert_eq!((t.flows().len(), made_way), (LIMIT as usize, 5000 - LIMIT as usize));
    assert_eq!(t.evicted(), made_way as u64);
    assert!(busy.into_iter().all(|n| t.is_there(n)));
}

#[test]
fn the_last_statistics_of_what_made_way_are_told() {
    let t = Full::new(1);
    t.put(1);
    t.touch(1, 77);
    let gone = t.put(2).expect("there is room for one");
    assert_eq!((gone.ufid, gone.stats.packets, gone.stats.used_ms), (Ufid(1), 1, 77));
}

#[test]
fn a_lower_limit_keeps_what_is_there_until_others_come() {
    let t = Full::new(100);
    (0..100).for_each(|n| assert!(t.put(n).is_none()));
    t.0.apply(Command::SetFlowLimit(10)).unwrap();
    assert_eq!(t.flows().len(), 100);
    (100..120).for_each(|n| assert!(t.put(n).is_some()));
    assert_eq!(t.flows().len(), 100);
    t.0.apply(Command::SetFlowLimit(usize::MAX)).unwrap();
    assert!(t.put(200).is_some(), "no more than the table was made for");
    t.0.apply(Command::SetFlowLimit(0)).unwrap();
    t.0.apply(Command::FlushFlows).unwrap();
    let mut put = FlowPut { ufid: Ufid(1), matched: Match::ANY, actions: vec![], mode: PutMode::Create };
    assert_eq!(t.0.apply(Command::PutFlow(&mut put)).err(), Some(CommandError::Full));
}

proptest! {
    #[test]
    fn the_table_holds_what_it_says_it_holds(limit in 1usize..40, ops in prop::collection::vec((any::<bool>(), 0u32..80), 1..300)) {
        let t = Full::new(limit);
        let mut there = alloc::collections::BTreeSet::new();
        for (i, (put, n)) in ops.into_iter().enumerate() {
            if there.contains(&n) && put {
                t.touch(n, i as u64);
            } else if there.remove(&n) {
                t.0.apply(Command::DelFlow(Ufid(n.into()))).unwrap();
            } else {
                let gone = t.put(n);
                prop_assert_eq!(gone.is_some(), there.len() == limit);
                if let Some(gone) = gone {
                    prop_assert!(there.remove(&(gone.ufid.0 as u32)));
                }
                there.insert(n);
            }
            let mut flows: Vec<u32> = t.flows().iter().map(|f| f.ufid.0 as u32).collect();
            flows.sort_unstable();
            prop_assert!(flows.into_iter().eq(there.iter().copied()));
        }
    }
}
