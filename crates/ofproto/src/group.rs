//! Groups: lists of buckets of actions, and how one or all of them are chosen.
//!
//! Where it sits: changed by group mods through [`crate::Ofproto`], read by translation from a snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use openflow::{Action, OfpError, OfpPort};
use packet::Now;

use crate::{Ofproto, RemovedReason, RuleSelection};

/// How buckets are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// All of them.
    All,
    /// One, by hash and weight.
    Select,
    /// The only one.
    Indirect,
    /// The first live one.
    FastFailover,
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
    pub counters: Arc<(AtomicU64, AtomicU64)>,
}

impl Bucket {
    /// Counts packets.
    pub fn credit(&self, packets: u64, bytes: u64) {
        self.counters.0.fetch_add(packets, Relaxed);
        self.counters.1.fetch_add(bytes, Relaxed);
    }
}

/// A group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its number.
    pub id: u32,
    /// How buckets are chosen.
    pub kind: GroupKind,
    /// The buckets.
    pub buckets: Vec<Bucket>,
    /// When it was made.
    pub created: Now,
}

/// What a group mod does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupModCommand {
    /// Adds a group.
    Add,
    /// Replaces a group's kind and buckets.
    Modify,
    /// Does whichever of the two fits.
    AddOrModify,
    /// Deletes it, and the rules that use it.
    Delete,
}

/// A request to change groups.
#[derive(Clone, Debug)]
pub struct GroupMod {
    /// What to do.
    pub command: GroupModCommand,
    /// The group; all-ones deletes all.
    pub id: u32,
    /// How buckets are chosen.
    pub kind: GroupKind,
    /// The buckets.
    pub buckets: Vec<Bucket>,
}

impl GroupMod {
    /// Every group.
    pub const ALL: u32 = 0xffff_fffc;
    /// The largest number of a group.
    pub const MAX: u32 = 0xffff_ff00;

    fn check(&self) -> Result<(), OfpError> {
        if self.id > GroupMod::MAX {
            return Err(OfpError::OFPGMFC_INVALID_GROUP);
        }
        let unwatched = |b: &Bucket| b.watch_port.is_none() && b.watch_group.is_none();
        match self.kind {
            GroupKind::Indirect if self.buckets.len() != 1 => Err(OfpError::OFPGMFC_INVALID_GROUP),
            GroupKind::FastFailover if self.buckets.iter().any(unwatched) => Err(OfpError::OFPGMFC_BAD_WATCH),
            GroupKind::All | GroupKind::Select | GroupKind::Indirect | GroupKind::FastFailover => Ok(()),
        }
    }
}

impl Ofproto {
    /// Carries out a group mod. Returns the rules that went with deleted groups.
    pub fn group_mod(&mut self, gm: &GroupMod, now: Now) -> Result<Vec<crate::FlowChange>, OfpError> {
        let exists = self.current.group(gm.id).is_some();
        match gm.command {
            GroupModCommand::Delete => return Ok(self.delete_groups(gm.id)),
            GroupModCommand::Add if exists => return Err(OfpError::OFPGMFC_GROUP_EXISTS),
            GroupModCommand::Modify if !exists => return Err(OfpError::OFPGMFC_UNKNOWN_GROUP),
            GroupModCommand::Add | GroupModCommand::Modify | GroupModCommand::AddOrModify => gm.check()?,
        }
        let created = self.current.group(gm.id).map_or(now, |g| g.created);
        let group = Group { id: gm.id, kind: gm.kind, buckets: gm.buckets.clone(), created };
        self.current.groups_mut().insert(gm.id, Arc::new(group));
        self.touch();
        Ok(Vec::new())
    }

    fn delete_groups(&mut self, id: u32) -> Vec<crate::FlowChange> {
        let ids: Vec<u32> =
            self.current.groups().map(|g| g.id).filter(|g| id == GroupMod::ALL || *g == id).collect();
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
