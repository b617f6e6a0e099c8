//! Groups: lists of buckets of actions, and how one or all of them are chosen.
//!
//! Where it sits: changed by group mods through [`crate::Ofproto`], read by translation from a snapshot.
//!
//! I1  A group never changes: a modification makes a new one, whose counters start at zero.
//!
//! Spec: OpenFlow 1.5.1 sections 5.10 and 6.7; ovs-ofctl(8), "Group Syntax". Next: `choice.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use openflow::msg::group::{ALL_GROUPS, ANY_GROUP, MAX_GROUP, bucket_id};
use openflow::msg::{
    self, GroupCommand, GroupDesc, GroupFeatures, GroupMod, GroupStats, GroupType, SelectionMethod,
};
use openflow::{Action, OfpError, OfpPort};
use packet::Now;

use crate::choice::Choice;
use crate::{FlowChange, Ofproto, RemovedReason, RuleSelection, Snapshot, age};

/// Packets and bytes.
#[derive(Debug, Default)]
pub struct Tally {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    /// Counts packets.
    pub fn credit(&self, packets: u64, bytes: u64) {
        self.packets.fetch_add(packets, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// What was counted.
    pub fn read(&self) -> (u64, u64) {
        (self.packets.load(Relaxed), self.bytes.load(Relaxed))
    }
}

/// A bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Its number.
    pub id: u32,
    /// Its share of a select group.
    pub weight: u16,
    /// It is live while this port is.
    pub watch_port: Option<OfpPort>,
    /// It is live while this group is.
    pub watch_group: Option<u32>,
    /// What it does.
    pub actions: Arc<[Action]>,
    /// Packets and bytes that it took.
    pub tally: Arc<Tally>,
}

impl Bucket {
    fn new(b: &msg::Bucket) -> Bucket {
        Bucket {
            id: b.bucket_id,
            weight: b.weight,
            watch_port: (b.watch_port != OfpPort::NONE).then_some(b.watch_port),
            watch_group: (b.watch_group != ANY_GROUP).then_some(b.watch_group),
            actions: b.actions.clone().into(),
            tally: Arc::default(),
        }
    }

    fn described(&self) -> msg::Bucket {
        msg::Bucket {
            bucket_id: self.id,
            weight: self.weight,
            watch_port: self.watch_port.unwrap_or(OfpPort::NONE),
            watch_group: self.watch_group.unwrap_or(ANY_GROUP),
            actions: self.actions.to_vec(),
        }
    }

    /// The same, with counters at zero.
    fn fresh(&self) -> Bucket {
        Bucket { tally: Arc::default(), ..self.clone() }
    }
}

/// A group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its number.
    pub id: u32,
    /// How buckets are chosen.
    pub kind: GroupType,
    /// How a select group was asked to choose.
    pub selection: SelectionMethod,
    /// How a select group chooses.
    pub choice: Choice,
    /// The buckets.
    pub buckets: Vec<Bucket>,
    /// When it was made.
    pub created: Now,
    /// Packets and bytes that came to it.
    pub tally: Arc<Tally>,
}

impl Group {
    fn new(
        id: u32,
        kind: GroupType,
        selection: SelectionMethod,
        buckets: Vec<Bucket>,
        created: Now,
    ) -> Group {
        let choice = Choice::new(kind, &selection, &buckets);
        Group { id, kind, selection, choice, buckets, created, tally: Arc::default() }
    }

    /// The same group with other buckets.
    fn with_buckets(&self, buckets: Vec<Bucket>) -> Group {
        Group::new(self.id, self.kind, self.selection.clone(), buckets, self.created)
    }

    /// What a group mod that makes it would say.
    pub fn described(&self) -> GroupDesc {
        GroupDesc {
            group_id: self.id,
            kind: self.kind,
            selection: self.selection.clone(),
            buckets: self.buckets.iter().map(Bucket::described).collect(),
        }
    }

    fn position(&self, id: u32) -> Result<usize, OfpError> {
        self.buckets.iter().position(|b| b.id == id).ok_or(OfpError::OFPGMFC_UNKNOWN_BUCKET)
    }

    /// The buckets with `new` ones put in where `place` says.
    fn inserted(&self, place: u32, new: Vec<Bucket>) -> Result<Vec<Bucket>, OfpError> {
        if new.iter().any(|b| self.position(b.id).is_ok()) {
            return Err(OfpError::OFPGMFC_BUCKET_EXISTS);
        }
        let at = match place {
            bucket_id::FIRST => 0,
            bucket_id::LAST => self.buckets.len(),
            id => self.position(id)? + 1,
        };
        let mut buckets: Vec<Bucket> = self.buckets.iter().map(Bucket::fresh).collect();
        buckets.splice(at..at, new);
        Ok(buckets)
    }

    /// The buckets without those that `place` says.
    fn removed(&self, place: u32) -> Result<Vec<Bucket>, OfpError> {
        let mut buckets: Vec<Bucket> = self.buckets.iter().map(Bucket::fresh).collect();
        match place {
            bucket_id::ALL => buckets.clear(),
            bucket_id::FIRST => drop(buckets.drain(..buckets.len().min(1))),
            bucket_id::LAST => drop(buckets.pop()),
            id => drop(buckets.remove(self.position(id)?)),
        }
        Ok(buckets)
    }
}

/// What groups there can be, and which standard actions in their buckets.
pub fn group_features() -> GroupFeatures {
    const ALL_TYPES: u32 = 0xf;
    /// Weights, liveness, chains; loops are found out only by packets.
    const CAPABILITIES: u32 = 0x7;
    /// Output, TTLs in and out of MPLS, VLAN, MPLS, queue, group, IP's TTL, fields: bits of the action types.
    const ACTIONS: u32 = 1 | 0b11 << 15 | 0b1111 << 17 | 0b11111 << 21;
    GroupFeatures {
        types: ALL_TYPES,
        capabilities: CAPABILITIES,
        max_groups: [MAX_GROUP; 4],
        actions: [ACTIONS; 4],
    }
}

impl Ofproto {
    /// Carries out a group mod. Returns the rules that went with deleted groups.
    pub fn group_mod(&mut self, gm: &GroupMod, now: Now) -> Result<Vec<FlowChange>, OfpError> {
        use GroupCommand as C;
        if gm.command == C::Delete {
            return Ok(self.delete_groups(gm.group_id));
        }
        if gm.group_id > MAX_GROUP {
            return Err(OfpError::OFPGMFC_INVALID_GROUP);
        }
        gm.buckets.iter().try_for_each(|b| self.current.check_debugging(&b.actions))?;
        let old = self.current.group(gm.group_id).cloned();
        let new: Vec<Bucket> = gm.buckets.iter().map(Bucket::new).collect();
        let made = |created| Group::new(gm.group_id, gm.kind, gm.selection.clone(), new.clone(), created);
        let group = match (gm.command, &old) {
            (C::Add, Some(_)) => return Err(OfpError::OFPGMFC_GROUP_EXISTS),
            (C::Add | C::AddOrModify, None) => made(now),
            (C::Modify | C::AddOrModify, Some(old)) => made(old.created),
            (C::InsertBucket, Some(old)) => old.with_buckets(old.inserted(gm.command_bucket_id, new)?),
            (C::RemoveBucket, Some(old)) => old.with_buckets(old.removed(gm.command_bucket_id)?),
            (C::Modify | C::InsertBucket | C::RemoveBucket, None) => {
                return Err(OfpError::OFPGMFC_UNKNOWN_GROUP);
            }
            (C::Delete, _) => return Ok(Vec::new()),
        };
        self.current.groups_mut().insert(gm.group_id, Arc::new(group));
        self.touch();
        Ok(Vec::new())
    }

    fn delete_groups(&mut self, id: u32) -> Vec<FlowChange> {
        let wanted = |g: &u32| id == ALL_GROUPS || *g == id;
        let ids: Vec<u32> = self.current.groups().map(|g| g.id).filter(wanted).collect();
        let mut changes = Vec::new();
        for id in ids {
            let using = RuleSelection { out_group: Some(id), ..RuleSelection::all() };
            for rule in using.rules(&self.current) {
                changes.push(self.remove_rule(&rule, RemovedReason::GroupDelete));
            }
            self.current.groups_mut().remove(&id);
            self.touch();
        }
        changes
    }
}

impl Snapshot {
    /// The groups that a request names: one, or all.
    pub fn groups_named(&self, id: u32) -> impl Iterator<Item = &Arc<Group>> {
        self.groups().filter(move |g| id == ALL_GROUPS || g.id == id)
    }

    /// Counters of the groups that a request names.
    pub fn group_stats(&self, id: u32, now: Now) -> Vec<GroupStats> {
        let stats = |g: &Arc<Group>| {
            let (packet_count, byte_count) = g.tally.read();
            let using = RuleSelection { out_group: Some(g.id), ..RuleSelection::all() };
            GroupStats {
                group_id: g.id,
                ref_count: using.rules(self).len() as u32,
                packet_count,
                byte_count,
                duration: Some(age(now.mono.since(g.created.mono))),
                buckets: g.buckets.iter().map(|b| b.tally.read()).collect(),
            }
        };
        self.groups_named(id).map(stats).collect()
    }
}
