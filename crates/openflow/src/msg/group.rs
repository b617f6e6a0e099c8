//! Groups: GROUP_MOD in its three layouts, group statistics, descriptions and features.
//!
//! Where it sits: `group` actions send packets to what these messages define; the commands about groups of ovs-ofctl.
//!
//! ~~~text
//! 1.1 to 1.4   group mod ─ buckets (weight and watches fixed)
//! 1.5, 1.0 NX  group mod ─ buckets (weight and watches as properties) ─ group properties
//! ~~~
//!
//! I1  A decoded group obeys the rules of its type: one bucket for indirect, watches only and always for fast failover.
//!
//! Spec: OpenFlow 1.5.1 section 7.3.4.3; the selection method is Netronome's extension. Next: `group_stats.rs`.

use crate::{Action, OfpError, OfpPort, PutBytes, Version, actions};

use super::raw::Raw;
use super::selection::SelectionMethod;
use super::{PutBody, Reader, Result, header, props};

/// Stands for every group in requests.
pub const ALL_GROUPS: u32 = 0xffff_fffc;
/// Stands for no group.
pub const ANY_GROUP: u32 = 0xffff_ffff;
/// The largest number that a group can have.
pub const MAX_GROUP: u32 = 0xffff_ff00;

/// Bucket numbers with a meaning of their own.
#[allow(missing_docs, reason = "named after the specification")]
pub mod bucket_id {
    pub const MAX: u32 = 0xffff_ff00;
    pub const FIRST: u32 = 0xffff_fffd;
    pub const LAST: u32 = 0xffff_fffe;
    pub const ALL: u32 = 0xffff_ffff;
}

/// How a group uses its buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GroupType {
    /// Every bucket gets a copy.
    #[default]
    All = 0,
    /// One bucket, chosen by hash.
    Select = 1,
    /// The one bucket that there is.
    Indirect = 2,
    /// The first bucket whose watch is alive.
    FastFailover = 3,
}

impl GroupType {
    /// All types with their names in text.
    pub const NAMES: [(GroupType, &str); 4] = [
        (GroupType::All, "all"),
        (GroupType::Select, "select"),
        (GroupType::Indirect, "indirect"),
        (GroupType::FastFailover, "ff"),
    ];

    /// The name in text.
    pub fn name(self) -> &'static str {
        GroupType::NAMES[self as usize].1
    }

    pub(super) fn from_wire(n: u8) -> Result<GroupType> {
        GroupType::NAMES.get(usize::from(n)).map(|(kind, _)| *kind).ok_or(OfpError::OFPGMFC_BAD_TYPE)
    }
}

/// What is done to a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u16)]
#[allow(missing_docs, reason = "named after the specification")]
pub enum GroupCommand {
    #[default]
    Add = 0,
    Modify = 1,
    Delete = 2,
    InsertBucket = 3,
    RemoveBucket = 5,
    AddOrModify = 0x8000,
}

impl GroupCommand {
    fn from_wire(n: u16) -> Result<GroupCommand> {
        use GroupCommand as C;
        let all = [C::Add, C::Modify, C::Delete, C::InsertBucket, C::RemoveBucket, C::AddOrModify];
        all.into_iter().find(|c| *c as u16 == n).ok_or(OfpError::OFPGMFC_BAD_COMMAND)
    }
}

/// One bucket: actions, and when they are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// Its number; only 1.5 carries it.
    pub bucket_id: u32,
    /// Its share in a select group.
    pub weight: u16,
    /// The port whose liveness counts, or `NONE`.
    pub watch_port: OfpPort,
    /// The group whose liveness counts, or [`ANY_GROUP`].
    pub watch_group: u32,
    /// What it does.
    pub actions: Vec<Action>,
}

impl Bucket {
    /// A bucket of a group of type `kind` that says nothing.
    pub fn new(kind: GroupType) -> Bucket {
        Bucket {
            bucket_id: 0,
            weight: default_weight(kind),
            watch_port: OfpPort::NONE,
            watch_group: ANY_GROUP,
            actions: Vec::new(),
        }
    }

    fn watches(&self) -> bool {
        self.watch_port != OfpPort::NONE || self.watch_group != ANY_GROUP
    }
}

/// The weight of a bucket that gives none.
pub fn default_weight(kind: GroupType) -> u16 {
    u16::from(kind == GroupType::Select)
}

/// Body of GROUP_MOD.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupMod {
    /// What is done.
    pub command: GroupCommand,
    /// The type.
    pub kind: GroupType,
    /// The group, or [`ALL_GROUPS`].
    pub group_id: u32,
    /// Before or after which bucket INSERT_BUCKET puts, which one REMOVE_BUCKET takes.
    pub command_bucket_id: u32,
    /// How select chooses.
    pub selection: SelectionMethod,
    /// The buckets.
    pub buckets: Vec<Bucket>,
}

impl GroupMod {
    /// A change of group `group_id` that says nothing more.
    pub fn new(command: GroupCommand, group_id: u32) -> GroupMod {
        GroupMod {
            command,
            kind: GroupType::All,
            group_id,
            command_bucket_id: bucket_id::ALL,
            selection: SelectionMethod::default(),
            buckets: Vec::new(),
        }
    }

    pub(super) fn decode(raw: Raw, version: Version, mut r: Reader<'_>) -> Result<GroupMod> {
        let command = r.u16()?;
        let kind = r.u8()?;
        r.skip(1)?;
        let group_id = r.u32()?;
        let mut gm = GroupMod::new(GroupCommand::Add, group_id);
        if raw == Raw::Ofpt11GroupMod {
            gm.buckets = decode_buckets(&mut r, version)?;
            let deletes = command == GroupCommand::Delete as u16;
            if deletes && !gm.buckets.is_empty() && version >= Version::V13 {
                return Err(OfpError::OFPGMFC_INVALID_GROUP);
            }
            gm.kind = GroupType::from_wire(kind)?;
            gm.command = GroupCommand::from_wire(command)?;
        } else {
            let len = usize::from(r.u16()?);
            r.skip(2)?;
            gm.command_bucket_id = r.u32()?;
            gm.decode_of15(command, kind, len, version, r)?;
        }
        gm.check()?;
        Ok(gm)
    }

    fn decode_of15(
        &mut self,
        command: u16,
        kind: u8,
        len: usize,
        version: Version,
        mut r: Reader<'_>,
    ) -> Result<()> {
        let known = GroupCommand::from_wire(command);
        let named = matches!(known, Ok(GroupCommand::InsertBucket | GroupCommand::RemoveBucket));
        let id = self.command_bucket_id;
        let in_range = id <= bucket_id::MAX || id >= bucket_id::FIRST;
        if if named { !in_range } else { id != bucket_id::ALL } {
            return Err(OfpError::OFPGMFC_BAD_BUCKET);
        }
        self.buckets = decode_buckets_of15(&mut r, len, kind, version)?;
        self.command = known?;
        self.selection = SelectionMethod::decode_properties(r, kind, Some(command))?;
        self.kind = GroupType::from_wire(kind)?;
        Ok(())
    }

    /// Checks the rules of the group's type.
    pub fn check(&self) -> Result<()> {
        use GroupCommand as C;
        match self.command {
            C::RemoveBucket if !self.buckets.is_empty() => return Err(OfpError::OFPGMFC_BAD_BUCKET),
            C::Delete | C::RemoveBucket | C::InsertBucket => {}
            C::Add | C::Modify | C::AddOrModify => {
                if self.kind == GroupType::Indirect && self.buckets.len() != 1 {
                    return Err(OfpError::OFPGMFC_INVALID_GROUP);
                }
            }
        }
        if matches!(self.command, C::Add | C::Modify | C::AddOrModify | C::Delete) {
            for bucket in &self.buckets {
                self.check_bucket(bucket)?;
            }
        }
        Ok(())
    }

    fn check_bucket(&self, bucket: &Bucket) -> Result<()> {
        if bucket.weight != default_weight(self.kind) && self.kind != GroupType::Select {
            return Err(OfpError::OFPGMFC_INVALID_GROUP);
        }
        match self.kind {
            GroupType::All | GroupType::Indirect if bucket.watches() => {
                Err(OfpError::OFPGMFC_WATCH_UNSUPPORTED)
            }
            GroupType::FastFailover if !bucket.watches() => Err(OfpError::OFPGMFC_INVALID_GROUP),
            _ => Ok(()),
        }
    }

    pub(super) fn encode(&self, version: Version, xid: u32, out: &mut Vec<u8>) -> Result<()> {
        let rows = [Raw::NxtGroupMod, Raw::Ofpt11GroupMod, Raw::Ofpt15GroupMod];
        let raw = Raw::pick(&rows, version.wire()).ok_or(OfpError::OFPBRC_BAD_VERSION)?;
        let at = header::start(out, raw, version.wire(), xid);
        out.put_u16(self.command as u16);
        out.put_u8(self.kind as u8);
        out.put_u8(0);
        out.put_u32(self.group_id);
        if raw == Raw::Ofpt11GroupMod {
            if matches!(self.command, GroupCommand::InsertBucket | GroupCommand::RemoveBucket) {
                return Err(OfpError::OFPGMFC_BAD_COMMAND);
            }
            encode_buckets(&self.buckets, version, out)?;
        } else {
            let len_at = out.len();
            out.put_zeros(4);
            out.put_u32(self.command_bucket_id);
            let start = out.len();
            encode_buckets_of15(&self.buckets, self.kind, version, out)?;
            out.set_len16(len_at, start);
            self.selection.encode_property(out);
        }
        header::finish(out, at);
        Ok(())
    }
}

/// Buckets of 1.1 to 1.4 up to the end of `r`, numbered as they come.
pub(super) fn decode_buckets(r: &mut Reader<'_>, version: Version) -> Result<Vec<Bucket>> {
    let bad = |_| OfpError::OFPGMFC_BAD_BUCKET;
    let mut buckets = Vec::new();
    while !r.is_empty() {
        let mut head = r.sub(16.min(r.len()))?;
        let len = usize::from(head.u16().map_err(bad)?);
        let weight = head.u16().map_err(bad)?;
        let (watch_port, watch_group) = (head.u32().map_err(bad)?, head.u32().map_err(bad)?);
        head.skip(4).map_err(bad)?;
        let body = len.checked_sub(16).ok_or(OfpError::OFPGMFC_BAD_BUCKET)?;
        let list = r.bytes(body).map_err(bad)?;
        let actions = actions::decode(list, version)?;
        let watch_port = OfpPort::from_of11(watch_port).map_err(|_| OfpError::OFPGMFC_BAD_WATCH)?;
        let bucket_id = u32::try_from(buckets.len()).unwrap_or(u32::MAX);
        buckets.push(Bucket { bucket_id, weight, watch_port, watch_group, actions });
    }
    Ok(buckets)
}

/// `len` bytes of 1.5's buckets.
pub(super) fn decode_buckets_of15(
    r: &mut Reader<'_>,
    len: usize,
    kind: u8,
    version: Version,
) -> Result<Vec<Bucket>> {
    let bad = |_| OfpError::OFPGMFC_BAD_BUCKET;
    let mut r = r.sub(len).map_err(|_| OfpError::OFPBRC_BAD_LEN)?;
    let mut buckets: Vec<Bucket> = Vec::new();
    while !r.is_empty() {
        let (len, actions_len) = (r.u16().map_err(bad)?, r.u16().map_err(bad)?);
        let bucket_id = r.u32().map_err(bad)?;
        let body = usize::from(len).checked_sub(8).ok_or(OfpError::OFPGMFC_BAD_BUCKET)?;
        let mut body = r.sub(body).map_err(bad)?;
        let list = body.bytes(actions_len.into()).map_err(bad)?;
        let actions = actions::decode(list, version)?;
        let mut bucket = Bucket {
            bucket_id,
            weight: u16::from(kind == GroupType::Select as u8),
            watch_port: OfpPort::NONE,
            watch_group: ANY_GROUP,
            actions,
        };
        decode_bucket_properties(&mut bucket, body)?;
        if bucket_id > bucket_id::MAX {
            return Err(OfpError::OFPGMFC_BAD_BUCKET);
        }
        if buckets.iter().any(|b| b.bucket_id == bucket_id) {
            return Err(OfpError::OFPGMFC_BAD_BUCKET);
        }
        buckets.push(bucket);
    }
    Ok(buckets)
}

fn decode_bucket_properties(bucket: &mut Bucket, mut r: Reader<'_>) -> Result<()> {
    while !r.is_empty() {
        let prop = props::next(&mut r, &[0xffff])?;
        match prop.kind {
            0 => bucket.weight = prop.u16()?,
            1 => {
                bucket.watch_port =
                    OfpPort::from_of11(prop.u32()?).map_err(|_| OfpError::OFPBAC_BAD_OUT_PORT)?;
            }
            2 => bucket.watch_group = prop.u32()?,
            _ => return Err(prop.unknown()),
        }
    }
    Ok(())
}

pub(super) fn encode_buckets(buckets: &[Bucket], version: Version, out: &mut Vec<u8>) -> Result<()> {
    for bucket in buckets {
        let start = out.len();
        out.put_u16(0);
        out.put_u16(bucket.weight);
        out.put_u32(bucket.watch_port.0);
        out.put_u32(bucket.watch_group);
        out.put_zeros(4);
        actions::encode(&bucket.actions, version, out)?;
        out.set_len16(start, start);
    }
    Ok(())
}

pub(super) fn encode_buckets_of15(
    buckets: &[Bucket],
    kind: GroupType,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<()> {
    for bucket in buckets {
        let start = out.len();
        out.put_u32(0);
        out.put_u32(bucket.bucket_id);
        let list = out.len();
        actions::encode(&bucket.actions, version, out)?;
        out.set_len16(start + 2, list);
        if kind == GroupType::Select {
            props::put_u16(out, 0, bucket.weight);
        }
        if bucket.watch_port != OfpPort::NONE {
            props::put_u32(out, 1, bucket.watch_port.0);
        }
        if bucket.watch_group != ANY_GROUP {
            props::put_u32(out, 2, bucket.watch_group);
        }
        out.set_len16(start, start);
    }
    Ok(())
}
