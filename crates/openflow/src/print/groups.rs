//! Text of messages about groups.
//!
//! Where it sits: `dump-groups`, `dump-group-stats`, `dump-group-features`; what `add-group` reads, this writes.

use std::fmt::Write;

use super::session::ACTIONS as ACTIONS_10;
use super::tables::{ACTIONS_11, ACTIONS_12, bits_in_order};
use super::{bit_names, duration};
use crate::msg::group::{self, bucket_id};
use crate::msg::{
    Bucket, GroupCommand, GroupDesc, GroupFeatures, GroupMod, GroupStats, GroupType, Message, SelectionMethod,
};
use crate::text::values;
use crate::{Names, OfpPort, Version, actions, field};

/// Prints the body if it is of this file's; false if not.
pub(super) fn print(out: &mut String, message: &Message, version: Version, names: &Names) -> bool {
    match message {
        Message::GroupMod(gm) => group_mod(out, gm, version, names),
        Message::GroupStatsRequest(id) | Message::GroupDescRequest(id) => {
            let _ = write!(out, " group_id={}", number(*id));
        }
        Message::GroupStatsReply(groups) => groups.iter().for_each(|g| stats(out, g)),
        Message::GroupDescReply(groups) => {
            for desc in groups {
                out.push_str("\n ");
                out.push_str(&group_desc(desc, version, names));
            }
        }
        Message::GroupFeaturesRequest => {}
        Message::GroupFeaturesReply(f) => features(out, f, version),
        _ => return false,
    }
    true
}

fn number(id: u32) -> String {
    match id {
        group::ALL_GROUPS => "ALL".to_owned(),
        group::ANY_GROUP => "ANY".to_owned(),
        id => id.to_string(),
    }
}

fn group_mod(out: &mut String, gm: &GroupMod, version: Version, names: &Names) {
    let (word, with_bucket_id, with_type) = match gm.command {
        GroupCommand::Add => ("ADD", false, true),
        GroupCommand::Modify => ("MOD", false, true),
        GroupCommand::AddOrModify => ("ADD_OR_MOD", false, true),
        GroupCommand::Delete => ("DEL", false, true),
        GroupCommand::InsertBucket => ("INSERT_BUCKET", true, false),
        GroupCommand::RemoveBucket => ("REMOVE_BUCKET", true, false),
    };
    let _ = write!(out, "\n {word} ");
    if with_bucket_id && has_bucket_ids(version) {
        let _ = match gm.command_bucket_id {
            bucket_id::FIRST => write!(out, "command_bucket_id:first,"),
            bucket_id::LAST => write!(out, "command_bucket_id:last,"),
            bucket_id::ALL => write!(out, "command_bucket_id:all,"),
            id => write!(out, "command_bucket_id:{id},"),
        };
    }
    let _ = write!(out, "group_id={}", gm.group_id);
    put_body(out, with_type.then_some(gm.kind), gm.kind, &gm.selection, &gm.buckets, (version, names));
}

/// The text of a group's definition, as dump-groups prints it and add-group reads it.
pub fn group_desc(desc: &GroupDesc, version: Version, names: &Names) -> String {
    let mut out = format!("group_id={}", desc.group_id);
    put_body(&mut out, Some(desc.kind), desc.kind, &desc.selection, &desc.buckets, (version, names));
    out
}

/// Versions whose buckets have numbers on the wire.
fn has_bucket_ids(version: Version) -> bool {
    matches!(version, Version::V10 | Version::V15)
}

fn put_body(
    out: &mut String,
    shown: Option<GroupType>,
    kind: GroupType,
    selection: &SelectionMethod,
    buckets: &[Bucket],
    (version, names): (Version, &Names),
) {
    if let Some(shown) = shown {
        let _ = write!(out, ",type={}", shown.name());
    }
    put_selection(out, selection, names);
    for bucket in buckets {
        out.push_str(",bucket=");
        put_bucket(out, bucket, kind, version, names);
    }
}

fn put_selection(out: &mut String, selection: &SelectionMethod, names: &Names) {
    if selection.name.is_empty() {
        return;
    }
    let _ = write!(out, ",selection_method={}", selection.name);
    if selection.param != 0 {
        let _ = write!(out, ",selection_method_param={}", selection.param);
    }
    let fields: Vec<String> = selection
        .fields
        .iter()
        .map(|(f, mask)| {
            let def = f.def();
            let full = field::full_mask(*f);
            if full.is_within(mask) {
                return def.name.to_owned();
            }
            let mut text = format!("{}=", def.name);
            values::print(&mut text, def, mask, &full, names);
            text
        })
        .collect();
    match &fields[..] {
        [] => {}
        [one] => {
            let _ = write!(out, ",fields={one}");
        }
        all => {
            let _ = write!(out, ",fields({})", all.join(","));
        }
    }
}

fn put_bucket(out: &mut String, bucket: &Bucket, kind: GroupType, version: Version, names: &Names) {
    if has_bucket_ids(version) {
        let _ = write!(out, "bucket_id:{},", bucket.bucket_id);
    }
    if bucket.weight != group::default_weight(kind) {
        let _ = write!(out, "weight:{},", bucket.weight);
    }
    if bucket.watch_port != OfpPort::NONE {
        let _ = write!(out, "watch_port:{},", names.port(bucket.watch_port));
    }
    if bucket.watch_group != group::ANY_GROUP {
        let _ = write!(out, "watch_group:{},", bucket.watch_group);
    }
    let _ = write!(out, "actions={}", actions::format(&bucket.actions, names));
}

fn stats(out: &mut String, g: &GroupStats) {
    let _ = write!(out, "\n group_id={},", number(g.group_id));
    if let Some(age) = g.duration
        && age.sec != u32::MAX
    {
        out.push_str("duration=");
        duration(out, age);
        out.push_str("s,");
    }
    let _ =
        write!(out, "ref_count={},packet_count={},byte_count={}", g.ref_count, g.packet_count, g.byte_count);
    for (i, (packets, bytes)) in g.buckets.iter().enumerate() {
        if *packets != u64::MAX {
            let _ = write!(out, ",bucket{i}:packet_count={packets},byte_count={bytes}");
        }
    }
}

fn features(out: &mut String, f: &GroupFeatures, version: Version) {
    let _ = write!(
        out,
        "\n Group table:\n    Types:  {:#x}\n    Capabilities:  {:#x}\n",
        f.types, f.capabilities
    );
    for (i, name) in ["all", "select", "indirect", "fast failover"].into_iter().enumerate() {
        if f.types >> i & 1 == 0 {
            continue;
        }
        let actions = match version {
            Version::V10 => {
                let known = ACTIONS_10.iter().fold(0, |all, (bit, _)| all | bit);
                bit_names(f.actions[i] & known, &ACTIONS_10).trim_matches('0').to_owned()
            }
            Version::V11 => bits_in_order(f.actions[i], &ACTIONS_11),
            _ => bits_in_order(f.actions[i], &ACTIONS_12),
        };
        let actions = if actions.is_empty() { "<none>" } else { &actions };
        let _ = write!(
            out,
            "    {name} group:\n       max_groups={}\n       actions: {actions}\n",
            values::Hex(f.max_groups[i].into())
        );
    }
}
