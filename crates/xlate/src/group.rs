//! Groups: which buckets a packet takes, and taking them.
//!
//! Where it sits: the `group` action; the groups are `ofproto`'s, the hashes `hash.rs`'s.
//!
//! A group that chooses by the datapath's hash interrupts the translation until the packet comes back with one: see
//! `resume.rs`.
//!
//! Spec: ovs-ofctl(8), "Group Syntax"; OpenFlow 1.5.1 section 6.7.

use flow::{FlowKey, Wildcards, slot};
use odp::HashAlg;
use ofproto::{Bucket, Choice, Group, HashTable};
use openflow::msg::GroupType;
use openflow::{Bits, field};

use crate::act::{as_action_set, exact};
use crate::hash;
use crate::resume::Why;
use crate::translate::Xlate;
use crate::{Credit, NodeKind};

/// Deepest chain of groups that watch groups.
const MAX_WATCHES: u32 = 128;
/// `OVS_HASH_ALG_L4`, in a selection method's parameter.
const ALG_L4: u32 = 0;

impl Xlate<'_> {
    /// The `group` action.
    pub(crate) fn group(&mut self, id: u32, last: bool) {
        let bridge = self.bridge;
        let Some(group) = bridge.rules.group(id) else {
            return self.note(NodeKind::Warning, || format!("output to nonexistent group {id}"));
        };
        if !self.may_nest() {
            return;
        }
        match group.kind {
            GroupType::All | GroupType::Indirect => {
                self.out.credits.push(Credit::Tally(group.tally.clone()));
                let n = group.buckets.len();
                for (i, bucket) in group.buckets.iter().enumerate() {
                    self.bucket(bucket, last && i + 1 == n);
                }
            }
            GroupType::FastFailover => {
                let chosen = group.buckets.iter().find(|b| self.is_live(b, 0));
                self.take(group, chosen, last);
            }
            GroupType::Select => match &group.choice {
                Choice::DpHash(table) => self.by_datapath_hash(group, table, last),
                Choice::Symmetric => {
                    let basis = hash::symmetric_l4(&self.flow, &mut self.out.wc, 0);
                    self.by_score(group, basis, last);
                }
                Choice::Fields(fields, param) => {
                    let basis = fields_hash(&self.flow, &mut self.out.wc, fields, *param);
                    self.by_score(group, basis, last);
                }
            },
        }
        self.end_nest();
    }

    fn take(&mut self, group: &Group, chosen: Option<&Bucket>, last: bool) {
        let Some(bucket) = chosen else {
            return self.note(NodeKind::Detail, || "no live bucket".into());
        };
        self.note(NodeKind::Detail, || format!("using bucket {}", bucket.id));
        self.out.credits.push(Credit::Tally(group.tally.clone()));
        self.bucket(bucket, last);
    }

    /// Carries a bucket's actions out as an action set; afterwards the packet is as before.
    fn bucket(&mut self, bucket: &Bucket, last: bool) {
        self.out.credits.push(Credit::Tally(bucket.tally.clone()));
        self.enter(NodeKind::Bucket, || format!("bucket {}", bucket.id));
        let list = as_action_set(&bucket.actions);
        self.cloned(|x| {
            if !list.is_empty() {
                x.actions(&list, last);
            }
        });
        self.leave();
    }

    /// The live bucket of the highest score: a hash of its number, weighted.
    fn by_score(&mut self, group: &Group, basis: u32, last: bool) {
        let mut best: Option<(u32, &Bucket)> = None;
        for bucket in &group.buckets {
            if bucket.weight == 0 {
                self.note(NodeKind::Detail, || format!("bucket {}: not live due to ", bucket.id));
                continue;
            }
            if !self.is_live(bucket, 0) {
                continue;
            }
            let score = (hash::of_two(bucket.id, basis) & 0xffff) * u32::from(bucket.weight);
            self.note(NodeKind::Detail, || format!("bucket {}: score {score}", bucket.id));
            if best.is_none_or(|(high, _)| score >= high) {
                best = Some((score, bucket));
            }
        }
        self.take(group, best.map(|(_, bucket)| bucket), last);
    }

    fn by_datapath_hash(&mut self, group: &Group, table: &HashTable, last: bool) {
        let hash = self.flow.dp_hash();
        if hash == 0 {
            self.note(NodeKind::Detail, || "no live bucket".into());
            let alg = if table.alg == Some(ALG_L4) { HashAlg::L4 } else { HashAlg::SymL4 };
            return self.interrupt(Why::Hash(alg, table.basis));
        }
        let mask = table.buckets.len() as u32 - 1;
        let looked_at = self.out.wc.dp_hash() | mask;
        self.out.wc.set_dp_hash(looked_at);
        // The bucket of the hash, or the next live one.
        let places = (0..=mask).map(|i| (hash.wrapping_add(i) & mask) as usize);
        let buckets = places.filter_map(|at| group.buckets.get(*table.buckets.get(at)?));
        let chosen = buckets.into_iter().find(|b| self.is_live(b, 0));
        self.take(group, chosen, last);
    }

    /// True if what the bucket watches is up, or if it watches nothing.
    fn is_live(&mut self, bucket: &Bucket, depth: u32) -> bool {
        let bridge = self.bridge;
        if bucket.watch_port.is_none() && bucket.watch_group.is_none() {
            return true;
        }
        if bucket.watch_port.and_then(|p| bridge.ports.get(&p)).is_some_and(|p| p.up) {
            return true;
        }
        let group = bucket.watch_group.and_then(|g| bridge.rules.group(g));
        if depth < MAX_WATCHES
            && let Some(group) = group
            && group.buckets.iter().any(|b| self.is_live(b, depth + 1))
        {
            return true;
        }
        self.note(NodeKind::Detail, || {
            let watched = bucket.watch_port.map(|p| p.0).into_iter().chain(bucket.watch_group);
            let watched: Vec<String> = watched.map(|n| format!("port {n}")).collect();
            format!("bucket {}: not live due to {}", bucket.id, watched.join(" and "))
        });
        false
    }
}

/// The hash of the named fields that the packet has.
fn fields_hash(key: &FlowKey, wc: &mut Wildcards, fields: &[(flow::Field, Bits)], param: u64) -> u32 {
    let mut hash = hash::of_u64(param);
    for (f, mask) in fields {
        let def = f.def();
        if !field::prereqs_ok(*f, &exact(key)) {
            continue;
        }
        if asks_for_protocol(def.prereq) {
            wc.unwildcard(slot::nw_proto);
        }
        let value = &field::get(*f, key) & mask;
        hash = hash::of_bytes(&value.be_bytes(def.bytes.into()).collect::<Vec<_>>(), hash);
        field::look_at(*f, key, mask, wc);
    }
    hash
}

/// True for fields that only some IP protocols have.
fn asks_for_protocol(prereq: flow::Prereq) -> bool {
    use flow::Prereq as P;
    matches!(prereq, P::Tcp | P::Udp | P::Sctp | P::Icmpv4 | P::Icmpv6 | P::Nd | P::NdSolicit | P::NdAdvert)
}
